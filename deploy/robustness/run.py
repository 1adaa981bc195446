"""One whole restore with one fault, to its end and its verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deploy.lab.errors import LabError
from deploy.lab.lab import node_exec
from deploy.lab.process import wait
from deploy.lab.ready import await_ready
from deploy.robustness.checker import FAILED, HELD, judge
from deploy.robustness.faults import Place
from deploy.robustness.looking import read
from deploy.robustness.moments import Trail, awaited
from deploy.robustness.product import ended, parsed, told
from deploy.robustness.readings import LIVE, Evidence, Reading, Told
from deploy.robustness.writing import forget, writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.lab.lab import Lab
    from deploy.robustness.chance import Case
    from deploy.robustness.checker import Verdict
    from deploy.robustness.product import Product
    from deploy.robustness.writing import Writers

END_S = 240
SERVES_S = 60
READY_S = 60
OPEN = "unknown"  # it was begun, and nobody says how it ended


@dataclass(frozen=True, slots=True)
class World:
    """A lab with data, and Quorate on it."""

    lab: Lab
    product: Product
    loaded: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of one case; a fault that came too late did not strike."""

    case: Case
    struck: bool
    ends: tuple[str, ...]
    wrong: tuple[str, ...]
    seconds: float
    operation: str = ""
    said: str = ""
    spent: bool = False  # the lab is of no more use


@dataclass(slots=True)
class Restore:
    """The operation that is watched, and what is known of it so far."""

    world: World
    writers: Writers
    revision: int
    before: Reading
    trail: Trail
    told: Told
    ended: float

    def verdict(self) -> Verdict:
        return judge(
            Evidence(
                operation=self.trail.operation,
                snapshot_revision=self.revision,
                loaded=self.world.loaded,
                before=self.before,
                after=read(self.world.lab),
                writes=tuple(self.writers.writes),
                ended=self.ended,
                told=self.told,
            )
        )

    def heard(self, said: Told) -> None:
        """An operation that was begun and of which nothing is said is not one that was never begun."""
        operation, self.ended = self.trail.operation, time.monotonic()
        shown = self.world.product.json("operations", "show", operation) if operation else {}
        recorded = (shown.get("outcome") or {}).get("outcome", "")
        self.told = replace(said, outcome=said.outcome or (OPEN if operation else ""), recorded=recorded)

    def command(self, *words: str) -> None:
        self.heard(told(self.world.product.json(*words, self.trail.operation)))


def run(world: World, case: Case) -> Ran:
    """Everything of it happens on a cluster that serves, and leaves one that does."""
    forget(world.lab)
    began = time.monotonic()
    with writing(world.lab, f"{case.seed}-{time.time_ns()}") as writers:
        restore, struck = restored(world, case, writers)
        seconds = restore.ended - began
        ends, wrong = resolved(restore) if restore.told.outcome == HELD else ((), ())
        if restore.told.outcome != HELD:
            wait(lambda: len(writers.since(restore.ended)) == len(world.lab.nodes), SERVES_S)
    if restore.told.outcome != HELD:
        verdict = restore.verdict()
        ends, wrong = (*ends, verdict.end), (*wrong, *verdict.wrong)
    spent = bool(wrong) or restore.told.outcome == HELD or not tidied(world.lab)
    return Ran(case, struck, ends, wrong, seconds, restore.trail.operation, restore.told.error, spent)


def restored(world: World, case: Case, writers: Writers) -> tuple[Restore, bool]:
    """With writes before and after its backup."""
    lab, product = world.lab, world.product
    if not wait(lambda: len(writers.since(0)) == len(lab.nodes), SERVES_S):
        raise LabError(f"{lab.name} does not serve before anything was done to it")
    revision, before = product.backup(), read(lab)
    if unread := [name for name, node in before.nodes.items() if LIVE not in node.directories]:
        raise LabError(f"no {LIVE} was seen on {', '.join(unread)}, so nobody could tell later whose data is whose")
    trail = Trail(product.state / "operations", frozenset(product.operations()))
    restore = Restore(world, writers, revision, before, trail, Told(OPEN), 0.0)
    struck, text = struck_while(case, Place(lab, product, lab.nodes[case.node]), trail)
    trail.follow()
    restore.heard(told(parsed(text)))
    if restore.told.outcome == OPEN:
        restore.command("watch", "--wait-timeout", f"{END_S}s")
    return restore, struck


def struck_while(case: Case, place: Place, trail: Trail) -> tuple[bool, str]:
    """Whether the fault came in time, and what the command printed in the end."""
    waiting = place.product.begin_restore()
    struck = awaited(trail, case.moment, len(place.lab.nodes), waiting, time.monotonic() + END_S)
    text = None
    try:
        if struck:
            case.fault.inject(place)
            text = ended(waiting, case.lasts_s)
    finally:
        if struck:
            case.fault.heal(place)
    text = ended(waiting, END_S) if text is None else text
    if text is None:
        waiting.kill()
    return struck, text or ""


def resolved(restore: Restore) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """As somebody tired would: try again, and give up when that does not help."""
    ends: list[str] = []
    wrong: list[str] = []
    for words in (("retry",), ("abort",)):
        verdict = restore.verdict()
        ends.append(verdict.end)
        wrong += verdict.wrong
        restore.command(*words)
        if words == ("retry",):
            restore.command("watch", "--wait-timeout", f"{END_S}s")
        if restore.told.outcome != HELD:
            return tuple(ends), tuple(wrong)
    verdict = restore.verdict()
    return (*ends, "aborted" if verdict.end != FAILED else FAILED), (*wrong, *verdict.wrong)


def tidied(lab: Lab) -> bool:
    """Room for the next run; false where the cluster does not come to rest."""
    for node in lab.nodes:
        node_exec(lab, node, ["sh", "-c", f"rm -rf {LIVE}.before-*"])
    try:
        await_ready(lab, READY_S)
    except LabError:
        return False
    return True
