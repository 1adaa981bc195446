"""zstd as a stream, with a checksum in the frame: `zstd -d` gives the same bytes without us."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, cast

import zstandard

from activities.streams.checksums import drain
from quorate.database.snapshot import PIECE_BYTES
from quorate.errors import Corrupt

LEVEL = 1


def compressed(chunks: Iterable[bytes], level: int = LEVEL) -> Iterator[bytes]:
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
    for chunk in chunks:
        if out := compressor.compress(chunk):
            yield out
    yield compressor.flush()


def expanded(chunks: Iterator[bytes], what: str) -> Iterator[bytes]:
    """Small pieces however much a chunk expands to; whether all came, only a hash tells.

    Everything is read, behind the compressed data too, so that whoever hashes the chunks has seen them all.
    """
    reader = zstandard.ZstdDecompressor().stream_reader(cast("IO[bytes]", _Source(chunks)))
    try:
        while piece := reader.read(PIECE_BYTES):
            yield piece
    except zstandard.ZstdError as error:
        raise Corrupt(f"{what} cannot be decompressed: {error}") from error
    drain(chunks)


def unpacked(chunks: Iterator[bytes], what: str) -> Iterator[bytes]:
    """Of zstd, or of gzip, which every node has: their first bytes differ."""
    first = next(chunks, b"")
    whole = chain((first,), chunks)
    return expanded(whole, what) if first.startswith(zstandard.FRAME_HEADER) else inflated(whole)


def inflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Of `gzip -c`, which every node has; whether all of it came, its own checksum tells."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        for chunk in chunks:
            yield unpacker.decompress(chunk)
        yield unpacker.flush()
    except zlib.error as error:
        raise Corrupt(f"what a node sent cannot be decompressed: {error}") from error


@dataclass(frozen=True, slots=True)
class _Source:
    chunks: Iterator[bytes]

    def read(self, _size: int = -1) -> bytes:
        return next(self.chunks, b"")
