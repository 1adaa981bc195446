"""`quorate inspect`: one screen for 3 a.m., the same as one object, and again every few seconds."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.errors import BadInput
from worker.cli.options import As, ClusterName, Given, Output, columns, given, paint, say, say_json

if TYPE_CHECKING:
    from worker.cli.looking import Looked
    from worker.wiring import Wiring

FINDINGS = 3
EVERY_S = 5.0
EVERY_S_MIN = 1.0  # every look asks everybody
AFRESH = "\x1b[H\x1b[2J"

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Look again and again until Ctrl-C.")]
Seconds = Annotated[
    float, typer.Argument(metavar="[SECONDS]", help="How long between two looks with --watch; 5 if left out.")
]


def inspect(
    ctx: typer.Context,
    cluster: ClusterName,
    seconds: Seconds = 0.0,
    watch: Watch = False,
    output: As = Output.TABLE,
) -> int:
    """Who is there, who is not, and what to run next. Needs no daemon and changes nothing."""
    if seconds and not watch:
        raise BadInput(f"{seconds:g} is for --watch: quorate inspect {cluster} --watch {seconds:g}")
    if watch and 0 < seconds < EVERY_S_MIN:
        raise BadInput(f"every look asks every node and member: {EVERY_S_MIN:g} s is the least")
    here = given(ctx)
    wiring = here.wiring()
    if watch:
        return watched(here, wiring, cluster, seconds or EVERY_S, output)
    return shown(here, wiring, cluster, output)


def watched(here: Given, wiring: "Wiring", cluster: str, every_s: float, output: Output) -> int:
    """Until Ctrl-C; as the last look ended."""
    code, began = 0, True
    try:
        while True:
            code = shown(here, wiring, cluster, output, between="" if began else "-" * 40)
            began = False
            time.sleep(every_s)
    except KeyboardInterrupt:
        return code


def shown(here: Given, wiring: "Wiring", cluster: str, output: Output, between: str | None = None) -> int:
    """One look; `between` is what parts it from the one before, where there is more than one."""
    from worker.cli.looking import look_closely
    from worker.cli.sheet import page, whole

    looked = look_closely(wiring, cluster)
    if output is Output.JSON:
        say_json(whole(looked, here))
    else:
        say(parted(page(looked, here, paint(), columns()), between))
    return code(looked)


def parted(text: str, between: str | None) -> str:
    """On a terminal the screen is drawn anew, elsewhere a line is between two."""
    if between is None:
        return text
    if sys.stdout.isatty():
        return AFRESH + text
    return f"{between}\n{text}" if between else text


def code(looked: "Looked") -> int:
    """Advice wakes nobody."""
    return FINDINGS if looked.findings else 0
