"""Whether a cluster is large enough for what it serves: members, machines, disks."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from quorate.findings.case import Case
from quorate.findings.finding import Finding, listed, page
from quorate.members.vitals import Latencies
from quorate.nodes.room import staging_bytes

GIB, MIB = 2**30, 2**20
MEMBERS_MAX = 7  # each more makes a write slower, and none makes the cluster safer
BEHIND = 10_000  # revisions: after so many a member is sent a whole snapshot rather than the log (snapshot-count)
FRAGMENTED_BYTES_MIN = 256 * MIB  # below that nobody needs the room
FRAGMENTED_PART = 0.5
SOME = 0.9  # of what is advised: the firmware keeps a part of a machine's memory for itself


@dataclass(frozen=True, slots=True)
class Size:
    """What is advised up to so many nodes of Kubernetes."""

    nodes: float
    members: int
    cpus: int
    memory_gib: int


SIZES = (
    Size(100, 3, 2, 8),
    Size(500, 3, 4, 16),
    Size(1000, 5, 8, 32),
    Size(3000, 5, 16, 64),
    Size(float("inf"), 5, 32, 128),
)


def advised(nodes: int) -> Size:
    return next(size for size in SIZES if nodes < size.nodes)


@dataclass(frozen=True, slots=True)
class Mark:
    """A 99th percentile that is no longer good, and the page of the alert that rings at the second mark."""

    id: str
    what: str
    of: Callable[[Latencies], float | None]
    good_s: float
    bad_s: float
    alert: str


MARKS = (
    Mark("fsync-slow", "WAL fsync", lambda m: m.fsync_p99_s, 0.010, 0.100, "EtcdFsyncSlow"),
    Mark("commit-slow", "backend commit", lambda m: m.commit_p99_s, 0.025, 0.250, "EtcdCommitSlow"),
    Mark("peer-slow", "the way to a peer and back", lambda m: m.peer_p99_s, 0.050, 0.100, "EtcdPeerSlow"),
)


def slow(case: Case) -> Iterator[Finding]:
    """Since each was started, so it may have been long ago: the alerts look at the last five minutes, and ring."""
    told = case.seen.vitals.members
    for mark in MARKS:
        found = {name: took for name, each in sorted(told.items()) if (took := mark.of(each)) and took > mark.good_s}
        if found:
            each = ", ".join(f"{name} {1000 * took:.0f} ms" for name, took in found.items())
            message = f"{mark.what} is slow: {each}"
            evidence = (
                f"99th percentile since its start; {1000 * mark.good_s:.0f} ms are good, above "
                f"{1000 * mark.bad_s:.0f} ms an alert rings; never a reason to restore"
            )
            yield Finding(mark.id, "NOTE", message, evidence, page(mark.alert))


def full(case: Case) -> Iterator[Finding]:
    """Before etcd stops for it: there is no room left for a restore beside the live data."""
    data_dir = case.settings.etcd.data_dir
    for name, node in sorted(case.seen.reachable.items()):
        etcd, free = case.seen.answering.get(name), node.spaces.get(data_dir)
        if etcd and free is not None and free < (needed := staging_bytes(etcd.db_bytes)):
            message = f"{name}: {free // MIB} MiB are free at {data_dir}"
            evidence = f"a restore would need {needed // MIB} MiB beside the live data, and refuse without"
            yield Finding("disk-low", "WARN", message, evidence, f"{case.at(name)} df -h {data_dir}")


def behind(case: Case) -> Iterator[Finding]:
    """Reads through it are old, and it votes for a log that it does not have."""
    highest = max((etcd.revision for etcd in case.seen.answering.values()), default=0)
    for name, etcd in sorted(case.seen.answering.items()):
        if len(case.seen.cluster_ids) == 1 and highest - etcd.revision > BEHIND:
            message = f"{name} is {highest - etcd.revision} revisions behind"
            evidence = (
                f"it serves {etcd.revision}, the highest is {highest}; its disk or its way to the leader is slow"
            )
            yield Finding("member-behind", "WARN", message, evidence, page("EtcdSlowApplies"))


def fragmented(case: Case) -> Iterator[Finding]:
    loose = {
        name: f"{name} uses {etcd.db_in_use_bytes // MIB} of {etcd.db_bytes // MIB} MiB"
        for name, etcd in sorted(case.seen.answering.items())
        if etcd.db_bytes >= FRAGMENTED_BYTES_MIN and etcd.db_in_use_bytes < FRAGMENTED_PART * etcd.db_bytes
    }
    if loose:
        message = f"more than half of the database is empty: {', '.join(loose.values())}"
        evidence = "a backup and a restore carry what is empty too; it counts against the quota"
        yield Finding("fragmented", "NOTE", message, evidence, page("EtcdDatabaseFragmented"))


def members(case: Case) -> Iterator[Finding]:
    voters, nodes = len(case.settings.members), case.seen.vitals.nodes or 0
    aid = "quorate config schema  # clusters.*.members: what the inventory says of them"
    if voters == 1:
        evidence = "when its machine is lost, all that was written since the newest backup is lost with it"
        yield Finding("members", "NOTE", "a single member survives the loss of no machine", evidence, aid)
    elif voters % 2 == 0:
        message = f"{voters} members survive the loss of no more machines than {voters - 1}"
        evidence = f"{voters // 2 + 1} have to agree on every write, {voters // 2} of {voters - 1} would do"
        yield Finding("members", "NOTE", message, evidence, aid)
    elif voters > MEMBERS_MAX:
        evidence = f"every write waits for {voters // 2 + 1} disks; {MEMBERS_MAX} survive the loss of three machines"
        yield Finding("members", "NOTE", f"{voters} members are more than a cluster can use", evidence, aid)
    if 1 < voters < (wanted := advised(nodes).members):
        message = f"{nodes} nodes of Kubernetes depend on {voters} members"
        evidence = f"from 500 nodes on {wanted} are advised: one may be down for maintenance and one be lost"
        yield Finding("members-few", "NOTE", message, evidence, aid)


def machines(case: Case) -> Iterator[Finding]:
    """Only where it is known for whom: etcd without Kubernetes has no such table."""
    if (nodes := case.seen.vitals.nodes) is None:
        return
    size = advised(nodes)
    small = {
        name: f"{node.cpus} CPUs and {node.memory_bytes / GIB:.0f} GiB"
        for name, node in sorted(case.seen.reachable.items())
        if node.memory_bytes and (node.cpus < size.cpus or node.memory_bytes < SOME * size.memory_gib * GIB)
    }
    if small:
        message = f"small for {nodes} nodes of Kubernetes: {grouped(small)}"
        evidence = f"{size.cpus} CPUs and {size.memory_gib} GiB are advised for etcd alone"
        yield Finding("machine-small", "NOTE", message, evidence, f"{case.at(next(iter(small)))} free -h")


def grouped(found: Mapping[str, str]) -> str:
    """Those of whom the same is said stand together: `8 GiB on a, b; 4 GiB on c`."""
    said = {what: listed(name for name, each in found.items() if each == what) for what in found.values()}
    return "; ".join(f"{what} on {names}" for what, names in said.items())
