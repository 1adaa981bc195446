"""Reasons to refuse a restore, found before anything is stopped, each with its evidence."""

from collections.abc import Callable, Iterator, Mapping

from quorate.backups.catalogue import Manifest
from quorate.clusters import surroundings
from quorate.clusters.causes import causes
from quorate.clusters.cluster import ClusterSeen
from quorate.clusters.power import doubts
from quorate.inventory import Cluster
from quorate.members.etcd import can_bump, minor
from quorate.nodes.effective import UNKNOWN
from quorate.nodes.flags import changed
from quorate.nodes.image import lacking, tool_of
from quorate.nodes.node import inside
from quorate.nodes.seen import NodeSeen
from quorate.plan import Gate
from quorate.restoring.canary import PUTS_MAX, practical, puts
from quorate.restoring.needs import no_space
from quorate.restoring.rehearsal import unproved
from quorate.restoring.source import Holdings, Origin, not_the_newest
from quorate.settings.machines import Member

Evidence = Callable[[Cluster, ClusterSeen, Origin], str]


def quorum_healthy(_: Cluster, seen: ClusterSeen, __: Origin) -> str:
    if not seen.has_quorum:
        return ""
    names = ", ".join(sorted(seen.reads))
    return f"{names} serve linearizable reads at revision {max(seen.reads.values())}: this cluster works"


def claimed(_: Cluster, seen: ClusterSeen, __: Origin) -> str:
    """By an operation that was aborted: one that still runs is found before anything is planned."""
    held: dict[str, list[str]] = {}
    for name, node in sorted(seen.reachable.items()):
        if node.holder:
            held.setdefault(node.holder, []).append(name)
    return "; ".join(f"{', '.join(names)} {verb(names)} to {holder}" for holder, names in sorted(held.items()))


def verb(names: list[str]) -> str:
    return "belong" if len(names) > 1 else "belongs"


def impostor(_: Cluster, seen: ClusterSeen, __: Origin) -> str:
    return seen.impostor()


def suspect(_: Cluster, __: ClusterSeen, origin: Origin) -> str:
    return "" if not isinstance(origin, Manifest) or origin.counts else "; ".join(origin.findings)


def manifest_unsigned(_: Cluster, seen: ClusterSeen, origin: Origin) -> str:
    return seen.doubted.get(origin.id, "") if isinstance(origin, Manifest) else ""


def quarantined(_: Cluster, seen: ClusterSeen, origin: Origin) -> str:
    return seen.quarantined.get(origin.id, "") if isinstance(origin, Manifest) else ""


def sealed(_: Cluster, seen: ClusterSeen, origin: Origin) -> str:
    return seen.sealed.get(origin.id, "") if isinstance(origin, Manifest) else ""


def mixed_ids(_: Cluster, seen: ClusterSeen, __: Origin) -> str:
    if len(seen.cluster_ids) < 2:
        return ""
    listed = ", ".join(f"{name} in {etcd.cluster_id}" for name, etcd in sorted(seen.answering.items()))
    return f"the members are in different clusters: {listed}"


def majority_unreachable(cluster: Cluster, seen: ClusterSeen, _: Origin) -> str:
    """Open when a person vouches for each that it is off, and no remaining node sees otherwise."""
    silent, left = seen.unreachable, doubts(cluster, seen)
    if not left or len(silent) < seen.quorum:
        return "; ".join(left)
    reasons = "; ".join((*(each.reason for _name, each in sorted(silent.items())), *left))
    return f"{', '.join(sorted(silent))} cannot be looked at, a majority may be serving unseen: {reasons}"


def node_unreachable(cluster: Cluster, seen: ClusterSeen, origin: Origin) -> str:
    """A node we cannot look at cannot be fenced either, unless it is left out and shut out."""
    silent = {name: each for name, each in seen.unreachable.items() if name not in seen.left_out}
    if not silent or majority_unreachable(cluster, seen, origin):
        return ""
    return "; ".join(each.reason for _name, each in sorted(silent.items()))


def cause_not_removed(cluster: Cluster, seen: ClusterSeen) -> str:
    """What keeps the cluster down would keep down the restored one."""
    return "; ".join(f"{each} (`{each.remedy}`)" for each in causes(cluster, seen))


def config_differs(cluster: Cluster, seen: ClusterSeen, origin: Origin) -> str:
    found = [
        difference
        for member in cluster.members
        if isinstance(node := seen.nodes.get(member.name), NodeSeen)
        for difference in differences(cluster, member, node, origin.flags.get(member.name, {}))
    ]
    return "; ".join(found)


