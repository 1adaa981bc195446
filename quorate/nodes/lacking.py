"""What a node has lost of the files that a bundle holds of it: laid there one by one, and nothing else is touched.

Each arrives under a second name beside the first and gets its own by a hard link, which can overwrite nothing. As
long as both names are one file it is known whose it is: what somebody else has put there is never taken away.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from quorate.command import Command
from quorate.converge import Left
from quorate.errors import CommandFailed
from quorate.nodes.durable import parent, settled
from quorate.nodes.packed import END, Packed, member
from quorate.nodes.pods import parked
from quorate.nodes.seen import Look, NodeSeen

UNITS = ("/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/")


@dataclass(frozen=True, slots=True)
class Lacking:
    """`files` say where each goes and what of the bundle it is, `folders` are those that are not there either."""

    files: tuple[tuple[str, str], ...]
    folders: tuple[str, ...]
    operation: str

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(path for path, _ in self.files)

    def second(self, path: str) -> str:
        return f"{path}.quorate-{self.operation}"

    def look(self, others: Iterable[str] = ()) -> Look:
        return Look(paths=(*self.paths, *map(self.second, self.paths), *self.folders, *others))

    def others(self, held: Mapping[str, Packed]) -> tuple[str, ...]:
        """The files of the bundle that were not missing: they are compared, and stay as they are."""
        laid = {of for _, of in self.files}
        return tuple(sorted(path for path, each in held.items() if each.data is not None and path not in laid))

    def absent(self, seen: NodeSeen) -> tuple[str, ...]:
        """What has to be sent: an attempt before may have been cut off in the midst of any that is not linked."""
        return tuple(path for path in self.paths if path not in seen.paths)

    def tar(self, absent: Iterable[str], held: Mapping[str, Packed], seen: NodeSeen) -> Iterator[bytes]:
        """The folders first, then each file under its second name; owners and modes are the bundle's."""
        for folder in (each for each in self.folders if each not in seen.paths and each in held):
            yield from member(folder.lstrip("/"), None, held[folder])
        of = dict(self.files)
        for path in absent:
            yield from member(self.second(path).lstrip("/"), held[of[path]].data, held[of[path]])
        yield END

    def receive(self) -> Command:
        """A folder that is there keeps its owner and its mode."""
        return Command(("tar", "-C", "/", "-x", "-p", "--no-overwrite-dir", "-f", "-"))

    def place(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Each gets its name when all of it is on the disk."""
        arrived = tuple(path for path in self.absent(seen) if self.second(path) in seen.paths)
        if not arrived:
            return ()
        links = (
            Command(("ln", "-T", self.second(path), path), given=(self.second(path), f"!{path}")) for path in arrived
        )
        return (
            settled(*map(self.second, arrived)),
            *links,
            Command(("sync", *dict.fromkeys(map(parent, arrived)))),
            *self.reload(arrived),
        )

    def take_back(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Both names of what is ours, the first alone of nothing; then the folders, where they are empty again."""
        ours = tuple(path for path in self.paths if self.laid(path, seen))
        seconds = tuple(path for path in map(self.second, self.paths) if path in seen.paths)
        if not seconds:
            return ()
        folders = sorted((each for each in self.folders if each in seen.paths), reverse=True)
        return (
            *((Command(("rm", "-f", *ours)),) if ours else ()),
            Command(("rm", "-f", *seconds)),
            *(Command(("rmdir", "--ignore-fail-on-non-empty", each)) for each in folders),
            *self.reload(ours),
        )

    def settle(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """The second names go; what was laid stays."""
        seconds = tuple(path for path in map(self.second, self.paths) if path in seen.paths)
        return (Command(("rm", "-f", *seconds)), Command(("sync", *dict.fromkeys(map(parent, seconds))))) * bool(
            seconds
        )

    def laid(self, path: str, seen: NodeSeen) -> bool:
        """Whether what has the name is what we have laid."""
        there, second = seen.paths.get(path), seen.paths.get(self.second(path))
        return bool(there and second and (there.device, there.inode) == (second.device, second.inode))

    def reload(self, paths: Iterable[str]) -> tuple[Command, ...]:
        return (Command(("systemctl", "daemon-reload")),) if any(each.startswith(UNITS) for each in paths) else ()

    def check(self, held: Mapping[str, Packed], seen: NodeSeen, sums: Mapping[str, str]) -> None:
        """CommandFailed names each that is not as the bundle has it: there, of the same owner, mode and content."""
        wrong = [f"{path}: {why}" for path, of in self.files if (why := unlike(held[of], path, seen, sums))]
        if wrong:
            raise CommandFailed(f"not as the bundle has it: {'; '.join(wrong)}")


def unlike(wanted: Packed, path: str, seen: NodeSeen, sums: Mapping[str, str]) -> str:
    """What is different, or nothing."""
    there = seen.paths.get(path)
    if there is None:
        return "not there"
    owner = f"{wanted.owner or wanted.uid}:{wanted.group or wanted.gid}"
    if (there.owner, there.mode) != (owner, f"{wanted.mode:o}"):
        return f"{there.owner} {there.mode}, in the bundle {owner} {wanted.mode:o}"
    return "" if sums.get(path) == wanted.sha256 else "another content"


def differing(paths: Iterable[str], held: Mapping[str, Packed], seen: NodeSeen, sums: Mapping[str, str]) -> str:
    """Each that is not as the bundle has it, and in what; never what is in it.

    A link is left out: a bundle has what it led to, and a kubelet lets its own lead to another one by design.
    """
    files = (path for path in paths if seen.paths[path].kind.startswith("regular"))
    return "; ".join(f"{path}: {why}" for path in files if (why := unlike(held[path], path, seen, sums)))


def target(path: str, pods: Iterable[str]) -> str:
    """Where it is laid: a manifest beside the kubelet's directory, for a kubelet starts what it reads."""
    folders = {parent(each) for each in pods}
    return parked(path) if parent(path) in folders else path


def above(paths: Iterable[str]) -> tuple[str, ...]:
    """Every directory above any of them, the outer ones first."""
    return tuple(sorted({str(each) for path in paths for each in PurePosixPath(path).parents} - {"/"}))


def sums(paths: Iterable[str]) -> Command:
    return Command(("sha256sum", "--", *paths))


def summed(printed: str) -> dict[str, str]:
    """By path, of what sha256sum(1) prints; a name with a backslash or a newline is none that a bundle has."""
    rows = (line.partition("  ") for line in printed.splitlines())
    return {path: digest for digest, _, path in rows if path}
