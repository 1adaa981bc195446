"""What a workflow of each kind returns: whoever waits for one loads that runbook and no other."""

from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from quorate.backup import BackupResult
    from quorate.drill import DrillResult
    from quorate.operation import RestoreResult
    from quorate.prove import ProveResult
    from quorate.prune import PruneResult
    from quorate.verify import VerifyResult

Result = Union["RestoreResult", "BackupResult", "PruneResult", "VerifyResult", "ProveResult", "DrillResult"]


def returned(kind: str) -> type[Any]:
    """Its class; of a kind that is not named here that of a restore, which most return."""
    match kind:
        case "backup":
            from quorate.backup import BackupResult

            return BackupResult
        case "prune":
            from quorate.prune import PruneResult

            return PruneResult
        case "verify":
            from quorate.verify import VerifyResult

            return VerifyResult
        case "prove":
            from quorate.prove import ProveResult

            return ProveResult
        case "drill":
            from quorate.drill import DrillResult

            return DrillResult
        case _:
            from quorate.operation import RestoreResult

            return RestoreResult
