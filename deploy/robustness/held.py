"""Whether what a held operation says of every node is so on that node."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from deploy.robustness.readings import LIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deploy.robustness.readings import Evidence, NodeReading, Told

SENTENCE = re.compile(
    r"on (?P<names>.+?) the data from before is in (?P<before>\S+?)"
    r"(?:, the restored in (?P<restored>\S+)| if that is there, else in (?P<other>\S+))?"
)
CLIENTS = "inet quorate"


def untrue(seen: Evidence) -> Iterator[str]:
    """Every statement about a node that the node does not bear out, and every node that none is made about."""
    said: list[str] = []
    for sentence in seen.told.where:
        said += parts["names"].split(", ") if (parts := SENTENCE.fullmatch(sentence)) else ()
    yield from elsewhere(seen)
    if sorted(said) != sorted(seen.after.nodes):
        yield f"where the data lies is said of {', '.join(said) or 'no node'}, not of each node once"
    for name, node in seen.after.nodes.items():
        yield from unlike(name, node, seen)


def elsewhere(seen: Evidence) -> Iterator[str]:
    """Data that does not lie where it is said to, after a rollback too."""
    for sentence in seen.told.where:
        if parts := SENTENCE.fullmatch(sentence):
            yield from misplaced(seen, parts)
        else:
            yield f"nobody can tell what is meant by: {sentence}"


def restored_at(name: str, told: Told) -> set[str]:
    """Where it says that the restored data of a node lies."""
    said = (parts for sentence in told.where if (parts := SENTENCE.fullmatch(sentence)))
    return {parts["restored"] for parts in said if parts["restored"] and name in parts["names"].split(", ")}


def misplaced(seen: Evidence, parts: re.Match[str]) -> Iterator[str]:
    """An inode tells whose data it is."""
    for name in parts["names"].split(", "):
        there, old = seen.after.nodes[name].directories, seen.before.nodes[name].directories.get(LIVE)
        before = parts["other"] if parts["other"] and parts["before"] not in there else parts["before"]
        if there.get(before) != old:
            yield f"{name}: the data from before is not in {before}"
        if parts["restored"] and there.get(parts["restored"], old) == old:
            yield f"{name}: no restored data in {parts['restored']}"


def unlike(name: str, node: NodeReading, seen: Evidence) -> Iterator[str]:
    """What steps that are done, and not undone or overtaken since, have left on the node."""
    states = {step.step: step.state for step in seen.told.steps if step.host == name}
    for step, until, what, holds in LASTING:
        over = any(later in states for later in (f"undo-{step}", *until))
        if states.get(step) == "done" and not over and not holds(node, seen.operation):
            yield f"{name}: {step} is said to be done, but {what}"


def barred(node: NodeReading, _operation: str) -> bool:
    return bool(node.bars)


LASTING: tuple[tuple[str, tuple[str, ...], str, Callable[[NodeReading, str], bool]], ...] = (
    ("claim", ("release",), "its claim is not there", lambda node, operation: node.claim.startswith(f"{operation} ")),
    ("bar", ("unbar",), "nothing bars etcd", barred),
    ("fence", ("start",), "etcd runs", lambda node, _: node.processes == 0),
    ("start", (), "etcd does not run", lambda node, _: (node.unit, node.processes) == ("active", 1)),
    ("start", ("admit",), "clients are let in", lambda node, _: CLIENTS in node.tables),
    ("admit", (), "clients are kept out", lambda node, _: CLIENTS not in node.tables),
)
