"""Threads of a byte pipeline: one that works while another beats, one beside another, and one that reads ahead."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from temporalio import activity
from temporalio.exceptions import CancelledError

from quorate.converge import Clock, Tick

T = TypeVar("T")
U = TypeVar("U")

BEAT_S = 1.0
JOIN_S = 2.0


@dataclass(slots=True)
class Course:
    """How far the work is, told to the thread that beats; a cancel, told to the one that works."""

    said: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def tick(self, said: str) -> None:
        if self.stop.is_set():
            raise CancelledError(f"cancelled; {said}")
        self.said = said


def beaten(work: Callable[[Tick], T], tick: Tick) -> T:
    """Do it in a thread of its own while this one beats: every call in it has a limit of its own."""
    course = Course()
    with ThreadPoolExecutor(1, "backup") as pool:
        future = pool.submit(work, course.tick)
        while not wait([future], BEAT_S).done:
            tick(course.said)
            if activity.in_activity() and activity.is_cancelled():
                course.stop.set()
        return future.result()


def beside(work: Callable[[], T], other: Callable[[], U]) -> tuple[T, U]:
    """Both at once, and nobody is left behind when the first fails."""
    with ThreadPoolExecutor(1, "beside") as pool:
        said = pool.submit(other)
        return work(), said.result()


@dataclass(slots=True)
class Pace:
    """No faster than that on the whole; 0 is as they come, until it is halved."""

    bytes_s: float
    clock: Clock
    began: float = 0.0
    passed_bytes: int = 0
    halved: int = 0

    def of(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        self.began = self.clock.monotonic()
        for chunk in chunks:
            yield chunk
            self.passed_bytes += len(chunk)
            if not self.bytes_s:
                continue
            if (early_s := self.began + self.passed_bytes / self.bytes_s - self.clock.monotonic()) > 0:
                self.clock.sleep(early_s)

    def halve(self) -> None:
        """From now on; of the speed that it may have, or that it has had."""
        now = self.clock.monotonic()
        had = self.passed_bytes / max(now - self.began, 0.001)
        self.bytes_s = max(1.0, (self.bytes_s or had) / 2)
        self.began, self.passed_bytes, self.halved = now, 0, self.halved + 1


class _End:
    """Behind the last item."""


@contextmanager
def ahead(items: Iterator[bytes], depth: int, tick: Tick) -> Iterator[Iterator[bytes]]:
    """Read in a thread of its own, at most `depth` items ahead of whoever takes them."""
    shelf: queue.Queue[bytes | _End | BaseException] = queue.Queue(depth)
    over = threading.Event()

    def place(item: bytes | _End | BaseException) -> None:
        while not over.is_set():
            with suppress(queue.Full):
                shelf.put(item, timeout=BEAT_S)
                return

    def read() -> None:
        try:
            for item in items:
                place(item)
                if over.is_set():
                    return
            place(_End())
        except BaseException as error:  # noqa: BLE001 - it is raised again by whoever takes the items
            place(error)

    reader = threading.Thread(target=read, name="ahead", daemon=True)
    reader.start()
    try:
        yield _taken(shelf, tick)
    finally:
        over.set()
        reader.join(JOIN_S)  # one that waits for bytes ends when its source's connection is closed


def _taken(shelf: "queue.Queue[bytes | _End | BaseException]", tick: Tick) -> Iterator[bytes]:
    taken_bytes = 0
    while True:
        tick(f"{taken_bytes >> 20} MiB read")
        try:
            item = shelf.get(timeout=BEAT_S)
        except queue.Empty:
            continue
        if isinstance(item, _End):
            return
        if isinstance(item, BaseException):
            raise item
        taken_bytes += len(item)
        yield item
        del item
