"""A bbolt file read as it passes: its revision is known at the end, without having kept the file.

A page that is free in the snapshot may hold anything, even a page of a *later* transaction that reused it
while the file was being sent. So the largest revision that passes proves nothing: only pages that can be
reached from the root count, and they are walked when all have been seen. Eight bytes a page are kept for that.
"""

import struct
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from quorate.errors import Corrupt

MAGIC = 0xED0CDAED
PAGE_BYTES = frozenset(1 << n for n in range(10, 17))
DB_BYTES_MAX = 1 << 40  # far above etcd's advised 8 GiB; a damaged header must not make us reserve memory
HEADER_BYTES = 16
BRANCH, LEAF = 1, 2
BUCKET = 1
RUN_PAGES_MAX = 16  # a page of buckets is one page; more is not read whole
LEVELS_MAX = 64

_PAGE = struct.Struct("<QHHI")  # id, flags, count, overflow
_META = struct.Struct("<IIIIQQQQQQ")  # magic, version, page size, flags, root, seq, freelist, high water, txid, sum
_BRANCH_ELEMENT = struct.Struct("<IIQ")  # position, key size, page
_LEAF_ELEMENT = struct.Struct("<IIII")  # flags, position, key size, value size
_BUCKET = struct.Struct("<QQ")  # root, sequence

COMPACTIONS = (b"scheduledCompactRev", b"finishedCompactRev")
REVISION_SIZES = frozenset({17, 18})  # main '_' sub, and a 't' on a tombstone
META_SIZES = frozenset({len(b"term"), len(COMPACTIONS[0])})  # the last key of etcd's bucket `meta`


@dataclass(frozen=True, slots=True)
class Meta:
    page_bytes: int
    root: int
    pages: int  # the high-water mark: nothing of the database lies beyond
    txid: int

    @property
    def db_bytes(self) -> int:
        return self.page_bytes * self.pages


def meta(start: bytes) -> Meta:
    """The newer of the two meta pages that are sound, from the first bytes of the file."""
    metas = [found for page_bytes in (0, *sorted(PAGE_BYTES)) if (found := _meta_at(start, page_bytes))]
    if not metas:
        raise Corrupt("neither meta page of the database is sound: this is not a bbolt file, or its start is damaged")
    return max(metas, key=lambda each: each.txid)


def _meta_at(start: bytes, offset: int) -> Meta | None:
    at = offset + HEADER_BYTES
    if len(start) < at + _META.size:
        return None
    magic, version, page_bytes, _, root, _, _, pages, txid, checksum = _META.unpack_from(start, at)
    if (magic, version) != (MAGIC, 2) or checksum != fnv64a(start[at : at + 56]) or page_bytes not in PAGE_BYTES:
        return None
    if offset not in (0, page_bytes) or not root < pages or page_bytes * pages > DB_BYTES_MAX:
        return None
    return Meta(page_bytes, root, pages, txid)


def fnv64a(data: bytes) -> int:
    digest = 0xCBF29CE484222325
    for byte in data:
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return digest


@dataclass(slots=True)
class _Reading:
    """Bytes wanted from a place that has not passed yet, or not wholly."""

    start: int
    length: int
    then: Callable[[bytes], None]
    got: bytearray = field(default_factory=bytearray)

    def take(self, piece: bytes, at: int) -> bool:
        """Whether it now has all it wants."""
        begin = self.start + len(self.got) - at
        self.got += piece[begin : self.start + self.length - at] if begin >= 0 else b""
        return len(self.got) == self.length


