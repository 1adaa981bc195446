"""One look at a cluster for the revision clock: whoever answers, and nothing is changed by it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from activities.clusters.surveys import everywhere
from quorate.clusters.cluster import Silence
from quorate.errors import LoginRefused
from quorate.inventory import Cluster
from quorate.members.etcd import EtcdSeen, EtcdTarget, target
from quorate.members.revision_clock import ticks
from quorate.ports import Etcds, Ticks


@dataclass(frozen=True, slots=True)
class RevisionClock:
    etcds: Etcds
    ticks: Ticks
    now: Callable[[], float]

    def tick(self, name: str, cluster: Cluster) -> dict[str, EtcdSeen | Silence]:
        """Every member is asked at once, each with a deadline; what was heard is on record when this returns."""
        targets = {member.name: target(cluster, member) for member in cluster.members}
        asked = self.now()
        heard = everywhere(targets, lambda member: self._look(targets[member]))
        seen = [each for each in heard.values() if isinstance(each, EtcdSeen)]
        if seen:
            self.ticks.add(name, ticks(seen, asked, self.now()))
        return heard

    def _look(self, member: EtcdTarget) -> EtcdSeen:
        """Without logging in where that will do: every login is a proposal to the whole cluster."""
        try:
            with self.etcds.at(replace(member, user="", password="")) as etcd:
                return etcd.look()
        except LoginRefused:
            if not member.user:
                raise
        with self.etcds.at(member) as etcd:
            return etcd.look()
