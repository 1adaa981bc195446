"""What is remembered of stores, in memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from activities.clusters.catalogued import Catalogued
from quorate.backups.catalogue import of_latest
from quorate.ports import Noted, Remembered, Stored
from quorate.settings.stores import Store


@dataclass
class PlainMemory:
    places: dict[tuple[str, str], Remembered] = field(default_factory=dict)
    written: dict[tuple[str, str], int] = field(default_factory=dict)

    def recall(self, place: str, cluster: str, last: int = 0) -> Remembered:
        found = self.places.get((place, cluster), Remembered())
        if not last:
            return found
        listing, older = of_latest(found.listing, last)
        there = {each.key for each in listing}
        noted = {key: each for key, each in found.noted.items() if key in there}
        return replace(found, listing=listing, noted=noted, older=older)

    def writes(self, place: str, cluster: str) -> int:
        return self.written.get((place, cluster), 0)

    def keep(
        self, place: str, cluster: str, listing: tuple[Stored, ...], noted: Iterable[Noted], at: float, writes: int
    ) -> None:
        there = {each.key for each in listing}
        all_of_them = {**self.recall(place, cluster).noted, **{each.stored.key: each for each in noted}}
        kept = {key: each for key, each in all_of_them.items() if key in there}
        fresh = at if writes == self.writes(place, cluster) else 0.0
        self.places[place, cluster] = Remembered(listing, kept, fresh, objects=len(listing))

    def judge(self, place: str, cluster: str, trust: str, doubts: Mapping[str, str]) -> None:
        found = self.recall(place, cluster)
        judged = {
            key: replace(each, trust=trust, doubt=doubts[key]) if key in doubts else each
            for key, each in found.noted.items()
        }
        self.places[place, cluster] = replace(found, noted=judged)

    def wrote(self, place: str, cluster: str) -> None:
        self.written[place, cluster] = self.writes(place, cluster) + 1
        self.places[place, cluster] = replace(self.recall(place, cluster), compared=0.0)

    def forget(self, place: str, cluster: str) -> None:
        self.places.pop((place, cluster), None)


def unremembered(settings: Store, cluster: str) -> Catalogued:
    return Catalogued(PlainMemory(), settings.place, cluster)
