"""What was seen of a cluster at one moment, and what was heard of it: values that the checker judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LIVE = "/var/lib/etcd/default"
RESTORED = "restored"
NOTHING = "nothing to adopt"  # what is told of an operation that nobody knows any more


@dataclass(frozen=True, slots=True)
class NodeReading:
    """What lies and runs on one node."""

    directories: Mapping[str, int]  # path and inode; a rename keeps the inode, so it tells whose data it is
    unit: str = "active"
    processes: int = 1
    bars: tuple[str, ...] = ()  # files that keep etcd or its clients away, on disk or loaded by systemd
    tables: tuple[str, ...] = ()
    claim: str = ""
    units: tuple[str, ...] = ()  # of ours, timers too


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a member's own member list."""

    name: str
    member_id: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]

    @property
    def place(self) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        return self.name, self.peer_urls, self.client_urls


@dataclass(frozen=True, slots=True)
class MemberReading:
    """What one member says to a client from outside; all members are asked at one revision."""

    cluster_id: str
    member_id: str
    members: tuple[Listed, ...]
    revision: int
    hash_kv: int
    keys: Mapping[str, str]  # and the sha256 of each value
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as an API server holds it: its resourceVersion and what was written into it."""

    revision: int
    value: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The whole cluster; who lets no client in is in `silent` (API servers in `unheard`), with the reason."""

    nodes: Mapping[str, NodeReading]
    members: Mapping[str, MemberReading]
    silent: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[str, Mapping[str, Stored]] = field(default_factory=dict)  # of each API server, by name
    unheard: Mapping[str, str] = field(default_factory=dict)

    @property
    def bare(self) -> tuple[str, ...]:
        """Nodes without live data."""
        return tuple(name for name, node in self.nodes.items() if LIVE not in node.directories)


@dataclass(frozen=True, slots=True)
class Write:
    """One write; without a revision nobody acknowledged it. An API server tells no cluster id."""

    key: str
    through: str
    began: float
    ended: float
    cluster_id: str = ""
    revision: int = 0
    value: str = ""  # of an object; a key is put once, and holds its own name


@dataclass(frozen=True, slots=True)
class Said:
    """One step at one place, as the operation tells it."""

    step: str
    host: str
    state: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the command line says of the operation; no outcome where it was never begun."""

    outcome: str
    steps: tuple[Said, ...] = ()
    where: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()  # the verbs that a hold leaves the choice of
    error: str = ""
    findings: tuple[str, ...] = ()
    recorded: str = ""  # the outcome that `operations show` has, none while it is open


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that one verdict rests on."""

    operation: str
    snapshot_revision: int
    loaded: Mapping[str, str]  # keys that were there before any of this
    before: Reading
    after: Reading
    writes: tuple[Write, ...]
    ended: float
    told: Told
    objects: tuple[Write, ...] = ()  # through the API servers, where there are any
