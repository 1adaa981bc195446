"""Files of pinned host keys: read, and replaced as a whole or not at all."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quorate.errors import Denied


class KnownHostsFiles:
    """One that is not there is empty."""

    def read(self, path: str) -> str:
        try:
            return Path(path).read_text() if Path(path).exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise Denied(f"{path} cannot be read as known_hosts: {error}") from error

    def rewrite(self, path: str, change: Callable[[str], str], keep: str) -> str:
        """What was there is kept beside it under the name that is returned; readers see the old file or the new."""
        file = Path(path).resolve()  # a link goes on pointing at the file
        kept = file.with_name(f"{file.name}.before-{keep}")
        part = file.with_name(f"{file.name}.{keep}.part")
        try:
            with locked(file.parent):
                text = change(self.read(str(file)))
                if file.exists():
                    shutil.copy2(file, kept)
                    synced(kept)
                written(part, text, like=file)
                part.replace(file)
                synced(file.parent)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise Denied(f"{path} cannot be written, and is as it was: {error}") from error
        return str(kept) if kept.exists() else ""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Two that pin at once do it one after the other."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def written(path: Path, text: str, like: Path) -> None:
    """On disk, with the mode and the owner of the one it is to replace."""
    with path.open("w") as file:
        if like.exists():
            shutil.copymode(like, path)
            there = like.stat()
            if (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(path, there.st_uid, there.st_gid)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def synced(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
