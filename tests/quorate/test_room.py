"""A disk that fills up while there is staged: nothing more is taken from it. What is shell is run by a real shell."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.command import Command
from quorate.converge import Await, Left
from quorate.errors import CommandFailed, NoSpace
from quorate.nodes.node import DataDir
from quorate.nodes.room import MIB, RESERVE_BYTES, receiving, room_for, room_to_copy, staging_bytes
from quorate.nodes.seen import NodeSeen
from tests.factory import SNAPSHOT_BYTES
from tests.fakes.machine import Machine
from tests.quorate.test_node import APART, DATA, LOG, RESTORED, a_node, once, restored_as, there

FULL = dict.fromkeys(("/var/lib/etcd", "/fast"), 4 * MIB)


def arrived(data: DataDir) -> Machine:
    machine = a_node(data, *(each.live for each in data.swapped), data.arrivals)
    machine.files[data.snapshot] = SNAPSHOT_BYTES.decode("latin-1")
    return machine


def shell(argv: tuple[str, ...], stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=20, check=False)


def test_a_snapshot_is_not_asked_for_where_staging_would_not_fit() -> None:
    with pytest.raises(NoSpace, match="4 MiB are free beside .*, and to stage takes 66 MiB and leaves 128 MiB"):
        DATA.needs_snapshot(replace(there(DATA.live), spaces=FULL), MIB)


def test_what_has_arrived_is_not_restored_on_a_disk_that_has_filled_up() -> None:
    with pytest.raises(NoSpace):
        DATA.stage(RESTORED, replace(there(DATA.live, DATA.snapshot), spaces=FULL))


def test_a_log_of_its_own_may_be_the_one_that_does_not_fit() -> None:
    roomy = {**FULL, "/var/lib/etcd": 10**12}
    with pytest.raises(NoSpace, match=LOG):
        APART.stage(restored_as(APART), replace(there(APART.snapshot), spaces=roomy))


def test_what_is_restored_already_needs_no_more_room() -> None:
    assert DATA.stage(RESTORED, replace(there(DATA.part), spaces=FULL))


@pytest.mark.parametrize("data", [DATA, APART], ids=["one disk", "two disks"])
def test_a_disk_that_fills_up_after_the_look_is_found_in_the_call_that_would_write(data: DataDir) -> None:
    machine = arrived(data)
    before = set(machine.directories), dict(machine.files)

    def look_then_fill(seen: NodeSeen, _: float) -> Left[Command]:
        machine.free_bytes = 4 * MIB
        return data.stage(restored_as(data), seen)

    with pytest.raises(CommandFailed, match="exited 28"):
        once(machine, data, look_then_fill, 1)
    assert (machine.directories, machine.files) == before


def test_staging_leaves_room_for_the_etcd_that_serves() -> None:
    assert staging_bytes(100 * MIB) == 200 * MIB + 64 * MIB + RESERVE_BYTES
    assert staging_bytes(100 * MIB, arrived=True) == staging_bytes(100 * MIB) - 100 * MIB


def test_the_test_counts_what_is_free(tmp_path: Path) -> None:
    assert shell(room_for(1, str(tmp_path)).argv).returncode == 0
    full = shell(room_for(2**60, str(tmp_path)).argv)
    assert full.returncode == 28
    assert f"bytes are free in {tmp_path}, {2**60} are needed: nothing was written" in full.stdout


@pytest.mark.parametrize(("size_bytes", "exit_code"), [(1, 0), (2**42, 28)])
def test_what_is_copied_is_measured_first_through_links_and_all(
    tmp_path: Path, size_bytes: int, exit_code: int
) -> None:
    for name in ("data", "log"):
        (tmp_path / name).mkdir()
    with (tmp_path / "log" / "0.wal").open("wb") as log:
        log.truncate(size_bytes)  # sparse: it takes no room here
    (tmp_path / "a link").symlink_to("log")
    done = shell(room_to_copy(str(tmp_path), f"{tmp_path}/data", f"{tmp_path}/a link").argv)
    assert done.returncode == exit_code
    assert ("nothing was written" in done.stdout) == bool(exit_code)


@pytest.mark.parametrize(
    ("unpack", "needed", "exit_code", "left"),
    [
        (("cat",), 1, 0, "bytes"),
        (("cat",), 2**60, 28, None),
        (("sh", "-c", "cat; exit 1"), 1, 1, None),  # as a full disk ends it
    ],
)
def test_what_arrives_is_whole_or_is_not_there(
    tmp_path: Path, unpack: tuple[str, ...], needed: int, exit_code: int, left: str | None
) -> None:
    target = tmp_path / "arrivals" / "1-1"
    assert shell(receiving(str(target), str(tmp_path), needed, unpack), "bytes").returncode == exit_code
    assert (target.read_text() if target.exists() else None) == left


@pytest.mark.parametrize(("tool_exits", "part", "arrivals"), [(0, True, False), (3, False, True)])
def test_a_restore_that_fails_gives_the_room_back_at_once(
    tmp_path: Path, tool_exits: int, part: bool, arrivals: bool
) -> None:
    data = DataDir(f"{tmp_path}/it is etcd", "op", str(tmp_path))
    tool = tmp_path / "etcdutl"
    tool.write_text(f"#!/bin/sh\nmkdir -p '{data.part}/member'; exit {tool_exits}\n")
    tool.chmod(0o755)
    Path(data.arrivals).mkdir()
    left = data.stage(replace(RESTORED, tool=str(tool)), there(data.snapshot))
    assert not isinstance(left, Await)
    (restore,) = [act for act in left if "restore" in act.argv]
    assert shell(restore.argv).returncode == tool_exits
    assert (Path(data.part).exists(), Path(data.arrivals).exists()) == (part, arrivals)
