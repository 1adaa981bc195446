"""Members that do not hold the same data are named by a backup, and nobody waits long for it."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from activities.backups.snapshots import streamed
from quorate.errors import Corrupt
from quorate.members.agreement import compared, order
from quorate.members.etcd import HashKV
from tests.fakes.etcd import FakeCluster, seen
from tests.fakes.store import MemoryStore
from tests.workflows.test_backup import Bench, a_cluster

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
    task = replace(bench.chosen(), turn=2, step="stream")
    cluster.silent.add("c")
    put = bench.environment.run(bench.snapshots.stream, task)
    assert put.hash_kv
    assert put.findings == ()
    assert ["c was not compared with b" in each for each in put.notes] == [True]


def test_a_source_that_dies_once_it_has_sent_costs_a_finding_and_no_backup(
    bench: Bench, cluster: FakeCluster
) -> None:
    cluster.sends = dying(cluster)
    result = bench.carry_out()
    assert result.outcome == "degraded"
    assert ["not all was measured at revision" in each for each in result.findings] == [True]


def test_a_source_that_was_away_for_a_moment_is_asked_once_more_beside_the_way_back(
    bench: Bench, cluster: FakeCluster
) -> None:
    cluster.sends = dying(cluster)
    task = replace(bench.streamed(), turn=3, step="read-back")
    assert streamed(task).keys == {}
    cluster.silent.clear()
    found = bench.environment.run(bench.snapshots.read_back, task)
    assert found.measured
    assert bench.publish(replace(task, read_back=found)).outcome == "verified"
    assert bench.manifest().hash_kv is not None


def test_what_was_measured_while_the_store_finished_is_not_asked_again(bench: Bench) -> None:
    task = bench.read_back()
    assert task.read_back
    assert task.read_back.measured is None
    assert {act.split()[0] for act in bench.notes.acts if "hashkv" in act} == {"stream"}
    bench.publish(task)
    assert bench.manifest().keys == streamed(task).keys
    assert bench.manifest().hash_kv is not None


def dying(cluster: FakeCluster) -> Callable[[Iterator[bytes]], Iterator[bytes]]:
    """Its source is silent as soon as it has sent everything."""

    def sends(blobs: Iterator[bytes]) -> Iterator[bytes]:
        yield from blobs
        cluster.silent.add("b")

    return sends


def test_what_the_store_spoils_is_still_refused_while_members_measure(bench: Bench) -> None:
    task = replace(bench.streamed(), turn=3, step="read-back")
    bench.store.gives_back = lambda _, data: data[:-1]
    with pytest.raises(Corrupt):
        bench.environment.run(bench.snapshots.read_back, task)


def test_a_large_one_is_not_compared_and_that_is_said(bench: Bench) -> None:
    result = replace(bench, compare_bytes=1).carry_out()
    assert (result.outcome, result.findings) == ("verified", ())
    assert "backup.compare_mib" in result.notes[0]
    assert len([act for act in bench.notes.acts if "hashkv" in act]) == 1
