"""A lab of kubeadm's shape: a real kubelet runs the control plane, and breaks and heals as kubelets do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from deploy.lab.https import Caller
from deploy.lab.lab import Lab, LabSpec, digest, down, load, node_exec, up, wreck
from deploy.lab.process import wait
from deploy.lab.ready import STATIC_PODS, api_identity, await_ready, etcd_healthy

pytestmark = [pytest.mark.lab, pytest.mark.kubeadm]

PODS = "/api/v1/namespaces/kube-system/pods?labelSelector=tier%3Dcontrol-plane"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """One member, and a data filesystem that can be filled; nothing of it is left, or the last test fails."""
    name = f"s{os.getpid()}"
    try:
        yield (lab := up(LabSpec(name, members=1, control_plane="static-pods", data_tmpfs_mib=512), print))
        mine = {mount["Name"] for mount in mounts(lab) if mount["Type"] == "volume"}
    finally:
        down(name, print)
    assert mine and not mine & {volume.id for volume in docker.from_env().volumes.list()}
    assert not docker.from_env().containers.list(all=True, filters={"label": f"quorate-lab={name}"})
    assert not Path(lab.config).parent.exists()


def mounts(lab: Lab) -> list[dict]:
    return docker.from_env().containers.get(lab.nodes[0].container).attrs["Mounts"]


def etcd_pid(lab: Lab) -> str:
    return node_exec(lab, "1", ["pgrep", "-x", "etcd"])[1].strip()


def ready_sandboxes(lab: Lab) -> int:
    """None while the node boots and nobody answers crictl."""
    code, said = node_exec(lab, "1", ["crictl", "pods", "--state", "ready", "--output", "json"])
    return 0 if code else len(json.loads(said)["items"])


def test_the_api_server_shows_four_running_pods_that_are_files_on_the_node(lab: Lab) -> None:
    shown = Caller(lab.nodes[0].api_url, api_identity(lab)).call("GET", PODS)["items"]
    assert sorted(pod["metadata"]["name"] for pod in shown) == [f"{name}-{lab.nodes[0].name}" for name in STATIC_PODS]
    assert {pod["status"]["phase"] for pod in shown} == {"Running"}
    assert {pod["metadata"]["annotations"]["kubernetes.io/config.source"] for pod in shown} == {"file"}


def test_the_manifests_are_kubeadms_own(lab: Lab) -> None:
    manifest = node_exec(lab, "1", ["cat", "/etc/kubernetes/manifests/etcd.yaml"])[1]
    assert "path: /livez" in manifest
    assert "startupProbe:" in manifest
    assert "- --data-dir=/var/lib/etcd\n" in manifest


def test_a_killed_etcd_is_started_again_by_the_kubelet_with_all_its_data(lab: Lab) -> None:
    load(lab, 4)
    before, pid = digest(lab), etcd_pid(lab)
    assert (before.keys, before.objects) == (32, 300)
    wreck(lab, "kill")
    assert wait(lambda: etcd_pid(lab) not in {"", pid} and etcd_healthy(lab, lab.etcd.endpoints[0]), 30)
    await_ready(lab, 60)
    assert digest(lab) == before


def test_a_full_disk_is_full_for_the_pod_too(lab: Lab) -> None:
    wreck(lab, "fill-disk")
    seen = ["sh", "-c", f"df --output=avail /proc/{etcd_pid(lab)}/root/var/lib/etcd"]
    assert node_exec(lab, "1", seen)[1].split()[-1] == "0"
    wreck(lab, "free-disk")


def test_a_wiped_member_stays_stopped_through_a_reboot_and_starts_empty(lab: Lab) -> None:
    """Its manifest is out of the kubelet's sight; the other three come back by themselves."""
    wreck(lab, "wipe")
    assert etcd_pid(lab) == ""
    assert node_exec(lab, "1", ["ls", "-A", "/var/lib/etcd"]) == (0, "")
    wreck(lab, "reboot")
    assert wait(lambda: ready_sandboxes(lab) == 3, 60)
    assert etcd_pid(lab) == ""
    wreck(lab, "start")
    await_ready(lab, 90)
    assert digest(lab).keys == 0
