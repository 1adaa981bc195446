"""Writing an inventory: what `quorate.inventories.reading` reads, with comments where a person has to decide."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

MARK = "# DECIDE:"
PLAIN = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_./:@+-]*")


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with a value, with fields or with items; where it was read, or what a person must decide about it."""

    key: str
    value: str | int | bool | float | tuple[str, ...] = ""
    source: str = ""
    decide: str = ""
    fields: tuple["Entry", ...] = ()
    items: tuple[tuple["Entry", ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """A marked line."""

    line: int
    field: str
    what: str


def text(entries: tuple[Entry, ...]) -> str:
    return "\n".join(lines(entries, "")) + "\n"


def lines(entries: tuple[Entry, ...], pad: str) -> Iterator[str]:
    for entry in entries:
        comment = f"  {MARK} {entry.decide}" if entry.decide else f"  # {entry.source}" if entry.source else ""
        if entry.fields:
            yield f"{pad}{entry.key}:{comment}"
            yield from lines(entry.fields, f"{pad}  ")
        elif entry.items:
            yield f"{pad}{entry.key}:{comment}"
            for item in entry.items:
                first, *rest = lines(item, f"{pad}    ")
                yield f"{pad}  - {first.strip()}"
                yield from rest
        else:
            yield f"{pad}{entry.key}: {scalar(entry.value)}{comment}"


def scalar(value: str | float | tuple[str, ...]) -> str:
    """As YAML reads back what it was: quoted wherever it could be taken for something else."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(quoted, value))}]"
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) and yaml.safe_load(value) == value else quoted(value)
    return str(value).lower()


def quoted(value: str) -> str:
    return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=sys.maxsize).strip()


def decisions(entries: tuple[Entry, ...]) -> tuple[Decision, ...]:
    """Every marked line of the text."""
    marked = list(_marked(entries, ""))
    at = [number for number, line in enumerate(lines(entries, ""), 1) if MARK in line]
    return tuple(Decision(line, field, what) for line, (field, what) in zip(at, marked, strict=True))


def _marked(entries: tuple[Entry, ...], above: str) -> Iterator[tuple[str, str]]:
    for entry in entries:
        field = f"{above}{entry.key}"
        if entry.decide:
            yield field, entry.decide
        yield from _marked(entry.fields, f"{field}.")
        for number, item in enumerate(entry.items):
            yield from _marked(item, f"{field}.{number}.")
