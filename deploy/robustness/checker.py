"""Decides from the cluster how a restore ended: fully new, fully as before, held and truly described, or failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.robustness.acknowledged import gone_clusters, lost_and_found, went_back
from deploy.robustness.held import elsewhere, untrue
from deploy.robustness.objects import objects_astray, unserved
from deploy.robustness.readings import LIVE, NOTHING, RESTORED
from deploy.robustness.whole import flaws

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deploy.robustness.readings import Evidence, Reading

NEW, BEFORE, HELD, FAILED = "fully new", "fully as before", "held", "FAILED"
SAYS = {NEW: {RESTORED, NOTHING}, BEFORE: {"undone", "refused", NOTHING, ""}}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it ended, and what is wrong where it is none of the three ends that are allowed."""

    end: str
    wrong: tuple[str, ...] = ()


def judge(seen: Evidence) -> Verdict:
    """What the operation says is compared with what was found, never the other way round."""
    back = tuple(went_back((*seen.writes, *seen.objects)))
    if seen.told.outcome == "held":
        return failed_or(HELD, (*untrue(seen), *back))
    if seen.told.outcome != RESTORED and seen.before.bare:
        return failed_or(BEFORE, (*touched(seen), *back, *said_twice(seen)))
    always = (*back, *gone_clusters(seen), *flaws(seen), *unserved(seen), *said_twice(seen))
    new, before = tuple(not_new(seen)), tuple(not_before(seen))
    end, wrong = (NEW, new) if len(new) < len(before) else (BEFORE, before)
    if not (always or wrong) and seen.told.outcome not in SAYS[end]:
        return Verdict(FAILED, (f"the cluster is {end}, but the operation says {seen.told.outcome or 'nothing'}",))
    return failed_or(end, (*always, *wrong))


def said_twice(seen: Evidence) -> Iterator[str]:
    """An operation that is over is on record as what it was said to be."""
    if seen.operation and seen.told.outcome not in (NOTHING, seen.told.recorded):
        yield f"the command said {seen.told.outcome}, the record says {seen.told.recorded or 'nothing'}"


def failed_or(end: str, wrong: tuple[str, ...]) -> Verdict:
    return Verdict(FAILED, (f"meant to be {end}", *wrong)) if wrong else Verdict(end)


def not_new(seen: Evidence) -> Iterator[str]:
    """A cluster of its own, the backup and nothing else in it, and the old data kept on every node."""
    yield from same_ids(seen)
    kept = f"{LIVE}.before-{seen.operation}"
    for name, node in seen.after.nodes.items():
        old = seen.before.nodes[name].directories.get(LIVE)
        if old and node.directories.get(kept) != old:
            yield f"{name}: the data from before is not in {kept}: {lying(seen, name)}"
        if node.directories.get(LIVE, old) == old:
            yield f"{name}: no new data in {LIVE}: {lying(seen, name)}"
    for name, member in seen.after.members.items():
        for flaw in lost_and_found(seen, member.keys, restored=True):
            yield f"{name}: {flaw}"
    yield from objects_wrong(seen, restored=True)


def objects_wrong(seen: Evidence, *, restored: bool) -> Iterator[str]:
    for name, objects in seen.after.objects.items():
        for flaw in objects_astray(seen, objects, restored=restored):
            yield f"the API server on {name}: {flaw}"


def lying(seen: Evidence, name: str) -> str:
    """Every directory by its inode, before and after."""
    return f"{dict(seen.before.nodes[name].directories)}, then {dict(seen.after.nodes[name].directories)}"


def same_ids(seen: Evidence) -> Iterator[str]:
    """An id that is used again lets an old member in."""
    old = {member.cluster_id for member in seen.before.members.values()}
    ids = member_ids(seen.before)
    for name, member in seen.after.members.items():
        if member.cluster_id in old:
            yield f"{name} has the cluster id from before, {member.cluster_id}"
        if member.member_id in ids.values():
            yield f"{name} has a member id from before, {member.member_id}"


def touched(seen: Evidence) -> Iterator[str]:
    """What is not as it was on nodes that had lost their quorum: nobody serves, so nobody can be asked."""
    for name, node in seen.after.nodes.items():
        if (was := seen.before.nodes[name]) != node:
            yield f"{name} is not as it was: {was}, then {node}"


def not_before(seen: Evidence) -> Iterator[str]:
    """The same cluster on the same data, with everything that was ever acknowledged."""
    old = {member.cluster_id for member in seen.before.members.values()}
    ids = member_ids(seen.before)
    for name, member in seen.after.members.items():
        if member.cluster_id not in old:
            yield f"{name} has another cluster id than before, {member.cluster_id}"
        if member.member_id != ids.get(name):
            yield f"{name} has another member id than before, {member.member_id}"
        for flaw in lost_and_found(seen, member.keys, restored=False):
            yield f"{name}: {flaw}"
    kept = f"{LIVE}.before-{seen.operation}"
    for name, node in seen.after.nodes.items():
        if node.directories.get(LIVE) != seen.before.nodes[name].directories.get(LIVE):
            yield f"{name}: another directory than before is in {LIVE}: {lying(seen, name)}"
        if kept in node.directories:
            yield f"{name} still has {kept}"
    yield from objects_wrong(seen, restored=False)
    yield from elsewhere(seen)


def member_ids(reading: Reading) -> Mapping[str, str]:
    return {name: member.member_id for name, member in reading.members.items()}
