"""Restore a cluster, from a snapshot or from what one member still holds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from quorate.backups.catalogue import Manifest, find
from quorate.chosen import Chosen, Share, SnapshotRef, Step
from quorate.clusters import outside
from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.clusters.power import vouched
from quorate.errors import BadInput
from quorate.inventory import Cluster
from quorate.members.etcd import bump
from quorate.nodes.absent import Absent, addresses, afterwards
from quorate.nodes.clients import NFT
from quorate.nodes.durable import parent
from quorate.nodes.seen import Look, NodeSeen, UnitSeen
from quorate.nodes.signs import Ask
from quorate.nodes.supervisor import FENCE_DIR
from quorate.operation import RestoreRequest
from quorate.plan import Plan
from quorate.restoring.canary import PASSING_S, foretold, mark, practical
from quorate.restoring.former import formerly_held
from quorate.restoring.former import losses as given_up
from quorate.restoring.gates import closed, old_tools
from quorate.restoring.rehearsal import rehearsal
from quorate.restoring.shares import ports, share, unit_of
from quorate.restoring.source import FromMember, Holdings, Origin, held_by, went
from quorate.restoring.source import losses as left_behind
from quorate.restoring.timing import spoken
from quorate.settings.machines import Member

# Rows that other runbooks have too.
CLAIM = Step("claim", "Claim every node", "nodes.claim", undo="nodes.release", patience_s=30)
BAR = Step("bar", "Bar etcd and the control plane from starting", "nodes.bar", undo="nodes.unbar", patience_s=30)
FENCE_API = Step(
    "fence-api",
    "Stop the control plane and see it gone",
    "nodes.fence",
    roles="control-plane",
    undo="nodes.resume",
    expected_s=3,
)
FENCE = Step("fence", "Stop etcd and see it gone", "nodes.fence", undo="nodes.resume", expected_s=1)
UNBAR = Step("unbar", "Lift the bars", "nodes.unbar", patience_s=30)
RELEASE = Step("release", "Release the nodes", "nodes.release", patience_s=30)

STEPS = (
    CLAIM,
    Step(
        "stage",
        "Restore the snapshot beside the live data",
        "nodes.stage",
        undo="nodes.discard",
        patience_s=1800,
        expected_s=10,
        keeps=True,
    ),
    Step("compare", "Prove that every node staged the same content", "nodes.same", "cluster", patience_s=30),
    Step("list", "List the keys that are there", "members.list", "cluster", patience_s=60),
    BAR,
    FENCE_API,
    FENCE,
    Step("swap", "Swap the data directories", "nodes.swap", undo="nodes.put_back", patience_s=30),
    Step("start", "Start etcd", "nodes.start", undo="nodes.fence", commits=True, patience_s=180, expected_s=3),
    Step("verify", "Verify etcd", "members.verify", "cluster", patience_s=120, expected_s=2),
    Step("admit", "Admit the clients", "nodes.admit", patience_s=30, admits=True),
    Step(
        "start-api",
        "Start the control plane",
        "nodes.start",
        roles="control-plane",
        undo="nodes.fence",
        patience_s=180,
        expected_s=8,
    ),
    Step("verify-api", "Verify Kubernetes", "kubernetes.verify", "cluster", patience_s=180, expected_s=15),
    Step("kubelets", "Restart the kubelets", "nodes.kubelets", patience_s=60, expected_s=2, may_skip=True),
    Step("differ", "Compare with the keys of before", "members.differ", "cluster", patience_s=60, may_skip=True),
    UNBAR,
    RELEASE,
)

# Where a node has no restore tool, but an image that has it, or the store.
EQUIP = Step("equip", "Give the nodes their restore tools", "nodes.equip", undo="nodes.unequip", expected_s=2)
UNEQUIP = Step("unequip", "Take these tools away again", "nodes.unequip", patience_s=30, may_skip=True)

# Where a member's own data is restored: taken once no API server writes any more, before anything of etcd is stopped.
TAKING = (
    Step(
        "replay",
        "Let etcd replay a copy of the member's data",
        "nodes.replay",
        "source",
        undo="nodes.forget",
        patience_s=900,
        expected_s=5,
    ),
    Step(
        "take",
        "Take a snapshot of the member into the store",
        "members.take",
        "cluster",
        patience_s=3600,
        expected_s=10,
    ),
    Step("forget", "Remove the copy", "nodes.forget", "source", patience_s=60),
)
# Where authentication is enabled: before anything is stopped.
REHEARSAL = (
    Step(
        "rehearse",
        "Run etcd on a copy of what is staged",
        "nodes.replay",
        "rehearsal",
        undo="nodes.forget",
        patience_s=900,
        expected_s=3,
    ),
    Step("log-in", "Log in to it as to the restored cluster", "members.log_in", "cluster", patience_s=60),
    Step("strike", "Remove the copy", "nodes.forget", "rehearsal", patience_s=60),
)
FIRST = ("claim", "bar", "fence-api")

# Where a node is gone for good.
SHUT_OUT = Step("shut-out", "Shut out who is gone", "nodes.shut_out", undo="nodes.let_in", patience_s=30)
UNLIST = Step(
    "unlist",
    "Take who is gone out of the API servers' lists",
    "nodes.unlist",
    undo="nodes.list_again",
    patience_s=30,
)
# Where an operation that was aborted has the nodes.
INHERIT = Step("inherit", "Take the nodes over from who was aborted", "nodes.inherit", patience_s=30)


def look_of(cluster: Cluster) -> Look:
    """What a survey looks at on every node."""
    etcd = cluster.etcd
    return Look(
        paths=(etcd.data_dir, f"{etcd.data_dir}/member/snap/db", parent(etcd.data_dir), NFT, *flags(cluster)),
        units=tuple(name for name in processes(cluster) if not name.startswith("/")),
        pods=tuple(name for name in processes(cluster) if name.startswith("/")),
        spaces=(*etcd.directories, cluster.lock_dir),
        tools=(etcd.restore_tool,),
        signs=asked(cluster),
        directories=etcd.directories,
        crons=True,
    )


def log_of(cluster: Cluster, node: NodeSeen) -> str:
    """The directory of a member's write-ahead log; "" where there is no database that it belongs to."""
    if f"{cluster.etcd.data_dir}/member/snap/db" not in node.paths:
        return ""
    unit = node.units.get(cluster.etcd.process, UnitSeen(cluster.etcd.process))
    return unit.flags.get("wal-dir") or f"{cluster.etcd.data_dir}/member/wal"


