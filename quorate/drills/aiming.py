"""On whom a fault is laid, and what is done there; whether it may begin at all by what was seen."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from quorate.backups.bundle import PKI, named_in
from quorate.command import node_of
from quorate.drill import DrillRequest, FaultTask, Situation
from quorate.drills.fault import DRILL, MARGIN_S, Cut, Hidden, Laid, Stopped, Wiped
from quorate.drills.scenario import Fault, Stage, Steady
from quorate.errors import Refusal
from quorate.measure import Check, failed
from quorate.members.etcd import quorum
from quorate.nodes.clients import NFT
from quorate.nodes.node import Claim
from quorate.settings.machines import Member
from quorate.settings.stores import Store

API, ETCD, KEYS = "kube-apiserver", "etcd", f"{PKI[0]}/"
NOBODY = "http://127.0.0.1:9"  # discard: nobody answers there


def aim(fault: Fault, situation: Situation) -> tuple[str, ...]:
    """The members that it is laid on; Refusal where there is none such."""
    leader, names = situation.leader, tuple(each.name for each in situation.members)
    others = tuple(each.name for each in situation.members if not each.leads and not each.why)
    found: tuple[str, ...]
    match fault.at:
        case "leader":
            found = (leader,) if leader else ()
        case "follower":
            found = others[:1]
        case "majority":
            found = (*((leader,) if leader else ()), *others)[: quorum(len(names))]
        case name:
            found = (name,)
    if found and fault.kind == "lose-api":
        found = (*found, *(name for name in names if name not in found))
    if not found:
        raise Refusal(f"there is no {fault.at} to lay the fault on; nothing was broken")
    return found


def laid(request: DrillRequest, number: int, stage: Stage, name: str, situation: Situation) -> FaultTask:
    """What is done on that member's node; Refusal where the node has nothing to do it with."""
    assert stage.fault
    settings, limits = request.settings, request.scenario.limits
    member = next(each for each in settings.members if each.name == name)
    node = node_of(request.cluster, settings, member)
    timer = f"quorate-{request.operation}-{number}"
    lasts_s = limits.duration if stage.run else stage.hold
    claim = Claim(node.lock_dir, request.cluster, "").file
    gone = Stopped(situation.processes[name], timer, lasts_s + limits.recover + MARGIN_S, claim, "kill")
    what: Laid
    match stage.fault.kind:
        case "stop" | "kill" as how:
            what = replace(gone, how=how)
        case "wipe":
            live = settings.etcd.data_dir
            what = Wiped(gone, f"{live}/member" if name in situation.mounted else live, request.operation)
        case "cut":
            if name not in situation.firewalls:
                raise Refusal(f"{name} has no {NFT}, by which it would be cut from its peers; nothing was broken")
            what = Cut(peer_ports(settings.members), timer, gone.after_s)
        case "lose-api":
            what = without_api(gone, name, aim(stage.fault, situation)[0], situation, request.operation)
    return FaultTask(request, "lay", 0, replace(node, cluster=DRILL), what, number)


def without_api(gone: Stopped, name: str, victim: str, situation: Situation, operation: str) -> Stopped | Hidden:
    """Refusal where the bundle has nothing that could be laid again, or nobody knows the API server."""
    exposed = situation.exposed
    if exposed is None or name not in exposed.processes:
        raise Refusal(f"nobody knows what runs the API server of {name}; nothing was broken")
    stopped = replace(gone, process=exposed.processes[name])
    if name != victim:
        return stopped
    if not (files := exposed.files.get(name, ())):
        raise Refusal(
            f"the bundle of {exposed.snapshot} holds no file of {name} that its API server needs and etcd does not; "
            "nothing was broken",
            next=f"quorate snapshots show {exposed.snapshot}",
        )
    return Hidden(stopped, files, operation)


def needed(held: Iterable[str], flags: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """Of the files that a bundle holds: what the API server is told, and keys beside that, but nothing of etcd's.

    etcd reads its certificates anew for every connection, so one of its own that is gone stops it from serving.
    """
    told, etcds = (set(named_in({program: flags.get(program, {})})) for program in (API, ETCD))
    return tuple(sorted(each for each in held if each not in etcds and (each in told or each.startswith(KEYS))))


def peer_ports(members: Iterable[Member]) -> tuple[int, ...]:
    ports = {urlsplit(url).port for member in members for url in member.peer_urls}
    return tuple(sorted(port for port in ports if port))


def unsteady(before: Iterable[Check]) -> str:
    """Why nothing is begun, or nothing."""
    return "; ".join(f"{each.id}: {each.observed}, expected {each.expected}" for each in failed(before))


def steady_of(request: DrillRequest) -> tuple[Steady, ...]:
    """Of what the scenario asks, what this cluster can have."""
    bare = not request.settings.control_plane
    return tuple(each for each in request.scenario.steady if not (bare and each == "every-apiserver"))


def held_by(situation: Situation) -> str:
    """Who has the nodes, or nothing; a node that nobody can log in to could not be mended."""
    held = [f"{name} belongs to operation {operation}" for name, operation in situation.holders.items()]
    return "; ".join((*held, *(f"{name} cannot be logged in to: {why}" for name, why in situation.silent.items())))


def away(store: Store) -> Store:
    """The same at an address where nobody answers, for this one operation; nothing else loses its store."""
    assert store.s3, "looked at before it was begun"
    return Store(s3=store.s3.model_copy(update={"endpoint": NOBODY}))
