"""What stands around a cluster and would make a restore of it useless, or harm somebody: reasons for gates.

Each says what was found, or nothing. All of them can be overridden: they go by what nodes say about files and
connections, and a person may know better.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from quorate.clusters.causes import leaves
from quorate.clusters.cluster import ClusterSeen
from quorate.inventory import Cluster
from quorate.nodes.certificates import Certificate, plain
from quorate.nodes.seen import NodeSeen, UnitSeen
from quorate.nodes.signs import Signs
from quorate.settings.machines import Member

LEFT_DAYS_MIN = 7.0
SKEW_S_MAX = 30.0
QUOTA_PART_MAX = 0.8
QUOTA_BYTES = 2 * 1024**3  # what etcd takes without the flag
ENCRYPTION = "encryption-provider-config"


def certificate(cluster: Cluster, seen: ClusterSeen) -> str:
    """One that has expired is a cause by itself."""
    found = [
        f"{member.name}: {said}"
        for member in cluster.members
        if isinstance(node := seen.nodes.get(member.name), NodeSeen)
        for said in unfit(cluster, member, node, seen)
    ]
    return "; ".join(found)


def unfit(cluster: Cluster, member: Member, node: NodeSeen, seen: ClusterSeen) -> Iterator[str]:
    flags = node.units.get(cluster.etcd.process, UnitSeen(cluster.etcd.process)).flags
    for path, found in leaves(seen, member.name):
        if not found.expired(node.now) and (left := found.days_left(node.now)) < LEFT_DAYS_MIN:
            yield f"{path} expires in {left:.1f} days"
        if bare := sorted(host for host in hosts(member, path, flags) if not found.covers(host)):
            yield f"{path} is not made out to {', '.join(bare)}: its names are {names(found)}"


def hosts(member: Member, path: str, flags: Mapping[str, str]) -> set[str]:
    """Whom the others, or the clients, take this file for."""
    shown = {flags.get("cert-file"), flags.get("client-transport-security.cert-file")}
    to_peers = {flags.get("peer-cert-file"), flags.get("peer-transport-security.cert-file")}
    urls = (*(member.client_urls if path in shown else ()), *(member.peer_urls if path in to_peers else ()))
    return {urlsplit(url).hostname or "" for url in urls if url.startswith("https:")}


def names(found: Certificate) -> str:
    return ", ".join(found.names) or "none"


def clock_skew(_: Cluster, seen: ClusterSeen) -> str:
    times = {name: node.now for name, node in sorted(seen.reachable.items()) if node.now}
    if not times or (skew_s := max(times.values()) - min(times.values())) <= SKEW_S_MAX:
        return ""
    first = min(times.values())
    listed = ", ".join(f"{name} +{now - first:.0f} s" for name, now in times.items())
    return f"the nodes' clocks differ by {skew_s:.0f} s: {listed}"


def quota(cluster: Cluster, seen: ClusterSeen, size_bytes: int) -> str:
    """What is restored is as large as the snapshot: writes would be refused soon, or at once."""
    tight = [
        f"{round(100 * size_bytes / limit)} % of {limit // 2**20} MiB on {name}"
        for name, node in sorted(seen.reachable.items())
        if (limit := quota_of(cluster, seen, name, node)) and size_bytes > QUOTA_PART_MAX * limit
    ]
    return (
        f"{size_bytes // 2**20} MiB, as much as is restored, fill the quota of etcd to {', '.join(tight)}"
        if tight
        else ""
    )


def quota_of(cluster: Cluster, seen: ClusterSeen, name: str, node: NodeSeen) -> int:
    """As the member says, else as it is told; 0 where there is none or nobody knows."""
    if (etcd := seen.answering.get(name)) and etcd.quota_bytes:
        return etcd.quota_bytes
    unit = node.units.get(cluster.etcd.process)
    if unit is None or not unit.flags:
        return 0
    said = unit.flags.get("quota-backend-bytes", "0")
    return (int(said) or QUOTA_BYTES) if said.isdigit() else 0


def learner(_: Cluster, seen: ClusterSeen) -> str:
    rows = {row.name or row.id for etcd in seen.answering.values() for row in etcd.members if row.learner}
    found = sorted(rows | {name for name, etcd in seen.answering.items() if etcd.learner})
    return f"{', '.join(found)} is a learner; every member that is restored becomes a voter" if found else ""


def unknown_clients(cluster: Cluster, seen: ClusterSeen) -> str:
    """Who is connected to a client port and is neither a node, nor in the inventory, nor this machine."""
    known, strangers = known_addresses(cluster, seen), dict[str, list[str]]()
    for name, node in sorted(seen.reachable.items()):
        for address in sorted(node.signs.clients):
            if address not in known and not address.startswith("127."):
                strangers.setdefault(address, []).append(name)
    listed = "; ".join(f"{address} at {', '.join(at)}" for address, at in sorted(strangers.items()))
    return f"clients that the inventory does not know are connected: {listed}" if listed else ""


def known_addresses(cluster: Cluster, seen: ClusterSeen) -> set[str]:
    apis = cluster.kubernetes.api_urls if cluster.kubernetes else ()
    said = {urlsplit(url).hostname or "" for url in apis} | {host for m in cluster.members for host in m.hosts}
    signs = [node.signs for node in seen.reachable.values()]
    inside = {address for each in signs for address in each.addresses}
    return {plain(each) for each in said} | {each.us for each in signs} | inside | seen.us


def second_etcd(_: Cluster, seen: ClusterSeen) -> str:
    """What lies there is not in the snapshot: it stays as it is, beside a cluster that went back."""
    by_node = {name: node.signs.overrides for name, node in sorted(seen.reachable.items()) if node.signs.overrides}
    said = sorted(set(by_node.values()))
    return f"API servers keep some objects in another etcd: {'; '.join(said)} ({', '.join(by_node)})" if said else ""


def encryption_key_missing(_: Cluster, seen: ClusterSeen) -> str:
    return "; ".join(apart(seen, (ENCRYPTION,)))


def pki_differs(_: Cluster, seen: ClusterSeen) -> str:
    return "; ".join(apart(seen, ("service-account-key-file", "service-account-signing-key-file")))


def apart(seen: ClusterSeen, flags: tuple[str, ...]) -> Iterator[str]:
    """Files of these flags that are not there, or not the same on every node with an API server."""
    serving = {name: node.signs for name, node in sorted(seen.reachable.items()) if node.signs.keys}
    for flag in flags:
        for name, signs in serving.items():
            yield from (f"{name} has no {path}, which --{flag} names" for path in lost(signs, flag))
        whole = {name: held(signs, flag) for name, signs in serving.items() if not lost(signs, flag)}
        if len(set(whole.values())) > 1:
            yield f"--{flag} is not the same on every node: {alike(whole)}"


def lost(signs: Signs, flag: str) -> tuple[str, ...]:
    return tuple(key.path for key in signs.keys if key.flag == flag and not key.sha256)


def held(signs: Signs, flag: str) -> frozenset[str]:
    return frozenset(key.sha256 for key in signs.keys if key.flag == flag)


def alike(whole: Mapping[str, frozenset[str]]) -> str:
    """Nodes that have the same stand together: `a, c sha256 3fa2…; b not set`."""
    groups: dict[frozenset[str], list[str]] = {}
    for name, hashes in whole.items():
        groups.setdefault(hashes, []).append(name)
    told = {hashes: " and ".join(f"sha256 {each[:12]}…" for each in sorted(hashes)) for hashes in groups}
    return "; ".join(f"{', '.join(names)} {told[hashes] or 'not set'}" for hashes, names in groups.items())
