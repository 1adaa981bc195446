"""A kubelet is restarted once by a restore, where one runs."""

import pytest

from quorate.converge import Await
from quorate.nodes.kubelet import Kubelet
from quorate.nodes.programs import KUBELET
from quorate.nodes.seen import NodeSeen, PathSeen, UnitSeen

KNOWN = Kubelet("/home")
MARK = PathSeen("regular file", "root:root", "600", "1", 0)


def seen(state: str, *, load: str = "loaded", marked: bool = False) -> NodeSeen:
    return NodeSeen(units={KUBELET: UnitSeen(KUBELET, load, state)}, paths={KNOWN.mark: MARK} if marked else {})


def test_one_that_runs_is_restarted_and_remembered() -> None:
    acts = KNOWN.restart(seen("active"), 0)
    assert [act.argv[0] for act in acts] == ["systemctl", "install"]  # type: ignore[union-attr]
    assert KNOWN.restart(seen("active", marked=True), 0) == ()


@pytest.mark.parametrize("there", [seen("inactive"), seen("inactive", load="not-found"), NodeSeen()])
def test_what_does_not_run_is_left_alone(there: NodeSeen) -> None:
    assert KNOWN.restart(there, 0) == ()


def test_it_is_waited_for() -> None:
    assert isinstance(KNOWN.restart(seen("activating", marked=True), 0), Await)
