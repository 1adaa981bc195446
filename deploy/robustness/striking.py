"""A restore is begun, and struck at its moment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from deploy.robustness.faults import Place
from deploy.robustness.moments import awaited
from deploy.robustness.product import ended, finished
from deploy.robustness.restore import END_S

if TYPE_CHECKING:
    from deploy.robustness.chance import Case
    from deploy.robustness.moments import Trail
    from deploy.robustness.restore import World


def struck_while(case: Case, world: World, trail: Trail) -> tuple[bool, str]:
    """Whether the fault came in time, and what the command printed in the end."""
    place = Place(world.lab, world.product, world.lab.nodes[case.node])
    waiting = world.product.begin_restore()
    struck = awaited(trail, case.moment, len(world.lab.nodes), waiting, time.monotonic() + END_S)
    text = None
    try:
        if struck:
            case.fault.inject(place)
            text = ended(waiting, 0.0 if case.fault.way else case.lasts_s)
    finally:
        if struck:
            case.fault.heal(place)
    if text is None:
        text = finished(waiting, 0.0 if case.fault.way else END_S)
    return struck, text
