"""One thing that is wrong, or could be better, with the one command to run next."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from quorate.plan import Way


@dataclass(frozen=True, slots=True)
class Finding:
    id: str
    level: Literal["FAIL", "WARN", "NOTE"]  # a NOTE is advice: nothing is broken, and nobody is woken for it
    message: str
    evidence: str
    next: str
    ways: tuple[Way, ...] = ()  # what can be done, the least lost first


def page(alert: str) -> str:
    """Where no workflow does it yet, the page of the alert that says what a person does."""
    return f"runbooks/alerts/{alert}.md"


def listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
