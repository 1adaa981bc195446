"""`quorate report`: the document of an operation for those who were not there, sealed."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from quorate.errors import BadInput, Corrupt, QuorateError
from worker.cli.options import (
    Actor,
    As,
    ClusterName,
    Given,
    OperationId,
    Output,
    actor,
    contract,
    given,
    paint,
    say,
    say_json,
)

if TYPE_CHECKING:
    from typer._click import Context

    from quorate.reports.report import Report, Row
    from quorate.reports.trend import Trend

FINDINGS = 3
MAKE = "make"
VERIFY_FIELDS = ("file", "operation", "form", "verdict", "key", "fingerprint", "vouched")
ROW_FIELDS = ("operation", "kind", "at", "outcome", "verdict", "rto_s", "rpo_least_s", "rpo_most_s", "duration_s")


class Form(StrEnum):
    HTML = "html"
    JSON = "json"
    MD = "md"


class Reports(TyperGroup):
    """What is no command of its own is an operation: `quorate report OPERATION`."""

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help"}:
            args = [MAKE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=Reports,
    help="The sealed document of an operation: what came of it, who did what, what it rests on.",
    epilog="quorate report OPERATION --help tells its forms.",
    subcommand_metavar="OPERATION [-f html|json|md] [-o FILE] | COMMAND",
    no_args_is_help=True,
    rich_markup_mode=None,
)

As_ = Annotated[
    Form, typer.Option("--format", "-f", help="html to read and print, md for tickets, json for scripts.")
]
To = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="A new file; standard output if left out.")
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A report, of whichever form.")]
Public = Annotated[
    str, typer.Option("--key", metavar="KEY", help="The public key, a file with it, or its fingerprint, SHA256:….")
]


@app.command(MAKE, hidden=True)
def make(ctx: typer.Context, operation: OperationId, form: As_ = Form.HTML, to: To = None, who: Actor = "") -> int:
    """Out of its record and its audit trail; exit 0 whatever the operation's outcome was."""
    from quorate.reports.seal import sealed

    here = given(ctx)
    if to and to.exists():
        raise BadInput(f"{to} is there already; a report is written to a new file")
    wiring = here.wiring()
    report = report_of(here, operation, actor(who))
    text = sealed(report, form, wiring.signing)
    if to is None:
        print(text, end="")
        return 0
    part = to.with_name(f"{to.name}.part")
    try:
        part.write_text(text)
        part.rename(to)
    except OSError as error:
        raise BadInput(f"{to} cannot be written: {error.strerror}") from error
    say(f"{paint().state(report.verdict.judgement)}  {to}: {report.title}, sealed by {report.sealed_by}")
    return 0


def report_of(here: Given, operation: str, who: str) -> "Report":
    import time
    from dataclasses import replace

    from quorate.reports.reporting import reported
    from quorate.sshsig import fingerprint
    from worker.cli.records import record
    from worker.operations import version
    from worker.reports import told

    wiring = here.wiring()
    report = reported(told(wiring, record(wiring, operation)), round(time.time(), 3), who, version())
    return replace(report, sealed_by=fingerprint(wiring.signing.public_key))


@app.command()
def verify(ctx: typer.Context, file: File, key: Public = "", output: As = Output.TABLE) -> int:
    """Finds any change of a report, and says whose seal it bears; needs the file and the public key, nothing else."""
    from quorate.reports.seal import opened
    from quorate.sshsig import fingerprint
    from worker.wiring import signatures

    here = given(ctx)
    with contract(here, output, {**dict.fromkeys(VERIFY_FIELDS), "file": str(file)}) as fields:
        found = opened(content(file), signatures())
        mark = fingerprint(found.key)
        fields.update(operation=found.report.operation, form=found.form, verdict=found.report.verdict.judgement)
        fields.update(key=found.key, fingerprint=mark)
        if key and wanted(key) != mark:
            raise Corrupt(
                f"{file} is whole, and sealed by {mark}, which is not the key that was given ({wanted(key)})",
                next=f"ssh-keygen -lf KEYFILE  # the one that has sealed it: {found.key}",
            )
        fields.update(vouched="given" if key else by_inventory(here, found.key))
    if output is Output.JSON:
        say_json(fields)
    else:
        said = VOUCHED[str(fields["vouched"])]
        state = paint().state("OK" if fields["vouched"] else "UNKNOWN KEY")
        say(f"{state}  {file}: nothing was changed since it was sealed")
        say(f"  {found.report.operation}, {found.report.title}: {fields['verdict']}")
        say(f"  sealed by {mark}: {said}")
    return 0 if fields["vouched"] else FINDINGS


