"""Back up a cluster: choose the member, stream its snapshot, read it back, publish its manifest."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from quorate.backups.bundle import Bundled
from quorate.backups.catalogue import (
    ACCEPTS,
    Bundle,
    Contents,
    Encryption,
    Hash,
    Live,
    Manifest,
    PagesSeen,
    Peer,
    Source,
    Verification,
    id_of,
)
from quorate.backups.request import BackupRequest
from quorate.backups.toolbox import Offer
from quorate.chosen import Step
from quorate.database.walk import Walked
from quorate.members.etcd import EtcdTarget, HashKV, MemberSeen
from quorate.members.listing import LiveKeys
from quorate.nodes.flags import filled, recorded
from quorate.nodes.seen import NodeSeen
from quorate.suspicion import Baseline, suspicions

WORKFLOW = "backup"
SKEW_S_MAX = 60.0
REGISTRY = "/registry/"
UNOPENED = (
    "it was read back and not opened: the inventory's backup.identities is empty, so nobody tried whether it can be"
)

STEPS = (
    Step("choose", "Choose the member", "backup.choose", "cluster", patience_s=30, expected_s=0.1),
    Step("stream", "Stream its snapshot into the store", "snapshots.stream", "cluster", patience_s=3600),
    Step("read-back", "Read it back and compare", "snapshots.read_back", "cluster", patience_s=3600),
    Step("bundle", "Bundle what it does not hold", "snapshots.bundle", "cluster", patience_s=300, expected_s=2),
    Step("publish", "Publish the manifest", "snapshots.publish", "cluster", patience_s=60, expected_s=0.1),
    Step("copy", "Copy it to the other stores", "snapshots.copy", "cluster", patience_s=3600),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The member that will be asked, and what was seen when it was chosen."""

    target: EtcdTarget
    member_id: str
    version: str
    cluster_id: str
    revision: int  # of a linearizable read: the snapshot is not older
    members: tuple[MemberSeen, ...] = ()
    findings: tuple[str, ...] = ()
    flags: dict[str, dict[str, str]] = field(default_factory=dict)  # this and `tools` of an earlier version
    notes: tuple[str, ...] = ()
    alone: bool = False  # there is no quorum that could say how far the cluster is
    auth: bool = False
    tools: tuple[Offer, ...] = ()
    before: Baseline | None = None  # of an earlier version
    others: tuple[str, ...] = ()  # whose data is compared with that of the chosen one, in this order


@dataclass(frozen=True, slots=True)
class NodesTold:
    """What the nodes say: what etcd runs with, by name, and which restore tools there are."""

    flags: dict[str, dict[str, str]] = field(default_factory=dict)
    tools: tuple[Offer, ...] = ()
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Streamed:
    """What went into the store, and what the passing bytes said of themselves."""

    directory: str
    key: str
    revision: int
    size_bytes: int
    sha256: str
    db_sha256: str
    stored_bytes: int
    stored_sha256: str
    level: int
    started: float
    keys: dict[str, int]  # this, the hash and `live` where members were measured in this step
    hash_kv: HashKV | None = None
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    uses: str = ""  # of its pages, told; "" = whoever walks them has to read them once more
    live: dict[str, LiveKeys] = field(default_factory=dict)  # by prefix
    nodes: NodesTold | None = None  # None: by the step before, of an earlier version, or of no node at all
    before: Baseline | None = None  # what it is compared with


