"""Freeze a cluster: the fence alone, to stop the damage while one thinks. `quorate/thaw.py` is the way back."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from quorate.chosen import Chosen, Share, SnapshotRef, Step
from quorate.clusters.cluster import ClusterSeen
from quorate.errors import Busy, Refusal
from quorate.inventory import Cluster
from quorate.nodes.note import noted, read
from quorate.nodes.seen import NodeSeen
from quorate.nodes.static_pod import FROZEN
from quorate.operation import RestoreRequest
from quorate.plan import Gate, Plan
from quorate.restore import BAR, CLAIM, FENCE, FENCE_API, RELEASE, described
from quorate.restoring.shares import share, supervised

GATES = ("quorum-healthy", "node-unreachable")
STEPS = (CLAIM, Step("note", "Write down what runs", "nodes.note", patience_s=30), BAR, FENCE_API, FENCE, RELEASE)
NOTHING = SnapshotRef("", "", 0, "", "", 0, "", "", 0, "", "")  # is restored

Notes = Mapping[str, str]  # what each node that answers has noted at an earlier freeze, by member
Prepared = Callable[[Share, dict[str, str]], Share]


def plan(request: RestoreRequest, seen: ClusterSeen, notes: Notes) -> Plan:
    """What is stopped and barred where; Busy or Refusal where there is nothing to freeze."""
    unclaimed(request.cluster, seen)
    shares = shares_of(request, seen, notes, lambda each, earlier: to_freeze(request.operation, each, earlier))
    if shares and all(each.before == FROZEN for share in shares for each in (share.etcd, *share.control)):
        raise Refusal(f"{request.cluster} is frozen already", next=f"quorate thaw {request.cluster}")
    gates = tuple(closed(seen))
    refusals = tuple(gate for gate in gates if gate.id not in request.overrides)
    return replace(
        fence_plan(request, seen, "freeze", STEPS, shares),
        refusals=refusals,
        overridden=tuple(gate for gate in gates if gate not in refusals),
        losses=("nothing; until it is thawed nobody is served",),
    )


def fence_plan(
    request: RestoreRequest, seen: ClusterSeen, runbook: str, steps: tuple[Step, ...], shares: tuple[Share, ...]
) -> Plan:
    """A plan that moves no data."""
    settings = request.settings
    chosen = Chosen(
        runbook=runbook,
        cluster=request.cluster,
        cluster_id=seen.cluster_id,
        snapshot=NOTHING,
        store=request.store,
        shares=shares,
        steps=steps_for(settings, steps),
        bump=0,
        overrides=tuple(sorted(set(request.overrides))),
        people=settings.approval.people,
        approvers=settings.approval.names,
        signers=settings.approval.signers,
    )
    return Plan(
        request.operation,
        chosen,
        seen=tuple(described(seen)),
        had_quorum=seen.has_quorum,
        incident=request.incident,
        reason=request.reason,
    )


def steps_for(settings: Cluster, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Without a control plane the steps about one are left out."""
    return tuple(step for step in steps if settings.control_plane or step.roles != "control-plane")


def shares_of(request: RestoreRequest, seen: ClusterSeen, notes: Notes, prepared: Prepared) -> tuple[Share, ...]:
    """Of every node that answers; one that does not can neither be stopped nor started."""
    return tuple(
        prepared(share(request, member, seen), read(notes.get(member.name, ""))[1])
        for member in request.settings.members
        if isinstance(seen.nodes.get(member.name), NodeSeen)
    )


def to_freeze(operation: str, each: Share, earlier: dict[str, str]) -> Share:
    """No rule for the clients: there is nothing that they could reach."""
    note = noted(operation, (each.etcd, *each.control), earlier)
    return replace(each, clients=replace(each.clients, firewall=False), note=note)


def unclaimed(cluster: str, seen: ClusterSeen) -> None:
    """Busy where an operation has the nodes, running or not."""
    for name, node in sorted(seen.reachable.items()):
        if node.holder:
            raise Busy(
                f"operation {node.holder} has claimed {name}: it runs, is held, or was aborted",
                next=f"quorate watch {node.holder}  # after an abort: quorate adopt {cluster}",
            )


def closed(seen: ClusterSeen) -> Iterator[Gate]:
    """Both can be overridden: a thaw is the way back. A quorum of the wrong cluster is not a healthy one."""
    if seen.has_quorum and not seen.impostor() and len(seen.cluster_ids) == 1:
        names = ", ".join(sorted(seen.reads))
        evidence = f"{names} serve linearizable reads: this cluster works, and nobody is served while it is frozen"
        yield Gate("quorum-healthy", evidence)
    if silent := seen.unreachable:
        reasons = "; ".join(each.reason for _name, each in sorted(silent.items()))
        evidence = f"{', '.join(sorted(silent))} cannot be looked at, and would stay as they are: {reasons}"
        yield Gate("node-unreachable", evidence)


def frozen(settings: Cluster, seen: ClusterSeen) -> dict[str, tuple[str, ...]]:
    """What a freeze keeps from running, by member."""
    looked = {name: frozen_on(settings, node) for name, node in sorted(seen.reachable.items())}
    return {name: units for name, units in looked.items() if units}


def frozen_on(settings: Cluster, node: NodeSeen) -> tuple[str, ...]:
    etcd = supervised("etcd", settings.etcd, (), node, quorum=True)
    control = (supervised(each.role, each, (), node, quorum=True) for each in settings.control_plane)
    return tuple(each.unit for each in (etcd, *control) if each.before == FROZEN)
