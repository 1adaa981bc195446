"""What the daemon's own process holds in memory while something happens."""

from __future__ import annotations

import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.lab.lab import Lab

EVERY_S = 0.05
RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)


@dataclass(slots=True)
class Sampled:
    """MiB; the children, such as Temporal's server, are not in it."""

    seen: list[float] = field(default_factory=list)

    @property
    def peak(self) -> float:
        return max(self.seen)


def pid(lab: Lab) -> int:
    return int(json.loads((lab.folder / "state" / "daemon.json").read_text())["pid"])


def resident_mib(process: int) -> float:
    found = RESIDENT.search(Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def idle_mib(lab: Lab) -> float:
    """After it has come to rest."""
    time.sleep(3)
    return resident_mib(pid(lab))


@contextmanager
def sampling(lab: Lab) -> Iterator[Sampled]:
    sampled, over, process = Sampled(), threading.Event(), pid(lab)

    def sample() -> None:
        while not over.wait(EVERY_S):
            sampled.seen.append(resident_mib(process))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield sampled
    finally:
        over.set()
        thread.join()