def asked(cluster: Cluster) -> Ask:
    """Whose signs a survey looks for."""
    api = next((each.process for each in cluster.control_plane if each.role == "kube-apiserver"), "")
    return Ask(cluster.etcd.process, ports(tuple(url for m in cluster.members for url in m.client_urls)), api)


def flags(cluster: Cluster) -> tuple[str, ...]:
    """What bars each unit, if it is there."""
    return tuple(f"{FENCE_DIR}/{name}" for name in processes(cluster) if not name.startswith("/"))


def processes(cluster: Cluster) -> tuple[str, ...]:
    return (cluster.etcd.process, *(component.process for component in cluster.control_plane))


@dataclass(frozen=True, slots=True)
class Aim:
    """What a request comes to on a cluster as it was seen: what is restored, and onto whom."""

    request: RestoreRequest
    seen: ClusterSeen
    staying: tuple[Member, ...]
    gone: tuple[Member, ...]
    source: FromMember | None
    origin: Origin
    snapshot: SnapshotRef

    @property
    def settings(self) -> Cluster:
        return self.request.settings


def plan(request: RestoreRequest, seen: ClusterSeen) -> Plan:
    """The plan for one request on a cluster as it was seen; what was only measured stays out of its digest."""
    aim = aimed(request, seen)
    chosen = chosen_for(aim)
    gates = closed(aim.settings, aim.seen, aim.origin)
    refusals = tuple(gate for gate in gates if gate.id not in request.overrides or not gate.overridable)
    return Plan(
        operation=request.operation,
        chosen=chosen,
        refusals=refusals,
        overridden=tuple(gate for gate in gates if gate not in refusals),
        losses=tuple(cost(aim)),
        seen=tuple(described(aim.seen)),
        high_water=aim.seen.high_water(),
        had_quorum=aim.seen.has_quorum,
        mark=mark(aim.seen) if by_canary(aim) else 0,
        afterwards=(
            *afterwards(aim.settings, aim.gone, {each.member: each.unlists for each in chosen.shares}),
            *outside.afterwards(aim.settings),
        ),
        incident=request.incident,
        reason=request.reason,
    )


