"""What a node prints is read as a value; the script itself is tried on this machine."""

import shutil
import socket
import subprocess

import pytest

from quorate.seen import Look, parse, script


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
