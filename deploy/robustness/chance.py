"""A seed decides everything about a run, so that the seed alone repeats it."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deploy.robustness.faults import FAULTS
from deploy.robustness.moments import COUNTED, NOTING, OF_SHAPE, STEPS, Moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.robustness.faults import Fault

USUAL_S = {"none": 6.0, "systemd": 16.0}  # from the first record of a restore to its end, by the control plane
JITTER_S = 0.3
WHENEVER = 0.4  # of all instants are at no step in particular
COUNT = re.compile(rf"(?P<when>{'|'.join(COUNTED)}):(?P<first>[1-9][0-9]*)(?:-(?P<last>[1-9][0-9]*))?")


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault at one moment on one node, for so long."""

    fault: Fault
    moment: Moment
    node: int
    lasts_s: float


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that is done to one restore."""

    seed: int
    strikes: tuple[Strike, ...]
    at: str = ""  # the first moment, where it was asked for and not drawn
    control_plane: str = "none"
    lost: bool = False  # quorum, before the restore begins

    @property
    def name(self) -> str:
        return " + ".join(strike.fault.name for strike in self.strikes)

    @property
    def bounded(self) -> bool:
        return any(strike.fault.bounded for strike in self.strikes)

    @property
    def way(self) -> str:
        """How an operation is gone on with that has to be adopted."""
        return next((strike.fault.way for strike in self.strikes if strike.fault.way), "")

    @property
    def command(self) -> str:
        at = f" --at {self.at}" if self.at else ""
        faults = f" --faults {len(self.strikes)}" if len(self.strikes) > 1 else ""
        shape = f" --control-plane {self.control_plane}" if self.control_plane != "none" else ""
        only, lost = self.strikes[0].fault.name, " --lost" if self.lost else ""
        return f"python -m deploy.robustness --seed {self.seed} --runs 1 --only {only}{at}{faults}{shape}{lost}"


def steps(fault: Fault, control_plane: str) -> tuple[str, ...]:
    """That a fault is about, in such a lab."""
    return OF_SHAPE[control_plane] if fault.steps == STEPS else fault.steps


def at_each(fault: Fault, asked: str = "", control_plane: str = "none") -> tuple[str, ...]:
    """As `in:swap` and `after:swap`: the moments of all steps that a fault is about, or the one that is asked for.

    Of `call:1-40` as many as are meant.
    """
    if numbered := COUNT.fullmatch(asked):
        first = int(numbered["first"])
        last = int(numbered["last"] or first)
        return tuple(f"{numbered['when']}:{number}" for number in range(first, last + 1))
    all_of_them = (*steps(fault, control_plane), *(NOTING if fault.steps == STEPS else ()))
    every = tuple(f"{when}:{step}" for step in all_of_them for when in ("in", "after"))
    return every if asked in {"", "each"} else (asked,)


def case(seed: int, only: str = "", faults: int = 1, control_plane: str = "none", nodes: int = 3) -> Case:
    """A second fault is another one, and on another node."""
    usual = [name for name, fault in FAULTS.items() if name != "none" and not (faults > 1 and fault.bounded)]
    first = strike(f"{seed}", only or chosen(f"{seed}", usual), control_plane, nodes)
    if faults == 1:
        return Case(seed, (first,), control_plane=control_plane)
    second = strike(f"{seed}/2", chosen(f"{seed}/2", beside(first.fault)), control_plane, nodes - 1)
    elsewhere = replace(second, node=(first.node + 1 + second.node) % nodes)
    return Case(seed, (first, elsewhere), control_plane=control_plane)


def chosen(seed: str, names: list[str]) -> str:
    return random.Random(f"{seed}/fault").choice(names)


def strike(seed: str, name: str, control_plane: str, nodes: int) -> Strike:
    """Fault and instant are drawn apart, so that --only changes no instant."""
    fault, rest = FAULTS[name], random.Random(f"{seed}/rest")
    node, lasts_s = rest.randrange(nodes), rest.uniform(*fault.lasts_s)
    return Strike(fault, moment(rest, fault, control_plane), node, round(lasts_s, 2))


def beside(first: Fault) -> list[str]:
    """State is lost once; a filesystem that can be filled does not outlive a reboot, so it is filled alone."""
    return [
        name
        for name, fault in FAULTS.items()
        if name not in ("none", first.name) and not fault.bounded and not (fault.way and first.way)
    ]


def cases(
    first: int, runs: int, only: str, at: str = "", faults: int = 1, control_plane: str = "none"
) -> Iterator[Case]:
    """One a seed; with `each` a seed strikes at every moment in turn, each as often as there are runs."""
    for seed in range(first, first + runs):
        drawn = case(seed, only, faults, control_plane)
        if not at:
            yield drawn
            continue
        strike, *others = drawn.strikes
        for each in at_each(strike.fault, at, control_plane):
            yield replace(drawn, strikes=(replace(strike, moment=at_that(each)), *others), at=each)


def at_that(asked: str) -> Moment:
    when, _, what = asked.partition(":")
    return Moment(when, "", 0.0, int(what)) if when in COUNTED else Moment(when, what, 0.0)


def moment(rest: random.Random, fault: Fault, control_plane: str) -> Moment:
    """Right before a step is after the one before it."""
    if fault.at:
        return at_that(fault.at)
    anywhere = rest.random() < WHENEVER
    when, step = rest.choice(("in", "after")), rest.choice(steps(fault, control_plane))
    later_s = rest.uniform(0, JITTER_S)
    if anywhere and fault.steps == STEPS:
        return Moment("", "", round(rest.uniform(0, USUAL_S[control_plane]), 2))
    return Moment(when, step, round(later_s, 2))
