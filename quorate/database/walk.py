"""Every page of a database looked at as it passes, once it is known which of them are in use.

A page in use that is damaged is damage to the database. A free one may hold anything, also half of what a later
transaction was writing there while the file was sent: it is counted and no more.
"""

from dataclasses import dataclass

from quorate.database.bbolt import (
    BRANCH,
    BUCKET,
    BUCKET_HEADER,
    ELEMENT_BYTES,
    FREELIST,
    HEADER_BYTES,
    LEAF,
    LEAF_ELEMENT,
    PAGE,
    Meta,
    keys_in,
    meta,
    table,
    torn,
)
from quorate.database.content import Content, Tally
from quorate.database.pages import ABOVE, OTHER, RECORDS, UNUSED
from quorate.errors import Corrupt

META_PAGES = 2


@dataclass(frozen=True, slots=True)
class Walked:
    """What was found, and how many pages; all pages of a long record are in use, torn ones are free ones too."""

    content: Content
    used: int
    free: int
    torn: int


class Walk:
    """Fed as `Pages` is; `uses` is what that has found. Corrupt at the first page in use that is damaged."""

    def __init__(self, uses: bytes) -> None:
        self._uses = uses
        self._tally = Tally()
        self._meta: Meta | None = None
        self._number = self._used = self._torn = 0
        self._held: list[memoryview] = []
        self._held_bytes = self._wanted_bytes = 0
        self._reserved_end = META_PAGES

    def feed(self, piece: bytes) -> None:
        """What belongs to a page that has not passed wholly is held back."""
        if self._meta is None:
            self._meta = meta(piece)
        begin, whole = 0, memoryview(piece)
        while self._held and self._number < self._meta.pages:
            lacking = self._wanted_bytes - self._held_bytes
            self._hold(whole[begin : begin + lacking])
            begin += lacking
            if begin > len(piece):
                return
            data = b"".join(self._held)
            self._held, self._held_bytes = [], 0
            self._hold(memoryview(data)[self._passed(data, 0, self._meta) :])
        if self._number < self._meta.pages:
            self._hold(whole[self._passed(piece, begin, self._meta) :])

    def _hold(self, data: memoryview) -> None:
        """Of one that does not lie in a single piece: only that much is copied, once all of it is there."""
        if data:
            self._held.append(data)
            self._held_bytes += len(data)

    def end(self) -> Walked:
        pages = self._meta.pages if self._meta else 0
        if not pages or self._number != pages:
            raise Corrupt(f"the database ends before its page {self._number} does")
        return Walked(self._tally.content(), self._used, pages - self._used, self._torn)

    def _passed(self, data: bytes, at: int, meta: Meta) -> int:
        """Look at every page that is there wholly, from that place on; where the first begins that is not."""
        self._wanted_bytes = meta.page_bytes
        while self._number < meta.pages and at + meta.page_bytes <= len(data):
            page, flags, count, overflow = PAGE.unpack_from(data, at)
            pages = 1
            if self._uses[self._number] != UNUSED:
                if overflow or page != self._number:
                    pages += self._alone(page, overflow)
                if at + pages * meta.page_bytes > len(data):
                    self._wanted_bytes = pages * meta.page_bytes
                    break
                self._look(flags, count, data, at, at + pages * meta.page_bytes)
                self._used += pages
            elif page == self._number and flags in {BRANCH, LEAF}:
                self._torn += torn(flags, count, data, at, at + (overflow + 1) * meta.page_bytes)
            else:
                self._used += self._reserved(flags, overflow, meta)
            at += pages * meta.page_bytes
            self._number += pages
        return at

    def _reserved(self, flags: int, overflow: int, meta: Meta) -> bool:
        """For a meta page, or the list of free pages, which etcd does not keep."""
        if self._number == meta.freelist and flags == FREELIST:
            self._reserved_end = self._number + overflow + 1
        return self._number < self._reserved_end

    def _alone(self, page: int, overflow: int) -> int:
        """How many pages follow that belong to this one; none of them may be in use by itself."""
        if page != self._number:
            raise self._damaged(f"it says that it is page {page}")
        behind = self._uses[self._number + 1 : self._number + 1 + overflow]
        if len(behind) < overflow or any(behind):
            raise self._damaged(f"{overflow} pages behind it should be its own")
        return overflow

    def _look(self, flags: int, count: int, data: bytes, page: int, end: int) -> None:
        use = self._uses[self._number]
        try:
            if flags != (BRANCH if use == ABOVE else LEAF):
                raise Corrupt(f"its flags are {flags:#x}")
            if use == RECORDS:
                self._tally.add(data, page, count, end)
            else:
                keys_in(flags, data, page, count, end)
            if use == OTHER:
                self._records_in_a_bucket(data, page, count, end)
        except Corrupt as error:
            raise self._damaged(str(error)) from error

    def _records_in_a_bucket(self, data: bytes, page: int, count: int, end: int) -> None:
        """Of a bucket `key` that is so small that it lies where it is named."""
        at = page + HEADER_BYTES
        for flags, position, key_bytes, value_bytes in LEAF_ELEMENT.iter_unpack(table(data, page, count, end)):
            bucket = at + position + key_bytes
            if flags & BUCKET and data[at + position : bucket] == b"key" and value_bytes > BUCKET_HEADER.size:
                inner = bucket + BUCKET_HEADER.size
                self._tally.add(data, inner, PAGE.unpack_from(data, inner)[2], bucket + value_bytes)
            at += ELEMENT_BYTES

    def _damaged(self, why: str) -> Corrupt:
        return Corrupt(f"page {self._number} of the database, which is in use, is damaged: {why}")
