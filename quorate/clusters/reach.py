"""Whether the nodes of a cluster reach one another: who is to be dialled from where, and what the answers mean."""

from urllib.parse import urlsplit

from quorate.clusters.cluster import ClusterSeen
from quorate.inventory import Cluster
from quorate.settings.machines import Member

ANSWERS = {
    "refused": "is refused",
    "silent": "gets no answer",
    "unreachable": "has no way there",
    "untried": "cannot try",
}


def needs_dials(seen: ClusterSeen) -> bool:
    """A connection that says nothing leaves a line in a member's log: none is made where reads are served."""
    return bool(seen.reachable) and (not seen.has_quorum or len(seen.unreachable) >= seen.quorum)


def ports_of(member: Member) -> tuple[tuple[str, int], ...]:
    """Where the others reach it: peers first."""
    parts = [urlsplit(url) for url in (*member.peer_urls, *member.client_urls)]
    return tuple(dict.fromkeys((each.hostname or "", each.port or 0) for each in parts))


def targets(settings: Cluster, dialler: Member) -> tuple[str, ...]:
    """Every port of everybody else."""
    others = [member for member in settings.members if member.name != dialler.name]
    return tuple(f"{host}:{port}" for member in others for host, port in ports_of(member))


def tried(seen: ClusterSeen, member: Member) -> dict[str, dict[str, str]]:
    """What each other node found at the ports of this member, by `host:port`."""
    mine = {f"{host}:{port}" for host, port in ports_of(member)}
    return {
        name: {target: how for target, how in found.items() if target in mine}
        for name, found in sorted(seen.dials.items())
        if name != member.name
    }
