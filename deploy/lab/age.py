"""The keys of age that open a lab's backups: one lies where the daemon runs, one would lie in a safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyrage import x25519

from deploy.lab.pki import write_secret

if TYPE_CHECKING:
    from pathlib import Path

OURS, ESCROW = "age.key", "escrow.key"


def recipients(folder: Path) -> tuple[str, ...]:
    """Of both; a key that is there is kept, for nothing else opens what was stored for it."""
    return tuple(recipient(folder / name) for name in (OURS, ESCROW))


def recipient(key: Path) -> str:
    """In a file as `age-keygen` writes it."""
    if not key.is_file():
        made = x25519.Identity.generate()
        write_secret(key, f"# public key: {made.to_public()}\n{made}\n".encode())
    return str(x25519.Identity.from_str(key.read_text().split()[-1]).to_public())
