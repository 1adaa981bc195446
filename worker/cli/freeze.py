"""`quorate freeze` and `quorate thaw`: the fence alone, and the way back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from worker.cli.confirming import Confirm, Walk, standing
from worker.cli.options import (
    Actor,
    As,
    ClusterName,
    Given,
    Output,
    Patience,
    actor,
    contract,
    duration,
    given,
    new_id,
    paint,
)
from worker.cli.plan import Gates, Reason, check_gates, step_lines
from worker.cli.results import FENCE_FIELDS, told
from worker.cli.waiting import HOUR

if TYPE_CHECKING:
    from quorate.chosen import Share
    from quorate.operation import RestoreRequest
    from quorate.plan import Plan
    from worker.settings import Settings
    from worker.wiring import Wiring


def freeze(
    ctx: typer.Context,
    cluster: ClusterName,
    *,
    confirm: Confirm = "",
    override_gate: Gates = None,
    reason: Reason = "",
    wait_timeout: Patience = HOUR,
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Stop the damage while you think: etcd and the control plane stop everywhere, and stay stopped until `thaw`."""
    asked = Asked("freeze", cluster, confirm, tuple(override_gate or ()), reason, actor(who), duration(wait_timeout))
    return fenced(given(ctx), asked, output, lambda wiring: wiring.planning.freeze)


def thaw(
    ctx: typer.Context,
    cluster: ClusterName,
    *,
    confirm: Confirm = "",
    wait_timeout: Patience = HOUR,
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Start again what ran before the cluster was frozen, and nothing else."""
    asked = Asked("thaw", cluster, confirm, (), "", actor(who), duration(wait_timeout))
    return fenced(given(ctx), asked, output, lambda wiring: wiring.planning.thaw)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed."""

    verb: str
    cluster: str
    confirm: str
    gates: tuple[str, ...]
    reason: str
    who: str
    patience_s: float


def fenced(
    here: Given,
    asked: Asked,
    output: Output,
    planner: "Callable[[Wiring], Callable[[RestoreRequest], Plan]]",
) -> int:
    """Show the plan, have it confirmed, begin it, wait for its end."""
    with contract(here, output, {**dict.fromkeys(FENCE_FIELDS), "steps": []}) as fields:
        wiring = here.wiring()
        request = request_for(wiring.settings, asked)
        walk = Walk(here, wiring.settings, output, fields, asked.verb, asked.cluster, asked.confirm, asked.patience_s)
        walk.confirmable()
        daemon = standing(wiring.settings, asked.cluster)
        plan = planner(wiring)(request)
        if plan.refusals:
            return walk.refused(plan, page(plan, here), here.command(again(plan)))
        result = walk.begun(request, plan, page(plan, here), daemon=daemon)
    return told(result, here, output)


def request_for(settings: "Settings", asked: Asked) -> "RestoreRequest":
    """BadInput for a gate that no freeze has, or an override without a reason."""
    from quorate.freeze import GATES
    from quorate.operation import RestoreRequest

    check_gates(asked.gates, GATES, asked.reason)
    return RestoreRequest(
        operation=new_id(asked.verb),
        cluster=asked.cluster,
        settings=settings.cluster(asked.cluster),
        store=settings.store(asked.cluster),
        snapshot="",
        actor=asked.who,
        overrides=tuple(dict.fromkeys(asked.gates)),
        reason=asked.reason,
    )


def page(plan: "Plan", here: Given) -> str:
    """What happens where, what it costs, why not."""
    chosen, colour = plan.chosen, paint()
    parts = [
        colour(f"{chosen.runbook.upper()} {chosen.cluster}", "bold"),
        "seen now:\n" + "\n".join(f"  {line}" for line in plan.seen),
        "what happens on each host:\n" + "\n".join(host_line(plan, share) for share in chosen.shares),
        "steps:\n" + step_lines(plan),
    ]
    parts += [colour("what will be lost:", "yellow") + "".join(f"\n  {each}" for each in plan.losses)] * bool(
        plan.losses
    )
    parts += [f"{colour('overridden', 'yellow')} {gate.id}: {gate.evidence}" for gate in plan.overridden]
    parts += [f"digest {chosen.digest()}"]
    parts += [f"{colour('REFUSED', 'red')} {gate.id}: {gate.evidence}" for gate in plan.refusals]
    return "\n\n".join([*parts, *([f"next: {here.command(again(plan))}"] if plan.refusals else [])])


def host_line(plan: "Plan", share: "Share") -> str:
    units = (share.etcd, *share.control)
    if plan.chosen.runbook == "thaw":
        what = ", ".join(
            f"{unit.unit} {'starts' if unit.before != 'inactive' else 'stays stopped'}" for unit in units
        )
    else:
        what = f"{', '.join(unit.unit for unit in units)} stop, and do not start again before `quorate thaw`"
    return f"  {share.member} ({share.node.host}): {what}"


def again(plan: "Plan") -> str:
    """With all that refuses overridden."""
    gates = " ".join(f"--override-gate {gate.id}" for gate in plan.refusals)
    return f"quorate freeze {plan.chosen.cluster} {gates} --reason '…'"
