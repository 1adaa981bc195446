"""`quorate snapshots prune`: which backups may go and why the others stay; with --confirm they go."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.errors import BadInput
from worker.cli.confirming import Confirm
from worker.cli.options import (
    Actor,
    As,
    ClusterName,
    Output,
    Patience,
    StoreName,
    actor,
    contract,
    duration,
    given,
    new_id,
    say,
    say_json,
)
from worker.cli.results import FINDINGS, PRUNE_FIELDS, told
from worker.cli.waiting import HOUR, Waiting

if TYPE_CHECKING:
    from quorate.backups.retention import Judged
    from quorate.prune import Stray

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show it, as without --confirm.")]


def prune(
    ctx: typer.Context,
    cluster: ClusterName,
    *,
    dry_run: DryRun = False,
    confirm: Confirm = "",
    store: StoreName = "",
    wait_timeout: Patience = HOUR,
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Show which backups `backup.retention` lets go, and why each other one stays; with --confirm remove those."""
    from quorate.prune import covered, dated, request

    here = given(ctx)
    with contract(here, output, {**dict.fromkeys(PRUNE_FIELDS), "backups": [], "found": []}) as fields:
        if confirm and confirm != cluster:
            raise BadInput(f"--confirm is {confirm!r}, the cluster is {cluster!r}; nothing was started")
        if confirm and dry_run:
            raise BadInput("--dry-run shows and --confirm removes: give one of them; nothing was started")
        wiring = here.wiring()
        wiring.settings.cluster(cluster)
        asked = request(wiring.settings.inventory, cluster, new_id("prune"), actor(who))
        asked = replace(asked, store=wiring.settings.store(cluster, store))
        there = wiring.stores.at(asked.store)
        rows, strays, keys = wiring.pruning.look(there, asked)
        findings = (*dated(rows), *covered(keys))
        fields.update(backups=[as_object(row) for row in rows], found=[stray_object(each) for each in strays])
        if output is Output.TABLE:
            say(page(rows, strays, findings))
        goes = tuple(row.manifest.id for row in rows if not row.stays)
        if not confirm:
            if output is Output.JSON:
                say_json({**fields, "findings": list(findings), "error": None})
            elif goes or any(not each.stays for each in strays):
                named = f" --store {store}" if store else ""
                say(f"\nnext: {here.command(f'quorate snapshots prune {cluster}{named} --confirm {cluster}')}")
            return FINDINGS if findings or any(each.alarming for each in strays) else 0
        shown = replace(asked, shown=goes)
        result = Waiting(here, output, duration(wait_timeout), fields).begin(wiring.settings, "prune", shown)
    return told(result, here, output)


def as_object(row: "Judged") -> dict[str, Any]:
    each = row.manifest
    return {
        "snapshot": each.id,
        "created_at": each.created_at.isoformat(),
        "stored_bytes": each.stored_bytes,
        "remove": not row.stays,
        "reasons": list(row.stays),
    }


def stray_object(each: "Stray") -> dict[str, Any]:
    return {
        "directory": each.directory,
        "size_bytes": each.size_bytes,
        "remove": not each.stays,
        "reason": each.stays,
    }


def page(rows: "tuple[Judged, ...]", strays: "tuple[Stray, ...]", findings: tuple[str, ...]) -> str:
    from worker.screen import size, table

    cells = [
        [row.manifest.id, size(row.manifest.stored_bytes), "; ".join(row.stays) or "may be removed"] for row in rows
    ]
    cells += [[each.directory, size(each.size_bytes), each.stays or STRAY] for each in strays]
    text = table([["SNAPSHOT", "STORED", ""], *cells]) if cells else "there are no snapshots"
    return "\n".join([text, *(f"finding: {each}" for each in findings)])


STRAY = "no snapshot: left by a dead attempt or an interrupted removal; may be removed"
