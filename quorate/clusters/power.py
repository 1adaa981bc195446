"""Nodes that a person says are switched off: believed only where nothing that can be seen speaks against it.

A majority that cannot be looked at may be serving on the other side of a partition. That it is off nobody can see
from here; that it is not, the remaining nodes may.
"""

from collections.abc import Iterator

from quorate.clusters.cluster import ClusterSeen
from quorate.clusters.reach import tried
from quorate.inventory import Cluster


def vouched(said: tuple[str, ...]) -> dict[str, str]:
    """`NODE=EVIDENCE` by node."""
    parts = (each.partition("=") for each in said)
    return {name: evidence.strip() for name, _, evidence in parts}


def doubts(cluster: Cluster, seen: ClusterSeen) -> tuple[str, ...]:
    """Why a majority that does not answer may still be on, or a node that is said to be off is not."""
    majority = len(seen.unreachable) >= seen.quorum
    return (*contradicted(seen), *(unproved(cluster, seen) if majority else ()))


def contradicted(seen: ClusterSeen) -> Iterator[str]:
    for name in sorted(seen.off):
        if name in seen.reachable:
            yield f"{name} is said to be off, but it answers over SSH"
        elif name in seen.answering:
            yield f"{name} is said to be off, but its etcd answers"


def unproved(cluster: Cluster, seen: ClusterSeen) -> Iterator[str]:
    for member in cluster.members:
        if member.name not in seen.unreachable:
            continue
        if member.name not in seen.off:
            yield f"nobody has said that {member.name} is off (`--powered-off {member.name}=EVIDENCE`)"
            continue
        found = tried(seen, member)
        for other in sorted(seen.reachable):
            if not found.get(other) or "untried" in found[other].values():
                yield f"{other} could not try whether the ports of {member.name} are closed"
            elif live := [at for at, how in found[other].items() if how == "open"]:
                yield f"{other} reaches {', '.join(live)}, so {member.name} is not off"
