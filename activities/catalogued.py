"""The catalogue of a store as somebody sees it who looks again and again: no manifest is read twice."""

from dataclasses import dataclass, field

from quorate.catalogue import MANIFEST, Manifest, Shelf, age, believed, parse, read
from quorate.errors import Corrupt
from quorate.ports import Store


@dataclass(slots=True)
class Catalogued:
    """Manifests are create-only, so one that was read and believed stays what it was."""

    known: dict[str, Manifest] = field(default_factory=dict)

    def look(self, store: Store, cluster: str) -> Shelf:
        """The same as `catalogue.shelf`."""
        sizes = {stored.key: stored.size_bytes for stored in store.ls(f"{cluster}/")}
        there = [key for key in sizes if key.endswith(f"/{MANIFEST}")]
        self.known = {key: self.known[key] for key in there if key in self.known}
        manifests, damaged = [], {}
        for key in there:
            try:
                manifests.append(believed(self._manifest(store, key), sizes))
            except Corrupt as error:
                damaged[key] = str(error)
        return Shelf(tuple(sorted(manifests, key=age)), damaged)

    def _manifest(self, store: Store, key: str) -> Manifest:
        if key not in self.known:
            self.known[key] = parse(read(store, key), key)
        return self.known[key]
