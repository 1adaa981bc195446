"""The children of every branch page that has passed, packed: at 8 GiB a list of numbers would be too much to keep."""

import zlib
from array import array
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import NamedTuple

BLOCK_NUMBERS = 1 << 14
NUMBER = "I"
NUMBER_BYTES = array(NUMBER).itemsize


class Branch(NamedTuple):
    """A page, the child behind all others, and all of them in the order of the file."""

    number: int
    last: int
    children: Iterator[int]


class Branches:
    """About two bytes a child where pages are strewn at random, next to nothing where they follow each other."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._open = array(NUMBER)

    def add(self, number: int, children: list[int]) -> None:
        """Sorted, for then each is told by its small distance from the one before."""
        ordered = sorted(children)
        self._open.extend((number, len(children), children[-1], ordered[0]))
        self._open.extend(after - before for before, after in pairwise(ordered))
        if len(self._open) >= BLOCK_NUMBERS:
            self._blocks.append(packed(self._open))
            self._open = array(NUMBER)

    def __iter__(self) -> Iterator[Branch]:
        for block in self._blocks:
            yield from _in(unpacked(block))
        yield from _in(self._open)


def _in(numbers: "array[int]") -> Iterator[Branch]:
    at = 0
    while at < len(numbers):
        number, count, last = numbers[at : at + 3]
        at += 3 + count
        yield Branch(number, last, accumulate(numbers[at - count : at]))


def packed(numbers: "array[int]") -> bytes:
    """First all low bytes, then all second ones …: the high ones are nearly always 0."""
    raw = numbers.tobytes()
    return zlib.compress(b"".join(raw[at::NUMBER_BYTES] for at in range(NUMBER_BYTES)), 1)


def unpacked(block: bytes) -> "array[int]":
    planes = zlib.decompress(block)
    raw, length = bytearray(len(planes)), len(planes) // NUMBER_BYTES
    for at in range(NUMBER_BYTES):
        raw[at::NUMBER_BYTES] = planes[at * length : (at + 1) * length]
    return array(NUMBER, bytes(raw))
