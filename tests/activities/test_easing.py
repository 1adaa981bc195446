"""A backup makes way where its member's disk suffers, slower and then not at all, and it meets no defragmentation."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from shutil import which

import pytest

from activities.adapters.directory import DirectoryStore
from activities.adapters.etcd_metrics import EtcdMetrics, counted, seen
from activities.streams.easing import Easing
from activities.streams.pipeline import Pace
from deploy.lab.process import wait
from quorate.backups.choosing import choose
from quorate.errors import Denied, QuorateError, Refusal, Unreachable
from quorate.members.etcd import EtcdTarget
from quorate.members.strain import DiskSeen, strained, usual_s
from quorate.ports import Disks
from tests.fakes.disks import FakeDisks
from tests.real_etcd import ETCDS, MINORS, Cluster, Files, Member, programs, running
from tests.workflows.test_backup import HEALTHY, Bench, Clock, a_cluster

server = pytest.mark.server
REAL = EtcdMetrics(Files())
A = EtcdTarget("a", "http://a")


@pytest.mark.parametrize(
    ("usual", "mean", "too_much"),
    [(0.005, 0.010, True), (0.005, 0.0099, False), (0.0005, 0.001, False), (0.02, 0.03, False), (None, 9.0, False)],
)
def test_what_has_doubled_and_is_more_than_a_disk_may_take_is_too_much(
    usual: float | None, mean: float, too_much: bool
) -> None:
    assert strained(usual, mean) is too_much


def test_where_hardly_anybody_writes_it_is_compared_with_all_that_was_written_since_the_start() -> None:
    assert usual_s(DiskSeen(1000, 5.0), DiskSeen(1100, 5.2)) == pytest.approx(0.002)
    assert usual_s(DiskSeen(1000, 5.0), DiskSeen(1001, 5.005)) == pytest.approx(0.005)
    assert usual_s(DiskSeen(1, 5.0), DiskSeen(2, 6.0)) is None


def eased(disks: FakeDisks, seconds: int, rate_bytes_s: int = 0) -> tuple[Pace, int]:
    """A chunk of 1000 bytes each tenth of a second, or slower; how much had come when it ended."""
    clock = Clock()
    pace, easing = Pace(rate_bytes_s, clock), Easing(disks, A, clock)
    easing.begin()
    came = 0

    def member() -> Iterator[bytes]:
        for _ in range(10 * seconds):
            clock.sleep(0.1)
            yield bytes(1000)

    with suppress(Unreachable):
        for chunk in easing.over(pace.of(member()), pace):
            came += len(chunk)
    return pace, came


def test_nobody_is_slowed_down_while_the_disk_is_as_before() -> None:
    pace, came = eased(FakeDisks(), 20)
    assert (pace.halved, came) == (0, 200_000)


@pytest.mark.parametrize("rate_bytes_s", [0, 10_000])
def test_a_disk_that_suffers_slows_the_stream_down_by_half_and_by_half_again_and_ends_it(rate_bytes_s: int) -> None:
    pace, came = eased(FakeDisks(lambda fsyncs: 0.04 if fsyncs >= 400 else 0.002), 60, rate_bytes_s)
    assert pace.halved == 3
    assert pace.bytes_s == pytest.approx(10_000 / 8, rel=0.1)
    assert came < 100_000


def test_one_that_feels_better_when_it_is_slower_sends_to_the_end() -> None:
    pace, came = eased(FakeDisks(lambda fsyncs: 0.04 if 400 <= fsyncs < 600 else 0.002), 20)
    assert (pace.halved, came) == (2, 200_000)


def test_a_member_that_has_written_for_long_is_not_watched_first() -> None:
    clock, disks = Clock(), FakeDisks()
    disks.counted["a"] = DiskSeen(5000, 10.0)
    began, easing = clock.now, Easing(disks, A, clock)
    easing.begin()
    assert clock.now == began
    assert easing.usual == pytest.approx(0.002)


def test_one_that_was_stopped_for_its_disk_is_compared_with_that_moment() -> None:
    """A disk that is slow for good keeps nobody without backups."""
    clock, disks = Clock(), FakeDisks(lambda fsyncs: 0.04 if fsyncs >= 5000 else 0.002)
    disks.counted["a"] = DiskSeen(5000, 10.0)
    easing = Easing(disks, A, clock)
    easing.begin(attempt=2)
    assert easing.usual == pytest.approx(0.04)


class TestBackup:
    def test_a_member_that_is_being_defragmented_is_not_taken(self) -> None:
        assert choose(HEALTHY, 100, defragmenting={"b"}) == "c"
        with pytest.raises(Refusal, match="b is being defragmented$"):
            choose(HEALTHY, 100, "b", {"b"})
        bench = Bench(disks=FakeDisks(defragmenting={"b"}))
        result = bench.carry_out()
        assert (result.outcome, result.member, result.notes) == ("verified", "c", ())

    def test_each_is_asked_once_before_one_of_them_is_chosen(self) -> None:
        disks = FakeDisks()
        Bench(disks=disks).chosen()
        assert {name: seen.fsyncs for name, seen in disks.counted.items()} == dict.fromkeys("abc", disks.between)

    def test_one_whose_disk_nobody_can_watch_is_a_note_and_the_backup_as_good(self) -> None:
        result = Bench(disks=FakeDisks(silent={"b"})).carry_out()
        assert (result.outcome, result.member) == ("verified", "b")
        assert result.notes == ("the disk of b is not watched while it sends: metrics of b: Connection refused",)

    def test_a_defragmentation_that_begins_while_it_sends_is_made_way_for_and_nothing_is_stored(self) -> None:
        disks, cluster = FakeDisks(), a_cluster()
        bench = Bench(cluster, disks=disks)

        def sends(blobs: Iterator[bytes]) -> Iterator[bytes]:
            disks.defragmenting.add("b")
            for blob in blobs:
                bench.clock.sleep(3)
                yield blob

        cluster.sends = sends
        with pytest.raises(Unreachable, match="b is being defragmented, and waits with all its clients"):
            bench.streamed()
        assert bench.store.ls("") == ()


@pytest.mark.parametrize("minor", [pytest.param(each, marks=server) for each in (*MINORS, "3.6 tls")])
class TestReal:
    def test_it_tells_what_its_disk_does_and_whether_it_is_being_defragmented(
        self, minor: str, tmp_path: Path
    ) -> None:
        version, *tls = minor.split()
        with running(version, tmp_path, tls=bool(tls)) as cluster, cluster.first.at() as etcd:
            before = REAL.read(cluster.first.target)
            for number in range(20):
                etcd.put("key", str(number).encode())
            after = REAL.read(cluster.first.target)
            assert after.fsyncs - before.fsyncs >= 20
            assert 0 < after.fsyncs_s - before.fsyncs_s < 60
            assert not after.defragmenting
            took = REAL.latencies(cluster.first.target)
            assert took.fsyncs[-1] == (float("inf"), REAL.read(cluster.first.target).fsyncs)
            assert 0 < (took.fsync_p99_s or 0) < 60
            assert 0 < (took.commit_p99_s or 0) < 60
            assert took.peers == {}
            cluster.kill()
            with pytest.raises(Unreachable):
                REAL.read(cluster.first.target)


def test_what_is_no_etcd_is_said_so() -> None:
    with pytest.raises(Denied, match="there is no 'etcd_disk_wal_fsync_duration_seconds_count' in them"):
        seen("go_goroutines 7\n", "metrics of a")
    assert seen(
        "etcd_disk_wal_fsync_duration_seconds_count 2\netcd_disk_wal_fsync_duration_seconds_sum 0.5\n", ""
    ) == (DiskSeen(2, 0.5))


TOLD = """\
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 90
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.002"} 100
etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 100
etcd_network_peer_round_trip_time_seconds_bucket{To="91bc3c398fb3c146",le="0.1"} 1
etcd_network_peer_round_trip_time_seconds_bucket{To="91bc3c398fb3c146",le="+Inf"} 1
etcd_network_peer_round_trip_time_seconds_bucket{To="fd422379fda50e48",le="0.4"} 1e+06
etcd_network_peer_round_trip_time_seconds_bucket{To="fd422379fda50e48",le="+Inf"} 1e+06
"""


def test_how_long_it_takes_is_read_of_the_disk_and_of_the_slowest_peer() -> None:
    took = counted(TOLD)
    assert took.fsync_p99_s == pytest.approx(0.0019)
    assert took.commit_p99_s is None
    assert set(took.peers) == {"91bc3c398fb3c146", "fd422379fda50e48"}
    assert took.peer_p99_s == pytest.approx(0.396)


@contextmanager
def slow_disk(member: Member, delay_us: int) -> Iterator[None]:
    """Every sync of the real member's takes so much longer."""
    assert member.process
    if (strace := which("strace")) is None:
        pytest.fail("a disk is made slow by strace, and there is none: apt-get install strace")
    inject = f"inject=fdatasync,fsync:delay_exit={delay_us}"
    argv = [strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", inject]
    with subprocess.Popen([*argv, "-p", str(member.process.pid)]) as tracer:
        try:
            yield
        finally:
            tracer.terminate()


@contextmanager
def writing(cluster: Cluster) -> Iterator[None]:
    over = threading.Event()

    def write() -> None:
        with cluster.first.at() as etcd:
            while not over.is_set():
                etcd.put("busy", b"x")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@server
def test_a_real_member_whose_disk_gets_slow_is_left_alone_and_the_next_run_is_good(tmp_path: Path) -> None:
    with running("3.6", tmp_path) as cluster:
        with cluster.first.at() as etcd:
            for number in range(12):
                etcd.put(f"/large/{number}", os.urandom(1 << 20))
        (tmp_path / "store").mkdir()
        bench = Bench(ETCDS, DirectoryStore(str(tmp_path / "store")), (cluster.first.target,), {}, disks=REAL)
        bench = replace(bench, clock=time, rate_bytes_s=1 << 19)  # type: ignore[arg-type]
        with writing(cluster), ThreadPoolExecutor(1) as pool, ExitStack() as slow:
            running_now = pool.submit(bench.streamed)
            assert wait(lambda: files(tmp_path / "store") != [], 60)
            slow.enter_context(slow_disk(cluster.first, 50_000))
            with pytest.raises(Unreachable, match="sending slower does not help: stopped"):
                running_now.result(120)
        assert files(tmp_path / "store") == []
        assert replace(bench, rate_bytes_s=0).carry_out().outcome == "verified"


def files(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]


@server
@pytest.mark.parametrize("minor", ["3.5", "3.6"])
def test_a_real_defragmentation_is_seen_while_it_waits_for_a_stream(minor: str, tmp_path: Path) -> None:
    """As etcd.md says: it freezes the member until the stream is drained."""
    with running(minor, tmp_path) as cluster, cluster.first.at() as etcd:
        for number in range(12):
            etcd.put(f"/large/{number}", os.urandom(1 << 20))
        stream = etcd.snapshot()
        next(stream)
        argv = [str(programs(minor) / "etcdctl"), "--endpoints", cluster.first.target.url, "defrag"]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as defragmenting:
            assert wait(lambda: told(REAL, cluster.first.target), 20)
            for _ in stream:
                pass
            defragmenting.wait()
        assert wait(lambda: not told(REAL, cluster.first.target), 20)


def told(disks: Disks, target: EtcdTarget) -> bool:
    try:
        return disks.read(target).defragmenting
    except QuorateError:
        return False
