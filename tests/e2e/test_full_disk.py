"""The disk that the daemon keeps its state on is full: nothing is begun, it is said why, and the next run is good."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from deploy.lab.process import wait
from deploy.lab.s3 import free_port
from tests.e2e.product import Product, alone, until
from tests.e2e.test_killed_backups import begun, has_begun, left, manifests, operations
from tests.real_etcd import Cluster, made
from worker.embedded import listens

pytestmark = pytest.mark.server
DISK_MIB = 96
ENDS = ((0, "verified"), (3, "degraded"), (10, "failed"))
FULL = "No space left on device"


@dataclass
class Disk:
    """A small filesystem of its own, and what fills it up to the last byte."""

    where: Path

    def fill(self) -> None:
        for name, size_bytes in (("ballast", 1 << 20), ("crumbs", 1)):
            with (self.where / name).open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size_bytes))

    def clear(self) -> None:
        for name in ("ballast", "crumbs"):
            (self.where / name).unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    where = tmp_path / "small"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(where)], check=True)
    try:
        yield Disk(where)
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = made("3.6", tmp_path_factory.mktemp("full") / "etcd", ("a",), tls=False, data=None)
    cluster.start()
    with cluster.first.at() as member:
        for number in range(12):
            member.put(f"/large/{number}", os.urandom(1 << 20))
    yield cluster
    cluster.kill()


@pytest.fixture
def temporal_address(temporal_binary: Path) -> Iterator[str]:
    port = free_port()
    argv = [str(temporal_binary), "server", "start-dev", "--headless", "--port", str(port), "--log-level", "error"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as server:
        try:
            assert wait(lambda: listens(port), 20)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


@contextlib.contextmanager
def started(
    home: Path, disk: Disk, etcd: Cluster, temporal: dict[str, str], rate_mib_s: int = 8
) -> Iterator[Product]:
    """With a backup that nothing is the matter with; 12 MiB are sent at that rate."""
    product = alone(home / "demo", etcd.first.target.url, temporal)
    text = yaml.safe_load(product.config.read_text())
    text["state_dir"] = str(disk.where / "state")
    text["clusters"]["demo"]["backup"] |= {"rate_mib_s": rate_mib_s}
    product.config.write_text(yaml.safe_dump(text))
    (product.config.parent / "state").symlink_to(disk.where / "state")
    product.up()
    try:
        assert product.backup()["outcome"] == "verified"
        yield product
    finally:
        product.down()


def is_good(product: Product, before: int) -> None:
    """A backup from now on, and every record of before."""
    assert product.backup()["outcome"] == "verified"
    assert (len(manifests(product)), left(product)) == (before + 1, [])
    for each in manifests(product):
        assert product.json("snapshots", "verify", each["id"])["ok"]
    for operation in operations(product):
        assert product.json("audit", "verify", operation)["sealed"]


def test_a_backup_on_a_full_disk_says_so_and_the_next_one_is_good(
    tmp_path: Path, disk: Disk, etcd: Cluster, temporal_binary: Path
) -> None:
    with started(tmp_path, disk, etcd, {"binary": str(temporal_binary)}) as quorate:
        disk.fill()
        refused = quorate.json("backup", "demo", exit_code=6)
        assert f"the disk of {disk.where}/state is full" in refused["error"]["message"]
        assert refused["error"]["next"].startswith("df -h")
        checks = quorate.json("doctor", "demo", exit_code=6)["checks"]
        assert "is full" in next(each["said"] for each in checks if each["id"] == "state")
        assert (len(manifests(quorate)), left(quorate)) == (1, [])
        disk.clear()
        is_good(quorate, 1)


def test_a_disk_that_fills_up_while_a_member_sends_costs_at_most_that_backup(
    tmp_path: Path, disk: Disk, etcd: Cluster, temporal_binary: Path
) -> None:
    with started(tmp_path, disk, etcd, {"binary": str(temporal_binary)}, rate_mib_s=2) as quorate:
        known = operations(quorate)
        running = begun(quorate)
        until(lambda: has_begun(quorate, known, "store put"), 60, 0.005)
        disk.fill()
        until(lambda: "is full" in quorate.run("doctor", "demo").stdout, 60)
        assert running.poll() is None
        assert len(manifests(quorate)) == 1
        disk.clear()
        out, err = running.communicate(timeout=180)
        result = json.loads(out)
        assert (running.returncode, result["outcome"]) in ENDS, out + err
        assert result["outcome"] != "degraded" or FULL in result["findings"][0]
        published = [each["id"] for each in manifests(quorate) if each["id"] == result["snapshot"]]
        assert bool(published) == (result["outcome"] != "failed")
        is_good(quorate, 1 + len(published))


def test_where_temporal_has_a_disk_of_its_own_no_step_begins_and_the_record_waits_for_room(
    tmp_path: Path, disk: Disk, etcd: Cluster, temporal_address: str
) -> None:
    with started(tmp_path, disk, etcd, {"address": temporal_address}) as quorate:
        known = operations(quorate)
        disk.fill()
        running = begun(quorate)
        log = quorate.state / "daemon.log"
        until(lambda: "is tried until it can be" in log.read_text() or running.poll() is not None, 60)
        assert running.poll() is None
        assert (len(manifests(quorate)), left(quorate)) == (1, [])
        disk.clear()
        out, err = running.communicate(timeout=180)
        result = json.loads(out)
        assert (running.returncode, result["outcome"]) == (10, "failed"), out + err
        assert "audit trail cannot be written" in result["error"]["message"]
        assert FULL in result["error"]["message"]
        (operation,) = operations(quorate) - known
        assert [each["event"] for each in quorate.trail(operation)] == ["begin", "seal"]
        is_good(quorate, 1)
