"""The file of pinned host keys, as OpenSSH writes it: read, compared with what is shown, one key replaced."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from quorate.errors import BadInput, Refusal

Standing = Literal["equal", "differs", "revoked", "not pinned", "not shown"]


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public key of a machine: its type and its base64, as they stand in known_hosts."""

    type: str
    base64: str

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -lf` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.base64)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.type} {self.fingerprint}"


@dataclass(frozen=True, slots=True)
class Pins:
    """What is pinned for one machine; a revoked key is refused even if it is pinned as well."""

    keys: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()
    authorities: tuple[HostKey, ...] = ()

    def accept(self, key: HostKey) -> bool:
        return key in self.keys and key not in self.revoked

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(key.type for key in self.keys))


@dataclass(frozen=True, slots=True)
class Line:
    """One line that pins something; names are patterns or hashes."""

    marker: str
    names: tuple[str, ...]
    key: HostKey

    def covers(self, name: str) -> bool:
        if any(each[:1] == "!" and matches(each[1:], name) for each in self.names):
            return False
        return any(matches(each, name) for each in self.names)


@dataclass(frozen=True, slots=True)
class Row:
    """One type of key of one machine: what is pinned, what is shown."""

    type: str
    pinned: tuple[str, ...]
    shown: str
    standing: Standing


def name_of(host: str, port: int = 22) -> str:
    """A port other than 22 is part of the name."""
    return host if port == 22 else f"[{host}]:{port}"


def pins(text: str, name: str) -> Pins:
    """ValueError for a line that is not a host key."""
    found = [line for _, line in lines(text) if line and line.covers(name)]

    def of(marker: str) -> tuple[HostKey, ...]:
        return tuple(dict.fromkeys(line.key for line in found if line.marker == marker))

    return Pins(of(""), of("@revoked"), of("@cert-authority"))


def compared(pinned: Pins, shown: Iterable[HostKey]) -> tuple[Row, ...]:
    """One row a type, those first that are pinned."""
    seen = {key.type: key for key in shown}
    types = dict.fromkeys((*pinned.types, *seen))
    return tuple(row(pinned, kind, seen.get(kind)) for kind in types)


def row(pinned: Pins, kind: str, shown: HostKey | None) -> Row:
    known = tuple(key.fingerprint for key in pinned.keys if key.type == kind)
    return Row(kind, known, shown.fingerprint if shown else "", standing(pinned, kind, shown))


def standing(pinned: Pins, kind: str, shown: HostKey | None) -> Standing:
    if shown is None:
        return "not shown"
    if shown in pinned.revoked:
        return "revoked"
    if shown in pinned.keys:
        return "equal"
    return "differs" if kind in pinned.types else "not pinned"


def vouched(pinned: Pins, found: HostKey | None) -> Row:
    """The row of the authorities: which of them has signed the certificate that is shown."""
    known = tuple(key.fingerprint for key in pinned.authorities)
    return Row("@cert-authority", known, found.fingerprint if found else "", "equal" if found else "not shown")


def same(rows: Iterable[Row]) -> bool:
    """A key that is pinned is shown, and nothing speaks against it."""
    found = {row.standing for row in rows}
    return "equal" in found and not found & {"differs", "revoked"}


def replaced(text: str, name: str, key: HostKey) -> str:
    """The file with `key` as the one of its type for that name; every other line as it was.

    What is pinned by a pattern covers other machines too, so that is refused.
    """
    if key in pins(text, name).revoked:
        raise Refusal(f"{key} is marked @revoked for {name}: nothing was changed")
    out: list[str] = []
    at: int | None = None
    for number, (raw, line) in enumerate(lines(text), 1):
        if line is None or line.marker or line.key.type != key.type or not line.covers(name):
            out.append(raw)
            continue
        at = len(out) if at is None else at
        if rest := _without(line, name, number):
            out.append(raw.replace(",".join(line.names), ",".join(rest), 1))
    out.insert(len(out) if at is None else at, f"{name} {key.type} {key.base64}")
    return "\n".join(out) + "\n"


def _without(line: Line, name: str, number: int) -> tuple[str, ...]:
    covering = [each for each in line.names if matches(each, name)]
    if any(set(each) & set("*?") and each[:1] != "|" for each in covering):
        raise BadInput(
            f"line {number} pins {line.key} for {', '.join(covering)}, which covers more than {name}: "
            "nothing was changed",
            next="write that line anew by hand, a name each",
        )
    return tuple(each for each in line.names if each not in covering)


def lines(text: str) -> Iterator[tuple[str, Line | None]]:
    """Every line as it stands, with what it pins."""
    for raw in text.splitlines():
        yield raw, parsed(raw)


def parsed(raw: str) -> Line | None:
    words = raw.split()
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    if len(words) < 3 or raw.lstrip().startswith("#"):
        return None
    names, kind, encoded = words[:3]
    try:
        base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{raw[:60]!r} is not a host key: {error}") from error
    return Line(marker, tuple(names.split(",")), HostKey(kind, encoded))


def matches(pattern: str, name: str) -> bool:
    """A name, a pattern with * and ?, or a name that was hashed."""
    if pattern.startswith("|1|"):
        return _hashed(pattern, name)
    wanted = "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern.lower())
    return re.fullmatch(wanted, name.lower()) is not None


def _hashed(pattern: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(each) for each in pattern.split("|")[2:4])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)
