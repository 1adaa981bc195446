"""Where authentication is enabled: the credential as of the snapshot, tried before anything is stopped.

A restore brings users and passwords back as they were. Nobody could verify the restored cluster who cannot log in to
it, so etcd runs on a copy of what is staged (`quorate.nodes.scratch`), and whoever will verify logs in there first.
"""

from collections.abc import Iterator
from contextlib import suppress

from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.errors import BadInput, LoginRefused
from quorate.inventory import Cluster
from quorate.nodes.scratch import scratch_of
from quorate.restoring.source import STAGED, FromMember, Holdings, Origin


def has_to_log_in(settings: Cluster, origin: Origin) -> bool:
    """To what is staged; to a member's own data whoever takes it has logged in already."""
    return not isinstance(origin, Holdings) and bool(settings.etcd.auth or origin.auth)


def rehearsal(settings: Cluster, seen: ClusterSeen, origin: Origin) -> FromMember | None:
    """On the first node that has a program of etcd."""
    if not has_to_log_in(settings, origin):
        return None
    for member in settings.members:
        if member.name in seen.reachable and member.name not in seen.left_out:
            with suppress(BadInput):
                return FromMember(member.name, STAGED, scratch_of(settings, member, seen.reachable[member.name]))
    return None


def unproved(settings: Cluster, seen: ClusterSeen, origin: Origin) -> Iterator[str]:
    """Why nobody can tell before the restore whether the restored cluster will know us."""
    silent = {name: each for name, each in sorted(seen.etcd.items()) if isinstance(each, Silence)}
    refused = {name: each.reason for name, each in silent.items() if each.kind == LoginRefused.kind}
    if refused:
        reasons = "; ".join(refused.values())
        yield f"{', '.join(refused)} refused us, so whether the cluster serves is not known: {reasons}"
    if not has_to_log_in(settings, origin):
        return
    if not (settings.etcd.auth or settings.etcd.tls):
        yield "clients had to log in when the snapshot was taken, and the inventory has no etcd.auth"
    elif not rehearsal(settings, seen, origin):
        yield "no node has a program of etcd to run on what is staged, so nobody can try to log in to it"
