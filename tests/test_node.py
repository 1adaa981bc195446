import hashlib
from contextlib import suppress
from dataclasses import replace

import pytest

from quorate.command import Command, Ticket
from quorate.converge import Await, Decide, converge
from quorate.errors import DidNotConverge, QuorateError, Refusal
from quorate.node import SELINUX, Claim, DataDir, Restored, parent
from quorate.seen import NodeSeen, PathSeen
from tests.factory import DB, LIVE, SNAPSHOT_BYTES, node
from tests.fakes.machine import FakeHosts, Machine
from tests.test_converge import Clock, silent

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
    owner="etcd:etcd",
)


def a_node(data: DataDir, *paths: str) -> Machine:
    """With a mount point where the data directory is one."""
    root = parent(data.live)
    return Machine("a", directories={HOME, root, *paths}, mounts={root} if data.mounted else set())


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


@pytest.mark.parametrize("stop", range(7))
@pytest.mark.parametrize("wiped", [False, True])
@pytest.mark.parametrize("data", [DATA, ON_DISK], ids=["directory", "mount point"])
@pytest.mark.parametrize("finish", [True, False])
def test_a_swap_cut_off_anywhere_can_be_put_back_or_finished(
    stop: int, wiped: bool, data: DataDir, finish: bool
) -> None:
    machine = a_node(data, data.staged, *(() if wiped else (data.live,)))
    before = set(machine.directories), dict(machine.files)
    with suppress(QuorateError):
        once(machine, data, data.swap, 1, stop)
    once(machine, data, data.swap if finish else data.put_back, 2)
    if finish:
        assert machine.exists(data.live) and machine.exists(data.kept) and not machine.exists(data.staged)
    else:
        assert (machine.directories, machine.files) == before


@pytest.mark.parametrize("stop", range(12))
@pytest.mark.parametrize("data", [DATA, ON_DISK], ids=["directory", "mount point"])
@pytest.mark.parametrize("finish", [True, False])
def test_staging_cut_off_anywhere_is_finished_or_leaves_nothing(stop: int, data: DataDir, finish: bool) -> None:
    machine = a_node(data, data.live)
    before = set(machine.directories), dict(machine.files)
    machine.directories.add(data.arrivals)
    machine.files[data.snapshot] = SNAPSHOT_BYTES.decode("latin-1")
    with suppress(QuorateError):
        once(machine, data, lambda seen, _: data.stage(RESTORED, seen), 1, stop)
    if finish:
        once(machine, data, lambda seen, _: data.stage(RESTORED, seen), 2)
        added = {path for path in machine.directories - before[0] if "/" not in path.removeprefix(data.staged)}
        assert (added, machine.exists(data.digest)) == ({data.staged}, True)
    else:
        once(machine, data, data.discard, 2)
        assert (machine.directories, machine.files) == before


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
    wanted = replace(RESTORED, owner="store:disk", mode="2750")
    left = DATA.stage(wanted, staged(DATA, owner, mode))
    assert not isinstance(left, Await)
    assert [str(act) for act in left] == acts


def test_a_filesystem_that_keeps_its_own_modes_is_a_failure_before_anything_is_stopped() -> None:
    machine = a_node(DATA, DATA.live, DATA.staged)
    machine.files[DATA.digest] = "{}"
    odd = replace(RESTORED, mode="750")
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
    assert labels == ([argv.format(live=data.live, built=data.built)] if argv else [])


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
