"""A store in memory: create-only, all or nothing, and able to lose, damage or refuse things on purpose."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from quorate.converge import Tick
from quorate.errors import AlreadyThere, Denied, Missing, QuorateError
from quorate.ports import Store, Stored
from quorate.settings.fields import LockMode
from quorate.settings.stores import Store as StoreSettings
from quorate.unfinished import Unfinished


@dataclass
class MemoryStore:
    objects: dict[str, bytes] = field(default_factory=dict)
    half_done: dict[str, bytes] = field(default_factory=dict)  # what a killed worker leaves behind
    began: float = 0.0  # when all of that was begun
    refuses: Callable[[str, int], QuorateError | None] = lambda key, size_bytes: None
    gives_back: Callable[[str, bytes], bytes] = lambda key, data: data
    keeps: bool = True  # False: counts the bytes and forgets them
    hiding: dict[str, bytes] = field(default_factory=dict)  # what somebody has deleted by name
    under_lock: dict[str, datetime] = field(default_factory=dict)
    forgotten: dict[str, int] = field(default_factory=dict)

    def put(self, key: str, chunks: Iterable[bytes], tick: Tick) -> Stored:
        data, size_bytes = bytearray(), 0
        for chunk in chunks:
            size_bytes += len(chunk)
            if self.keeps:
                data += chunk
            if error := self.refuses(key, size_bytes):
                raise error
            tick(f"{size_bytes} bytes stored")
        if key in self.objects:
            raise AlreadyThere(f"put {key}: it is there already")
        self.objects[key] = bytes(data)
        return Stored(key, size_bytes)

    def get(self, key: str) -> Iterator[bytes]:
        if key not in self.objects:
            raise Missing(f"get {key}: there is none")
        data = self.gives_back(key, self.objects[key])
        return iter([data[at : at + 65536] for at in range(0, len(data), 65536)])

    def ls(self, prefix: str) -> tuple[Stored, ...]:
        return tuple(
            Stored(key, len(data), hashlib.sha256(data).hexdigest())
            for key, data in sorted(self.objects.items())
            if key.startswith(prefix)
        )

    def unfinished(self, prefix: str) -> tuple[Unfinished, ...]:
        return tuple(Unfinished(key, key, self.began) for key in sorted(self.half_done) if key.startswith(prefix))

    def abandon(self, each: Unfinished) -> None:
        self.half_done.pop(each.key, None)

    def remove(self, key: str) -> None:
        if key in self.under_lock:
            raise Denied(f"remove {key}: it is under a lock")
        if self.objects.pop(key, self.hiding.pop(key, None)) is None:
            raise Missing(f"remove {key}: there is none")

    def lock(self, key: str, until: datetime, mode: LockMode) -> None:
        if key not in self.objects:
            raise Missing(f"lock {key}: there is none")
        self.under_lock[key] = until

    def locked(self, key: str) -> str:
        if key not in self.objects:
            raise Missing(f"lock of {key}: there is none")
        until = self.under_lock.get(key)
        return f"under a lock until {until:%Y-%m-%d %H:%M}Z" if until else ""

    def hidden(self, prefix: str) -> tuple[str, ...]:
        return tuple(sorted(key for key in self.hiding if key.startswith(prefix)))

    def hide(self, key: str) -> None:
        """As whoever deletes by name."""
        self.hiding[key] = self.objects.pop(key)

    def check(self) -> None:
        return


@dataclass(frozen=True)
class MemoryStores:
    store: MemoryStore

    def at(self, settings: StoreSettings) -> Store:
        return self.store
