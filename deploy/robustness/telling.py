"""A line a run, a table of all of them, and a file that keeps them for the next table."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from deploy.bench.rows import table
from deploy.robustness.checker import BEFORE, FAILED, HELD, NEW

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from deploy.robustness.chance import Strike
    from deploy.robustness.run import Ran

HEAD = (
    "fault",
    "runs",
    "struck",
    "fully new",
    "fully as before",
    "held, then new",
    "held, then before",
    "aborted",
    "FAILED",
    "one of them",
)


def line(ran: Ran) -> str:
    struck = " and ".join(told(strike) for strike in ran.case.strikes)
    late = "" if ran.struck else " (over before it struck)"
    return f"seed {ran.case.seed}  {struck}{late}  {', then '.join(ran.ends)}  {ran.seconds:.1f} s"


def told(strike: Strike) -> str:
    lasts = f", for {strike.lasts_s} s" if strike.lasts_s else ""
    return f"{strike.fault.name}  {strike.moment}{lasts}, node {strike.node + 1}"


def trouble(ran: Ran) -> Iterator[str]:
    """Only what failed has any."""
    if ran.wrong:
        yield from (f"  {each}" for each in ran.wrong)
        yield f"  it was {ran.operation or 'never begun'}: {ran.said or 'no error was told'}"
        yield f"  again: {ran.case.command}"


def entry(ran: Ran) -> dict[str, Any]:
    return {
        "seed": ran.case.seed,
        "fault": ran.case.name,
        "moment": " and ".join(str(strike.moment) for strike in ran.case.strikes),
        "struck": ran.struck,
        "ends": list(ran.ends),
        "failed": bool(ran.wrong),
        "seconds": round(ran.seconds, 1),
        "command": ran.case.command,
    }


def kept(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(each) + "\n" for each in entries)


def summary(entries: list[dict[str, Any]]) -> str:
    """A row a fault, with the command that repeats one of its runs: one that failed, if any did."""
    return table([HEAD, *(row(name, entries) for name in dict.fromkeys(sorted(each["fault"] for each in entries)))])


def row(name: str, entries: list[dict[str, Any]]) -> tuple[str, ...]:
    of = [each for each in entries if each["fault"] == name]
    last = Counter(kind(each) for each in of)
    struck = sum(each["struck"] for each in of)
    counts = (last[column] for column in HEAD[3:-1])
    return (
        name,
        str(len(of)),
        str(struck),
        *(str(count) for count in counts),
        f"`{next((each for each in of if each['failed']), of[0])['command']}`",
    )


def kind(each: dict[str, Any]) -> str:
    """The column that it is counted in."""
    if each["failed"]:
        return FAILED
    last = str(each["ends"][-1])
    return {NEW: "held, then new", BEFORE: "held, then before"}.get(last, last) if HELD in each["ends"] else last
