"""A store whose changes from this machine are noticed, so that what is remembered of it is not taken for fresh."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from quorate.backups.catalogue import home_of, of_restore
from quorate.converge import Tick
from quorate.errors import QuorateError
from quorate.ports import Memory, Store, Stored
from quorate.settings.fields import LockMode
from quorate.unfinished import Unfinished


@dataclass(frozen=True, slots=True)
class NoticedStore:
    store: Store
    memory: Memory
    place: str

    def put(self, key: str, chunks: Iterable[bytes], tick: Tick) -> Stored:
        try:
            return self.store.put(key, chunks, tick)
        finally:
            self._notice(key)

    def remove(self, key: str) -> None:
        try:
            self.store.remove(key)
        finally:
            self._notice(key)

    def get(self, key: str) -> Iterator[bytes]:
        return self.store.get(key)

    def ls(self, prefix: str) -> tuple[Stored, ...]:
        return self.store.ls(prefix)

    def unfinished(self, prefix: str) -> tuple[Unfinished, ...]:
        return self.store.unfinished(prefix)

    def abandon(self, each: Unfinished) -> None:
        self.store.abandon(each)

    def lock(self, key: str, until: datetime, mode: LockMode) -> None:
        self.store.lock(key, until, mode)

    def locked(self, key: str) -> str:
        return self.store.locked(key)

    def hidden(self, prefix: str) -> tuple[str, ...]:
        return self.store.hidden(prefix)

    def check(self) -> None:
        self.store.check()

    def _notice(self, key: str) -> None:
        """Whatever became of it; where it cannot be noted, it shows with the next comparison."""
        if home_of(key) or of_restore(key):
            with suppress(QuorateError):
                self.memory.wrote(self.place, key.split("/", maxsplit=1)[0])
