"""Operation records: request, plan and outcome, in the state directory and in the store."""

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

from quorate.audit import canonical
from quorate.backups.catalogue import of_restore
from quorate.clusters.cluster import Lineage
from quorate.ids import begun
from quorate.operation import Outcome, RestoreResult
from quorate.plan import Plan
from quorate.ports import Store
from quorate.settings.stores import Store as StoreSettings

OUTCOME = re.compile(r"/outcome(-\d+)?\.json$")  # an operation that was taken over has one more
CLUSTER = "cluster"  # the file in the state directory that says whose operation it was
T = TypeVar("T")


@cache
def adapter(kind: type[T]) -> TypeAdapter[T]:
    """Made when it is first needed: most looks need none."""
    return TypeAdapter(kind)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an operation's record."""

    operation: str
    cluster: str
    store: StoreSettings
    name: str  # plan.json | outcome.json | outcome-TURN.json, of one that was taken over at that turn
    text: str


def home(cluster: str, operation: str) -> str:
    """Where an operation's record lies, below a state directory or a store's prefix."""
    return f"{cluster}/operations/{operation}"


def plan_text(plan: Plan) -> str:
    return canonical(adapter(Plan).dump_python(plan, mode="json"))


def result_text(result: RestoreResult) -> str:
    return canonical(adapter(RestoreResult).dump_python(result, mode="json"))


def lineages(store: Store, cluster: str) -> tuple[Lineage, ...]:
    """Every restore on record in the store, as links from an old cluster id to a new one."""
    listed = store.ls(f"{cluster}/operations/restore-")
    keys = [each.key for each in listed if of_restore(each.key)]
    return tuple(link for key in keys if (link := _lineage(json.loads(b"".join(store.get(key))))))


def used(store: Store, cluster: str) -> dict[str, str]:
    """By snapshot, the restore that has it in its plan and is not over: open, or aborted and yet to be adopted."""
    files: dict[str, list[str]] = {}
    for each in store.ls(f"{cluster}/operations/restore-"):
        files.setdefault(each.key.split("/")[2], []).append(each.key)
    found = {}
    for operation, keys in files.items():
        plan = f"{home(cluster, operation)}/plan.json"
        outcomes = [json.loads(b"".join(store.get(key))) for key in keys if OUTCOME.search(key)]
        if plan in keys and all(each.get("outcome") == Outcome.HELD for each in outcomes):
            found[str(json.loads(b"".join(store.get(plan)))["chosen"]["snapshot"]["id"])] = operation
    return found


def published(store: Store, cluster: str, since: float, until: float) -> dict[str, str]:
    """By snapshot, the backup that says it has published it; of those that began in that span."""
    found = {}
    for each in store.ls(f"{cluster}/operations/backup-"):
        if OUTCOME.search(each.key) and since <= begun(each.key.split("/")[2]) <= until:
            outcome = json.loads(b"".join(store.get(each.key)))
            found[str(outcome.get("snapshot", ""))] = str(outcome["operation"])
    return found


def _lineage(record: dict[str, Any]) -> Lineage | None:
    """Also of one that was aborted once etcd was verified: what runs since has its id."""
    result = adapter(RestoreResult).validate_python(record)
    if result.outcome not in {Outcome.RESTORED, Outcome.HELD} or not result.cluster_id:
        return None
    served = result.served_revision or (result.revision if result.outcome is Outcome.RESTORED else 0)
    return Lineage(result.operation, result.previous_cluster_id, result.cluster_id, served)
