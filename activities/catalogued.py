"""The catalogue of a store as somebody sees it who looks again and again: no manifest is read twice."""

from dataclasses import dataclass, field

from quorate.catalogue import Manifest, Shelf, shelf
from quorate.ports import Store


@dataclass(slots=True)
class Catalogued:
    """Remembers what it has believed; what has gone from the store is forgotten."""

    known: dict[str, Manifest] = field(default_factory=dict)

    def look(self, store: Store, cluster: str) -> Shelf:
        """The same as `catalogue.shelf`."""
        found = shelf(store, cluster, self.known)
        self.known = {each.manifest_key: each for each in found.manifests}
        return found
