"""The key that signs what this machine has proved: Ed25519, in a file for its owner alone, as OpenSSH keeps keys."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from quorate.errors import Denied
from quorate.sshsig import Signature, armored

KIND, HASHED = "ssh-ed25519", "sha512"


@dataclass(frozen=True, slots=True)
class OwnKey:
    private: Ed25519PrivateKey

    @property
    def public_key(self) -> str:
        return self.private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    def sign(self, namespace: str, message: bytes) -> str:
        to_sign = Signature(self.public_key, namespace, HASHED, KIND, b"")
        return armored(replace(to_sign, raw=self.private.sign(to_sign.covers(message))))


def own_key(path: Path) -> OwnKey:
    """The one in the file; made there when there is none. Denied where it cannot be read, written or believed."""
    try:
        text = path.read_bytes() if path.exists() else made(path)
        private = load_ssh_private_key(text, None)
    except (OSError, ValueError, TypeError) as error:
        raise Denied(f"the key that signs manifests, {path}, cannot be used: {error}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise Denied(f"the key that signs manifests, {path}, is not of the type {KIND}")
    return OwnKey(private)


def made(path: Path) -> bytes:
    """Whole or not at all; of two that make one at once the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(part, path)
    except FileExistsError:
        return path.read_bytes()
    finally:
        part.unlink()
    return text
