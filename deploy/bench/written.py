"""What the daemon's own process has written to disk: a file that is gone again counts, a socket does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.bench.memory import pid

if TYPE_CHECKING:
    from deploy.lab.lab import Lab

WRITTEN = re.compile(r"^write_bytes: (\d+)$", re.MULTILINE)


def written_mib(lab: Lab) -> float:
    """Since it started; its children, such as Temporal's server, are not in it."""
    found = WRITTEN.search(Path(f"/proc/{pid(lab)}/io").read_text())
    return int(found[1]) / 1024**2 if found else 0.0
