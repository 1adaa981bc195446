"""Whether a snapshot is whole, unharmed and at which revision, known as its last byte passes."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from quorate.database.bbolt import Meta, meta
from quorate.database.pages import Pages
from quorate.errors import Corrupt

TRAILER_BYTES = 32
SECTOR_BYTES = 512  # etcd's own test for a trailer: pages are multiples of it, so it leaves 32
PIECE_BYTES = 1 << 21  # a multiple of every page size; smaller ones take longer (DECISIONS.md, measured)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the bytes themselves say; `sha256` and `size_bytes` include etcd's trailer.

    A `revision` of 0 is lower than whoever examined it knew that it had to be.
    """

    size_bytes: int
    sha256: str
    db_sha256: str
    revision: int


def joined(blobs: Iterable[bytes], size: int = PIECE_BYTES) -> Iterator[bytes]:
    """Every blob of etcd is 32 KiB; hashing and compressing let other threads run only on larger pieces."""
    held: list[bytes] = []
    length = 0
    for blob in blobs:
        held.append(blob)
        length += len(blob)
        while length >= size:
            whole = b"".join(held)
            yield whole[:size]
            held, length = [whole[size:]], len(whole) - size
    if length:
        yield b"".join(held)


class Examination:
    """Fed with pieces as `joined` makes them; Corrupt as soon as something cannot be a snapshot."""

    def __init__(self, floor: int = 0) -> None:
        self.size_bytes = 0
        self.uses = b""  # of its pages, as `Walk` wants them
        self._floor = floor
        self._hash = hashlib.sha256()
        self._tail = b""
        self._meta: Meta | None = None
        self._pages: Pages | None = None

    def feed(self, piece: bytes) -> None:
        if self._pages is None or self._meta is None:
            self._meta = meta(piece)
            self._pages = Pages(self._meta, self._floor)
        self._pages.feed(piece)
        self.size_bytes += len(piece)
        self._hash_all_but_the_trailer(piece)

    def facts(self) -> Facts:
        """Corrupt unless the last 32 bytes are the sha256 of all others and the database ends before them."""
        if self._pages is None or self._meta is None:
            raise Corrupt("the snapshot is empty")
        if self.size_bytes % SECTOR_BYTES != TRAILER_BYTES:
            raise Corrupt(f"the snapshot has {self.size_bytes} bytes, not a database and 32 bytes of sha256")
        if self.size_bytes - TRAILER_BYTES != self._meta.db_bytes:
            raise Corrupt(
                f"the snapshot holds {self.size_bytes - TRAILER_BYTES} bytes of database,"
                f" its meta page says {self._meta.db_bytes}"
            )
        if self._hash.digest() != self._tail:
            raise Corrupt(
                f"the sha256 of the snapshot's {self._meta.db_bytes} bytes is {self._hash.hexdigest()},"
                f" its trailer says {self._tail.hex()}"
            )
        whole = self._hash.copy()
        whole.update(self._tail)
        tree = self._pages.end()
        self.uses = tree.uses
        return Facts(self.size_bytes, whole.hexdigest(), self._tail.hex(), tree.revision)

    def _hash_all_but_the_trailer(self, piece: bytes) -> None:
        """Any 32 bytes may be the last, so that many are always held back."""
        if len(piece) < TRAILER_BYTES:
            piece, self._tail = self._tail + piece, b""
        self._hash.update(self._tail)
        self._hash.update(memoryview(piece)[:-TRAILER_BYTES])
        self._tail = piece[-TRAILER_BYTES:]
