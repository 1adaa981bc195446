"""What is wrong with a cluster, worst first: each finding with its evidence and the one command to run next."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from quorate.catalogue import Manifest
from quorate.causes import Cause, causes
from quorate.cluster import ClusterSeen, Silence
from quorate.command import shell
from quorate.inventory import Cluster
from quorate.pods import container, parked
from quorate.restore import losses
from quorate.seen import NodeSeen, UnitSeen
from quorate.surroundings import QUOTA_PART_MAX, clock_skew, unfit

LATE = 2.0  # without an objective, a backup is late after twice its interval


@dataclass(frozen=True, slots=True)
class Finding:
    id: str
    level: Literal["FAIL", "WARN"]
    message: str
    evidence: str
    next: str


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
        mine = [each for each in self.seen.manifests if not ids or each.cluster_id in ids]
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
        claims = [node.claim.split()[0] for node in self.seen.reachable.values() if node.claim.strip()]
        return claims[0] if claims else ""

    @property
    def startable(self) -> tuple[str, ...]:
        """Members that are only stopped: their data is there, so starting them loses nothing."""
        return tuple(name for name in self.gone if self.stopped(name))

    @property
    def causes(self) -> tuple[Cause, ...]:
        return causes(self.settings, self.seen)

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
        return isinstance(node, NodeSeen) and self.unit(node).gone and self.has_data(node)

    def unit(self, node: NodeSeen) -> UnitSeen:
        unit = self.settings.etcd.process
        return node.units.get(unit, UnitSeen(unit))

    def has_data(self, node: NodeSeen) -> bool:
        return f"{self.settings.etcd.data_dir}/member/snap/db" in node.paths

    def at(self, name: str) -> str:
        """The beginning of a command on a member's node."""
        return shell(self.settings, name)


def caused(case: Case) -> Iterator[Finding]:
    """Without a quorum it may be all that is wrong, and to remove it loses nothing."""
    if case.seen.has_quorum:
        return
    evidence = (
        "it would keep a restored cluster down too, and to remove it loses nothing: do that first, then look again"
    )
    for cause in case.causes:
        yield Finding("cause-not-removed", "FAIL", str(cause), evidence, cause.remedy)


def impostor(case: Case) -> Iterator[Finding]:
    if evidence := case.seen.impostor():
        message = "this cluster is not the one it was: wiped members have formed an empty one under the old ids"
        yield Finding("impostor", "FAIL", message, evidence, f"quorate plan restore {case.name}")


def mixed_ids(case: Case) -> Iterator[Finding]:
    if len(case.seen.cluster_ids) > 1:
        evidence = ", ".join(f"{name} in {etcd.cluster_id}" for name, etcd in sorted(case.seen.answering.items()))
        message = "the members are in different clusters"
        yield Finding("mixed-ids", "FAIL", message, evidence, f"quorate plan restore {case.name}")


def claimed(case: Case) -> Iterator[Finding]:
    if case.claim:
        message = f"operation {case.claim} has claimed the nodes: it runs, is held, or was aborted"
        evidence = (
            f"{case.settings.lock_dir}/{case.name}/claim on the nodes names it; where no record of it is left, or "
            f"after an abort: quorate adopt {case.name}"
        )
        yield Finding("claimed", "WARN", message, evidence, f"quorate watch {case.claim}")


def quorum_lost(case: Case) -> Iterator[Finding]:
    """Where a majority may serve unseen, where a start is enough, and where only a restore helps."""
    seen, voters = case.seen, len(case.seen.etcd)
    if seen.has_quorum:
        return
    evidence = "; ".join(case.gone.values()) or "every member answers, none serves a linearizable read"
    answer = f"{len(seen.answering)} of {voters} members answer, {seen.quorum} are needed"
    if len(seen.unreachable) >= seen.quorum:
        message = f"a majority cannot be seen: {', '.join(sorted(seen.unreachable))} do not answer over SSH"
        warning = "do not restore before you know that they are off: they may be serving where we cannot see it"
        yield Finding(
            "majority-unreachable", "FAIL", message, f"{evidence}; {warning}", f"quorate doctor {case.name}"
        )
        return
    yield Finding("quorum-lost", "FAIL", f"quorum is lost: {answer}", f"{evidence}. {remedy(case)}", first_aid(case))


