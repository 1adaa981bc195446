"""One directory that gives way to another by renames; the names beside it are the whole state."""

from dataclasses import dataclass

from quorate.command import Command, rename
from quorate.errors import Refusal
from quorate.nodes.durable import parent
from quorate.nodes.seen import NodeSeen

SELINUX = "/sys/fs/selinux/enforce"  # there where SELinux is on, whether it enforces or not


@dataclass(frozen=True, slots=True)
class Looks:
    """What a directory has that its content has not: owner and mode."""

    owner: str
    mode: str = "700"

    @property
    def exact_mode(self) -> str:
        """With five digits chmod also clears the bits that a directory has inherited."""
        return f"{int(self.mode, 8):05o}"


@dataclass(frozen=True, slots=True)
class Swapped:
    """The names of one generation, all on one filesystem.

    `inner` is what is wanted of that which the restore tool has made, where not all of it is.
    """

    live: str
    operation: str
    generation: int = 1
    inner: str = ""

    @property
    def staged(self) -> str:
        return f"{self.live}.quorate-{self.operation}-g{self.generation}"

    @property
    def part(self) -> str:
        return f"{self.staged}.part"

    @property
    def built(self) -> str:
        return f"{self.part}/{self.inner}" if self.inner else self.part

    @property
    def kept(self) -> str:
        return f"{self.live}.before-{self.operation}"

    @property
    def names(self) -> tuple[str, ...]:
        return self.live, self.staged, self.kept, self.part

    @property
    def durable(self) -> Command:
        return Command(("sync", parent(self.live)))

    def dressed(self, looks: Looks, seen: NodeSeen) -> tuple[Command, ...]:
        """What was built looks like what it is to replace, to SELinux too."""
        return (
            Command(("chown", "-R", looks.owner, self.part), given=(self.part,)),
            Command(("chmod", looks.exact_mode, self.built), given=(self.part,)),
            *self._label(seen),
        )

    def named(self) -> tuple[Command, ...]:
        return (
            Command(("mv", "-T", self.built, self.staged), given=(self.part, f"!{self.staged}")),
            *((self._emptied(),) if self.inner else ()),
        )

    def unlike(self, looks: Looks, seen: NodeSeen) -> tuple[Command, ...]:
        """What is staged without the looks that it was given: a filesystem may have its own mind."""
        there = seen.paths[self.staged]
        owner = () if there.owner == looks.owner else (Command(("chown", looks.owner, self.staged)),)
        mode = () if there.mode == looks.mode else (Command(("chmod", looks.exact_mode, self.staged)),)
        rest = (self._emptied(),) if self.inner and self.part in seen.paths else ()
        return (*owner, *mode, *rest)

    def swap(self, seen: NodeSeen) -> tuple[Command, ...]:
        """Keep the live one under another name, place the staged in its stead."""
        keep, place = rename(self.live, self.kept), rename(self.staged, self.live)
        match seen.has(self.live, self.staged, self.kept):
            case (True, True, False):
                return keep, place, self.durable
            case (False, True, True):
                return place, self.durable
            case (False, True, False):  # wiped: nothing to keep, and a mark that says so
                return self._mark(), place, Command(("sync", self.kept, parent(self.live)))
            case (True, False, True):
                return ()
        raise Refusal(f"cannot swap {self.live}: {self._there(seen)}")

    def put_back(self, seen: NodeSeen) -> tuple[Command, ...]:
        """Undo a swap, from wherever it stopped."""
        displace, restore = rename(self.live, self.staged), rename(self.kept, self.live)
        if self.kept in seen.paths and seen.paths[self.kept].kind != "directory":
            restore = Command(("rm", "-f", self.kept))  # the mark of a wiped node
        match seen.has(self.live, self.staged, self.kept):
            case (_, _, False):
                return ()
            case (False, True, True):
                return restore, self.durable
            case (True, False, True):
                return displace, restore, self.durable
        raise Refusal(f"cannot put {self.kept} back: {self._there(seen)}")

    def _label(self, seen: NodeSeen) -> tuple[Command, ...]:
        """As SELinux labels the live data; where that is gone, as its policy says for the name."""
        live, on = seen.has(self.live, SELINUX)
        if not on:
            return ()
        if live:
            return (Command(("chcon", "-R", f"--reference={self.live}", self.built), given=(self.live, self.part)),)
        script = 'chcon -R "$(matchpathcon -n "$1")" "$2"'
        return (Command(("sh", "-c", script, "label", self.live, self.built), given=(self.part,)),)

    def _emptied(self) -> Command:
        return Command(("rmdir", self.part), given=(self.staged,))

    def _mark(self) -> Command:
        return Command(("install", "-m", "0600", "/dev/null", self.kept), given=(f"!{self.live}", f"!{self.kept}"))

    def _there(self, seen: NodeSeen) -> str:
        names = (self.live, self.staged, self.kept)
        return "there are " + (", ".join(path for path in names if path in seen.paths) or "none of its names")
