"""What a recovery took: when each part of it was reached, and what a client saw all the while.

Times are seconds since 1970 of the machine that asked. A probe writes and reads as any client does; what it could not
do is the outage, whatever the operation thinks of itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Literal

Surface = Literal["etcd", "apiserver"]
Verb = Literal["read", "write"]


class Verdict(StrEnum):
    """How a drill ends; stopped: a stop condition, or a person, ended it early."""

    PASSED = "passed"
    FINDINGS = "passed-with-findings"
    FAILED = "failed"
    STOPPED = "stopped"


DEFINITIONS = {
    "declared": "somebody, or a schedule, asked for it; of a drill: its first fault took effect",
    "detected": "the survey that the plan rests on saw what is wrong",
    "approved": "enough people had said yes; where nobody had to, when the plan was made",
    "started": "the first step after the approval began",
    "quorum": "the cluster's members had a leader again and answered a linearizable read",
    "readyz": "an API server said that it is ready",
    "first_write": "the first write through the cluster was acknowledged",
    "workload": "the probe's writes and reads went through, and none failed any more",
    "handed_back": "all was verified, and nothing of the operation kept anybody from the cluster",
}


@dataclass(frozen=True, slots=True)
class Clock:
    """Each by the definition of its name; None where it was not reached, or where there is no such thing."""

    declared: float | None = None
    detected: float | None = None
    approved: float | None = None
    started: float | None = None
    quorum: float | None = None
    readyz: float | None = None
    first_write: float | None = None
    workload: float | None = None
    handed_back: float | None = None

    @property
    def people_s(self) -> float | None:
        """What passed until enough people had said yes."""
        return between(self.detected or self.declared, self.approved)

    @property
    def machine_s(self) -> float | None:
        """From then on until the first write."""
        return between(self.approved or self.started, self.first_write)

    @property
    def rto_s(self) -> float | None:
        """From when it was declared until the first write, or until it served where nobody was to write."""
        return between(self.declared, self.quorum if self.first_write is None else self.first_write)

    def reached(self) -> tuple[tuple[str, float], ...]:
        """By name, in the order of time."""
        named = ((each.name, getattr(self, each.name)) for each in fields(self))
        return tuple(sorted(((name, at) for name, at in named if at is not None), key=lambda pair: pair[1]))


@dataclass(frozen=True, slots=True)
class Gap:
    """From the first try that failed to the next that went through, or one that waited; None: to the probe's end."""

    surface: Surface
    verb: Verb
    since: float
    until: float | None = None
    why: str = ""

    @property
    def span_s(self) -> float | None:
        return between(self.since, self.until)


@dataclass(frozen=True, slots=True)
class Tries:
    surface: Surface
    verb: Verb
    made: int
    failed: int
    slowest_s: float = 0.0  # of those that went through: who waited for so long was not served meanwhile


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probe saw from beginning to end; `unwatched` are spans in which it did not run itself."""

    began: float
    ended: float
    tries: tuple[Tries, ...] = ()
    gaps: tuple[Gap, ...] = ()
    unwatched: tuple[tuple[float, float], ...] = ()
    lost: tuple[str, ...] = ()  # keys whose write was acknowledged, and which were not there afterwards

    def back(self, since: float, surface: Surface, verb: Verb) -> float | None:
        """When it went through again after the last gap since then; None while it does not, or was not tried."""
        if not any(each.made for each in self.tries if (each.surface, each.verb) == (surface, verb)):
            return None
        own = [gap for gap in self._of(surface, verb) if (gap.until or since) >= since]
        if any(gap.until is None for gap in own):
            return None
        return max((gap.until or since for gap in own), default=since)

    def longest_s(self, surface: Surface, verb: Verb) -> float:
        """Without an answer, an open gap counted until the probe ended; a try that went through took as long."""
        own = ((gap.until or self.ended) - gap.since for gap in self._of(surface, verb))
        waited = (each.slowest_s for each in self.tries if (each.surface, each.verb) == (surface, verb))
        return max((*own, *waited), default=0.0)

    def _of(self, surface: Surface, verb: Verb) -> tuple[Gap, ...]:
        return tuple(gap for gap in self.gaps if (gap.surface, gap.verb) == (surface, verb))


@dataclass(frozen=True, slots=True)
class Check:
    """What was to be seen, what was seen, and whether that is good; None where it could not be looked at."""

    id: str
    expected: str
    observed: str
    passed: bool | None


@dataclass(frozen=True, slots=True)
class Resource:
    """What was made for it: a process, a directory, a fault; `destroyed` is 0 while it is there."""

    kind: str
    place: str
    name: str
    made: float
    destroyed: float = 0.0
    removal: str = ""  # the command that removes it, where we could not


def between(since: float | None, until: float | None) -> float | None:
    return None if since is None or until is None else round(until - since, 3)


def failed(checks: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(each for each in checks if each.passed is False)
