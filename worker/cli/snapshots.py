"""`quorate snapshots`: what can be restored."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.errors import BadInput
from worker.cli.fetching import SnapshotId, pull, verify
from worker.cli.options import As, Output, given, say, say_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quorate.catalogue import Manifest, Shelf
    from worker.wiring import Wiring

FINDINGS = 3

app = typer.Typer(help="What can be restored.", no_args_is_help=True, rich_markup_mode=None)

MaybeCluster = Annotated[str, typer.Argument(metavar="[CLUSTER]", help="All clusters if left out.")]


@app.command()
def ls(ctx: typer.Context, cluster: MaybeCluster = "", output: As = Output.TABLE) -> int:
    """Every snapshot with a manifest that is believed, the newest first."""
    wiring = given(ctx).wiring()
    shelves = {
        name: shelf_of(wiring, name) for name in ([cluster] if cluster else wiring.settings.inventory.clusters)
    }
    manifests = [each for shelf in shelves.values() for each in reversed(shelf.manifests)]
    why = {id_: said for name in shelves for id_, said in doubts(wiring, name, shelves[name]).items()}
    damaged = {key: why for shelf in shelves.values() for key, why in shelf.damaged.items()}
    if output is Output.JSON:
        rows = [{**brief(each), "doubted": why.get(each.id)} for each in manifests]
        say_json({"snapshots": rows, "damaged": damaged})
    else:
        say(listing(manifests) if manifests else "there are no snapshots")
        for each, said in why.items():
            say(f"does not count: {each}: {said}")
        for said in damaged.values():
            say(f"not believed: {said}")
    return FINDINGS if damaged or why else 0


@app.command()
def show(ctx: typer.Context, snapshot: SnapshotId, output: As = Output.TABLE) -> int:
    """One manifest, whole."""
    found = named(given(ctx).wiring(), snapshot)
    if output is Output.JSON:
        say_json(found.model_dump(mode="json"))
    else:
        say(details(found))
    return 0


app.command()(verify)
app.command()(pull)


def named(wiring: "Wiring", snapshot: str) -> "Manifest":
    """By its id, or `CLUSTER/latest`; BadInput names the newest that there are."""
    from quorate.catalogue import LATEST, find

    cluster, slash, name = snapshot.partition("/")
    if not slash:
        raise BadInput(f"{snapshot!r} is not a snapshot: expected CLUSTER/TIME-REVISION", next="quorate snapshots ls")
    shelf = shelf_of(wiring, cluster)
    wanted = LATEST if name == LATEST else snapshot
    return find(shelf.manifests, wanted, cluster, (), doubts(wiring, cluster, shelf))


def doubts(wiring: "Wiring", cluster: str, shelf: "Shelf") -> "Mapping[str, str]":
    from quorate.provenance import doubted

    return doubted(shelf.manifests, wiring.settings.cluster(cluster).trust, wiring.signatures)


def shelf_of(wiring: "Wiring", cluster: str) -> "Shelf":
    from quorate.catalogue import shelf

    return shelf(wiring.stores.at(wiring.settings.store(cluster)), cluster)


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


def listing(manifests: "list[Manifest]") -> str:
    from datetime import UTC, datetime

    from worker.screen import size, span, table

    now = datetime.now(UTC)
    rows = [["SNAPSHOT", "AGE", "REVISION", "SIZE", "STORED", "ETCD", "CLUSTER ID", "OUTCOME"]]
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
        ]
        for each in manifests
    ]
    return table(rows)


def details(each: "Manifest") -> str:
    from worker.screen import table

    flat = {**brief(each), "key": each.key, "member": each.source.name, "operation": each.operation, "by": each.actor}
    flat |= {f"keys {prefix or 'in all'}": count for prefix, count in each.keys.items()}
    flat |= {"stored_sha256": each.stored_sha256, "db_sha256": each.db_sha256}
    flat |= {f"finding {number}": finding for number, finding in enumerate(each.findings, 1)}
    return table([[name, str(value)] for name, value in flat.items()])
