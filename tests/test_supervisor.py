from dataclasses import replace

import pytest

from quorate.converge import Await
from quorate.seen import NodeSeen, PathSeen, UnitSeen
from quorate.supervisor import Systemd, Together

ETCD = Systemd("etcd", "etcd.service", (2379,), grace_s=0.5)
THERE = PathSeen("regular file", "root:root", "644", "1", 0)
BARRED = UnitSeen("etcd.service", "loaded", "active", "running", 7, drop_ins=(ETCD.drop_in,))


def node(unit: UnitSeen, *, files: bool = True, port: bool = False, unit_name: str = "etcd.service") -> NodeSeen:
    paths = dict.fromkeys((ETCD.drop_in, ETCD.flag), THERE) if files else {}
    return NodeSeen(paths=paths, units={unit_name: unit}, listening=frozenset({2379} if port else ()))


def acts(left: object) -> list[str]:
    return [str(act) for act in left] if isinstance(left, tuple) else [f"await {left.reason}"]  # type: ignore[attr-defined]


def test_a_fence_is_laid_before_anything_is_stopped() -> None:
    running = replace(BARRED, drop_ins=())
    assert acts(ETCD.fence(node(running, files=False), 0))[-1] == "systemctl daemon-reload"


@pytest.mark.parametrize(
    ("unit", "waited_s", "left"),
    [
        (BARRED, 0, ["systemctl stop --no-block etcd.service"]),
        (replace(BARRED, queued=True), 0, ["await etcd.service is active, its process or port is still there"]),
        (replace(BARRED, state="deactivating"), 0.4, ["await etcd.service is stopping"]),
        (
            replace(BARRED, state="deactivating"),
            0.5,
            ["systemctl kill --signal=SIGKILL etcd.service", "systemctl stop etcd.service"],
        ),
        (replace(BARRED, state="failed", pid=0), 0, ["sh -c '! systemctl start etcd.service'"]),
        (replace(BARRED, state="inactive", pid=0, assert_failed=True), 0, []),
    ],
)
def test_stopping_escalates_and_ends_with_a_proof(unit: UnitSeen, waited_s: float, left: list[str]) -> None:
    assert acts(ETCD.fence(node(unit), waited_s)) == left


def test_a_port_that_still_answers_is_not_gone() -> None:
    gone = replace(BARRED, state="inactive", pid=0, assert_failed=True)
    assert isinstance(ETCD.fence(node(gone, port=True), 9), Await)


@pytest.mark.parametrize("unit", [replace(BARRED, drop_ins=()), replace(BARRED, stale=True)])
def test_a_bar_that_systemd_has_not_read_is_none(unit: UnitSeen) -> None:
    assert acts(ETCD.bar(node(unit), 0))[-1] == "systemctl daemon-reload"


def test_a_bar_can_be_lifted_from_files_that_were_never_loaded() -> None:
    assert acts(ETCD.unbar(node(replace(BARRED, drop_ins=())), 0)) == [
        f"rm -f {ETCD.drop_in} {ETCD.flag}",
        "systemctl daemon-reload",
    ]


@pytest.mark.parametrize(
    ("state", "port", "left"),
    [
        ("inactive", False, ["systemctl start --no-block etcd.service"]),
        ("failed", False, ["systemctl reset-failed etcd.service", "systemctl start --no-block etcd.service"]),
        ("activating", True, ["await etcd.service is activating, not answering yet"]),
        ("active", False, ["await etcd.service is active, not answering yet"]),
        ("active", True, []),
    ],
)
def test_a_start_is_over_when_the_unit_is_active_and_its_port_answers(
    state: str, port: bool, left: list[str]
) -> None:
    assert acts(ETCD.start(node(replace(BARRED, state=state), files=False, port=port), 0)) == left


def test_resuming_brings_back_no_more_than_there_was() -> None:
    stopped = node(replace(BARRED, state="inactive", pid=0), files=False)
    assert ETCD.resume(stopped, 0) != ()
    assert replace(ETCD, before="failed").resume(stopped, 0) == ()


def test_units_that_are_barred_together_share_one_reload() -> None:
    other = Systemd("kube-scheduler", "kube-scheduler.service", (10259,))
    seen = NodeSeen(units={u: UnitSeen(u, "loaded", "active") for u in ("etcd.service", "kube-scheduler.service")})
    done = acts(Together((ETCD, other)).bar(seen, 0))
    assert done.count("systemctl daemon-reload") == 1
    assert done[-1] == "systemctl daemon-reload"


def test_nothing_is_proved_while_another_unit_still_stops() -> None:
    api = Systemd("kube-apiserver", "kube-apiserver.service", (6443,))
    gone = replace(BARRED, state="inactive", pid=0)
    stopping = replace(BARRED, unit=api.unit, state="deactivating", drop_ins=(api.drop_in,))
    paths = dict.fromkeys((ETCD.drop_in, ETCD.flag, api.drop_in, api.flag), THERE)
    seen = NodeSeen(paths=paths, units={ETCD.unit: gone, api.unit: stopping})
    both = Together((ETCD, api))
    assert acts(both.fence(seen, 0.1)) == ["await kube-apiserver.service is stopping"]
    assert acts(both.fence(seen, 2.0))[0] == "systemctl kill --signal=SIGKILL kube-apiserver.service"
    ended = replace(seen, units={ETCD.unit: gone, api.unit: replace(stopping, state="failed", pid=0)})
    assert len(acts(both.fence(ended, 0))) == 2