def aimed(request: RestoreRequest, seen: ClusterSeen) -> Aim:
    """A node that a person vouches for, or that is left out, is seen as such from here on."""
    seen = replace(seen, off=vouched(request.powered_off), left_out=request.without)
    staying, gone = parted(request, seen)
    source, origin, snapshot = restored(request, seen)
    return Aim(request, seen, staying, gone, source, origin, snapshot)


def chosen_for(aim: Aim) -> Chosen:
    """All that is approved."""
    request, settings, seen = aim.request, aim.settings, aim.seen
    trial = rehearsal(settings, seen, aim.origin)
    shares = tuple(share(request, member, seen, aim.source or trial, aim.gone) for member in aim.staying)
    return Chosen(
        runbook="restore",
        cluster=request.cluster,
        cluster_id=seen.cluster_id,
        snapshot=aim.snapshot,
        store=request.store,
        shares=shares,
        steps=tuple(patient(steps_for(settings, aim.source, aim.gone, shares, trial), aim)),
        bump=amount(aim),
        overrides=tuple(sorted(set(request.overrides))),
        people=settings.approval.people,
        approvers=settings.approval.names,
        signers=settings.approval.signers,
        powered_off=tuple(sorted(set(request.powered_off))),
        kubeconfig=settings.kubernetes.kubeconfig if settings.kubernetes else "",
        api_urls=api_urls(settings, aim.gone),
        source=aim.source,
        without=tuple(sorted(member.name for member in aim.gone)),
        rehearsal=trial,
        absent=absent(settings, aim.gone),
    )


def amount(aim: Aim) -> int:
    """By how much the tool raises the revision; of a member's own nothing is known before it is taken."""
    if old_tools(aim.settings, aim.seen):
        return 0
    return bump(0 if aim.source else aim.origin.revision, aim.seen.high_water())


def cost(aim: Aim) -> Iterator[str]:
    """What will be lost, and what may go wrong, in words."""
    yield from lost(aim.origin, aim.source, aim.seen)
    yield from open_ports(aim.staying, aim.seen)
    if by_canary(aim):
        yield foretold(aim.seen, aim.origin.revision)
    yield from may_return(aim.gone)


def parted(request: RestoreRequest, seen: ClusterSeen) -> tuple[tuple[Member, ...], tuple[Member, ...]]:
    """Who is restored, and who is gone for good; BadInput for one that answers, since it could be fenced."""
    gone = tuple(member for member in request.settings.members if member.name in request.without)
    if here := sorted(member.name for member in gone if member.name in (seen.reachable | seen.answering)):
        raise BadInput(f"{', '.join(here)} can be looked at, so it is restored with the others: leave --without away")
    staying = tuple(member for member in request.settings.members if member not in gone)
    if not staying:
        raise BadInput("--without names every member: nobody is left to restore")
    return staying, gone


def api_urls(settings: Cluster, gone: tuple[Member, ...]) -> tuple[str, ...]:
    """Of the API servers that are still there."""
    hosts = {host for member in gone for host in member.hosts}
    urls = settings.kubernetes.api_urls if settings.kubernetes else ()
    return tuple(url for url in urls if urlsplit(url).hostname not in hosts)


