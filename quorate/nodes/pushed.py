"""The restore tool out of the store, for a node that has neither it nor an image with it."""

from dataclasses import dataclass

from quorate.command import Command
from quorate.converge import Left
from quorate.errors import CommandFailed, Refusal
from quorate.members.etcd import minor
from quorate.nodes.room import RESERVE_BYTES, receiving
from quorate.nodes.seen import Look, NodeSeen
from quorate.nodes.stored import StoredTool

_SAME = 'test "$(sha256sum <"$1" | cut -c1-64)" = "$2"'


@dataclass(frozen=True, slots=True)
class Pushed:
    """Beside what else an operation keeps on a node."""

    tool: StoredTool
    home: str

    @property
    def path(self) -> str:
        return f"{self.home}/{self.tool.program}"

    @property
    def arrivals(self) -> str:
        return f"{self.path}.part"

    def look(self) -> Look:
        return Look(paths=(self.path, self.arrivals), tools=(self.path,))

    def arriving(self, turn: int, attempt: int) -> str:
        """Every attempt writes to a name of its own, so a late sender spoils nothing."""
        return f"{self.arrivals}/{turn}-{attempt}"

    def receive(self, arriving: str) -> Command:
        argv = receiving(arriving, self.home, self.tool.size_bytes + RESERVE_BYTES, ("cat",))
        return Command(argv, given=(f"!{self.path}",))

    def place(self, arriving: str) -> tuple[Command, ...]:
        """Under its name only what has the checksum of the program that was kept."""
        return (
            Command(("sh", "-c", _SAME, "same", arriving, self.tool.sha256), given=(arriving,)),
            Command(("chmod", "0700", arriving), given=(arriving,)),
            Command(("sync", arriving), given=(arriving,)),
            Command(("mv", "-T", arriving, self.path), given=(arriving, f"!{self.path}")),
            Command(("rm", "-rf", self.arrivals)),
            Command(("sync", self.home)),
        )

    def proved(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """It runs there; Refusal where it does not, or is another one."""
        if self.path not in seen.paths:
            raise CommandFailed(f"{self.path} is not there after it was sent")
        told = seen.tools.get(self.path, "")
        if minor(told) != minor(self.tool.version):
            says = f"says that it is etcd {told}" if told else "does not run"
            raise Refusal(f"{self.path}, out of {self.tool.key}, {says}: it was kept as {self.tool.version}")
        return ()

    def remove(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        left = tuple(path for path in (self.path, self.arrivals) if path in seen.paths)
        return (Command(("rm", "-rf", *left)),) if left else ()
