"""Prune a cluster's backups: what no policy keeps is removed from the store, and whatever dead attempts have left."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from quorate.backups.catalogue import MANIFEST, Shelf, home_of, id_of
from quorate.backups.marks import TIME, UNMARKED
from quorate.backups.retention import Judged
from quorate.chosen import Step
from quorate.inventory import Inventory
from quorate.settings.policies import Retention
from quorate.settings.stores import Store

WORKFLOW = "prune"
ATTEMPT = timedelta(days=1)  # an attempt that began before is dead: a backup's steps together have less
HIDDEN = "something of it is hidden by a delete marker"
AT_ONCE = 500  # removed by one run; an operation's record and its payloads stay small

STEPS = (
    Step("judge", "Judge what may go", "snapshots.judge", "cluster", patience_s=300, expected_s=1),
    Step("prune", "Remove it, version by version", "snapshots.prune", "cluster", patience_s=3600),
)


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """All that a prune will ever read of the inventory. `shown`: no others are removed; None is whatever may go."""

    operation: str
    cluster: str
    store: Store
    actor: str = ""
    retention: Retention | None = None
    trust: tuple[str, ...] = ()
    shown: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """`goes` and `strays` are directories in the store, the oldest first; `later` could go and waits for its turn."""

    goes: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    kept: int = 0
    later: int = 0
    findings: tuple[str, ...] = ()
    sizes_bytes: dict[str, int] = field(default_factory=dict)  # of all of these


@dataclass(frozen=True, slots=True)
class PruneTask:
    request: PruneRequest
    step: str
    turn: int
    judgement: Judgement = field(default_factory=Judgement)


@dataclass(frozen=True, slots=True)
class PruneResult:
    """The scripts' contract: `outcome` is pruned, or incomplete where there are findings."""

    operation: str
    outcome: str
    removed: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    freed_bytes: int = 0
    kept: int = 0
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def request(inventory: Inventory, cluster: str, operation: str, actor: str) -> PruneRequest:
    settings = inventory.cluster(cluster)
    return PruneRequest(
        operation=operation,
        cluster=cluster,
        store=inventory.stores[settings.backup.store],
        actor=actor,
        retention=settings.backup.retention,
        trust=settings.trust,
    )


def judgement(
    request: PruneRequest, rows: Iterable[Judged], strays: Iterable["Stray"], hidden: tuple[str, ...]
) -> Judgement:
    """Of those that may go, the ones that were shown."""
    rows = tuple(rows)
    may_go = [row.manifest for row in reversed(rows) if not row.stays]
    wanted = [each for each in may_go if request.shown is None or each.id in request.shown]
    strays = tuple(strays)
    left = [each for each in strays if not each.stays][:AT_ONCE]
    return Judgement(
        goes=tuple(each.directory for each in wanted[:AT_ONCE]),
        strays=tuple(each.directory for each in left),
        kept=len(rows) - len(may_go),
        later=len(may_go) - len(wanted[:AT_ONCE]),
        findings=(*dated(rows), *(each.stays for each in strays if each.alarming), *covered(hidden)),
        sizes_bytes={
            **{each.directory: each.held_bytes for each in wanted[:AT_ONCE]},
            **{each.directory: each.size_bytes for each in left},
        },
    )


def dated(rows: Iterable[Judged]) -> tuple[str, ...]:
    return tuple(row.finding for row in rows if row.finding)


def covered(hidden: tuple[str, ...]) -> tuple[str, ...]:
    """Quorate removes by version id and so leaves no marker: whoever left one was somebody else."""
    if not hidden:
        return ()
    named = ", ".join(hidden[:3]) + (f" and {len(hidden) - 3} more" if len(hidden) > 3 else "")
    return (f"somebody has deleted {named} by name: the versions are there still, hidden by a delete marker",)


@dataclass(frozen=True, slots=True)
class Stray:
    """Something that lies where a snapshot would and is none; why it stays, and whether somebody should know."""

    directory: str
    size_bytes: int
    stays: str = ""
    alarming: bool = False


def strays(shelf: Shelf, published: Mapping[str, str], hidden: Iterable[str], now: datetime) -> tuple[Stray, ...]:
    """What an interrupted removal or a dead attempt has left; `published` are ids that operations have on record.

    A manifest that was published and is gone, without a mark that says so, was taken away by somebody else. So was
    whatever is hidden, which the findings name anyhow.
    """
    covered = {home_of(key) for key in hidden}
    sizes: dict[str, int] = {}
    for key, size in sorted(shelf.strays.items()):
        sizes[home_of(key)] = sizes.get(home_of(key), 0) + size
    return tuple(
        judged_stray(Stray(each, size, HIDDEN if each in covered else ""), shelf, published, now)
        for each, size in sizes.items()
    )


def judged_stray(each: Stray, shelf: Shelf, published: Mapping[str, str], now: datetime) -> Stray:
    if each.stays or shelf.marks.get(each.directory, UNMARKED).pruned:
        return each
    if operation := published.get(id_of(each.directory)):
        said = f"{operation} has published {id_of(each.directory)}, and its {MANIFEST} is gone: not by us"
        return replace(each, stays=said, alarming=True)
    if each.directory in shelf.marks:
        said = f"{id_of(each.directory)} has marks, and its {MANIFEST} is gone: not by us"
        return replace(each, stays=said, alarming=True)
    if now - began(each.directory) < ATTEMPT:
        return replace(each, stays="a backup may be under way")
    return each


def began(directory: str) -> datetime:
    """As the name of the snapshot says."""
    return datetime.strptime(directory.rpartition("/")[2].partition("-")[0], TIME).replace(tzinfo=UTC)


def result(task: PruneTask, removed: tuple[str, ...], stay: tuple[str, ...], notes: tuple[str, ...]) -> PruneResult:
    """`removed` are directories, of snapshots and of strays; `stay` says why some could not go after all."""
    found = task.judgement
    later = (f"{found.later} more may go, at the next run",) if found.later and task.request.shown is None else ()
    return PruneResult(
        operation=task.request.operation,
        outcome="incomplete" if found.findings else "pruned",
        removed=tuple(id_of(each) for each in removed if each in found.goes),
        strays=tuple(each for each in removed if each in found.strays),
        freed_bytes=sum(found.sizes_bytes.get(each, 0) for each in removed),
        kept=found.kept + len(stay),
        findings=found.findings,
        notes=(*stay, *notes, *later),
    )


def order(keys: Iterable[str], mark: str) -> tuple[str, ...]:
    """The manifest first: from then on there is no such backup. The mark that says so last."""
    return tuple(sorted(keys, key=lambda key: (key == mark, not key.endswith(f"/{MANIFEST}"), key)))
