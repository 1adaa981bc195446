"""Members that do not hold the same data are named by a backup, and nobody waits long for it."""

from dataclasses import replace

import pytest

from quorate.agreement import compared, order
from quorate.etcd import HashKV
from tests.fakes.etcd import FakeCluster, seen
from tests.fakes.store import MemoryStore
from tests.test_backup import Bench, a_cluster

MINE = HashKV(7, 100, 50)


@pytest.fixture
def cluster() -> FakeCluster:
    return a_cluster()


@pytest.fixture
def bench(cluster: FakeCluster) -> Bench:
    return Bench(cluster, MemoryStore())


def test_the_leader_is_asked_last_and_who_has_no_vote_or_no_answer_is_not() -> None:
    everybody = {"a": seen("a"), "b": seen("b"), "c": seen("c"), "d": seen("d", learner=True), "e": "silent"}
    assert order("b", everybody) == ("c", "a")


def test_only_hashes_of_one_compaction_are_compared() -> None:
    others = {"b": MINE, "c": HashKV(8, 100, 50), "d": HashKV(8, 100, 60), "e": "no route"}
    found = compared("a", MINE, others)
    assert found.findings == ("c does not hold the same data as a at revision 100: HashKV 8 and 7",)
    assert found.notes == (
        "d was not compared with a: it has compacted up to 60, a up to 50",
        "e was not compared with a: no route",
    )


def test_members_that_agree_are_worth_no_word(bench: Bench) -> None:
    result = bench.carry_out()
    assert (result.outcome, result.findings, result.notes) == ("verified", (), ())
    asked = [act.split(":")[0].split()[-1] for act in bench.notes.acts if "hashkv" in act]
    assert asked == ["b", "c", "a"]


def test_one_that_differs_makes_the_backup_degraded_and_is_named(bench: Bench, cluster: FakeCluster) -> None:
    cluster.hashes["a"] = 1
    result = bench.carry_out()
    assert result.outcome == "degraded"
    assert "a does not hold the same data as b at revision" in result.findings[0]


def test_one_that_does_not_answer_any_more_is_a_note(bench: Bench, cluster: FakeCluster) -> None:
    task = bench.chosen()
    cluster.silent.add("c")
    done = bench.environment.run(bench.snapshots.stream, replace(task, turn=2, step="stream"))
    assert done.findings == ()
    assert ["c was not compared with b" in each for each in done.notes] == [True]


def test_a_large_one_is_not_compared_and_that_is_said(bench: Bench) -> None:
    result = replace(bench, compare_bytes=1).carry_out()
    assert (result.outcome, result.findings) == ("verified", ())
    assert "backup.compare_mib" in result.notes[0]
    assert len([act for act in bench.notes.acts if "hashkv" in act]) == 1
