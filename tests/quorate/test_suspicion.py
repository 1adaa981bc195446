"""A backup of a cluster that was emptied never becomes the newest that counts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.backup import manifest
from quorate.backups.catalogue import LATEST, find, load, newest
from quorate.backups.request import request
from quorate.errors import BadInput
from quorate.operation import Outcome, RestoreResult
from quorate.records import home, result_text
from quorate.suspicion import Baseline, baseline, suspicions
from tests.activities.test_surveys import Scene
from tests.factory import inventory
from tests.fakes.etcd import CLUSTER, FakeCluster
from tests.fakes.store import MemoryStore
from tests.workflows.test_backup import Bench, a_cluster

BEFORE = Baseline("prod/before", 1000, 500)


@pytest.mark.parametrize(
    ("before", "revision", "keys", "said"),
    [
        (None, 1, 0, ()),
        (BEFORE, 500, 1000, ()),
        (BEFORE, 900, 500, ()),
        (BEFORE, 900, 499, ("50 % are gone, 50 % may be",)),
        (BEFORE, 900, 0, ("100 % are gone",)),
        (BEFORE, 499, 1000, ("its revision is 499, that of prod/before was 500",)),
        (BEFORE, 3, 0, ("its revision is 3", "100 % are gone")),
        (BEFORE, 900, None, ()),
        (replace(BEFORE, revision=0), 3, 1000, ()),
        (replace(BEFORE, keys=0), 900, 0, ()),
    ],
)
def test_what_has_fallen_is_told(
    before: Baseline | None, revision: int, keys: int | None, said: tuple[str, ...]
) -> None:
    found = tuple(suspicions(before, revision, keys, 50))
    assert len(found) == len(said)
    assert all(part in whole for part, whole in zip(said, found, strict=True))


def test_a_cluster_of_which_all_is_gone_is_suspect_whatever_may_be() -> None:
    assert len(tuple(suspicions(BEFORE, 900, 0, 100))) == 1


def emptied() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add("/only", b"x")
    return cluster


def later(bench: Bench, cluster: FakeCluster, accepted: str = "") -> Bench:
    return replace(bench, cluster=cluster, clock=replace(bench.clock, now=bench.clock.now + 60), accepted=accepted)


@pytest.fixture
def bench() -> Bench:
    made = Bench(a_cluster(), MemoryStore())
    assert made.carry_out().outcome == "verified"
    return made


def test_a_cluster_that_came_up_empty_under_the_old_ids_is_suspect_and_never_the_latest(bench: Bench) -> None:
    result = later(bench, emptied()).carry_out()
    assert result.outcome == "suspect"
    assert ["revision" in each for each in result.findings] == [True, False]
    good, bad = load(bench.store, "prod")
    assert (good.counts, bad.counts) == (True, False)
    for ids in ((), (CLUSTER,)):
        assert newest((good, bad), ids) == good
        assert find((good, bad), LATEST, "prod", ids) == good
    assert find((good, bad), bad.id, "prod", ()) == bad
    with pytest.raises(BadInput, match="there is no snapshot latest"):
        find((bad,), LATEST, "prod", ())


def test_one_that_an_earlier_version_began_is_compared_with_what_that_had_read(bench: Bench) -> None:
    task = later(bench, emptied()).read_back()
    assert task.choice and task.streamed and task.streamed.before
    begun = replace(task.choice, before=task.streamed.before)
    for choice, outcome in ((begun, "suspect"), (task.choice, "verified")):
        assert manifest(replace(task, choice=choice, streamed=replace(task.streamed, before=None))).outcome == outcome


def test_the_next_one_is_compared_with_the_last_that_counts(bench: Bench) -> None:
    outcomes = [later(bench, emptied()).carry_out().outcome]
    again = later(later(bench, emptied()), emptied())
    outcomes.append(again.carry_out().outcome)
    assert outcomes == ["suspect", "suspect"]


def test_once_somebody_says_why_it_counts_and_the_next_is_measured_by_it(bench: Bench) -> None:
    smaller = a_cluster()
    for number in range(30):
        smaller.add(f"/registry/pods/{number}", None)
    accepted = later(bench, smaller, "the old namespace is gone")
    result = accepted.carry_out()
    assert (result.outcome, result.findings[-1]) == ("degraded", "ada accepts that: the old namespace is gone")
    assert later(accepted, smaller).carry_out().outcome == "verified"


def test_the_first_of_a_cluster_and_one_of_another_id_are_measured_as_far_as_can_be(bench: Bench) -> None:
    store = bench.store
    assert baseline(MemoryStore(), "prod", CLUSTER) is None
    assert baseline(store, "prod", CLUSTER) == Baseline("prod/20270115T080000Z-502", 41, 502)
    assert baseline(store, "prod", "abc") == Baseline("prod/20270115T080000Z-502", 41)


def test_after_a_restore_the_first_backup_is_the_measure(bench: Bench, restored: Callable[[str], None]) -> None:
    restored("abc")
    assert baseline(bench.store, "prod", "abc") is None
    assert baseline(bench.store, "prod", "def") is not None


@pytest.fixture
def restored(bench: Bench) -> Callable[[str], None]:
    """On record, to a cluster id."""

    def record(cluster_id: str) -> None:
        result = RestoreResult(
            "restore-1", Outcome.RESTORED, "prod/x", 41, cluster_id=cluster_id, previous_cluster_id=CLUSTER
        )
        key = f"{home('prod', 'restore-1')}/outcome.json"
        bench.store.put(key, (result_text(result).encode(),), lambda _: None)

    return record


def test_a_damaged_manifest_is_no_measure(bench: Bench) -> None:
    (only,) = load(bench.store, "prod")
    assert isinstance(bench.store, MemoryStore)
    bench.store.objects[only.manifest_key] = b"{}"
    assert baseline(bench.store, "prod", CLUSTER) is None


def test_a_restore_of_a_suspect_one_needs_a_reason(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    later(scene.bench, emptied()).carry_out()
    good, bad = load(scene.store, "demo")
    assert scene.plan().chosen.snapshot.id == good.id
    refused = scene.plan(snapshot=bad.id)
    assert "suspect" in {gate.id for gate in refused.refusals}


def test_the_policy_is_the_inventorys(tmp_path: Path) -> None:
    made = request(inventory(tmp_path), "demo", "backup-1", "ada", accepted="it is so")
    assert (made.shrink_percent, made.accepted) == (50, "it is so")