def absent(settings: Cluster, gone: tuple[Member, ...]) -> Absent | None:
    known = tuple(addresses(gone))
    shut = ports(tuple(url for member in settings.members for url in member.client_urls + member.peer_urls))
    return Absent(known, shut, unit_of(settings)) if known else None


def may_return(gone: tuple[Member, ...]) -> Iterator[str]:
    """What could come back with a node that was not fenced, and why it cannot do harm."""
    for member in gone:
        known = ", ".join(addresses((member,)))
        shut = (
            f"is shut out ({known}) on every other node" if known else "has no address in numbers to be shut out by"
        )
        yield (
            f"{member.name} is left out: should it come back, its etcd is alone in the old cluster and without a "
            f"quorum, and it {shut}"
        )


def restored(request: RestoreRequest, seen: ClusterSeen) -> tuple[FromMember | None, Origin, SnapshotRef]:
    """What is restored: as it is approved, as gates judge it, and as every step names it."""
    if request.from_kept:
        source, holdings = formerly_held(
            request.from_kept, request.from_member, request.cluster, request.settings, seen
        )
        return source, holdings, to_be_taken(request, holdings)
    if request.from_member:
        source, holdings = held_by(request.from_member, request.cluster, request.settings, seen)
        return source, holdings, to_be_taken(request, holdings)
    manifest = find(seen.manifests, request.snapshot, request.cluster, seen.related(), seen.discounted)
    return None, manifest, reference(manifest, request.settings.backup.identities)


def to_be_taken(request: RestoreRequest, holdings: Holdings) -> SnapshotRef:
    """Stands for a snapshot that does not exist yet, with nothing in it that is only measured."""
    return SnapshotRef(
        id=f"{request.cluster}/member:{holdings.member}",
        key="",
        revision=0,
        cluster_id=holdings.cluster_id,
        created_at="",
        size_bytes=0,
        sha256="",
        db_sha256="",
        stored_bytes=0,
        stored_sha256="",
        etcd_version=holdings.version,
        recipients=request.settings.backup.recipients,
        identities=request.settings.backup.identities,
    )


def lost(origin: Origin, source: FromMember | None, seen: ClusterSeen) -> tuple[str, ...]:
    if source and source.operation:
        return tuple(given_up(source, seen))
    if isinstance(origin, Holdings) and source:
        return tuple(left_behind(source, origin, seen))
    assert isinstance(origin, Manifest), "what is no member's is a backup"
    return losses(origin, seen)


def by_canary(aim: Aim) -> bool:
    """Whether canary writes do what a tool is too old for; impractical, they are left to whoever opens the gate."""
    return bool(old_tools(aim.settings, aim.seen)) and practical(aim.seen, aim.origin.revision)


def patient(steps: tuple[Step, ...], aim: Aim) -> Iterator[Step]:
    """Canary writes have time of their own: while they go on nothing is wrong."""
    for step in steps:
        passing = step.key == "verify" and by_canary(aim)
        yield replace(step, patience_s=step.patience_s + PASSING_S) if passing else step


def steps_for(
    settings: Cluster,
    source: FromMember | None = None,
    gone: tuple[Member, ...] = (),
    shares: tuple[Share, ...] = (),
    trial: FromMember | None = None,
) -> tuple[Step, ...]:
    """Without a control plane the steps about one are left out."""
    about = set() if settings.control_plane else {"fence-api", "start-api", "verify-api", "kubelets"}
    steps = ordered(tuple(step for step in STEPS if step.key not in about), source)
    if any(addresses(gone)):
        steps = after("bar", SHUT_OUT, steps)
    if trial:
        for step in reversed(REHEARSAL):
            steps = after("compare", step, steps)
    return needed(steps, shares)


def ordered(steps: tuple[Step, ...], source: FromMember | None) -> tuple[Step, ...]:
    """A member's data is taken when nothing writes any more, and before anything of it is staged."""
    if source is None:
        return steps
    taking = tuple(step for step in TAKING if source.scratch or step.place != "source")
    first = tuple(step for step in steps if step.key in FIRST)
    return (*first, *taking, *(step for step in steps if step.key not in FIRST))


