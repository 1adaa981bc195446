"""What is wrong with a cluster, worst first: each finding with its evidence and the one command to run next."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

from quorate.clusters.causes import renewal
from quorate.clusters.surroundings import QUOTA_PART_MAX, clock_skew, unfit
from quorate.findings import expiry, habits, sizing, versions
from quorate.findings.case import Case, log_of
from quorate.findings.finding import Finding as Finding  # noqa: PLC0414 - it was defined here, and is looked for here
from quorate.findings.ways import ways
from quorate.nodes.seen import NodeSeen, UnitSeen
from quorate.nodes.static_pod import FROZEN
from quorate.settings.fields import written

FIRST = ("claimed", FROZEN)
STOPPED = ("quorum-lost", "member-lost", "control-plane")
QUOTA_PART_LAST = 0.95  # after that it is a matter of hours
LATE = 2.0  # without an objective, a backup is late after twice its interval


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
        yield Finding("impostor", "FAIL", message, f"{evidence}. {stop_first(case)}", f"quorate freeze {case.name}")


def mixed_ids(case: Case) -> Iterator[Finding]:
    if len(case.seen.cluster_ids) > 1:
        evidence = ", ".join(f"{name} in {etcd.cluster_id}" for name, etcd in sorted(case.seen.answering.items()))
        message = "the members are in different clusters"
        yield Finding("mixed-ids", "FAIL", message, f"{evidence}. {stop_first(case)}", f"quorate freeze {case.name}")


def stop_first(case: Case) -> str:
    return f"Stop the damage first, `quorate thaw {case.name}` undoes it; then `quorate plan restore {case.name}`"


def frozen(case: Case) -> Iterator[Finding]:
    """Down on purpose: what else is found is no news, and nothing starts before it is thawed."""
    if case.claim:
        return
    if units := case.frozen:
        evidence = "; ".join(f"{name}: {', '.join(each)}" for name, each in units.items())
        message = "the cluster is frozen: what is stopped does not start, also after a reboot"
        if whole := set(case.seen.etcd) - set(units):
            message = f"part of the cluster is frozen, not {', '.join(sorted(whole))}"
        restores = f"; or, from a backup: quorate plan restore {case.name}"
        yield Finding(FROZEN, "FAIL", message, f"{evidence}{restores}", f"quorate thaw {case.name}")


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
    if seen.has_quorum or (len(corrupt(case)) == 1 and replaceable(case)):
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
    message, found = f"quorum is lost: {answer}", ways(case)
    aid = found[0].command if found else f"quorate doctor {case.name}"
    yield Finding("quorum-lost", "FAIL", message, evidence, aid, found)


def member_lost(case: Case) -> Iterator[Finding]:
    if not case.seen.has_quorum:
        return
    by_member = {way.member: way for way in ways(case)}
    for name, instead in case.gone.items():
        evidence = f"{instead}. The others serve reads: do NOT restore, that would throw away a cluster that works"
        way = by_member.get(name)
        aid = way.command if way else f"{case.at(name)} {log_of(case.settings.etcd.process)}"
        yield Finding("member-lost", "FAIL", f"{name} is lost, quorum holds", evidence, aid, (way,) if way else ())


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
            if len(who) == 1 and replaceable(case):
                member = next((m.name for m in case.settings.members if m.name in who), "--odd-one-out")
                aid = f"quorate plan replace-member {case.name} {member}"
            yield Finding(kind.lower(), "FAIL", f"etcd has raised the alarm {kind}", evidence, aid)


def corrupt(case: Case) -> set[str]:
    """Whom the alarm CORRUPT is about; it keeps everybody from reads, so that a quorum only looks lost."""
    return {member for each in case.seen.answering.values() for member, kind in each.alarms if kind == "CORRUPT"}


def replaceable(case: Case) -> bool:
    """Whether a majority agrees on a leader: under CORRUPT nobody serves a read that would tell."""
    leaders = [each.leader for each in case.seen.answering.values() if each.leader]
    return any(leaders.count(leader) >= case.seen.quorum for leader in leaders)


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
            level: Literal["FAIL", "WARN"] = "FAIL" if etcd.db_bytes > QUOTA_PART_LAST * etcd.quota_bytes else "WARN"
            yield Finding("quota", level, f"the database of {name} fills {part} % of its quota", evidence, aid)


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
                aid = f"{case.at(member.name)} {renewal(case.settings.etcd.process, said.split()[0])}"
                yield Finding("certificate", "WARN", f"{member.name}: {said}", evidence, aid)


def backups(case: Case) -> Iterator[Finding]:
    if case.seen.store:
        message = "the store of the backups does not answer"
        copies = case.settings.backup.copies
        instead = f"quorate snapshots ls {case.name} --store {copies[0]}" if copies else f"quorate doctor {case.name}"
        yield Finding("store-unreachable", "FAIL", message, case.seen.store, instead)
        return
    objectives = case.settings.objectives
    allowed_s = objectives.rpo if objectives else LATE * case.settings.backup.expected_s
    take = f"quorate backup {case.name}" if case.seen.has_quorum else f"quorate snapshots ls {case.name}"
    if case.claim:
        return  # until it is over, its new cluster id is on no record
    if (newest := case.newest) is None:
        evidence = "nothing in the store belongs to this cluster: it cannot be restored"
        yield Finding("no-backup", "FAIL", "there is no backup", evidence, take)
    elif (age_s := (case.now - newest.created_at).total_seconds()) > allowed_s:
        evidence = f"{newest.id} is {age_s / 60:.0f} minutes old, {allowed_s / 60:.0f} are allowed"
        yield Finding("backup-late", "WARN", "the newest backup is older than it may be", evidence, take)
    if case.seen.manifests and (why := case.seen.doubted.get(case.seen.manifests[-1].id)):
        message = f"{case.seen.manifests[-1].id} does not count: nobody whom `trust` names vouches for it"
        yield Finding("manifest-unsigned", "FAIL", message, why, f"quorate doctor {case.name}")
    if case.seen.manifests and (why := case.seen.quarantined.get(case.seen.manifests[-1].id)):
        good = f"; the newest that counts is {newest.id}" if newest else "; none counts"
        message = f"{case.seen.manifests[-1].id} does not count: it is quarantined"
        yield Finding("backup-quarantined", "FAIL", message, why + good, take)
    if case.seen.manifests and not (last := case.seen.manifests[-1]).counts:
        message = f"{last.id} does not look like a backup of the cluster that was: it does not count"
        accept = f"quorate backup {case.name} --accept 'why the cluster has shrunk'"
        yield Finding("backup-suspect", "FAIL", message, "; ".join(last.findings), accept)


def proofs(case: Case) -> Iterator[Finding]:
    """That nobody has lately seen a cluster come out of what is stored; only where an objective says how lately."""
    objectives = case.settings.objectives
    allowed_s = objectives.restore_proof if objectives else None
    if not allowed_s or case.seen.store or case.claim:
        return
    proved = case.seen.proved
    if proved is None or (age_s := (case.now - proved).total_seconds()) > allowed_s:
        last = f"the last was {age_s / 3600:.0f} hours ago" if proved else "none ever was"
        message = "no backup was proved by a restore for longer than allowed"
        evidence = f"{last}; objectives.restore_proof is {written(allowed_s)}"
        aid = f"quorate snapshots verify {case.name} --restore"
        if case.settings.sandbox is None:
            evidence = f"{evidence}; and there is no sandbox, where one could be restored"
            aid = "quorate config schema  # clusters.*.sandbox: a machine of no cluster"
        yield Finding("restore-unproved", "WARN", message, evidence, aid)


RULES: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    caused,
    impostor,
    mixed_ids,
    claimed,
    frozen,
    quorum_lost,
    member_lost,
    alarms,
    silent_nodes,
    quota,
    sizing.full,
    sizing.behind,
    habits.dangerous,
    versions.broken,
    versions.mixed,
    clocks,
    certificates,
    backups,
    proofs,
    control_plane,
)

ADVICE: tuple[Callable[[Case], Iterator[Finding]], ...] = (
    expiry.soon,
    sizing.slow,
    sizing.fragmented,
    versions.old,
    versions.mixed_apis,
    habits.ignored,
    habits.timing,
    habits.compaction,
    habits.limits,
    habits.disabled,
    habits.crons,
    sizing.members,
    sizing.machines,
)


def diagnose(case: Case) -> tuple[Finding, ...]:
    """An operation under way comes first, for nothing else may be touched meanwhile; then failures, then the rest."""
    found = [finding for rule in RULES for finding in rule(case)]
    if case.claim:
        found = [replace(finding, next=f"quorate watch {case.claim}") for finding in found]
    if any(finding.id == FROZEN for finding in found):
        found = [thawed(finding, case) for finding in found]
    return tuple(sorted(found, key=lambda finding: (finding.id not in FIRST, finding.level != "FAIL")))


def advise(case: Case) -> tuple[Finding, ...]:
    """What could be better; while an operation has the nodes nobody asks."""
    return () if case.claim else tuple(finding for rule in ADVICE for finding in rule(case))


def thawed(finding: Finding, case: Case) -> Finding:
    """What is down because it is frozen is not started by hand: its bar would refuse it."""
    return replace(finding, next=f"quorate thaw {case.name}") if finding.id in STOPPED else finding
