"""What a machine stores, in memory: one process after another is `reborn()`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class MemoryUploads:
    noted: set[tuple[str, str]] = field(default_factory=set)
    alive: set[tuple[str, str]] = field(default_factory=set)

    @contextmanager
    def storing(self, place: str, key: str) -> Iterator[None]:
        self.noted.add((place, key))
        self.alive.add((place, key))
        try:
            yield
            self.forget(place, key)
        finally:
            self.alive.discard((place, key))

    def live(self, place: str) -> frozenset[str]:
        return frozenset(key for at, key in self.alive if at == place)

    def left(self, place: str) -> frozenset[str]:
        return frozenset(key for at, key in self.noted - self.alive if at == place)

    def forget(self, place: str, key: str) -> None:
        self.noted.discard((place, key))

    def reborn(self) -> "MemoryUploads":
        return MemoryUploads(self.noted)
