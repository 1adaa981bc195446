"""`quorate lay`: what a node has lost comes out of a backup's bundle, and its control plane starts again."""

from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.confirming import Confirm, Walk, standing
from worker.cli.options import (
    Actor,
    As,
    ClusterName,
    Output,
    Patience,
    actor,
    contract,
    duration,
    given,
    new_id,
    paint,
)
from worker.cli.plan import Snapshot, step_lines
from worker.cli.results import LAY_FIELDS, told
from worker.cli.waiting import HOUR

if TYPE_CHECKING:
    from quorate.operation import RestoreRequest
    from quorate.plan import Plan
    from worker.settings import Settings

VERB = "lay"
NodeName = Annotated[str, typer.Option("--node", metavar="NODE", help="Where files are missing.")]


def lay(
    ctx: typer.Context,
    cluster: ClusterName,
    *,
    node: NodeName,
    snapshot: Snapshot = "latest",
    confirm: Confirm = "",
    wait_timeout: Patience = HOUR,
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Lay the files that a node has lost, out of a backup's bundle; what is there is not touched."""
    here = given(ctx)
    with contract(here, output, {**dict.fromkeys(LAY_FIELDS), "steps": []}) as fields:
        wiring = here.wiring()
        walk = Walk(
            here, wiring.settings, output, fields, VERB, cluster, confirm, duration(wait_timeout), f" --node {node}"
        )
        request = request_for(wiring.settings, cluster, node, snapshot, actor(who))
        walk.confirmable()
        daemon = standing(wiring.settings, cluster)
        plan = wiring.planning.lay(request)
        result = walk.begun(request, plan, page(plan), daemon=daemon)
    return told(result, here, output)


def request_for(settings: "Settings", cluster: str, node: str, snapshot: str, who: str) -> "RestoreRequest":
    """BadInput for a node that there is none."""
    from quorate.lay import member_of
    from quorate.operation import RestoreRequest

    request = RestoreRequest(
        operation=new_id(VERB),
        cluster=cluster,
        settings=settings.cluster(cluster),
        store=settings.store(cluster),
        snapshot=snapshot,
        actor=who,
        member=node,
    )
    member_of(request)
    return request


def page(plan: "Plan") -> str:
    """Every file by its name: whoever approves it knows what the node gets."""
    chosen, colour = plan.chosen, paint()
    (share,) = chosen.shares
    files = "\n".join(f"  {at}" for at, _ in share.lays)
    starts = ", ".join(unit.unit for unit in share.control) or "nothing"
    return "\n\n".join(
        (
            colour(f"LAY {chosen.cluster} {share.member}", "bold"),
            "seen now:\n" + "\n".join(f"  {line}" for line in plan.seen),
            f"laid on {share.member} ({share.node.host}), out of the bundle of {chosen.snapshot.id}:\n{files}",
            f"starts then, where it does not run: {starts}",
            "steps:\n" + step_lines(plan),
            f"digest {chosen.digest()}",
        )
    )
