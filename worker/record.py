"""One operation as its files tell it."""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from quorate.plan import Plan
from quorate.records import OUTCOME, adapter


@dataclass(frozen=True, slots=True)
class Record:
    """One operation as its files tell it; `where` says which files."""

    operation: str
    where: str
    files: dict[str, str]

    @property
    def plan(self) -> dict[str, Any] | None:
        return self.json("plan.json")

    @property
    def outcome(self) -> dict[str, Any] | None:
        """The last one, of an operation that was taken over and so ended more than once."""
        names = [name for name in self.files if OUTCOME.search(f"/{name}")]
        return self.json(max(names, key=turn_of)) if names else None

    @property
    def chains(self) -> dict[str, list[str]]:
        """The audit trail: lines by file name."""
        return {
            name.removeprefix("audit/"): text.splitlines()
            for name, text in self.files.items()
            if name.startswith("audit/")
        }

    def json(self, name: str) -> dict[str, Any] | None:
        try:
            data = json.loads(self.files[name])
        except (KeyError, ValueError):
            return None
        return data if isinstance(data, dict) else None


def plan_of(record: Record) -> Plan | None:
    """Nothing also where it is none that this version can read."""
    try:
        return adapter(Plan).validate_python(record.plan) if record.plan else None
    except ValidationError:
        return None


def turn_of(name: str) -> int:
    return int(name.removesuffix(".json").partition("-")[2] or 0)
