"""What lies in a store for a cluster, for a command: as it is remembered, compared just now, or read again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto
from functools import cached_property
from typing import TYPE_CHECKING

from activities.clusters.catalogued import Glance
from quorate.backups.catalogue import Manifest, Shelf
from worker.cli.options import uncollected
from worker.remembering import catalogued
from worker.screen import span

if TYPE_CHECKING:
    from worker.settings import Settings
    from worker.wiring import Wiring


class How(Enum):
    """Who looks at a shelf of thousands is shown what is remembered of it, if that is fresh."""

    REMEMBERED = auto()
    COMPARED = auto()
    REBUILT = auto()


@dataclass(frozen=True, slots=True)
class LookedUp:
    """`doubted` by id; `said` is what kept it from remembering."""

    shelf: Shelf
    doubted: Mapping[str, str]
    compared: datetime
    said: str
    just_now: bool
    older: int = 0  # that were left out

    @property
    def discounted(self) -> Mapping[str, str]:
        """Why some do not count, by id, beside those that say so themselves."""
        return {**self.shelf.quarantined, **self.doubted}


@dataclass(frozen=True)
class Shelves:
    """Nothing heavy is loaded where no store has to be asked."""

    settings: "Settings"
    how: How

    @cached_property
    def wiring(self) -> "Wiring":
        from worker.wiring import Wiring

        return Wiring(self.settings, chain="cli")

    def of(self, cluster: str, store: str, last: int = 0) -> LookedUp:
        """The newest, or all; to look for garbage among thousands takes a third of the time."""
        with uncollected():
            return self._of(cluster, store, last)

    def _of(self, cluster: str, store: str, last: int) -> LookedUp:
        remembered = catalogued(self.settings, cluster, store)
        if self.how is How.REBUILT:
            remembered.forget()
        known = remembered.glance(last=last) if self.how is How.REMEMBERED else None
        if known is None:
            whole = remembered.look(self.wiring.stores.at(self.settings.store(cluster, store)))
            older = max(0, len(whole.manifests) - last) if last else 0
            known = Glance(replace(whole, manifests=whole.manifests[older:]), 0.0, older)
        shelf = known.shelf
        doubted = remembered.doubted(
            shelf, self.settings.cluster(cluster).trust, lambda each: self._why_not(cluster, each)
        )
        just_now = not known.compared
        at = datetime.now(UTC) if just_now else datetime.fromtimestamp(known.compared, UTC)
        return LookedUp(shelf, doubted, at, remembered.said, just_now, known.older)

    def _why_not(self, cluster: str, manifest: Manifest) -> str:
        from quorate.backups.provenance import why_not

        return why_not(manifest, self.settings.cluster(cluster).trust, self.wiring.signatures)


def said_of(found: Mapping[str, LookedUp]) -> Iterator[str]:
    """How old it is what is shown, and what is wrong with what is remembered."""
    now = datetime.now(UTC)
    for cluster, each in found.items():
        if each.older:
            yield f"{cluster}: {each.older} older ones; `--all` shows them"
        if not each.just_now:
            ago = span((now - each.compared).total_seconds())
            yield f"{cluster}: as it was compared with the store {ago} ago; `--fresh` compares now"
        if each.said:
            yield f"{cluster}: {each.said}"
