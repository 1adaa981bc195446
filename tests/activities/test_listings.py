"""The keys of before, and what of them is not as it was: on members and a store of memory."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pyrage import x25519
from temporalio.testing import ActivityEnvironment

import activities.restoring.listings
from activities.recording.recorded import RecordedEtcds, RecordedStores
from activities.restoring.listings import Listings, key
from quorate.errors import Unreachable
from quorate.task import ClusterTask
from tests.factory import plan
from tests.fakes.etcd import FakeCluster
from tests.fakes.store import MemoryStore, MemoryStores
from tests.workflows.test_backup import AGE, Clock, Notebook

OLD = "/registry/pods/default/"


def before() -> FakeCluster:
    """At revision 41 as the snapshot, and some writes later."""
    cluster = FakeCluster()
    for number in range(20):
        cluster.add(f"{OLD}{number:02}", b"v")
    while cluster.revision < 41:
        cluster.add(f"{OLD}00", b"again")
    return cluster


def later() -> FakeCluster:
    cluster = before()
    cluster.add("/registry/secrets/default/new", b"v")
    cluster.add(f"{OLD}01", b"changed")
    cluster.add(f"{OLD}02", None)
    return cluster


@dataclass
class Bench:
    cluster: FakeCluster = field(default_factory=later)
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: Clock = field(default_factory=Clock)
    notes: Notebook = field(default_factory=Notebook)
    beats: list[str] = field(default_factory=list)
    recipients: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()

    @property
    def listings(self) -> Listings:
        etcds = RecordedEtcds(self.cluster, lambda _: self.notes, self.clock)
        stores = RecordedStores(MemoryStores(self.store), lambda _: self.notes, self.clock)
        return Listings(etcds, stores, AGE, self.clock, self.beats.append)

    def task(self, name: str) -> ClusterTask:
        whole = plan()
        whole = replace(whole, chosen=replace(whole.chosen, bump=0))
        (task,) = whole.tasks(whole.at(name), 9, "ann")
        assert isinstance(task, ClusterTask)
        return replace(task, snapshot=replace(task.snapshot, recipients=self.recipients, identities=self.identities))

    def keep(self) -> dict[str, str]:
        return ActivityEnvironment().run(self.listings.before, self.task("list")).facts

    def differ(self) -> dict[str, str]:
        return ActivityEnvironment().run(self.listings.differ, self.task("differ")).facts


def test_what_was_written_since_the_snapshot_is_gone_back_or_older() -> None:
    bench = Bench()
    assert bench.keep() == {"listed": "20", "listed_at": "44"}
    bench.cluster = before()
    bench.cluster.add("/registry/leases/written-by-the-restored", b"does not count")
    pods, secrets = json.loads(bench.differ()["differs"])
    assert secrets["names"] == [f"+{OLD}02", f"<{OLD}01"]
    assert (pods["kind"], pods["gone"], secrets["kind"], secrets["back"], secrets["older"]) == (
        "secrets", 1, "pods", 1, 1,
    )  # fmt: skip


def test_names_are_encrypted_for_whomever_the_snapshot_is(tmp_path: Path) -> None:
    mine = x25519.Identity.generate()
    (tmp_path / "age.key").write_text(f"{mine}\n")
    bench = Bench(recipients=(str(mine.to_public()),), identities=(f"file:{tmp_path}/age.key",))
    bench.keep()
    ((name, stored),) = bench.store.objects.items()
    assert name.endswith("/keys-before.zst.age")
    assert stored.startswith(b"age-encryption.org/v1")
    bench.cluster = before()
    assert {each["kind"] for each in json.loads(bench.differ()["differs"])} == {"pods", "secrets"}


def test_a_second_attempt_leaves_the_first_listing_as_it_is() -> None:
    bench = Bench()
    bench.keep()
    kept = dict(bench.store.objects)
    bench.cluster.add("late", b"v")
    assert bench.keep() == {}
    assert bench.store.objects == kept == {key(bench.task("list")): kept[key(bench.task("list"))]}


def test_without_quorum_the_member_that_knows_most_is_listed() -> None:
    bench = Bench()
    bench.cluster.leader, bench.cluster.silent, bench.cluster.behind = "", {"a"}, {"b": 3}
    assert bench.keep()["listed_at"] == "44"


def test_where_nobody_answers_the_restore_goes_on_and_says_so() -> None:
    bench = Bench()
    bench.cluster.silent = {"a", "b", "c"}
    assert "a: failed to connect; b: failed to connect" in bench.keep()["unlisted"]
    bench.cluster = before()
    assert bench.differ()["unlisted"]


def test_a_store_that_is_away_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()

    def away(*_: object) -> None:
        raise Unreachable("the store does not answer")

    monkeypatch.setattr(MemoryStore, "put", away)
    assert bench.keep() == {"unlisted": "the store does not answer"}


def test_too_many_keys_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activities.restoring.listings, "KEYS_MAX", 10)
    assert Bench().keep() == {"unlisted": "more than 10 keys are not listed"}
