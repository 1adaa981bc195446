"""How long a command takes on a connection that is there already."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from activities.adapters.secrets import LocalSecrets
from activities.adapters.ssh import SshHosts, silent
from quorate.command import Node
from quorate.inventories.reading import parse

if TYPE_CHECKING:
    from deploy.lab.lab import Lab

TIMES = 500


def round_trips_ms(lab: Lab, line: str = "true") -> tuple[float, float]:
    """p50 and p99, one command after another on the connection that the product uses."""
    config = Path(lab.config)
    cluster = parse(config.read_text(), str(config)).clusters[lab.name]
    member = cluster.members[0]
    node, hosts = Node(member.name, member.host, cluster.ssh, cluster.lock_dir, lab.name), SshHosts(LocalSecrets({}))
    try:
        hosts.run(node, "commands", line, (), silent, 10)
        took = [timed_ms(hosts, node, line) for _ in range(TIMES)]
    finally:
        hosts.close()
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


def timed_ms(hosts: SshHosts, node: Node, line: str) -> float:
    began = time.perf_counter()
    hosts.run(node, "commands", line, (), silent, 10)
    return (time.perf_counter() - began) * 1000
