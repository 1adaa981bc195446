"""Where the lab keeps what takes minutes to make, keyed by version."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def cache() -> Path:
    """`$QUORATE_LAB_CACHE`, else `~/.cache/quorate/lab`."""
    named = os.environ.get("QUORATE_LAB_CACHE")
    folder = Path(named) if named else Path.home() / ".cache" / "quorate" / "lab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


@contextmanager
def held(name: str) -> Iterator[None]:
    """One process at a time: two labs that start together make a part once."""
    with (cache() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
