"""`quorate restore`: shows the plan, has it confirmed, begins it, waits for its end."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.errors import BadInput, Busy, NotApproved
from worker.cli.operations import asked
from worker.cli.options import (
    Actor,
    As,
    ClusterName,
    Given,
    Output,
    Patience,
    StoreName,
    contract,
    duration,
    given,
    paint,
    say,
    say_json,
    warn,
)
from worker.cli.plan import FromKept, FromMember, Gates, PoweredOff, Reason, Snapshot, Without
from worker.cli.results import RESTORE_FIELDS, told
from worker.cli.waiting import HOUR, Waiting

if TYPE_CHECKING:
    from quorate.operation import RestoreRequest
    from quorate.plan import Plan
    from worker.settings import Settings

REFUSED = 4

Confirm = Annotated[
    str, typer.Option("--confirm", metavar="CLUSTER", help="The cluster's name again, instead of typing it.")
]
BreakGlass = Annotated[
    bool, typer.Option("--break-glass", help="Do not wait for a second person; needs --incident and --reason.")
]
Incident = Annotated[str, typer.Option("--incident", metavar="ID", help="For which the glass is broken.")]


def restore(
    ctx: typer.Context,
    cluster: ClusterName,
    *,
    snapshot: Snapshot = "latest",
    from_member: FromMember = "",
    from_kept: FromKept = "",
    confirm: Confirm = "",
    override_gate: Gates = None,
    reason: Reason = "",
    powered_off: PoweredOff = None,
    without: Without = None,
    break_glass: BreakGlass = False,
    incident: Incident = "",
    store: StoreName = "",
    wait_timeout: Patience = HOUR,
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Bring a cluster back. Live data is kept; a failure before etcd starts undoes everything."""
    from worker.cli.plan import out_of, request_for
    from worker.operations import no_daemon

    here = given(ctx)
    with contract(here, output, {**dict.fromkeys(RESTORE_FIELDS), "steps": []}) as fields:
        patience_s = duration(wait_timeout)
        wiring = here.wiring()
        request = request_for(
            wiring.settings,
            cluster,
            snapshot=snapshot,
            from_member=from_member,
            from_kept=from_kept,
            gates=override_gate or [],
            reason=reason,
            who=who,
            powered_off=powered_off or [],
            without=without or [],
            store=store,
        )
        request = replace(request, incident=broken(break_glass, incident, reason))
        confirmable(cluster, confirm)
        with ThreadPoolExecutor(1) as pool:  # nobody waits for one of them first
            asking = pool.submit(standing, wiring.settings, cluster)
            plan = wiring.surveyor.plan(request)
            somebody = asking.result()
        fields |= {"snapshot": plan.chosen.snapshot.id, "revision": plan.chosen.snapshot.revision}
        if plan.refusals:
            return refused(out_of(plan, store), store, fields, here, output)
        if output is Output.TABLE:
            say(shown(plan, here))
        if not somebody:
            raise no_daemon(wiring.settings)
        confirmed(cluster, confirm, fields)
        waiting = Waiting(here, output, patience_s, fields)
        result = waiting.begin(wiring.settings, "restore", as_shown(request, plan))
    return told(result, here, output)


def as_shown(request: "RestoreRequest", plan: "Plan") -> "RestoreRequest":
    """Approved by who asks, for this plan and no other."""
    return replace(request, approved=plan.chosen.digest(), shown=plan.chosen)


def say_refused(plan: "Plan", fields: dict[str, Any], following: str) -> None:
    """For scripts: every gate that says no, and what to run now."""
    from worker.cli.plan import gate_object

    said = "; ".join(f"{gate.id}: {gate.evidence}" for gate in plan.refusals)
    error = {"kind": "refused", "message": said, "next": following}
    gates = [gate_object(gate) for gate in plan.refusals]
    say_json({**fields, "outcome": "refused", "refusals": gates, "error": error})


def broken(break_glass: bool, incident: str, reason: str) -> str:
    """The incident that the glass is broken for, or nothing; by halves it is not broken."""
    if break_glass and not (incident.strip() and reason.strip()):
        raise BadInput("--break-glass needs --incident ID and --reason TEXT: both go on record with your name")
    if incident and not break_glass:
        raise BadInput("--incident is for --break-glass, which is not given")
    return incident.strip()


def confirmable(cluster: str, confirm: str, verb: str = "restore") -> None:
    """Before anything is looked at: without a terminal nobody can be asked."""
    if confirm and confirm != cluster:
        raise BadInput(f"--confirm is {confirm!r}, the cluster is {cluster!r}; nothing was started")
    if not confirm and not sys.stdin.isatty():
        raise BadInput(
            f"a {verb} has to be confirmed, and nobody can be asked without a terminal: give --confirm {cluster}",
            next=f"quorate {verb} {cluster} --confirm {cluster}",
        )


def standing(settings: "Settings", cluster: str) -> bool:
    """Whether a daemon could carry it out; Busy if one carries out another operation on this cluster."""
    running = asked(settings, lambda client: client.open())
    for found in running or ():
        if found.cluster == cluster and found.changes_nodes:
            raise Busy(f"{found.operation} runs on {cluster}", next=f"quorate watch {found.operation}")
    return running is not None


def confirmed(cluster: str, confirm: str, fields: dict[str, Any], verb: str = "restore") -> None:
    if confirm:
        return
    warn(f"\nType the name of the cluster to {verb} it ({cluster}): ")
    try:
        typed = input("> ")
    except EOFError:
        typed = ""
    if typed.strip() != cluster:
        fields["outcome"] = "refused"
        raise NotApproved(f"{typed.strip()!r} is not {cluster!r}; nothing was started")


def shown(plan: "Plan", here: Given) -> str:
    from worker.cli.plan import page

    return page(plan, here, paint())


def refused(plan: "Plan", store: str, fields: dict[str, Any], here: Given, output: Output) -> int:
    """The gates said no; nothing was started."""
    from worker.cli.plan import source_flag

    named = f" --store {store}" if store else ""
    following = here.command(f"quorate plan restore {plan.chosen.cluster} {source_flag(plan)}{named}")
    if output is Output.JSON:
        say_refused(plan, fields, following)
    else:
        say(shown(plan, here))
        warn(f"error: refused, nothing was changed: {', '.join(gate.id for gate in plan.refusals)}")
    return REFUSED