@dataclass(frozen=True, slots=True)
class Measured:
    """What the members themselves say of the snapshot's revision."""

    keys: dict[str, int] = field(default_factory=dict)
    hash_kv: HashKV | None = None
    live: dict[str, LiveKeys] = field(default_factory=dict)  # by prefix
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What the store gave back: as it lies there, and, unless nobody could open it, expanded."""

    size_bytes: int
    sha256: str
    stored_sha256: str
    decrypted: bool = True
    walked: Walked | None = None  # None: nobody could open it, or a version did that walked no pages
    measured: Measured | None = None  # None: by the step before, or of no member at all


@dataclass(frozen=True, slots=True)
class BackupTask:
    """One step; what the steps before it found is filled in."""

    request: BackupRequest
    step: str
    turn: int
    choice: Choice | None = None
    streamed: Streamed | None = None
    duration_s: float = 0.0
    read_back: ReadBack | None = None
    bundled: Bundled | None = None
    result: "BackupResult | None" = None


@dataclass(frozen=True, slots=True)
class BackupProgress:
    """Where a backup is, in the words of its runbook."""

    operation: str
    step: str
    title: str
    number: int
    of: int = len(STEPS)


@dataclass(frozen=True, slots=True)
class BackupResult:
    """The scripts' contract; `findings` say why an outcome is only degraded, `notes` degrade nothing."""

    operation: str
    outcome: str
    snapshot: str
    revision: int
    size_bytes: int
    sha256: str
    stored_bytes: int
    stored_sha256: str
    key: str = ""
    member: str = ""
    duration_s: float = 0.0
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def running_flags(nodes: Mapping[str, NodeSeen | str]) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    """What each member's etcd is told, and of whom that is not known; text says why a node did not answer.

    Not knowing is a note and no finding: the snapshot is as good without, and a cluster is none the worse for an
    SSH that does not answer. Only `config-differs` has less to go by when it is restored.
    """
    known: dict[str, dict[str, str]] = {}
    notes: list[str] = []
    for name, node in nodes.items():
        unit = None if isinstance(node, str) else next(iter(node.units.values()), None)
        if unit and filled(unit):
            known[name] = recorded(unit)
        else:
            reason = node if isinstance(node, str) else "it does not run, and its unit does not say them all"
            notes.append(f"the flags of {name} are not recorded: {reason}")
    return known, tuple(notes)


def wrong_clock(nodes: Mapping[str, NodeSeen | str], before: float, after: float) -> tuple[str, ...]:
    """Retention goes by the time in a backup's name, which is ours: where every node says another one it is wrong.

    The nodes answered at some time between the two.
    """
    told = [node.now for node in nodes.values() if isinstance(node, NodeSeen) and node.now]
    ahead, behind = [before - now for now in told], [now - after for now in told]
    for off_s, way in ((min(ahead, default=0.0), "ahead of"), (min(behind, default=0.0), "behind")):
        if off_s > SKEW_S_MAX:
            return (f"this machine's clock, which dates the backup, is {off_s:.0f} s {way} that of every node",)
    return ()


def measured(task: BackupTask) -> Measured:
    """Beside the read-back, or by the step before it."""
    assert task.streamed is not None, "published before it was streamed"
    late = task.read_back.measured if task.read_back else None
    put = asked(task.streamed, late) if late else task.streamed
    return Measured(put.keys, put.hash_kv, put.live, put.findings, put.notes)


def told_by_nodes(task: BackupTask) -> NodesTold:
    """While the member was sending, or before."""
    assert task.choice is not None, "published before it was chosen"
    found = task.streamed.nodes if task.streamed else None
    return found or NodesTold(task.choice.flags, task.choice.tools)


def asked(put: Streamed, said: Measured) -> Streamed:
    """With what the members said of it."""
    found, notes = (*put.findings, *said.findings), (*put.notes, *said.notes)
    return replace(put, keys=said.keys, hash_kv=said.hash_kv, live=said.live, findings=found, notes=notes)


