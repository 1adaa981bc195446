"""What a restore has taken away and brought back, told by the names of keys: nobody's values are kept for it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

KEYS_MAX = 500_000
PAGE_KEYS = 10_000
NAMES_MAX = 3  # a kind and a way, in the report; all of them are in the record
KINDS_MAX = 40
REGISTRY = "/registry/"


@dataclass(frozen=True, slots=True)
class Key:
    """A key, the revision of the last write to it, and whether a lease will take it away."""

    name: str
    revision: int
    leased: bool = False


@dataclass(frozen=True, slots=True)
class LiveKeys:
    """How many keys are there, and how many of them only as long as their lease."""

    keys: int
    leased: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one kind: how many keys are gone, have come back, or are older than they were; and some of their names."""

    kind: str
    gone: int
    back: int
    older: int
    names: tuple[str, ...] = ()  # "-name" gone, "+name" back, "<name" older


def kind_of(name: str) -> str:
    """The resource of a Kubernetes object, with its group where the key has one; else where a key begins."""
    if not name.startswith(REGISTRY):
        return f"/{name.strip('/').split('/')[0]}" if name.startswith("/") else name.split("/", maxsplit=1)[0]
    words = name.removeprefix(REGISTRY).split("/")
    return "/".join(words[:2]) if "." in words[0] and len(words) > 2 else words[0]


def differences(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[Difference, ...]:
    """By kind, the most that is gone first; a key with another last write than before is an older one."""
    gone = (("-", name) for name in before.keys() - after.keys())
    back = (("+", name) for name in after.keys() - before.keys())
    older = (("<", name) for name in before.keys() & after.keys() if before[name] != after[name])
    kinds: dict[str, dict[str, list[str]]] = {}
    for way, name in (*gone, *back, *older):
        kinds.setdefault(kind_of(name), {"-": [], "+": [], "<": []})[way].append(name)
    found = (_difference(kind, ways) for kind, ways in kinds.items())
    return tuple(sorted(found, key=lambda each: (-each.gone, -each.back, -each.older, each.kind)))


def _difference(kind: str, ways: Mapping[str, list[str]]) -> Difference:
    names = (f"{way}{name}" for way in "-+<" for name in sorted(ways[way])[:NAMES_MAX])
    return Difference(kind, len(ways["-"]), len(ways["+"]), len(ways["<"]), tuple(names))


def shortened(found: tuple[Difference, ...]) -> tuple[Difference, ...]:
    """The rest as one, so that no cluster is too large for a report."""
    if len(found) <= KINDS_MAX:
        return found
    kept, rest = found[:KINDS_MAX], found[KINDS_MAX:]
    gone, back, older = (sum(each) for each in zip(*((r.gone, r.back, r.older) for r in rest), strict=True))
    return (*kept, Difference(f"{len(rest)} more kinds", gone, back, older))


def lines(keys: Iterable[Key]) -> Iterator[bytes]:
    for key in keys:
        yield f"{json.dumps((key.revision, key.name))}\n".encode()


def parsed(text: bytes) -> dict[str, int]:
    return {name: revision for revision, name in map(json.loads, text.splitlines())}