def differences(cluster: Cluster, member: Member, node: NodeSeen, then: Mapping[str, str]) -> Iterator[str]:
    """What the process, or else the unit, says otherwise than the inventory and than it did at the backup."""
    name, unit = member.name, node.units.get(cluster.etcd.process)
    if unit is None or unit.load != "loaded":
        yield f"{name} has no {cluster.etcd.process} (it is {unit.load if unit else 'not found'})"
        return
    yield from (f"{name}: {each}" for each in foreign(cluster, member, unit.flags))
    if then and unit.flags:
        yield from (f"{name}: {each}" for each in changed(unit, then))


def foreign(cluster: Cluster, member: Member, said: Mapping[str, str]) -> Iterator[str]:
    """What is not as the inventory says."""
    wanted = {
        "data-dir": cluster.etcd.data_dir,
        "name": member.name,
        "initial-advertise-peer-urls": ",".join(member.peer_urls),
    }
    for flag, value in wanted.items():
        if flag in said and said[flag] != value:
            yield f"--{flag} is {said[flag]}, the inventory says {value}"
    if "unreadable" in said:
        yield f"its --config-file {said['config-file']} cannot be read"
    yield from wal_differs(cluster, said)
    if said.get("force-new-cluster", "false") != "false":
        yield f"--force-new-cluster is {said['force-new-cluster']}, which the inventory does not know"


def wal_differs(cluster: Cluster, said: Mapping[str, str]) -> Iterator[str]:
    """Restored without its log's directory, etcd would replay an old log on new data."""
    default = f"{cluster.etcd.data_dir}/member/wal"
    told, wanted = said.get("wal-dir", "").rstrip("/") or default, cluster.etcd.wal_dir or default
    if told == wanted or not said or "unreadable" in said:
        return
    if "wal-dir" not in said:
        if UNKNOWN not in said:
            yield f"--wal-dir is not set, the inventory says {wanted}"
    elif cluster.etcd.wal_dir:
        yield f"--wal-dir is {told}, the inventory says {wanted}"
    else:
        yield f"--wal-dir is {told}, which the inventory does not know"


def layout(cluster: Cluster, seen: ClusterSeen, _: Origin) -> str:
    """Directories that no rename could swap."""
    found = (f"on {name} {said}" for name, node in sorted(seen.reachable.items()) if (said := fixed(cluster, node)))
    return "; ".join(found)


def fixed(cluster: Cluster, node: NodeSeen) -> str:
    where = node.directories.get(cluster.etcd.data_dir)
    wal = node.directories.get(cluster.etcd.wal_dir or "")
    if where and where.member_mounted:
        return f"{where.real}/member is a mount point: neither it nor what it is in can be swapped"
    if wal and wal.mounted:
        return f"the wal-dir {wal.real} is a mount point, which cannot be swapped: take a directory in it"
    if where and wal and f"{where.real}/".startswith(f"{wal.real}/"):
        return f"the wal-dir {wal.real} holds the data directory {where.real}"
    if where and wal and inside(wal.real, f"{where.real}/member" if where.mounted else where.real):
        db, log = node.paths.get(where.real), node.paths.get(wal.real)
        if db and log and db.device != log.device:
            return f"the wal-dir {wal.real} is on another filesystem than {where.real}, which it is in"
    return ""


def lineage(_: Cluster, seen: ClusterSeen, origin: Origin) -> str:
    related = seen.related()
    if isinstance(origin, Holdings) and origin.operation:
        return ""  # it lay on these very nodes; an operation that was aborted has linked the two on no record
    if not related or origin.cluster_id in {"", *related}:
        return ""
    return f"the snapshot is of cluster {origin.cluster_id}; this one is {', '.join(sorted(related))}"


def another_is_newer(_: Cluster, seen: ClusterSeen, origin: Origin) -> str:
    """Only for a member's own data: of two logs that are there nobody should take the shorter one unasked."""
    return not_the_newest(origin.member, seen) if isinstance(origin, Holdings) else ""


def wal_not_replayed(_: Cluster, __: ClusterSeen, origin: Origin) -> str:
    """Only for a member's own data, and only where there is no better way to have it."""
    if not isinstance(origin, Holdings) or not origin.unread:
        return ""
    return (
        f"the write-ahead log of {origin.member} cannot be read ({origin.unread}): its database alone lacks "
        "acknowledged writes that only the log had"
    )