VOUCHED = {
    "given": "the key that was given",
    "own": "this machine's own key",
    "trust": "a key that `trust` of the inventory names",
    "": "whose key that is nobody here says; give it with --key",
}


def content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}") from error


def wanted(key: str) -> str:
    """The fingerprint of what was given, in whichever way."""
    from quorate.sshsig import fingerprint, public_key

    if key.startswith("SHA256:"):
        return key
    try:
        path = Path(key)
        return fingerprint(public_key(path.read_text() if path.is_file() else key))
    except (ValueError, OSError) as error:
        raise BadInput(f"--key {key}: {error}") from error


def by_inventory(here: Given, key: str) -> str:
    """Who vouches for it where no key was given; nobody without an inventory."""
    from worker.wiring import SIGNING

    try:
        settings = here.settings()
        if (settings.state / SIGNING).is_file() and here.wiring().signing.public_key == key:
            return "own"
    except QuorateError:
        return ""
    return "trust" if any(key in each.trust for each in settings.inventory.clusters.values()) else ""


@app.command()
def trend(ctx: typer.Context, cluster: ClusterName, output: As = Output.TABLE) -> int:
    """Drills, restores, proofs and backups over time: verdict, RTO, RPO, duration; medians, of the last five too."""
    from quorate.reports.trend import trends
    from worker.reports import rows

    wiring = given(ctx).wiring()
    settings = wiring.settings
    settings.cluster(cluster)
    found = trends(rows(wiring, cluster))
    if output is Output.JSON:
        say_json(
            {"cluster": cluster, "where": str(settings.operations), "trends": [as_object(each) for each in found]}
        )
        return 0
    if not found:
        say(f"nothing of {cluster} is on record in {settings.operations}")
    for number, each in enumerate(found):
        if number:
            say()
        say(shown(each))
    return 0


SHOWN = 20  # for people; scripts get all


def shown(each: "Trend") -> str:
    from quorate.reports.spoken import interval, moment, span
    from worker.screen import table

    lines = [["WHEN", "VERDICT", "RTO", "RPO", "TOOK", "OPERATION"]]
    for row in each.rows[:SHOWN]:
        lost = interval(row.rpo_least_s, row.rpo_most_s) if row.rpo_most_s is not None else "-"
        figures = (span(row.rto_s), lost, span(row.duration_s))
        lines.append([moment(row.began), row.judgement.lower(), *figures, row.operation])
    more = f"\n… and {len(each.rows) - SHOWN} before" if len(each.rows) > SHOWN else ""
    medians = (
        f"median of those that passed: RTO {span(each.median_rto_s)}, took {span(each.median_duration_s)}; "
        f"of the last five: RTO {span(each.last_rto_s)}, took {span(each.last_duration_s)}"
    )
    if each.longest_gap_s is not None:
        medians += f"\nthe longest from one that passed to the next: {span(each.longest_gap_s)}"
    head = paint()(f"{each.kind}: {each.passed} of {len(each.rows)} passed", "bold")
    return f"{head}\n{table(lines)}{more}\n{medians}"


def as_object(each: "Trend") -> dict[str, Any]:
    return {
        "kind": each.kind,
        "passed": each.passed,
        "median_rto_s": each.median_rto_s,
        "median_duration_s": each.median_duration_s,
        "longest_gap_s": each.longest_gap_s,
        "last_five": {"median_rto_s": each.last_rto_s, "median_duration_s": each.last_duration_s},
        "operations": [row_object(row) for row in each.rows],
    }


def row_object(row: "Row") -> dict[str, Any]:
    from datetime import UTC

    at = datetime.fromtimestamp(row.began, UTC).isoformat(timespec="seconds")
    figures = (row.rto_s, row.rpo_least_s, row.rpo_most_s, row.duration_s)
    return dict(zip(ROW_FIELDS, (row.operation, row.kind, at, row.outcome, row.judgement, *figures), strict=True))
