"""What an earlier restore has kept, as the source of another: the way back once clients were let in.

Nobody knows whether it was served since, so nothing is put back by renames: a copy is replayed as that of any stopped
member, and restored under new ids with a revision above everything that was served.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from quorate.clusters.cluster import ClusterSeen
from quorate.database.wal import Reach
from quorate.errors import BadInput
from quorate.inventory import Cluster
from quorate.nodes.image import tool_of
from quorate.nodes.kept import lives_of, named
from quorate.nodes.node import inside
from quorate.nodes.scratch import scratch_of
from quorate.nodes.seen import NodeSeen
from quorate.restoring.source import REPLAY, FromMember, Holdings


@dataclass(frozen=True, slots=True)
class Former:
    """Where one node has it: the directory that was called `member`, and its log, which may lie apart."""

    member: str
    wal: str
    size_bytes: int

    @property
    def apart(self) -> str:
        """The log, where it is not inside."""
        return "" if self.wal == f"{self.member}/wal" else self.wal


def former(settings: Cluster, node: NodeSeen, operation: str) -> Former | None:
    """What the operation has kept on a node, if anything."""
    live = node.lies(settings.etcd.data_dir).real
    for path, size_bytes in node.kept.items():
        for each in lives_of(live):
            if named(path, each) == ("before", operation):
                member = path if each.endswith("/member") else f"{path}/member"
                return Former(member, log(settings, node, each, path) or f"{member}/wal", size_bytes)
    return None


def log(settings: Cluster, node: NodeSeen, live: str, kept: str) -> str:
    """Where `live`, which is kept as `kept`, had its log; nothing where that is in the usual place."""
    wal = node.lies(settings.etcd.wal_dir).real if settings.etcd.wal_dir else ""
    if inside(wal, live):
        return kept + wal.removeprefix(live)
    return f"{wal}{kept.removeprefix(live)}" if wal else ""


def formerly_held(
    operation: str, name: str, cluster: str, settings: Cluster, seen: ClusterSeen
) -> tuple[FromMember, Holdings]:
    """The kept data of the member that is named, else of the one whose log goes furthest; BadInput without any."""
    there = {each: found for each, node in seen.reachable.items() if (found := former(settings, node, operation))}
    reaches = {each: reach for each in there if isinstance(reach := seen.disks.get(each), Reach) and reach.cluster_id}
    if name and name not in there:
        raise BadInput(f"{name} has kept nothing of {operation}; {_holders(operation, there)}", next=_look(cluster))
    if not reaches or (name and name not in reaches):
        why = "; ".join(f"{each}: {seen.disks[each]}" for each in sorted(there) if each in seen.disks)
        said = f"no log that was kept can be read ({why})" if there else _holders(operation, there)
        raise BadInput(f"nothing of {operation} can be restored: {said}", next=_look(cluster))
    best = name or max(sorted(reaches), key=lambda each: reaches[each].order)
    member = next(each for each in settings.members if each.name == best)
    node, found = seen.reachable[best], there[best]
    scratch = replace(scratch_of(settings, member, node), member=found.member, wal_dir=found.apart)
    version = tool_of(settings.etcd, node).version
    source = FromMember(best, REPLAY, scratch, operation)
    holdings = Holdings(best, reaches[best].cluster_id, 0, found.size_bytes, version, operation=operation)
    return source, holdings


def losses(source: FromMember, seen: ClusterSeen) -> Iterator[str]:
    """What was written since is given up; how much that is, where it is on record."""
    served = [each.served_revision for each in seen.lineages if each.operation == source.operation]
    now = max((etcd.revision for etcd in seen.answering.values()), default=0)
    known = max(served, default=0)
    since = f", at least {now - known} revisions: it began at {known}, {now} is served now" if known and now else ""
    yield f"every write since {source.operation} let clients in{since}"


def _holders(operation: str, there: dict[str, Former]) -> str:
    return f"it is kept on {', '.join(sorted(there))}" if there else f"no node has data of {operation}"


def _look(cluster: str) -> str:
    return f"quorate tidy {cluster}"
