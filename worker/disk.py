"""The disk of the state directory: of the audit trail, and of all that a Temporal server of ours knows."""

import shutil
from pathlib import Path

FULL_BYTES = 1 << 20
LOW_BYTES = 256 << 20  # a month of operations and the server's own files


def free_bytes(state: Path) -> int:
    """Where the directory is, or will be."""
    there = next(each for each in (state, *state.parents) if each.exists())
    return shutil.disk_usage(there).free


def full(state: Path) -> str:
    """Why nothing can be begun, or nothing."""
    if free_bytes(state) >= FULL_BYTES:
        return ""
    return f"the disk of {state} is full, so neither the audit trail nor a Temporal server of ours can write"


def remedy(state: Path) -> str:
    return f"df -h {state}  # make room; the daemon goes on by itself"