def corrupt(_: Cluster, seen: ClusterSeen, __: Origin) -> str:
    """A member that raised CORRUPT had a reason; its peers may have copied it."""
    sick = sorted({kind for etcd in seen.answering.values() for _id, kind in etcd.alarms if kind == "CORRUPT"})
    return "a member has raised the alarm CORRUPT: make sure the snapshot was taken before that" if sick else ""


def no_bump(cluster: Cluster, seen: ClusterSeen, origin: Origin) -> str:
    """Only where canary writes would take too long."""
    old = old_tools(cluster, seen)
    if not old or practical(seen, origin.revision):
        return ""
    return (
        f"the restore tool cannot raise the revision ({', '.join(old)}; 3.4.27, 3.5.10 or later can), and to pass "
        f"{seen.high_water()} takes {puts(seen, origin.revision)} canary writes, at most {PUTS_MAX} are made: "
        "clients that watched later revisions would miss every write until they are reached again"
    )


def old_tools(cluster: Cluster, seen: ClusterSeen) -> list[str]:
    """Those that cannot raise the revision; one is enough, for all nodes restore alike."""
    versions = tool_versions(cluster, seen)
    return [f"{name} has {version}" for name, version in versions.items() if version and not can_bump(version)]


def no_tool(cluster: Cluster, seen: ClusterSeen, _: Origin) -> str:
    none: dict[str, list[str]] = {}
    for name, node in sorted(seen.reachable.items()):
        if not tool_of(cluster.etcd, node).version:
            none.setdefault(lacking(cluster.etcd, node), []).append(name)
    return "; ".join(f"{reason} on {', '.join(names)}" for reason, names in none.items())


def version(cluster: Cluster, seen: ClusterSeen, origin: Origin) -> str:
    wanted = minor(origin.version)
    other = [
        f"{name} has {found}"
        for name, found in tool_versions(cluster, seen).items()
        if found and minor(found) != wanted
    ]
    return f"the snapshot is of etcd {origin.version}, but {', '.join(other)}" if other else ""


def auth_unproved(cluster: Cluster, seen: ClusterSeen, origin: Origin) -> str:
    """A step proves the credential; here is why none can, or why what was seen cannot be believed."""
    return "; ".join(unproved(cluster, seen, origin))


def quota(cluster: Cluster, seen: ClusterSeen, origin: Origin) -> str:
    return surroundings.quota(cluster, seen, origin.size_bytes)


def around(look: Callable[[Cluster, ClusterSeen], str]) -> Evidence:
    """Evidence that is the same whatever is restored."""
    return lambda cluster, seen, _: look(cluster, seen)


def tool_versions(cluster: Cluster, seen: ClusterSeen) -> dict[str, str]:
    return {name: tool_of(cluster.etcd, node).version for name, node in sorted(seen.reachable.items())}


GATES: tuple[tuple[str, Evidence, bool], ...] = (
    ("claimed", claimed, True),
    ("quorum-healthy", quorum_healthy, True),
    ("impostor", impostor, True),
    ("mixed-ids", mixed_ids, True),
    ("majority-unreachable", majority_unreachable, False),
    ("node-unreachable", node_unreachable, False),
    ("cause-not-removed", around(cause_not_removed), True),
    ("config-differs", config_differs, True),
    ("certificate", around(surroundings.certificate), True),
    ("clock-skew", around(surroundings.clock_skew), True),
    ("layout", layout, False),
    ("no-tool", no_tool, False),
    ("manifest-unsigned", manifest_unsigned, True),
    ("suspect", suspect, True),
    ("quarantined", quarantined, True),
    ("sealed", sealed, False),
    ("version", version, True),
    ("no-bump", no_bump, True),
    ("no-space", no_space, False),
    ("quota", quota, True),
    ("auth-unproved", auth_unproved, True),
    ("learner", around(surroundings.learner), True),
    ("unknown-clients", around(surroundings.unknown_clients), True),
    ("second-etcd", around(surroundings.second_etcd), True),
    ("encryption-key-missing", around(surroundings.encryption_key_missing), True),
    ("pki-differs", around(surroundings.pki_differs), True),
    ("lineage", lineage, True),
    ("not-the-newest", another_is_newer, True),
    ("wal-not-replayed", wal_not_replayed, True),
    ("corrupt", corrupt, True),
)
IDS = tuple(each[0] for each in GATES)


def closed(cluster: Cluster, seen: ClusterSeen, origin: Origin) -> tuple[Gate, ...]:
    """Every gate that says no, in the order above."""
    found = ((key, evidence(cluster, seen, origin), may) for key, evidence, may in GATES)
    return tuple(Gate(key, said, may) for key, said, may in found if said)
