"""What ran on a node before it was frozen, kept there: whoever thaws may have nothing else left."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quorate.command import Command, written
from quorate.converge import Left
from quorate.nodes.seen import Look, NodeSeen
from quorate.nodes.static_pod import FROZEN
from quorate.nodes.supervisor import Supervised


@dataclass(frozen=True, slots=True)
class Note:
    """One line: the operation that froze the node, then each process with the state it was in.

    It counts only for what is frozen now, so nobody needs to take it away.
    """

    lock_dir: str
    cluster: str
    text: str = ""

    @property
    def file(self) -> str:
        return f"{self.lock_dir}/{self.cluster}/frozen"

    def look(self) -> Look:
        return Look(texts=(self.file,))

    def write(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Whole or not there; the line of an earlier freeze is replaced."""
        if seen.texts.get(self.file, "").strip() == self.text:
            return ()
        return written(self.file, f"{self.text}\n")


def noted(operation: str, processes: Iterable[Supervised], earlier: Mapping[str, str]) -> str:
    """What is frozen already was before that what the earlier note says."""
    states = {
        each.unit: earlier.get(each.unit, "active") if each.before == FROZEN else each.before for each in processes
    }
    return " ".join([operation, *(f"{unit}={state}" for unit, state in states.items())])


def read(text: str) -> tuple[str, dict[str, str]]:
    """The operation, and the state of each process by its name."""
    operation, _, rest = text.strip().partition(" ")
    return operation, dict(word.split("=", 1) for word in rest.split() if "=" in word)
