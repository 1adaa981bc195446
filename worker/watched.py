"""One cluster as the daemon watches it: its revision clock, its certificates, and what each of its stores holds."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from activities.clusters.catalogued import Catalogued
from quorate.backups.catalogue import Manifest, Shelf, newest
from quorate.backups.provenance import why_not
from quorate.errors import QuorateError
from quorate.gauges import (
    Figure,
    loss_of,
    of_catalogue,
    of_clock,
    of_copy,
    of_credentials,
    of_keys,
    of_loss,
    of_members,
    of_settings,
)
from quorate.inventory import Cluster
from quorate.ports import Store
from worker.cli.keys import tried
from worker.metrics import Board, Kept
from worker.wiring import Wiring

THIN_S = 3600.0


@dataclass(slots=True)
class Stock:
    """The snapshots of one cluster in one store."""

    wiring: Wiring
    board: Board
    kept: Kept
    name: str
    cluster: Cluster
    store: str
    catalogued: Catalogued
    latest: Manifest | None = None
    attempted: float = 0.0

    @property
    def place(self) -> str:
        return f"{self.name} in {self.store}"

    @property
    def there(self) -> Store:
        return self.wiring.stores.at(self.wiring.settings.store(self.name, self.store))

    def begin(self) -> None:
        """What was known when the last daemon ended."""
        self.latest, figures = self.kept.of(self.place)
        self.attempted = self.latest.created_at.timestamp() if self.latest else 0.0
        self.board.tell(f"catalogue of {self.place}", figures)

    def read(self) -> None:
        """Where the store does not answer what was known stays, and that it was not read is told."""
        reachable = 0.0
        try:
            self.tell_catalogue()
            reachable = 1.0
        finally:
            told = Figure("quorate_store_reachable", (self.name, self.store), reachable)
            self.board.tell(f"store of {self.place}", (told,))

    def tell_catalogue(self) -> None:
        shelf = self.catalogued.look(self.there)
        doubted = self.catalogued.doubted(shelf, self.cluster.trust, self.doubt)
        self.latest = newest(shelf.sound(doubted), ())
        self.attempted = max((each.created_at.timestamp() for each in shelf.manifests), default=0.0)
        figures = tuple(self.figures(shelf, doubted))
        self.board.tell(f"catalogue of {self.place}", figures)
        self.kept.keep(self.place, self.latest, figures)

    def figures(self, shelf: Shelf, doubted: Mapping[str, str]) -> Iterator[Figure]:
        yield Figure("quorate_catalogue_read_timestamp_seconds", (self.name, self.store), time.time())
        if self.store == self.cluster.backup.store:
            yield from of_catalogue(self.name, shelf, doubted)
        else:
            yield from of_copy(self.name, self.store, self.latest)

    def hidden(self) -> None:
        found = len(self.there.hidden(f"{self.name}/"))
        told = Figure("quorate_hidden_objects", (self.name, self.store), found)
        self.board.tell(f"hidden of {self.place}", (told,))

    def doubt(self, manifest: Manifest) -> str:
        return why_not(manifest, self.cluster.trust, self.wiring.signatures)


@dataclass(slots=True)
class Watched:
    """`stocks` are its stores, the one that is written first at the head."""

    wiring: Wiring
    board: Board
    name: str
    cluster: Cluster
    stocks: tuple[Stock, ...]
    thinned: float = -math.inf

    @property
    def stock(self) -> Stock:
        return self.stocks[0]

    def begin(self) -> None:
        """What needs nobody's answer."""
        self.board.tell(f"settings of {self.name}", of_settings(self.name, self.cluster))
        for each in self.stocks:
            each.begin()
        self.tell_clock()

    def tick(self) -> None:
        """What one member did not say is no failure here: the figures say who is silent."""
        heard = self.wiring.clock.tick(self.name, self.cluster)
        self.board.tell(f"members of {self.name}", of_members(self.name, heard))
        self.tell_clock()
        if (now := time.monotonic()) - self.thinned > THIN_S:
            self.wiring.ticks.thin(self.name, time.time())
            self.thinned = now

    def tell_clock(self) -> None:
        figures = [*of_clock(self.name, self.wiring.ticks.last(self.name))]
        if latest := self.stock.latest:
            ticks = self.wiring.ticks.since(self.name, latest.created_at.timestamp())
            figures += of_loss(self.name, loss_of(latest, ticks, time.time()))
        self.board.tell(f"clock of {self.name}", figures)

    def expiries(self) -> None:
        """One that cannot be read has no figure; `quorate doctor` says why."""
        found = self.wiring.credentials.expiries(self.cluster)
        figures = (*of_credentials(self.name, found), *of_keys(self.name, self.opens()))
        self.board.tell(f"credentials of {self.name}", figures)

    def opens(self) -> bool | None:
        """None where nothing is encrypted."""
        if not self.cluster.backup.recipients:
            return None
        try:
            tried(self.wiring.cipher, self.cluster.backup)
        except QuorateError:
            return False
        return True


def watched(wiring: Wiring, board: Board, name: str, cluster: Cluster) -> Watched:
    kept = Kept(wiring.settings.state / "figures.json")
    stores = {each: wiring.settings.store(name, each) for each in cluster.backup.stores}
    stocks = tuple(
        Stock(wiring, board, kept, name, cluster, each, wiring.catalogued(settings, name))
        for each, settings in stores.items()
    )
    return Watched(wiring, board, name, cluster, stocks)
