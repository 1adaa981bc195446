"""How long the steps of a backup took, by its audit trail."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from deploy.bench.usual import stages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.lab.lab import Lab


def spent(lab: Lab, operation: str) -> str:
    """As `stages` tells it of the script; what comes before the first record is not in it."""
    trail = (lab.folder / "state" / "operations" / operation / "audit").glob("*.jsonl")
    return stages(moments(json.loads(line) for path in sorted(trail) for line in path.read_text().splitlines()))


def moments(records: Iterable[dict[str, Any]]) -> str:
    """When each step is first heard of, and when the trail was sealed."""
    lines: dict[str, float] = {}
    for record in records:
        what = "done" if record["event"] == "seal" else record.get("step")
        if what:
            lines.setdefault(what, datetime.fromisoformat(record["time"]).timestamp())
    return "\n".join(f"{at} {what}" for what, at in lines.items())
