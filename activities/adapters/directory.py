"""A directory as a store: an object appears under its name whole and on disk, or not at all."""

import errno
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from uuid import uuid4

from quorate.converge import Tick
from quorate.errors import AlreadyThere, BadInput, Denied, Missing, QuorateError, Unreachable
from quorate.ports import Stored
from quorate.settings.fields import LockMode
from quorate.unfinished import Unfinished

READ_BYTES = 1 << 20
PART = ".part"

KINDS: dict[int, type[QuorateError]] = {
    errno.ENOENT: Missing,
    errno.EEXIST: AlreadyThere,
    errno.EACCES: Denied,
    errno.EPERM: Denied,
    errno.EROFS: Denied,
    errno.ENOTDIR: Denied,
    errno.EISDIR: Denied,
    errno.ENAMETOOLONG: Denied,
}


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """A full or failing disk may get better; a right that is missing does not."""
    try:
        yield
    except OSError as error:
        raise KINDS.get(error.errno or 0, Unreachable)(f"{what}: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class DirectoryStore:
    directory: str

    @property
    def root(self) -> Path:
        return Path(self.directory)

    def put(self, key: str, chunks: Iterable[bytes], tick: Tick) -> Stored:
        """A hard link is the rename that refuses to overwrite."""
        target = self._path(key)
        part = target.with_name(f".{target.name}.{uuid4().hex}{PART}")
        with mapped(f"put {target}"):
            make_durable_directory(target.parent)
        try:
            size_bytes = self._write(part, chunks, tick)
            with mapped(f"put {target}"):
                os.link(part, target)
                sync_directory(target.parent)
        finally:
            with suppress(OSError):  # what went wrong first is what is told
                part.unlink()
        return Stored(key, size_bytes)

    def get(self, key: str) -> Iterator[bytes]:
        path = self._path(key)
        with mapped(f"get {path}"):
            file = path.open("rb", buffering=0)
        return read(path, file)

    def ls(self, prefix: str) -> tuple[Stored, ...]:
        """A prefix need not end at a slash, as in S3."""
        with mapped(f"ls {self.root / prefix}"):
            paths = [path for path in self._below(prefix) if not path.name.endswith(PART)]
            found = [stored(self._key(path), path.stat()) for path in paths]
        return tuple(sorted((each for each in found if each.key.startswith(prefix)), key=lambda each: each.key))

    def unfinished(self, prefix: str) -> tuple[Unfinished, ...]:
        """What is half written: by somebody, or by a worker that was killed."""
        with mapped(f"ls {self.root / prefix}"):
            parts = [path for path in self._below(prefix) if path.name.endswith(PART)]
            return tuple(Unfinished(self._whole(path), self._key(path), moved(path)) for path in sorted(parts))

    def abandon(self, each: Unfinished) -> None:
        with mapped(f"abandon {self.root / each.id}"):
            self._path(each.id).unlink(missing_ok=True)

    def _whole(self, part: Path) -> str:
        """What it was to become."""
        return self._key(part.with_name(part.name.removesuffix(PART).rpartition(".")[0].removeprefix(".")))

    def remove(self, key: str) -> None:
        """With the directories that it leaves empty."""
        path = self._path(key)
        with mapped(f"remove {path}"):
            path.unlink()
            sync_directory(path.parent)
        for empty in path.parents[: len(path.relative_to(self.root).parts) - 1]:
            with suppress(OSError):  # it is not empty, or somebody else was faster
                empty.rmdir()
                sync_directory(empty.parent)

    def lock(self, key: str, until: datetime, mode: LockMode) -> None:
        raise Denied(f"lock {self._path(key)} until {until:%Y-%m-%d} ({mode}): a directory cannot lock")

    def locked(self, key: str) -> str:
        """A directory locks nothing."""
        path = self._path(key)
        if not path.is_file():
            raise Missing(f"{path} is not there")
        return ""

    def hidden(self, prefix: str) -> tuple[str, ...]:
        """A file that is deleted is gone."""
        self._path(prefix + "x")
        return ()

    def check(self) -> None:
        with mapped(f"directory {self.root}"):
            make_durable_directory(self.root)
            probe = self.root / f".{uuid4().hex}{PART}"
            probe.touch(0o600)
            probe.unlink()

    def _write(self, part: Path, chunks: Iterable[bytes], tick: Tick) -> int:
        size_bytes = 0
        what = f"write {part}"
        with mapped(what):
            file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            for chunk in chunks:
                with mapped(what):
                    write_all(file, chunk)
                size_bytes += len(chunk)
                tick(f"{size_bytes >> 20} MiB stored")
            with mapped(what):
                os.fsync(file)
        finally:
            os.close(file)
        return size_bytes

    def _below(self, prefix: str) -> tuple[Path, ...]:
        """Files in the prefix's directory and below, whatever their names begin with."""
        return tuple(path for path in self._path(prefix + "x").parent.rglob("*") if path.is_file())

    def _path(self, key: str) -> Path:
        path = self.root / key
        if ".." in path.parts or path == self.root or self.root not in path.parents:
            raise BadInput(f"{key!r} is not a key")
        return path

    def _key(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def stored(key: str, seen: os.stat_result) -> Stored:
    return Stored(key, seen.st_size, f"{seen.st_ino}-{seen.st_mtime_ns}")


def moved(path: Path) -> float:
    """When it was last written; what its own worker has removed by now is as good as written now."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def read(path: Path, file: FileIO) -> Iterator[bytes]:
    with mapped(f"read {path}"), file:
        while chunk := file.read(READ_BYTES):
            yield chunk


def write_all(file: int, chunk: bytes) -> None:
    """A write may take less than it was given, on a disk that is almost full."""
    left = memoryview(chunk)
    while left:
        left = left[os.write(file, left) :]


def make_durable_directory(path: Path) -> None:
    """A new directory is on disk when its parent is."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in missing:
        sync_directory(each.parent)


def sync_directory(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
