"""What no restore can be faster than: etcd's and the API servers' own starts on the same data."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from deploy.lab.errors import LabError
from deploy.lab.lab import node_exec

if TYPE_CHECKING:
    from deploy.bench.prober import Probes
    from deploy.lab.lab import Lab

TIMES = 3


def etcd_start_s(lab: Lab, probes: Probes) -> float:
    """All members at once, to the first write; the median of several."""
    return statistics.median(start_s(lab, probes, "etcd", "etcd") for _ in range(TIMES))


def api_start_s(lab: Lab, probes: Probes) -> float:
    """All API servers at once on a healthy etcd, to the first write through one of them."""
    return statistics.median(start_s(lab, probes, "kube-apiserver", "api") for _ in range(TIMES))


def start_s(lab: Lab, probes: Probes, unit: str, kind: str) -> float:
    """Killed before: how long it takes to stop is no part of a start."""
    everywhere(lab, "systemctl", "kill", "--signal=SIGKILL", unit)
    everywhere(lab, "systemctl", "stop", unit)
    everywhere(lab, "systemctl", "reset-failed", unit)  # or systemd counts too many starts
    began = time.time()
    everywhere(lab, "systemctl", "start", "--no-block", unit)
    took = probes.first_after(began, kind)
    for node in lab.nodes:
        awaited(lab, node.name, unit)
    return took


def everywhere(lab: Lab, *argv: str) -> None:
    with ThreadPoolExecutor(len(lab.nodes)) as pool:
        list(pool.map(lambda node: node_exec(lab, node, argv), lab.nodes))


def awaited(lab: Lab, node: str, unit: str) -> None:
    limit = time.monotonic() + 60
    while node_exec(lab, node, ["systemctl", "is-active", "-q", unit])[0]:
        if time.monotonic() > limit:
            raise LabError(f"{node}: {unit} does not start again")
        time.sleep(0.1)
