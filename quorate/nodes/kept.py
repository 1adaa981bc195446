"""What earlier operations keep beside a data directory: recognised by Quorate's own names and by nothing else."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from quorate.command import Command
from quorate.converge import Left
from quorate.errors import Refusal
from quorate.ids import ULID, begun
from quorate.nodes.seen import Look, NodeSeen

NAME = re.compile(rf"\.(before-|quorate-)((?:restore|replace-member)-[0-7][{ULID}]{{25}})(-g[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Kept:
    """One copy on one node; `kind` tells the data of before from what was restored and rolled back."""

    node: str
    path: str
    kind: str
    operation: str
    size_bytes: int

    @property
    def began(self) -> float:
        """When its operation began, as the ULID says: a rename leaves no time on a directory."""
        return begun(self.operation)


def named(path: str, live: str) -> tuple[str, str] | None:
    """Kind and operation of what is kept of `live`; None for every name that is not exactly one of ours."""
    found = NAME.fullmatch(path.removeprefix(live)) if path.startswith(live) else None
    if found is None or bool(found[3]) != (found[1] == "quorate-"):
        return None
    return found[1].rstrip("-"), found[2]


def listing(lives: Iterable[str]) -> Command:
    """Bytes and path of whatever may be one; what is not there is no failure."""
    finds = [
        f"[ ! -d {folder} ] || find {folder} -mindepth 1 -maxdepth 1 -name {name} -exec du -sB1 -- {{}} +"
        for live in map(PurePosixPath, lives)
        for folder, name in [(shlex.quote(str(live.parent)), shlex.quote(f"{live.name}.*"))]
    ]
    return Command(("sh", "-c", "; ".join(finds)))


def parse(node: str, printed: str, lives: tuple[str, ...]) -> tuple[Kept, ...]:
    rows = [line.partition("\t") for line in printed.splitlines()]
    return tuple(
        Kept(node, path, *found, size_bytes=int(size))
        for size, _, path in rows
        for live in lives
        if size.isdigit() and (found := named(path, live))
    )


@dataclass(frozen=True, slots=True)
class Removal:
    """Exactly what was approved, and never what its name does not say."""

    lives: tuple[str, ...]
    paths: tuple[str, ...]

    def look(self) -> Look:
        return Look(paths=self.paths)

    def remove(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        if foreign := [path for path in self.paths if not any(named(path, live) for live in self.lives)]:
            raise Refusal(f"will not remove {', '.join(foreign)}: no name of ours")
        there = [path for path in self.paths if path in seen.paths]
        folders = dict.fromkeys(str(PurePosixPath(path).parent) for path in there)
        acts = tuple(Command(("rm", "-rf", path), given=(path,)) for path in there)
        return (*acts, Command(("sync", *folders))) if acts else ()


def lives_of(data_dir: str) -> tuple[str, ...]:
    """What an operation renames: the directory, or the member in one that is a mount point."""
    return data_dir, f"{data_dir}/member"
