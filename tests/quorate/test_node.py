import hashlib
import os
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.command import Command, Ticket
from quorate.converge import Await, Decide, converge
from quorate.errors import DidNotConverge, QuorateError, Refusal
from quorate.nodes.durable import parent
from quorate.nodes.node import WARM_S, Claim, DataDir, Restored
from quorate.nodes.seen import NodeSeen, PathSeen
from quorate.nodes.swapped import SELINUX, Looks
from tests.factory import DB, LIVE, SNAPSHOT_BYTES, node
from tests.fakes.machine import FakeHosts, Machine
from tests.quorate.test_converge import Clock, silent

HOME = "/var/lib/quorate/demo/op"
DATA = DataDir(LIVE, "op", HOME)
NAMES = (DATA.live, DATA.staged, DATA.kept)
DISK = "/mnt/etcd"
ON_DISK = DataDir(f"{DISK}/member", "op", HOME, mounted=True)
RESTORED = Restored(
    tool="/usr/local/bin/etcdutl",
    name="a",
    peer_urls=("https://10.0.0.1:2380",),
    initial_cluster="a=https://10.0.0.1:2380",
    token="quorate-op-g1",
    bump=10**9,
    size_bytes=len(SNAPSHOT_BYTES),
    db_sha256=hashlib.sha256(DB).hexdigest(),
    db=Looks("etcd:etcd"),
)
LOG = "/fast/wal"
APART = DataDir(LIVE, "op", HOME, wal_dir=LOG)
assert APART.wal
SHAPES = [(DATA, "directory"), (ON_DISK, "mount point"), (APART, "log apart")]


def restored_as(data: DataDir) -> Restored:
    return replace(RESTORED, wal=Looks("etcd:etcd")) if data.wal else RESTORED


def a_node(data: DataDir, *paths: str) -> Machine:
    """With a mount point where the data directory is one."""
    parents = {parent(each.live) for each in data.swapped}
    mounts = {parent(data.live)} if data.mounted else set()
    return Machine("a", directories={HOME, *parents, *paths}, mounts=mounts)


def names(data: DataDir, *which: str) -> tuple[str, ...]:
    """Of every directory that is swapped."""
    return tuple(getattr(each, name) for each in data.swapped for name in which)


def once(machine: Machine, data: DataDir, decide: Decide[NodeSeen, Command], turn: int, dies_at: int = -1) -> None:
    """One attempt; the connection may break before one of its commands."""
    machine.dies_at = dies_at
    host = FakeHosts({"a": machine}).at(node("a"), data.look(), Ticket("op", turn, 1, "x"))
    converge(host, decide, 10, Clock(), silent)


def there(*paths: str) -> NodeSeen:
    return NodeSeen(paths={path: PathSeen("directory", "etcd:etcd", "700", "1", 0) for path in paths})


@pytest.mark.parametrize(
    ("paths", "acts"),
    [
        ((DATA.live, DATA.staged), [f"mv -T {DATA.live} {DATA.kept}", f"mv -T {DATA.staged} {DATA.live}"]),
        ((DATA.staged, DATA.kept), [f"mv -T {DATA.staged} {DATA.live}"]),
        ((DATA.live, DATA.kept), []),
    ],
)
def test_a_swap_goes_on_from_wherever_it_stopped(paths: tuple[str, ...], acts: list[str]) -> None:
    left = DATA.swap(there(*paths), 0)
    assert not isinstance(left, Await)
    assert [str(act) for act in left if act.argv[0] == "mv"] == acts


def test_a_wiped_node_gets_a_mark_instead_of_kept_data() -> None:
    left = DATA.swap(there(DATA.staged), 0)
    assert str(left[0]) == f"install -m 0600 /dev/null {DATA.kept}"  # type: ignore[index]


@pytest.mark.parametrize("paths", [(), (DATA.live,), (DATA.kept,), NAMES])
def test_any_other_state_is_refused_in_words(paths: tuple[str, ...]) -> None:
    with pytest.raises(Refusal, match="cannot swap"):
        DATA.swap(there(*paths), 0)


shapes = pytest.mark.parametrize("data", [data for data, _ in SHAPES], ids=[said for _, said in SHAPES])


@pytest.mark.parametrize("stop", range(7))
@pytest.mark.parametrize("wiped", [False, True])
@pytest.mark.parametrize("finish", [True, False])
@shapes
def test_a_swap_cut_off_anywhere_can_be_put_back_or_finished(
    stop: int, wiped: bool, data: DataDir, finish: bool
) -> None:
    machine = a_node(data, *names(data, "staged"), *(() if wiped else names(data, "live")))
    before = set(machine.directories), dict(machine.files)
    with suppress(QuorateError):
        once(machine, data, data.swap, 1, stop)
    once(machine, data, data.swap if finish else data.put_back, 2)
    if finish:
        assert all(machine.exists(path) for path in names(data, "live", "kept"))
        assert not any(machine.exists(path) for path in names(data, "staged"))
    else:
        assert (machine.directories, machine.files) == before


