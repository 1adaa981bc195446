"""Drills: what is broken on purpose, what has to be true before and after, and what came of it."""

from dataclasses import dataclass, field
from enum import StrEnum

from quorate.measure import Check, Clock, Probed, Resource

WORKFLOW = "drill"


class Verdict(StrEnum):
    """How a drill ends; stopped: a stop condition, or a person, ended it early."""

    PASSED = "passed"
    FINDINGS = "passed-with-findings"
    FAILED = "failed"
    STOPPED = "stopped"


EXIT = {Verdict.PASSED: 0, Verdict.FINDINGS: 3, Verdict.FAILED: 10, Verdict.STOPPED: 9}


@dataclass(frozen=True, slots=True)
class Lost:
    """How much time's writes: never a point, for etcd records no commit times. None: it cannot be known."""

    least_s: float | None = None
    most_s: float | None = None


@dataclass(frozen=True, slots=True)
class DrillResult:
    """The scripts' contract, and what a report is made of."""

    operation: str
    outcome: Verdict
    cluster: str
    scenario: str
    hypothesis: str = ""
    clock: Clock = field(default_factory=Clock)
    probed: Probed | None = None
    checks: tuple[Check, ...] = ()
    resources: tuple[Resource, ...] = ()
    findings: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()  # that it had carried out, each with a record of its own
    snapshot: str = ""
    rto_objective_s: float | None = None
    rpo_objective_s: float | None = None
    lost: Lost = Lost()
    duration_s: float = 0.0
    people: tuple[str, ...] = ()  # who asked, who approved, who was not to take part
    facts: dict[str, str] = field(default_factory=dict)
