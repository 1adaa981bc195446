"""Room on a node's disk: what staging takes, and what it leaves to the etcd that still serves from there."""

from quorate.command import Command
from quorate.errors import NoSpace

MIB = 2**20
WAL_BYTES = 64 * MIB  # a log begins with a file of full size (etcd.md, 2.2)
RESERVE_BYTES = 2 * WAL_BYTES  # for the etcd that serves: the next two files of its own log

_TEST = (
    'f=$(($(stat -f -c "%a*%S" -- "$1"))); [ "$f" -ge "$2" ] || '
    '{ echo "$f bytes are free in $1, $2 are needed: nothing was written"; exit 28; }'
)

_COPY_TEST = f'n=$(shift 2; du -sbLc -- "$@" | tail -n 1 | cut -f 1); set -- "$1" "$((n + $2))"; {_TEST}'


def staging_bytes(size_bytes: int, *, arrived: bool = False) -> int:
    """The snapshot, the database restored from it and its log; less what has arrived, and the reserve on top."""
    return (size_bytes if arrived else 2 * size_bytes) + WAL_BYTES + RESERVE_BYTES


def room_for(needed_bytes: int, directory: str, given: tuple[str, ...] = ()) -> Command:
    """In the remote call that writes: between a look and an act a disk may fill up."""
    return Command(("sh", "-c", _TEST, "room", directory, str(needed_bytes)), given=given)


def room_to_copy(directory: str, *sources: str) -> Command:
    """Before they are copied there; on top of them the first file of a log, which whoever runs on the copy begins."""
    return Command(("sh", "-c", _COPY_TEST, "room", directory, str(WAL_BYTES), *sources))


def receiving(arriving: str, directory: str, needed_bytes: int, unpack: tuple[str, ...]) -> tuple[str, ...]:
    """An argv that writes its input there, or leaves nothing: what has run out of room gives it back at once.

    The lock of the node (descriptor 9, `quorate.nodes.guard`) is let go when the file is there, and not before.
    """
    write = 'shift 2; umask 077; mkdir -p "${0%/*}"; exec > "$0" 9>&-; "$@" || { rm -f "$0"; exit 1; }'
    return ("sh", "-c", f"{_TEST}; {write}", arriving, directory, str(needed_bytes), *unpack)


def enough(free_bytes: int | None, needed_bytes: int, directory: str) -> None:
    """NoSpace in words, where it was looked at."""
    if free_bytes is not None and free_bytes < needed_bytes:
        raise NoSpace(
            f"{mib(free_bytes)} are free beside {directory}, and to stage takes {mib(needed_bytes - RESERVE_BYTES)} "
            f"and leaves {mib(RESERVE_BYTES)} to the etcd that serves: nothing was written"
        )


def mib(size_bytes: int) -> str:
    return f"{size_bytes // MIB} MiB"
