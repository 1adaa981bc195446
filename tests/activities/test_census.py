"""Keys are counted by prefix at the snapshot's revision, or it is said why not."""

import pytest

import activities.backups.census
from activities.backups.census import Census, Counted, census, page_keys
from quorate.database.content import COUNTED_MAX, PREFIXES_MAX, REST
from quorate.members.etcd import EtcdTarget
from quorate.members.listing import PAGE_KEYS, Key, LiveKeys
from tests.fakes.etcd import FakeCluster
from tests.workflows.test_backup import Clock, a_cluster


@pytest.fixture
def cluster() -> FakeCluster:
    return a_cluster()


def counted(cluster: FakeCluster, revision: int, clock: Clock | None = None, size_bytes: int = 1 << 20) -> Census:
    with cluster.at(EtcdTarget("a", "")) as etcd:
        return census(etcd, revision, etcd.count(""), size_bytes, clock or Clock(), list[str]().append)


def test_keys_count_as_of_the_revision_and_leased_ones_apart(cluster: FakeCluster) -> None:
    cluster.leased, revision = {"/registry/pods/7", "/elsewhere"}, cluster.revision
    cluster.add("/registry/pods/new", b"later")
    wanted = {"": LiveKeys(1, 1), "/registry/pods": LiveKeys(40, 1)}
    assert counted(cluster, revision) == Census(wanted)
    assert counted(cluster, cluster.revision).live["/registry/pods"] == LiveKeys(41, 1)


def test_what_was_compacted_meanwhile_is_a_note(cluster: FakeCluster) -> None:
    cluster.compacted = cluster.revision
    found = counted(cluster, cluster.revision - 1)
    assert found.live == {}
    assert ["keys were not counted by prefix" in note and "compacted" in note for note in found.notes] == [True]


def test_too_many_are_not_even_asked_for(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activities.backups.census, "KEYS_MAX", 40)
    found = counted(cluster, cluster.revision)
    assert found == Census(notes=("keys were not counted by prefix: there are 41, up to 40 are",))


def test_what_takes_too_long_is_given_up(cluster: FakeCluster) -> None:
    class Late(Clock):
        def monotonic(self) -> float:
            self.now += 6
            return self.now

    found = counted(cluster, cluster.revision, Late(), size_bytes=1 << 30)
    assert found == Census(notes=("keys were not counted by prefix: 32 of them took longer than 10 s",))


def test_a_page_of_them_is_no_burden_to_a_member() -> None:
    assert page_keys(700_000, 700 << 20) == PAGE_KEYS
    assert page_keys(5_600, 700 << 20) == 128
    assert page_keys(3, 700 << 20) == 16


def test_those_that_hold_few_are_told_as_one() -> None:
    counting = Counted()
    names = [f"/many/{number:04}/x" for number in range(COUNTED_MAX + 100)]
    counting.add(tuple(Key(name, 1, leased=True) for name in names))
    counting.add((Key("/many/0777/y", 1), Key("/too/late/x", 1)))
    live = counting.live()
    assert len(live) == PREFIXES_MAX + 1
    assert live["/many/0777"] == LiveKeys(2, 1)
    assert live[REST] == LiveKeys(len(names) + 2 - PREFIXES_MAX - 1, len(names) - PREFIXES_MAX)
