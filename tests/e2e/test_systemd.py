"""The daemon as deploy/quorate.service runs it, under a real systemd: mounted into a machine, not installed there."""

import json
import os
import sqlite3  # noqa: F401 - so that its library is mapped
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from deploy.lab import engine, image
from deploy.lab.binaries import TEMPORAL
from deploy.lab.lab import down
from deploy.lab.machine import NodeFile, packed
from deploy.lab.spec import LABEL
from tests.e2e.product import until

pytestmark = pytest.mark.lab
ROOT = Path(__file__).parents[2]
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
PROGRAM = f"""#!/bin/sh
export PYTHONHOME=/opt/python LD_LIBRARY_PATH=/opt/python/lib:/opt/lib PYTHONPATH=/opt/src:/opt/site
exec /opt/python/bin/{PYTHON} -P -m worker "$@"
"""
INVENTORY = """\
apiVersion: quorate/v1
state_dir: /var/lib/quorate/state
temporal: {binary: /opt/temporal/temporal}
stores: {here: {directory: /var/lib/quorate/store}}
clusters:
  demo:
    ssh: {user: quorate, identity: file:/etc/quorate/id, known_hosts: /etc/quorate/known_hosts}
    etcd: {data_dir: /var/lib/etcd/default}
    members: [{name: a, host: h, peer_urls: ["http://h:2380"], client_urls: ["http://h:2379"]}]
    backup: {store: here}
"""


def borrowed(name: str) -> tuple[NodeFile, ...]:
    """A library that our Python has from its own machine, as it is mapped here; none where it is built in."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    paths = {Path(line.split()[-1]) for line in lines if f"/{name}.so" in line}
    return tuple(NodeFile(f"/opt/lib/{name}.so.0", path.read_bytes(), 0o755) for path in paths)


FILES = (
    *borrowed("libsqlite3"),
    NodeFile("/opt/quorate/.venv/bin/quorate", PROGRAM.encode(), 0o755),
    NodeFile("/etc/quorate/quorate.yaml", INVENTORY.encode()),
    NodeFile("/etc/systemd/system/quorate.service", (ROOT / "deploy/quorate.service").read_bytes()),
    NodeFile("/etc/systemd/system/systemd-networkd-wait-online.service", target="/dev/null"),  # it has no network
)


@dataclass(frozen=True)
class Machine:
    container: Container

    def run(self, *argv: str, exit_code: int | None = 0) -> str:
        ran = self.container.exec_run(list(argv))
        said = ran.output.decode(errors="replace").strip()
        assert exit_code is None or ran.exit_code == exit_code, said
        return str(said)

    def unit(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.run("systemctl", "show", "quorate").splitlines())

    def state(self, name: str) -> dict[str, Any]:
        """One of the files by which the daemon tells what it is."""
        said: dict[str, Any] = json.loads(self.run("cat", f"/var/lib/quorate/state/{name}.json"))
        return said

    def journal(self) -> str:
        return self.run("journalctl", "--no-pager", "-u", "quorate")


@pytest.fixture(scope="module")
def machine(temporal_binary: Path) -> Iterator[Machine]:
    name, client = f"s{os.getpid()}", engine.connect(print)
    mounts = {
        sys.base_prefix: "/opt/python",
        str(ROOT): "/opt/src",
        sysconfig.get_path("purelib"): "/opt/site",
        str(TEMPORAL.folder): "/opt/temporal",
    }
    try:
        container = client.containers.create(
            image.node_image(client, print),
            name=f"quorate-{name}",
            labels={LABEL: name},
            network_mode="none",
            cgroupns="private",
            cap_add=["SYS_ADMIN"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            tmpfs={"/run": "", "/tmp": "exec"},
            volumes={place: {"bind": bind, "mode": "ro"} for place, bind in mounts.items()},
        )
        container.put_archive("/", packed(FILES))
        container.start()
        made = Machine(container)
        until(
            lambda: made.run("systemctl", "is-system-running", exit_code=None) in {"running", "degraded"}, poll_s=0.2
        )
        yield made
    finally:
        down(name, print)


@pytest.fixture
def started(machine: Machine) -> Iterator[Machine]:
    machine.run("systemctl", "start", "quorate")
    yield machine
    machine.run("systemctl", "stop", "quorate")


def test_a_start_returns_when_it_polls_for_work(started: Machine) -> None:
    assert started.state("daemon")["ready"] is True
    assert started.state("daemon")["pid"] == int(started.unit()["MainPID"])


def test_killed_hard_it_is_started_again_on_the_same_state(started: Machine) -> None:
    before, port = started.unit(), started.state("temporal")["port"]
    started.run("systemctl", "kill", "--signal=SIGKILL", "quorate")
    until(lambda: started.unit()["NRestarts"] != before["NRestarts"] and started.unit()["ActiveState"] == "active")
    assert started.unit()["MainPID"] != before["MainPID"]
    assert started.state("daemon")["ready"] is True
    assert started.state("temporal")["port"] == port


def test_a_stop_is_in_order_and_leaves_nothing_behind(started: Machine) -> None:
    started.run("systemctl", "stop", "quorate")
    after = started.unit()
    assert (after["Result"], after["ExecMainStatus"], after["ActiveState"]) == ("success", "0", "inactive")
    assert '"event": "stopping"' in started.journal()
    assert started.run("pgrep", "-u", "quorate", exit_code=1) == ""


def test_a_mistake_in_the_inventory_is_said_once_and_not_tried_again(machine: Machine) -> None:
    machine.run("sh", "-c", "cp /etc/quorate/quorate.yaml /tmp; echo 'colour: red' >> /etc/quorate/quorate.yaml")
    try:
        machine.run("systemctl", "start", "quorate", exit_code=1)
        after = machine.unit()
        assert (after["ExecMainStatus"], after["SubState"]) == ("2", "failed")
        assert "colour" in machine.journal()
    finally:
        machine.run("sh", "-c", "cp /tmp/quorate.yaml /etc/quorate/; systemctl reset-failed quorate")
