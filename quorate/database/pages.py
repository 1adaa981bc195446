"""A bbolt file read as it passes: its revision and which pages are in use are known at the end, without keeping it.

A page that is free in the snapshot may hold anything, even a page of a *later* transaction that reused it
while the file was being sent. So the largest revision that passes proves nothing: only pages that can be
reached from the root count, and they are walked when all have been seen. A byte a page is kept for that, and
the children of branch pages, packed.
"""

import struct
import zlib
from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from quorate.database.bbolt import (
    BRANCH,
    BRANCH_ELEMENT,
    BUCKET,
    BUCKET_HEADER,
    ELEMENT_BYTES,
    HEADER_BYTES,
    LEAF,
    LEAF_ELEMENT,
    PAGE,
    Meta,
    elements,
    inside,
)
from quorate.database.branches import Branches
from quorate.errors import Corrupt

RUN_PAGES_MAX = 16  # a page of buckets is one page; more is not read whole
LEVELS_MAX = 64
TOLD_MAX = 96 << 10  # with all else in it a payload stays below 128 KiB

COMPACTIONS = (b"scheduledCompactRev", b"finishedCompactRev")
REVISION_SIZES = frozenset({17, 18})  # main '_' sub, and a 't' on a tombstone
META_SIZES = frozenset({len(b"term"), len(COMPACTIONS[0])})  # the last key of etcd's bucket `meta`

# What a page is in use for: nothing, records of etcd's bucket `key`, anything else, or to find the others.
UNUSED, RECORDS, OTHER, ABOVE = range(4)
_PASSED, _WANTED = 4, 5  # a branch page that nothing has led to yet, or that has to be followed
_ENDED = bytes((UNUSED, RECORDS, OTHER, ABOVE, UNUSED, UNUSED)).ljust(256, b"\0")


@dataclass(frozen=True, slots=True)
class Tree:
    """What a file has turned out to be; `uses` has a byte for every page, of the first page of a run alone."""

    revision: int  # 0 where it is lower than was asked for
    uses: bytes


def told(uses: bytes) -> str:
    """As text for a payload, "" where it would be too long: whoever needs it can learn it from the file again.

    It is next to nothing where the pages in use follow each other. Strewn at random they are a bit each, and 1.3 GiB
    of them still fit.
    """
    text = b64encode(zlib.compress(uses)).decode()
    return text if len(text) <= TOLD_MAX else ""


