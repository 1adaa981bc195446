"""What is run on a node, under which ticket."""

import shlex
from dataclasses import dataclass

from quorate.inventory import Cluster, Member, Ssh


@dataclass(frozen=True, slots=True)
class Command:
    """An argv with its preconditions: `given` names paths that must be there, `!path` must not.

    The preconditions are tested in the same remote call, under the node's lock.
    """

    argv: tuple[str, ...]
    given: tuple[str, ...] = ()
    stdin: str = ""

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True, slots=True)
class Ticket:
    """The fencing token: who acts, and whether a later attempt has taken over; `verb` tells doing from undoing."""

    operation: str
    turn: int
    attempt: int
    step: str
    actor: str = ""
    verb: str = ""

    @property
    def order(self) -> tuple[int, int]:
        return self.turn, self.attempt


@dataclass(frozen=True, slots=True)
class Node:
    """A machine and how it is reached; references only."""

    name: str
    host: str
    ssh: Ssh
    lock_dir: str
    cluster: str


def node_of(cluster: str, settings: Cluster, member: Member) -> Node:
    """The machine that a member runs on, as the inventory says it is reached."""
    return Node(member.name, member.host, settings.ssh, settings.lock_dir, cluster)


def nodes_of(cluster: str, settings: Cluster) -> tuple[Node, ...]:
    """Every machine that is logged in to."""
    return tuple(node_of(cluster, settings, member) for member in settings.members)


def rename(source: str, target: str) -> Command:
    """Precondition and effect of a rename that can overwrite nothing."""
    return Command(("mv", "-T", source, target), given=(source, f"!{target}"))
