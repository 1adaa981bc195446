"""The restored cluster is proved before anybody is admitted, on members of memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
from temporalio.testing import ActivityEnvironment

from activities.recording.recorded import RecordedEtcds, RecordedHosts
from activities.restoring.members import Members
from quorate.command import Node
from quorate.converge import Receipt
from quorate.errors import DidNotConverge, Failed, Refusal, Unreachable
from quorate.members.etcd import HashKV, cluster_id, member_id
from quorate.nodes.node import Claim, DataDir
from quorate.restoring.canary import PASSING_S
from quorate.task import ClusterTask
from tests.factory import plan
from tests.fakes.etcd import FakeCluster, FakeEtcd
from tests.fakes.machine import FakeHosts, Machine
from tests.workflows.test_backup import Clock, Notebook

STATUS = '{"hash":1,"revision":41,"totalKey":20}'
MARK = 12_345
CANARY = "quorate/canary/restore-1"


class Tunnels:
    @contextmanager
    def tunnel(self, node: Node, host: str, port: int) -> Iterator[str]:
        yield f"{host}:{port}"


def restored(keys: int = 20) -> FakeCluster:
    """As the snapshot of tests/factory.py comes back without a bump: 20 keys at revision 41."""
    shares = plan().chosen.shares
    ids = {share.member: member_id(share.peer_urls, plan().token) for share in shares}
    cluster = FakeCluster(id=cluster_id(ids.values()), ids=ids)
    for number in range(keys):
        cluster.add(f"/registry/{number}", b"v")
    while cluster.revision < 41:
        cluster.add("/registry/0", b"again")
    return cluster


@dataclass
class Bench:
    cluster: FakeCluster = field(default_factory=restored)
    mark: int = MARK
    bump: int = 0
    machines: dict[str, Machine] = field(default_factory=lambda: {name: Machine(name) for name in "abc"})
    notes: Notebook = field(default_factory=Notebook)
    clock: Clock = field(default_factory=Clock)
    beats: list[str] = field(default_factory=list)

    @property
    def members(self) -> Members:
        hosts = RecordedHosts(FakeHosts(self.machines), self.journal, self.clock)
        etcds = RecordedEtcds(self.cluster, self.journal, self.clock)
        return Members(hosts, etcds, Tunnels(), self.clock, self.beats.append)

    def journal(self, _: str) -> Notebook:
        return self.notes

    def task(self, key: str) -> ClusterTask:
        whole = plan()
        whole = replace(whole, mark=self.mark, chosen=replace(whole.chosen, bump=self.bump))
        step = next(step for step in whole.chosen.steps if step.key == key)
        step = replace(step, patience_s=step.patience_s + (PASSING_S if self.mark else 0))
        (task,) = whole.tasks(step, 9, "ann")
        assert isinstance(task, ClusterTask)
        return task

    def verify(self) -> Receipt:
        return ActivityEnvironment().run(self.members.verify, self.task("verify"))

    def compare(self) -> Receipt:
        for name, machine in self.machines.items():
            share = next(share for share in plan().chosen.shares if share.member == name)
            home = Claim(share.node.lock_dir, share.node.cluster, "restore-1").home
            machine.files[DataDir(share.data_dir, "restore-1", home).digest] = STATUS
        return ActivityEnvironment().run(self.members.same, self.task("compare"))


class TestCanaryWrites:
    def test_everything_that_was_ever_served_is_passed_and_compacted_before_anybody_is_admitted(self) -> None:
        bench = Bench()
        facts = bench.verify().facts
        assert int(facts["served_revision"]) > MARK
        assert bench.cluster.compacted == MARK + 1
        assert bench.beats
        with pytest.raises(Failed, match="compacted"):
            bench.cluster.keys(MARK)

    def test_they_are_two_acts_on_record_and_leave_no_key(self) -> None:
        bench = Bench()
        bench.verify()
        assert bench.notes.acts[:2] == [
            f"verify a: etcd put {CANARY} until {MARK} -> Ran",
            f"verify a: etcd compact {MARK + 1} -> Ran",
        ]
        assert len(bench.cluster.keys()) == 20

    def test_the_hashes_are_compared_while_there_is_a_key(self) -> None:
        bench, live = Bench(), list[bool]()

        def hashing(found: HashKV) -> HashKV:
            live.append(bench.cluster.keys().get(CANARY) is not None)
            return found

        bench.cluster.hashing = hashing
        bench.verify()
        assert live == [True, True, True]

    def test_an_attempt_that_died_on_its_way_is_gone_on_with(self) -> None:
        bench = Bench()
        for _ in range(5000):
            bench.cluster.add(CANARY, b"")
        assert int(bench.verify().facts["served_revision"]) == MARK + 2

    def test_an_attempt_that_died_past_the_mark_is_proved_as_well(self) -> None:
        bench = Bench()
        bench.verify()
        bench.cluster.add(CANARY, b"a")  # died before its delete
        assert int(bench.verify().facts["served_revision"]) > MARK

    def test_keys_that_are_missing_are_noticed_also_past_the_mark(self) -> None:
        bench = Bench()
        bench.verify()
        bench.cluster.add("/registry/7", None)
        with pytest.raises(Failed, match="keys are missing: : 19 of 20"):
            bench.verify()

    def test_a_snapshot_with_other_keys_is_no_reason_to_write(self) -> None:
        bench = Bench(restored(19))
        with pytest.raises(Failed, match="keys are missing"):
            bench.verify()
        assert bench.cluster.revision == 41

    def test_a_member_too_slow_for_the_step_says_how_far_it_came(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bench = Bench()
        put = FakeEtcd.put

        def slowly(etcd: FakeEtcd, key: str, value: bytes) -> int:
            bench.clock.now += 0.1
            return put(etcd, key, value)

        monkeypatch.setattr(FakeEtcd, "put", slowly)
        with pytest.raises(DidNotConverge, match=rf"is over at revision 8000 of {MARK}; a retry goes on"):
            bench.verify()

    def test_an_etcd_that_says_nothing_is_not_waited_for_as_long_as_its_writes_may_take(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench = Bench()
        monkeypatch.setattr("activities.restoring.members.POLL_S", 5.0)
        began = bench.clock.monotonic()
        bench.cluster.silent = {"a", "b", "c"}
        with pytest.raises(Unreachable):
            bench.verify()
        assert bench.clock.monotonic() - began < 2 * 120

    def test_with_a_tool_that_can_bump_there_are_none(self) -> None:
        bench = Bench(mark=0, bump=10**9)
        bench.cluster.revision += 10**9
        assert bench.verify().facts["served_revision"] == str(10**9 + 42)
        assert not [act for act in bench.notes.acts if "until" in act or "compact" in act]

    def test_a_bump_that_did_not_happen_is_noticed(self) -> None:
        with pytest.raises(Failed, match="the revision went back: the first write got revision 42"):
            Bench(mark=0, bump=10**9).verify()


class TestComparing:
    def test_a_cluster_that_is_as_far_as_the_plan_saw_may_be_stopped(self) -> None:
        assert Bench().compare().facts == {"staged": STATUS}

    def test_a_cluster_that_has_gone_on_too_far_is_not_stopped(self) -> None:
        bench = Bench()
        while bench.cluster.revision < MARK:
            bench.cluster.add("/registry/0", b"more")
        with pytest.raises(Refusal, match=f"has gone on to revision {MARK}, too near to {MARK}.*nothing was stopped"):
            bench.compare()
        assert Bench(bench.cluster, mark=0, bump=10**9).compare()

    def test_members_that_do_not_answer_have_gone_nowhere(self) -> None:
        bench = Bench()
        bench.cluster.silent = {"a", "b", "c"}
        assert bench.compare()

    def test_a_cluster_without_a_leader_is_waited_for_and_then_not_proved(self) -> None:
        bench = Bench()
        bench.cluster.leader = ""
        with pytest.raises(Unreachable):
            bench.verify()
