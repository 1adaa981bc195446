"""A seed decides everything about a run, so that the seed alone repeats it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deploy.robustness.faults import FAULTS
from deploy.robustness.moments import STEPS, Moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.robustness.faults import Fault

USUAL_S = 6.0  # from the first record of a restore to its end, without a control plane
JITTER_S = 0.3
WHENEVER = 0.4  # of all instants are at no step in particular


@dataclass(frozen=True, slots=True)
class Case:
    """One fault at one moment on one node, for so long."""

    seed: int
    fault: Fault
    moment: Moment
    node: int
    lasts_s: float
    at: str = ""  # the moment, where it was asked for and not drawn

    @property
    def command(self) -> str:
        at = f" --at {self.at}" if self.at else ""
        return f"python -m deploy.robustness --seed {self.seed} --runs 1 --only {self.fault.name}{at}"


def at_each(fault: Fault, asked: str = "") -> tuple[str, ...]:
    """As `in:swap` and `after:swap`: the moments of all steps that a fault is about, or the one that is asked for."""
    every = tuple(f"{when}:{step}" for step in fault.steps for when in ("in", "after"))
    return every if asked in {"", "each"} else (asked,)


def case(seed: int, only: str = "", nodes: int = 3) -> Case:
    """Fault and instant are drawn apart, so that --only changes no instant."""
    drawn = random.Random(f"{seed}/fault").choice([name for name in FAULTS if name != "none"])
    fault, rest = FAULTS[only or drawn], random.Random(f"{seed}/rest")
    node, lasts_s = rest.randrange(nodes), rest.uniform(*fault.lasts_s)
    return Case(seed, fault, moment(rest, fault), node, round(lasts_s, 2))


def cases(first: int, runs: int, only: str, at: str = "") -> Iterator[Case]:
    """One a seed; with `each` a seed strikes at every moment in turn, each as often as there are runs."""
    for seed in range(first, first + runs):
        drawn = case(seed, only)
        if not at:
            yield drawn
            continue
        for each in at_each(drawn.fault, at):
            when, _, step = each.partition(":")
            yield replace(drawn, moment=Moment(when, step, 0.0), at=each)


def moment(rest: random.Random, fault: Fault) -> Moment:
    """Right before a step is after the one before it."""
    anywhere = rest.random() < WHENEVER
    when, step, later_s = rest.choice(("in", "after")), rest.choice(fault.steps), rest.uniform(0, JITTER_S)
    if anywhere and fault.steps == STEPS:
        return Moment("", "", round(rest.uniform(0, USUAL_S), 2))
    return Moment(when, step, round(later_s, 2))
