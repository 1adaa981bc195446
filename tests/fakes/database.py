"""bbolt files as etcd writes them, small enough to damage byte by byte."""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import randbytes

from quorate.database.bbolt import MAGIC, fnv64a
from quorate.database.bbolt import meta as meta_of

PAGE = 4096
BRANCH, LEAF, META, FREELIST = 1, 2, 4, 0x10
Element = tuple[bytes, bytes]


def key(revision: int, sub: int = 0, tombstone: bool = False) -> bytes:
    return revision.to_bytes(8, "big") + b"_" + sub.to_bytes(8, "big") + (b"t" if tombstone else b"")


def key_value(key: bytes, value: bytes | None) -> bytes:
    """A `mvccpb.KeyValue` as far as tests need one; on a tombstone there is the key alone."""
    return b"\x0a" + length(key) + key + (b"" if value is None else b"\x2a" + length(value) + value)


def length(text: bytes) -> bytes:
    """As protobuf writes it: seven bits a byte, the lowest first."""
    left, digits = len(text), bytearray()
    while left > 127:
        digits.append(left & 127 | 128)
        left >>= 7
    return bytes((*digits, left))


def page(number: int, flags: int, count: int, body: bytes, page_bytes: int = PAGE) -> bytes:
    overflow = max(0, -(-(16 + len(body)) // page_bytes) - 1)
    whole = struct.pack("<QHHI", number, flags, count, overflow) + body
    return whole.ljust((overflow + 1) * page_bytes, b"\0")


def leaf_body(elements: list[Element], bucket: int = 0) -> bytes:
    heads, bodies = b"", b""
    for index, (name, value) in enumerate(elements):
        position = 16 * (len(elements) - index) + len(bodies)
        heads += struct.pack("<IIII", bucket, position, len(name), len(value))
        bodies += name + value
    return heads + bodies


def leaf(number: int, elements: list[Element], page_bytes: int = PAGE, bucket: int = 0) -> bytes:
    return page(number, LEAF, len(elements), leaf_body(elements, bucket), page_bytes)


def branch(number: int, children: list[tuple[bytes, int]], page_bytes: int = PAGE) -> bytes:
    heads, bodies = b"", b""
    for index, (first, child) in enumerate(children):
        heads += struct.pack("<IIQ", 16 * (len(children) - index) + len(bodies), len(first), child)
        bodies += first
    return page(number, BRANCH, len(children), heads + bodies, page_bytes)


def meta(number: int, root: int, pages: int, txid: int, page_bytes: int = PAGE) -> bytes:
    fields = struct.pack("<IIIIQQQQQ", MAGIC, 2, page_bytes, 0, root, 0, 2, pages, txid)
    return page(number, META, 0, fields + fnv64a(fields).to_bytes(8, "little"), page_bytes)


def bucket(root: int) -> bytes:
    return struct.pack("<QQ", root, 0)


def inline(elements: list[Element]) -> bytes:
    body = leaf_body(elements)
    return bucket(0) + struct.pack("<QHHI", 0, LEAF, len(elements), 0) + body


def numbers(compacted: int) -> list[Element]:
    rows = [(b"consistent_index", bytes(8))]
    if compacted:
        rows += [(b"finishedCompactRev", key(compacted)), (b"scheduledCompactRev", key(compacted))]
    return [*rows, (b"term", bytes(8))]


@dataclass
class Pages:
    """Pages from number 3 on; 0 and 1 are the meta pages, 2 the freelist."""

    page_bytes: int
    made: list[bytes] = field(default_factory=list)

    @property
    def next(self) -> int:
        return 3 + sum(map(len, self.made)) // self.page_bytes

    def leaf(self, elements: list[Element], bucket: int = 0) -> int:
        return self._add(leaf(self.next, elements, self.page_bytes, bucket))

    def branch(self, children: list[tuple[bytes, int]]) -> int:
        return self._add(branch(self.next, children, self.page_bytes))

    def _add(self, made: bytes) -> int:
        number = self.next
        self.made.append(made)
        return number


def database(
    leaves: list[list[Element]],
    compacted: int = 0,
    *,
    free: Iterable[list[Element]] = (),
    page_bytes: int = PAGE,
    root_split: bool = False,
    meta_apart: bool = False,
) -> bytes:
    """The leaves of the bucket `key`, pages that are free, a branch above the leaves, and the root last."""
    pages = Pages(page_bytes)
    children = [(elements[0][0] if elements else b"", pages.leaf(elements)) for elements in leaves]
    for elements in free:
        pages.leaf(elements)
    top = children[0][1] if len(children) == 1 else pages.branch(children)
    of_meta = bucket(pages.leaf(numbers(compacted))) if meta_apart else inline(numbers(compacted))
    buckets = [(b"alarm", inline([])), (b"key", bucket(top)), (b"meta", of_meta)]
    if root_split:
        halves = [(b"alarm", pages.leaf(buckets[:1], 1)), (b"key", pages.leaf(buckets[1:], 1))]
        root = pages.branch(halves)
    else:
        root = pages.leaf(buckets, 1)
    start = (*(meta(n, root, pages.next, 9 - n, page_bytes) for n in (0, 1)), page(2, FREELIST, 0, b"", page_bytes))
    return b"".join((*start, *pages.made))


def snapshot(db: bytes) -> bytes:
    return db + hashlib.sha256(db).digest()


def of_revisions(first: int, last: int, value: bytes = b"value", per_leaf: int = 20, compacted: int = 0) -> bytes:
    """A snapshot that holds these revisions and no others."""
    revisions = range(first, last + 1)
    leaves = [
        [(key(r), value) for r in revisions[start : start + per_leaf]] for start in range(0, len(revisions), per_leaf)
    ]
    return snapshot(database(leaves or [[]], compacted))


def large(size_mib: int) -> Iterator[bytes]:
    """The blobs of a snapshot of that size, a multiple of 8: revisions 2 to 100, then free pages."""
    start = database([[(key(revision), b"value") for revision in range(2, 101)]])
    root = meta_of(start).root
    pages = len(start) // PAGE + size_mib * (1 << 20) // PAGE
    whole = meta(0, root, pages, 9) + meta(1, root, pages, 8) + start[2 * PAGE :]
    filling = b"".join(randbytes(16 << 10) + bytes(16 << 10) for _ in range(256))
    digest = hashlib.sha256()
    for blob in (whole, *[filling] * (size_mib // 8)):
        digest.update(blob)
        yield from (blob[at : at + (32 << 10)] for at in range(0, len(blob), 32 << 10))
    yield digest.digest()


def blobs(whole: bytes, size: int = 32 << 10) -> Iterator[bytes]:
    """As etcd sends it: the database in blobs, then the trailer by itself."""
    db, trailer = whole[:-32], whole[-32:]
    yield from (db[at : at + size] for at in range(0, len(db), size))
    yield trailer
