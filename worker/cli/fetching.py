"""`quorate snapshots verify` and `pull`: what lies in the store, fetched, opened and looked at again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.errors import BadInput, Corrupt, Failed, Refusal
from worker.cli.options import (
    Actor,
    As,
    Output,
    Patience,
    StoreName,
    actor,
    contract,
    duration,
    given,
    new_id,
    say,
    say_json,
)
from worker.cli.waiting import HOUR, Waiting

if TYPE_CHECKING:
    from quorate.backups.catalogue import Manifest
    from quorate.ports import Store
    from worker.wiring import Wiring

FIELDS = ("snapshot", "ok", "size_bytes", "sha256", "revision", "encrypted", "file")
SnapshotId = Annotated[
    str, typer.Argument(metavar="SNAPSHOT", help="As `quorate snapshots ls` shows it, or CLUSTER/latest.")
]
Which = Annotated[
    str,
    typer.Argument(
        metavar="SNAPSHOT|CLUSTER", help="One of `quorate snapshots ls`, CLUSTER/latest, or a whole cluster."
    ),
]
Restore = Annotated[bool, typer.Option("--restore", help="Start an etcd from it in the sandbox, and compare that.")]
Target = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A new file, for its owner alone.")]
BundleTo = Annotated[
    Path | None,
    typer.Option("--bundle", metavar="FILE", help="Its bundle as a tar, with the private keys in it, in the clear."),
]


def verify(
    ctx: typer.Context,
    snapshot: Which,
    *,
    store: StoreName = "",
    restore: Restore = False,
    who: Actor = "",
    wait_timeout: Patience = HOUR,
    output: As = Output.TABLE,
) -> int:
    """Fetch it, open it, compare hashes and content, look at every page; mark what was found. Exit 7 if not sound.

    Of a cluster: every snapshot that was not proved for `backup.verify_within`, by the daemon; 3 if one is not sound.
    With --restore an etcd is started from it in the sandbox, by the daemon; of a cluster from the newest that counts.
    """
    if restore:
        return proved(ctx, snapshot, store, output, actor(who), duration(wait_timeout))
    if "/" not in snapshot:
        return all_told(ctx, snapshot, store, output, actor(who), duration(wait_timeout))
    return looked_at(ctx, snapshot, store, output, actor(who))


def pull(
    ctx: typer.Context,
    snapshot: SnapshotId,
    to: Target = None,
    bundle: BundleTo = None,
    store: StoreName = "",
    output: As = Output.TABLE,
) -> int:
    """The bytes that etcd sent, in a file, proved on the way: for `etcdutl snapshot restore` by hand.

    With --bundle what the nodes had beside them too: certificates, keys, units and settings.
    """
    here, file, tar = given(ctx), to.absolute() if to else None, bundle.absolute() if bundle else None
    with contract(here, output, dict.fromkeys(FIELDS)) as fields:
        if not (file or tar):
            raise BadInput("nothing was asked for: expected FILE, --bundle FILE or both")
        found = Trusted.of(here.wiring(), snapshot, store, fields)
        fields["file"] = str(file) if file else None
        if tar:
            written(tar, found.bundle())
            fields["bundle"] = str(tar)
        if file:
            written(file, found.bytes_sent())
        fields.update(found.sound())
    if output is Output.JSON:
        say_json(fields)
        return 0
    if file:
        say(sentence(found.manifest, file))
    if tar:
        say(f"the bundle of {found.manifest.id} is in {tar}, with private keys in the clear: `tar tvf {tar}`")
    return 0


def all_told(ctx: typer.Context, cluster: str, store: str, output: Output, who: str, patience_s: float) -> int:
    from quorate.verify import request
    from worker.cli.results import VERIFY_FIELDS, told

    here = given(ctx)
    with contract(here, output, dict.fromkeys(VERIFY_FIELDS)) as fields:
        settings = here.settings()
        settings.cluster(cluster)
        asked = replace(
            request(settings.inventory, cluster, new_id("verify"), who), store=settings.store(cluster, store)
        )
        result = Waiting(here, output, patience_s, fields).begin(settings, "verify", asked)
    return told(result, here, output)


def proved(ctx: typer.Context, snapshot: str, store: str, output: Output, who: str, patience_s: float) -> int:
    """A name is looked up first, so that the operation is about one snapshot."""
    from quorate.prove import request
    from worker.cli.results import PROVE_FIELDS, told
    from worker.cli.snapshots import named

    here = given(ctx)
    with contract(here, output, dict.fromkeys(PROVE_FIELDS)) as fields:
        settings, cluster = here.settings(), snapshot.partition("/")[0]
        settings.cluster(cluster)
        asked = request(settings.inventory, cluster, new_id("prove"), who)
        found = named(here.wiring(), snapshot, store).id if "/" in snapshot else ""
        asked = replace(asked, store=settings.store(cluster, store), snapshot=found)
        result = Waiting(here, output, patience_s, fields).begin(settings, "prove", asked)
    return told(result, here, output)


def looked_at(ctx: typer.Context, snapshot: str, store: str, output: Output, who: str) -> int:
    """One snapshot, verified in this process."""
    here = given(ctx)
    with contract(here, output, dict.fromkeys(FIELDS)) as fields:
        found = Trusted.of(here.wiring(), snapshot, store, fields)
        verified(found.wiring, found.manifest, store, who, fields)
        fields.update(found.sound())
    if output is Output.JSON:
        say_json(fields)
    else:
        say(sentence(found.manifest, None))
    return 0


@dataclass(frozen=True, slots=True)
class Trusted:
    """A snapshot that somebody who is trusted has signed, and the store that it lies in."""

    wiring: "Wiring"
    manifest: "Manifest"
    store: str

    @classmethod
    def of(cls, wiring: "Wiring", snapshot: str, store: str, fields: dict[str, Any]) -> "Trusted":
        """What is known of it is in the fields from then on, also where it is refused."""
        from quorate.backups.provenance import why_not
        from worker.cli.snapshots import named

        found = named(wiring, snapshot, store)
        fields.update(snapshot=found.id, ok=False, encrypted=found.encryption is not None)
        trust = wiring.settings.cluster(found.cluster).trust
        if trust and (why := why_not(found, trust, wiring.signatures)):
            raise Refusal(f"{found.id}: {why}", next=f"quorate snapshots ls {found.cluster}")
        return cls(wiring, found, store)

    def bytes_sent(self) -> Iterator[bytes]:
        """By etcd, proved on the way."""
        from activities.streams.fetched import fetched

        return fetched(self._there, self.wiring.cipher, self.manifest, self._identities)

    def bundle(self) -> Iterator[bytes]:
        from activities.backups.unbundling import pulled

        return pulled(self._there, self.wiring.cipher, self.manifest, self._identities)

    def sound(self) -> dict[str, Any]:
        """The fields of one that was looked at whole."""
        each = self.manifest
        return {"ok": True, "size_bytes": each.size_bytes, "sha256": each.sha256, "revision": each.revision}

    @property
    def _there(self) -> "Store":
        return self.wiring.stores.at(self.wiring.settings.store(self.manifest.cluster, self.store))

    @property
    def _identities(self) -> tuple[str, ...]:
        return self.wiring.settings.cluster(self.manifest.cluster).backup.identities


def verified(wiring: "Wiring", found: "Manifest", store: str, who: str, fields: dict[str, Any]) -> None:
    """With a mark that says so, or one that keeps it from being meant by `latest`."""
    from quorate.command import Ticket
    from worker.cli.records import closed

    ticket = Ticket(new_id("verify"), 1, 1, "verify", who)
    identities = wiring.settings.cluster(found.cluster).backup.identities
    fields.update(operation=ticket.operation, cluster=found.cluster)
    try:
        with closed(wiring, ticket.operation, "sound", fields):
            there = wiring.marking(found.cluster, store, ticket)
            wiring.verifying.proved(there, found, identities, ticket)
            if why := wiring.verifying.bundle(there, found, identities):
                raise Failed(f"{found.id} is sound, its bundle is not: {why}", next=f"quorate backup {found.cluster}")
    except Corrupt as error:
        following = f"quorate snapshots ls {found.cluster}"
        raise Corrupt(f"{found.id} is quarantined, `latest` passes over it: {error}", next=following) from error


def sentence(found: "Manifest", file: Path | None) -> str:
    from worker.screen import size

    sound = f"{found.id} is sound: {size(found.size_bytes)}, revision {found.revision}, sha256 {found.sha256}"
    return f"{sound}\n  in {file}; `etcdutl snapshot status {file} -w table` looks at it" if file else sound


def written(to: Path, pieces: Iterator[bytes]) -> None:
    """Under its name only when it is whole and on the disk; never over another."""
    part = to.with_name(f".{to.name}.part")
    with laid(to, part), os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    with input_errors(to):
        os.link(part, to)
        part.unlink()


@contextmanager
def laid(to: Path, part: Path) -> Iterator[None]:
    """What is half written goes."""
    if to.exists():
        raise BadInput(f"{to} is there already; nothing was written")
    with input_errors(to):
        try:
            yield
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise


@contextmanager
def input_errors(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(f"{to} cannot be written: {error.strerror}") from error
