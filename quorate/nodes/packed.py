"""Files of a node in a tar: fetched as one, taken apart, laid into another one under the node's name."""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath

from quorate.command import Command

BLOCK = 512
END = bytes(2 * BLOCK)


@dataclass(frozen=True, slots=True)
class Packed:
    """A file or a directory as the node has sent it; no data is a directory."""

    path: str
    mode: int
    owner: str
    group: str
    uid: int
    gid: int
    mtime: int
    data: bytes | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data or b"").hexdigest()


def packing(files: Iterable[str], directories: Iterable[str]) -> Command:
    """A tar of them as they are, links followed, with the directories above them and nothing else that is in those.

    1 is tar's word for a file that changed meanwhile: its content is whole in one version or the other.
    """
    above = {str(parent) for path in files for parent in PurePosixPath(path).parents}
    above |= {str(each) for path in directories for each in (PurePosixPath(path), *PurePosixPath(path).parents)}
    names = [name.lstrip("/") for name in (*sorted(above - {"/"}), *sorted(files))]
    options = "-C / --no-recursion --dereference --hard-dereference --ignore-failed-read -cf -"
    return Command(("sh", "-c", f'tar {options} -- "$@" 2>/dev/null; [ $? -le 1 ]', "tar", *names))


def unpacked(chunk: bytes) -> tuple[Packed, ...]:
    """What a node's tar holds."""
    out = []
    with tarfile.open(fileobj=BytesIO(chunk)) as whole:
        for each in whole:
            data = whole.extractfile(each) if each.isreg() else None
            if data or each.isdir():
                out.append(
                    Packed(
                        "/" + each.name.strip("/"),
                        each.mode & 0o7777,
                        each.uname,
                        each.gname,
                        each.uid,
                        each.gid,
                        int(each.mtime),
                        data.read() if data else None,
                    )
                )
    return tuple(out)


def member(name: str, data: bytes | None, like: Packed | None = None) -> Iterator[bytes]:
    info = tarfile.TarInfo(name if data is not None else f"{name}/")
    info.type = tarfile.REGTYPE if data is not None else tarfile.DIRTYPE
    info.size, info.mode = len(data or b""), 0o600
    if like:
        info.mode, info.uid, info.gid, info.mtime = like.mode, like.uid, like.gid, like.mtime
        info.uname, info.gname = like.owner, like.group
    yield info.tobuf(tarfile.PAX_FORMAT)
    if data:
        yield data + bytes(-len(data) % BLOCK)
