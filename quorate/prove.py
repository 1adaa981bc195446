"""Prove a backup by a restore: an etcd is started from it in the sandbox, and holds what its manifest says."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from quorate.backups.catalogue import LATEST, Manifest, Shelf, find
from quorate.chosen import Step
from quorate.command import Node
from quorate.drills.sandbox import Trial, node_of
from quorate.errors import BadInput, Refusal
from quorate.inventory import Inventory
from quorate.settings.stores import Store

WORKFLOW = "prove"
BUSY_S = 2 * 3600.0  # that another one may have the sandbox
BUSY_POLL_S = 20.0

STEPS = (
    Step("choose", "Choose the newest that counts", "sandbox.choose", "cluster", patience_s=300),
    Step("claim", "Claim the sandbox", "sandbox.claim", "cluster", patience_s=60),
    Step("restore", "Restore it there", "sandbox.restore", "cluster", patience_s=3600),
    Step("read", "Compare what was restored with its manifest", "sandbox.read", "cluster", patience_s=3600),
    Step("start", "Start etcd from it and compare its hash", "sandbox.start", "cluster", patience_s=900),
    Step("serve", "Start an API server on it, where one is named", "sandbox.serve", "cluster", patience_s=300),
    Step("ask", "Read through the API server", "sandbox.ask", "cluster", patience_s=600),
    Step("remove", "Remove all of it, and see it gone", "sandbox.remove", "cluster", patience_s=600),
    Step("mark", "Mark what was found", "sandbox.mark", "cluster", patience_s=300),
)
CLEAR = "sandbox.clear"  # as `remove`, and the claim stays: between two tries


@dataclass(frozen=True, slots=True)
class ProveRequest:
    """All that it will ever read of the inventory: references, no secrets."""

    operation: str
    cluster: str
    store: Store
    node: Node
    data_dir: str
    etcd: str
    restore_tool: str
    actor: str = ""
    identities: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    snapshot: str = ""  # "" is the newest that counts
    within_s: float = 0.0  # nothing is due where one was proved so shortly before; 0 is always
    api_server: str = ""  # the program that is started on top; "" is none

    @property
    def trial(self) -> Trial:
        return Trial(self.data_dir, self.operation, self.etcd)


@dataclass(frozen=True, slots=True)
class Chosen:
    """`manifest_sha256` is of the manifest as it was read, so that every step speaks of the same one; or why none."""

    snapshot: str = ""
    manifest_key: str = ""
    manifest_sha256: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Restored:
    """With which tool, and how much."""

    tool: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """Why it is not what its manifest says, or nothing; a note says what could not be compared."""

    differs: str = ""
    note: str = ""
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Served:
    """By an API server on top: what is wrong with it, which says nothing of the backup, that has been compared."""

    wrong: str = ""
    notes: tuple[str, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProveTask:
    request: ProveRequest
    step: str
    turn: int
    chosen: Chosen = Chosen()
    restored: Restored = Restored()
    differs: str = ""  # twice
    notes: tuple[str, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)
    left: str = ""  # what could not be removed
    unserved: str | None = None  # why no API server serves it; None: none was asked for, or was not come to
    duration_s: float = 0.0
    times: dict[str, float] = field(default_factory=dict)  # by step, when it was done


@dataclass(frozen=True, slots=True)
class ProveResult:
    """The scripts' contract: `outcome` is proved, degraded (proved, with findings) or unsound."""

    operation: str
    outcome: str
    snapshot: str = ""  # "" where nothing was due
    newest: str = ""  # that counts, afterwards
    restored_bytes: int = 0
    duration_s: float = 0.0
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)  # by step, when it was done
    unserved: str | None = None  # why no API server serves what was restored, "" where one does; None: none was asked


def request(
    inventory: Inventory, cluster: str, operation: str, actor: str, snapshot: str = "", within_s: float = 0.0
) -> ProveRequest:
    """BadInput where the cluster has no sandbox."""
    settings = inventory.cluster(cluster)
    if (sandbox := settings.sandbox) is None:
        raise BadInput(
            f"{cluster} has no sandbox: a machine that is no cluster's, where a backup can be restored to prove it",
            next=f"add clusters.{cluster}.sandbox with a host to the inventory",
        )
    return ProveRequest(
        operation=operation,
        cluster=cluster,
        store=inventory.stores[settings.backup.store],
        node=node_of(settings, sandbox),
        data_dir=sandbox.data_dir,
        etcd=sandbox.etcd,
        restore_tool=sandbox.restore_tool,
        api_server=sandbox.api_server or "",
        actor=actor,
        identities=settings.backup.identities,
        trust=settings.trust,
        snapshot=snapshot,
        within_s=within_s,
    )


def due(shelf: Shelf, within_s: float, now: datetime) -> bool:
    """Whether none was proved by a restore for so long."""
    last = proved_at(shelf)
    return not within_s or last is None or last <= now - timedelta(seconds=within_s)


def proved_at(shelf: Shelf) -> datetime | None:
    """When the last proof was given, of any of them: their marks go when they do."""
    return max((at for each in shelf.marks.values() if (at := each.restored)), default=None)


def chosen(shelf: Shelf, request: ProveRequest, doubted: Iterable[str]) -> Manifest:
    """By its id, or the newest that counts; Refusal where there would be nothing to compare it with."""
    out = frozenset((*doubted, *shelf.quarantined))
    found = find(shelf.manifests, request.snapshot or LATEST, request.cluster, (), out)
    if not (found.content or found.hash_kv):
        raise Refusal(
            f"{found.id} cannot be proved by a restore: its manifest says neither what it holds nor its HashKV",
            next=f"quorate backup {request.cluster}",
        )
    return found


def leftover(request: ProveRequest, why: str) -> str:
    """What a person has to do when we could not."""
    what = f"what {request.operation} has laid on {request.node.name} could not be removed, or not seen gone: {why}"
    return f"{what}; remove it: {request.trial.by_hand(request.node)}"


def taken(request: ProveRequest, other: str) -> str:
    """What a person has to do where the one that has the sandbox will never give it back."""
    by_hand = replace(request.trial, operation=other).by_hand(request.node)
    return f"if {other} was terminated, or its records are lost, give the sandbox back: {by_hand}"


def nothing_due(task: ProveTask) -> ProveResult:
    return ProveResult(task.request.operation, "proved", notes=(task.chosen.note,))


def result(task: ProveTask, good: str) -> ProveResult:
    """`good` is the newest that counts now."""
    instead = f"the newest that counts is {good}" if good else "none counts"
    found = (
        *([f"{task.chosen.snapshot} is quarantined: {task.differs}; {instead}"] if task.differs else []),
        *([task.left] if task.left else []),
        *([unserved(task.unserved)] if task.unserved else []),
    )
    return ProveResult(
        operation=task.request.operation,
        outcome="unsound" if task.differs else "degraded" if found else "proved",
        snapshot=task.chosen.snapshot,
        newest=good,
        restored_bytes=task.restored.size_bytes,
        duration_s=round(task.duration_s, 3),
        findings=found,
        notes=task.notes,
        facts=task.facts,
        times=task.times,
        unserved=task.unserved,
    )


def unserved(why: str) -> str:
    """As a finding."""
    return f"no API server serves what was restored: {why}"
