"""Thaw a cluster: what ran before it was frozen runs again, and nothing else."""

from dataclasses import replace

from quorate.chosen import Share, Step
from quorate.clusters.cluster import ClusterSeen
from quorate.errors import Refusal
from quorate.freeze import Notes, fence_plan, frozen, shares_of, unclaimed
from quorate.nodes.static_pod import FROZEN
from quorate.nodes.supervisor import Supervised
from quorate.operation import RestoreRequest
from quorate.plan import Plan
from quorate.restore import CLAIM, RELEASE, UNBAR

STEPS = (
    CLAIM,
    Step(
        "start",
        "Start etcd where it ran before",
        "nodes.resume",
        undo="nodes.fence",
        commits=True,
        patience_s=180,
        expected_s=3,
    ),
    Step(
        "start-api",
        "Start the control plane where it ran before",
        "nodes.resume",
        roles="control-plane",
        undo="nodes.fence",
        patience_s=180,
        expected_s=8,
    ),
    UNBAR,
    RELEASE,
)


def plan(request: RestoreRequest, seen: ClusterSeen, notes: Notes) -> Plan:
    """What is started where; Refusal where nothing is frozen. A node that is silent stays frozen."""
    unclaimed(request.cluster, seen)
    if not frozen(request.settings, seen):
        silent = f", as far as can be seen without {', '.join(sorted(seen.unreachable))}" if seen.unreachable else ""
        raise Refusal(f"nothing of {request.cluster} is frozen{silent}", next=f"quorate inspect {request.cluster}")
    shares = shares_of(request, seen, notes, to_thaw)
    losses = tuple(f"{name} does not answer and is left as it is" for name in sorted(seen.unreachable))
    return replace(fence_plan(request, seen, "thaw", STEPS, shares), losses=losses)


def to_thaw(each: Share, ran: dict[str, str]) -> Share:
    return replace(
        each,
        etcd=as_it_ran(each.etcd, ran),
        control=tuple(as_it_ran(unit, ran) for unit in each.control),
        clients=replace(each.clients, firewall=False),
    )


def as_it_ran(unit: Supervised, ran: dict[str, str]) -> Supervised:
    """Where no note tells, it ran: a frozen process that stays down would be the worse surprise."""
    return replace(unit, before=ran.get(unit.unit, "active")) if unit.before == FROZEN else unit
