"""What survives a power cut: files and names that are on the disk before anybody counts on them.

A file is on the disk when it was synced and the directory that names it was too.
"""

import shlex
from collections.abc import Iterable
from pathlib import PurePosixPath

from quorate.command import Command
from quorate.converge import Ran

SYNC = "sync"


def parent(path: str) -> str:
    return str(PurePosixPath(path).parent)


def settled(*paths: str) -> Command:
    """Files that were made, their directories, and those above, since a directory may be as new as its file."""
    folders = [parent(path) for path in paths]
    return Command((SYNC, *dict.fromkeys((*paths, *folders, *map(parent, folders)))))


def removed(*paths: str) -> tuple[Command, ...]:
    """Files that are gone, and stay gone: a bar that came back with the power would keep etcd from starting."""
    return Command(("rm", "-f", *paths)), Command((SYNC, *dict.fromkeys(map(parent, paths))))


def whole(*paths: str) -> Command:
    """Each with all that is in it."""
    return Command(("sh", "-c", 'find "$@" -exec sync {} +', "durable", *paths), given=paths[:1])


def unsettled(folders: Iterable[str], ran: tuple[Ran, ...]) -> tuple[Command, ...]:
    """For an attempt that found names as they should be: who renamed them may have been cut off before its sync."""
    synced = {word for each in ran if each.act.startswith(f"{SYNC} ") for word in shlex.split(each.act)}
    left = tuple(dict.fromkeys(folder for folder in folders if folder not in synced))
    return (Command((SYNC, *left)),) if left else ()
