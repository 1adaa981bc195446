"""A real lab does what its name promises: it stands, breaks, comes back and leaves nothing."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import docker
import paramiko
import pytest
from botocore.exceptions import ClientError

from deploy.lab import age, s3
from deploy.lab.lab import Lab, LabError, LabSpec, digest, down, load, node_exec, up, wreck
from deploy.lab.process import runs
from deploy.lab.ready import await_ready, etcd_healthy, missing

pytestmark = pytest.mark.lab


def awaited(holds: Callable[[], bool], deadline_s: float = 30) -> bool:
    limit = time.monotonic() + deadline_s
    while not holds() and time.monotonic() < limit:
        time.sleep(0.1)
    return holds()


def logged_in(lab: Lab, user: str) -> paramiko.SSHClient:
    ssh = paramiko.SSHClient()
    ssh.load_host_keys(str(lab.folder / "ssh" / "known_hosts"))
    ssh.set_missing_host_key_policy(paramiko.RejectPolicy())
    key = str(lab.folder / "ssh" / "id_ed25519")
    ssh.connect(lab.nodes[0].address, username=user, key_filename=key, allow_agent=False, look_for_keys=False)
    return ssh


def test_a_second_up_of_the_same_shape_changes_nothing(lab: Lab) -> None:
    said: list[str] = []
    assert up(lab.spec, said.append) == lab
    assert said == [f"lab: {lab.name} is up already"]


def test_a_second_up_keeps_the_keys_that_open_what_is_stored(lab: Lab) -> None:
    keys = [(lab.folder / name).read_text() for name in (age.OURS, age.ESCROW)]
    up(lab.spec)
    assert [(lab.folder / name).read_text() for name in (age.OURS, age.ESCROW)] == keys


def test_a_healthy_lab_of_another_shape_is_not_thrown_away(lab: Lab) -> None:
    with pytest.raises(LabError, match="lab-down"):
        up(replace(lab.spec, members=3))


def test_the_pinned_host_key_lets_quorate_in_and_sudo_asks_nothing(lab: Lab) -> None:
    with logged_in(lab, "quorate") as ssh:
        assert ssh.exec_command("sudo -n id -u")[1].read() == b"0\n"


def test_root_is_refused(lab: Lab) -> None:
    with pytest.raises(paramiko.AuthenticationException):
        logged_in(lab, "root")


def test_etcd_runs_as_its_own_user_and_wants_a_certificate(lab: Lab) -> None:
    assert node_exec(lab, "1", ["stat", "-c", "%U %a", "/var/lib/etcd/default"]) == (0, "etcd 700\n")
    bare = ["etcdctl", "--endpoints=https://127.0.0.1:2379", "--cacert=/etc/etcd/pki/ca.crt", "get", "x"]
    assert node_exec(lab, "1", ["env", "ETCDCTL_API=3", *bare, "--command-timeout=2s"])[0] != 0


def test_the_store_locks_versions_and_refuses_a_second_put(lab: Lab) -> None:
    client, bucket = s3.client(lab.s3), lab.s3.bucket
    assert client.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    assert (
        client.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]["ObjectLockEnabled"]
        == "Enabled"
    )
    client.put_object(Bucket=bucket, Key="probe", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=bucket, Key="probe", Body=b"2", IfNoneMatch="*")


def test_a_load_can_be_repeated_and_reads_back_the_same(lab: Lab) -> None:
    load(lab, 4)
    before = digest(lab)
    load(lab, 4)
    assert digest(lab) == before
    assert (before.keys, before.objects) == (32, 300)


def test_a_killed_etcd_comes_back_as_its_unit_says(lab: Lab) -> None:
    pid = node_exec(lab, "1", ["systemctl", "show", "-P", "MainPID", "etcd"])
    wreck(lab, "kill")
    assert awaited(lambda: etcd_healthy(lab, lab.etcd.endpoints[0]))
    assert node_exec(lab, "1", ["systemctl", "show", "-P", "MainPID", "etcd"]) != pid


def test_a_cut_node_answers_nobody_until_it_is_healed(lab: Lab) -> None:
    wreck(lab, "cut")
    assert not etcd_healthy(lab, lab.etcd.endpoints[0])
    wreck(lab, "heal")
    assert awaited(lambda: etcd_healthy(lab, lab.etcd.endpoints[0]))


def test_a_full_disk_is_full_and_can_be_freed(lab: Lab) -> None:
    def available() -> int:
        return int(node_exec(lab, "1", ["df", "--output=avail", "/var/lib/etcd"])[1].split()[-1])

    wreck(lab, "fill-disk")
    assert available() == 0
    wreck(lab, "free-disk")
    assert available() > 0


def test_flipped_bytes_are_in_the_db(lab: Lab) -> None:
    db = ["sha256sum", "/var/lib/etcd/default/member/snap/db"]
    wreck(lab, "stop")
    before = node_exec(lab, "1", db)
    wreck(lab, "corrupt")
    wreck(lab, "stop")
    assert node_exec(lab, "1", db) != before


def test_a_reboot_keeps_address_and_host_key(lab: Lab) -> None:
    wreck(lab, "reboot")
    assert awaited(lambda: not missing_sshd(lab))
    with logged_in(lab, "quorate"):
        pass


def missing_sshd(lab: Lab) -> bool:
    return "sshd" in missing(lab)


def test_a_wiped_member_has_no_data_and_starts_empty(lab: Lab) -> None:
    """Alone, it is a new cluster; the API server fills it again: once a minute it looks for its own namespaces."""
    wreck(lab, "wipe")
    assert node_exec(lab, "1", ["test", "-e", "/var/lib/etcd/default"])[0] == 1
    wreck(lab, "start")
    await_ready(lab, 150)
    assert digest(lab).keys == 0


def test_an_impostor_needs_others(lab: Lab) -> None:
    with pytest.raises(LabError, match="three members"):
        wreck(lab, "impostor")


def test_two_labs_stand_side_by_side_and_down_leaves_nothing(lab: Lab) -> None:
    name = f"u{os.getpid()}"
    other = up(LabSpec(name, members=3, control_plane="none"))
    pid = int((other.folder / "s3" / "pid").read_text())
    assert not {n.address for n in lab.nodes} & {n.address for n in other.nodes}
    assert json.loads((other.folder / "lab.json").read_text())["kubeconfig"] is None

    down(name)

    only, client = {"label": f"quorate-lab={name}"}, docker.from_env()
    assert not client.containers.list(all=True, filters=only)
    assert not client.networks.list(filters=only)
    assert not runs(pid, "versitygw")
    assert not Path(other.config).parent.exists()
    assert not missing(lab)
