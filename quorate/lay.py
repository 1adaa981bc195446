"""Lay what a node has lost: files that are missing come out of a backup's bundle, its control plane starts."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from quorate.backups.bundle import needed
from quorate.backups.catalogue import LATEST, Manifest, find
from quorate.chosen import BundleRef, Step
from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.command import Node, node_of
from quorate.errors import BadInput, Refusal
from quorate.freeze import fence_plan, unclaimed
from quorate.inventory import Cluster
from quorate.nodes.lacking import above, target
from quorate.nodes.seen import Look, NodeSeen
from quorate.nodes.static_pod import FROZEN
from quorate.operation import RestoreRequest
from quorate.plan import Plan
from quorate.restore import reference
from quorate.restoring.shares import share
from quorate.settings.machines import Member

STEPS = (
    Step("claim", "Claim the node", "nodes.claim", undo="nodes.release", patience_s=30),
    Step("lay", "Lay what is missing", "nodes.lay", undo="nodes.unlay", patience_s=180, expected_s=2),
    Step(
        "start-api",
        "Start its control plane",
        "nodes.start",
        roles="control-plane",
        commits=True,
        patience_s=120,
        expected_s=8,
    ),
    Step("ready", "Wait until its API server is ready", "kubernetes.ready", "cluster", patience_s=120, expected_s=5),
    Step("settle", "Take the second names away", "nodes.settle", commits=True, patience_s=30),
    Step("release", "Release the node", "nodes.release", patience_s=30),
)
ABOUT_API = ("start-api", "ready")


def member_of(request: RestoreRequest) -> Member:
    """BadInput names those that there are."""
    known = {member.name: member for member in request.settings.members}
    if request.member not in known:
        raise BadInput(f"{request.cluster} has no node {request.member!r}; it has {', '.join(known)}")
    return known[request.member]


def node_for(request: RestoreRequest) -> Node:
    return node_of(request.cluster, request.settings, member_of(request))


def origin(request: RestoreRequest, seen: ClusterSeen) -> Manifest:
    """The newest backup that counts and whose bundle has the node, or the one that was asked for; else a Refusal."""
    taking = f"quorate backup {request.cluster}"
    if seen.store:
        raise Refusal(f"the store cannot be read: {seen.store}; nothing was changed", next="quorate doctor")
    holding = tuple(each for each in seen.manifests if request.member in nodes_of(each))
    if request.snapshot not in {"", LATEST}:
        found = find(seen.manifests, request.snapshot, request.cluster, seen.related(), seen.discounted)
        if why := seen.doubted.get(found.id, seen.quarantined.get(found.id, "")):
            raise Refusal(f"{found.id}: {why}; nothing was changed", next=f"quorate snapshots ls {request.cluster}")
        if found not in holding:
            raise Refusal(
                f"the bundle of {found.id} has nothing of {request.member}; nothing was changed", next=taking
            )
        return found
    try:
        return find(holding, LATEST, request.cluster, seen.related(), seen.discounted)
    except BadInput as error:
        said = f"no backup that counts has a bundle with files of {request.member}; nothing was changed"
        raise Refusal(said, next=taking) from error


def nodes_of(manifest: Manifest) -> frozenset[str]:
    return frozenset(node for nodes in bundled(manifest).values() for node in nodes)


def bundled(manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """The nodes that have it, by path; nothing without a bundle."""
    return dict(manifest.bundle.files) if manifest.bundle else {}


def held_of(manifest: Manifest, node: str) -> tuple[str, ...]:
    """What a backup would have taken: of a name that it never takes nobody asks how it came there."""
    return tuple(sorted(path for path, nodes in bundled(manifest).items() if node in nodes and needed(path)))


def look_of(request: RestoreRequest, manifest: Manifest) -> Look:
    """For each of the node's files under the name that it would be laid at, and for the folders above it."""
    held = held_of(manifest, request.member)
    return Look(paths=(*held, *(target(path, pods(request.settings)) for path in held), *above(held)))


def pods(settings: Cluster) -> tuple[str, ...]:
    """Manifests of static pods, etcd's own too."""
    named = (settings.etcd.manifest, *(each.manifest for each in settings.control_plane))
    return tuple(each for each in named if each)


def plan(request: RestoreRequest, seen: ClusterSeen, manifest: Manifest, there: NodeSeen) -> Plan:
    """What is laid, and what starts then; Busy or Refusal where nothing can be, or nothing is missing."""
    unclaimed(request.cluster, seen)
    member, node = member_of(request), seen.nodes.get(request.member)
    if not isinstance(node, NodeSeen):
        why = node.reason if isinstance(node, Silence) else "nobody looked"
        raise Refusal(f"{member.name} cannot be looked at: {why}; nothing was changed")
    own = share(request, member, seen)
    if own.etcd.before == FROZEN:  # of a static pod that a drill has stopped a parked manifest alone says nothing
        said = f"{member.name} is frozen, and its control plane would have to start; nothing was changed"
        raise Refusal(said, next=f"quorate thaw {request.cluster}")
    lays, makes = missing(request, manifest, there)
    if not lays:
        raise Refusal(
            f"nothing is missing on {member.name} of what {manifest.id} holds of it; nothing was changed",
            next=f"quorate inspect {request.cluster}",
        )
    assert manifest.bundle
    steps = tuple(step for step in STEPS if request.settings.control_plane or step.key not in ABOUT_API)
    whole = fence_plan(request, seen, "lay", steps, (replace(own, lays=lays, makes=makes),))
    bundle = manifest.bundle
    kubernetes = request.settings.kubernetes
    chosen = replace(
        whole.chosen,
        snapshot=reference(manifest, request.settings.backup.identities),
        bundle=BundleRef(bundle.key, bundle.sha256, bundle.stored_sha256),
        kubeconfig=kubernetes.kubeconfig if kubernetes else "",
        api_urls=tuple(own_urls(kubernetes.api_urls, member)) if kubernetes else (),
    )
    return replace(whole, chosen=chosen, losses=("nothing: what is there is neither written over nor removed",))


def missing(
    request: RestoreRequest, manifest: Manifest, there: NodeSeen
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Where each goes and what of the bundle it is, and the folders for them; one that is fenced is there."""
    manifests = pods(request.settings)
    pairs = [(target(path, manifests), path) for path in held_of(manifest, request.member)]
    lays = tuple((at, of) for at, of in pairs if at not in there.paths and of not in there.paths)
    return lays, tuple(each for each in above(at for at, _ in lays) if each not in there.paths)


def own_urls(urls: Iterable[str], member: Member) -> Iterator[str]:
    """Of the API server on that node; where none is known as that, all: one name may stand for whichever answers."""
    own = [url for url in urls if urlsplit(url).hostname in {member.host, member.name}]
    yield from own or urls
