"""`quorate kit`: one file with everything for a machine that has nothing, but for the keys."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.options import As, Output, duration, given, say, say_json

FINDINGS = 3

app = typer.Typer(
    help="One offline file for a machine that has nothing.", no_args_is_help=True, rich_markup_mode=None
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A zip file.")]
Old = Annotated[str, typer.Option("--older-than", metavar="DURATION", help="How old it may be.")]


@app.command()
def export(ctx: typer.Context, file: File, output: As = Output.TABLE) -> int:
    """Inventory, host keys, restore tools, Quorate with all that it needs, runbooks. No key and no password."""
    from worker.kit import export as exported
    from worker.kit import total
    from worker.screen import size

    made = exported(given(ctx).wiring(), file, datetime.now(UTC))
    kit = made.kit
    if output is Output.JSON:
        said = {"file": str(file), "version": kit.version, "python": kit.python, "bring": dict(kit.bring)}
        say_json({**said, "contents": sorted(kit.contents), "findings": made.findings})
    else:
        say(f"{file}: {len(kit.contents)} files, {size(total(kit.contents))}, for {kit.python}")
        say("not in it, and needed beside it:")
        for where, what in kit.bring.items():
            say(f"  {what}  ({where})")
        for each in made.findings:
            say(f"finding: {each}")
    return FINDINGS if made.findings else 0


@app.command()
def check(ctx: typer.Context, file: File, older_than: Old = "30d", output: As = Output.TABLE) -> int:
    """Is it whole, and would one that is made now be the same."""
    from quorate.backups.kit import differences
    from worker.kit import opened, today

    old_s = duration(older_than)
    kit = opened(file)
    findings = list(differences(kit, today(given(ctx).wiring(), datetime.now(UTC)), old_s))
    if output is Output.JSON:
        say_json(
            {"file": str(file), "made_at": kit.made_at.isoformat(), "version": kit.version, "findings": findings}
        )
    else:
        say(f"{file} is whole: {len(kit.contents)} files, made {kit.made_at:%Y-%m-%d %H:%M}Z")
        for each in findings:
            say(f"finding: {each}")
    return FINDINGS if findings else 0
