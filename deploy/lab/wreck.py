"""Ways to break a lab on purpose; each says what it did to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docker.errors import APIError, NotFound

from deploy.lab import engine
from deploy.lab.errors import LabError
from deploy.lab.supervised import supervised

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from docker.models.containers import Container

    from deploy.lab.spec import Lab, Node

REBOOT_S = 20
FILL = "/var/lib/etcd/.lab-fill"
CUT = """
table inet lab_cut {
    chain input { type filter hook input priority -300; policy drop; iif "lo" accept; }
    chain output { type filter hook output priority -300; policy drop; oif "lo" accept; }
}
"""
# A static pod's data directory may be the bounded filesystem itself: only what is in it can go.
WIPE = 'if mountpoint -q "$1"; then find "$1" -mindepth 1 -delete; else rm -rf "$1"; fi'
# Sixteen places spread over the file, past the two meta pages; each byte becomes its complement.
FLIP = """
open(my $db, "+<", $ARGV[0]) or die "cannot open the db: $!"; binmode $db;
my $size = -s $db;
for my $n (1 .. 16) {
    my $at = 8192 + int(($size - 8192 - 64) * $n / 17);
    seek($db, $at, 0); read($db, my $bytes, 64);
    seek($db, $at, 0); print $db (~$bytes);
}
close $db or die "cannot write the db: $!";
"""


def wreck(lab: Lab, kind: str, node: str | None = None) -> str:
    """Break it, and say what was done."""
    if kind not in KINDS:
        raise LabError(f"no way to {kind}; there is {', '.join(KINDS)}")
    return KINDS[kind](lab, lab.node(node) if node else lab.nodes[0])


def node_exec(lab: Lab, node: Node | str, argv: Sequence[str]) -> tuple[int, str]:
    """Run it inside the node, beside SSH and past every cut."""
    ran = container(lab, node).exec_run(list(argv))
    return int(ran.exit_code or 0), ran.output.decode(errors="replace")


def container(lab: Lab, node: Node | str) -> Container:
    """The node's own, running or not."""
    wanted = lab.node(node) if isinstance(node, str) else node
    if not (client := engine.answering()):
        raise LabError("no Docker engine answers, so the lab's nodes are down: `make lab-up` starts it again")
    try:
        return client.containers.get(wanted.container)
    except NotFound as error:
        raise LabError(f"{wanted.name} has no container any more; `make lab-up LAB={lab.name}`") from error


def do(lab: Lab, node: Node, *argv: str) -> str:
    """Run it there; a failure is an error."""
    try:
        code, output = node_exec(lab, node, argv)
    except APIError as error:
        raise LabError(f"{node.name} does not run: {error.explanation}; `start-node` it first") from error
    if code:
        raise LabError(f"{node.name}: `{' '.join(argv)[:80]}` ended with {code}: {output.strip()[-300:]}")
    return output


def kill(lab: Lab, node: Node) -> str:
    """SIGKILL; what comes then is up to whoever keeps it running."""
    do(lab, node, *supervised(lab.spec).kill)
    return f"{node.name}: etcd got SIGKILL; {supervised(lab.spec).comes_back}"


def stop(lab: Lab, node: Node) -> str:
    """SIGKILL and no coming back: a plain stop of all members costs seconds of leader transfer."""
    do(lab, node, *supervised(lab.spec).stop)
    return f"{node.name}: etcd is stopped"


def start(lab: Lab, node: Node) -> str:
    do(lab, node, *supervised(lab.spec).start)
    return f"{node.name}: etcd was told to start"


def wipe(lab: Lab, node: Node) -> str:
    """The data directory itself, not only what is in it."""
    stop(lab, node)
    data_dir = supervised(lab.spec).data_dir
    do(lab, node, "sh", "-c", WIPE, "sh", data_dir)
    return f"{node.name}: etcd is stopped and {data_dir} is gone"


def quorum_loss(lab: Lab, node: Node) -> str:
    """A majority from this node on; those left have nobody to elect."""
    majority = from_here(lab, node)[: len(lab.nodes) // 2 + 1]
    return "\n".join(wipe(lab, lost) for lost in majority)


def from_here(lab: Lab, node: Node) -> tuple[Node, ...]:
    at = lab.nodes.index(node)
    return lab.nodes[at:] + lab.nodes[:at]


def stop_node(lab: Lab, node: Node) -> str:
    """As when the power goes."""
    container(lab, node).kill()
    return f"{node.name}: the machine is off"


def start_node(lab: Lab, node: Node) -> str:
    container(lab, node).start()
    return f"{node.name}: the machine is on"


def reboot(lab: Lab, node: Node) -> str:
    container(lab, node).restart(timeout=REBOOT_S)
    return f"{node.name}: rebooted; address, host key and files are the same"


def cut(lab: Lab, node: Node) -> str:
    """No packet in or out, from anywhere."""
    do(lab, node, "sh", "-c", f"nft delete table inet lab_cut 2>/dev/null; echo '{CUT}' | nft -f -")
    return f"{node.name}: cut off from everybody; `heal` undoes it"


def heal(lab: Lab, node: Node) -> str:
    do(lab, node, "nft", "delete", "table", "inet", "lab_cut")
    return f"{node.name}: back on the network"


def fill_disk(lab: Lab, node: Node) -> str:
    """Only where the lab bounded the filesystem: else this would fill the host's disk."""
    if lab.spec.data_tmpfs_mib is None:
        raise LabError(f"the data of {lab.name} is on this machine's own disk: bring it up with --data-tmpfs-mib 512")
    do(lab, node, "sh", "-c", f"fallocate -l $(df --output=avail -B1 /var/lib/etcd | tail -1) {FILL}")
    return f"{node.name}: the data filesystem is full; `free-disk` undoes it"


def free_disk(lab: Lab, node: Node) -> str:
    do(lab, node, "rm", "-f", FILL)
    return f"{node.name}: the data filesystem has room again"


def corrupt(lab: Lab, node: Node) -> str:
    """Flipped while it is down, and started again to see what it says."""
    stop(lab, node)
    do(lab, node, "perl", "-e", FLIP, f"{supervised(lab.spec).data_dir}/member/snap/db")
    start(lab, node)
    return f"{node.name}: 1024 bytes of its db are flipped, and etcd was told to start on it"


def impostor(lab: Lab, node: Node) -> str:
    """All but this node come back as an empty cluster with the same ids."""
    if len(lab.nodes) == 1:
        raise LabError("an impostor needs at least three members")
    stop(lab, node)
    others = [other for other in lab.nodes if other != node]
    for other in others:
        wipe(lab, other)
    for other in others:
        start(lab, other)
    return f"{', '.join(other.name for other in others)}: an empty cluster with the same ids; {node.name} is stopped"


KINDS: dict[str, Callable[[Lab, Node], str]] = {
    "kill": kill,
    "stop": stop,
    "start": start,
    "wipe": wipe,
    "quorum-loss": quorum_loss,
    "stop-node": stop_node,
    "start-node": start_node,
    "reboot": reboot,
    "cut": cut,
    "heal": heal,
    "fill-disk": fill_disk,
    "free-disk": free_disk,
    "corrupt": corrupt,
    "impostor": impostor,
}
