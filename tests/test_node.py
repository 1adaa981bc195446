import itertools
from contextlib import suppress

import pytest

from quorate.command import Ticket
from quorate.converge import Await, converge
from quorate.errors import QuorateError, Refusal
from quorate.node import Claim, DataDir
from quorate.seen import NodeSeen, PathSeen
from tests.factory import LIVE, node
from tests.fakes.machine import FakeHosts, Machine
from tests.test_converge import Clock, silent

HOME = "/var/lib/quorate/demo/op"
DATA = DataDir(LIVE, "op", HOME)
NAMES = (DATA.live, DATA.staged, DATA.kept)


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
def test_a_swap_cut_off_anywhere_can_be_put_back_or_finished(stop: int, wiped: bool) -> None:
    for finish in (True, False):
        machine = Machine("a", directories={DATA.staged, HOME} | (set() if wiped else {LIVE}))
        before = set(machine.directories), dict(machine.files)
        hosts, turn = FakeHosts({"a": machine}), itertools.count(1)

        def attempt(decide, hosts=hosts, turn=turn) -> None:
            host = hosts.at(node("a"), DATA.look(), Ticket("op", next(turn), 1, "swap"))
            converge(host, decide, 10, Clock(), silent)

        machine.dies_at = stop
        with suppress(QuorateError):
            attempt(DATA.swap)
        machine.dies_at = -1
        attempt(DATA.swap if finish else DATA.put_back)
        if finish:
            assert machine.exists(LIVE) and machine.exists(DATA.kept) and not machine.exists(DATA.staged)
        else:
            assert (machine.directories, machine.files) == before


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
