"""What is run on a node, under which ticket."""

import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath

from quorate.inventory import Cluster
from quorate.settings.machines import Member, Ssh

JUMP = "jump host "


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
    """The fencing token: who acts, and whether a later attempt has taken over; `verb` tells doing from undoing.

    `holder` is as whom it has a node, where that is not all of the operation: what it gives back is over for good.
    """

    operation: str
    turn: int
    attempt: int
    step: str
    actor: str = ""
    verb: str = ""
    holder: str = ""

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


def jump_of(node: Node) -> Node | None:
    """The jump host before a node, as a machine of its own."""
    ssh, jump = node.ssh, node.ssh.jump
    if jump is None:
        return None
    same_key = jump.identity in {None, ssh.identity}
    reached = Ssh(
        user=jump.user or ssh.user,
        identity=jump.identity or ssh.identity,
        certificate=jump.certificate or (ssh.certificate if same_key else None),
        known_hosts=jump.known_hosts or ssh.known_hosts,
        port=jump.port,
        sudo=False,
        connect_timeout_s=ssh.connect_timeout_s,
    )
    return Node(f"{JUMP}{jump.host}", jump.host, reached, node.lock_dir, node.cluster)


def nodes_of(cluster: str, settings: Cluster) -> tuple[Node, ...]:
    """Every machine that is logged in to, the jump host first."""
    members = tuple(node_of(cluster, settings, member) for member in settings.members)
    jump = jump_of(members[0])
    return (jump, *members) if jump else members


def way(node: Node) -> str:
    """As a person types it: `ssh quorate@10.0.0.1`, through the jump host where there is one."""
    jump = jump_of(node)
    through = f"-J {address(jump)}{f':{jump.ssh.port}' if jump.ssh.port != 22 else ''} " if jump else ""
    port = f"-p {node.ssh.port} " if node.ssh.port != 22 else ""
    return f"ssh {through}{port}{address(node)}"


def address(node: Node) -> str:
    return f"{node.ssh.user}@{node.host}"


def asked_for(node: Node) -> str:
    """What a command takes for it: a member's name, a jump host's address."""
    return node.name.removeprefix(JUMP)


def shell(settings: Cluster, name: str) -> str:
    """The beginning of a command that a person types for a member's node, as root."""
    member = next(member for member in settings.members if member.name == name)
    return way(node_of("", settings, member)) + (" sudo" if settings.ssh.sudo else "")


def written(path: str, text: str, given: tuple[str, ...] = ()) -> tuple[Command, ...]:
    """A small file for root alone, whole or not there; without `given` it replaces what is there."""
    part = f"{path}.part"
    return (
        Command(("install", "-m", "0600", "/dev/stdin", part), stdin=text),
        Command(("sync", part)),
        Command(("mv", "-T", part, path), given=(part, *given)),
        Command(("sync", str(PurePosixPath(path).parent))),
    )


def rename(source: str, target: str) -> Command:
    """Precondition and effect of a rename that can overwrite nothing."""
    return Command(("mv", "-T", source, target), given=(source, f"!{target}"))
