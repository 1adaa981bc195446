"""What a report is made of, gathered: the record, what the store says, the objectives, what went before."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from quorate.backups.provenance import why_not
from quorate.drill import Lost
from quorate.errors import NotApproved, QuorateError
from quorate.members.revision_clock import loss
from quorate.plan import Plan
from quorate.reports.achieved import row
from quorate.reports.acts import seconds
from quorate.reports.report import Row
from quorate.reports.told import Provenance, Told, noun
from quorate.reports.trend import KINDS, LAST
from quorate.sshsig import fingerprint, parsed
from worker.cli.records import local
from worker.past import began, whose
from worker.record import Record, plan_of

if TYPE_CHECKING:
    from quorate.backups.catalogue import Manifest
    from worker.wiring import Wiring

WEIGHTY = ("restore",)  # whose audit trail says when the first write was; the others' need not be read for a line


def told(wiring: "Wiring", record: Record) -> Told:
    """All that this machine and the cluster's store know of it; what cannot be asked is said to be so."""
    plan, cluster = plan_of(record), cluster_of(record)
    settings = wiring.settings.inventory.clusters.get(cluster)
    objectives = settings.objectives if settings else None
    assigned = settings.findings if settings else None
    lost, how = losses(wiring, record, plan, cluster)
    return Told(
        operation=record.operation,
        cluster=cluster,
        outcome=record.outcome or {},
        chains=record.chains,
        plan=plan,
        where=record.where,
        environment=settings.environment if settings else "",
        rto_s=objectives.rto if objectives else None,
        rpo_s=objectives.rpo if objectives else None,
        owner=assigned.owner if assigned else "",
        close_within_s=assigned.within if assigned else None,
        provenance=provenance(wiring, record, plan, cluster),
        lost=lost,
        lost_how=how,
        before=before(wiring, record.operation, cluster),
        carried=tuple(carried(wiring, record, cluster)),
    )


def carried(wiring: "Wiring", record: Record, cluster: str) -> Iterator[Told]:
    """What a drill had carried out, as far as its steps; each has a report of its own."""
    for name in map(str, (record.outcome or {}).get("operations") or ()):
        if found := local(wiring.settings.operations, name):
            yield Told(name, cluster, found.outcome or {}, {}, plan_of(found))


def cluster_of(record: Record) -> str:
    outcome, chosen = record.outcome or {}, (record.plan or {}).get("chosen", {})
    snapshot = str(outcome.get("snapshot") or "")
    named = chosen.get("cluster") or outcome.get("cluster") or snapshot.rpartition("/")[0]
    return str(named) if named else in_path(record)


def in_path(record: Record) -> str:
    """Here a file says it, in a store the key does."""
    home = Path(record.where)
    if home.is_dir():
        return whose(home, record)
    words = record.where.rstrip("/").split("/")
    return words[-3] if len(words) > 3 and words[-2] == "operations" else ""


def provenance(wiring: "Wiring", record: Record, plan: Plan | None, cluster: str) -> Provenance:
    """Of the snapshot that it took, or was made from."""
    name = str((record.outcome or {}).get("snapshot") or (plan.snapshot.id if plan else ""))
    if "/" not in name:
        return Provenance()
    try:
        return in_store(wiring, cluster, name)
    except QuorateError as error:
        return Provenance(why_not=f"the store was asked and did not say more than the record does: {error}")


def in_store(wiring: "Wiring", cluster: str, name: str) -> Provenance:
    settings = wiring.settings.store(cluster)
    store = wiring.stores.at(settings)
    shelf = wiring.shelf(store, settings, cluster)
    manifest = next((each for each in shelf.manifests if each.id == name), None)
    if manifest is None:
        return Provenance(why_not=f"{name} is not in {settings.url} any more: what its record says is all there is")
    signature, signed = signature_of(wiring, cluster, manifest)
    standing = shelf.standing(manifest)
    times = (("verified again", standing.verified), ("proved by a restore", standing.restored))
    since = tuple(f"{what} at {at:%Y-%m-%d %H:%M}Z" for what, at in times if at)
    return Provenance(manifest, signature, signed, store.locked(manifest.key), (*since, *standing.words))


