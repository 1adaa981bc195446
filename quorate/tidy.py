"""Tidy a cluster's nodes: what earlier operations have kept is removed once nobody can want it any more."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from quorate.chosen import Step
from quorate.clusters.cluster import ClusterSeen
from quorate.freeze import fence_plan, frozen, shares_of, unclaimed
from quorate.inventory import Cluster
from quorate.nodes.kept import Kept
from quorate.operation import RestoreRequest
from quorate.plan import Plan

STEPS = (
    Step("claim", "Claim every node", "nodes.claim", undo="nodes.release", patience_s=30),
    Step("tidy", "Remove what is kept too long", "nodes.tidy", patience_s=600, commits=True, expected_s=2),
    Step("release", "Release the nodes", "nodes.release", patience_s=30),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """One copy, how old it is, and why it stays; nothing where it may go."""

    kept: Kept
    age_s: float
    stays: str = ""


def judged(request: RestoreRequest, seen: ClusterSeen, found: Iterable[Kept], now: float) -> tuple[Judged, ...]:
    """Busy where an operation has the nodes: what is kept may be its own."""
    unclaimed(request.cluster, seen)
    copies = sorted(found, key=lambda each: (each.node, -each.began, each.path))
    newest = {(each.node, each.kind): each.operation for each in reversed(copies)}
    limit_s = request.older_than_s or request.settings.keep
    return tuple(
        Judged(each, now - each.began, stays(each, now, limit_s, request.settings, seen, newest)) for each in copies
    )


def stays(
    each: Kept,
    now: float,
    limit_s: float,
    settings: Cluster,
    seen: ClusterSeen,
    newest: dict[tuple[str, str], str],
) -> str:
    """The reason why a copy is not removed, or nothing."""
    if now - each.began <= limit_s:
        return f"it is not older than {limit_s / 86400:g} days"
    if newest[each.node, each.kind] == each.operation and (doubt := why_needed(each.began, settings, seen)):
        return f"it is the last one on {each.node}, and {doubt}"
    return ""


def why_needed(since: float, settings: Cluster, seen: ClusterSeen) -> str:
    """The reason why a last copy may still be wanted, or nothing."""
    if frozen(settings, seen):
        return "the cluster is frozen"
    if seen.impostor() or len(seen.cluster_ids) != 1:
        return "the members are not one cluster, or not the one they were"
    if len(seen.reads) < len(settings.members):
        return f"only {len(seen.reads)} of {len(settings.members)} members serve linearizable reads"
    if any(etcd.alarms for etcd in seen.answering.values()):
        return "an alarm is raised"
    backups = [each for each in seen.manifests if each.outcome == "verified" and each.cluster_id == seen.cluster_id]
    if not any(each.created_at.timestamp() > since for each in backups):
        return "no verified backup of this very cluster is newer"
    return ""


def plan(request: RestoreRequest, seen: ClusterSeen, rows: tuple[Judged, ...]) -> Plan:
    """What is removed is what is approved: its names are in the digest."""
    goes: dict[str, tuple[str, ...]] = {}
    for row in rows:
        if not row.stays:
            goes[row.kept.node] = (*goes.get(row.kept.node, ()), row.kept.path)
    shares = tuple(
        replace(each, removes=goes[each.member])
        for each in shares_of(request, seen, {}, lambda share, _: share)
        if each.member in goes
    )
    losses = tuple(f"{path} on {name}" for name, paths in sorted(goes.items()) for path in paths)
    return replace(fence_plan(request, seen, "tidy", STEPS, shares), losses=losses)