def heard(text: str) -> bytes:
    return zlib.decompress(b64decode(text)) if text else b""


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
    """Fed piece by piece from the file's start, each piece a whole number of pages but for the last.

    A leaf that ends below the revision `floor` is not remembered: whoever knows one saves the memory.
    """

    def __init__(self, meta: Meta, floor: int = 0) -> None:
        self._meta = meta
        self._floor = floor
        self._at = 0
        self._piece = b""
        self._uses = bytearray(meta.pages)
        self._branches = Branches()
        self._leaves, self._revisions = array("I"), array("Q")  # a leaf, and the last revision in it
        self._buckets: dict[int, dict[bytes, bytes]] = {}
        self._compactions: dict[int, int] = {}
        self._open: list[_Reading] = []
        self._headers = struct.Struct(f"{PAGE.format}{meta.page_bytes - PAGE.size}x")

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

    def end(self) -> Tree:
        """The revision is what a member restored from this file serves: etcd's own rule, mvcc kvstore.restore()."""
        buckets = self._top()
        key, meta = self._bucket(buckets, b"key"), buckets.get(b"meta", b"")
        last = self._last_revision(key)
        for name, bucket in buckets.items():
            if name != b"key" and (root := inside(bucket)[0]):
                self._reach(root, OTHER)
        revision = max(1, last, self._compacted(meta))
        return Tree(revision if revision >= self._floor else 0, bytes(self._uses.translate(_ENDED)))

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
        last = start + HEADER_BYTES + ELEMENT_BYTES * (count - 1)
        if last + ELEMENT_BYTES > start + run_bytes:
            return
        if flags == BRANCH and count:
            self._read(start + HEADER_BYTES, ELEMENT_BYTES * count, partial(self._branch, number))
        elif count:
            self._read(last, ELEMENT_BYTES, partial(self._leaf, number, last, start + run_bytes))
        else:
            self._ends_with(number, 0)

    def _branch(self, number: int, table: bytes) -> None:
        children = [child for _, _, child in BRANCH_ELEMENT.iter_unpack(table)]
        if max(children) < self._meta.pages:
            self._branches.add(number, children)
            self._uses[number] = _PASSED

    def _leaf(self, number: int, at: int, end: int, element: bytes) -> None:
        """Only what its last element is: buckets, revisions, or etcd's own few numbers."""
        flags, position, key_bytes, _ = LEAF_ELEMENT.unpack(element)
        start = number * self._meta.page_bytes
        if flags & BUCKET or key_bytes in META_SIZES:
            if end - start <= RUN_PAGES_MAX * self._meta.page_bytes:
                named = self._named_buckets if flags & BUCKET else self._named_numbers
                self._read(start, end - start, partial(named, number))
        elif key_bytes in REVISION_SIZES and at + position + key_bytes <= end:
            self._read(at + position, 8, partial(self._revision, number))

    def _named_buckets(self, number: int, page: bytes) -> None:
        """Every commit leaves an old root behind: a page with the first and the last bucket that is not the root."""
        buckets = {name: value for name, value in elements(page) if len(value) >= BUCKET_HEADER.size}
        if number == self._meta.root or not {b"alarm", b"meta"} <= buckets.keys():
            self._buckets[number] = buckets

    def _named_numbers(self, number: int, page: bytes) -> None:
        if compacted := _compacted(dict(elements(page))):
            self._compactions[number] = compacted

    def _revision(self, number: int, main: bytes) -> None:
        self._ends_with(number, int.from_bytes(main, "big"))

    def _ends_with(self, number: int, revision: int) -> None:
        if self._floor <= revision < 1 << 63:
            self._leaves.append(number)
            self._revisions.append(revision)

    def _top(self) -> dict[bytes, bytes]:
        """The buckets of the root, by name; they may be spread over several pages."""
        self._reach(self._meta.root, OTHER)
        for number in self._used_for(OTHER):
            if number not in self._buckets:
                raise Corrupt(f"page {number} of the database should hold its buckets and does not")
        pages = (self._buckets[number] for number in self._used_for(OTHER))
        return {name: bucket for page in pages for name, bucket in page.items()}

    def _used_for(self, use: int) -> Iterator[int]:
        number = self._uses.find(use)
        while number >= 0:
            yield number
            number = self._uses.find(use, number + 1)

    def _bucket(self, buckets: Mapping[bytes, bytes], name: bytes) -> bytes:
        if name not in buckets:
            raise Corrupt(f"the database has no bucket `{name.decode()}`: it is not etcd's")
        return buckets[name]

    def _last_revision(self, bucket: bytes) -> int:
        """In the last leaf of the bucket `key`; 0 where it is lower than was asked for."""
        root, page = inside(bucket)
        if not root:
            return max((int.from_bytes(key[:8], "big") for key, _ in elements(page)), default=0)
        leaf = self._reach(root, RECORDS)
        return self._revisions[self._leaves.index(leaf)] if leaf in self._leaves else 0

    def _reach(self, root: int, use: int) -> int:
        """Note what every page below is used for; the last leaf of them."""
        if root >= self._meta.pages:
            raise Corrupt(f"page {root} of the database lies beyond its end")
        last = root
        wanted = self._note((root,), use)
        for _ in range(LEVELS_MAX):
            if not wanted:
                return last
            for branch in self._branches:
                if self._uses[branch.number] == _WANTED:
                    self._uses[branch.number] = ABOVE
                    last = branch.last if branch.number == last else last
                    wanted += self._note(branch.children, use) - 1
        raise Corrupt(f"below page {root} of the database are more than {LEVELS_MAX} levels of pages")

    def _note(self, numbers: "Iterator[int] | tuple[int, ...]", use: int) -> int:
        """How many of them have pages below that are to be followed."""
        uses, wanted = self._uses, 0
        for number in numbers:
            if (before := uses[number]) == UNUSED:
                uses[number] = use
            elif before == _PASSED:
                uses[number] = _WANTED
                wanted += 1
            else:
                raise Corrupt(f"page {number} of the database is used twice")
        return wanted

    def _compacted(self, bucket: bytes) -> int:
        if len(bucket) < BUCKET_HEADER.size:
            return 0
        root, page = inside(bucket)
        return self._compactions.get(root, 0) if root else _compacted(dict(elements(page)))


def _compacted(bucket: Mapping[bytes, bytes]) -> int:
    """The main revision of the last compaction that was begun or ended."""
    return max((int.from_bytes(bucket[name][:8], "big") for name in COMPACTIONS if name in bucket), default=0)
