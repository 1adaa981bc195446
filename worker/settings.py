"""The inventory file that a command works with."""

import os
from dataclasses import dataclass
from pathlib import Path

from quorate.errors import BadInput
from quorate.inventories.reading import parse
from quorate.inventory import Cluster, Inventory
from quorate.settings.stores import Store

PLACES = ("quorate.yaml", "/etc/quorate/quorate.yaml")


@dataclass(frozen=True, slots=True)
class Settings:
    path: Path
    inventory: Inventory

    @property
    def state(self) -> Path:
        return Path(self.inventory.state_dir)

    @property
    def operations(self) -> Path:
        return self.state / "operations"

    def cluster(self, name: str) -> Cluster:
        """BadInput names the clusters that exist."""
        if name not in self.inventory.clusters:
            known = ", ".join(sorted(self.inventory.clusters))
            raise BadInput(f"there is no cluster {name!r} in {self.path}; clusters: {known}")
        return self.inventory.clusters[name]

    def store(self, cluster: str, name: str = "") -> Store:
        """The one that is written first, or a copy by its name; BadInput names those that the cluster has."""
        stores = self.cluster(cluster).backup.stores
        if name and name not in stores:
            raise BadInput(f"{cluster} has no store {name!r}; its stores: {', '.join(stores)}")
        return self.inventory.stores[name or stores[0]]


def load(option: Path | None) -> Settings:
    """From --config, QUORATE_CONFIG, ./quorate.yaml or /etc/quorate/quorate.yaml: the first that is there."""
    named = option or (Path(value) if (value := os.environ.get("QUORATE_CONFIG")) else None)
    path = named or next((Path(place) for place in PLACES if Path(place).is_file()), None)
    if path is None:
        raise BadInput(
            f"no inventory: none of {', '.join(PLACES)} is there",
            next="quorate --config FILE …  # or set QUORATE_CONFIG; `quorate config schema` describes the file",
        )
    try:
        text = path.read_text()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    return Settings(path.resolve(), parse(text, str(path)))
