"""One whole restore with a fault or two, to its end and its verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.lab.errors import LabError
from deploy.lab.lab import node_exec
from deploy.lab.process import wait
from deploy.lab.ready import await_ready
from deploy.robustness.checker import BEFORE, HELD
from deploy.robustness.readings import LIVE, NOTHING, RESTORED
from deploy.robustness.resolving import resolved
from deploy.robustness.restore import about_to_be
from deploy.robustness.striking import struck_while
from deploy.robustness.writing import forget, writing

if TYPE_CHECKING:
    from deploy.lab.lab import Lab
    from deploy.robustness.chance import Case
    from deploy.robustness.resolving import Ends
    from deploy.robustness.restore import Restore, World
    from deploy.robustness.writing import Writers

SERVES_S = 60
READY_S = 60


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one case; it struck if every fault did, for one may come too late."""

    case: Case
    struck: bool
    ends: tuple[str, ...]
    wrong: tuple[str, ...]
    seconds: float
    operation: str = ""
    said: str = ""
    spent: bool = False  # the lab is of no more use


def run(world: World, case: Case) -> Ran:
    """Everything of it happens on a cluster that serves, and leaves one that does."""
    forget(world.lab)
    began = time.monotonic()
    with writing(world.lab, f"{case.seed}-{time.time_ns()}") as writers:
        restore, struck = restored(world, case, writers)
        seconds = restore.ended - began
        ends, wrong = resolved(restore, case.way) if restore.told.outcome == HELD else ((), ())
        serves_after(restore)
    ends, wrong = concluded(restore, ends, wrong)
    if ends[-1] == BEFORE and restore.told.outcome == NOTHING:
        with writing(world.lab, f"{case.seed}-{time.time_ns()}", restore.writers) as writers:
            restore = restore.again(writers)
            serves_after(restore)
        ends, wrong = concluded(restore, ends, wrong)
    spent = bool(wrong) or restore.told.outcome == HELD or (case.lost and ends[-1] == BEFORE) or not tidied(world.lab)
    return Ran(case, struck, ends, wrong, seconds, restore.trail.operation, restore.told.error, spent)


def restored(world: World, case: Case, writers: Writers) -> tuple[Restore, bool]:
    """With writes before and after its backup."""
    if not serves(writers, 0):
        raise LabError(f"{world.lab.name} does not serve before anything was done to it")
    restore = about_to_be(world, writers, lost=case.lost)
    blows, text = struck_while(case, world, restore.trail)
    if any(blow.orphaned for blow in blows):
        restore.adopt()
    else:
        restore.conclude(text)
    return restore, all(blow.struck is not None for blow in blows)


def serves(writers: Writers, moment: float) -> bool:
    """Through every member, after that moment."""
    return wait(lambda: len(writers.since(moment)) == len(writers.lab.nodes), SERVES_S)


def serves_after(restore: Restore) -> bool:
    """Nobody is waited for who is held back, or has no quorum as before."""
    nobody = restore.told.outcome == HELD or (restore.lost and restore.told.outcome != RESTORED)
    return nobody or serves(restore.writers, restore.ended)


def concluded(restore: Restore, ends: Ends, wrong: Ends) -> tuple[Ends, Ends]:
    """With the verdict on what is over; a hold has had its own."""
    if restore.told.outcome == HELD:
        return ends, wrong
    verdict = restore.verdict()
    return (*ends, verdict.end), (*wrong, *verdict.wrong)


def tidied(lab: Lab) -> bool:
    """Room for the next run; false where the cluster does not come to rest."""
    for node in lab.nodes:
        node_exec(lab, node, ["sh", "-c", f"rm -rf {LIVE}.before-*"])
    try:
        await_ready(lab, READY_S)
    except LabError:
        return False
    return True
