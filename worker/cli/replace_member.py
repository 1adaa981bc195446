"""`quorate replace-member`, and its plan: one member of a cluster that serves makes room for a new one."""

from typing import TYPE_CHECKING, Annotated

import typer

from quorate.errors import BadInput
from worker.cli.confirming import REFUSED, BreakGlass, Confirm, Incident, Walk, broken, standing
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
    say,
    say_json,
)
from worker.cli.plan import Gates, Reason, approval, check_gates, step_lines
from worker.cli.plan import as_object as plan_object
from worker.cli.results import REPLACE_FIELDS, told
from worker.cli.waiting import HOUR

if TYPE_CHECKING:
    from quorate.chosen import Share
    from quorate.operation import RestoreRequest
    from quorate.plan import Plan
    from worker.settings import Settings

VERB = "replace-member"
PLAN_FIELDS = ("cluster", "member", "digest", "refusals", "overrides", "steps", "losses", "quorum", "afterwards")

MemberName = Annotated[
    str,
    typer.Argument(metavar="[MEMBER]", help="A member of the inventory; not with --odd-one-out.", show_default=False),
]
OddOneOut = Annotated[
    bool, typer.Option("--odd-one-out", help="Whoever does not hold what most of them hold, by HashKV.")
]


def replace_member(
    ctx: typer.Context,
    cluster: ClusterName,
    member: MemberName = "",
    *,
    odd_one_out: OddOneOut = False,
    confirm: Confirm = "",
    override_gate: Gates = None,
    reason: Reason = "",
    break_glass: BreakGlass = False,
    incident: Incident = "",
    wait_timeout: Patience = HOUR,
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Replace one member while the others serve: it is removed, joins as a learner, and gets its vote back."""
    from dataclasses import replace

    here = given(ctx)
    with contract(here, output, {**dict.fromkeys(REPLACE_FIELDS), "steps": []}) as fields:
        wiring = here.wiring()
        walk = Walk(here, wiring.settings, output, fields, VERB, cluster, confirm, duration(wait_timeout))
        request = request_for(
            wiring.settings, cluster, named(member, odd_one_out), tuple(override_gate or ()), reason, actor(who)
        )
        request = replace(request, incident=broken(break_glass, incident, reason))
        walk.confirmable()
        daemon = standing(wiring.settings, cluster)
        plan = wiring.planning.replace_member(request)
        fields["member"] = member_of(plan)
        if plan.refusals:
            return walk.refused(plan, page(plan, here), way_out(plan, here))
        result = walk.begun(replace(request, member=member_of(plan)), plan, page(plan, here), daemon=daemon)
    return told(result, here, output)


def plan_replace_member(
    ctx: typer.Context,
    cluster: ClusterName,
    member: MemberName = "",
    *,
    odd_one_out: OddOneOut = False,
    override_gate: Gates = None,
    reason: Reason = "",
    output: As = Output.TABLE,
) -> int:
    """How a member would be replaced, how the quorum would stand meanwhile, and why it may refuse."""
    here = given(ctx)
    with contract(here, output, dict.fromkeys(PLAN_FIELDS)):
        wiring = here.wiring()
        request = request_for(
            wiring.settings, cluster, named(member, odd_one_out), tuple(override_gate or ()), reason, actor("")
        )
        plan = wiring.planning.replace_member(request)
    if output is Output.JSON:
        more = {"member": member_of(plan), "quorum": list(plan.quorum), "afterwards": list(plan.afterwards)}
        say_json({**plan_object(plan, here), **more})
    else:
        say(page(plan, here))
        if not plan.refusals:
            say(f"\nnext: {here.command(again(plan))}")
    return REFUSED if plan.refusals else 0


def named(member: str, odd_one_out: bool) -> str:
    """Nothing for whoever is the odd one out."""
    if bool(member) == odd_one_out:
        raise BadInput("name the member that is to be replaced, or give --odd-one-out: one of the two")
    return member


def request_for(
    settings: "Settings", cluster: str, member: str, gates: tuple[str, ...], reason: str, who: str
) -> "RestoreRequest":
    """BadInput for a gate that there is none, or an override without a reason."""
    from quorate.operation import RestoreRequest
    from quorate.restoring.replace_gates import IDS

    check_gates(gates, IDS, reason)
    return RestoreRequest(
        operation=new_id(VERB),
        cluster=cluster,
        settings=settings.cluster(cluster),
        store=settings.store(cluster),
        snapshot="",
        actor=who,
        overrides=tuple(dict.fromkeys(gates)),
        reason=reason,
        member=member,
    )


def member_of(plan: "Plan") -> str:
    assert plan.chosen.replaced
    return plan.chosen.replaced.member


def page(plan: "Plan", here: Given) -> str:
    """What happens where, how the quorum stands, why not."""
    chosen, colour = plan.chosen, paint()
    mine = next(share for share in chosen.shares if share.member == member_of(plan))
    parts = [
        colour(f"REPLACE MEMBER {mine.member} of {chosen.cluster}", "bold"),
        "seen now:\n" + "\n".join(f"  {line}" for line in plan.seen),
        f"what happens:\n{host_line(plan, mine)}",
        "the quorum:\n" + "\n".join(f"  {line}" for line in plan.quorum),
        colour("what will be lost:", "yellow") + "\n" + "\n".join(f"  {line}" for line in plan.losses),
        "steps:\n" + step_lines(plan),
    ]
    parts += [f"{colour('afterwards', 'yellow')} {each}" for each in plan.afterwards]
    parts += [f"{colour('overridden', 'yellow')} {gate.id}: {gate.evidence}" for gate in plan.overridden]
    parts += [*approval(plan, colour), f"digest {chosen.digest()}"]
    parts += [f"{colour('REFUSED', 'red')} {gate.id}: {gate.evidence}" for gate in plan.refusals]
    return "\n\n".join([*parts, *([f"next: {way_out(plan, here)}"] if plan.refusals else [])])


def host_line(plan: "Plan", share: "Share") -> str:
    former = plan.chosen.replaced.former if plan.chosen.replaced else ""
    live = share.data(plan.operation).live
    return (
        f"  {share.member} ({share.node.host}): {share.etcd.unit} stops; member {former or '(listed no more)'} is "
        f"removed and a learner added;\n    {live} is renamed and kept, what the others send takes its place"
    )


def again(plan: "Plan", verb: str = VERB) -> str:
    """The command that asks for just this."""
    gates = (*plan.chosen.overrides, *(gate.id for gate in plan.refusals))
    flags = "".join(f" --override-gate {each}" for each in dict.fromkeys(gates))
    reason = " --reason '…'" if flags else ""
    return f"quorate {verb} {plan.chosen.cluster} {member_of(plan)}{flags}{reason}"


def way_out(plan: "Plan", here: Given) -> str:
    """What to do about all that refuses."""
    refused = {gate.id for gate in plan.refusals}
    cluster = plan.chosen.cluster
    if refused & {"no-quorum", "quorum-at-risk"}:
        return here.command(f"quorate inspect {cluster}")
    if any(not gate.overridable for gate in plan.refusals):
        return here.command(f"quorate doctor {cluster}")
    return here.command(again(plan, f"plan {VERB}"))
