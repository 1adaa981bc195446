"""What can be done about a cluster, ranked by what would be lost; where nobody can know, nothing is offered."""

from collections.abc import Iterator

from quorate.database.wal import Reach
from quorate.errors import BadInput
from quorate.findings.case import Case, enough_to_start, log_of, start_of
from quorate.findings.damage import damaged
from quorate.plan import Way
from quorate.restore import losses
from quorate.restoring.source import FromMember, Holdings, held_by
from quorate.restoring.source import losses as left_behind
from quorate.restoring.timing import spoken

NOTHING = "nothing"


def ways(case: Case) -> tuple[Way, ...]:
    """The least lost first; none while an operation has the nodes, or where it would be a guess."""
    seen = case.seen
    if case.claim or len(seen.cluster_ids) > 1:
        return ()
    if seen.has_quorum and not seen.impostor():
        return tuple(mended(case))
    if len(seen.unreachable) >= seen.quorum:
        return ()
    return (*(() if seen.impostor() else lossless(case)), *restores(case))


def mended(case: Case) -> Iterator[Way]:
    """A quorum is there: each lost member for itself, and never a restore."""
    for name in case.gone:
        if name in case.seen.unreachable:
            yield Way("reach", f"find out why {name} does not answer", NOTHING, f"quorate doctor {case.name}", name)
        elif mine := [cause for cause in case.causes if cause.member == name]:
            yield Way("remove-cause", f"remove the cause: {mine[0]}", NOTHING, mine[0].remedy, name)
        elif case.wiped(name):
            yield replaced(case, name, "whose data is gone")
        elif said := damaged(case.seen.reachable[name]):
            yield replaced(case, name, f"whose data is damaged ({said})")
        elif case.stopped(name):
            yield started(case, (name,))
        else:
            log = f"{case.at(name)} {log_of(case.settings.etcd.process)}"
            yield Way("look", f"read why {name} does not come up", NOTHING, log, name)


def lossless(case: Case) -> Iterator[Way]:
    if case.frozen:
        yield Way(
            "thaw", "thaw the cluster: what ran before it was frozen runs again", NOTHING, f"quorate thaw {case.name}"
        )
    for cause in case.causes:
        yield Way("remove-cause", f"remove the cause: {cause}", NOTHING, cause.remedy, cause.member)
    if enough_to_start(case):
        yield started(case, case.startable)


def started(case: Case, names: tuple[str, ...]) -> Way:
    what = f"start {', '.join(names)}, stopped with the data there"
    return Way("start", what, NOTHING, f"{case.at(names[0])} {start_of(case.settings.etcd.process)}", names[0])


def replaced(case: Case, name: str, why: str) -> Way:
    what = f"replace {name}, {why}: it joins again on an empty directory while the others serve"
    return Way("replace-member", what, NOTHING, f"quorate replace-member {case.name} {name}", name)


def restores(case: Case) -> tuple[Way, ...]:
    """A member's own data before the newest backup, unless the backup is known to be newer."""
    taken, backup = best_member(case), from_backup(case)
    member = from_member(case, *taken) if taken else None
    older = taken and case.newest and 0 < taken[1].revision < case.newest.revision
    ranked = (backup, member) if older else (member, backup)
    return tuple(way for way in ranked if way) or without_log(case)


def without_log(case: Case) -> tuple[Way, ...]:
    """The last straw, of every member that has one: whose database is newest nobody can tell."""
    able = [taken for member in case.settings.members if (taken := takeable(case, member.name))]
    return tuple(from_member(case, *taken) for taken in able)


def from_member(case: Case, source: FromMember, holdings: Holdings) -> Way:
    name, at = source.member, f"answers at revision {holdings.revision}"
    stopped = "has lost its log" if holdings.unread else "is stopped with its data"
    what = f"restore from {name}, which {at if holdings.revision else stopped}"
    loses = "; ".join(left_behind(source, holdings, case.seen))
    gate = " --override-gate wal-not-replayed --reason '…'" if holdings.unread else ""
    return Way("from-member", what, loses, f"quorate restore {case.name} --from-member {name}{gate}", name)


def best_member(case: Case) -> tuple[FromMember, Holdings] | None:
    """The one place that decides whose own data is offered: of those that can be taken the longest log."""
    able = [
        taken for member in case.settings.members if (taken := takeable(case, member.name)) and not taken[1].unread
    ]
    return max(able, key=lambda taken: went_to(case, taken[0].member), default=None)


def takeable(case: Case, name: str) -> tuple[FromMember, Holdings] | None:
    """None for an impostor, for one that has raised CORRUPT, and for what no restore would take."""
    etcd = case.seen.answering.get(name)
    if etcd and (case.seen.impostor() or (etcd.member_id, "CORRUPT") in etcd.alarms):
        return None
    try:
        return held_by(name, case.name, case.settings, case.seen)
    except BadInput:
        return None


def went_to(case: Case, name: str) -> tuple[int, int]:
    """Term and index of the last entry, as raft compares logs."""
    if isinstance(disk := case.seen.disks.get(name), Reach):
        return disk.order
    etcd = case.seen.answering.get(name)
    return (etcd.raft_term, etcd.raft_index) if etcd else (0, 0)


def from_backup(case: Case) -> Way | None:
    if (newest := case.newest) is None:
        return None
    age = spoken((case.now - newest.created_at).total_seconds())
    what = f"restore {newest.id}, the newest verified backup, {age} old"
    return Way("backup", what, "; ".join(losses(newest, case.seen)), f"quorate restore {case.name}")
