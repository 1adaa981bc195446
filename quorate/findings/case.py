"""A cluster as it should be and as it was seen: what is asked of it again and again."""

from dataclasses import dataclass
from datetime import datetime

from quorate.backups.catalogue import Manifest
from quorate.clusters.causes import Cause, causes
from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.command import shell
from quorate.freeze import frozen as units_frozen
from quorate.inventory import Cluster
from quorate.nodes.pods import container, parked
from quorate.nodes.seen import NodeSeen, UnitSeen


@dataclass(frozen=True, slots=True)
class Case:
    """A cluster as it should be, as it was seen, and when."""

    name: str
    settings: Cluster
    seen: ClusterSeen
    now: datetime

    @property
    def newest(self) -> Manifest | None:
        """Of this very cluster, by the ids that restores on record link."""
        ids = self.seen.related()
        mine = [each for each in self.seen.counting if not ids or each.cluster_id in ids]
        return max(mine, key=lambda each: each.created_at, default=None)

    @property
    def gone(self) -> dict[str, str]:
        """Members whose etcd does not answer, and what is seen of them instead."""
        return {
            name: self.instead(name) for name, etcd in sorted(self.seen.etcd.items()) if isinstance(etcd, Silence)
        }

    @property
    def claim(self) -> str:
        """The operation that the nodes belong to, or nothing."""
        return next((node.holder for node in self.seen.reachable.values() if node.holder), "")

    @property
    def startable(self) -> tuple[str, ...]:
        """Members that are only stopped: their data is there, so starting them loses nothing."""
        return tuple(name for name in self.gone if self.stopped(name))

    @property
    def causes(self) -> tuple[Cause, ...]:
        return causes(self.settings, self.seen)

    @property
    def frozen(self) -> dict[str, tuple[str, ...]]:
        """What a freeze keeps from running, by member."""
        return units_frozen(self.settings, self.seen)

    def instead(self, name: str) -> str:
        node = self.seen.nodes.get(name)
        if not isinstance(node, NodeSeen):
            return f"{name}: {node.reason if node else 'its node was not asked'}"
        unit = self.unit(node)
        state = "fenced" if unit.assert_failed and unit.gone else unit.state
        data = "its data is there" if self.has_data(node) else f"no database in {self.settings.etcd.data_dir}"
        return f"{name}: {unit.unit} is {state}, {data}"

    def stopped(self, name: str) -> bool:
        node = self.seen.nodes.get(name)
        stopped = isinstance(node, NodeSeen) and self.unit(node).gone and self.has_data(node)
        if isinstance(self.seen.disks.get(name), Silence):
            return False  # on a database without its log etcd serves nobody
        return stopped and name not in self.frozen  # its bar would refuse a start

    def wiped(self, name: str) -> bool:
        node = self.seen.nodes.get(name)
        return isinstance(node, NodeSeen) and not self.has_data(node)

    def unit(self, node: NodeSeen) -> UnitSeen:
        unit = self.settings.etcd.process
        return node.units.get(unit, UnitSeen(unit))

    def has_data(self, node: NodeSeen) -> bool:
        return f"{self.settings.etcd.data_dir}/member/snap/db" in node.paths

    def at(self, name: str) -> str:
        """The beginning of a command on a member's node."""
        return shell(self.settings, name)


def start_of(process: str) -> str:
    """What starts a unit, or a static pod whose manifest was taken away."""
    return f"mv {parked(process)} {process}" if process.startswith("/") else f"systemctl start {process}"


def log_of(process: str) -> str:
    if not process.startswith("/"):
        return f"journalctl -u {process} -n 50"
    return f"sh -c 'crictl ps -a -q --name ^{container(process)}$ | head -n 1 | xargs crictl logs --tail 50'"


def enough_to_start(case: Case) -> bool:
    enough = len(case.seen.answering) + len(case.startable) >= case.seen.quorum
    return bool(case.startable) and enough and not case.claim
