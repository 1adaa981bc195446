"""`quorate adopt`: take over an operation of which only the nodes still know."""

from typing import TYPE_CHECKING, Any

import typer

from worker.cli.confirming import standing
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
    say,
)
from worker.cli.results import RESTORE_FIELDS, told
from worker.cli.waiting import HOUR, Waiting

if TYPE_CHECKING:
    from quorate.operation import Adopted


def adopt(
    ctx: typer.Context,
    cluster: ClusterName,
    *,
    wait_timeout: Patience = HOUR,
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Take over what has claimed the nodes: it is held where it stopped, then `retry`, `rollback` or `abort`."""
    from quorate.adoption import adopted
    from quorate.operation import RestoreRequest
    from worker.operations import no_daemon

    here = given(ctx)
    fields: dict[str, Any] = {**dict.fromkeys(RESTORE_FIELDS), "steps": []}
    with contract(here, output, fields):
        wiring = here.wiring()
        settings = wiring.settings
        if not standing(settings, cluster):
            raise no_daemon(settings)
        found = adopted(wiring.remains.found(cluster, settings.cluster(cluster)), cluster)
        operation = fields["operation"] = found.plan.operation
        if output is Output.TABLE:
            say(f"{operation} stands at {standpoint(found)}; nobody else can go on with it from now on")
        request = RestoreRequest(
            operation=operation,
            cluster=cluster,
            settings=settings.cluster(cluster),
            store=found.plan.chosen.store,
            snapshot=found.plan.snapshot.id,
            actor=actor(who),
            adopted=found,
        )
        result = Waiting(here, output, duration(wait_timeout), fields).begin(
            settings, found.plan.chosen.runbook, request
        )
    return told(result, here, output)


def standpoint(found: "Adopted") -> str:
    step = found.plan.at(found.step)
    return f"the undo of step {step.key} ({step.title})" if found.undoing else f"step {step.key} ({step.title})"
