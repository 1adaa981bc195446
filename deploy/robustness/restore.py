"""The operation that a run is about, as far as it is known from outside."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deploy.lab.errors import LabError
from deploy.lab.lab import wreck
from deploy.robustness.checker import judge
from deploy.robustness.looking import read
from deploy.robustness.moments import Trail
from deploy.robustness.product import finished, parsed, told
from deploy.robustness.readings import LIVE, NOTHING, Evidence, Reading, Told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deploy.lab.lab import Lab
    from deploy.robustness.checker import Verdict
    from deploy.robustness.product import Product
    from deploy.robustness.writing import Writers

END_S = 240
UNKNOWN = ("bad-input", "refused")  # no node is claimed, or none has a plan
OPEN = "unknown"  # it was begun, and nobody says how it ended


@dataclass(frozen=True, slots=True)
class World:
    """A lab with data, and Quorate on it."""

    lab: Lab
    product: Product
    loaded: Mapping[str, str]


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

    @property
    def lost(self) -> bool:
        """Whether there was no quorum when it began."""
        return bool(self.before.bare)

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
                objects=tuple(self.writers.objects),
            )
        )

    def heard(self, said: Told) -> None:
        """An operation that was begun and of which nothing is said is not one that was never begun."""
        operation, self.ended = self.trail.operation, time.monotonic()
        recorded = self.world.product.recorded(operation)
        self.told = replace(said, outcome=said.outcome or (OPEN if operation else ""), recorded=recorded)

    def command(self, *words: str) -> None:
        self.heard(told(self.world.product.json(*words, self.trail.operation)))

    def adopt(self) -> None:
        """By somebody who has nothing but the inventory; it may have left too little for that, or nothing."""
        said = self.world.product.json("adopt", self.world.lab.name, "--wait-timeout", f"{END_S}s")
        unknown = (said.get("error") or {}).get("kind") in UNKNOWN
        self.heard(told({**said, "outcome": NOTHING}) if unknown else told(said))

    def again(self, writers: Writers) -> Restore:
        """Another one of the same backup; it takes the nodes over from whoever still claims any."""
        claimed = any(node.claim for node in read(self.world.lab).nodes.values())
        after = replace(self, writers=writers, trail=trail_of(self.world.product), told=Told(OPEN))
        waiting = self.world.product.begin_restore(*(("--override-gate", "claimed") if claimed else ()))
        after.conclude(finished(waiting, END_S) or "")
        return after

    def conclude(self, text: str) -> None:
        """From what the command has printed, or else from a look at it later."""
        self.trail.follow()
        self.heard(told(parsed(text)))
        if self.told.outcome == OPEN:
            self.command("watch", "--wait-timeout", f"{END_S}s")


def about_to_be(world: World, writers: Writers, *, lost: bool = False) -> Restore:
    """With a backup of its own, and writes before and after that; then a majority may lose its data."""
    lab, product = world.lab, world.product
    revision, before = product.backup(), read(lab)
    if before.bare:
        raise LabError(
            f"no {LIVE} was seen on {', '.join(before.bare)}, so nobody could tell later whose data is whose"
        )
    if lost:
        wreck(lab, "quorum-loss", lab.nodes[revision % len(lab.nodes)].name)
        before = replace(before, nodes=read(lab).nodes)
        if len(before.bare) != len(lab.nodes) // 2 + 1:
            raise LabError(f"a majority was to lose its data, and {', '.join(before.bare) or 'nobody'} has")
    return Restore(world, writers, revision, before, trail_of(product), Told(OPEN), 0.0)


def trail_of(product: Product) -> Trail:
    """Of the next one."""
    return Trail(product.state / "operations", frozenset(product.operations()))
