"""`quorate snapshots protect` and `unprotect`: what no retention removes, said by whom and why."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.errors import BadInput
from worker.cli.fetching import SnapshotId
from worker.cli.options import Actor, As, Output, StoreName, actor, contract, given, new_id, say, say_json

if TYPE_CHECKING:
    from quorate.backups.marks import Kind

FIELDS = ("operation", "cluster", "snapshot", "protected", "reason")
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it lies beside the snapshot.")]


def protect(
    ctx: typer.Context,
    snapshot: SnapshotId,
    *,
    reason: Reason = "",
    store: StoreName = "",
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """No retention removes it, until somebody says otherwise."""
    from quorate.backups.marks import Kind

    return marked(ctx, snapshot, Kind.PROTECTED, reason, store, actor(who), output)


def unprotect(
    ctx: typer.Context,
    snapshot: SnapshotId,
    *,
    reason: Reason = "",
    store: StoreName = "",
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Retention may remove it again."""
    from quorate.backups.marks import Kind

    return marked(ctx, snapshot, Kind.UNPROTECTED, reason, store, actor(who), output)


def marked(ctx: typer.Context, snapshot: str, kind: "Kind", reason: str, store: str, who: str, output: Output) -> int:
    """By this process itself: it needs no daemon, and is on record in the state directory and in the store."""
    from quorate.backups.marks import Mark, put
    from quorate.command import Ticket
    from worker.cli.records import closed
    from worker.cli.snapshots import named, shelf_of

    here = given(ctx)
    with contract(here, output, dict.fromkeys(FIELDS)) as fields:
        if not reason.strip():
            raise BadInput("--reason is missing: whoever looks at it in a year will ask")
        wiring = here.wiring()
        found = named(wiring, snapshot, store)
        ticket = Ticket(new_id("mark"), 1, 1, "mark", who)
        fields.update(operation=ticket.operation, cluster=found.cluster, snapshot=found.id, reason=reason.strip())
        with closed(wiring, ticket.operation, kind.value, fields):
            mark = Mark(found.directory, kind, datetime.now(UTC), who, ticket.operation, reason.strip())
            put(wiring.marking(found.cluster, store, ticket), mark)
            protected = shelf_of(wiring, found.cluster, store).standing(found).protected
            fields.update(protected=protected)
    if output is Output.JSON:
        say_json({**fields, "error": None})
    else:
        say(f"{found.id} is {'protected: no retention removes it' if protected else 'not protected any more'}")
    return 0