def remedy(case: Case) -> str:
    """What a restore would bring back and lose, and what may be tried before."""
    before = ""
    if enough_to_start(case):
        before = f"Before a restore: {', '.join(case.startable)} only need to be started, which loses nothing. "
    if (newest := case.newest) is None:
        return f"{before}There is no backup to restore" + (f" ({case.seen.store})" if case.seen.store else "")
    lost = "; ".join(losses(newest, case.seen))
    return f"{before}`quorate restore {case.name}` brings back {newest.id} and loses {lost}"


def first_aid(case: Case) -> str:
    if found := case.causes:
        return found[0].remedy
    if enough_to_start(case):
        return f"{case.at(case.startable[0])} {start_of(case.settings.etcd.process)}"
    return f"quorate restore {case.name}" if case.newest else f"quorate doctor {case.name}"


def start_of(process: str) -> str:
    """What starts a unit, or a static pod whose manifest was taken away."""
    return f"mv {parked(process)} {process}" if process.startswith("/") else f"systemctl start {process}"


def log_of(process: str) -> str:
    if not process.startswith("/"):
        return f"journalctl -u {process} -n 50"
    return f"sh -c 'crictl ps -a -q --name ^{container(process)}$ | head -n 1 | xargs crictl logs --tail 50'"


def enough_to_start(case: Case) -> bool:
    return not case.claim and len(case.seen.answering) + len(case.startable) >= case.seen.quorum


def member_lost(case: Case) -> Iterator[Finding]:
    if not case.seen.has_quorum:
        return
    for name, instead in case.gone.items():
        evidence = f"{instead}. The others serve reads: do NOT restore, that would throw away a cluster that works"
        aid = f"{case.at(name)} {log_of(case.settings.etcd.process)}"
        if case.stopped(name):
            aid = f"{case.at(name)} {start_of(case.settings.etcd.process)}"
        if name in case.seen.unreachable:
            aid = f"quorate doctor {case.name}"
        for cause in case.causes:
            if cause.member == name:
                evidence, aid = f"{cause.what}. {evidence}", cause.remedy
                break
        yield Finding("member-lost", "FAIL", f"{name} is lost, quorum holds", evidence, aid)


def alarms(case: Case) -> Iterator[Finding]:
    raised = sorted({kind for etcd in case.seen.answering.values() for _id, kind in etcd.alarms})
    url = case.settings.members[0].client_urls[0]
    for kind in raised:
        who = sorted(
            {name_of(case, member) for e in case.seen.answering.values() for member, k in e.alarms if k == kind}
        )
        if kind == "NOSPACE":
            evidence = f"raised by {', '.join(who)}: writes are refused until space is made and the alarm disarmed"
            aid = f"etcdctl --endpoints={url} defrag --cluster  # after `compact`; then `alarm disarm`"
            yield Finding("nospace", "FAIL", "etcd is out of space (alarm NOSPACE); do NOT restore", evidence, aid)
        else:
            evidence = f"raised by {', '.join(who)}"
            aid = f"quorate snapshots ls {case.name}  # find one from before the alarm"
            yield Finding(kind.lower(), "FAIL", f"etcd has raised the alarm {kind}", evidence, aid)


def name_of(case: Case, member_id: str) -> str:
    names = {etcd.member_id: name for name, etcd in case.seen.answering.items()}
    names |= {row.id: row.name for etcd in case.seen.answering.values() for row in etcd.members if row.name}
    return names.get(member_id, f"member {member_id}")


