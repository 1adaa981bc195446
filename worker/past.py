"""What the records in the state directory tell of operations that are over."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from quorate.audit import broken, sealed
from quorate.drills.coverage import Covered, Held, covered, of_runs
from quorate.gauges import ENDS, Figure, Run
from quorate.ids import begun
from quorate.inventory import Inventory
from quorate.measure import Clock
from quorate.records import CLUSTER, OUTCOME
from worker.record import Record

TIME_LETTERS = 10  # of a ULID
CLOCK: TypeAdapter[Clock] = TypeAdapter(Clock)
RECHECK_S = 3600.0  # what is sealed is read again only so often, unless a file came or went


@dataclass(frozen=True, slots=True)
class Told:
    """One operation: how it ended, each time that it did, and what its audit trail is worth."""

    runs: tuple[Run, ...] = ()
    sealed_at: float = 0.0  # 0: it is open
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    told: Told
    changed: tuple[int, ...]  # its directories, when it was read
    read: float


@dataclass(slots=True)
class Past:
    """Looks again and again, and reads what may have changed; years of records are not read each time."""

    root: Path
    recheck_s: float = RECHECK_S
    known: dict[str, Known] = field(default_factory=dict)

    def look(self) -> dict[str, Told]:
        names = [path.name for path in self.root.iterdir() if path.is_dir()] if self.root.is_dir() else []
        self.known = {name: self._again(self.root / name) for name in names}
        return {name: known.told for name, known in self.known.items()}

    def _again(self, home: Path) -> Known:
        now, changed = time.monotonic(), changes(home)
        before = self.known.get(home.name)
        if before and before.told.sealed_at and before.changed == changed and now - before.read < self.recheck_s:
            return before
        return Known(told(home), changed, now)


def changes(home: Path) -> tuple[int, ...]:
    return tuple(each.stat().st_mtime_ns for each in (home, home / "audit") if each.is_dir())


def told(home: Path) -> Told:
    """Plans and lists of keys are not read for it: they are large."""
    paths = sorted([*home.glob("outcome*.json"), *home.glob("audit/*.jsonl")])
    files = {str(path.relative_to(home)): path.read_text(errors="replace") for path in paths}
    ended = {path.name: path.stat().st_mtime for path in paths}
    record = Record(home.name, str(home), files)
    runs = tuple(runs_of(record, whose(home, record), ended))
    if not any(sealed(lines) for lines in record.chains.values()):
        return Told(runs)  # the last line may just be written
    return Told(runs, max(map(sealed_at, record.chains.values())), broken(record.chains))


def whose(home: Path, record: Record) -> str:
    """One that was written before it was noted says it by its snapshot."""
    try:
        return (home / CLUSTER).read_text()
    except FileNotFoundError:
        return str((record.outcome or {}).get("snapshot", "")).rpartition("/")[0]


def runs_of(record: Record, cluster: str, ended: dict[str, float]) -> Iterator[Run]:
    kind = record.operation.rpartition("-")[0]
    if kind not in ENDS:
        return
    for name in record.files:
        if OUTCOME.search(f"/{name}") and (outcome := record.json(name)):
            yield Run(
                cluster=cluster,
                kind=kind,
                result=str(outcome.get("outcome", "")),
                began=began(record.operation),
                operation=record.operation,
                file=name,
                ended=ended.get(name, 0.0),
                why=why(outcome),
                snapshot=str(outcome.get("snapshot") or ""),
                scenario=str(outcome.get("scenario") or ""),
                rto_s=measured(outcome),
            )


def why(outcome: dict[str, Any]) -> str:
    error = outcome.get("error")
    if isinstance(error, dict):
        return str(error.get("message", ""))
    return "; ".join(map(str, outcome.get("findings") or ()))


def sealed_at(lines: list[str]) -> float:
    for line in reversed(lines):
        if sealed([line]):
            try:
                return datetime.fromisoformat(json.loads(line)["time"]).timestamp()
            except (ValueError, KeyError, TypeError):
                return 0.0
    return 0.0


def began(operation: str) -> float:
    """0 for what has no ULID in its name."""
    try:
        return begun(operation) if len(operation.rpartition("-")[2]) >= TIME_LETTERS else 0.0
    except ValueError:
        return 0.0


def of_audit(past: dict[str, Told]) -> Iterator[Figure]:
    closed = [told for told in past.values() if told.sealed_at]
    yield Figure("quorate_audit_chain_ok", (), float(not any(told.broken for told in past.values())))
    yield Figure("quorate_audit_trails", ("sealed",), len(closed))
    yield Figure("quorate_audit_trails", ("open",), len(past) - len(closed))
    yield Figure("quorate_audit_last_seal_timestamp_seconds", (), max((t.sealed_at for t in closed), default=0.0))


def drills(root: Path) -> Iterator[Held]:
    """Every drill on record that has a verdict; one whose record cannot be read is none."""
    for path in root.glob("drill-*/outcome.json"):
        with suppress(OSError):
            record = Record(path.parent.name, str(path.parent), {path.name: path.read_text(errors="replace")})
            yield from of_runs(runs_of(record, whose(path.parent, record), {}))


def coverage(inventory: Inventory, root: Path, now: datetime) -> tuple[Covered, ...]:
    """What was held by the records, beside what the inventory wants."""
    return covered(inventory, drills(root), now)


def measured(outcome: dict[str, Any]) -> float | None:
    """Of a drill's clock; None for what is none."""
    try:
        return CLOCK.validate_python(outcome.get("clock")).rto_s
    except ValidationError:
        return None
