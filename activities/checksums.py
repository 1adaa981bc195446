"""Bytes that pass are counted and hashed, or held to the hash that they had."""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator

from quorate.errors import Corrupt


class Sum:
    """Size and sha256 of what passes."""

    def __init__(self) -> None:
        self.size_bytes, self.digest = 0, hashlib.sha256()

    def of(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.digest.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk

    @property
    def sha256(self) -> str:
        return self.digest.hexdigest()

    @property
    def told(self) -> tuple[int, str]:
        return self.size_bytes, self.sha256


def drain(chunks: Iterable[bytes]) -> None:
    """To the end, for whoever looks at what passes."""
    deque(chunks, maxlen=0)


def proved(chunks: Iterator[bytes], wanted: str, key: str) -> Iterator[bytes]:
    """The same bytes; Corrupt before the last of them if they are not the ones that were stored.

    The last chunk is held back until the hash is known, so a receiver never sees a whole wrong object.
    """
    passed, held = Sum(), b""
    for chunk in passed.of(chunks):
        if held:
            yield held
        held = chunk
    if passed.sha256 != wanted:
        raise Corrupt(
            f"{key} in the store is not what was stored: sha256 {passed.sha256[:12]}…, "
            f"its manifest says {wanted[:12]}…; nothing was stopped",
            next="quorate snapshots ls  # and restore an earlier one with --snapshot",
        )
    yield held