def manifest(task: BackupTask) -> Manifest:
    """Made of nothing but the task, so that a second attempt writes the same bytes."""
    request, choice, streamed = task.request, task.choice, task.streamed
    assert choice is not None, "published before it was chosen"
    assert streamed is not None, "published before it was streamed"
    decrypted = task.read_back is None or task.read_back.decrypted  # None: by a version that encrypted nothing
    members, nodes, bundled = measured(task), told_by_nodes(task), task.bundled or Bundled()
    why = tuple(
        suspicions(streamed.before or choice.before, streamed.revision, members.keys.get(""), request.shrink_percent)
    )
    found = (
        *choice.findings,
        *nodes.findings,
        *members.findings,
        *bundled.findings,
        *(() if decrypted else (UNOPENED,)),
        *why,
    )
    if why and request.accepted:
        found = (*found, f"{request.actor}{ACCEPTS}{request.accepted}")
    hashed = Hash.model_validate(asdict(members.hash_kv)) if members.hash_kv else None
    walked = task.read_back.walked if task.read_back else None
    return Manifest(
        id=id_of(streamed.directory),
        key=streamed.key,
        cluster=request.cluster,
        cluster_id=choice.cluster_id,
        created_at=datetime.fromtimestamp(int(streamed.started), UTC),
        duration_s=round(task.duration_s, 3),
        revision=streamed.revision,
        size_bytes=streamed.size_bytes,
        sha256=streamed.sha256,
        db_sha256=streamed.db_sha256,
        stored_bytes=streamed.stored_bytes,
        stored_sha256=streamed.stored_sha256,
        encryption=Encryption(recipients=request.recipients) if request.recipients else None,
        verification=Verification(decrypted=decrypted),
        source=Source(name=choice.target.name, id=choice.member_id, version=choice.version),
        members=tuple(Peer(name=m.name, id=m.id, peer_urls=m.peer_urls, learner=m.learner) for m in choice.members),
        keys=members.keys,
        hash_kv=hashed,
        operation=request.operation,
        actor=request.actor,
        outcome="suspect" if why and not request.accepted else "degraded" if found else "verified",
        findings=found,
        flags=nodes.flags,
        auth=choice.auth,
        content=Contents.model_validate(asdict(walked.content)) if walked else None,
        pages=PagesSeen(used=walked.used, free=walked.free, torn=walked.torn) if walked else None,
        live={prefix: Live(keys=each.keys, leased=each.leased) for prefix, each in members.live.items()},
        bundle=beside(bundled),
    )


def beside(bundled: Bundled) -> Bundle | None:
    """As the manifest says it."""
    fields = asdict(bundled)
    del fields["findings"]
    return Bundle.model_validate(fields) if bundled.key else None


def notes_of(task: BackupTask) -> tuple[str, ...]:
    """What degrades nothing."""
    assert task.choice is not None, "published before it was chosen"
    why_not = (task.request.bundle.why_not,) if task.request.bundle and task.request.bundle.why_not else ()
    return (*told_by_nodes(task).notes, *task.choice.notes, *measured(task).notes, *why_not)


def result(manifest: Manifest, notes: tuple[str, ...] = (), unlocked: tuple[str, ...] = ()) -> BackupResult:
    """`unlocked` says why the store does not hold it, which its manifest cannot know."""
    return BackupResult(
        operation=manifest.operation,
        outcome="degraded" if unlocked and manifest.outcome == "verified" else manifest.outcome,
        snapshot=manifest.id,
        revision=manifest.revision,
        size_bytes=manifest.size_bytes,
        sha256=manifest.sha256,
        stored_bytes=manifest.stored_bytes,
        stored_sha256=manifest.stored_sha256,
        key=manifest.key,
        member=manifest.source.name,
        duration_s=manifest.duration_s,
        findings=(*manifest.findings, *unlocked),
        notes=notes,
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """What nobody but whoever imports it knows of a snapshot: a database of etcd does not say whose it is."""

    cluster_id: str
    version: str
    said: str


def importing(request: BackupRequest, origin: Origin) -> BackupTask:
    """A backup of no member, which says whose word it is."""
    choice = Choice(
        target=EtcdTarget("imported", ""),
        member_id="0",
        version=origin.version,
        cluster_id=origin.cluster_id,
        revision=0,
        findings=(f"imported by {request.actor}: {origin.said}",),
    )
    return BackupTask(
        request=replace(request, lock=None, copies={}, bundle=None), step="import", turn=1, choice=choice
    )
