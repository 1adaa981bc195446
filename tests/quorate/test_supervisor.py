from dataclasses import replace

import pytest

from quorate.converge import Await
from quorate.nodes.seen import NodeSeen, PathSeen, UnitSeen
from quorate.nodes.supervisor import Systemd, Together, stopped

ETCD = Systemd("etcd", "etcd.service", (2379,), grace_s=0.5)
ALONE = Together((ETCD,))
THERE = PathSeen("regular file", "root:root", "644", "1", 0)
BARRED = UnitSeen("etcd.service", "loaded", "active", "running", 7, drop_ins=(ETCD.drop_in,))


def node(unit: UnitSeen, *, files: bool = True, port: bool = False, unit_name: str = "etcd.service") -> NodeSeen:
    paths = dict.fromkeys((ETCD.drop_in, ETCD.flag), THERE) if files else {}
    return NodeSeen(paths=paths, units={unit_name: unit}, listening=frozenset({2379} if port else ()))


def acts(left: object) -> list[str]:
    return [str(act) for act in left] if isinstance(left, tuple) else [f"await {left.reason}"]  # type: ignore[attr-defined]


def test_a_fence_is_laid_before_anything_is_stopped() -> None:
    running = replace(BARRED, drop_ins=())
    assert acts(ALONE.fence(node(running, files=False), 0))[-1] == "systemctl daemon-reload"


STOP = (
    "sh -c 'timeout 0.5 systemctl stop etcd.service || "
    "{ systemctl kill --signal=SIGKILL etcd.service; systemctl stop etcd.service; }'"
)
PROOF = "sh -c '! systemctl start etcd.service'"


@pytest.mark.parametrize(
    ("unit", "left"),
    [
        (BARRED, [STOP, PROOF]),
        (replace(BARRED, state="activating", pid=0), [STOP, PROOF]),  # between two restarts of its own
        (replace(BARRED, state="deactivating"), [STOP, PROOF]),
        (replace(BARRED, state="failed", pid=0), [PROOF]),
        (replace(BARRED, state="inactive", pid=0, assert_failed=True), []),
    ],
)
def test_a_stop_ends_with_a_proof_that_it_cannot_start(unit: UnitSeen, left: list[str]) -> None:
    assert acts(ALONE.fence(node(unit), 0)) == left


class TestAUnitThatSystemdForgets:
    """One that is not enabled and that nothing refers to: what became of its last start is not kept."""

    GONE = replace(BARRED, state="inactive", pid=0, file_state="disabled")
    FLAG = replace(THERE, inode="5")

    def forgotten(self, refused: PathSeen | None) -> NodeSeen:
        seen = node(self.GONE)
        names = {ETCD.drop_in: THERE, ETCD.flag: self.FLAG} | ({ETCD.refused: refused} if refused else {})
        return replace(seen, paths=names)

    def test_its_refusal_is_kept_beside_the_flag(self) -> None:
        (proof,) = acts(ALONE.fence(self.forgotten(None), 0))
        assert f"ln -fT {ETCD.flag} {ETCD.refused}" in proof
        assert acts(ALONE.fence(self.forgotten(self.FLAG), 0)) == []

    def test_that_of_an_earlier_bar_proves_nothing(self) -> None:
        assert len(acts(ALONE.fence(self.forgotten(replace(THERE, inode="4")), 0))) == 1

    def test_it_goes_with_the_flag(self) -> None:
        seen = self.forgotten(self.FLAG)
        assert acts(ETCD.unbar(seen, 0))[0] == f"rm -f {ETCD.drop_in} {ETCD.flag} {ETCD.refused}"
        assert acts(ALONE.start(seen, 0))[0] == f"rm -f {ETCD.flag} {ETCD.refused}"
        alone = replace(
            seen, paths={ETCD.refused: self.FLAG}, units={"etcd.service": replace(self.GONE, drop_ins=())}
        )
        assert acts(ETCD.unbar(alone, 0))[0] == f"rm -f {ETCD.drop_in} {ETCD.flag} {ETCD.refused}"


def test_a_port_that_still_answers_is_not_gone() -> None:
    gone = replace(BARRED, state="inactive", pid=0, assert_failed=True)
    assert isinstance(ALONE.fence(node(gone, port=True), 9), Await)


@pytest.mark.parametrize("unit", [replace(BARRED, drop_ins=()), replace(BARRED, stale=True)])
def test_a_bar_that_systemd_has_not_read_is_none(unit: UnitSeen) -> None:
    assert acts(ETCD.bar(node(unit), 0))[-1] == "systemctl daemon-reload"


def test_a_bar_can_be_lifted_from_files_that_were_never_loaded() -> None:
    assert acts(ETCD.unbar(node(replace(BARRED, drop_ins=())), 0)) == [
        f"rm -f {ETCD.drop_in} {ETCD.flag}",
        "sync /etc/systemd/system/etcd.service.d /var/lib/quorate/fence",
        "systemctl daemon-reload",
    ]


START = "sh -c 'timeout 10 systemctl start etcd.service || [ $? = 124 ]'"


@pytest.mark.parametrize(
    ("state", "port", "left"),
    [
        ("inactive", False, [START]),
        ("failed", False, ["systemctl reset-failed etcd.service", START]),
        ("activating", True, ["await etcd.service is activating, not answering yet"]),
        ("active", False, ["await etcd.service is active, not answering yet"]),
        ("active", True, []),
    ],
)
def test_a_start_is_over_when_the_unit_is_active_and_its_port_answers(
    state: str, port: bool, left: list[str]
) -> None:
    pid = 0 if state in {"inactive", "failed"} else 7
    assert acts(ALONE.start(node(replace(BARRED, state=state, pid=pid), files=False, port=port), 0)) == left


def test_resuming_brings_back_no_more_than_there_was() -> None:
    stopped = node(replace(BARRED, state="inactive", pid=0), files=False)
    assert ALONE.resume(stopped, 0) != ()
    assert Together((replace(ETCD, before="failed"),)).resume(stopped, 0) == ()


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
    first, *others = acts(Together((ETCD, api)).fence(seen, 0))
    assert first.startswith("sh -c 'timeout 2 systemctl stop kube-apiserver.service || ")
    assert others == [PROOF, "sh -c '! systemctl start kube-apiserver.service'"]


def test_units_that_stop_together_have_the_longest_grace_of_them() -> None:
    slow = Systemd("kube-apiserver", "kube-apiserver.service", grace_s=2)
    assert str(stopped([ETCD, slow])).startswith(
        "sh -c 'timeout 2 systemctl stop etcd.service kube-apiserver.service || "
    )


def test_without_a_grace_it_is_killed_at_once() -> None:
    kill = "systemctl kill --signal=SIGKILL etcd.service; systemctl stop etcd.service"
    assert str(stopped([replace(ETCD, grace_s=0)])) == f"sh -c '{kill}'"


@pytest.mark.parametrize(
    ("before", "now", "down"),
    [
        ("active", BARRED, ()),
        ("active", replace(BARRED, state="failed", pid=0), ("etcd.service is failed",)),
        ("active", replace(BARRED, state="activating", sub="auto-restart", pid=0), ("etcd.service is activating",)),
        ("activating", replace(BARRED, state="activating", sub="start"), ()),
        ("activating", replace(BARRED, state="inactive", pid=0), ("etcd.service is inactive",)),
        ("failed", replace(BARRED, state="failed", pid=0), ()),
    ],
)
def test_what_ran_before_and_does_not_now_is_named(before: str, now: UnitSeen, down: tuple[str, ...]) -> None:
    assert Together((replace(ETCD, before=before),)).down(node(now)) == down
