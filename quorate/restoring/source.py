"""What is restored: a backup from the store, or what one member still holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from quorate.clusters.cluster import ClusterSeen
from quorate.database.wal import Reach
from quorate.errors import BadInput
from quorate.inventory import Cluster
from quorate.members.etcd import EtcdSeen
from quorate.nodes.image import tool_of
from quorate.nodes.scratch import Scratch, scratch_of
from quorate.nodes.seen import NodeSeen, UnitSeen
from quorate.settings.machines import Member

STREAM, REPLAY, BARE, STAGED = "stream", "replay", "bare", "staged"


class Origin(Protocol):
    """What gates and losses ask of whatever is restored; a manifest has all of it."""

    @property
    def cluster_id(self) -> str: ...

    @property
    def revision(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def version(self) -> str: ...

    @property
    def flags(self) -> Mapping[str, Mapping[str, str]]: ...

    @property
    def auth(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class FromMember:
    """A member whose own data is taken.

    It answers and streams it, or etcd replays a copy of what it left; where its log is lost, of its database alone.
    Or nothing is taken, and etcd runs on a copy of what is staged there.
    """

    member: str
    how: str  # STREAM | REPLAY | BARE | STAGED
    scratch: Scratch | None = None
    operation: str = ""  # what that one has kept is replayed, not what the member has now


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a member is seen to hold before it is taken; 0 and "" where only etcd itself could tell."""

    member: str
    cluster_id: str
    revision: int = 0
    size_bytes: int = 0
    version: str = ""
    unread: str = ""  # why its log cannot be read, where it cannot
    operation: str = ""  # that has kept it
    flags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    auth: bool = False  # whoever takes it logs in to it


def held_by(name: str, cluster: str, settings: Cluster, seen: ClusterSeen) -> tuple[FromMember, Holdings]:
    """How a member's data is had, and what it holds; BadInput where it has none that could be reached."""
    member = next((each for each in settings.members if each.name == name), None)
    if member is None:
        known = ", ".join(each.name for each in settings.members)
        raise BadInput(f"{cluster} has no member {name}; members: {known}", next=f"quorate inspect {cluster}")
    etcd, node = seen.etcd.get(name), seen.nodes.get(name)
    if not isinstance(node, NodeSeen):
        reason = node.reason if node else "it was not asked"
        raise BadInput(f"the node of {name} cannot be looked at: {reason}", next=f"quorate doctor {cluster}")
    if isinstance(etcd, EtcdSeen):
        return FromMember(name, STREAM), Holdings(name, etcd.cluster_id, etcd.revision, etcd.db_bytes, etcd.version)
    return stopped(member, cluster, settings, seen, node)


def stopped(
    member: Member, cluster: str, settings: Cluster, seen: ClusterSeen, node: NodeSeen
) -> tuple[FromMember, Holdings]:
    """Of a member that does not run; its database alone would lack what only its log has."""
    name, unit = member.name, node.units.get(settings.etcd.process, UnitSeen(settings.etcd.process))
    db = node.paths.get(f"{settings.etcd.data_dir}/member/snap/db")
    reach = seen.disks.get(name)
    inspect = f"quorate inspect {cluster}"
    if not unit.gone:
        raise BadInput(f"{name} does not answer, but {unit.unit} is {unit.state}: stop it first", next=inspect)
    if db is None:
        raise BadInput(f"{name} has no database in {settings.etcd.data_dir}: nothing can be taken", next=inspect)
    scratch = scratch_of(settings, member, node)
    version = tool_of(settings.etcd, node).version
    if isinstance(reach, Reach) and reach.cluster_id:
        return FromMember(name, REPLAY, scratch), Holdings(name, reach.cluster_id, 0, db.size_bytes, version)
    unread = "it is not a log of etcd" if isinstance(reach, Reach) else reach.reason if reach else "not there"
    return FromMember(name, BARE, scratch), Holdings(name, "", 0, db.size_bytes, version, unread)


def not_the_newest(name: str, seen: ClusterSeen) -> str:
    """The members whose logs go further than this one's, as raft compares them, or nothing."""
    reaches = {each: reach for each, reach in seen.disks.items() if isinstance(reach, Reach)}
    mine = reaches.get(name)
    ahead = sorted(each for each, reach in reaches.items() if mine and reach.order > mine.order)
    return "; ".join(f"{each} {went(reaches[each])}, {name} {went(reaches[name])}" for each in ahead)


def went(reach: Reach) -> str:
    return f"has entries up to index {reach.index} of term {reach.term}"


def uncommitted(reach: Reach) -> str:
    """In words, by index."""
    if reach.uncommitted == 1:
        return f"entry {reach.index}"
    return f"{reach.uncommitted} entries, {reach.commit + 1} to {reach.index},"


def losses(source: FromMember, holdings: Holdings, seen: ClusterSeen) -> Iterator[str]:
    """What taking a member's data leaves behind, in words."""
    name, reach = source.member, seen.disks.get(source.member)
    yield f"every write that {name} does not hold"
    if source.how == BARE:
        yield f"what only the log of {name} had: its database is written every 100 ms or 10,000 entries, no oftener"
    known = max((etcd.revision for etcd in seen.answering.values()), default=0)
    if holdings.revision and known > holdings.revision:
        yield f"at least {known - holdings.revision} revisions: {known} was seen, {name} holds {holdings.revision}"
    if isinstance(reach, Reach) and reach.uncommitted:
        yield (
            f"{uncommitted(reach)} of its log: {name} had not heard that a majority has it, so it may have been "
            "acknowledged or not"
        )
    silent = sorted(each for each, node in seen.nodes.items() if not isinstance(node, NodeSeen))
    if silent:
        yield f"what only {', '.join(silent)} may hold: their disks could not be looked at"
