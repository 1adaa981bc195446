"""What each node is to do in a restore, from what was seen of it."""

from dataclasses import replace
from urllib.parse import urlsplit

from quorate.chosen import Share
from quorate.clusters.cluster import ClusterSeen
from quorate.command import node_of
from quorate.inventory import Cluster
from quorate.members.etcd import target
from quorate.nodes.clients import NFT, Clients
from quorate.nodes.image import ETCD, Tool, image_of, tool_of
from quorate.nodes.programs import KUBELET
from quorate.nodes.scratch import Scratch
from quorate.nodes.seen import NodeSeen, UnitSeen
from quorate.nodes.servers import named
from quorate.nodes.static_pod import FROZEN, StaticPod
from quorate.nodes.supervisor import Supervised, Systemd
from quorate.nodes.swapped import Looks
from quorate.operation import RestoreRequest
from quorate.restoring.source import FromMember
from quorate.settings.machines import Component, EtcdSettings, Member


def share(
    request: RestoreRequest,
    member: Member,
    whole: ClusterSeen,
    source: FromMember | None = None,
    gone: tuple[Member, ...] = (),
) -> Share:
    """A node's part, with the owner and mode that its data directory has, or its unit implies."""
    settings, node = request.settings, whole.nodes.get(member.name)
    seen = node if isinstance(node, NodeSeen) else NodeSeen()
    quorum = whole.has_quorum
    unit = seen.units.get(settings.etcd.process, UnitSeen(settings.etcd.process))
    where = seen.lies(settings.etcd.data_dir)
    looks = worn(seen, f"{where.real}/member" if where.mounted else where.real, where.real) or Looks(unit.owner)
    tool = tool_of(settings.etcd, seen)
    needed = copied(tool, source.scratch if source and source.member == member.name else None)
    wal = seen.lies(settings.etcd.wal_dir).real if settings.etcd.wal_dir else ""
    wal_looks = (worn(seen, wal) or replace(looks, mode="700")) if wal else Looks("", "")
    return Share(
        node=node_of(request.cluster, settings, member),
        machine=seen.machine,
        member=member.name,
        peer_urls=member.peer_urls,
        target=target(settings, member),
        etcd=supervised("etcd", settings.etcd, ports(member.client_urls + member.peer_urls), seen, quorum=quorum),
        control=tuple(component(settings, each, seen, quorum=quorum) for each in settings.control_plane),
        clients=clients(settings, ports(member.client_urls), firewall=NFT in seen.paths),
        data_dir=where.real,
        owner=looks.owner,
        mode=looks.mode,
        tool=settings.etcd.restore_tool,
        mounted=where.mounted,
        wal_dir=wal,
        wal_owner=wal_looks.owner,
        wal_mode=wal_looks.mode,
        inherits=seen.holder,
        image=image_of(settings.etcd, seen) if needed else "",
        programs=needed,
        pushed=tool.stored,
        unlists=named(settings, seen, gone),
    )


def copied(tool: Tool, scratch: Scratch | None) -> tuple[str, ...]:
    """What a node needs of etcd's image: the tool, and on the node of a member that is replayed its etcd."""
    return (*((tool.program,) if tool.image else ()), *((ETCD,) if scratch and scratch.binary == ETCD else ()))


def worn(seen: NodeSeen, live: str, root: str = "") -> Looks | None:
    """Owner and mode of what is swapped; where it is gone, the owner of what it would be in."""
    if there := seen.paths.get(live):
        return Looks(there.owner, there.mode)
    return Looks(around.owner) if (around := seen.paths.get(root)) else None


def component(settings: Cluster, each: Component, seen: NodeSeen, *, quorum: bool) -> Supervised:
    api_urls = settings.kubernetes.api_urls if settings.kubernetes else ()
    known = {"kube-controller-manager": (10257,), "kube-scheduler": (10259,)}
    return supervised(each.role, each, known.get(each.role) or ports(api_urls), seen, quorum=quorum)


def supervised(
    role: str, each: EtcdSettings | Component, listens: tuple[int, ...], seen: NodeSeen, *, quorum: bool
) -> Supervised:
    """Without quorum nothing becomes ready: what runs is brought back as far as that it tries to start."""
    before = seen.units.get(each.process, UnitSeen(each.process)).state
    if before == "active" and not quorum:
        before = "activating"
    kind = StaticPod if each.manifest else Systemd
    made = kind(role, each.process, listens, each.grace_s, before)
    return replace(made, before=FROZEN) if made.frozen(seen) else made


def clients(settings: Cluster, listens: tuple[int, ...], *, firewall: bool) -> Clients:
    """A static pod has no unit of its own: after a reboot the rule comes with the kubelet's."""
    return Clients(unit_of(settings), listens, firewall, loaded_by_unit=not settings.etcd.manifest)


def unit_of(settings: Cluster) -> str:
    """What starts etcd on a node."""
    return KUBELET if settings.etcd.manifest else settings.etcd.process


def ports(urls: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(port for url in urls if (port := urlsplit(url).port)))
