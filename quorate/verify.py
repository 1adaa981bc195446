"""Verify a cluster's backups where they lie: what was not proved for a while is fetched and compared again."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from quorate.backups.catalogue import Manifest, Shelf, newest
from quorate.chosen import Step
from quorate.inventory import Inventory
from quorate.settings.stores import Store

WORKFLOW = "verify"
NONE: Mapping[str, str] = {}
DOUBTED_MAX = 10  # of them are named, the newest first; `quorate snapshots ls` has all
AT_ONCE = 100  # by one run, the longest unproved first; the next run goes on

STEPS = (
    Step("choose", "Choose what was not proved for a while", "snapshots.due", "cluster", patience_s=300),
    Step("verify", "Fetch, open and compare each", "snapshots.verify", "cluster", patience_s=6 * 3600),
)


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """All that it will ever read of the inventory: references, no secrets."""

    operation: str
    cluster: str
    store: Store
    actor: str = ""
    identities: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    verify_within_s: float = 0.0  # 0 is everything


@dataclass(frozen=True, slots=True)
class Due:
    """Ids, the longest unproved first; `later` are due as well and wait for the next run."""

    snapshots: tuple[str, ...] = ()
    later: int = 0
    findings: tuple[str, ...] = ()
    doubted: tuple[str, ...] = ()  # of whom nobody wants to know, and why


@dataclass(frozen=True, slots=True)
class VerifyTask:
    request: VerifyRequest
    step: str
    turn: int
    due: Due = Due()


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """The scripts' contract: `outcome` is sound, or unsound where there are findings."""

    operation: str
    outcome: str
    verified: tuple[str, ...] = ()
    quarantined: tuple[str, ...] = ()
    newest: str = ""  # that counts, afterwards
    verified_bytes: int = 0
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def request(inventory: Inventory, cluster: str, operation: str, actor: str) -> VerifyRequest:
    settings = inventory.cluster(cluster)
    return VerifyRequest(
        operation=operation,
        cluster=cluster,
        store=inventory.stores[settings.backup.store],
        actor=actor,
        identities=settings.backup.identities,
        trust=settings.trust,
        verify_within_s=settings.backup.verify_within,
    )


def due(shelf: Shelf, within_s: float, doubted: Mapping[str, str], now: datetime) -> Due:
    """Whatever nobody vouches for is not fetched: it does not count, sound or not."""
    limit = now - timedelta(seconds=within_s)
    ages = [(proved_at(shelf, each), each.id) for each in shelf.manifests if each.id not in doubted]
    old = [id_ for at, id_ in sorted(ages) if at <= limit]
    why = tuple(f"{id_} was not verified: {reason}" for id_, reason in sorted(doubted.items(), reverse=True))
    return Due(tuple(old[:AT_ONCE]), len(old[AT_ONCE:]), tuple(shelf.damaged.values()), why[:DOUBTED_MAX])


def proved_at(shelf: Shelf, manifest: Manifest) -> datetime:
    """It was read back before it was published; one in quarantine has been due ever since."""
    standing = shelf.standing(manifest)
    return manifest.created_at if standing.quarantined else standing.verified or manifest.created_at


def counting(shelf: Shelf, doubted: Collection[str]) -> str:
    """The id of the newest that counts, "" if none does."""
    found = newest(shelf.sound(doubted), ())
    return found.id if found else ""


def notes(task: VerifyTask) -> Iterator[str]:
    yield from task.due.doubted
    if task.due.later:
        yield f"{task.due.later} more are due, at the next run"
    if not task.due.snapshots:
        yield f"nothing was due: each was proved in the last {task.request.verify_within_s / 86400:g} days"


def result(
    task: VerifyTask,
    verified: Iterable[Manifest],
    quarantined: Mapping[str, str],
    unread: Mapping[str, str],
    good: str,
    bundles: Mapping[str, str] = NONE,
) -> VerifyResult:
    """`quarantined`, `unread` and `bundles` (that are not sound) say why, by id."""
    sound = tuple(verified)
    instead = f"; the newest that counts is {good}" if good else "; none counts"
    found = (
        *task.due.findings,
        *(f"{id_} is quarantined: {why}{instead}" for id_, why in quarantined.items()),
        *(f"{id_} was not verified: {why}" for id_, why in unread.items()),
        *(f"{id_} is sound, its bundle is not: {why}" for id_, why in bundles.items()),
    )
    return VerifyResult(
        operation=task.request.operation,
        outcome="unsound" if found else "sound",
        verified=tuple(each.id for each in sound),
        quarantined=tuple(quarantined),
        newest=good,
        verified_bytes=sum(each.size_bytes for each in sound),
        findings=found,
        notes=tuple(notes(task)),
    )
