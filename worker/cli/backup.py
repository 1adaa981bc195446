"""`quorate backup`: takes a verified snapshot now, waits for it and says what it is."""

from typing import TYPE_CHECKING, Annotated

import typer

from quorate.errors import Detached, Failed, QuorateError, StillRunning
from worker.cli.options import Actor, As, ClusterName, Output, Patience, actor, contract, duration, given, new_id
from worker.cli.results import BACKUP_FIELDS, told
from worker.cli.waiting import HOUR, Waiting

if TYPE_CHECKING:
    from worker.returned import Result
    from worker.settings import Settings

UNFINISHED = (StillRunning, Detached)
Accept = Annotated[
    str,
    typer.Option(metavar="REASON", help="Why the cluster has shrunk: a suspect backup counts then, and is degraded."),
]

From = Annotated[str, typer.Option("--from", metavar="MEMBER", help="Of this member, or not at all.")]


def backup(
    ctx: typer.Context,
    cluster: ClusterName,
    *,
    wait_timeout: Patience = HOUR,
    who: Actor = "",
    accept: Accept = "",
    member: From = "",
    output: As = Output.TABLE,
) -> int:
    """Stream a snapshot into the store, read it back, publish it. Exit 0 verified, 3 with findings, 10 failed."""
    here = given(ctx)
    with contract(here, output, dict.fromkeys(BACKUP_FIELDS)) as fields:
        waiting = Waiting(here, output, duration(wait_timeout), fields)
        result = taken(waiting, here.settings(), cluster, actor(who), accepted=accept, member=member)
    return told(result, here, output)


def taken(waiting: Waiting, settings: "Settings", cluster: str, who: str, *, accepted: str, member: str) -> "Result":
    """Whatever ends a backup that has begun is a failed backup, exit 10; its kind says more."""
    from quorate.backups.request import request

    settings.cluster(cluster)
    try:
        asked = request(settings.inventory, cluster, new_id("backup"), who, accepted=accepted, member=member)
        return waiting.begin(settings, "backup", asked)
    except UNFINISHED:
        raise
    except QuorateError as error:
        if not waiting.fields["operation"]:
            raise
        waiting.fields["outcome"] = "failed"
        raise failed(error) from error


def failed(error: QuorateError) -> Failed:
    out = Failed(str(error), next=error.next)
    out.kind = error.kind  # type: ignore[misc]  # the contract wants the first cause, under the code of a failed backup
    return out
