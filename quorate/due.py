"""What a schedule starts when a backup is due: the request as the inventory had it, and what came of it."""

from dataclasses import dataclass, field

from quorate.backup import BackupRequest, BackupResult

WORKFLOW = "backup.due"
ACTOR = "schedule"  # who asks for what nobody asks for
TAKEN, FAILED, SKIPPED = ("verified", "degraded", "suspect"), "failed", "skipped"


@dataclass(frozen=True, slots=True)
class Due:
    """`request` has no operation yet: each run names its own."""

    request: BackupRequest
    version: str = ""  # of the Quorate whose daemon laid the schedule down


@dataclass(frozen=True, slots=True)
class Situation:
    """What the server says right before one is begun."""

    why_not: str = ""  # the reason why none is begun now, or nothing
    attributes: tuple[
        str, ...
    ] = ()  # of ours that it has, for cluster, kind and operation; "" for one that it has not


@dataclass(frozen=True, slots=True)
class DueResult:
    """How one run of a schedule ended; `reason` says why there is no backup."""

    cluster: str
    outcome: str  # one of TAKEN | failed | skipped
    operation: str = ""
    snapshot: str = ""
    reason: str = ""
    findings: tuple[str, ...] = field(default_factory=tuple)


def taken(cluster: str, result: BackupResult) -> DueResult:
    return DueResult(cluster, result.outcome, result.operation, result.snapshot, findings=result.findings)
