"""`quorate keys`: for whom backups are encrypted, who can open them, and how a key is changed."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.errors import BadInput, QuorateError
from worker.cli.options import As, ClusterName, Output, StoreName, contract, given, say, say_json

if TYPE_CHECKING:
    from quorate.backups.catalogue import Manifest
    from quorate.ports import Cipher
    from quorate.settings.policies import Backup
    from worker.wiring import Wiring

FINDINGS = 3
LS_FIELDS = ("cluster", "recipients", "identities", "newest", "still_for")
TEST_FIELDS = ("cluster", "snapshot", "ok", "size_bytes", "sha256", "identity")
ROTATE_FIELDS = ("cluster", "recipient", "file", "needed_for", "next")

app = typer.Typer(
    help="For whom backups are encrypted, and who can open them.", no_args_is_help=True, rich_markup_mode=None
)

IdentityFile = Annotated[
    Path, typer.Option("--identity", metavar="FILE", help="The key that is tried, such as the one from the safe.")
]
NewFile = Annotated[Path, typer.Option("--to", metavar="FILE", help="A new file, for its owner alone.")]


@dataclass(frozen=True, slots=True)
class Row:
    """One recipient of the inventory; `opened_by` are references, `why` is what keeps it from being used."""

    recipient: str
    opened_by: tuple[str, ...]
    newest: bool
    why: str = ""


@app.command()
def ls(ctx: typer.Context, cluster: ClusterName, output: As = Output.TABLE) -> int:
    """Each recipient: whether an identity of ours opens what is for it, and whether the newest backup is too."""
    here = given(ctx)
    with contract(here, output, dict.fromkeys(LS_FIELDS)) as fields:
        wiring = here.wiring()
        policy = wiring.settings.cluster(cluster).backup
        found = manifests(wiring, cluster)
        newest = found[-1] if found else None
        rows = [row(wiring.cipher, each, policy, newest) for each in policy.recipients]
        former = others(found, policy)
        fields.update(cluster=cluster, identities=list(policy.identities), still_for=former)
        fields.update(newest=newest.id if newest else None, recipients=[as_object(each) for each in rows])
    if output is Output.JSON:
        say_json({**fields, "error": None})
    else:
        say(listing(rows, newest, former, policy))
    opens = any(each.opened_by for each in rows)
    return 0 if opens and all(each.newest or newest is None for each in rows) else FINDINGS


@app.command("test")
def tried(
    ctx: typer.Context, cluster: ClusterName, identity: IdentityFile, store: StoreName = "", output: As = Output.TABLE
) -> int:
    """Whether this key opens the newest backup: all of it is fetched, opened and compared; nothing is kept."""
    from activities.streams.checksums import drain
    from activities.streams.fetched import fetched
    from worker.cli.snapshots import named

    here = given(ctx)
    reference = f"file:{identity.absolute()}"
    with contract(here, output, dict.fromkeys(TEST_FIELDS)) as fields:
        wiring = here.wiring()
        newest = named(wiring, f"{cluster}/latest", store)
        fields.update(cluster=cluster, snapshot=newest.id, ok=False, identity=reference)
        if not newest.encryption:
            raise BadInput(f"{newest.id} is not encrypted: every key opens it", next=f"quorate keys ls {cluster}")
        there = wiring.stores.at(wiring.settings.store(cluster, store))
        drain(fetched(there, wiring.cipher, newest, (reference,)))
        fields.update(ok=True, size_bytes=newest.size_bytes, sha256=newest.sha256)
    if output is Output.JSON:
        say_json({**fields, "error": None})
    else:
        say(f"{identity} opens {newest.id}: {newest.size_bytes} bytes, sha256 {newest.sha256}")
    return 0


@app.command()
def rotate(ctx: typer.Context, cluster: ClusterName, to: NewFile, output: As = Output.TABLE) -> int:
    """Make a new key in a new file, and say what to change in the inventory and how long the old ones are needed."""
    here = given(ctx)
    with contract(here, output, dict.fromkeys(ROTATE_FIELDS)) as fields:
        wiring = here.wiring()
        wiring.settings.cluster(cluster)
        needed = [each.id for each in manifests(wiring, cluster) if each.encryption]
        pair = wiring.cipher.pair()
        kept(to.absolute(), f"# public key: {pair.recipient}\n{pair.identity}\n")
        following = f"quorate backup {cluster}"
        fields.update(cluster=cluster, recipient=pair.recipient, file=str(to.absolute()))
        fields.update(needed_for=needed, next=here.command(following))
    if output is Output.JSON:
        say_json({**fields, "error": None})
    else:
        say(told(cluster, pair.recipient, to.absolute(), needed, here.command(following)))
    return 0


def manifests(wiring: "Wiring", cluster: str) -> "list[Manifest]":
    """Those that count, oldest first."""
    from worker.cli.snapshots import discounted, shelf_of

    shelf = shelf_of(wiring, cluster, "")
    out = discounted(wiring, cluster, shelf)
    return [each for each in shelf.manifests if each.counts and each.id not in out]


def row(cipher: "Cipher", recipient: str, policy: "Backup", newest: "Manifest | None") -> Row:
    """Tried, not looked up: a few bytes are encrypted for it alone."""
    held = newest.recipients if newest else ()
    try:
        sealed = b"".join(cipher.encrypted((b"a few bytes",), (recipient,)))
    except QuorateError as error:
        return Row(recipient, (), recipient in held, str(error))
    opened = tuple(each for each in policy.identities if opens(cipher, sealed, each))
    return Row(recipient, opened, recipient in held)


def opens(cipher: "Cipher", sealed: bytes, identity: str) -> bool:
    try:
        return b"".join(cipher.decrypted((sealed,), (identity,), "a sample")) == b"a few bytes"
    except QuorateError:
        return False


def others(found: "list[Manifest]", policy: "Backup") -> dict[str, int]:
    """Recipients that are in no inventory any more, and how many backups are encrypted for none of today's."""
    former: dict[str, int] = {}
    for each in found:
        if each.encryption and not set(each.encryption.recipients) & set(policy.recipients):
            for recipient in each.encryption.recipients:
                former[recipient] = former.get(recipient, 0) + 1
    return former


