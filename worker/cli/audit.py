"""`quorate audit`: what was done, where, by whom; and whether the trail is whole."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from quorate.errors import BadInput, Corrupt
from worker.cli.options import As, OperationId, Output, contract, given, paint, say, say_json

if TYPE_CHECKING:
    from worker.record import Record

ARGV_SHOWN = 100

app = typer.Typer(help="The audit trail of an operation.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(ctx: typer.Context, operation: OperationId, output: As = Output.TABLE) -> int:
    """Every act with its time, place, exit code and duration."""
    from worker.screen import table

    record = trail(ctx, operation)
    records = sorted(parsed(record), key=lambda each: (each["time"], each["chain"], each["seq"]))
    if output is Output.JSON:
        say_json({"operation": operation, "where": record.where, "records": records})
    else:
        say(table(rows(records)))
    return 0


@app.command()
def verify(ctx: typer.Context, operation: OperationId, output: As = Output.TABLE) -> int:
    """Finds every changed, missing or reordered record; exit 7 if there is one."""
    from quorate.audit import broken, sealed

    with contract(
        given(ctx), output, {"operation": operation, "sealed": None, "records": None, "broken": []}
    ) as fields:
        record = trail(ctx, operation)
        found = broken(record.chains)
        fields["sealed"] = any(sealed(lines) for lines in record.chains.values())
        fields |= {"records": sum(map(len, record.chains.values())), "broken": list(found)}
        if found:
            raise Corrupt(
                f"the audit trail of {operation} is not whole: {'; '.join(found)}",
                next=f"quorate audit show {operation}  # and compare with the copy in the store",
            )
    if output is Output.JSON:
        say_json(fields)
        return 0
    say(f"{paint().state('OK')}  {fields['records']} records in {len(record.chains)} chain(s), {sealing(fields)}")
    say(f"  {record.where}")
    return 0


def sealing(fields: dict[str, Any]) -> str:
    if fields["sealed"]:
        return "sealed: the operation is over"
    return "not sealed yet: if last lines were cut off, nothing tells"


def trail(ctx: typer.Context, operation: str) -> "Record":
    from worker.cli.records import record

    found = record(given(ctx).wiring(), operation)
    if not found.chains:
        raise BadInput(f"there is no audit trail of {operation} in {found.where}", next="quorate operations ls")
    return found


def parsed(record: "Record") -> list[dict[str, Any]]:
    """What can be read; `verify` judges the rest."""
    out = []
    for chain, lines in record.chains.items():
        for line in lines:
            try:
                data = json.loads(line)
            except ValueError:
                continue
            if isinstance(data, dict):
                out.append({"time": "", "seq": 0, **data, "chain": chain})
    return out


def rows(records: list[dict[str, Any]]) -> list[list[str]]:
    """An act and its outcome in one line, in the order they began."""
    from worker.screen import span

    outcomes = {(each["chain"], each.get("of")): each for each in records if each.get("event") == "outcome"}
    out = [["TIME", "ACTOR", "PLACE", "STEP", "EXIT", "TOOK", "WHAT"]]
    for each in records:
        if each.get("event") == "outcome":
            continue
        end = outcomes.get((each["chain"], each["seq"]), {})
        took = span(end["duration_s"]) if "duration_s" in end else took_between(each, end)
        out.append(
            [
                each["time"][:23],
                str(each.get("actor", "")),
                str(each.get("place", "")),
                str(each.get("step", "")),
                ending(each, end),
                took,
                what(each, end),
            ]
        )
    return out


def ending(record: dict[str, Any], end: dict[str, Any]) -> str:
    if record.get("event") != "intent":
        return ""
    if not end:
        return "?"  # nobody lived to record it
    if "error" in end:
        return "error"
    return "not run" if end.get("exit") is None else str(end["exit"])


def took_between(record: dict[str, Any], end: dict[str, Any]) -> str:
    from worker.screen import span

    if not end:
        return ""
    try:
        return span((datetime.fromisoformat(end["time"]) - datetime.fromisoformat(record["time"])).total_seconds())
    except (KeyError, ValueError, TypeError):
        return ""


def what(record: dict[str, Any], end: dict[str, Any]) -> str:
    if record.get("event") != "intent":
        return f"({record.get('event')})"
    argv = " ".join(map(str, record.get("argv", [])))
    short = argv if len(argv) <= ARGV_SHOWN else argv[: ARGV_SHOWN - 1] + "…"
    text = f"{short}  {end['error']}" if "error" in end else short
    return " ".join(text.split())
