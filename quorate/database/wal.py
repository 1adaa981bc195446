"""What a member's write-ahead log says of how far it went, without etcd: the way to rank disks that nobody runs.

A frame is a little-endian length and a record {type, crc, data}; zeros end a file that was allocated ahead.
Sources: E:server/storage/wal/decoder.go and encoder.go (frames), walpb/record.proto, raftpb/raft.proto,
etcdserverpb/etcdserver.proto (Metadata). The checksums are left to etcd itself, which replays a copy before anything
is restored from it; here a torn end is an end.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from quorate.command import Command

METADATA, ENTRY, STATE = 1, 2, 3
FRAME_BYTES = 8
RECORD_BYTES_MAX = 1 << 28


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a log goes; entries above `commit` were stored here, and perhaps acknowledged by others."""

    cluster_id: str = ""
    member_id: str = ""
    term: int = 0  # of the last entry, which is what raft compares first
    index: int = 0
    commit: int = 0

    @property
    def order(self) -> tuple[int, int]:
        """As raft compares logs: E:raft/log.go isUpToDate."""
        return self.term, self.index

    @property
    def uncommitted(self) -> int:
        return max(0, self.index - self.commit)


def last_segment(directory: str) -> Command:
    """What prints the newest file of a log, packed: most of its 64 MB are zeros. Gzip, where a node has no zstd."""
    newest = (
        'f=$(ls "$0" | grep "[.]wal$" | sort | tail -n 1); [ -n "$f" ] || exit 1; '
        'if command -v zstd >/dev/null; then zstd -1 -q -c "$0/$f"; else gzip -1 -c "$0/$f"; fi'
    )
    return Command(("sh", "-c", newest, directory))


def reach(chunks: Iterable[bytes]) -> Reach:
    """Of the last file of a log, which begins with its owner and its state; nothing known is zero."""
    last = dict(records(chunks))  # of each kind; a later entry with a lower index has replaced those above it
    metadata, entry, state = (numbers(message(last.get(kind, b""), 3)) for kind in (METADATA, ENTRY, STATE))
    return Reach(
        cluster_id=f"{metadata[2]:x}" if 2 in metadata else "",
        member_id=f"{metadata[1]:x}" if 1 in metadata else "",
        term=entry.get(2, state.get(1, 0)),
        index=entry.get(3, state.get(3, 0)),
        commit=state.get(3, 0),
    )


def records(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Kind and bytes of every whole record; a member that was killed may have left half a one."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        at = 0
        while len(held) - at >= FRAME_BYTES:
            length, padding = frame(held[at : at + FRAME_BYTES])
            begin, end = at + FRAME_BYTES, at + FRAME_BYTES + length + padding
            if not 2 <= length <= RECORD_BYTES_MAX:
                return
            if end > len(held):
                break
            yield held[begin + 1], bytes(held[begin : begin + length])  # its type is its first field, one byte long
            at = end
        del held[:at]


def frame(head: bytes | bytearray) -> tuple[int, int]:
    """The record's length, and the bytes behind it that keep frames aligned."""
    field = int.from_bytes(head, "little")
    padding = (field >> 56) & 0x7 if field >> 63 else 0
    return field & ~(0xFF << 56), padding


def numbers(data: bytes) -> dict[int, int]:
    """The integers of a protobuf message by field number."""
    return {number: value for number, value in fields(data) if isinstance(value, int)}


def message(data: bytes, wanted: int) -> bytes:
    return next((value for number, value in fields(data) if number == wanted and isinstance(value, bytes)), b"")


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Of a protobuf message, as far as it can be read: varints and lengths are all that these messages have."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        match tag & 7:
            case 0:
                yield tag >> 3, value
            case 2:
                yield tag >> 3, data[at : at + value]
                at += value
            case _:
                return


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            break
    return value, at
