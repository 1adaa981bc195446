"""Whether a cluster may be drilled, and how often it has to be."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from quorate.settings.fields import Duration, Name, Path, Strict
from quorate.settings.policies import Schedule


class DrillPolicy(Strict):
    """How old the last one that passed may be, and when the daemon holds one by itself.

    `file` is a scenario of one's own; without it, it is the one that comes with Quorate under that name.
    """

    within: Annotated[Duration, Field(gt=0)]
    schedule: Schedule | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def check_schedule(self) -> Self:
        if self.schedule and not (self.schedule.cron or self.schedule.every):
            raise ValueError("expected cron or every in schedule")
        return self


def lasting(value: object) -> object:
    """A bare duration is how old the last one may be."""
    return value if isinstance(value, dict | DrillPolicy) else {"within": value}


class Drills(Strict):
    """Whether faults may be laid there, and by scenario how often it has to be drilled."""

    allowed: bool = False
    scenarios: dict[Name, Annotated[DrillPolicy, BeforeValidator(lasting)]] = Field(default={})


def permitted(value: object) -> object:
    """`allowed` says no more than that."""
    return {"allowed": True} if value == "allowed" else value
