"""`python -m deploy.robustness.drills`: drills whose daemon, Temporal or both are killed at each act in turn."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.lab.lab import LabSpec, down, up
from deploy.lab.process import wait
from deploy.robustness.checker import judge
from deploy.robustness.looking import read
from deploy.robustness.moments import POLL_S, Trail
from deploy.robustness.product import Product, ended, finished, parsed, told
from deploy.robustness.readings import Evidence, Told
from deploy.robustness.restore import END_S, World
from deploy.robustness.run import serves, tidied
from deploy.robustness.writing import forget, load, writing

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from deploy.robustness.readings import Reading
    from deploy.robustness.writing import Writers

SHORT = Path(__file__).with_name("short.yaml")
KILLED = {"daemon": ("daemon",), "temporal": ("temporal",), "both": ("temporal", "daemon")}
WHEN = {"begun": ("begun",), "over": ("over",), "each": ("begun", "over")}
LATER_S = 60  # what a node takes back by itself may come after the end that is told
OVER = {"passed", "passed-with-findings", "failed", "stopped", "refused", ""}


@dataclass(frozen=True, slots=True)
class Kill:
    """Of whom, and at which act of the drill: when it is on record that it begins, or that it is over."""

    who: str
    when: str
    act: int

    def __str__(self) -> str:
        return f"{self.who} killed when act {self.act} is {self.when}"


@dataclass(frozen=True, slots=True)
class Drilled:
    """What came of one drill; `struck` is the act that it struck at, "" where the drill had ended before."""

    kill: Kill
    struck: str
    outcome: str
    wrong: tuple[str, ...]
    findings: tuple[str, ...]
    seconds: float


def main() -> int:
    """0 when the cluster was as before after every drill, and nothing of ours was left."""
    asked = parser().parse_args()
    down(asked.lab)
    done: list[Drilled] = []
    try:
        world = begun(asked.lab, asked.control_plane)
        for kill in kills(asked.who, asked.when, asked.first):
            drilled = drill(world, kill, asked.scenario)
            if not drilled.struck:
                break  # it has no more acts
            done.append(drilled)
            say("\n".join((line(drilled), *(f"  {each}" for each in (*drilled.findings, *drilled.wrong)))))
            if drilled.wrong:
                return 1
    except KeyboardInterrupt:
        return 130
    finally:
        say(summary(done))
        ended(asked.lab)
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m deploy.robustness.drills", description=__doc__)
    top.add_argument("--who", choices=KILLED, default="daemon")
    top.add_argument("--when", choices=WHEN, default="each", help="an act is")
    top.add_argument("--scenario", default=str(SHORT), help="one that leaves the cluster as it was; a name or a file")
    top.add_argument("--control-plane", choices=("none", "systemd"), default="none", help="beside etcd")
    top.add_argument("--first", type=int, default=1, help="act")
    top.add_argument("--lab", default="rehearsal", help="its name")
    return top


def kills(who: str, when: str, first: int) -> Iterator[Kill]:
    return (Kill(who, each, act) for act in itertools.count(first) for each in WHEN[when])


def begun(name: str, control_plane: str) -> World:
    """Drills are allowed since it has a machine that is nobody's; with a backup, for those that want one."""
    lab = up(LabSpec(name, 3, "3.6", control_plane, sandbox=True), say)
    product = Product(lab)
    product.up()
    loaded = load(lab)
    product.backup()
    return World(lab, product, loaded)


def drill(world: World, kill: Kill, scenario: str) -> Drilled:
    """One, with clients that write through each member from before its beginning until after its end."""
    forget(world.lab)
    product, before, began = world.product, read(world.lab), time.monotonic()
    trail = Trail(product.state / "operations", frozenset(product.operations("drill")), "drill")
    with writing(world.lab, f"{kill.act}-{time.time_ns()}") as writers:
        serves(writers, 0)
        waiting = product.begin_drill(scenario)
        struck = strike(world, kill, trail, waiting)
        said = concluded(world, trail, waiting)
        over = time.monotonic()
        serves(writers, over)
    wrong = found(world, before, trail, writers, said, over)
    return Drilled(kill, struck, said.outcome, wrong, said.findings, over - began)


def strike(world: World, kill: Kill, trail: Trail, waiting: subprocess.Popen[str]) -> str:
    """Both processes run again afterwards."""
    while waiting.poll() is None:
        trail.follow()
        acts = trail.begun()
        if kill.when == "over":
            acts = tuple(each for each in acts if trail.over(each))
        if len(acts) >= kill.act:
            for name in KILLED[kill.who]:
                world.product.kill(name)
            world.product.up()
            return " ".join(acts[kill.act - 1]["argv"])[:60]
        time.sleep(POLL_S)
    return ""


def concluded(world: World, trail: Trail, waiting: subprocess.Popen[str]) -> Told:
    """From what the command has printed, or else from a look at it later."""
    said = told(parsed(finished(waiting, END_S)))
    trail.follow()
    if trail.operation and not said.outcome:
        said = told(world.product.json("watch", trail.operation, "--wait-timeout", f"{END_S}s"))
    return said


def found(world: World, before: Reading, trail: Trail, writers: Writers, said: Told, over: float) -> tuple[str, ...]:
    """What is wrong, where it stays wrong: everything is as before, and whatever it says of itself is on record."""
    wrong: tuple[str, ...] = ()

    def whole() -> bool:
        nonlocal wrong
        wrong = flaws(world, before, trail, writers, said, over)
        return not wrong

    wait(whole, LATER_S, 2.0)
    if not tidied(world.lab):
        wrong += ("the cluster does not come to rest",)
    return wrong


def flaws(world: World, before: Reading, trail: Trail, writers: Writers, said: Told, over: float) -> tuple[str, ...]:
    recorded = world.product.recorded(trail.operation)
    told_twice = () if said.outcome == recorded else (f"it said {said.outcome}, the record says {recorded}",)
    unknown = () if said.outcome in OVER else (f"it ended as {said.outcome}: {said.error}",)
    undone = Told("undone", recorded="undone")  # to the checker a drill is a restore that was taken back
    writes, objects = tuple(writers.writes), tuple(writers.objects)
    seen = Evidence(trail.operation, 0, world.loaded, before, read(world.lab), writes, over, undone, objects)
    return (*told_twice, *unknown, *judge(seen).wrong)


def line(drilled: Drilled) -> str:
    return f"{drilled.kill} (`{drilled.struck}`): {drilled.outcome or 'nothing begun'}, {drilled.seconds:.1f} s"


def summary(done: list[Drilled]) -> str:
    outcomes = Counter(each.outcome or "nothing begun" for each in done)
    ends = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    bad = sum(bool(each.wrong) for each in done)
    return f"\n{len(done)} drills: {ends or 'none'}; {bad} left something or lost something"


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
