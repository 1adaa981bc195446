"""The daemon's eyes: what it looks at all the time, beside its work and without a hand in it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from quorate.cluster import Silence
from quorate.errors import QuorateError
from quorate.etcd import EtcdSeen
from quorate.inventory import Cluster
from quorate.revision_clock import EVERY_S
from worker.wiring import Wiring

THIN_S = 3600.0
log = structlog.get_logger("quorate.eyes")


@contextmanager
def open_on(wiring: Wiring) -> Iterator[None]:
    """A thread for each thing that is looked at, so that one that is slow keeps no other waiting."""
    closed = threading.Event()
    clusters = wiring.settings.inventory.clusters
    for name, cluster in clusters.items():
        started(f"clock of {name}", Clock(wiring, name, cluster).tick, EVERY_S, closed)
    try:
        yield
    finally:
        closed.set()


def started(what: str, look: Callable[[], None], every_s: float, closed: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=repeated, args=(what, look, every_s, closed), name=what, daemon=True)
    thread.start()
    return thread


def repeated(what: str, look: Callable[[], None], every_s: float, closed: threading.Event) -> None:
    """Until it is closed; a failure is logged when it begins and when it is over, and ends nothing."""
    failed = ""
    while True:
        began = time.monotonic()
        trouble = troubled(look)
        if closed.is_set():
            return
        if trouble != failed:
            log.warning("failing", what=what, error=trouble) if trouble else log.info("well again", what=what)
        failed = trouble
        if closed.wait(max(0.0, every_s - (time.monotonic() - began))):
            return


def troubled(look: Callable[[], None]) -> str:
    try:
        look()
    except QuorateError as error:
        return str(error)
    except Exception as error:
        log.exception("a defect of ours; what was looked at is looked at again")
        return f"{type(error).__name__}: {error}"
    return ""


@dataclass(slots=True)
class Clock:
    """One cluster's revision clock; `heard` is what its members said last."""

    wiring: Wiring
    name: str
    cluster: Cluster
    heard: dict[str, EtcdSeen | Silence] = field(default_factory=dict)
    thinned: float = 0.0

    def tick(self) -> None:
        """What one member did not say is no failure here: who asks for the members sees who is silent."""
        self.heard = self.wiring.clock.tick(self.name, self.cluster)
        if (now := time.monotonic()) - self.thinned > THIN_S:
            self.wiring.ticks.thin(self.name, time.time())
            self.thinned = now
