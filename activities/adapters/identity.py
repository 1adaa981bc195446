"""Who we are to a machine (paramiko): a key from a file or an agent, with a certificate where one was signed."""

import base64
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import paramiko
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)
from cryptography.hazmat.primitives.serialization.ssh import SSHCertPublicKeyTypes
from paramiko.agent import AgentKey, AgentSSH
from paramiko.pkey import PublicBlob

from quorate.command import Node
from quorate.errors import Denied
from quorate.nodes.known_hosts import HostKey, Pins
from quorate.ports import Secrets

AGENT_S = 15.0  # one that asks its owner before it signs


class Agent(AgentSSH):
    """paramiko's own looks for its socket in the environment, which only the worker may."""

    def __init__(self, path: str) -> None:
        super().__init__()
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(AGENT_S)
        connection.connect(path)
        self._connect(connection)  # type: ignore[attr-defined]

    def close(self) -> None:
        self._close()  # type: ignore[attr-defined]


@contextmanager
def keys_of(node: Node, secrets: Secrets, agent: str) -> Iterator[tuple[paramiko.PKey, ...]]:
    """What is offered to a machine, one after another; an agent must be there until it has signed."""
    identity, _, picked = node.ssh.identity.partition(":")
    if identity != "agent":
        yield (certified(node, from_file(node, secrets), secrets),)
        return
    with agent_at(node, agent) as keys:
        found = tuple(key for key in keys if picked in {"", fingerprint(key)})
        if picked and not found:
            there = ", ".join(map(fingerprint, keys)) or "no key"
            raise Denied(f"{node.name}: the SSH agent has {there}, not {picked}", next="ssh-add -l")
        if not found:
            raise Denied(f"{node.name}: the SSH agent has no key", next="ssh-add")
        yield tuple(certified(node, key, secrets) for key in fitting(node, found, secrets))


@contextmanager
def agent_at(node: Node, path: str) -> Iterator[tuple[AgentKey, ...]]:
    if not path:
        raise Denied(
            f"{node.name}: identity is {node.ssh.identity}, but SSH_AUTH_SOCK is not set where this runs",
            next='eval "$(ssh-agent)" && ssh-add  # then start it from the same shell, or name a key with file:',
        )
    try:
        agent = Agent(path)
    except (OSError, paramiko.SSHException) as error:
        raise Denied(f"{node.name}: no SSH agent answers at {path}: {error}", next="ssh-add -l") from error
    try:
        yield tuple(whole(key) for key in agent.get_keys())
    finally:
        agent.close()


def whole(key: AgentKey) -> AgentKey:
    """A certificate that the agent itself holds is what is to be offered, not the bare key in it."""
    if "-cert-v01@" in key.get_name():
        key.public_blob = PublicBlob(key.get_name(), key.blob)  # type: ignore[assignment]
    return key


def fitting(node: Node, keys: tuple[AgentKey, ...], secrets: Secrets) -> tuple[AgentKey, ...]:
    """With a certificate only the key that it was signed for."""
    if node.ssh.certificate is None:
        return keys
    wanted = fingerprint_of(certificate(node, secrets))
    found = tuple(key for key in keys if fingerprint(key) == wanted and key.public_blob is None)
    if not found:
        raise Denied(f"{node.name}: {node.ssh.certificate} is for {wanted}, which the SSH agent does not have")
    return found


def from_file(node: Node, secrets: Secrets) -> paramiko.PKey:
    identity = node.ssh.identity
    text = secrets.resolve(identity).decode(errors="replace")
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException as error:
            path = identity.removeprefix("file:") if identity.startswith("file:") else "KEY"
            raise Denied(
                f"{node.name}: {identity} is encrypted, and nobody is there to type its passphrase",
                next=f"ssh-add {path}  # and `identity: agent`; or a copy without one: ssh-keygen -p -N '' -f COPY",
            ) from error
        except (paramiko.SSHException, ValueError, IndexError):
            continue
    raise Denied(f"{node.name}: {identity} is not an SSH private key")


def certified(node: Node, key: paramiko.PKey, secrets: Secrets) -> paramiko.PKey:
    """Checked here, because sshd says no more than that it refuses."""
    if node.ssh.certificate is None:
        return key
    signed, where = certificate(node, secrets), f"{node.name}: {node.ssh.certificate}"
    if fingerprint_of(signed) != fingerprint(key):
        raise Denied(f"{where} is for {fingerprint_of(signed)}, but {node.ssh.identity} is {fingerprint(key)}")
    if why := unfit(signed, SSHCertificateType.USER, node.ssh.user, datetime.now(UTC)):
        raise Denied(f"{where} {why}", next=f"ssh-keygen -s CA -I quorate -n {node.ssh.user} -V +1d KEY.pub")
    key.load_certificate(secrets.resolve(node.ssh.certificate).decode())
    return key


def certificate(node: Node, secrets: Secrets) -> SSHCertificate:
    reference = node.ssh.certificate
    assert reference is not None
    found = None
    with suppress(ValueError):
        found = load_ssh_public_identity(secrets.resolve(reference).strip())
    if not isinstance(found, SSHCertificate):
        raise Denied(f"{node.name}: {reference} is not an OpenSSH certificate (KEY-cert.pub)")
    return found


def unfit(signed: SSHCertificate, kind: SSHCertificateType, name: str, now: datetime) -> str:
    """Why nobody would believe it for this user or host; "" if nothing speaks against it."""
    if signed.type is not kind:
        return f"is a certificate of a {signed.type.name.lower()}, not of a {kind.name.lower()}"
    if now.timestamp() >= signed.valid_before:
        return f"has expired at {moment(signed.valid_before)}"
    if now.timestamp() < signed.valid_after:
        return f"is valid only from {moment(signed.valid_after)} on"
    named = [each.decode(errors="replace") for each in signed.valid_principals]
    if name not in named and (named or kind is SSHCertificateType.HOST):
        return f"is for {', '.join(named) or 'nobody'}, not for {name}"
    return ""


def unvouched(signed: SSHCertificate, known: Pins, host: str, now: datetime) -> str:
    """Why the certificate that a host shows proves nothing; "" if an authority that is pinned vouches for it."""
    signer, shown = public(signed.signature_key()), public(signed.public_key())
    if signer in known.revoked or shown in known.revoked:
        return "is of a key that is marked @revoked"
    if signer not in known.authorities:
        return f"was signed by {signer}, and pinned as @cert-authority is {', '.join(map(str, known.authorities))}"
    try:
        signed.verify_cert_signature()
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return f"bears no valid signature of {signer}"
    if signed.critical_options:
        return "has critical options, of which a host may have none"
    return unfit(signed, SSHCertificateType.HOST, host, now)


def shown_certificate(key: paramiko.PKey) -> SSHCertificate | None:
    """The certificate that came with a host's key."""
    blob: PublicBlob | None = getattr(key, "public_blob", None)
    if blob is None:
        return None
    text = f"{blob.key_type} {base64.b64encode(blob.key_blob).decode()}"
    found = load_ssh_public_identity(text.encode())
    return found if isinstance(found, SSHCertificate) else None


def moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


def fingerprint(key: paramiko.PKey) -> str:
    return HostKey(key.get_name(), key.get_base64()).fingerprint


def fingerprint_of(signed: SSHCertificate) -> str:
    return public(signed.public_key()).fingerprint


def public(key: SSHCertPublicKeyTypes) -> HostKey:
    kind, encoded = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode().split()[:2]
    return HostKey(kind, encoded)
