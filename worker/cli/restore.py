"""`quorate restore`: shows the plan, has it confirmed, begins it, waits for its end."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from worker.cli.confirming import BreakGlass, Confirm, Incident, Walk, broken, standing
from worker.cli.options import Actor, As, ClusterName, Output, Patience, StoreName, contract, duration, given, paint
from worker.cli.plan import FromKept, FromMember, Gates, PoweredOff, Reason, Snapshot, Without
from worker.cli.results import RESTORE_FIELDS, told
from worker.cli.waiting import HOUR

if TYPE_CHECKING:
    from quorate.plan import Plan

VERB = "restore"


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
    from worker.cli.plan import out_of, page, request_for

    here = given(ctx)
    with contract(here, output, {**dict.fromkeys(RESTORE_FIELDS), "steps": []}) as fields:
        wiring = here.wiring()
        walk = Walk(here, wiring.settings, output, fields, VERB, cluster, confirm, duration(wait_timeout))
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
        walk.confirmable()
        with ThreadPoolExecutor(1) as pool:  # nobody waits for one of them first
            asking = pool.submit(standing, wiring.settings, cluster)
            plan = wiring.surveyor.plan(request)
            daemon = asking.result()
        fields |= {"snapshot": plan.chosen.snapshot.id, "revision": plan.chosen.snapshot.revision}
        if plan.refusals:
            plan = out_of(plan, store)
            return walk.refused(plan, page(plan, here, paint()), here.command(again(plan, store)))
        result = walk.begun(request, plan, page(plan, here, paint()), daemon=daemon)
    return told(result, here, output)


def again(plan: "Plan", store: str) -> str:
    """The command that shows why not, once more."""
    from worker.cli.plan import source_flag

    named = f" --store {store}" if store else ""
    return f"quorate plan restore {plan.chosen.cluster} {source_flag(plan)}{named}"
