"""What `ssh-keygen -Y sign` makes, read: public keys, signatures, and the bytes that were really signed.

The formats are those of OpenSSH's PROTOCOL.sshsig, RFC 4253, RFC 5656 and PROTOCOL.u2f; the mathematics are
an adapter's.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from quorate.errors import NotApproved

MAGIC, VERSION = b"SSHSIG", b"\x00\x00\x00\x01"
LINE = 70
BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
TOUCHED = 1  # the flag of a security key that somebody's finger was on it
RSA_BYTES_MIN = 256
HASHES = ("sha256", "sha512")
ALGORITHMS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),  # a signature of the kind ssh-rsa is over SHA-1
    "sk-ssh-ed25519@openssh.com": ("sk-ssh-ed25519@openssh.com",),
    "sk-ecdsa-sha2-nistp256@openssh.com": ("sk-ecdsa-sha2-nistp256@openssh.com",),
}


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody who may approve, and the key that proves it, as `TYPE BASE64`."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Signature:
    """One SSH signature: who claims to have made it, for what purpose, how, and the raw one."""

    key: str
    namespace: str
    hashed: str
    algorithm: str
    raw: bytes
    rest: bytes = b""  # of a security key: its flags and its counter

    def covers(self, message: bytes) -> bytes:
        """The bytes that were signed, which are never the message itself."""
        digest = hashlib.new(self.hashed, message).digest()
        data = MAGIC + b"".join(map(packed, (self.namespace.encode(), b"", self.hashed.encode(), digest)))
        if not self.algorithm.startswith("sk-"):
            return data
        application = strings(blob(self.key))[-1]
        return hashlib.sha256(application).digest() + self.rest + hashlib.sha256(data).digest()


def public_key(text: str) -> str:
    """A line of a `.pub` file without its comment; ValueError says what is wrong with it."""
    words = text.split()
    if len(words) < 2 or words[0] not in ALGORITHMS:
        raise ValueError(f"expected a public SSH key, `TYPE BASE64`, of one of the types {', '.join(ALGORITHMS)}")
    fields = {"ssh-ed25519": 2, "sk-ecdsa-sha2-nistp256@openssh.com": 4}.get(words[0], 3)
    try:
        inside = strings(blob(text))
    except (NotApproved, ValueError):
        inside = []
    if len(inside) != fields or inside[0] != words[0].encode():
        raise ValueError(f"this {words[0]} key is not whole")
    if words[0] == "ssh-rsa" and len(inside[2].lstrip(b"\0")) < RSA_BYTES_MIN:
        raise ValueError(f"this RSA key is too short: {8 * RSA_BYTES_MIN} bits are the least that is believed")
    return f"{words[0]} {base64.b64encode(blob(text)).decode()}"


def fingerprint(key: str) -> str:
    """As `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob(key)).digest()).decode().rstrip("=")


def blob(key: str) -> bytes:
    return base64.b64decode(key.split()[1], validate=True)


def parsed(armored: str) -> Signature:
    """NotApproved for whatever is not a whole signature of a kind that is believed."""
    text = armored.strip()
    if not text.startswith(BEGIN) or not text.endswith(END):
        raise NotApproved(f"this is no SSH signature: it would begin with {BEGIN}")
    try:
        data = base64.b64decode("".join(text.removeprefix(BEGIN).removesuffix(END).split()), validate=True)
    except ValueError as error:
        raise NotApproved(f"this SSH signature is damaged: {error}") from error
    if not data.startswith(MAGIC) or data[6:10] != VERSION:
        raise NotApproved("this SSH signature is of a version that is not known")
    parts = strings(data[10:])
    if len(parts) != 5:
        raise NotApproved("this SSH signature is cut off or has more than belongs to it")
    key, namespace, _reserved, hashed, inner = parts
    return checked(key, namespace, hashed, inner)


def armored(signature: Signature) -> str:
    """As `ssh-keygen -Y sign` writes it."""
    inner = packed(signature.algorithm.encode()) + packed(signature.raw) + signature.rest
    parts = (blob(signature.key), signature.namespace.encode(), b"", signature.hashed.encode(), inner)
    text = base64.b64encode(MAGIC + VERSION + b"".join(map(packed, parts))).decode()
    lines = (text[at : at + LINE] for at in range(0, len(text), LINE))
    return "\n".join((BEGIN, *lines, END, ""))


def checked(key: bytes, namespace: bytes, hashed: bytes, inner: bytes) -> Signature:
    kind = said(next(iter(strings_of(key)), b""))
    algorithm, raw, rest = (*taken(inner, 2),)
    name = said(algorithm)
    if name not in ALGORITHMS.get(kind, ()):
        raise NotApproved(f"a signature {name} by a key {kind} is not believed; keys: {', '.join(ALGORITHMS)}")
    if said(hashed) not in HASHES:
        raise NotApproved(f"a signature over a hash {said(hashed)} is not believed; {' or '.join(HASHES)} is")
    touch = 5 if kind.startswith("sk-") else 0
    if len(rest) != touch:
        raise NotApproved("this SSH signature is cut off or has more than belongs to it")
    if touch and not rest[0] & TOUCHED:
        raise NotApproved("the security key was not touched for this signature")
    encoded = f"{kind} {base64.b64encode(key).decode()}"
    return Signature(encoded, said(namespace), said(hashed), name, raw, rest)


def said(text: bytes) -> str:
    return text.decode(errors="replace")


def packed(text: bytes) -> bytes:
    return len(text).to_bytes(4) + text


def strings(data: bytes) -> list[bytes]:
    """All of it, as strings that each say their length first."""
    return list(strings_of(data))


def strings_of(data: bytes) -> Iterator[bytes]:
    while data:
        one, data = taken(data, 1)
        yield one


def taken(data: bytes, count: int) -> list[bytes]:
    """The first strings, and what is left behind them."""
    out: list[bytes] = []
    for _ in range(count):
        size = int.from_bytes(data[:4])
        if len(data) < 4 + size or len(data) < 4:
            raise NotApproved("this SSH signature or key is cut off")
        out.append(data[4 : 4 + size])
        data = data[4 + size :]
    return [*out, data]
