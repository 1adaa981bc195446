"""A fault lays its own removal first, and is lifted whatever it was half way."""

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.command import Command, Node
from quorate.converge import Await, Left
from quorate.drills.fault import ANOTHER, TABLE, Cut, Hidden, Stopped, Wiped, by_hand
from quorate.errors import Refusal
from quorate.nodes.clients import NFT
from quorate.nodes.seen import NodeSeen, PathSeen, UnitSeen
from quorate.nodes.static_pod import StaticPod
from quorate.nodes.supervisor import Systemd
from tests.factory import SSH

ETCD = Systemd("etcd", "etcd.service", (2379,))
CLAIM = "/var/lib/quorate/demo/claim"
STOP = Stopped(ETCD, "quorate-drill-1-1", 75.0, CLAIM)
CUT = Cut((2380,), "quorate-drill-1-1", 75.0)
NODE = Node("a", "10.0.0.1", SSH, "/var/lib/quorate", "drill")
MANIFEST = "/etc/kubernetes/manifests/etcd.yaml"
POD = StaticPod("etcd", MANIFEST, (2379,))


def seen(*paths: str, etcd: str = "active", timer: bool = False, cut: bool = False) -> NodeSeen:
    pid = 7 if etcd == "active" else 0
    units = {ETCD.unit: UnitSeen(ETCD.unit, "loaded", etcd, pid=pid)}
    if timer:
        units[STOP.back.unit] = UnitSeen(STOP.back.unit, "loaded", "active", "waiting")
    return NodeSeen(
        units=units,
        listening=frozenset({2379} if etcd == "active" else ()),
        tables=frozenset({TABLE} if cut else ()),
        paths={path: PathSeen("regular file", "root:root", "600", "1", 1) for path in paths},
    )


def words(left: Left[Command]) -> list[str]:
    assert not isinstance(left, Await)
    return [str(act) for act in left]


class TestLaying:
    def test_the_timer_that_lifts_it_comes_before_anything_is_broken(self) -> None:
        for fault in (STOP, CUT):
            (act,) = words(fault.lay(seen(), 0))
            assert act.startswith("systemd-run ")
            assert "--on-active=75s" in act
            assert shlex.split(act)[-1] == fault.script

    def test_with_its_timer_there_it_is_laid(self) -> None:
        assert words(STOP.lay(seen(timer=True), 0)) == ["systemctl stop etcd.service"]
        (act,) = CUT.lay(seen(timer=True), 0)  # type: ignore[misc]
        assert act.argv == (NFT, "-f", "-")

    def test_one_that_is_killed_has_no_time_and_is_not_revived(self) -> None:
        killed = words(replace(STOP, how="kill").lay(seen(timer=True), 0))
        assert killed == ["systemctl kill --signal=SIGKILL etcd.service", "systemctl stop etcd.service"]

    def test_nothing_is_left_to_do_once_it_is_laid(self) -> None:
        assert STOP.lay(seen(etcd="inactive", timer=True), 0) == ()
        assert CUT.lay(seen(timer=True, cut=True), 0) == ()

    def test_both_ends_of_every_connection_with_a_peer_are_cut_and_loopback_is_not(self) -> None:
        for line in ('iifname != "lo" tcp dport', 'iifname != "lo" tcp sport', 'oifname != "lo" tcp dport'):
            assert f"{line} {{ 2380 }} drop\n" in CUT.rules

    def test_a_static_pod_is_stopped_by_its_manifest(self) -> None:
        pod = replace(STOP, process=POD)
        there = replace(seen(MANIFEST, timer=True), units={**seen(timer=True).units, MANIFEST: UnitSeen(MANIFEST)})
        assert words(pod.lay(there, 0))[0] == f"mv -T {MANIFEST} {POD.parked}"
        assert pod.script == f"[ -e {CLAIM} ] || {{ [ -e {MANIFEST} ] || mv -T {POD.parked} {MANIFEST}; }}"


