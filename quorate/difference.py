"""What differs between a plan that was approved and the plan of now, told field by field."""

from collections.abc import Iterator
from typing import Any

from quorate.chosen import Chosen
from quorate.plan import Plan

LONG = 120


def differences(approved: Chosen, now: Chosen) -> tuple[str, ...]:
    """A sentence for everything that the digest covers and that is not as it was; nothing for equal digests."""
    return tuple(_told("", named(approved.covered()), named(now.covered())))


def named(covered: dict[str, Any]) -> dict[str, Any]:
    """By the words that a person knows: a node is called by its member, a step by its key, a snapshot by its id."""
    out = {_worded(key): value for key, value in covered.items() if key not in {"shares", "steps"}}
    out |= {f"node {share['member']}": share for share in covered["shares"]}
    out |= {f"step {step['key']}": {**step, "number": n} for n, step in enumerate(covered["steps"], 1)}
    return out


def _told(path: str, old: Any, new: Any) -> Iterator[str]:
    old, new = _keyed(old, new), _keyed(new, old)
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        whole = "id" in old and old.get("id") != new.get("id")  # another one: its parts differ for that reason
        for key in ("id",) if whole else dict.fromkeys((*old, *new)):
            yield from _told(f"{path} {_worded(key)}".strip(), old.get(key), new.get(key))
    elif isinstance(old, dict) or isinstance(new, dict):
        yield f"{path}: {'is there no more' if new is None else 'was not there'}"
    else:
        yield f"{path}: {_shown(old)} was approved, now it is {_shown(new)}"


def _keyed(value: Any, other: Any) -> Any:
    """A list of things with names of their own, by these names; an empty list is one of the other's kind."""
    alike = [*value, *other] if isinstance(value, list) and isinstance(other, list) else value
    if not isinstance(alike, list) or not alike or not all(isinstance(each, dict) for each in alike):
        return value
    names = [str(each.get("role") or each.get("name")) for each in value]
    return dict(zip(names if len(set(names)) == len(names) else map(str, range(len(value))), value, strict=False))


def _worded(key: str) -> str:
    return key.replace("_", " ")


def _shown(value: Any) -> str:
    if value is None or value in ("", []):
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= LONG else f"{text[:LONG]}…"


def void(approved: Plan, now: Plan) -> str:
    """The reason why an approval counts no more, or nothing: the plan is another one now, or must not be followed."""
    found = differences(approved.chosen, now.chosen)
    shut = [f"gate {gate.id}: {gate.evidence}" for gate in now.refusals]
    return f"the cluster is not as it was when it was approved: {'; '.join((*found, *shut))}" if found or shut else ""
