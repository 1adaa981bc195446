"""One reading of an object for all who want it at about the same time: a distant store sends it once."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from quorate.converge import Clock

WINDOW = 4  # pieces between the fastest and the slowest; who comes while the first is in it joins
PATIENCE_S = 2.0  # then whoever has not moved goes on by itself

Begin = Callable[[], Iterator[bytes]]


class _LeftBehind(Exception):
    """Its next piece is gone."""


@dataclass(slots=True)
class Readings:
    """Those that go on now, by what they read."""

    clock: Clock = time
    patience_s: float = PATIENCE_S
    lock: threading.Lock = field(default_factory=threading.Lock)
    going_on: dict[str, "Reading"] = field(default_factory=dict)

    def of(self, what: str, begin: Begin) -> Iterator[bytes]:
        """All of its pieces; `begin` is called only if no reading of it has just begun.

        One that breaks off breaks off for all. One that stands still holds up nobody for longer than a moment.
        """
        with self.lock:
            reading = self.going_on.get(what)
            if reading is None or not reading.joined(taker := object()):
                reading, taker = self._begun(what, begin)
        return _taken(reading, taker, begin)

    def _begun(self, what: str, begin: Begin) -> tuple["Reading", object]:
        reading, taker = Reading(self.clock, self.patience_s), object()
        reading.joined(taker)
        self.going_on[what] = reading

        def read() -> None:
            reading.read(begin)
            with self.lock:
                if self.going_on.get(what) is reading:
                    del self.going_on[what]

        threading.Thread(target=read, name="reading", daemon=True).start()
        return reading, taker


@dataclass(slots=True)
class Reading:
    """The pieces that not everybody has taken yet."""

    clock: Clock
    patience_s: float
    changed: threading.Condition = field(default_factory=threading.Condition)
    window: deque[bytes] = field(default_factory=deque)
    first: int = 0  # the number of the piece that the window begins with
    at: dict[object, int] = field(default_factory=dict)  # the piece that each takes next
    over: bool = False
    error: BaseException | None = None

    def joined(self, taker: object) -> bool:
        """False where it would miss the beginning."""
        with self.changed:
            if self.first or self.over:
                return False
            self.at[taker] = 0
            return True

    def left(self, taker: object) -> None:
        with self.changed:
            self.at.pop(taker, None)
            self._forget()

    def take(self, taker: object) -> bytes | None:
        """None behind the last; _LeftBehind for one that was too slow."""
        with self.changed:
            while taker in self.at:
                number = self.at[taker] - self.first
                if number < len(self.window):
                    piece = self.window[number]
                    self.at[taker] += 1
                    self._forget()
                    return piece
                if self.over:
                    if self.error:
                        raise self.error
                    return None
                self.changed.wait()
            raise _LeftBehind

    def read(self, begin: Begin) -> None:
        """As long as somebody takes."""
        try:
            for piece in begin():
                if not self._placed(piece):
                    break
        except BaseException as error:  # noqa: BLE001 - it is raised again by whoever takes the pieces
            self.error = error
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def _placed(self, piece: bytes) -> bool:
        with self.changed:
            since, first = self.clock.monotonic(), self.first
            while self.at and len(self.window) >= WINDOW:
                self.changed.wait(self.patience_s)
                if self.first == first and self.clock.monotonic() - since >= self.patience_s:
                    self._leave_behind()
            self.window.append(piece)
            self.changed.notify_all()
            return bool(self.at)

    def _leave_behind(self) -> None:
        """Who needs the first piece."""
        self.at = {taker: number for taker, number in self.at.items() if number > self.first}
        self._forget()

    def _forget(self) -> None:
        """What nobody needs any more."""
        low = min(self.at.values(), default=self.first + len(self.window))
        while self.first < low:
            self.window.popleft()
            self.first += 1
        self.changed.notify_all()


def _taken(reading: Reading, taker: object, begin: Begin) -> Iterator[bytes]:
    taken_bytes = 0
    try:
        while (piece := reading.take(taker)) is not None:
            taken_bytes += len(piece)
            yield piece
    except _LeftBehind:
        yield from _behind(taken_bytes, begin())
    finally:
        reading.left(taker)


def _behind(taken_bytes: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """What comes after so many bytes."""
    for piece in pieces:
        if rest := piece[taken_bytes:]:
            yield rest
        taken_bytes = max(0, taken_bytes - len(piece))