def signature_of(wiring: "Wiring", cluster: str, manifest: "Manifest") -> tuple[str, bool | None]:
    """Whose it is; and whether that is one that counts, None where the inventory trusts nobody in particular."""
    trust = wiring.settings.cluster(cluster).trust
    if not manifest.signature:
        return "not signed", False if trust else None
    try:
        key = parsed(manifest.signature).key
    except NotApproved as error:
        return f"its signature cannot be read: {error}", False
    if why := why_not(manifest, trust or (key,), wiring.signatures):
        return why, False
    if trust:
        return f"signed by {fingerprint(key)}, which `trust` names", True
    return f"signed by {fingerprint(key)}; `trust` names nobody, so whose key that is nobody has said", None


def losses(wiring: "Wiring", record: Record, plan: Plan | None, cluster: str) -> tuple[Lost, str]:
    """By the revision clock, at the time when it was asked for."""
    if record.operation.rpartition("-")[0] != "restore":
        return Lost(), f"not measured: a {noun(record.operation.rpartition('-')[0])} gives up no writes"
    if plan is None or (record.outcome or {}).get("outcome") != "restored":
        return Lost(), "nothing was brought back, so nothing was given up"
    if plan.chosen.source:
        return Lost(), "not known: a member's own data was restored, and nobody knows what the others held"
    chosen, asked = plan.snapshot, began(record.operation)
    since = seconds(chosen.created_at)
    if since is None:
        return Lost(), "not known: the plan does not say when the snapshot was begun"
    try:
        ticks = [tick for tick in wiring.ticks.since(cluster, since) if tick.heard <= asked]
    except QuorateError as error:
        return Lost(), f"not known: {error}"
    found = loss(ticks, chosen.cluster_id, chosen.revision, since, asked)
    own = sum(tick.cluster_id == chosen.cluster_id for tick in ticks)
    heard = f"by {own} look{'s' if own > 1 else ''} of the revision clock"
    how = heard if own else "the revision clock has not heard of it since"
    return Lost(round(found.least_s, 3), round(found.most_s, 3)), f"how much time's writes were lost: {how}"


def before(wiring: "Wiring", operation: str, cluster: str) -> tuple[Row, ...]:
    """The last five of its kind on this cluster that are on record here, the newest first."""
    kind, at = operation.rpartition("-")[0], began(operation)
    found: list[Row] = []
    for home in homes(wiring.settings.operations):
        earlier = home.name != operation and home.name.rpartition("-")[0] == kind and began(home.name) <= at
        if earlier and (line := row_of(wiring, home, cluster)):
            found.append(line)
        if len(found) == LAST:
            break
    return tuple(found)


def rows(wiring: "Wiring", cluster: str) -> Iterator[Row]:
    """Every operation of the cluster that a trend is about."""
    for home in homes(wiring.settings.operations):
        if home.name.rpartition("-")[0] in KINDS and (line := row_of(wiring, home, cluster)):
            yield line


def homes(root: Path) -> list[Path]:
    found = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    return sorted(found, key=lambda path: path.name.rpartition("-")[2], reverse=True)


def row_of(wiring: "Wiring", home: Path, cluster: str) -> Row | None:
    """Nothing for one of another cluster, and for what cannot be read."""
    weighty = home.name.rpartition("-")[0] in WEIGHTY
    record = whole(home) if weighty else light(home)
    if whose(home, record) != cluster or record.outcome is None:
        return None
    try:
        found = row(record.operation, record.outcome, record.chains)
    except QuorateError:
        return None
    lost = losses(wiring, record, plan_of(record), cluster)[0] if weighty else None
    return replace(found, rpo_least_s=lost.least_s, rpo_most_s=lost.most_s) if lost else found


def whole(home: Path) -> Record:
    found = local(home.parent, home.name)
    assert found, "it was listed a moment ago"
    return found


def light(home: Path) -> Record:
    """As far as its outcome: plans and trails are large."""
    files = {path.name: path.read_text(errors="replace") for path in home.glob("outcome*.json")}
    return Record(home.name, str(home), files)
