"""The format of a bbolt file, as far as a snapshot of etcd has to be understood."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from quorate.errors import Corrupt

MAGIC = 0xED0CDAED
PAGE_BYTES = frozenset(1 << n for n in range(10, 17))
DB_BYTES_MAX = 1 << 40  # far above etcd's advised 8 GiB; a damaged header must not make us reserve memory
HEADER_BYTES = ELEMENT_BYTES = 16
BRANCH, LEAF, FREELIST = 1, 2, 0x10
BUCKET = 1
OUTSIDE, UNORDERED = "an element points outside of it", "its keys are out of order"

PAGE = struct.Struct("<QHHI")  # id, flags, count, overflow
_META = struct.Struct("<IIIIQQQQQQ")  # magic, version, page size, flags, root, seq, freelist, high water, txid, sum
BRANCH_ELEMENT = struct.Struct("<IIQ")  # position, key size, page
LEAF_ELEMENT = struct.Struct("<IIII")  # flags, position, key size, value size
BUCKET_HEADER = struct.Struct("<QQ")  # root, sequence


@dataclass(frozen=True, slots=True)
class Meta:
    page_bytes: int
    root: int
    freelist: int  # beyond all pages where none is kept
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
    magic, version, page_bytes, _, root, _, freelist, pages, txid, checksum = _META.unpack_from(start, at)
    if (magic, version) != (MAGIC, 2) or checksum != fnv64a(start[at : at + 56]) or page_bytes not in PAGE_BYTES:
        return None
    if offset not in (0, page_bytes) or not root < pages or page_bytes * pages > DB_BYTES_MAX:
        return None
    return Meta(page_bytes, root, freelist, pages, txid)


def fnv64a(data: bytes) -> int:
    digest = 0xCBF29CE484222325
    for byte in data:
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return digest


def elements(page: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of every element of a leaf; what points outside the page is left out."""
    if len(page) < HEADER_BYTES:
        return
    _, _, count, _ = PAGE.unpack_from(page)
    for at in range(HEADER_BYTES, min(HEADER_BYTES + 16 * count, len(page) - 15), 16):
        _, position, key_bytes, value_bytes = LEAF_ELEMENT.unpack_from(page, at)
        key, end = at + position, at + position + key_bytes + value_bytes
        if end <= len(page):
            yield page[key : key + key_bytes], page[key + key_bytes : end]


def inside(bucket: bytes) -> tuple[int, bytes]:
    """The root page of a bucket, or 0 and the page that lies in the bucket itself."""
    root, _ = BUCKET_HEADER.unpack_from(bucket)
    return root, b"" if root else bucket[BUCKET_HEADER.size :]


def table(data: bytes, page: int, count: int, end: int) -> memoryview:
    """The elements of the page that lies there."""
    first, behind = page + HEADER_BYTES, page + HEADER_BYTES + ELEMENT_BYTES * count
    if behind > end:
        raise Corrupt("its elements do not fit into it")
    return memoryview(data)[first:behind]


def keys_in(flags: int, data: bytes, page: int, count: int, end: int) -> list[bytes]:
    """Of every element of the page that lies there; Corrupt where one does not, or where they are out of order."""
    rows = table(data, page, count, end)
    if flags == BRANCH:
        spans = [(position, key_bytes, 0) for position, key_bytes, _ in BRANCH_ELEMENT.iter_unpack(rows)]
    else:
        spans = [each[1:] for each in LEAF_ELEMENT.iter_unpack(rows)]
    keys = list[bytes]()
    for at, (position, key_bytes, value_bytes) in enumerate(spans):
        key = page + HEADER_BYTES + ELEMENT_BYTES * at + position
        if key + key_bytes + value_bytes > end:
            raise Corrupt(OUTSIDE)
        keys.append(data[key : key + key_bytes])
    if any(before >= after for before, after in pairwise(keys)):
        raise Corrupt(UNORDERED)
    return keys


def torn(flags: int, count: int, data: bytes, page: int, end: int) -> bool:
    """Whether its last element does not lie in it; of a page that has not passed wholly only what is there tells."""
    last = page + HEADER_BYTES + ELEMENT_BYTES * (count - 1)
    if not count or last + ELEMENT_BYTES > min(end, len(data)):
        return last + ELEMENT_BYTES > end
    if flags == BRANCH:
        position, key_bytes, _ = BRANCH_ELEMENT.unpack_from(data, last)
        return bool(last + position + key_bytes > end)
    _, position, key_bytes, value_bytes = LEAF_ELEMENT.unpack_from(data, last)
    return bool(last + position + key_bytes + value_bytes > end)
