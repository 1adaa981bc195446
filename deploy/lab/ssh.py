"""Keys for SSH: the lab makes both sides, so nobody trusts on first use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.lab.pki import write_secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SshKey:
    """An Ed25519 key in OpenSSH's own forms."""

    private: bytes
    public: bytes


def ssh_key() -> SshKey:
    """A new one."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return SshKey(private, public)


def write_identity(folder: Path, key: SshKey) -> None:
    """The key Quorate logs in with."""
    write_secret(folder / "id_ed25519", key.private)
    (folder / "id_ed25519.pub").write_bytes(key.public + b"\n")


def write_known_hosts(folder: Path, hosts: Mapping[str, SshKey]) -> None:
    """One line per address."""
    lines = [f"{address} {key.public.decode()}\n" for address, key in hosts.items()]
    (folder / "known_hosts").write_text("".join(lines))
