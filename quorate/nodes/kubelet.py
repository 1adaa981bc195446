"""The kubelets of the restored nodes: a pod that the restore knows nothing of runs on until its kubelet starts anew.

kubernetes#131115 (1.29 to 1.32): pods created after the snapshot stay as phantoms; etcd.md, 5.1.
"""

from dataclasses import dataclass

from quorate.command import Command
from quorate.converge import Await, Left
from quorate.nodes.programs import KUBELET
from quorate.nodes.seen import Look, NodeSeen, UnitSeen


@dataclass(frozen=True, slots=True)
class Kubelet:
    """Restarted once by an operation, where one runs; `home` is where that is remembered."""

    home: str

    @property
    def mark(self) -> str:
        return f"{self.home}/kubelet-restarted"

    def look(self) -> Look:
        return Look(paths=(self.mark,), units=(KUBELET,))

    def restart(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Containers go on meanwhile; cut off between the two it is restarted twice, which harms nobody."""
        unit = seen.units.get(KUBELET, UnitSeen(KUBELET))
        if self.mark in seen.paths:
            starting = unit.state == "activating"
            return Await(f"{KUBELET} is {unit.state}", poll_s=0.5) if starting else ()
        if unit.load != "loaded" or unit.state != "active":
            return ()
        return (
            Command(("systemctl", "try-restart", KUBELET)),
            Command(("install", "-m", "0600", "/dev/null", self.mark)),
        )
