"""What is asked beside a survey where a person looks: everybody at once, and whoever is late is left out."""

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, TypeVar

from activities.clusters.forwarded import ForwardedApis
from activities.clusters.tunnels import Tunnels, through
from quorate.command import node_of
from quorate.errors import QuorateError
from quorate.inventory import Cluster
from quorate.members.etcd import EtcdTarget, target
from quorate.members.vitals import Latencies, Vitals
from quorate.ports import Apis, Etcds, Meters

T = TypeVar("T")
REGISTERED = "/registry/minions/"  # where kube-apiserver keeps its nodes, unless it has a prefix of its own
PARALLEL = 32


@dataclass(frozen=True)
class Asked:
    """Under way; `heard` waits no longer than it is told."""

    members: dict[str, Future[Latencies]] = field(default_factory=dict)
    apis: dict[str, Future[str]] = field(default_factory=dict)
    nodes: tuple[Future[int], ...] = ()

    def heard(self, within_s: float) -> Vitals:
        everybody: list[Future[Any]] = [*self.members.values(), *self.apis.values(), *self.nodes]
        wait(everybody, within_s)
        return Vitals(
            members={name: took for name, each in self.members.items() if (took := told(each)) is not None},
            apis={url: version for url, each in self.apis.items() if (version := told(each))},
            nodes=max((count for each in self.nodes if (count := told(each)) is not None), default=None),
        )


def told(asked: Future[T]) -> T | None:
    """None where it is late, or was refused."""
    if not asked.done():
        return None
    try:
        return asked.result()
    except QuorateError:
        return None


@dataclass(frozen=True)
class Watcher:
    etcds: Etcds
    meters: Meters
    apis: Apis
    tunnels: Tunnels

    def ask(self, cluster: Cluster) -> Asked:
        """Begins, and waits for nobody."""
        pool = ThreadPoolExecutor(PARALLEL, "vitals")
        targets = {member.name: target(cluster, member) for member in cluster.members}
        asked = Asked(
            members={name: pool.submit(self._latencies, each) for name, each in targets.items()},
            apis={url: pool.submit(self._version, cluster, url) for url in api_urls(cluster)},
            nodes=tuple(pool.submit(self._nodes, each) for each in targets.values() if serves_kubernetes(cluster)),
        )
        pool.shutdown(wait=False)
        return asked

    def _latencies(self, member: EtcdTarget) -> Latencies:
        if member.through is None:
            return self.meters.latencies(member)
        with through(self.tunnels, member.through, member) as dialled:
            return self.meters.latencies(dialled)

    def _nodes(self, member: EtcdTarget) -> int:
        with self.etcds.at(member) as etcd:
            return etcd.count(REGISTERED)

    def _version(self, cluster: Cluster, url: str) -> str:
        assert cluster.kubernetes, "there is a URL of it"
        nodes = [node_of("", cluster, member) for member in cluster.members]
        with ForwardedApis(self.apis, self.tunnels).at(cluster.kubernetes.kubeconfig, url, nodes) as api:
            return api.version()


def api_urls(cluster: Cluster) -> tuple[str, ...]:
    return cluster.kubernetes.api_urls if cluster.kubernetes else ()


def serves_kubernetes(cluster: Cluster) -> bool:
    return bool(cluster.kubernetes or cluster.control_plane)
