"""`python -m deploy.robustness`: restores with a fault or two each; exit 1 when one of them ends as none may."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from docker.errors import DockerException

from deploy.lab.https import NoAnswerError
from deploy.lab.lab import LabError, LabSpec, down, up
from deploy.lab.wreck import do
from deploy.robustness.chance import COUNT, at_each, cases
from deploy.robustness.faults import FAULTS, LOCKS
from deploy.robustness.moments import COUNTED, OF_SHAPE
from deploy.robustness.product import Product, ended
from deploy.robustness.restore import World
from deploy.robustness.run import run
from deploy.robustness.telling import entry, kept, line, summary, trouble
from deploy.robustness.writing import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from deploy.robustness.chance import Case
    from deploy.robustness.run import Ran

ROOM_MIB = 768
LOCKS_MIB = 2


def main() -> int:
    """0 when every run ended in one of the three ways that are allowed."""
    signal.signal(signal.SIGTERM, interrupted)
    asked = understood(parser())
    drawn = [
        replace(each, lost=asked.lost)
        for each in cases(asked.seed, asked.runs, asked.only, asked.at, asked.faults, asked.control_plane)
    ]
    done: list[Ran] = []
    try:
        for ran in runs(asked.lab, drawn, asked.minutes, keep=asked.keep):
            done.append(ran)
            say("\n".join([line(ran), *trouble(ran)]))
    except (LabError, NoAnswerError, DockerException) as error:
        say(f"robustness: FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say("robustness: interrupted")
        return 130
    finally:
        told(done, asked.record)
    return 1 if any(ran.wrong for ran in done) else 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m deploy.robustness", description="Restores with a fault or two each."
    )
    top.add_argument("--runs", type=int, default=20)
    top.add_argument("--seed", type=int, default=1, help="of the first run; the next has the next")
    top.add_argument("--only", choices=FAULTS, default="", metavar="FAULT", help=", ".join(FAULTS))
    top.add_argument(
        "--at",
        default="",
        metavar="WHEN:STEP",
        help="in:STEP or after:STEP; `each`: at all of them in turn; call:N, late-call:N, called:N, rename:N or N-M:"
        " the command or rename of that number on the node waits for the fault",
    )
    top.add_argument(
        "--faults", type=int, choices=(1, 2), default=1, help="in one run; --only and --at name the first"
    )
    top.add_argument(
        "--control-plane", choices=OF_SHAPE, default="none", help="with one its API servers are written to"
    )
    top.add_argument("--lost", action="store_true", help="a majority is killed and wiped before each restore")
    top.add_argument("--minutes", type=float, default=60.0, help="no run begins later")
    top.add_argument("--record", type=Path, help="append to this file, and sum up everything in it")
    top.add_argument("--lab", default="robustness", help="its name")
    top.add_argument("--keep", action="store_true", help="leave the lab as it is where a run fails, and stop there")
    return top


def understood(top: argparse.ArgumentParser) -> argparse.Namespace:
    """A moment is one of a fault's own."""
    asked = top.parse_args()
    if asked.at and not asked.only:
        top.error("--at needs --only FAULT")
    if asked.faults > 1 and asked.only and FAULTS[asked.only].bounded:
        top.error(f"{asked.only} comes alone: what it fills does not outlive a reboot")
    there = at_each(FAULTS[asked.only], control_plane=asked.control_plane) if asked.only else ()
    if asked.at not in {"", "each", *there} and not COUNT.fullmatch(asked.at):
        top.error(f"--at {asked.at}: for {asked.only} there are each, {', '.join(there)}, {', '.join(COUNTED)}:N")
    return asked


def runs(name: str, cases: Iterable[Case], minutes: float, *, keep: bool = False) -> Iterator[Ran]:
    """One lab after the other, each for as long as it is of use."""
    left, limit = sorted(cases, key=lambda each: each.bounded), time.monotonic() + minutes * 60
    while left and time.monotonic() < limit:
        kept_up = False
        try:
            world = begun(name, left[0])
            for ran in in_one_lab(world, left, limit):
                kept_up = keep and bool(ran.wrong)
                yield ran
                if kept_up:
                    return
        finally:
            if not kept_up:
                ended(name)


def in_one_lab(world: World, left: list[Case], limit: float) -> Iterator[Ran]:
    """Until it is spent, another is needed, or nothing is left."""
    bounded = left[0].bounded
    while left and left[0].bounded == bounded and time.monotonic() < limit:
        ran = run(world, left.pop(0))
        yield ran
        if ran.spent:
            say("  a new lab for the next")
            return


def begun(name: str, case: Case) -> World:
    """Three members, a few MiB, the daemon."""
    down(name)
    lab = up(LabSpec(name, 3, "3.6", case.control_plane, ROOM_MIB if case.bounded else None), say)
    if case.bounded:
        for node in lab.nodes:
            do(lab, node, "sh", "-c", f"mkdir -p {LOCKS}; mount -t tmpfs -o size={LOCKS_MIB}m tmpfs {LOCKS}")
    product = Product(lab)
    product.up()
    return World(lab, product, load(lab))


def told(done: list[Ran], record: Path | None) -> None:
    entries = [entry(ran) for ran in done]
    if record:
        kept(record, entries)
        entries = [json.loads(text) for text in record.read_text().splitlines()]
    if entries:
        say(f"\n{summary(entries)}")


def interrupted(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
