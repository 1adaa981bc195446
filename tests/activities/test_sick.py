"""Sick clusters of real members: without a quorum, with a member that is corrupt, with one that differs."""

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from activities.adapters import etcd_rpc_pb2 as rpc
from activities.adapters.directory import DirectoryStore
from activities.adapters.etcd import GrpcEtcd
from activities.streams.compression import expanded
from quorate.errors import QuorateError
from quorate.members.etcd import EtcdSeen
from tests.real_etcd import ETCDS, Cluster, Member, made, programs, restored, running
from tests.workflows.test_backup import Bench

pytestmark = pytest.mark.server
MINOR = "3.6"
NAMES = ("a", "b", "c")


def bench(cluster: Cluster, folder: Path, when_sick: str) -> Bench:
    (folder / "store").mkdir(exist_ok=True)
    store = DirectoryStore(str(folder / "store"))
    made = Bench(ETCDS, store, tuple(member.target for member in cluster.members), {}, when_sick=when_sick)
    return replace(made, clock=time)  # type: ignore[arg-type]


def write(cluster: Cluster) -> None:
    with cluster.first.at() as etcd:
        for number in range(20):
            etcd.put(f"/key/{number}", b"value")


def test_the_last_member_of_a_lost_quorum_is_backed_up_and_what_it_gives_can_be_restored(tmp_path: Path) -> None:
    with running(MINOR, tmp_path / "etcd", NAMES) as cluster:
        write(cluster)
        for member in cluster.members[1:]:
            member.kill()
        with pytest.raises(QuorateError, match="no member of prod answers a linearizable read, so it has no quorum"):
            bench(cluster, tmp_path, "refuse").carry_out()
        taken = bench(cluster, tmp_path, "degraded")
        result = taken.carry_out()
        assert (result.outcome, result.member) == ("degraded", "a")
        assert result.findings[0].startswith("taken although no member of prod answers a linearizable read")
        assert {each[:16] for each in result.findings} >= {"b did not answer", "c did not answer"}
        whole = tmp_path / "snapshot.db"
        whole.write_bytes(b"".join(expanded(taken.store.get(result.key), result.key)))
    with restored(MINOR, whole, tmp_path) as etcd:
        assert etcd.get("/key/19") == b"value"


def looked(member: Member) -> EtcdSeen:
    with member.at() as etcd:
        return etcd.look()


@pytest.mark.parametrize("when_sick", ["refuse", "degraded"])
def test_of_members_of_which_one_is_corrupt_another_is_taken(tmp_path: Path, when_sick: str) -> None:
    """By etcd's own alarm."""
    with running(MINOR, tmp_path / "etcd", NAMES) as cluster:
        write(cluster)
        follower = next(each for each in cluster.members if not looked(each).leads)
        with follower.at() as etcd:
            assert isinstance(etcd, GrpcEtcd)
            sick = etcd.look().member_id
            alarm = rpc.AlarmRequest(action=rpc.AlarmRequest.ACTIVATE, memberID=int(sick, 16), alarm=rpc.CORRUPT)
            etcd._alarm(alarm, 5)
        result = bench(cluster, tmp_path, when_sick).carry_out()
    assert (result.outcome, result.member == follower.name) == ("degraded", False)
    assert result.findings[0] == f"member {sick} has raised the alarm CORRUPT"


def test_one_that_holds_other_data_is_named_by_a_backup_that_looks_healthy(tmp_path: Path) -> None:
    """As when a member was restored from another file than the rest: nothing in etcd notices."""
    files = {}
    for name, value in (("one", b"1"), ("other", b"2")):
        with running(MINOR, tmp_path / name) as cluster, cluster.first.at() as etcd:
            etcd.put("/key", value)
            files[name] = tmp_path / f"{name}.db"
            files[name].write_bytes(b"".join(etcd.snapshot()))
    cluster = made(MINOR, tmp_path / "etcd", NAMES, tls=False, data=None)
    for member, name in zip(cluster.members, ("one", "one", "other"), strict=True):
        told = dict(zip(member.argv[1::2], member.argv[2::2], strict=False))
        argv = [str(programs(MINOR) / "etcdutl"), "snapshot", "restore", str(files[name]), "--name", member.name]
        for flag in ("--data-dir", "--initial-cluster", "--initial-advertise-peer-urls"):
            argv += [flag, told[flag]]
        subprocess.run(argv, check=True, capture_output=True)
    try:
        cluster.start()
        seen = [looked(member) for member in cluster.members]
        assert all(each.leader and not each.errors for each in seen)
        result = bench(cluster, tmp_path, "refuse").carry_out()
    finally:
        cluster.kill()
    assert result.outcome == "degraded"
    assert ["does not hold the same data as" in each for each in result.findings] == [True]