def needed(steps: tuple[Step, ...], shares: tuple[Share, ...]) -> tuple[Step, ...]:
    """With the steps that only some nodes need; what is inherited is never given back, the older operation is over.

    Tools are there before anything is staged or stopped, and gone before the nodes are released. Lists are edited
    while every API server is stopped; a static pod's manifest is then where no kubelet reads it.
    """
    if any(each.unlists for each in shares):
        steps = after("fence-api", UNLIST, steps)
    if any(each.image or each.pushed for each in shares):
        steps = after("claim", EQUIP, before("unbar", UNEQUIP, steps))
    return (INHERIT, *steps) if any(each.inherits for each in shares) else steps


def before(key: str, added: Step, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    place = next(number for number, step in enumerate(steps) if step.key == key)
    return (*steps[:place], added, *steps[place:])


def after(key: str, added: Step, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    place = next(number for number, step in enumerate(steps, 1) if step.key == key)
    return (*steps[:place], added, *steps[place:])


def reference(manifest: Manifest, identities: tuple[str, ...]) -> SnapshotRef:
    return SnapshotRef(
        id=manifest.id,
        key=manifest.key,
        revision=manifest.revision,
        cluster_id=manifest.cluster_id,
        created_at=manifest.created_at.isoformat(),
        size_bytes=manifest.size_bytes,
        sha256=manifest.sha256,
        db_sha256=manifest.db_sha256,
        stored_bytes=manifest.stored_bytes,
        stored_sha256=manifest.stored_sha256,
        etcd_version=manifest.source.version,
        keys=dict(manifest.keys),
        recipients=manifest.recipients,
        identities=identities if manifest.encryption else (),
    )


def losses(manifest: Manifest, seen: ClusterSeen) -> tuple[str, ...]:
    """What the restore takes back, in words; etcd records no times, so the interval is an upper bound."""
    related = seen.related()
    known = max(
        [
            *(etcd.revision for etcd in seen.answering.values()),
            *(each.revision for each in seen.manifests if each.cluster_id in related),
        ],
        default=manifest.revision,
    )
    until = f", up to {spoken(seen.now - manifest.created_at.timestamp())} of them" if seen.now else ""
    out = [f"every write after {manifest.created_at:%Y-%m-%d %H:%M:%S}Z (revision {manifest.revision}){until}"]
    if known > manifest.revision:
        out.append(
            f"at least {known - manifest.revision} revisions: {known} was seen, {manifest.revision} comes back"
        )
    return tuple(out)


def open_ports(members: tuple[Member, ...], seen: ClusterSeen) -> Iterator[str]:
    """What could go wrong because a node has no firewall to keep the clients out with."""
    for member in members:
        node = seen.nodes.get(member.name)
        if isinstance(node, NodeSeen) and NFT not in node.paths:
            yield f"{member.name} has no {NFT}: its clients may write before the restore is verified"


def described(seen: ClusterSeen) -> Iterator[str]:
    """One line a member: what it said, or why it said nothing."""
    for name, etcd in sorted(seen.etcd.items()):
        node = seen.nodes.get(name)
        where = node.reason if isinstance(node, Silence) else "node answers"
        if isinstance(etcd, Silence):
            yield f"{name}: {where}; etcd does not answer ({etcd.reason})"
        else:
            role = "leader" if etcd.leads else "follower" if etcd.leader else "no leader"
            yield f"{name}: {where}; etcd {etcd.version} {role}, revision {etcd.revision}, cluster {etcd.cluster_id}"
    for name, disk in sorted(seen.disks.items()):
        if isinstance(disk, Silence):
            yield f"{name}: its log cannot be read ({disk.reason})"
        else:
            yield f"{name}: its log {went(disk)}, and knows {disk.commit} to be committed"
