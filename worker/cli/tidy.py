"""`quorate tidy`: what earlier operations have kept on the nodes, and the end of what nobody can want any more."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.errors import BadInput
from worker.cli.confirming import Confirm, Walk, same_name, standing
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
    say,
    say_json,
)
from worker.cli.plan import step_lines
from worker.cli.results import FENCE_FIELDS, told
from worker.cli.waiting import HOUR

if TYPE_CHECKING:
    from quorate.operation import RestoreRequest
    from quorate.plan import Plan
    from quorate.tidy import Judged
    from worker.settings import Settings

VERB = "tidy"
OlderThan = Annotated[
    str, typer.Option("--older-than", metavar="DURATION", help="Such as 30d; `keep` of the inventory if left out.")
]


def tidy(
    ctx: typer.Context,
    cluster: ClusterName,
    *,
    older_than: OlderThan = "",
    confirm: Confirm = "",
    wait_timeout: Patience = HOUR,
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """List the data that operations have kept on the nodes; with --confirm remove what is older and not needed."""
    from worker.operations import no_daemon

    here = given(ctx)
    with contract(here, output, {**dict.fromkeys(FENCE_FIELDS), "steps": [], "kept": []}) as fields:
        same_name(cluster, confirm)
        wiring = here.wiring()
        request = request_for(wiring.settings, cluster, older_than, actor(who))
        plan, rows = wiring.planning.tidy(request)
        fields["kept"] = [as_object(row) for row in rows]
        if output is Output.TABLE:
            say(page(rows))
        if not confirm or plan is None:
            if output is Output.JSON:
                say_json({**fields, "error": None})
            elif plan:
                say(f"\nnext: {here.command(again(request))}")
            return 0
        if not standing(wiring.settings, cluster):
            raise no_daemon(wiring.settings)
        walk = Walk(here, wiring.settings, output, fields, VERB, cluster, confirm, duration(wait_timeout))
        result = walk.started(request, plan)
    return told(result, here, output)


def request_for(settings: "Settings", cluster: str, older_than: str, who: str) -> "RestoreRequest":
    from quorate.operation import RestoreRequest

    older_than_s = duration(older_than) if older_than else 0.0
    if older_than and older_than_s <= 0:
        raise BadInput(f"--older-than {older_than}: expected more than nothing")
    return RestoreRequest(
        operation=new_id(VERB),
        cluster=cluster,
        settings=settings.cluster(cluster),
        store=settings.store(cluster),
        snapshot="",
        actor=who,
        older_than_s=older_than_s,
    )


def again(request: "RestoreRequest") -> str:
    older = f" --older-than {request.older_than_s:.0f}s" if request.older_than_s else ""
    return f"quorate tidy {request.cluster}{older} --confirm {request.cluster}"


def as_object(row: "Judged") -> dict[str, Any]:
    kept = row.kept
    return {
        "host": kept.node,
        "path": kept.path,
        "operation": kept.operation,
        "size_bytes": kept.size_bytes,
        "age_s": round(row.age_s),
        "remove": not row.stays,
        "reason": row.stays,
    }


def plan_page(plan: "Plan") -> str:
    """What is removed where."""
    chosen = plan.chosen
    return "\n\n".join(
        (
            paint()(f"TIDY {chosen.cluster}", "bold"),
            "seen now:\n" + "\n".join(f"  {line}" for line in plan.seen),
            "removed:\n" + "\n".join(f"  {line}" for line in plan.losses),
            "steps:\n" + step_lines(plan),
            f"digest {chosen.digest()}",
        )
    )


def page(rows: "tuple[Judged, ...]") -> str:
    from worker.screen import size, span, table

    if not rows:
        return "nothing is kept on the nodes that answer"
    cells = [
        [row.kept.node, row.kept.path, size(row.kept.size_bytes), span(row.age_s), row.stays or "may be removed"]
        for row in rows
    ]
    return table([["HOST", "PATH", "SIZE", "AGE", ""], *cells])