@pytest.mark.parametrize("stop", range(17))
@pytest.mark.parametrize("finish", [True, False])
@shapes
def test_staging_cut_off_anywhere_is_finished_or_leaves_nothing(stop: int, data: DataDir, finish: bool) -> None:
    machine = a_node(data, *names(data, "live"))
    before = set(machine.directories), dict(machine.files)
    machine.directories.add(data.arrivals)
    machine.files[data.snapshot] = SNAPSHOT_BYTES.decode("latin-1")
    with suppress(QuorateError):
        once(machine, data, lambda seen, _: data.stage(restored_as(data), seen), 1, stop)
    if finish:
        once(machine, data, lambda seen, _: data.stage(restored_as(data), seen), 2)
        assert all(machine.exists(path) for path in (*names(data, "live", "staged"), data.digest))
        assert not any(machine.exists(path) for path in (*names(data, "part"), data.arrivals))
        assert machine.exists(data.pair) is bool(data.wal)
    else:
        once(machine, data, data.discard, 2)
        assert (machine.directories, machine.files) == before


class TestALogOfItsOwn:
    @pytest.mark.parametrize("stop", range(7))
    def test_etcd_starts_on_a_pair_only(self, stop: int) -> None:
        """Cut off anywhere in the swap: on all of the new, or by an undo on all of the old, never on half of it."""
        machine = a_node(APART, *names(APART, "live"))
        machine.files = {f"{LIVE}/member/snap/db": "old", f"{LOG}/0.wal": "the old log"}
        machine.files[APART.snapshot] = SNAPSHOT_BYTES.decode("latin-1")
        once(machine, APART, lambda seen, _: APART.stage(restored_as(APART), seen), 1)
        ran = len(machine.ran)
        with suppress(QuorateError):
            once(machine, APART, APART.swap, 2, ran + stop)
        moves = [line for line in machine.ran[ran:] if line.startswith("mv ")]
        seen = FakeHosts({"a": machine}).survey(node("a"), APART.look())
        assert starts(seen, restored=True) is (len(moves) == 4)
        assert starts(seen, restored=False) is (len(moves) == 0)
        once(machine, APART, APART.put_back, 3)
        assert starts(FakeHosts({"a": machine}).survey(node("a"), APART.look()), restored=False)

    def test_the_log_is_moved_before_the_database(self) -> None:
        left = APART.swap(there(*names(APART, "live", "staged")), 0)
        assert not isinstance(left, Await)
        assert [act.argv[2] for act in left if act.argv[0] == "mv"] == [
            LOG,
            f"{LOG}.quorate-op-g1",
            LIVE,
            f"{LIVE}.quorate-op-g1",
        ]

    def test_a_start_that_is_refused_says_of_which_life_each_is(self) -> None:
        log, live = (PathSeen("directory", "", "700", "1", 0, inode) for inode in ("7", "9"))
        seen = NodeSeen(paths={LOG: log, LIVE: live}, texts={APART.pair: "7 8"})
        with pytest.raises(Refusal, match=f"{LOG} is restored, {LIVE} is from before"):
            APART.check_pair(seen, restored=True)

    def test_the_tool_is_told_where_the_log_goes(self) -> None:
        left = APART.stage(restored_as(APART), there(APART.snapshot))
        assert not isinstance(left, Await)
        (restore,) = [act for act in left if "restore" in act.argv]
        assert f"--wal-dir={LOG}.quorate-op-g1.part" in restore.argv

    @pytest.mark.parametrize(
        ("data", "told"),
        [
            (DataDir(LIVE, "op", HOME, wal_dir=f"{LIVE}/wal"), f"{LIVE}.quorate-op-g1.part/wal"),
            (
                DataDir(f"{DISK}/member", "op", HOME, mounted=True, wal_dir=f"{DISK}/member/log"),
                f"{DISK}/member.quorate-op-g1.part/member/log",
            ),
        ],
    )
    def test_one_that_lies_in_the_data_directory_comes_along(self, data: DataDir, told: str) -> None:
        left = data.stage(RESTORED, there(data.snapshot))
        assert not isinstance(left, Await)
        assert any(f"--wal-dir={told}" in act.argv for act in left)
        assert data.swapped == (data.db,)


def starts(seen: NodeSeen, *, restored: bool) -> bool:
    try:
        APART.check_pair(seen, restored=restored)
    except Refusal:
        return False
    return True


