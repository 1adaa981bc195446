"""The acts of an audit trail as values: what was done where, from when until when, and how it ended."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from quorate.audit import masked


@dataclass(frozen=True, slots=True)
class Acted:
    """`until` is None where nobody lived to record an end."""

    at: float
    until: float | None
    actor: str
    place: str
    step: str
    argv: tuple[str, ...]
    attempt: int = 0
    exit: int | None = None
    error: str = ""
    duration_s: float | None = None
    tail: str = ""

    @property
    def done(self) -> bool:
        return self.exit == 0

    @property
    def ending(self) -> str:
        """Its exit code, or in a word why there is none."""
        if self.until is None:
            return "?"
        if self.error:
            return "error"
        return "not run" if self.exit is None else str(self.exit)


@dataclass(frozen=True, slots=True)
class Spell:
    """All acts of one step, whatever the place: from the first until the last."""

    step: str
    since: float
    until: float
    places: tuple[str, ...]
    failed: int


def records(chains: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Whatever can be read, by chain; what cannot is the business of `audit.broken`."""
    for chain, lines in sorted(chains.items()):
        for line in lines:
            try:
                data = json.loads(line)
            except ValueError:
                continue
            if isinstance(data, dict):
                yield chain, data


def acts(chains: Mapping[str, Iterable[str]]) -> tuple[Acted, ...]:
    """In the order in which they were begun."""
    all_of = list(records(chains))
    ends = {(chain, each.get("of")): each for chain, each in all_of if each.get("event") == "outcome"}
    begun = [
        acted(each, ends.get((chain, each.get("seq")), {})) for chain, each in all_of if each.get("event") == "intent"
    ]
    return tuple(sorted(begun, key=lambda act: act.at))


def acted(intent: Mapping[str, Any], end: Mapping[str, Any]) -> Acted:
    return Acted(
        at=seconds(intent.get("time")) or 0.0,
        until=seconds(end.get("time")),
        actor=str(intent.get("actor", "")),
        place=str(intent.get("place", "")),
        step=str(intent.get("step", "")),
        argv=tuple(masked(tuple(map(str, intent.get("argv", ()))))),
        attempt=int(intent.get("attempt") or 0),
        exit=end.get("exit"),
        error=str(end.get("error", "")),
        duration_s=end.get("duration_s"),
        tail=" ".join(masked((str(end.get("tail", "")),))),
    )


def seconds(time: object) -> float | None:
    try:
        return datetime.fromisoformat(str(time)).timestamp()
    except ValueError:
        return None


def spells(done: Iterable[Acted]) -> tuple[Spell, ...]:
    """In the order in which the steps began."""
    by_step: dict[str, list[Acted]] = {}
    for act in done:
        by_step.setdefault(act.step, []).append(act)
    return tuple(
        Spell(
            step,
            min(act.at for act in own),
            max(act.until or act.at for act in own),
            tuple(dict.fromkeys(act.place for act in own)),
            sum(act.until is None or bool(act.error) or act.exit not in {0, None} for act in own),
        )
        for step, own in by_step.items()
    )
