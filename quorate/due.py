"""What a schedule starts when a backup is due: the requests as the inventory had them, and what came of it."""

from dataclasses import dataclass, field, replace

from quorate.backup import BackupResult
from quorate.backups.request import BackupRequest
from quorate.backups.request import request as backup_request
from quorate.drill import DrillRequest, DrillResult
from quorate.inventory import Inventory
from quorate.prove import ProveRequest
from quorate.prove import request as prove_request
from quorate.prune import PruneRequest
from quorate.prune import request as prune_request
from quorate.verify import VerifyRequest
from quorate.verify import request as verify_request

WORKFLOW, DRILL = "backup.due", "drill.due"
ACTOR = "schedule"  # who asks for what nobody asks for
TAKEN, FAILED, SKIPPED = ("verified", "degraded", "suspect"), "failed", "skipped"


@dataclass(frozen=True, slots=True)
class Due:
    """The requests have no operation yet: each run names its own."""

    request: BackupRequest
    version: str = ""  # of the Quorate whose daemon laid the schedule down
    verify: tuple[VerifyRequest, ...] = ()  # afterwards, of each store
    prune: tuple[PruneRequest, ...] = ()
    prove: tuple[ProveRequest, ...] = ()  # between the two: what is proved is not what is removed


@dataclass(frozen=True, slots=True)
class DrillDue:
    """The request has no operation yet: each run names its own."""

    request: DrillRequest
    version: str = ""


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


def due(inventory: Inventory, cluster: str, version: str) -> Due:
    """A backup, then whatever was not proved for a while, a restore of the newest, then what retention lets go.

    The restore is of the store that is written first: the copies hold the same bytes.
    """
    policy = inventory.clusters[cluster].backup
    stores = [inventory.stores[name] for name in policy.stores]
    verify, prune = verify_request(inventory, cluster, "", ACTOR), prune_request(inventory, cluster, "", ACTOR)
    within_s = policy.restore_within
    return Due(
        backup_request(inventory, cluster, "", ACTOR),
        version,
        verify=tuple(replace(verify, store=store) for store in stores),
        prune=tuple(replace(prune, store=store) for store in stores) if policy.retention else (),
        prove=(prove_request(inventory, cluster, "", ACTOR, within_s=within_s),) if within_s else (),
    )


def followed(result: DueResult, findings: tuple[str, ...]) -> DueResult:
    """A retention that is dead for weeks behind green backups is what nobody notices."""
    outcome = "degraded" if findings and result.outcome == "verified" else result.outcome
    return replace(result, outcome=outcome, findings=(*result.findings, *findings))


def taken(cluster: str, result: BackupResult) -> DueResult:
    return DueResult(cluster, result.outcome, result.operation, result.snapshot, findings=result.findings)


def drilled(result: DrillResult) -> DueResult:
    """Its verdict is the outcome."""
    return DueResult(result.cluster, str(result.outcome), result.operation, result.snapshot, findings=result.findings)
