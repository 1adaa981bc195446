"""The audit trail: what is recorded, how records are chained, how a change in them is found."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

GENESIS = "0" * 64
TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Act:
    """What is about to be done, where, and for whom."""

    operation: str
    step: str
    place: str  # a node, a member or a store
    argv: tuple[str, ...]
    actor: str = ""
    turn: int = 0
    attempt: int = 0


def canonical(record: Mapping[str, Any]) -> str:
    """One line, keys sorted, no spaces: the same record is always the same bytes."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def chained(record: Mapping[str, Any], previous: str) -> dict[str, Any]:
    """The record with the hash of the one before it and its own."""
    linked = {**record, "prev": previous}
    return {**linked, "hash": hashlib.sha256(canonical(linked).encode()).hexdigest()}
