"""Who keeps the programs of a cluster on a node: parsed as a node prints it; the script is really run."""

import base64
import subprocess
from pathlib import Path

import pytest
import yaml

from quorate.nodes.programs import Manifest, Process, parse, read, script
from quorate.nodes.seen import UNIT_PROPERTIES, Look
from quorate.nodes.seen import parse as parse_node
from quorate.nodes.seen import script as whole_script

V1 = "12:pids:/system.slice/kv.service 1:name=systemd:/system.slice/kv.service 0::/system.slice/kv.service"


@pytest.mark.parametrize(
    ("cgroup", "unit", "in_pod"),
    [
        ("0::/system.slice/etcd.service", "etcd.service", False),
        (V1, "kv.service", False),
        ("0::/system.slice/system-etcd.slice/etcd@a.service", "etcd@a.service", False),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/etcd.service", "", False),
        ("0::/user.slice/user-0.slice/session-3.scope", "", False),
        ("0::/system.slice/docker-4f1c.scope", "", False),
        ("1:name=systemd:/system.slice/docker.service/docker/4f1c", "", False),
        (
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-2.scope",
            "",
            True,
        ),
        ("11:cpu:/kubepods/burstable/pod1/2", "", True),
    ],
)
def test_a_cgroup_tells_who_keeps_a_process(cgroup: str, unit: str, in_pod: bool) -> None:
    process = Process("etcd", 7, "/", cgroup, ())
    assert (process.unit, process.in_pod) == (unit, in_pod)


def encoded(document: object) -> str:
    return base64.b64encode(yaml.safe_dump(document).encode()).decode()


def pod(**container: object) -> dict[str, object]:
    return {"kind": "Pod", "spec": {"containers": [container]}}


@pytest.mark.parametrize(
    ("container", "argv"),
    [
        ({"name": "etcd", "command": ["etcd", "--name=a"]}, ("etcd", "--name=a")),
        ({"name": "etcd", "command": ["/bin/etcd"], "args": ["--name=a"]}, ("/bin/etcd", "--name=a")),
        ({"name": "etcd", "args": ["--name=a"]}, ("etcd", "--name=a")),
    ],
)
def test_a_manifest_tells_what_its_program_is_told(container: dict[str, object], argv: tuple[str, ...]) -> None:
    assert read("/m/etcd.yaml", encoded(pod(**container))) == (Manifest("/m/etcd.yaml", "etcd", "etcd", argv),)


@pytest.mark.parametrize("document", [pod(name="coredns"), {"kind": "Pod"}, ["x"], "x", {"spec": {"containers": 3}}])
def test_what_is_none_of_ours_is_left_alone(document: object) -> None:
    assert read("/m/x.yaml", encoded(document)) == ()


@pytest.mark.parametrize("text", ["", "bm90OiBbYQ==", "LSAx", "x"])
def test_a_manifest_that_is_none_is_left_alone(text: str) -> None:
    assert read("/m/x.yaml", text) == ()


def test_a_path_of_the_container_is_found_on_the_node() -> None:
    mounts = (("/var/lib", "/srv"), ("/var/lib/etcd", "/data/etcd"))
    manifest = Manifest("/m/etcd.yaml", "etcd", "etcd", ("etcd",), mounts)
    assert manifest.on_host("/var/lib/etcd/default") == "/data/etcd/default"
    assert manifest.on_host("/var/lib/etcd") == "/data/etcd"
    assert manifest.on_host("/var/libx") == "/var/libx"


def test_a_manifest_that_is_parked_has_the_name_that_the_kubelet_reads() -> None:
    text = encoded(pod(name="etcd", command=["etcd"]))
    rows = [["manifest", "/m/manifests", "/m/etcd.yaml.quorate-fenced", text]] * 2
    assert [each.path for each in parse(rows).manifests] == ["/m/manifests/etcd.yaml"]


def tool(folder: Path, more: str = "") -> Path:
    """An `etcdutl`, and a process that is called etcd."""
    (folder / "etcd").symlink_to("/bin/sleep")
    made = folder / "etcdutl"
    made.write_text(f"#!/bin/sh\n{more}echo etcdutl version: 3.6.14\n")
    made.chmod(0o755)
    return made


def surveyed(folder: Path, tools: Path, text: str = script(UNIT_PROPERTIES)) -> tuple[int, str]:
    """The pid of the folder's `etcd`, and what the script printed while that ran, with those tools found first."""
    with subprocess.Popen([str(folder / "etcd"), "60"], cwd=folder) as process:
        try:
            environment = {"PATH": f"{tools}:/usr/bin:/bin:/usr/sbin:/sbin"}
            done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False, env=environment)
        finally:
            process.kill()
    return process.pid, done.stdout


def test_the_script_finds_a_real_process_its_directory_and_its_tools(tmp_path: Path) -> None:
    tool(tmp_path)
    pid, printed = surveyed(tmp_path, tmp_path)
    found = parse([line.split("\t") for line in printed.splitlines()]).processes
    assert [(each.cwd, each.argv) for each in found if each.pid == pid] == [
        (str(tmp_path), (str(tmp_path / "etcd"), "60"))
    ]
    assert parse_node(printed).tools[str(tmp_path / "etcdutl")] == "3.6.14"


def test_a_tool_of_several_names_is_asked_once_for_its_version(tmp_path: Path) -> None:
    """Each answer of a real one costs a node 12 ms, and three nodes are asked at once."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "etcdutl").symlink_to(tool(tmp_path, f"echo x >> {tmp_path}/asked\n"))
    _, printed = surveyed(tmp_path, tmp_path / "bin")
    assert parse_node(printed).tools[str(tmp_path / "bin" / "etcdutl")] == "3.6.14"
    assert (tmp_path / "asked").read_text().splitlines() == ["x"]


def test_looks_that_are_joined_both_look_for_programs() -> None:
    assert (Look() | Look(programs=True)).programs
    assert (Look() | Look(running=True)).running
    assert "pidof" not in whole_script(Look(units=("etcd.service",)))


def test_who_wants_only_what_runs_has_no_tool_asked_for_its_version(tmp_path: Path) -> None:
    """For a bundle: its nodes are asked while a snapshot is read back."""
    tool(tmp_path)
    pid, printed = surveyed(tmp_path, tmp_path, whole_script(Look(running=True)))
    found = parse_node(printed)
    assert (pid in {each.pid for each in found.programs.processes}, found.tools) == (True, {})
