"""Records of operations: in the state directory, else in the stores of the clusters."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorate.errors import BadInput, QuorateError
from worker.record import Record

if TYPE_CHECKING:
    from worker.wiring import Wiring


def local(root: Path, operation: str) -> Record | None:
    """Nothing for a name that is not there, or that leads elsewhere."""
    home = root / operation
    if "/" in operation or operation in {"", ".", ".."} or not home.is_dir():
        return None
    paths = [*home.glob("*.json"), *home.glob("audit/*.jsonl")]
    files = {str(path.relative_to(home)): path.read_text(errors="replace") for path in sorted(paths)}
    return Record(operation, str(home), files)


def locals_of(root: Path) -> tuple[Record, ...]:
    """Every operation on record here, the newest first."""
    names = [path.name for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    newest_first = sorted(names, key=lambda name: name.rpartition("-")[2], reverse=True)
    return tuple(record for name in newest_first if (record := local(root, name)))


def record(wiring: "Wiring", operation: str) -> Record:
    """From here, else from the first store that has it; BadInput if nobody does."""
    if found := local(wiring.settings.operations, operation):
        return found
    silent = []
    for cluster in wiring.settings.inventory.clusters:
        try:
            if stored := in_store(wiring, cluster, operation):
                return stored
        except QuorateError as error:
            silent.append(f"{cluster}: {error}")
    asked = f" (not asked: {'; '.join(silent)})" if silent else ""
    raise BadInput(f"there is no record of operation {operation}{asked}", next="quorate operations ls")


def in_store(wiring: "Wiring", cluster: str, operation: str) -> Record | None:
    from quorate.records import home

    settings = wiring.settings.store(cluster)
    store, prefix = wiring.stores.at(settings), f"{home(cluster, operation)}/"
    keys = [each.key for each in store.ls(prefix)] if "/" not in operation else []
    files = {key.removeprefix(prefix): b"".join(store.get(key)).decode(errors="replace") for key in keys}
    return Record(operation, f"{settings.url}/{prefix}", files) if files else None


@contextmanager
def closed(wiring: "Wiring", operation: str, success: str, fields: dict[str, Any]) -> Iterator[None]:
    """Where an act of this process was begun: its outcome on record and its trail sealed, also when it failed."""
    outcome = "failed"
    try:
        yield
        outcome = success
    finally:
        home = wiring.settings.operations / operation
        if home.exists():
            part = home / "outcome.part"
            part.write_text(json.dumps({**fields, "operation": operation, "outcome": outcome}))
            part.rename(home / "outcome.json")
            wiring.journals.at(operation).seal()
