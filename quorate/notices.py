"""What somebody is told of an operation without having asked, and the form in which a receiver wants it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from quorate.gauges import Run
from quorate.operation import Hold

Form = Literal["json", "slack", "pagerduty"]
Severity = Literal["critical", "warning"]

TOLD: dict[str, Severity] = {
    "failed": "critical",
    "suspect": "critical",
    "unsound": "critical",
    "held": "critical",
    "undone": "warning",
    "degraded": "warning",
    "incomplete": "warning",
    "passed-with-findings": "warning",
    "stopped": "warning",
}
WHY_MAX = 2000


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened; the same one has the same id, however often it is told."""

    id: str
    at: float
    cluster: str
    operation: str
    kind: str
    outcome: str
    why: str = ""
    snapshot: str = ""

    @property
    def severity(self) -> Severity:
        return TOLD[self.outcome]

    @property
    def title(self) -> str:
        if self.outcome == "held":
            return f"{self.cluster}: {self.kind} is held and waits for a person"
        return f"{self.cluster}: {self.kind} {self.outcome}"

    @property
    def next(self) -> str:
        return f"quorate {'watch' if self.outcome == 'held' else 'operations show'} {self.operation}"

    @property
    def time(self) -> str:
        return f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def of_ends(runs: Iterable[Run]) -> Iterator[Notice]:
    """One that was refused was refused to somebody who knows; one that is done is no news."""
    for run in runs:
        if run.result in TOLD:
            id_ = f"{run.operation}/{run.file}"
            yield Notice(
                id_, run.ended, run.cluster, run.operation, run.kind, run.result, run.why[:WHY_MAX], run.snapshot
            )


def of_hold(cluster: str, kind: str, operation: str, hold: Hold) -> Notice:
    why = f"step {hold.step}: {hold.reason}"[:WHY_MAX]
    return Notice(f"{operation}/hold-{hold.number}", hold.since, cluster, operation, kind, "held", why)


def body(form: Form, notice: Notice, key: str = "") -> dict[str, Any]:
    match form:
        case "slack":
            return {"text": slack_text(notice)}
        case "pagerduty":
            return pagerduty(notice, key)
    return {"format": "quorate/notice/v1", **facts(notice)}


def facts(notice: Notice) -> dict[str, Any]:
    names = ("id", "time", "severity", "cluster", "operation", "kind", "outcome", "snapshot", "title", "why", "next")
    return {name: getattr(notice, name) for name in names}


def slack_text(notice: Notice) -> str:
    """Slack wants these three letters escaped, and nothing else."""
    why = notice.why.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "\n".join(filter(None, (f"*{notice.title}* ({notice.severity})", why, f"`{notice.next}`")))


def pagerduty(notice: Notice, key: str) -> dict[str, Any]:
    """Events API v2; all that is told of one operation is one incident."""
    return {
        "routing_key": key,
        "event_action": "trigger",
        "dedup_key": notice.operation,
        "payload": {
            "summary": notice.title,
            "source": notice.cluster,
            "severity": notice.severity,
            "timestamp": notice.time,
            "component": notice.kind,
            "custom_details": facts(notice),
        },
    }