class TestWiping:
    LIVE = "/var/lib/etcd/default"
    WIPE = Wiped(replace(STOP, how="kill"), LIVE, "drill-1")

    def test_it_is_killed_and_its_data_put_aside_under_a_name_of_the_drill(self) -> None:
        assert words(self.WIPE.lay(seen(self.LIVE), 0))[0].startswith("systemd-run ")
        assert (
            words(self.WIPE.lay(seen(self.LIVE, timer=True), 0))[0] == "systemctl kill --signal=SIGKILL etcd.service"
        )
        dead = seen(self.LIVE, etcd="failed", timer=True)
        assert words(self.WIPE.lay(dead, 0)) == [f"mv -T {self.LIVE} {self.LIVE}.drill-1"]
        assert self.WIPE.lay(seen(self.WIPE.aside, etcd="failed", timer=True), 0) == ()

    def test_what_was_put_aside_comes_back_where_nothing_has_taken_its_place(self) -> None:
        gone = seen(self.WIPE.aside, etcd="failed", timer=True)
        assert words(self.WIPE.lift(gone, 0)) == [f"mv -T {self.LIVE}.drill-1 {self.LIVE}"]
        assert "systemctl start etcd.service" in words(self.WIPE.lift(seen(self.LIVE, etcd="failed"), 0))[-1]

    def test_where_a_restore_has_taken_its_place_it_goes_and_what_is_live_is_never_touched(self) -> None:
        restored = seen(self.LIVE, self.WIPE.aside, timer=True)
        assert words(self.WIPE.lift(restored, 0)) == [f"rm -rf {self.LIVE}.drill-1"]
        assert words(self.WIPE.lift(seen(self.LIVE, timer=True), 0)) == ["systemctl stop quorate-drill-1-1.timer"]
        assert self.WIPE.lift(seen(self.LIVE), 0) == ()

    def test_while_an_operation_has_the_node_it_stays_and_that_is_said(self) -> None:
        with pytest.raises(Refusal, match="drill-1 stays until it is over"):
            self.WIPE.lift(seen(self.LIVE, self.WIPE.aside, CLAIM), 0)

    def test_the_node_puts_it_back_by_itself_unless_somebody_has_it(self) -> None:
        back = f"[ -e {CLAIM} ] || [ -e {self.LIVE} ] || mv -T {self.LIVE}.drill-1 {self.LIVE}"
        assert self.WIPE.script == f"{back}; [ -e {CLAIM} ] || {{ systemctl start etcd.service; }}"


