"""What a person does about an operation that does not go on by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.robustness.checker import FAILED, HELD
from deploy.robustness.restore import END_S

if TYPE_CHECKING:
    from deploy.robustness.restore import Restore

Ends = tuple[str, ...]


def resolved(restore: Restore, way: str) -> tuple[Ends, Ends]:
    """As somebody tired would: the way that is wanted if it is offered, else another try, and then give up."""
    ends: list[str] = []
    wrong: list[str] = []
    for verb in (way if way in restore.told.offered else "retry", "abort"):
        verdict = restore.verdict()
        ends.append(verdict.end)
        wrong += verdict.wrong
        restore.command(verb)
        if verb == "retry":
            restore.command("watch", "--wait-timeout", f"{END_S}s")
        if restore.told.outcome != HELD:
            return tuple(ends), tuple(wrong)
    verdict = restore.verdict()
    return (*ends, "aborted" if verdict.end != FAILED else FAILED), (*wrong, *verdict.wrong)
