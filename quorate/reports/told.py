"""What a report is made of: the record of an operation, and what others know about what it speaks of."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from quorate.audit import broken, sealed
from quorate.backups.catalogue import Manifest
from quorate.drill import DrillResult, Lost
from quorate.errors import BadInput
from quorate.ids import begun
from quorate.measure import Clock
from quorate.operation import EXIT, RestoreResult
from quorate.plan import Plan
from quorate.reports.acts import Acted, acts
from quorate.reports.report import Row

T = TypeVar("T")
DRILL: TypeAdapter[DrillResult] = TypeAdapter(DrillResult)
RESTORE: TypeAdapter[RestoreResult] = TypeAdapter(RestoreResult)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the store says of a snapshot; `why_not` where nothing was to be had."""

    manifest: Manifest | None = None
    signature: str = ""  # whose, and whether it is what it should be, in words
    signed: bool | None = None  # None: nothing that could be proved
    lock: str = ""
    standing: tuple[str, ...] = ()  # what became of it since
    why_not: str = ""


NOUNS = {"prove": "proof by a restore", "verify": "verification", "prune": "retention run", "tidy": "tidying up"}
NOUNS |= {"replace-member": "member replacement", "lay": "laying of files"}
DONE = frozenset(outcome.value for outcome, code in EXIT.items() if code == 0)
UNKNOWN, NOT_KNOWN = Provenance(), Lost()


@dataclass(frozen=True)
class Told:
    """`lost` is what the revision clock makes of the snapshot; `before` are earlier operations of its kind."""

    operation: str
    cluster: str
    outcome: Mapping[str, Any]
    chains: Mapping[str, list[str]]
    plan: Plan | None = None
    where: str = ""
    environment: str = ""
    rto_s: float | None = None
    rpo_s: float | None = None
    owner: str = ""  # whose its findings are
    close_within_s: float | None = None
    provenance: Provenance = UNKNOWN
    lost: Lost = NOT_KNOWN
    lost_how: str = ""
    before: tuple[Row, ...] = ()
    carried: "tuple[Told, ...]" = ()  # the operations that a drill had carried out

    @property
    def kind(self) -> str:
        return self.operation.rpartition("-")[0]

    @property
    def noun(self) -> str:
        return noun(self.kind)

    @property
    def word(self) -> str:
        return str(self.outcome.get("outcome", ""))

    @property
    def own(self) -> tuple[str, ...]:
        """The findings that the operation has told itself."""
        return self.drill.findings if self.drill else tuple(map(str, self.outcome.get("findings") or ()))

    @cached_property
    def acts(self) -> tuple[Acted, ...]:
        return acts(self.chains)

    @cached_property
    def broken(self) -> tuple[str, ...]:
        return broken(self.chains)

    @property
    def sealed(self) -> bool:
        return any(sealed(lines) for lines in self.chains.values())

    @property
    def asked(self) -> float:
        """When it was asked for, as the ULID in its name says."""
        try:
            return begun(self.operation)
        except ValueError:
            return min((act.at for act in self.acts), default=0.0)

    @property
    def ended(self) -> float:
        return max((act.until or act.at for act in self.acts), default=self.asked)

    @property
    def actor(self) -> str:
        return next((act.actor for act in self.acts if act.actor), "")

    @cached_property
    def drill(self) -> DrillResult | None:
        return self.read(DRILL) if "scenario" in self.outcome else None

    @cached_property
    def stepped(self) -> RestoreResult | None:
        """A result with steps, of whichever runbook it is."""
        return self.read(RESTORE) if "steps" in self.outcome and "snapshot" in self.outcome else None

    def read(self, kind: TypeAdapter[T]) -> T:
        try:
            return kind.validate_python(dict(self.outcome))
        except ValidationError as error:
            raise BadInput(
                f"the record of {self.operation} is not one of ours: {error.errors()[0]['msg']}",
                next=f"quorate operations show {self.operation}",
            ) from error

    def first(self, fits: Callable[[Acted], bool]) -> Acted | None:
        return next(filter(fits, self.acts), None)

    def steps_between(self, key: str) -> tuple[float, float] | None:
        """From when until when a step of the result was taken, wherever."""
        own = [step for step in (self.stepped.steps if self.stepped else ()) if step.id == key and step.started]
        if not own:
            return None
        ends = [(step.started or 0.0) + (step.duration_s or 0.0) for step in own]
        return min(step.started or 0.0 for step in own), max(ends)

    def reached(self, key: str) -> bool:
        own = [step for step in (self.stepped.steps if self.stepped else ()) if step.id == key]
        return bool(own) and all(step.state == "done" for step in own)


def noun(kind: str) -> str:
    """As one says it: `a restore`, `a proof by a restore`, `a member replacement`."""
    return NOUNS.get(kind, kind.replace("-", " "))


def clock_of(told: Told) -> Clock:
    """As far as the record knows it; a drill has measured its own."""
    if told.drill:
        return told.drill.clock
    approved = [act.until for act in told.acts if act.step == "approval" and act.done]
    return Clock(
        declared=told.asked or None,
        approved=max((at for at in approved if at), default=None),
        started=started(told),
        first_write=first_write(told.acts) if told.kind == "restore" else None,
        handed_back=handed_back(told),
    )


def started(told: Told) -> float | None:
    """As the result says it, else by the audit trail."""
    if told.stepped and (own := [step.started for step in told.stepped.steps if step.started]):
        return min(own)
    return min((act.at for act in told.acts if act.step != "approval"), default=None)


def first_write(done: Iterable[Acted]) -> float | None:
    """The first put that a restored cluster acknowledged: the canary of the verification."""
    puts = [act.until for act in done if act.step == "verify" and act.argv[:2] == ("etcd", "put") and act.done]
    return min((at for at in puts if at), default=None)


def handed_back(told: Told) -> float | None:
    """Where the nodes were released because all was done, and not because all was undone."""
    last = told.steps_between("release")
    return last[1] if last and told.reached("release") and told.word in DONE else None


def utc(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%SZ}"
