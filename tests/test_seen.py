"""What a node prints is read as a value; the script itself is tried on this machine."""

import shutil
import socket
import subprocess

import pytest

from quorate.seen import DirectorySeen, Look, NodeSeen, parse, script


def run(look: Look) -> NodeSeen:
    return parse(subprocess.run(["/bin/sh", "-c", script(look)], capture_output=True, text=True, check=True).stdout)


def looked(path: str) -> frozenset[int]:
    command = ["/bin/sh", "-c", script(Look(units=("etcd.service",)))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": path})
    return parse(done.stdout).listening


@pytest.mark.parametrize("with_ss", [True, False])
def test_a_port_that_listens_is_seen_with_ss_and_without(tmp_path, with_ss: bool) -> None:
    for tool in ("awk", *(["ss"] if with_ss else [])):
        found = shutil.which(tool)
        assert found, f"{tool} is not installed"
        (tmp_path / tool).symlink_to(found)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert server.getsockname()[1] in looked(str(tmp_path))


def test_both_ways_of_telling_a_port_are_read() -> None:
    said = "LISTEN 0      4096    127.0.0.1:2379  0.0.0.0:*\nLISTEN 0 0 [::]:22 [::]:*\nlisten\t094C\n"
    assert parse(said).listening == {2379, 22, 2380}


def test_units_and_tables_are_read_as_their_tools_say_them() -> None:
    said = (
        "machine\tabc\nId=etcd.service\nActiveState=active\nMainPID=7\n"
        "ExecStart={ path=/usr/bin/etcd ; argv[]=/usr/bin/etcd --name=a ; ignore_errors=no }\n"
        "\nId=kube-apiserver.service\nLoadState=not-found\nActiveState=inactive\nMainPID=0\ntable inet quorate\n"
    )
    seen = parse(said)
    assert seen.units["etcd.service"].argv == ("/usr/bin/etcd", "--name=a")
    assert (seen.units["etcd.service"].pid, seen.units["kube-apiserver.service"].gone) == (7, True)
    assert (seen.machine, seen.tables) == ("abc", {"inet quorate"})


def test_a_data_directory_that_is_a_link_is_seen_where_it_really_lies(tmp_path) -> None:
    real, link, dangling = tmp_path / "disk" / "etcd", tmp_path / "link", tmp_path / "dangling"
    (real / "member").mkdir(parents=True, mode=0o750)
    link.symlink_to(real)
    dangling.symlink_to(tmp_path / "disk" / "wiped")
    seen = run(Look(directories=(str(link), str(dangling), str(real))))
    assert seen.directories[str(link)] == seen.directories[str(real)] == DirectorySeen(str(real))
    assert seen.directories[str(dangling)] == DirectorySeen(str(tmp_path / "disk" / "wiped"))
    assert seen.paths[f"{real}/member"].mode == "750"


def test_a_mount_point_is_told_from_a_directory() -> None:
    assert [run(Look(directories=(path,))).directories[path].mounted for path in ("/proc", "/proc/self")] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("mounts", "seen"),
    [
        ("", DirectorySeen("/d")),
        (".", DirectorySeen("/d", mounted=True)),
        (" member", DirectorySeen("/d", member_mounted=True)),
        (". member", DirectorySeen("/d", mounted=True, member_mounted=True)),
    ],
)
def test_what_is_mounted_is_the_directory_or_the_member_in_it(mounts: str, seen: DirectorySeen) -> None:
    assert parse(f"directory\t/d\t/d\t{mounts}\n").directories == {"/d": seen}


def test_an_owner_without_a_name_goes_by_its_number() -> None:
    said = "path\t/d\tdirectory\tUNKNOWN:etcd\t2750\t1\t4096\t4711:103\t77\n"
    assert parse(said).paths["/d"].owner == "4711:etcd"


def test_what_earlier_operations_have_kept_is_seen_with_its_size(tmp_path) -> None:
    live, kept = tmp_path / "etcd", tmp_path / "etcd.before-restore-1"
    for path in (live, kept, live / "member.quorate-restore-1-g1", tmp_path / "etcd.other"):
        path.mkdir()
    (kept / "db").write_bytes(b"x" * 100_000)
    seen = run(Look(directories=(str(live),))).kept
    assert set(seen) == {str(kept), f"{live}/member.quorate-restore-1-g1"}
    assert seen[str(kept)] >= 100_000
