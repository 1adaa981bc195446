"""A cluster as it was seen, all of it at once, and what is wrong with it."""

from dataclasses import dataclass, field
from datetime import datetime

from quorate.backups.catalogue import Manifest
from quorate.database.wal import Reach
from quorate.members.etcd import EtcdSeen, quorum
from quorate.members.vitals import Vitals
from quorate.nodes.certificates import Certificate
from quorate.nodes.seen import NodeSeen


@dataclass(frozen=True, slots=True)
class Silence:
    """Somebody did not answer, and why."""

    reason: str
    kind: str = "unreachable"


@dataclass(frozen=True, slots=True)
class Lineage:
    """One restore: the cluster's id before and after, the revision that it began to serve; 0 where none is known."""

    operation: str
    before: str
    after: str
    served_revision: int


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """Nodes and members by name; a linearizable read answers only where there is a quorum."""

    nodes: dict[str, NodeSeen | Silence]
    etcd: dict[str, EtcdSeen | Silence]
    reads: dict[str, int] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)  # why it was not read through the others
    manifests: tuple[Manifest, ...] = ()
    lineages: tuple[Lineage, ...] = ()
    store: str = ""  # what is wrong with the store, or nothing
    disks: dict[str, Reach | Silence] = field(default_factory=dict)  # looked at only where there is no quorum
    certificates: dict[str, dict[str, tuple[Certificate, ...]]] = field(default_factory=dict)  # by node and file
    dials: dict[str, dict[str, str]] = field(default_factory=dict)  # by node and `host:port`; without a quorum only
    us: frozenset[str] = frozenset()  # addresses by which this machine goes to the members, where a node cannot tell
    off: dict[str, str] = field(default_factory=dict)  # nodes that a person says are switched off, and how they know
    doubted: dict[str, str] = field(default_factory=dict)  # snapshots that nobody vouches for who is trusted, and why
    quarantined: dict[str, str] = field(default_factory=dict)  # snapshots that were found damaged, and when
    proved: datetime | None = None  # when a backup was last started in the sandbox and held what it should
    sealed: dict[str, str] = field(default_factory=dict)  # why the snapshot that is asked for cannot be opened
    clocked: int = 0  # the highest revision on the revision clock, of whatever cluster id
    compared: float = 0.0  # when what is told of the store was compared with it; 0 for just now
    older: int = 0  # backups in the store that are not among `manifests`
    vitals: Vitals = field(default_factory=Vitals)  # only where a person looks
    left_out: tuple[str, ...] = ()  # of what is planned, because they are gone for good

    @property
    def answering(self) -> dict[str, EtcdSeen]:
        return {name: seen for name, seen in self.etcd.items() if isinstance(seen, EtcdSeen)}

    @property
    def reachable(self) -> dict[str, NodeSeen]:
        return {name: seen for name, seen in self.nodes.items() if isinstance(seen, NodeSeen)}

    @property
    def unreachable(self) -> dict[str, Silence]:
        return {name: seen for name, seen in self.nodes.items() if isinstance(seen, Silence)}

    @property
    def has_quorum(self) -> bool:
        return bool(self.reads)

    @property
    def healthy_voters(self) -> int:
        return len([seen for seen in self.answering.values() if seen.leader and not seen.learner])

    @property
    def now(self) -> float:
        """By the nodes' own clocks, the latest of them; 0 where no node answers."""
        return max((node.now for node in self.reachable.values()), default=0.0)

    @property
    def cluster_ids(self) -> tuple[str, ...]:
        return tuple(sorted({seen.cluster_id for seen in self.answering.values()}))

    @property
    def cluster_id(self) -> str:
        """The one every answering member has; "" when nobody answers or they disagree."""
        return self.cluster_ids[0] if len(self.cluster_ids) == 1 else ""

    @property
    def quorum(self) -> int:
        return quorum(len(self.etcd))

    @property
    def counting(self) -> tuple[Manifest, ...]:
        """The snapshots that `latest` may mean."""
        out = self.discounted
        return tuple(each for each in self.manifests if each.counts and each.id not in out)

    @property
    def discounted(self) -> frozenset[str]:
        """The ids of those that somebody has to ask for by name."""
        return frozenset((*self.doubted, *self.quarantined))

    def related(self) -> frozenset[str]:
        """Every cluster id that restores on record link with the observed one, or with the newest backup."""
        ids = set(self.cluster_ids) or {each.cluster_id for each in self.counting[-1:]}
        links = [(link.before, link.after) for link in self.lineages]
        while more := {one for pair in links if ids & set(pair) for one in pair if one} - ids:
            ids |= more
        return frozenset(ids)

    def high_water(self) -> int:
        """The highest revision that anybody is known to have served; a foreign one only makes the bump larger."""
        return max(
            [
                *(seen.revision for seen in self.answering.values()),
                *(each.revision for each in self.manifests),
                *(link.served_revision for link in self.lineages),
                self.clocked,
            ],
            default=0,
        )

    def impostor(self) -> str:
        """Evidence that the cluster with this id is not the one it was, or nothing."""
        for name, seen in self.answering.items():
            known = [each for each in self.manifests if each.cluster_id == seen.cluster_id]
            highest = max(known, key=lambda each: each.revision, default=None)
            if highest and seen.leader and seen.revision < highest.revision:
                return (
                    f"{name} serves revision {seen.revision} of cluster {seen.cluster_id}, but backup "
                    f"{highest.id} of that very cluster holds revision {highest.revision}: wiped members "
                    "have formed an empty cluster under the old ids"
                )
        return ""
