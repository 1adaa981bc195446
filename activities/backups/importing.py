"""A snapshot that somebody else has saved, proved and laid beside our own with a manifest."""

import gzip
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import zstandard

from activities.backups.snapshots import Import, Snapshots
from activities.streams.compression import expanded
from quorate.backup import BackupTask
from quorate.backups.catalogue import Manifest
from quorate.command import Ticket
from quorate.converge import Tick
from quorate.database.snapshot import PIECE_BYTES, Examination, joined
from quorate.errors import BadInput, Corrupt

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"


@dataclass(frozen=True)
class Importing:
    snapshots: Snapshots

    def store(self, task: BackupTask, path: Path, taken: int, ticket: Ticket, tick: Tick) -> Manifest:
        """Read once to know what it is, before anything is stored; Corrupt names what is wrong with it."""

        def chunks() -> Iterator[bytes]:
            return saved(path)

        examination = Examination()
        try:
            for piece in joined(chunks()):
                examination.feed(piece)
            revision = examination.facts().revision
        except Corrupt as error:
            raise Corrupt(f"{path}: {error}; nothing was stored", next=HINT) from error
        return self.snapshots.imported(task, Import(chunks, taken, revision), ticket, tick)


HINT = "etcdutl snapshot status FILE  # a copy of member/snap/db has no checksum, and cannot be imported"


def saved(path: Path) -> Iterator[bytes]:
    """As `etcdctl snapshot save` wrote it: plain, or packed by zstd, gzip, or zip as k3s does it."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == zstandard.FRAME_HEADER:
            yield from expanded(read(path.open("rb")), str(path))
        elif start.startswith(GZIP):
            yield from read(cast("IO[bytes]", gzip.GzipFile(path, "rb")))
        elif start == ZIP:
            yield from zipped(path)
        else:
            yield from read(path.open("rb"))
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise Corrupt(f"it cannot be unpacked: {error}") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error


def zipped(path: Path) -> Iterator[bytes]:
    """k3s and rke2 pack one file into each."""
    with zipfile.ZipFile(path) as whole:
        names = whole.namelist()
        if len(names) != 1:
            raise BadInput(f"{path} holds {len(names)} files, expected one snapshot")
        yield from read(whole.open(names[0]))


def read(opened: AbstractContextManager[IO[bytes]]) -> Iterator[bytes]:
    with opened as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
