"""`quorate freeze` and `quorate thaw`: the fence alone, and the way back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

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
    paint,
    say,
    warn,
)
from worker.cli.plan import Gates, Reason, check_gates, step_lines
from worker.cli.restore import REFUSED, Confirm, as_shown, confirmable, confirmed, say_refused, standing
from worker.cli.results import FENCE_FIELDS, told
from worker.cli.waiting import HOUR, Waiting

if TYPE_CHECKING:
    from quorate.operation import RestoreRequest
    from quorate.plan import Plan, Share
    from worker.operations import Result
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
    from worker.operations import no_daemon

    with contract(here, output, {**dict.fromkeys(FENCE_FIELDS), "steps": []}) as fields:
        wiring = here.wiring()
        request = request_for(wiring.settings, asked)
        confirmable(asked.cluster, asked.confirm, asked.verb)
        somebody = standing(wiring.settings, asked.cluster)
        plan = planner(wiring)(request)
        if plan.refusals:
            return refused(plan, fields, here, output)
        if output is Output.TABLE:
            say(page(plan))
        if not somebody:
            raise no_daemon(wiring.settings)
        confirmed(asked.cluster, asked.confirm, fields, asked.verb)
        waiting = Waiting(here, output, asked.patience_s, fields)
        result: Result = waiting.begin(wiring.settings, asked.verb, as_shown(request, plan))
    return told(result, here, output)


def request_for(settings: "Settings", asked: Asked) -> "RestoreRequest":
    """BadInput for a gate that no freeze has, or an override without a reason."""
    from quorate.freeze import GATES
    from quorate.operation import RestoreRequest
    from worker.operations import new_id

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


def page(plan: "Plan") -> str:
    """What happens where, and what it costs."""
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
    return "\n\n".join([*parts, f"digest {chosen.digest()}"])


def host_line(plan: "Plan", share: "Share") -> str:
    units = (share.etcd, *share.control)
    if plan.chosen.runbook == "thaw":
        what = ", ".join(
            f"{unit.unit} {'starts' if unit.before != 'inactive' else 'stays stopped'}" for unit in units
        )
    else:
        what = f"{', '.join(unit.unit for unit in units)} stop, and do not start again before `quorate thaw`"
    return f"  {share.member} ({share.node.host}): {what}"


def refused(plan: "Plan", fields: dict[str, Any], here: Given, output: Output) -> int:
    """The gates said no; nothing was started."""
    gates = " ".join(f"--override-gate {gate.id}" for gate in plan.refusals)
    following = here.command(f"quorate freeze {plan.chosen.cluster} {gates} --reason '…'")
    if output is Output.JSON:
        say_refused(plan, fields, following)
    else:
        said = "; ".join(f"{gate.id}: {gate.evidence}" for gate in plan.refusals)
        say(page(plan))
        warn(f"error: refused, nothing was changed: {said}\nnext: {following}")
    return REFUSED