def kept(path: Path, text: str) -> None:
    """For its owner alone, on the disk, and never over another."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise BadInput(f"{path} is there already; nothing was written") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error


def as_object(each: Row) -> dict[str, Any]:
    return {
        "recipient": each.recipient,
        "opened_by": list(each.opened_by),
        "newest_backup": each.newest,
        "error": each.why or None,
    }


def listing(rows: list[Row], newest: "Manifest | None", former: dict[str, int], policy: "Backup") -> str:
    from worker.screen import table

    if not policy.recipients:
        return "backups are not encrypted (backup.recipients is empty): whoever reads the store reads every Secret"
    cells = [
        [
            brief(each.recipient),
            each.why or ", ".join(each.opened_by) or "nobody here: an escrow key, or a lost one",
            "-" if newest is None else "yes" if each.newest else "NO",
        ]
        for each in rows
    ]
    lines = [table([["RECIPIENT", "OPENED HERE BY", "NEWEST BACKUP"], *cells])]
    lines += [f"{count} older backups can be opened by {brief(key)} alone" for key, count in former.items()]
    return "\n".join(lines)


def brief(recipient: str) -> str:
    return recipient if len(recipient) <= 72 else f"{recipient[:60]}…{recipient[-8:]}"


def told(cluster: str, recipient: str, file: Path, needed: list[str], following: str) -> str:
    old = f"the old keys are needed for {len(needed)} backups, until the last of them is pruned"
    return "\n".join(
        [
            f"a new key is in {file}: put a copy of it where a fire that takes this machine does not reach it",
            f"1. in the inventory of {cluster}: into backup.recipients in the place of the one that goes:",
            f'     - "{recipient}"',
            "   and into backup.identities, beside the old one:",
            f'     - "file:{file}"',
            f"2. quorate down and up, then {following}",
            f"3. {old if needed else 'no backup needs the old keys'}",
        ]
    )
