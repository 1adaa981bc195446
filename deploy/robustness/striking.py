"""A restore is begun, and everything strikes it at its moment and is healed in its time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.robustness.faults import Place
from deploy.robustness.moments import POLL_S
from deploy.robustness.product import finished
from deploy.robustness.restore import END_S
from deploy.robustness.traps import Trap

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from deploy.robustness.chance import Case, Strike
    from deploy.robustness.moments import Trail
    from deploy.robustness.restore import World


@dataclass(slots=True)
class Blow:
    """One strike as it goes: its moment comes, it strikes, it lasts, it is healed."""

    strike: Strike
    place: Place
    trap: Trap | None = None  # of the command that it waits for
    reached: float | None = None
    struck: float | None = None
    healed: bool = False

    def turn(self, trail: Trail, now: float) -> None:
        """Whatever is due."""
        if self.reached is None and self._reached(trail):
            self.reached = now
        if self.struck is None and self.reached is not None and now - self.reached >= self.strike.moment.later_s:
            self.struck = now
            self.strike.fault.inject(self.place)
            if self.trap:
                self.trap.let_go()
        elif self.struck is not None and now - self.struck >= self.strike.lasts_s:
            self.heal()

    def heal(self) -> None:
        """Once, and only what was done."""
        if self.struck is not None and not self.healed:
            self.healed = True
            self.strike.fault.heal(self.place)
            if self.trap:
                self.trap.let_go()

    def _reached(self, trail: Trail) -> bool:
        if self.trap:
            trail.follow()
            return self.trap.caught()
        return trail.reached(self.strike.moment, len(self.place.lab.nodes))

    @property
    def orphaned(self) -> bool:
        """Whether the operation was left to whoever adopts it."""
        return bool(self.strike.fault.way) and self.struck is not None


def struck_while(case: Case, world: World, trail: Trail) -> tuple[tuple[Blow, ...], str]:
    """What came in time and what did not, and what the command printed in the end."""
    blows = tuple(blow_of(strike, world) for strike in case.strikes)
    traps = [blow.trap for blow in blows if blow.trap]
    for trap in traps:
        trap.lay()
    waiting = world.product.begin_restore()
    try:
        struck(blows, trail, waiting)
    finally:
        for blow in blows:
            blow.heal()
        for trap in traps:
            trap.take_away()
    return blows, finished(waiting, 0.0 if any(blow.orphaned for blow in blows) else END_S)


def blow_of(strike: Strike, world: World) -> Blow:
    node, moment = world.lab.nodes[strike.node], strike.moment
    trap = Trap(world.lab, node, moment.when, moment.number) if moment.number else None
    return Blow(strike, Place(world.lab, world.product, node), trap)


def struck(blows: Sequence[Blow], trail: Trail, waiting: subprocess.Popen[str]) -> None:
    """Until all is healed, the command has ended, or there is nothing left that it could wait for."""
    limit = time.monotonic() + END_S
    while waiting.poll() is None and time.monotonic() < limit and not all(blow.healed for blow in blows):
        for blow in blows:
            blow.turn(trail, time.monotonic())
            if blow.orphaned:
                return
        time.sleep(POLL_S)