class Pages:
    """Fed piece by piece from the file's start, each piece a whole number of pages but for the last."""

    def __init__(self, meta: Meta) -> None:
        self._meta = meta
        self._at = 0
        self._piece = b""
        self._lasts = array("Q", bytes(8 * meta.pages))  # branch: last child << 1; leaf: last revision << 1 | 1
        self._buckets: dict[int, dict[bytes, bytes]] = {}
        self._compactions: dict[int, int] = {}
        self._roots: tuple[int, ...] = (meta.root,)
        self._open: list[_Reading] = []
        self._headers = struct.Struct(f"{_PAGE.format}{meta.page_bytes - _PAGE.size}x")

    def feed(self, piece: bytes) -> None:
        self._piece = piece
        self._open = [reading for reading in self._open if not self._ended(reading)]
        whole = memoryview(piece)[: len(piece) // self._meta.page_bytes * self._meta.page_bytes]
        first = self._at // self._meta.page_bytes
        for number, (page, flags, count, overflow) in enumerate(self._headers.iter_unpack(whole), first):
            if page == number and number < self._meta.pages and flags in {BRANCH, LEAF}:
                self._look(number, flags, count, overflow)
        self._at += len(piece)
        self._piece = b""

    def revision(self) -> int:
        """What a member restored from this file serves: etcd's own rule, mvcc kvstore.restore()."""
        buckets = self._top()
        last = self._last_revision(buckets.get(b"key", b""))
        return max(1, last, self._compacted(buckets.get(b"meta", b"")))

    def _ended(self, reading: _Reading) -> bool:
        if ended := reading.take(self._piece, self._at):
            reading.then(bytes(reading.got))
        return ended

    def _read(self, start: int, length: int, then: Callable[[bytes], None]) -> None:
        """At once if it lies in this piece, else when it passes."""
        begin = start - self._at
        if begin + length <= len(self._piece):
            then(self._piece[begin : begin + length])
            return
        reading = _Reading(start, length, then)
        if begin < len(self._piece):
            reading.take(self._piece, self._at)
        self._open.append(reading)

    def _look(self, number: int, flags: int, count: int, overflow: int) -> None:
        start = number * self._meta.page_bytes
        run_bytes = (min(overflow, self._meta.pages - number) + 1) * self._meta.page_bytes
        if number == self._meta.root and flags == BRANCH:
            self._read(start, run_bytes, self._root)
        if not count:
            self._lasts[number] = 1
            return
        element = start + HEADER_BYTES + 16 * (count - 1)
        if element + 16 > start + run_bytes:
            return
        if flags == BRANCH:
            self._read(element, 16, partial(self._branch, number))
        else:
            self._read(element, 16, partial(self._leaf, number, element, start + run_bytes))

    def _root(self, page: bytes) -> None:
        """The few buckets of etcd fit one page; if ever they do not, this is the page above them."""
        _, _, count, _ = _PAGE.unpack_from(page)
        offsets = range(HEADER_BYTES, min(HEADER_BYTES + 16 * count, len(page) - 15), 16)
        self._roots = tuple(_BRANCH_ELEMENT.unpack_from(page, offset)[2] for offset in offsets)

    def _branch(self, number: int, element: bytes) -> None:
        child = _BRANCH_ELEMENT.unpack(element)[2]
        self._lasts[number] = child << 1 if child < self._meta.pages else 0

    def _leaf(self, number: int, at: int, end: int, element: bytes) -> None:
        """Only what its last element is: buckets, revisions, or etcd's own few numbers."""
        flags, position, key_bytes, _ = _LEAF_ELEMENT.unpack(element)
        start = number * self._meta.page_bytes
        if flags & BUCKET or key_bytes in META_SIZES:
            if end - start <= RUN_PAGES_MAX * self._meta.page_bytes:
                named = self._named_buckets if flags & BUCKET else self._named_numbers
                self._read(start, end - start, partial(named, number))
        elif key_bytes in REVISION_SIZES and at + position + key_bytes <= end:
            self._read(at + position, 8, partial(self._revision, number))

    def _named_buckets(self, number: int, page: bytes) -> None:
        """Every commit leaves an old root behind: a page with the first and the last bucket that is not the root."""
        buckets = dict(_elements(page))
        if number == self._meta.root or not {b"alarm", b"meta"} <= buckets.keys():
            self._buckets[number] = {name: buckets[name] for name in (b"key", b"meta") if name in buckets}

    def _named_numbers(self, number: int, page: bytes) -> None:
        if compacted := _compacted(dict(_elements(page))):
            self._compactions[number] = compacted

    def _revision(self, number: int, main: bytes) -> None:
        revision = int.from_bytes(main, "big")
        self._lasts[number] = revision << 1 | 1 if revision < 1 << 62 else 0

    def _top(self) -> dict[bytes, bytes]:
        """The buckets of the root, by name."""
        if missing := [number for number in self._roots if number not in self._buckets]:
            raise Corrupt(f"page {missing[0]} of the database should hold its buckets and does not")
        return {name: value for number in self._roots for name, value in self._buckets[number].items()}

    def _last_revision(self, bucket: bytes) -> int:
        """Down the last branch of the bucket `key` to its last entry."""
        if len(bucket) < _BUCKET.size:
            raise Corrupt("the database has no bucket `key`: it is not etcd's")
        number = _BUCKET.unpack_from(bucket)[0]
        if number == 0:
            return max((int.from_bytes(key[:8], "big") for key, _ in _elements(bucket[_BUCKET.size :])), default=0)
        for _ in range(LEVELS_MAX):
            last = self._lasts[number] if number < self._meta.pages else 0
            if last & 1:
                return last >> 1
            if not last:
                break
            number = last >> 1
        raise Corrupt(f"page {number} of the database should belong to the bucket `key` and does not")

    def _compacted(self, bucket: bytes) -> int:
        if len(bucket) < _BUCKET.size:
            return 0
        number = _BUCKET.unpack_from(bucket)[0]
        return self._compactions.get(number, 0) if number else _compacted(dict(_elements(bucket[_BUCKET.size :])))


def _elements(page: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of every element of a leaf; what points outside the page is left out."""
    if len(page) < HEADER_BYTES:
        return
    _, _, count, _ = _PAGE.unpack_from(page)
    for at in range(HEADER_BYTES, min(HEADER_BYTES + 16 * count, len(page) - 15), 16):
        _, position, key_bytes, value_bytes = _LEAF_ELEMENT.unpack_from(page, at)
        key, end = at + position, at + position + key_bytes + value_bytes
        if end <= len(page):
            yield page[key : key + key_bytes], page[key + key_bytes : end]


def _compacted(bucket: Mapping[bytes, bytes]) -> int:
    """The main revision of the last compaction that was begun or ended."""
    return max((int.from_bytes(bucket[name][:8], "big") for name in COMPACTIONS if name in bucket), default=0)
