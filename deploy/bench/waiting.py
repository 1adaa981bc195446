"""How long clients wait for their writes: before a backup, during it, and during one that may go no faster."""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from deploy.bench.prober import probing
from deploy.bench.usual import usual

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deploy.demo.quorate import Quorate
    from deploy.lab.lab import Lab

QUIET_S = 10
RATE_MIB_S = 50


@dataclass(frozen=True, slots=True)
class Waits:
    """Of one write through one member, from the first attempt on, in milliseconds."""

    p50: float
    p99: float
    worst: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.1f} ms, p99 {self.p99:.1f} ms, worst {self.worst:.0f} ms"


def waits(lab: Lab, quorate: Quorate, work: Path) -> dict[str, Waits]:
    """Each by when it was; the script's backup is the fastest that etcd can send."""
    with probing(lab, work / "waits") as probes:
        spans = {
            "before a backup": span(lambda: time.sleep(QUIET_S)),
            "during one": span(lambda: quorate.read("backup", lab.name)),
            "during the script's": span(lambda: usual(lab, "backup", work)),
        }
        with limited(lab, RATE_MIB_S):
            spans[f"during one at {RATE_MIB_S} MiB/s"] = span(lambda: quorate.read("backup", lab.name))
    return {when: waited(probes.waits_ms(*each)) for when, each in spans.items()}


def span(does: Callable[[], object]) -> tuple[float, float]:
    began = time.time()
    does()
    return began, time.time()


@contextmanager
def limited(lab: Lab, rate_mib_s: int) -> Iterator[None]:
    """No member sends faster meanwhile."""
    config = Path(lab.config)
    before = config.read_text()
    inventory = yaml.safe_load(before)
    inventory["clusters"][lab.name]["backup"]["rate_mib_s"] = rate_mib_s
    config.write_text(yaml.safe_dump(inventory, sort_keys=False))
    try:
        yield
    finally:
        config.write_text(before)


def waited(took_ms: list[float]) -> Waits:
    return Waits(statistics.median(took_ms), statistics.quantiles(took_ms, n=100)[98], max(took_ms))


def typical_waits(rounds: list[dict[str, Waits]]) -> dict[str, Waits]:
    """The median of each figure."""
    return {
        when: Waits(*(statistics.median(each) for each in zip(*(parts(one[when]) for one in rounds), strict=True)))
        for when in rounds[0]
    }


def parts(waits: Waits) -> tuple[float, float, float]:
    return waits.p50, waits.p99, waits.worst
