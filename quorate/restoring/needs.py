"""Whether a node has the room that a restore takes, wherever it takes it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from quorate.clusters.cluster import ClusterSeen
from quorate.inventory import Cluster
from quorate.nodes.image import PROGRAM_BYTES, held, tool_of
from quorate.nodes.room import RESERVE_BYTES, WAL_BYTES, mib, staging_bytes
from quorate.nodes.seen import NodeSeen
from quorate.restoring.rehearsal import rehearsal
from quorate.restoring.source import Holdings, Origin


@dataclass(frozen=True, slots=True)
class Extra:
    """What one node needs beyond what all do: on top of it, or where nothing else is needed."""

    path: str
    size_bytes: int
    what: str
    on_top: bool = True

    def told(self, name: str) -> str:
        where = f"more on {name}" if self.on_top else f"at {self.path} on {name}"
        return f", and {mib(self.size_bytes)} {where}, for {self.what}"


def no_space(cluster: Cluster, seen: ClusterSeen, origin: Origin) -> str:
    """Beside the live data, and where tools are given; and what would make room, for a person to judge."""
    everywhere, short, more = needs(cluster, origin.size_bytes), list[str](), list[str]()
    for name, node in sorted(seen.reachable.items()):
        extras = tuple(extras_on(name, node, cluster, seen, origin))
        lacking = lacks(node, wanted(everywhere, extras))
        short += [f"{name} has {said}" for said in lacking.values()]
        more += [each.told(name) for each in extras if each.path in lacking]
    listed = ", ".join(f"{mib(size_bytes)} at {path}" for path, size_bytes in everywhere.items())
    return f"{'; '.join(short)}; needed are {listed}{''.join(more)}" if short else ""


def needs(cluster: Cluster, size_bytes: int) -> dict[str, int]:
    """By directory: more than enough where the log lies apart but on the same disk."""
    log = {cluster.etcd.wal_dir: WAL_BYTES + RESERVE_BYTES} if cluster.etcd.wal_dir else {}
    return {cluster.etcd.data_dir: staging_bytes(size_bytes), **log}


def extras_on(name: str, node: NodeSeen, cluster: Cluster, seen: ClusterSeen, origin: Origin) -> Iterator[Extra]:
    trial = rehearsal(cluster, seen, origin)
    tries = trial is not None and trial.member == name
    if tries:
        yield Extra(cluster.etcd.data_dir, origin.size_bytes, "the copy that is logged in to")
    runs_a_copy = tries or (isinstance(origin, Holdings) and origin.member == name and replayed(origin, seen))
    yield from tools(cluster, node, runs_a_copy=runs_a_copy)


def replayed(origin: Holdings, seen: ClusterSeen) -> bool:
    """Not where the member answers: then it streams what it holds."""
    return bool(origin.operation) or origin.member not in seen.answering


def tools(cluster: Cluster, node: NodeSeen, *, runs_a_copy: bool = False) -> Iterator[Extra]:
    """What a node is given for as long as a restore takes lies where its claim does: maybe where data or log do."""
    found, home = tool_of(cluster.etcd, node), cluster.lock_dir
    copied = bool(found.image) + (runs_a_copy and bool(held(cluster.etcd, node)))
    size_bytes = copied * PROGRAM_BYTES + (found.stored.size_bytes if found.stored else 0)
    if not size_bytes or home not in node.spaces:
        return
    what = "the tools that it is given"
    device = node.devices.get(home, home)
    if beside := next((path for path in cluster.etcd.directories if node.devices.get(path) == device), ""):
        yield Extra(beside, size_bytes, what)
    else:
        yield Extra(home, size_bytes + RESERVE_BYTES, what, on_top=False)


def wanted(everywhere: dict[str, int], extras: Iterable[Extra]) -> dict[str, int]:
    """By directory, on one node."""
    whole = dict(everywhere)
    for each in extras:
        whole[each.path] = whole.get(each.path, 0) + each.size_bytes
    return whole


def lacks(node: NodeSeen, whole: dict[str, int]) -> dict[str, str]:
    """By directory: how little is free there, and what earlier operations have kept."""
    return {
        path: f"{mib(free)} free at {path}{would_fit(node, path, size_bytes)}"
        for path, size_bytes in whole.items()
        if (free := node.spaces.get(path, 0)) < size_bytes
    }


def would_fit(node: NodeSeen, path: str, needed_bytes: int) -> str:
    """What earlier operations have kept there; nobody but a person removes it."""
    real = node.directories[path].real if path in node.directories else path
    kept = {each: size_bytes for each, size_bytes in node.kept.items() if each.startswith((f"{real}.", f"{real}/"))}
    if not kept:
        return ""
    listed = ", ".join(f"{each} ({mib(size_bytes)})" for each, size_bytes in sorted(kept.items()))
    with_it = node.spaces.get(path, 0) + sum(kept.values())
    fits = "it would fit" if with_it >= needed_bytes else f"only {mib(with_it)} would be free"
    return f", where earlier operations have kept {listed}: without all of that {fits}"