def silent_nodes(case: Case) -> Iterator[Finding]:
    """A member may well serve while its node refuses us; then nothing could be fenced there."""
    for name, silence in sorted(case.seen.unreachable.items()):
        if name not in case.gone:
            message = f"{name} cannot be looked at, although its etcd answers"
            yield Finding("node-unreachable", "WARN", message, silence.reason, f"quorate doctor {case.name}")


def control_plane(case: Case) -> Iterator[Finding]:
    if not case.seen.has_quorum or case.claim:
        return
    for name, node in sorted(case.seen.reachable.items()):
        for component in case.settings.control_plane:
            unit = node.units.get(component.process, UnitSeen(component.process))
            if unit.state != "active":
                aid = f"{case.at(name)} {log_of(component.process)}"
                message = f"{component.role} on {name} is {unit.state}"
                yield Finding("control-plane", "WARN", message, f"{component.process}: {unit.load}, {unit.sub}", aid)


def quota(case: Case) -> Iterator[Finding]:
    for name, etcd in sorted(case.seen.answering.items()):
        if etcd.quota_bytes and etcd.db_bytes > QUOTA_PART_MAX * etcd.quota_bytes:
            part = round(100 * etcd.db_bytes / etcd.quota_bytes)
            evidence = f"{etcd.db_in_use_bytes >> 20} MiB of {etcd.db_bytes >> 20} MiB are in use"
            aid = f"etcdctl --endpoints={case.settings.members[0].client_urls[0]} defrag --cluster"
            yield Finding("quota", "WARN", f"the database of {name} fills {part} % of its quota", evidence, aid)


def clocks(case: Case) -> Iterator[Finding]:
    if evidence := clock_skew(case.settings, case.seen):
        message, _, each = evidence.partition(": ")
        yield Finding("clock-skew", "WARN", message, each, f"quorate doctor {case.name}")


def certificates(case: Case) -> Iterator[Finding]:
    """Before they are a cause."""
    for member in case.settings.members:
        if isinstance(node := case.seen.nodes.get(member.name), NodeSeen):
            for said in unfit(case.settings, member, node, case.seen):
                evidence = "without one that is valid the member cannot talk to the others, or to its clients"
                aid = f"{case.at(member.name)} install -m 0644 NEW.crt {said.split()[0]}  # signed anew"
                yield Finding("certificate", "WARN", f"{member.name}: {said}", evidence, aid)


def backups(case: Case) -> Iterator[Finding]:
    if case.seen.store:
        message = "the store of the backups does not answer"
        yield Finding("store-unreachable", "FAIL", message, case.seen.store, f"quorate doctor {case.name}")
        return
    objectives = case.settings.objectives
    allowed_s = objectives.rpo if objectives else LATE * case.settings.backup.every
    take = f"quorate backup {case.name}" if case.seen.has_quorum else f"quorate snapshots ls {case.name}"
    if case.claim:
        return  # until it is over, its new cluster id is on no record
    if (newest := case.newest) is None:
        evidence = "nothing in the store belongs to this cluster: it cannot be restored"
        yield Finding("no-backup", "FAIL", "there is no backup", evidence, take)
    elif (age_s := (case.now - newest.created_at).total_seconds()) > allowed_s:
        evidence = f"{newest.id} is {age_s / 60:.0f} minutes old, {allowed_s / 60:.0f} are allowed"
        yield Finding("backup-late", "WARN", "the newest backup is older than it may be", evidence, take)


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    caused,
    impostor,
    mixed_ids,
    claimed,
    quorum_lost,
    member_lost,
    alarms,
    silent_nodes,
    quota,
    clocks,
    certificates,
    backups,
    control_plane,
)


def diagnose(case: Case) -> tuple[Finding, ...]:
    """An operation under way comes first, for nothing else may be touched meanwhile; then failures, then the rest."""
    found = [finding for rule in RULES for finding in rule(case)]
    if case.claim:
        found = [replace(finding, next=f"quorate watch {case.claim}") for finding in found]
    return tuple(sorted(found, key=lambda finding: (finding.id != "claimed", finding.level != "FAIL")))
