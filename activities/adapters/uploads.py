"""What this machine is storing, as a file each: what it has left half done outlives the process that did."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from quorate.errors import Failed


@contextmanager
def mapped(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Failed(f"{what} ({error}), so nothing is stored") from error


@dataclass(frozen=True, slots=True)
class FileUploads:
    folder: Path
    _live: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def storing(self, place: str, key: str) -> Iterator[None]:
        """On record before the first byte; taken off it once the object is whole, and not when it failed."""
        with mapped(f"{self.folder} cannot be written"):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path(place, key).write_text(json.dumps({"place": place, "key": key}))
        with self._lock:
            self._live.add((place, key))
        try:
            yield
            self.forget(place, key)
        finally:
            with self._lock:
                self._live.discard((place, key))

    def live(self, place: str) -> frozenset[str]:
        with self._lock:
            return frozenset(key for at, key in self._live if at == place)

    def left(self, place: str) -> frozenset[str]:
        noted = (each for each in map(read, self.folder.glob("*.json")) if each[0] == place)
        return frozenset(key for _, key in noted) - self.live(place)

    def forget(self, place: str, key: str) -> None:
        with mapped(f"{self.folder} cannot be written"):
            self._path(place, key).unlink(missing_ok=True)

    def _path(self, place: str, key: str) -> Path:
        name = hashlib.sha256(f"{place} {key}".encode()).hexdigest()
        return self.folder / f"{name[:32]}.json"


def read(path: Path) -> tuple[str, str]:
    """Of a torn one, nothing: its upload had not begun."""
    try:
        noted = json.loads(path.read_text())
        return str(noted["place"]), str(noted["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", ""
