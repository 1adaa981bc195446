"""When a fault strikes: at a step, as the audit trail shows it while it grows, or at any instant."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

POLL_S = 0.005
COUNTED = ("call", "late-call", "called", "rename")  # of one node: `deploy.robustness.traps`
STEPS = ("claim", "stage", "compare", "bar", "fence", "swap", "start", "verify", "admit", "unbar", "release")
OF_SHAPE = {  # of a lab, by its control plane
    "none": STEPS,
    "systemd": (*STEPS[:4], "fence-api", *STEPS[4:9], "start-api", "verify-api", *STEPS[9:]),
}
NOTING = ("list", "differ")  # came later; to draw from them too would change what older seeds mean
ONE_PLACE = ("compare", "verify", "verify-api", *NOTING)


@dataclass(frozen=True, slots=True)
class Moment:
    """`in` a step: it has begun to act; `after`: as far as one can see it is over; neither: since the beginning.

    Or the command or rename with a number, which waits for what is done to it.
    """

    when: str
    step: str
    later_s: float
    number: int = 0

    def __str__(self) -> str:
        if self.number:
            return f"{self.when} {self.number}"
        return f"{self.when} {self.step} + {self.later_s:.2f} s".strip() if self.step else f"{self.later_s:.2f} s"


@dataclass(slots=True)
class Trail:
    """The records of the one operation that was not there before."""

    operations: Path
    known: frozenset[str]
    kind: str = "restore"
    operation: str = ""
    read: dict[Path, int] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)

    def follow(self) -> None:
        """A line that is only half there is left for the next time."""
        new = sorted(path.name for path in self.operations.glob(f"{self.kind}-*") if path.name not in self.known)
        self.operation = new[0] if new else ""
        for path in (self.operations / self.operation / "audit").glob("*.jsonl") if new else ():
            with path.open("rb") as file:
                file.seek(self.read.get(path, 0))
                whole = file.read().rpartition(b"\n")[0]
            if whole:
                self.read[path] = self.read.get(path, 0) + len(whole) + 1
                self.records += [{**json.loads(line), "chain": path.name} for line in whole.splitlines()]

    def begun(self) -> tuple[dict[str, Any], ...]:
        """Every act that it was about to carry out; a look changes nothing."""
        return tuple(each for each in self.records if each["event"] == "intent" and each["argv"] != ["look"])

    def reached(self, moment: Moment, nodes: int) -> bool:
        self.follow()
        if not moment.step:
            return bool(self.operation)
        intents = [each for each in self.records if each["event"] == "intent" and each["step"] == moment.step]
        if moment.when == "in":
            return any(each["argv"] != ["look"] for each in intents)
        places = {each["place"] for each in intents}
        enough = 1 if moment.step in ONE_PLACE else nodes
        return len(places) >= enough and all(self.over(each) for each in intents)

    def over(self, intent: dict[str, Any]) -> bool:
        return any(
            each["event"] == "outcome" and (each["chain"], each["of"]) == (intent["chain"], intent["seq"])
            for each in self.records
        )
