"""`quorate snapshots import`: what `etcdctl snapshot save`, k3s or a cron job has left becomes a backup."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.errors import BadInput
from worker.cli.options import Actor, As, ClusterName, Output, actor, contract, given, new_id, plain
from worker.cli.results import BACKUP_FIELDS, told

if TYPE_CHECKING:
    from quorate.clusters.cluster import ClusterSeen
    from worker.wiring import Wiring

FileName = Annotated[
    Path, typer.Argument(metavar="FILE", help="A snapshot: plain, or packed by zstd, gzip or (k3s) zip.")
]
ClusterId = Annotated[
    str, typer.Option("--cluster-id", metavar="HEX", help="Whose it is; of the members that answer if left out.")
]
EtcdVersion = Annotated[
    str, typer.Option("--etcd-version", metavar="X.Y.Z", help="That it was taken with; likewise if left out.")
]
At = Annotated[
    str, typer.Option("--at", metavar="TIME", help="When it was taken, in ISO 8601; the file's own time if left out.")
]


def import_snapshot(
    ctx: typer.Context,
    file: FileName,
    cluster: ClusterName,
    *,
    cluster_id: ClusterId = "",
    etcd_version: EtcdVersion = "",
    at: At = "",
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Prove a snapshot that somebody else has saved, encrypt and store it, and give it a manifest that says so.

    Exit 3: it counts, and the finding names who imported it; 7: it is no whole snapshot, and nothing was stored.
    """
    from quorate.backup import Origin, importing, result
    from quorate.backups.request import request
    from quorate.command import Ticket
    from worker.cli.records import closed

    here = given(ctx)
    with contract(here, output, dict.fromkeys(BACKUP_FIELDS)) as fields:
        wiring = here.wiring()
        wiring.settings.cluster(cluster)
        if not file.is_file():
            raise BadInput(f"{file} is not there, or is no file")
        taken = when(at, file)
        known = Known(wiring, cluster)
        said = f"its time, cluster and version are as they say; the file was {file.name}"
        origin = Origin(known.cluster_id(cluster_id), known.version(etcd_version), said)
        asked = request(wiring.settings.inventory, cluster, new_id("import"), actor(who))
        fields["operation"] = asked.operation
        ticket = Ticket(asked.operation, 1, 1, "import", asked.actor)
        with closed(wiring, ticket.operation, "degraded", fields):
            task = importing(asked, origin)
            made = result(wiring.importing.store(task, file, int(taken.timestamp()), ticket, lambda _: None))
            fields.update(plain(made), cluster=cluster)
    return told(made, here, output)


def when(said: str, file: Path) -> datetime:
    """BadInput for what is no time, or one that is yet to come."""
    try:
        at = datetime.fromisoformat(said) if said else datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except ValueError as error:
        raise BadInput(f"--at {said!r}: expected a time such as 2026-11-21T10:45:00Z") from error
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at > datetime.now(UTC):
        raise BadInput(f"--at {at:%Y-%m-%d %H:%M:%SZ} is yet to come")
    return at.astimezone(UTC)


class Known:
    """What the members say of themselves, asked once and only if it is needed."""

    def __init__(self, wiring: "Wiring", cluster: str) -> None:
        self._wiring, self._cluster = wiring, cluster
        self._seen: ClusterSeen | None = None

    def cluster_id(self, said: str) -> str:
        if said and not (len(said) <= 16 and set(said) <= set("0123456789abcdef")):
            raise BadInput(
                f"--cluster-id {said!r}: expected up to 16 hexadecimal digits, as `cluster-id` in etcd's log"
            )
        return said or self._survey().cluster_id or missing("--cluster-id", self._cluster)

    def version(self, said: str) -> str:
        versions = sorted({each.version for each in self._survey().answering.values()}) if not said else []
        return said or (versions[0] if versions else missing("--etcd-version", self._cluster))

    def _survey(self) -> "ClusterSeen":
        settings = self._wiring.settings
        if self._seen is None:
            self._seen = self._wiring.surveyor.survey(
                self._cluster, settings.cluster(self._cluster), settings.store(self._cluster)
            )
        return self._seen


def missing(option: str, cluster: str) -> str:
    raise BadInput(f"no member of {cluster} answers, so nobody but you can say it: give {option}; nothing was stored")
