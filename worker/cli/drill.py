"""`quorate drill`: hold one, see which there are and when each was last held, check a file of one's own."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.confirming import same_name
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
from worker.cli.results import DRILL_FIELDS, FINDINGS, told
from worker.cli.waiting import Waiting

if TYPE_CHECKING:
    from datetime import datetime

    from quorate.drills.coverage import Covered
    from worker.settings import Settings

LONG = "4h"
app = typer.Typer(help="Drills: prove it before the night, and keep the proof.", no_args_is_help=True)
ScenarioName = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="As `drill ls` shows it, or a file of your own.")
]
InProduction = Annotated[
    str,
    typer.Option("--in-production", metavar="CLUSTER", help="Faults on a production cluster: its name once more."),
]
Confirm = Annotated[
    str,
    typer.Option("--confirm", metavar="CLUSTER", help="Your yes to whatever it restores; else that is waited for."),
]
LS_FIELDS = ("scenarios", "drills")
DUE_FIELDS = ("due",)
VALIDATE_FIELDS = ("scenario", "file")


@app.command()
def start(
    ctx: typer.Context,
    scenario: ScenarioName,
    cluster: ClusterName,
    *,
    in_production: InProduction = "",
    confirm: Confirm = "",
    wait_timeout: Patience = LONG,
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Hold it now, and wait for its verdict. Exit 0 passed, 3 with findings, 9 stopped, 10 failed."""
    from quorate.drills.permitted import request
    from worker.operations import version
    from worker.scenarios import scenario as named

    here = given(ctx)
    with contract(here, output, {**dict.fromkeys(DRILL_FIELDS), "scenario": scenario, "cluster": cluster}) as fields:
        settings = here.settings()
        settings.cluster(cluster)
        same_name(cluster, confirm)
        asked = request(
            settings.inventory,
            cluster,
            named(scenario),
            new_id("drill"),
            actor(who),
            production=in_production,
            confirmed=actor(who) if confirm else "",
        )
        waiting = Waiting(here, output, duration(wait_timeout), fields)
        result = waiting.begin(settings, "drill", replace(asked, version=version()))
    return told(result, here, output)


@app.command()
def ls(ctx: typer.Context, output: As = Output.TABLE) -> int:
    """Which scenarios there are, and by cluster when each was last held and how it ended. Needs no daemon."""
    from worker.scenarios import ours, read
    from worker.screen import table

    here = given(ctx)
    with contract(here, output, {key: [] for key in LS_FIELDS}) as fields:
        found = [read(path) for path in ours().values()]
        rows = coverage(here.settings())
        fields["scenarios"] = [
            {"scenario": each.scenario, "title": each.title, "faults": each.faults} for each in found
        ]
        fields["drills"] = [as_object(each) for each in rows]
        if output is Output.JSON:
            say_json({**fields, "error": None})
            return 0
    kinds = [[each.scenario, "yes" if each.faults else "no", each.title] for each in found]
    say(table([["SCENARIO", "FAULTS", ""], *kinds]))
    say(f"\n{page(rows)}")
    return 0


@app.command()
def due(ctx: typer.Context, output: As = Output.TABLE) -> int:
    """What `drills` of the inventory wants and has not: never held, too long ago, or failed. Exit 3 if any is due."""
    here = given(ctx)
    with contract(here, output, {key: [] for key in DUE_FIELDS}) as fields:
        rows = [each for each in coverage(here.settings()) if each.why_due]
        fields["due"] = [as_object(each) for each in rows]
        if output is Output.JSON:
            say_json({**fields, "error": None})
            return FINDINGS if rows else 0
    for each in rows:
        say(f"{paint().state('WARN')} {each.cluster}: {each.scenario} is due: {each.why_due}")
        say(f"   next: {here.command(f'quorate drill start {each.scenario} {each.cluster}')}")
    if not rows:
        say("nothing is due")
    return FINDINGS if rows else 0


@app.command()
def validate(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A scenario.")],
    output: As = Output.TABLE,
) -> int:
    """Whether a scenario's file makes sense: every mistake at once, with its line. Needs no inventory."""
    from worker.scenarios import read

    here = given(ctx)
    with contract(here, output, {"scenario": None, "file": str(file)}) as fields:
        found = read(file)
        fields["scenario"] = found.scenario
        if output is Output.JSON:
            say_json({**fields, "error": None})
            return 0
    say(f"{found.scenario}: {found.title}; {len(found.stages)} stages, {len(found.proof)} proofs")
    return 0


def coverage(settings: "Settings") -> tuple["Covered", ...]:
    from datetime import UTC, datetime

    from worker.past import coverage

    return coverage(settings.inventory, settings.operations, datetime.now(UTC))


def page(rows: tuple["Covered", ...]) -> str:
    from worker.screen import table

    if not rows:
        return "no drill was ever held, and the inventory wants none"
    colour = paint()
    cells = [
        [
            each.cluster,
            each.scenario,
            colour.state(each.verdict or "never"),
            ago(each.held, each.now),
            each.why_due or "-",
            each.operation or "-",
        ]
        for each in rows
    ]
    return table([["CLUSTER", "SCENARIO", "LAST", "AGO", "DUE", "OPERATION"], *cells])


def ago(at: "datetime | None", now: "datetime") -> str:
    from worker.screen import span

    return span((now - at).total_seconds()) if at else "-"


def as_object(each: "Covered") -> dict[str, Any]:
    return {
        "cluster": each.cluster,
        "scenario": each.scenario,
        "operation": each.operation or None,
        "outcome": each.verdict or None,
        "held_at": each.held.isoformat() if each.held else None,
        "within_s": each.within_s,
        "due": each.why_due or None,
    }
