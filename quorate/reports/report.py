"""The report of an operation as one value: what is sealed, and what every form of it is rendered from.

Times are seconds since 1970; None is what cannot be known, and every place where it stands says so.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import TypeAdapter

from quorate.audit import canonical
from quorate.measure import Check, Probed, Resource

FORMAT = "quorate/report/v1"
RETEST_DAYS = 30  # after what failed; the policy where an inventory knows no other


class Judgement(StrEnum):
    """What a reader wants to know before all else; the word of the operation itself stands beside it."""

    PASSED = "PASSED"
    FINDINGS = "PASSED WITH FINDINGS"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    NOTHING = "NOTHING WAS CHANGED"
    OPEN = "NOT OVER"


@dataclass(frozen=True, slots=True)
class Verdict:
    judgement: Judgement
    outcome: str  # the operation's own word
    sentence: str


@dataclass(frozen=True, slots=True)
class Figure:
    """An interval where `most_s` differs from `least_s`; `met` is None where it cannot be told."""

    name: str
    least_s: float | None
    most_s: float | None
    objective_s: float | None
    met: bool | None
    how: str

    @property
    def known(self) -> bool:
        return self.most_s is not None


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Mark:
    """One reading of the clock, by its definition; `why` says why there is none."""

    name: str
    definition: str
    at: float | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    part: str


@dataclass(frozen=True, slots=True)
class Bar:
    """Who worked, or was waited for, from when until when."""

    label: str
    who: str  # people | machine
    since: float
    until: float
    state: str = "done"
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One act of the audit trail; `exit` is its code, or a word where there is none."""

    at: str
    place: str
    step: str
    actor: str
    command: str
    exit: str
    took_s: float | None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Deviation:
    what: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """`owner` and `due` are empty where the inventory does not say it: a field to fill in."""

    what: str
    owner: str = ""
    due: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One operation among others of its kind."""

    operation: str
    kind: str
    began: float
    outcome: str
    judgement: Judgement
    rto_s: float | None = None
    rpo_least_s: float | None = None
    rpo_most_s: float | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Control:
    """One requirement of a framework, and what in this report speaks to it; no evidence is "not covered"."""

    id: str
    asks: str
    evidence: str = ""
    parts: tuple[str, ...] = ()  # headings of this report
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    name: str
    first: int
    last: int
    head: str


@dataclass(frozen=True, slots=True)
class Trail:
    """What the report rests on; `broken` says where it is not whole."""

    chains: tuple[Chain, ...] = ()
    sealed: bool = False
    broken: tuple[str, ...] = ()

    @property
    def records(self) -> int:
        return sum(each.last - each.first + 1 for each in self.chains)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything in it was recorded or observed; what is not known is empty, and is rendered as such."""

    operation: str
    kind: str
    cluster: str
    title: str
    made_at: float
    made_by: str
    version: str
    verdict: Verdict
    rto: Figure
    rpo: Figure
    scope: tuple[Fact, ...] = ()
    scenario: tuple[Fact, ...] = ()
    clock: tuple[Mark, ...] = ()
    people: tuple[Person, ...] = ()
    people_s: float | None = None
    machine_s: float | None = None
    time_notes: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()
    duration_s: float | None = None
    probe: Probed | None = None
    unprobed: str = ""  # why there was none
    provenance: tuple[Fact, ...] = ()
    unproven: str = ""  # why less is known of the snapshot than its manifest says
    checks: tuple[Check, ...] = ()
    log: tuple[Entry, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    decisions: tuple[str, ...] = ()
    resources: tuple[Resource, ...] = ()
    unlisted: str = ""  # why it is not known what was made
    findings: tuple[Finding, ...] = ()
    retest_due: str = ""
    notes: tuple[str, ...] = ()
    compared: tuple[Row, ...] = ()  # the operations before it, the newest first
    controls: tuple[Control, ...] = ()
    trail: Trail = field(default_factory=Trail)
    sealed_by: str = ""  # the fingerprint of the key
    where: str = ""
    format: str = FORMAT


REPORT: TypeAdapter[Report] = TypeAdapter(Report)


def encoded(report: Report) -> str:
    """Canonical: the same report is always the same bytes."""
    return canonical(REPORT.dump_python(report, mode="json"))
