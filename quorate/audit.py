"""The audit trail: what is recorded, how records are chained, how a change in them is found."""

import hashlib
import json
import re
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


def masked(argv: tuple[str, ...]) -> list[str]:
    """Values never belong in an argv; should one get there, it does not get into the trail."""
    return [_SECRET.sub(r"\1***", word) for word in argv]


_SECRET = re.compile(r"(?i)((?:password|passwd|secret|token|api[-_]?key)[a-z_-]*[=:]\s*)[^\s'\"]+")


def broken(chains: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Every changed, missing or reordered record of one operation, in words; chains are lines by file name."""
    found: list[str] = []
    hashes: dict[str, list[str]] = {}
    records: list[dict[str, Any]] = []
    for name, lines in sorted(chains.items()):
        good, wrong = _walk(name, list(lines))
        hashes[name] = [record["hash"] for record in good]
        records += good
        found += wrong
    return (*found, *_missing(records, hashes))


def sealed(lines: Iterable[str]) -> bool:
    return any('"event":"seal"' in line for line in lines)


def _walk(name: str, lines: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    good: list[dict[str, Any]] = []
    previous = GENESIS
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            body = {key: value for key, value in record.items() if key not in {"prev", "hash"}}
            expected = chained(body, previous)
        except (ValueError, AttributeError):
            last = "; it is the last line and may be cut off" if number == len(lines) else ""
            return good, [f"{name} line {number} is not a record{last}"]
        if record.get("hash") != expected["hash"] or record.get("seq") != number - 1:
            return good, [f"{name} line {number} (seq {record.get('seq')}) was changed, or one before it is missing"]
        good.append(record)
        previous = record["hash"]
    return good, []


def _missing(records: list[dict[str, Any]], hashes: Mapping[str, list[str]]) -> list[str]:
    """Chains and records that others name but that are not there."""
    found: list[str] = []
    for record in records:
        for name, head in {**record.get("follows", {}), **record.get("heads", {})}.items():
            if name not in hashes:
                found.append(f"chain {name} is missing: record {record['seq']} names it")
            elif head != GENESIS and head not in hashes[name]:
                found.append(f"chain {name} has lost records: its head {head[:12]}… is not in it")
    return found
