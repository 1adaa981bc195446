"""Bytes that pass are counted and hashed, or held to the hash that they had."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator

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


def until_last(chunks: Iterable[bytes], check: Callable[[], None]) -> Iterator[bytes]:
    """The same, but the last is given away only when the check has passed: nobody takes a wrong one for whole."""
    held = b""
    for chunk in chunks:
        if held:
            yield held
        held = chunk
    check()
    yield held


def proved(chunks: Iterator[bytes], wanted: str, key: str) -> Iterator[bytes]:
    """The same bytes; Corrupt before the last of them if they are not the ones that were stored."""
    passed = Sum()

    def check() -> None:
        if passed.sha256 != wanted:
            raise Corrupt(
                f"{key} in the store is not what was stored: sha256 {passed.sha256[:12]}…, "
                f"its manifest says {wanted[:12]}…; nothing was stopped",
                next="quorate snapshots ls  # and restore an earlier one with --snapshot",
            )

    return until_last(passed.of(chunks), check)
