"""What a database of etcd holds, as one number: the same however its pages lie.

The content digest is the sum, modulo 2^256, of `sha256(length ‖ key ‖ value)` over every record of etcd's bucket
`key`. Key and value are the bytes of the record: a revision (17 bytes, 18 on a tombstone), and a `mvccpb.KeyValue`.
The length is that of the key, in 8 bytes, the highest first. The sum is told as 64 hexadecimal digits.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from quorate.database.bbolt import ELEMENT_BYTES, HEADER_BYTES, LEAF_ELEMENT, OUTSIDE, UNORDERED, table
from quorate.errors import Corrupt

MODULUS = 1 << 256
PREFIXES_MAX = 40  # that are told
COUNTED_MAX = 1000  # that are counted one by one
REST = "…"
LARGE_BYTES = 2048  # from here on a hash lets other threads run, and a copy would cost more than a second call
KEY_TAG = 0x0A  # of a KeyValue the key comes first, behind its length: seven bits a byte, the lowest first
DIRECTORIES = re.compile(rb".[^/]*(?:/[^/]*)?(?=/)", re.DOTALL)  # the first may begin with a slash


@dataclass(frozen=True, slots=True)
class Content:
    """The content digest, how many records there are, and how many by the prefix of their keys."""

    digest: str
    records: int
    prefixes: dict[str, int]


def prefix_of(key: str) -> str:
    """The first two directories it lies in, as `/registry/pods`, or the only one, or ""."""
    first = key.find("/", 1)
    second = key.find("/", first + 1)
    return key[: second if second > 0 else first] if first > 0 else ""


def prefix_in(data: bytes, value: int, stop: int) -> bytes:
    """The same of the key in the KeyValue that lies there; "" of what is none."""
    if stop - value < 3 or data[value] != KEY_TAG:
        return b""
    key, length, bits = value + 2, data[value + 1], 7
    while length >> bits and key < stop:
        length, bits, key = length - (1 << bits) + (data[key] << bits), bits + 7, key + 1
    found = DIRECTORIES.match(data, key, min(key + length, stop))
    return found[0] if found else b""


def most(counts: Mapping[str, int]) -> tuple[str, ...]:
    """The prefixes that hold most, by name; all others are told as one."""
    by_count = sorted(counts, key=lambda prefix: (-counts[prefix], prefix))
    return tuple(sorted(by_count[:PREFIXES_MAX]))


class Tally:
    """Adds up records, a leaf page at a time."""

    def __init__(self) -> None:
        self._sum = self._records = 0
        self._prefixes: dict[bytes, int] = {}

    def add(self, data: bytes, page: int, count: int, end: int) -> None:
        """The records of the leaf that lies there; Corrupt where they do not, or where keys are out of order.

        One loop with little in it, for it runs once for every record of a database.
        """
        at, before, prefixes = page + HEADER_BYTES, b"", self._prefixes
        for _, position, key_bytes, value_bytes in LEAF_ELEMENT.iter_unpack(table(data, page, count, end)):
            start = at + position
            value, stop = start + key_bytes, start + key_bytes + value_bytes
            if stop > end:
                raise Corrupt(OUTSIDE)
            at += ELEMENT_BYTES
            key = data[start:value]
            if key <= before:
                raise Corrupt(UNORDERED)
            before = key
            length = key_bytes.to_bytes(8, "big")
            if value_bytes < LARGE_BYTES:
                digest = sha256(length + data[start:stop])
            else:
                digest = sha256(length)
                digest.update(memoryview(data)[start:stop])
            self._sum += int.from_bytes(digest.digest(), "big")
            if (prefix := prefix_in(data, value, stop)) in prefixes:
                prefixes[prefix] += 1
            else:
                self._first_of(prefix)
        self._records += count

    def content(self) -> Content:
        counts = {prefix.decode(errors="backslashreplace"): count for prefix, count in self._prefixes.items()}
        told = {prefix: counts[prefix] for prefix in most(counts)}
        rest = self._records - sum(told.values())
        return Content(f"{self._sum % MODULUS:064x}", self._records, told | ({REST: rest} if rest else {}))

    def _first_of(self, prefix: bytes) -> None:
        """Too many are not counted one by one, so that nobody's keys fill our memory."""
        if len(self._prefixes) < COUNTED_MAX:
            self._prefixes[prefix] = 1
