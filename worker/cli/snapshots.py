"""`quorate snapshots`: what can be restored."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.errors import BadInput
from worker.cli.fetching import SnapshotId, pull, verify
from worker.cli.importing import import_snapshot
from worker.cli.marking import protect, unprotect
from worker.cli.options import As, Output, StoreName, given, say, say_json
from worker.cli.pruning import prune

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from quorate.backups.catalogue import Live, Manifest, Shelf
    from quorate.backups.marks import Standing
    from worker.wiring import Wiring

FINDINGS = 3
LAST = 100  # more than that nobody reads
ELSEWHERE = "in no directory"

app = typer.Typer(help="What can be restored.", no_args_is_help=True, rich_markup_mode=None)

MaybeCluster = Annotated[str, typer.Argument(metavar="[CLUSTER]", help="All clusters if left out.")]


Fresh = Annotated[bool, typer.Option("--fresh", help="Compare with the store, however short ago that was done.")]
Everything = Annotated[bool, typer.Option("--all", help=f"Those before the last {LAST} as well.")]
Rebuild = Annotated[bool, typer.Option("--rebuild", help="Read all of the store again, and remember that instead.")]


@app.command()
def ls(
    ctx: typer.Context,
    cluster: MaybeCluster = "",
    store: StoreName = "",
    fresh: Fresh = False,
    rebuild: Rebuild = False,
    everything: Everything = False,
    output: As = Output.TABLE,
) -> int:
    """The snapshots with a manifest that is believed, the newest first: for people the last 100, for scripts all."""
    from worker.cli.shelves import How, Shelves, said_of

    how = How.REBUILT if rebuild else How.COMPARED if fresh else How.REMEMBERED
    there = Shelves(given(ctx).settings(), how)
    last = 0 if everything or output is Output.JSON else LAST
    found = {
        name: there.of(name, store, last) for name in ([cluster] if cluster else there.settings.inventory.clusters)
    }
    shelves = {name: each.shelf for name, each in found.items()}
    manifests = [each for shelf in shelves.values() for each in reversed(shelf.manifests)]
    why = {id_: said for each in found.values() for id_, said in each.discounted.items()}
    damaged = {key: why for shelf in shelves.values() for key, why in shelf.damaged.items()}
    marks = {each.id: shelf.standing(each) for shelf in shelves.values() for each in shelf.manifests}
    if output is Output.JSON:
        rows = [{**brief(each), **standing(marks[each.id]), "doubted": why.get(each.id)} for each in manifests]
        compared = {name: each.compared.isoformat() for name, each in found.items()}
        say_json({"snapshots": rows, "damaged": damaged, "compared_at": compared})
    else:
        say(listing(manifests, marks) if manifests else "there are no snapshots")
        for each, said in why.items():
            say(f"does not count: {each}: {said}")
        for said in damaged.values():
            say(f"not believed: {said}")
        for said in said_of(found):
            say(said)
    return FINDINGS if damaged or why else 0


@app.command()
def show(ctx: typer.Context, snapshot: SnapshotId, store: StoreName = "", output: As = Output.TABLE) -> int:
    """One manifest, whole."""
    wiring = given(ctx).wiring()
    found = named(wiring, snapshot, store)
    marks = shelf_of(wiring, found.cluster, store).standing(found)
    if output is Output.JSON:
        say_json(found.model_dump(mode="json"))
    else:
        say(details(found, marks))
        if found.bundle:
            say(beside(found.bundle.files))
    return 0


app.command()(verify)
app.command()(pull)
app.command()(prune)
app.command("import")(import_snapshot)
app.command()(protect)
app.command()(unprotect)


def named(wiring: "Wiring", snapshot: str, store: str) -> "Manifest":
    """By its id, or `CLUSTER/latest`; BadInput names the newest that there are."""
    from quorate.backups.catalogue import LATEST, find

    cluster, slash, name = snapshot.partition("/")
    if not slash:
        raise BadInput(f"{snapshot!r} is not a snapshot: expected CLUSTER/TIME-REVISION", next="quorate snapshots ls")
    shelf = shelf_of(wiring, cluster, store)
    if name != LATEST:  # then no signature but its own is anybody's business
        return find(shelf.manifests, snapshot, cluster, ())
    return find(shelf.manifests, LATEST, cluster, (), discounted(wiring, cluster, shelf))


def discounted(wiring: "Wiring", cluster: str, shelf: "Shelf") -> "Mapping[str, str]":
    """Why some do not count, by id, beside those that say so themselves."""
    from quorate.backups.provenance import doubted

    trust = wiring.settings.cluster(cluster).trust
    return {**shelf.quarantined, **doubted(shelf.manifests, trust, wiring.signatures)}


def shelf_of(wiring: "Wiring", cluster: str, store: str) -> "Shelf":
    settings = wiring.settings.store(cluster, store)
    return wiring.catalogued(settings, cluster).look(wiring.stores.at(settings))


def brief(each: "Manifest") -> dict[str, Any]:
    return {
        "snapshot": each.id,
        "created_at": each.created_at.isoformat(),
        "revision": each.revision,
        "size_bytes": each.size_bytes,
        "stored_bytes": each.stored_bytes,
        "sha256": each.sha256,
        "cluster_id": each.cluster_id,
        "etcd_version": each.source.version,
        "outcome": each.outcome,
    }


def standing(marks: "Standing") -> dict[str, Any]:
    return {
        "verified_at": marks.verified.isoformat() if marks.verified else None,
        "restored_at": marks.restored.isoformat() if marks.restored else None,
        "quarantined_at": marks.quarantined.isoformat() if marks.quarantined else None,
        "protected": marks.protected,
    }


def proved(each: "Manifest", marks: "Standing", now: "datetime") -> str:
    """How far it is proved, and when; every one was read back before it was published."""
    from worker.screen import span

    known = {"restored": marks.restored, "verified": marks.verified, "read back": each.created_at}
    if marks.restored == marks.verified:
        del known["verified"]  # a restore is that too
    said = [f"{how} {span((now - at).total_seconds())} ago" for how, at in known.items() if at]
    return ", ".join((*said[: max(1, len(said) - 1)], *marks.words))


def listing(manifests: "list[Manifest]", marks: "dict[str, Standing]") -> str:
    from datetime import UTC, datetime

    from worker.screen import size, span, table

    now = datetime.now(UTC)
    rows = [["SNAPSHOT", "AGE", "REVISION", "SIZE", "STORED", "ETCD", "CLUSTER ID", "OUTCOME", "PROVED"]]
    rows += [
        [
            each.id,
            span((now - each.created_at).total_seconds()),
            str(each.revision),
            size(each.size_bytes),
            size(each.stored_bytes),
            each.source.version,
            each.cluster_id,
            each.outcome,
            proved(each, marks[each.id], now),
        ]
        for each in manifests
    ]
    return table(rows)


def details(each: "Manifest", marks: "Standing") -> str:
    from datetime import UTC, datetime

    from worker.screen import table

    flat = {**brief(each), "key": each.key, "member": each.source.name, "operation": each.operation, "by": each.actor}
    flat |= {"proved": proved(each, marks, datetime.now(UTC))}
    flat |= {f"keys {prefix or 'in all'}": count for prefix, count in each.keys.items()}
    flat |= {f"live {prefix or ELSEWHERE}": said(live) for prefix, live in each.live.items()}
    flat |= held(each)
    if each.bundle:
        flat |= {
            "bundle": each.bundle.key,
            "bundle size": each.bundle.size_bytes,
            "bundle sha256": each.bundle.sha256,
        }
    flat |= {"stored_sha256": each.stored_sha256, "db_sha256": each.db_sha256}
    flat |= {f"finding {number}": finding for number, finding in enumerate(each.findings, 1)}
    return table([[name, str(value)] for name, value in flat.items()])


def beside(files: "Mapping[str, tuple[str, ...]]") -> str:
    """What its bundle holds, node by node; the files themselves `pull --bundle` gives."""
    from quorate.backups.bundle import by_node

    nodes = by_node(files)
    return "\n".join(f"\nof {name}, {len(paths)} files:\n  " + "\n  ".join(paths) for name, paths in nodes.items())


def said(live: "Live") -> str:
    return f"{live.keys}, of them leased {live.leased}" if live.leased else str(live.keys)


def held(each: "Manifest") -> dict[str, object]:
    """What the read-back has found in it."""
    if not each.content or not each.pages:
        return {}
    return {
        **{f"records {prefix or ELSEWHERE}": count for prefix, count in each.content.prefixes.items()},
        "records in all": each.content.records,
        "content": each.content.digest,
        "pages": f"{each.pages.used} in use, {each.pages.free} free, of them torn {each.pages.torn}",
    }
