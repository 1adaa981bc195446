"""A seed decides everything about a run, so that the seed alone repeats it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.robustness.faults import FAULTS
from deploy.robustness.moments import STEPS, Moment

if TYPE_CHECKING:
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

    @property
    def command(self) -> str:
        return f"python -m deploy.robustness --seed {self.seed} --runs 1 --only {self.fault.name}"


def case(seed: int, only: str = "", nodes: int = 3) -> Case:
    """Fault and instant are drawn apart, so that --only changes no instant."""
    drawn = random.Random(f"{seed}/fault").choice([name for name in FAULTS if name != "none"])
    fault, rest = FAULTS[only or drawn], random.Random(f"{seed}/rest")
    node, lasts_s = rest.randrange(nodes), rest.uniform(*fault.lasts_s)
    return Case(seed, fault, moment(rest, fault), node, round(lasts_s, 2))


def moment(rest: random.Random, fault: Fault) -> Moment:
    """Right before a step is after the one before it."""
    anywhere = rest.random() < WHENEVER
    when, step, later_s = rest.choice(("in", "after")), rest.choice(fault.steps), rest.uniform(0, JITTER_S)
    if anywhere and fault.steps == STEPS:
        return Moment("", "", round(rest.uniform(0, USUAL_S), 2))
    return Moment(when, step, round(later_s, 2))
