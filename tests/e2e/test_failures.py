"""What goes wrong is said clearly, and nothing is changed by it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
import yaml

from deploy.lab.lab import Lab, LabSpec, digest, down, load, node_exec, up, wreck
from tests.e2e.conftest import product
from tests.e2e.product import Product, left, until
from tests.e2e.test_steering import ended, running

pytestmark = pytest.mark.lab
OVERRIDE = ("--override-gate", "quorum-healthy", "--reason", "it is a test")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Its data filesystems can be filled."""
    name = f"f{os.getpid()}"
    try:
        yield up(LabSpec(name, members=3, control_plane="none", data_tmpfs_mib=512), print)
    finally:
        down(name, print)


@pytest.fixture(scope="module")
def quorate(lab: Lab) -> Iterator[Product]:
    for each in product(lab):
        load(lab, 8)
        each.backup()
        yield each


@pytest.fixture(autouse=True)
def untouched(quorate: Product, request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test here ends with the data that it began with, no claim, no fence, no leftovers."""
    before = digest(quorate.lab)
    yield
    if "ends_empty" not in request.keywords:
        assert digest(quorate.lab) == before
    for node in quorate.lab.nodes:
        assert left(quorate, node) == []


def edited(quorate: Product, tmp_path: Path, *keys: str, value: object) -> Product:
    """The same cluster by an inventory with one field changed, and a state directory of its own."""
    inventory = yaml.safe_load(quorate.config.read_text())
    inventory["state_dir"] = str(tmp_path / "state")
    place = inventory
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    config = tmp_path / "quorate.yaml"
    config.write_text(yaml.safe_dump(inventory))
    return Product(quorate.lab, config)


def test_a_corrupted_snapshot_is_found_before_anything_is_stopped(quorate: Product) -> None:
    key = quorate.backup()["key"]
    s3 = quorate.lab.s3
    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
        region_name="us-east-1",
    )
    body = client.get_object(Bucket=s3.bucket, Key=f"quorate/{key}")["Body"].read()
    half = len(body) // 2
    client.put_object(
        Bucket=s3.bucket, Key=f"quorate/{key}", Body=body[:half] + bytes([body[half] ^ 1]) + body[half + 1 :]
    )
    result = quorate.restore(*OVERRIDE, exit_code=9)
    assert (result["outcome"], result["error"]["kind"]) == ("undone", "corrupt")
    assert f"{key} cannot be decrypted: its bytes are not what was encrypted" in result["error"]["message"]
    quorate.backup()


def test_a_wrong_ssh_key_is_refused_by_name(quorate: Product, tmp_path: Path) -> None:
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    other = edited(quorate, tmp_path, "clusters", quorate.cluster, "ssh", "identity", value=f"file:{key}")
    plan = other.json("plan", "restore", other.cluster, *OVERRIDE, exit_code=4)
    assert "refuses quorate" in str(plan["refusals"])


def test_a_wrong_host_key_is_refused_and_nothing_is_sent(quorate: Product, tmp_path: Path) -> None:
    known = quorate.config.parent / "ssh/known_hosts"
    lines = known.read_text().splitlines()
    swapped = [
        f"{line.split()[0]} {' '.join(other.split()[1:])}"
        for line, other in zip(lines, lines[1:] + lines[:1], strict=True)
    ]
    (tmp_path / "known_hosts").write_text("\n".join(swapped) + "\n")
    other = edited(
        quorate, tmp_path, "clusters", quorate.cluster, "ssh", "known_hosts", value=str(tmp_path / "known_hosts")
    )
    plan = other.json("plan", "restore", other.cluster, *OVERRIDE, exit_code=4)
    assert "but pinned for" in str(plan["refusals"])
    assert "nothing was sent to it" in str(plan["refusals"])


def test_no_such_bucket_is_said_and_no_backup_is_claimed(quorate: Product, tmp_path: Path) -> None:
    other = edited(quorate, tmp_path, "stores", "offsite", "s3", "bucket", value="no-such-bucket")
    other.up()
    try:
        failed = other.json("backup", other.cluster, exit_code=10)
        assert failed["error"]["kind"] == "denied"
        assert "no-such-bucket" in failed["error"]["message"]
    finally:
        other.down()


def test_an_unreachable_node_cannot_be_fenced_so_nothing_begins(quorate: Product) -> None:
    name = quorate.lab.nodes[2].name
    wreck(quorate.lab, "cut", name)
    try:
        result = quorate.restore(*OVERRIDE, exit_code=4)
    finally:
        wreck(quorate.lab, "heal", name)
    assert result["outcome"] == "refused"
    assert "node-unreachable" in result["error"]["message"]
    assert name in result["error"]["message"]


def test_a_full_disk_is_known_in_the_plan(quorate: Product) -> None:
    name = quorate.lab.nodes[1].name
    wreck(quorate.lab, "fill-disk", name)
    try:
        refused = quorate.restore(*OVERRIDE, exit_code=4)
    finally:
        wreck(quorate.lab, "free-disk", name)
    assert "no-space" in refused["error"]["message"]
    assert name in refused["error"]["message"]


@contextmanager
def locked(lab: Lab, node: str) -> Iterator[None]:
    """Nothing is done at the node under a claim before the block is left; it can be looked at."""
    lock = f"/var/lib/quorate/{lab.name}/lock"
    hold = f"mkdir -p -m 0700 {Path(lock).parent}; systemd-run --unit=hold flock {lock} sleep infinity"
    node_exec(lab, node, ["sh", "-c", hold])
    try:
        yield
    finally:
        node_exec(lab, node, ["systemctl", "stop", "hold.service"])


def test_a_disk_that_fills_up_after_the_plan_is_left_alone_and_who_stopped_meanwhile_is_named(
    quorate: Product,
) -> None:
    full, down = quorate.lab.nodes[1].name, quorate.lab.nodes[2].name
    with quorate.begin_restore(*OVERRIDE) as waiting:
        try:
            with locked(quorate.lab, full):
                operation = running(quorate)
                until(lambda: any(each.get("step") == "claim" for each in quorate.trail(operation)))
                wreck(quorate.lab, "fill-disk", full)
                node_exec(quorate.lab, down, ["systemctl", "stop", "etcd.service"])
            code, result = ended(waiting)
        finally:
            wreck(quorate.lab, "free-disk", full)
            node_exec(quorate.lab, down, ["systemctl", "start", "etcd.service"])
    assert (code, result["outcome"], result["error"]["kind"]) == (9, "undone", "no-space")
    assert full in result["error"]["message"]
    assert result["findings"] == [f"ran before and does not run now: {down}: etcd.service is inactive"]
    assert [act for place, act in quorate.acts(operation) if place == full and "snapshot restore" in act] == []


def test_a_node_without_the_tool_is_named_unless_a_backup_has_kept_it(quorate: Product, tmp_path: Path) -> None:
    other = edited(
        quorate, tmp_path, "clusters", quorate.cluster, "etcd", "restore_tool", value="/usr/local/bin/no-such-tool"
    )
    told = other.json("plan", "restore", other.cluster, *OVERRIDE)
    assert all(len(node["pushed"]) == 64 for node in told["hosts"])
    (tools,) = (quorate.lab.folder / "s3" / "data").rglob("tools")
    away = tools.rename(tools.with_name("nothing"))
    try:
        plan = other.json("plan", "restore", other.cluster, *OVERRIDE, exit_code=4)
    finally:
        away.rename(tools)
    assert [gate["id"] for gate in plan["refusals"]] == ["no-tool"]


QUOTA, LESS = "--quota-backend-bytes=8589934592", "--quota-backend-bytes=4294967296"


def reconfigured(quorate: Product, node: str, before: str, after: str) -> None:
    """A word of the unit's command line is another one, and etcd runs with it."""
    script = (
        f"sed -i 's|{before}|{after}|' $(systemctl show -p FragmentPath --value etcd.service)"
        " && systemctl daemon-reload && systemctl restart etcd.service"
    )
    exit_code, said = node_exec(quorate.lab, node, ["sh", "-c", script])
    assert exit_code == 0, said


def test_a_flag_that_was_changed_after_the_backup_is_named_with_both_values(quorate: Product) -> None:
    assert quorate.backup()["notes"] == []
    name = quorate.lab.nodes[1].name
    reconfigured(quorate, name, QUOTA, LESS)
    try:
        plan = quorate.json("plan", "restore", quorate.cluster, *OVERRIDE, exit_code=4)
    finally:
        reconfigured(quorate, name, LESS, QUOTA)
    assert [(gate["id"], gate["evidence"]) for gate in plan["refusals"]] == [
        ("config-differs", f"{name}: --quota-backend-bytes is 4294967296, at the backup it was 8589934592")
    ]
    assert quorate.json("plan", "restore", quorate.cluster, *OVERRIDE)["refusals"] == []


def test_a_backup_needs_no_ssh_and_says_whose_files_its_bundle_lacks(quorate: Product) -> None:
    """A restore would need it: who is told at noon is not surprised at night."""
    name = quorate.lab.nodes[0].name
    stop, start = (["systemctl", verb, "ssh.service"] for verb in ("stop", "start"))
    node_exec(quorate.lab, name, stop)
    try:
        quorate.down()  # a daemon that is up has a connection already
        quorate.up()
        result = quorate.json("backup", quorate.cluster, exit_code=3)
    finally:
        node_exec(quorate.lab, name, start)
    assert [finding.startswith(f"the bundle lacks {name}: ") for finding in result["findings"]] == [True]
    assert len(result["notes"]) == 1
    assert name in result["notes"][0]


def test_a_second_daemon_on_one_state_directory_is_refused_and_names_the_first(quorate: Product) -> None:
    second = quorate.run("up")
    assert second.returncode == 11
    assert str(quorate.pid("daemon")) in second.stderr


@pytest.mark.ends_empty
def test_two_wiped_members_that_came_up_as_an_empty_cluster_are_an_impostor(quorate: Product) -> None:
    wreck(quorate.lab, "impostor")
    refused = quorate.restore(*OVERRIDE, exit_code=4)
    assert "impostor" in refused["error"]["message"]
    inspected = quorate.json("inspect", quorate.cluster, exit_code=3)
    assert "impostor" in str(inspected["findings"])
    result = quorate.restore(*OVERRIDE, "--override-gate", "impostor")
    assert result["outcome"] == "restored"
