"""What no restore can be faster than: etcd's and the API servers' own starts on the same data."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from deploy.lab.errors import LabError
from deploy.lab.lab import node_exec
from deploy.lab.quorate_yaml import CONTROL_PLANE
from deploy.lab.supervised import ASIDE, MANIFESTS

if TYPE_CHECKING:
    from deploy.bench.prober import Probes
    from deploy.lab.lab import Lab

TIMES = 3
AWAITED_S = 60
# What `crictl stop` ends the kubelet starts once more if it has not seen yet that the manifest is gone.
END_PODS = f"""
for name; do mv {MANIFESTS}/$name.yaml {ASIDE.format("$name")}; done
for name; do
    while [ -n "$(crictl pods --quiet --name "^$name-" --state ready)" ]; do
        crictl ps --quiet --name "^$name\\$" | xargs --no-run-if-empty crictl stop --timeout 0 || true
        sleep 0.2
    done
done
"""
BEGIN_PODS = f"for name; do mv {ASIDE.format('$name')} {MANIFESTS}/$name.yaml; done"


class Kept(Protocol):
    """Processes of the same names on every node, and who keeps them running."""

    def end(self, *names: str) -> None:
        """Killed: how long they take to stop is no part of a start."""

    def begin(self, *names: str) -> None: ...

    def runs(self, node: str, name: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Units:
    lab: Lab

    def end(self, *names: str) -> None:
        everywhere(self.lab, "systemctl", "kill", "--signal=SIGKILL", *names)
        everywhere(self.lab, "systemctl", "stop", *names)
        everywhere(self.lab, "systemctl", "reset-failed", *names)  # or systemd counts too many starts

    def begin(self, *names: str) -> None:
        everywhere(self.lab, "systemctl", "start", "--no-block", *names)

    def runs(self, node: str, name: str) -> bool:
        return not node_exec(self.lab, node, ["systemctl", "is-active", "-q", name])[0]


@dataclass(frozen=True, slots=True)
class Pods:
    lab: Lab

    def end(self, *names: str) -> None:
        self._everywhere(END_PODS, *names)

    def begin(self, *names: str) -> None:
        self._everywhere(BEGIN_PODS, *names)

    def runs(self, node: str, name: str) -> bool:
        asked = ["crictl", "ps", "--quiet", "--state", "running", "--name", f"^{name}$"]
        return bool(node_exec(self.lab, node, asked)[1].strip())

    def _everywhere(self, script: str, *names: str) -> None:
        for code, output in everywhere(self.lab, "sh", "-ec", script, "sh", *names):
            if code:
                raise LabError(f"manifests of {', '.join(names)} could not be moved: {output.strip()[-300:]}")


def etcd_start_s(lab: Lab, probes: Probes) -> float:
    """All members at once, to the first write; the median of several."""
    return statistics.median(etcd_started_s(lab, probes) for _ in range(TIMES))


def etcd_started_s(lab: Lab, probes: Probes) -> float:
    """A kubelet whose API server has no etcd waits for it and sees no manifest: so without the API servers."""
    if lab.spec.control_plane != "static-pods":
        return start_s(lab, probes, "etcd", "etcd")
    kept(lab).end(*CONTROL_PLANE)
    took = start_s(lab, probes, "etcd", "etcd")
    began = time.time()
    kept(lab).begin(*CONTROL_PLANE)
    probes.first_after(began, "api")
    return took


def api_start_s(lab: Lab, probes: Probes) -> float:
    """All API servers at once on a healthy etcd, to the first write through one of them."""
    return statistics.median(start_s(lab, probes, "kube-apiserver", "api") for _ in range(TIMES))


def start_s(lab: Lab, probes: Probes, name: str, kind: str) -> float:
    kept(lab).end(name)
    began = time.time()
    kept(lab).begin(name)
    took = probes.first_after(began, kind)
    for node in lab.nodes:
        awaited(kept(lab), node.name, name)
    return took


def kept(lab: Lab) -> Kept:
    return Pods(lab) if lab.spec.control_plane == "static-pods" else Units(lab)


def everywhere(lab: Lab, *argv: str) -> list[tuple[int, str]]:
    with ThreadPoolExecutor(len(lab.nodes)) as pool:
        return list(pool.map(lambda node: node_exec(lab, node, argv), lab.nodes))


def awaited(there: Kept, node: str, name: str) -> None:
    limit = time.monotonic() + AWAITED_S
    while not there.runs(node, name):
        if time.monotonic() > limit:
            raise LabError(f"{node}: {name} does not start again")
        time.sleep(0.1)