class TestHiding:
    KEY, CRT = "/etc/kubernetes/pki/apiserver.key", "/etc/kubernetes/pki/apiserver.crt"
    HIDE = Hidden(replace(STOP, how="kill"), (KEY, CRT), "drill-1")

    def test_the_process_is_gone_before_each_file_gets_another_name_beside_its_own(self) -> None:
        assert words(self.HIDE.lay(seen(self.KEY, self.CRT), 0))[0].startswith("systemd-run ")
        assert words(self.HIDE.lay(seen(self.KEY, self.CRT, timer=True), 0))[0].startswith("systemctl kill ")
        first = self.HIDE.lay(seen(self.HIDE.aside(self.KEY), self.CRT, etcd="failed", timer=True), 0)
        assert words(first) == [f"mv -T {self.CRT} {self.CRT}.quorate-drill-1"]
        assert self.HIDE.lay(seen(*self.HIDE.asides, etcd="failed", timer=True), 0) == ()

    def test_they_are_compared_and_put_back_before_it_starts_and_the_timer_goes_last(self) -> None:
        hidden = seen(*self.HIDE.asides, etcd="failed", timer=True)
        assert self.HIDE.lift(hidden, 0) == (self.HIDE.compare,)
        back = seen(self.KEY, self.CRT, etcd="inactive", timer=True)
        assert "systemctl start etcd.service" in words(self.HIDE.lift(back, 0))[0]
        assert words(self.HIDE.lift(seen(self.KEY, timer=True), 0)) == ["systemctl stop quorate-drill-1-1.timer"]
        assert self.HIDE.lift(seen(self.KEY, self.CRT), 0) == ()

    def test_while_an_operation_has_the_node_they_stay_and_that_is_said(self) -> None:
        with pytest.raises(Refusal, match=r"\*\.quorate-drill-1 until it is over"):
            self.HIDE.lift(seen(*self.HIDE.asides, CLAIM), 0)

    def test_the_node_puts_them_back_by_itself_unless_somebody_has_it(self) -> None:
        assert self.HIDE.script.startswith(f"[ -e {CLAIM} ] || {{ same() {{ ")
        assert f"for f in {self.KEY} {self.CRT}; do " in self.HIDE.script
        assert self.HIDE.script.endswith(f"; [ -e {CLAIM} ] || {{ systemctl start etcd.service; }}")

    def test_what_was_there_is_back_whatever_has_been_laid_in_its_place(self, tmp_path: Path) -> None:
        """The script itself, on files: laid again the same, laid again another, not laid, put back before."""
        same, other, gone, back = (str(tmp_path / name) for name in ("same", "an other", "gone", "back"))
        hide = Hidden(STOP, (same, other, gone, back), "drill-1")
        for path in (same, other, gone):
            Path(hide.aside(path)).write_text("as it was")
        for path, text in ((same, "as it was"), (other, "an older one"), (back, "as it was")):
            Path(path).write_text(text)
        laid = Path(same).stat().st_ino
        for said in (f"{ANOTHER}{other}\n", ""):
            done = subprocess.run(hide.compare.argv, capture_output=True, text=True, check=True)
            assert {Path(path).read_text() for path in hide.files} == {"as it was"}
            assert not any(Path(path).exists() for path in hide.asides)
            assert Path(same).stat().st_ino == laid
            assert done.stdout == said

    def test_what_was_a_link_is_one_again(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        hide = Hidden(STOP, (str(path),), "drill-1")
        (tmp_path / "elsewhere").write_text("key")
        Path(hide.aside(str(path))).symlink_to("elsewhere")
        path.write_text("key")
        path.chmod((tmp_path / "elsewhere").stat().st_mode & 0o777)
        assert subprocess.run(hide.compare.argv, capture_output=True, text=True, check=True).stdout == ""
        assert path.is_symlink()

    def test_another_mode_is_another_file(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        hide = Hidden(STOP, (str(path),), "drill-1")
        for each, mode in ((path, 0o644), (Path(hide.aside(str(path))), 0o600)):
            each.write_text("key")
            each.chmod(mode)
        assert ANOTHER in subprocess.run(hide.compare.argv, capture_output=True, text=True, check=True).stdout
        assert path.stat().st_mode & 0o777 == 0o600


class TestLifting:
    def test_first_what_is_broken_then_the_timer(self) -> None:
        assert "systemctl start etcd.service" in words(STOP.lift(seen(etcd="inactive", timer=True), 0))[0]
        assert words(STOP.lift(seen(timer=True), 0)) == ["systemctl stop quorate-drill-1-1.timer"]
        assert STOP.lift(seen(), 0) == ()

    def test_a_cut_goes_with_its_timer_and_one_that_the_timer_has_lifted_is_gone(self) -> None:
        assert words(CUT.lift(seen(timer=True, cut=True), 0)) == [
            f"{NFT} delete table inet quorate_drill",
            "systemctl stop quorate-drill-1-1.timer",
        ]
        assert CUT.lift(seen(), 0) == ()

    def test_where_an_operation_has_the_node_since_its_fence_decides_and_nothing_is_started(self) -> None:
        assert STOP.lift(seen(CLAIM, etcd="inactive"), 0) == ()
        assert STOP.script == f"[ -e {CLAIM} ] || {{ systemctl start etcd.service; }}"

    def test_a_person_is_told_what_to_type(self) -> None:
        said = by_hand(NODE, CUT)
        assert said.startswith("ssh quorate@10.0.0.1 sudo sh -c ")
        assert "nft delete table inet quorate_drill; systemctl stop quorate-drill-1-1.timer" in said
        assert "rm -f /var/lib/quorate/drill/claim" in said
