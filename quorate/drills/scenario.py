"""A drill as its file says it: what is broken on purpose, what must be true before, meanwhile and after."""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from quorate.inventories.reading import mistake, opened, refuse, telling
from quorate.measure import Surface
from quorate.settings.fields import Duration, Name, Strict

Steady = Literal["quorum", "every-member", "no-alarms", "same-data", "every-apiserver"]
Expected = Literal["another-leader", "majority-serves", "minority-refuses"]
Proof = Literal[
    "write-gap", "read-gap", "nothing-lost", "backup-proved", "restored", "replaced", "laid", "rto", "rpo"
]
Kind = Literal["stop", "kill", "cut", "wipe", "lose-api"]
Run = Literal["prove", "backup", "restore", "replace-member", "lay"]
BOUNDED = ("write-gap", "read-gap")


class Fault(Strict):
    """`stop` or `kill`: etcd does not run there; `cut`: no other member is reached from there, nor reaches it.

    One that is killed has no time to take its leave. `wipe`: it is killed, and its data is out of its sight.
    `lose-api`: no API server runs on any node, and there the files are out of its sight that the newest bundle holds.
    `at` is leader, follower, majority or the name of a member; who that is, is looked at when the fault is laid.
    """

    kind: Kind
    at: Name


class Mistake(Strict):
    """All keys below `prefix` are deleted; `writes` is how many the drill writes there itself before the backup."""

    prefix: str = Field(min_length=1, max_length=200)
    writes: int = Field(default=0, ge=0, le=10_000)


class Stage(Strict):
    """A fault for as long as `hold`, or until the operation that `run` names is over; or one operation alone.

    Then it has to become steady again. `store` is which one the operation works with: the first, its first copy, or
    the first at an address where nobody answers; then it has to fail for that. With `spoil` a damaged twin of the
    newest backup is proved first: it has to be refused, and the one before it used; the twin is removed again.
    """

    title: str = Field(min_length=1, max_length=120)
    fault: Fault | None = None
    hold: Duration = Field(default=10.0, gt=0, le=3600)
    mistake: Mistake | None = None
    spoil: Literal["newest"] | None = None
    run: Run | None = None
    store: Literal["first", "second", "away"] = "first"
    expect: tuple[Expected, ...] = ()

    @model_validator(mode="after")
    def check_one(self) -> Self:
        if self.fault is None and self.run is None:
            raise ValueError("expected a fault, run, or both")
        if self.spoil and (self.fault or self.mistake or self.run != "prove"):
            raise ValueError("expected spoil with run: prove, and nothing else")
        if self.store == "away" and self.run != "backup":
            raise ValueError("expected store: away only with run: backup")
        if self.store == "second" and self.run != "restore":
            raise ValueError("expected store: second only with run: restore")
        if (self.run == "lay") != (self.fault is not None and self.fault.kind == "lose-api"):
            raise ValueError("expected run: lay with the fault lose-api, and with nothing else")
        if self.fault and self.fault.kind == "lose-api" and self.fault.at == "majority":
            raise ValueError("expected lose-api at one member")
        if self.mistake and (self.fault or self.run != "restore"):
            raise ValueError("expected mistake with run: restore, and without a fault")
        if self.expect and (self.fault is None or self.run):
            raise ValueError("expected expect only with a fault that lasts for its hold")
        return self


class Needs(Strict):
    """Without which it is not begun; `approvers` are two at least, by name."""

    members: int = Field(default=1, ge=1, le=9)
    sandbox: bool = False
    api_server: bool = False  # for the sandbox; where the inventory names one it is started in any case
    staging: bool = False
    approvers: bool = False
    copies: bool = False
    control_plane: bool = False


class Limits(Strict):
    """`recover` is how long it may take until all is steady again after a stage, `duration` the whole drill."""

    recover: Duration = Field(default=60.0, gt=0)
    duration: Duration = Field(default=1800.0, gt=0)


class Stops(Strict):
    """What ends it early, all faults lifted: writes that fail for so long on end, or a cluster of other members."""

    writes_fail: Duration = Field(default=60.0, gt=0)


class Proven(Strict):
    """What is judged at the end; `at_most` bounds a gap, the others are as they are called."""

    check: Proof
    at_most: Duration | None = None

    @model_validator(mode="after")
    def check_bound(self) -> Self:
        if (self.check in BOUNDED) != (self.at_most is not None):
            raise ValueError(f"expected at_most with {' and '.join(BOUNDED)}, and with nothing else")
        return self


class Scenario(Strict):
    apiVersion: Literal["quorate/v1"]  # noqa: N815 - the field's name in the file
    scenario: Name
    title: str = Field(min_length=1, max_length=120)
    hypothesis: str = Field(min_length=1, max_length=600)
    needs: Needs = Needs()
    steady: tuple[Steady, ...] = ()
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=20)]
    proof: Annotated[tuple[Proven, ...], Field(min_length=1)]
    limits: Limits = Limits()
    stop_when: Stops = Stops()
    absent: Literal["requester"] | None = None  # who may not approve what is restored

    @property
    def faults(self) -> bool:
        """Whether it breaks anything."""
        return any(stage.fault or stage.mistake for stage in self.stages)

    @property
    def lost(self) -> Surface:
        """Through what nobody gets any further while it lasts."""
        api = any(stage.fault and stage.fault.kind == "lose-api" for stage in self.stages)
        return "apiserver" if api else "etcd"


def parse(text: str, name: str) -> Scenario:
    """BadInput lists every mistake as `name:line: field: what`."""
    document, lines, mistakes = opened(text, name, "apiVersion, scenario, title, hypothesis, stages and proof")
    try:
        found = Scenario.model_validate(document)
    except ValidationError as error:
        mistakes += [mistake(detail, lines) for detail in telling(error.errors(include_url=False))]
    refuse(name, mistakes)
    return found