def staged(data: DataDir, owner: str, mode: str) -> NodeSeen:
    seen = there(data.live, data.digest)
    return replace(seen, paths={**seen.paths, data.staged: PathSeen("directory", owner, mode, "1", 0)})


@pytest.mark.parametrize(
    ("owner", "mode", "acts"),
    [
        ("store:disk", "2750", []),
        ("root:root", "2750", [f"chown store:disk {DATA.staged}"]),
        ("store:disk", "700", [f"chmod 02750 {DATA.staged}"]),
    ],
)
def test_what_is_staged_is_seen_to_have_the_owner_and_mode_of_before(owner: str, mode: str, acts: list[str]) -> None:
    wanted = replace(RESTORED, db=Looks("store:disk", "2750"))
    left = DATA.stage(wanted, staged(DATA, owner, mode))
    assert not isinstance(left, Await)
    assert [str(act) for act in left] == acts


def test_a_filesystem_that_keeps_its_own_modes_is_a_failure_before_anything_is_stopped() -> None:
    machine = a_node(DATA, DATA.live, DATA.staged)
    machine.files[DATA.digest] = "{}"
    odd = replace(RESTORED, db=Looks("etcd:etcd", "750"))
    with pytest.raises(DidNotConverge, match="still left: `chmod 00750"):
        once(machine, DATA, lambda seen, _: DATA.stage(odd, seen), 1)


@pytest.mark.parametrize("data", [DATA, ON_DISK], ids=["directory", "mount point"])
@pytest.mark.parametrize(
    ("paths", "argv"),
    [
        ((), None),
        (("live",), None),
        (("live", SELINUX), "chcon -R --reference={live} {built}"),
        ((SELINUX,), 'sh -c \'chcon -R "$(matchpathcon -n "$1")" "$2"\' label {live} {built}'),
    ],
)
def test_a_label_is_copied_only_where_selinux_is_on(data: DataDir, paths: tuple[str, ...], argv: str | None) -> None:
    left = data.stage(RESTORED, there(data.snapshot, *(data.live if path == "live" else path for path in paths)))
    assert not isinstance(left, Await)
    labels = [str(act) for act in left if "chcon" in str(act)]
    assert labels == ([argv.format(live=data.live, built=data.db.built)] if argv else [])


def test_on_a_mount_point_everything_is_in_it_and_it_is_never_renamed() -> None:
    machine = a_node(ON_DISK, ON_DISK.live, ON_DISK.staged)
    once(machine, ON_DISK, ON_DISK.swap, 1)
    assert all(path.startswith(f"{DISK}/member") for path in machine.directories - {HOME, DISK})
    assert machine.ran[-1] == f"sync {DISK}"


def test_data_that_somebody_may_want_is_never_discarded() -> None:
    with pytest.raises(Refusal, match="still at"):
        DATA.discard(there(DATA.staged, DATA.kept), 0)


def test_a_half_arrived_snapshot_is_sent_again() -> None:
    half = NodeSeen(paths={DATA.snapshot: PathSeen("regular file", "", "600", "1", 10)})
    assert DATA.needs_snapshot(half, 20)
    assert not DATA.needs_snapshot(half, 10)


def test_a_released_node_is_not_claimed_again() -> None:
    claim = Claim("/var/lib/quorate", "demo", "op")
    machine = Machine("a")
    hosts = FakeHosts({"a": machine})

    def attempt(decide, turn: int) -> None:
        host = hosts.at(node("a"), claim.look(), Ticket("op", turn, 1, "x"))
        converge(host, decide, 10, Clock(), silent)

    attempt(claim.hold, 1)
    assert machine.claim == ("op", 1, 1)
    attempt(claim.release, 2)
    attempt(claim.release, 3)
    assert machine.claim is None


@pytest.mark.parametrize(("mounted", "db"), [(False, "member/snap/db"), (True, "snap/db")])
def test_what_is_warmed_is_the_database_that_will_be_started(*, mounted: bool, db: str) -> None:
    data = DataDir(LIVE, "op", "/home", mounted=mounted)
    assert data.warm().given == (f"{data.staged}/{db}",)


def test_a_disk_that_is_too_slow_to_be_read_in_time_fails_no_step(tmp_path: Path) -> None:
    slow = tmp_path / "fifo"
    os.mkfifo(slow)  # nobody writes, so a read never ends
    argv = [word.replace(f"timeout {WARM_S}", "timeout 0.2") for word in DataDir(LIVE, "op", "/home").warm().argv]
    assert subprocess.run([*argv[:-1], str(slow)], timeout=10, check=False).returncode == 0
