"""`quorate operations`, and the verbs that steer one: watch, approve, retry, skip, rollback, abort, cancel."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from quorate.errors import BadInput, QuorateError, Refusal, StillRunning
from worker.cli.options import (
    Actor,
    As,
    Given,
    OperationId,
    Output,
    Patience,
    actor,
    contract,
    duration,
    given,
    paint,
    say,
    say_json,
    warn,
)
from worker.cli.results import RESTORE_FIELDS, after, told
from worker.cli.waiting import HOUR, Waiting, operations

if TYPE_CHECKING:
    from quorate.operation import Awaiting
    from quorate.plan import Plan
    from worker.operations import Found, Operations
    from worker.record import Record
    from worker.returned import Result
    from worker.settings import Settings


T = TypeVar("T")
DIGEST_MIN = 12
RECORDED_S = 30.0
FIELDS = ("operation", "done")

app = typer.Typer(help="What ran, and what runs.", no_args_is_help=True, rich_markup_mode=None)

Digest = Annotated[str, typer.Option("--digest", metavar="DIGEST", help="Of the plan that you have read.")]
Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="Your SSH key, private or public; your agent's if left out."),
]
Signed = Annotated[
    Path | None, typer.Option("--signature", metavar="FILE", help="Made elsewhere, over what --print-message prints.")
]
Printed = Annotated[bool, typer.Option("--print-message", help="Print what has to be signed, and approve nothing.")]


@app.command()
def ls(ctx: typer.Context, output: As = Output.TABLE) -> int:
    """Every operation on record here, and what runs now, the newest first."""
    from worker.cli.records import locals_of
    from worker.screen import table

    settings = given(ctx).settings()
    rows = {each.operation: entry(each) for each in locals_of(settings.operations)}
    known = asked(settings, lambda client: client.recent())
    for each in known or ():
        rows[each.operation] = merged(rows.get(each.operation, {}), each)
    newest_first = sorted(rows.values(), key=lambda row: row["operation"].rpartition("-")[2], reverse=True)
    if output is Output.JSON:
        say_json({"operations": newest_first, "daemon": known is not None})
        return 0
    columns = ("operation", "cluster", "state", "snapshot", "duration_s")
    cells = [
        [str(row.get(column) if row.get(column) is not None else "-") for column in columns] for row in newest_first
    ]
    say(
        table([["OPERATION", "CLUSTER", "STATE", "SNAPSHOT", "SECONDS"], *cells]) if cells else "nothing is on record"
    )
    if known is None:
        say("no daemon: what runs is not known")
    return 0


@app.command()
def show(ctx: typer.Context, operation: OperationId, output: As = Output.TABLE) -> int:
    """Its plan, its outcome, where its audit trail is. Exit 0 whatever the outcome was."""
    from worker.cli.records import record

    here = given(ctx)
    found = record(here.wiring(), operation)
    if output is Output.JSON:
        chains = {name: len(lines) for name, lines in found.chains.items()}
        data = {
            "where": found.where,
            "digest": digest(found),
            "plan": found.plan,
            "outcome": found.outcome,
            "audit": chains,
        }
        say_json({"operation": operation, **data})
    else:
        say(page(found, here))
    return 0


def watch(
    ctx: typer.Context, operation: OperationId, *, wait_timeout: Patience = HOUR, output: As = Output.TABLE
) -> int:
    """The step tree while it runs, and how it ended. Ctrl-C detaches."""
    from worker.cli.records import local

    here = given(ctx)
    settings = here.settings()
    fields: dict[str, Any] = {**dict.fromkeys(RESTORE_FIELDS), "steps": [], "operation": operation}
    with contract(here, output, fields):
        over = local(settings.operations, operation)
        if over and over.outcome and not runs(settings, operation):
            return told(finished(over.outcome), here, output)
        result = Waiting(here, output, duration(wait_timeout), fields).follow(settings, operation)
    return told(result, here, output)


def runs(settings: "Settings", operation: str) -> bool:
    """One that was adopted runs again, although an outcome is on record."""
    open_now = asked(settings, lambda client: client.open()) or ()
    return any(each.operation == operation for each in open_now)


def approve(
    ctx: typer.Context,
    operation: OperationId,
    *,
    digest: Digest,
    key: Key = None,
    signature: Signed = None,
    print_message: Printed = False,
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Say yes to the plan with this digest, signed with your SSH key where the inventory lists keys."""
    from quorate.operation import Approval

    here = given(ctx)
    if sum((key is not None, signature is not None, print_message)) > 1:
        raise BadInput("expected one of --key, --signature, --print-message")
    if print_message:
        return printed(here, operation, digest, output)

    async def send(client: "Operations", found: "Found") -> str:
        awaiting = await awaited(client, found)
        whole = completed(digest, awaiting)
        proof = proved(found, awaiting, whole, key, signature)
        return str(await client.update(found, "approve", Approval(whole, actor(who), proof, awaiting.until)))

    return steered(here, operation, send, output)


def printed(here: Given, operation: str, digest: str, output: Output) -> int:
    """Exactly the bytes that have to be signed, and on standard error how."""
    from quorate.approval import NAMESPACE, message

    async def ask(client: "Operations", found: "Found") -> str:
        awaiting = await awaited(client, found)
        if completed(digest, awaiting) != awaiting.digest:
            raise Refusal(f"the plan that awaits approval has digest {awaiting.digest}, not {digest}")
        return message(found.cluster, found.operation, awaiting)

    with contract(here, output, {"operation": operation, "message": None}):
        text = steer(here.settings(), operation, ask)
    hand_in = here.command(f"quorate approve {operation} --digest {digest} --signature message.sig")
    if output is Output.JSON:
        say_json({"operation": operation, "message": text, "next": hand_in})
    else:
        sys.stdout.write(text)
        warn(f"to sign it:  ssh-keygen -Y sign -n {NAMESPACE} -f KEY message\nthen:        {hand_in}")
    return 0


async def awaited(client: "Operations", found: "Found") -> "Awaiting":
    """The approval that is awaited now, or Refusal."""
    awaiting = (await client.glimpse_of(found)).awaiting if found.open else None
    if awaiting is None:
        raise Refusal(f"{found.operation} awaits no approval", next=f"quorate watch {found.operation}")
    return awaiting


def completed(digest: str, awaiting: "Awaiting") -> str:
    """A digest that was typed in part, as long as it is long enough to mean only that one."""
    return awaiting.digest if len(digest) >= DIGEST_MIN and awaiting.digest.startswith(digest) else digest


def proved(found: "Found", awaiting: "Awaiting", digest: str, key: Path | None, signature: Path | None) -> str:
    """The signature where one is asked for; nothing is signed for another plan than the one that awaits it."""
    from quorate.approval import message
    from worker.signing import signed, signed_by_agent

    if not awaiting.signers and (key or signature):
        raise BadInput(f"{found.cluster} lists no SSH keys of approvers, so a signature would prove nothing")
    if not awaiting.signers or digest != awaiting.digest:
        return ""
    if signature:
        return read(signature)
    text = message(found.cluster, found.operation, awaiting)
    return signed(text, key) if key else signed_by_agent(text, awaiting)


def read(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--signature {path}: {error}") from error


def retry(ctx: typer.Context, operation: OperationId, *, who: Actor = "", output: As = Output.TABLE) -> int:
    """Try the step again at which it is held."""

    async def send(client: "Operations", found: "Found") -> str:
        return await resolve(client, found, "retry", actor(who))

    return steered(given(ctx), operation, send, output)


def skip(ctx: typer.Context, operation: OperationId, *, who: Actor = "", output: As = Output.TABLE) -> int:
    """Go on without the step at which it is held, where nothing depends on that step; else refused."""

    async def send(client: "Operations", found: "Found") -> str:
        return await resolve(client, found, "skip", actor(who))

    return steered(given(ctx), operation, send, output)


def rollback(
    ctx: typer.Context,
    operation: OperationId,
    *,
    wait_timeout: Patience = HOUR,
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Put everything back as it was before, as long as no client was admitted; what was restored is kept. Exit 9."""

    async def send(client: "Operations", found: "Found") -> str:
        return await resolve(client, found, "rollback", actor(who))

    here = given(ctx)
    fields: dict[str, Any] = {**dict.fromkeys(RESTORE_FIELDS), "steps": [], "operation": operation}
    with contract(here, output, fields):
        settings, patience_s = here.settings(), duration(wait_timeout)
        steer(settings, operation, send)
        result = Waiting(here, output, patience_s, fields).follow(settings, operation)
    return told(result, here, output)


def abort(ctx: typer.Context, operation: OperationId, *, who: Actor = "", output: As = Output.TABLE) -> int:
    """Give up where it is held: bars and claims stay on the nodes, nothing more is changed. Exit 10."""

    async def send(client: "Operations", found: "Found") -> "Result":
        await resolve(client, found, "abort", actor(who))
        return await recorded(client, found)

    here = given(ctx)
    with contract(here, output, {**dict.fromkeys(RESTORE_FIELDS), "steps": [], "operation": operation}):
        result = steer(here.settings(), operation, send)
    return told(result, here, output)


def cancel(ctx: typer.Context, operation: OperationId, *, who: Actor = "", output: As = Output.TABLE) -> int:
    """Stop when the step that runs is over and undo everything, if etcd was not started again yet.

    A proof by a restore stops at once, and what it has laid in the sandbox is removed.
    """

    async def send(client: "Operations", found: "Found") -> str:
        if not found.cleans_up:
            raise Refusal(f"{operation} is a {found.kind}, which has nothing that could be undone; it ends by itself")
        upshot = await client.update(found, "cancel", actor(who))
        return f"cancelled by {actor(who)}: {upshot}"

    return steered(given(ctx), operation, send, output)


async def resolve(client: "Operations", found: "Found", choice: str, who: str) -> str:
    """For the hold that is there now: one that is over takes no resolution."""
    from quorate.operation import Resolution
    from quorate.plan import Choice

    hold, operation = (await client.glimpse_of(found)).hold, found.operation
    if hold is None or not found.open:
        if choice == "rollback" and found.kind == "restore" and not found.open:
            raise Refusal(
                f"{operation} is over, and clients may have written since: what it has kept can be restored",
                next=f"quorate plan restore {found.cluster} --from-kept {operation}",
            )
        raise Refusal(f"{operation} is not held: there is nothing to {choice}", next=f"quorate watch {operation}")
    update = f"{operation}/{hold.number}/{choice}"
    await client.update(found, "resolve", Resolution(hold.number, Choice(choice), who), update)
    return f"{choice} at step {hold.step} by {who}"


async def recorded(client: "Operations", found: "Found") -> "Result":
    """How it ended, as soon as that is on record; a store that is away makes it wait."""
    try:
        return await asyncio.wait_for(client.result(found), RECORDED_S)
    except TimeoutError:
        raise StillRunning(
            f"{found.operation} is aborted, but its outcome is not on record yet",
            next=f"quorate watch {found.operation}",
        ) from None


def steered(
    here: Given, operation: str, send: "Callable[[Operations, Found], Awaitable[str]]", output: Output
) -> int:
    """Tell it, say what was told and how to watch what comes of it."""
    with contract(here, output, {"operation": operation, "done": None}):
        done = steer(here.settings(), operation, send)
    following = here.command(f"quorate watch {operation}")
    if output is Output.JSON:
        say_json({"operation": operation, "done": done, "next": following})
    else:
        say(f"{operation}: {done}\nnext: {following}")
    return 0


def steer(settings: "Settings", operation: str, send: "Callable[[Operations, Found], Awaitable[T]]") -> T:
    """Find it, and tell it."""

    async def run() -> T:
        async with operations(settings) as client:
            return await send(client, await client.find(operation))

    return asyncio.run(run())


def asked(settings: "Settings", ask: "Callable[[Operations], Awaitable[T]]") -> T | None:
    """None where nobody can tell; where nobody runs, Temporal's client is not even loaded."""
    from worker import presence

    if not settings.inventory.temporal.address and not presence.running(settings):
        return None

    async def run() -> T:
        async with operations(settings) as client:
            return await ask(client)

    try:
        return asyncio.run(asyncio.wait_for(run(), timeout=5))
    except (QuorateError, TimeoutError):
        return None


def entry(record: "Record") -> dict[str, Any]:
    outcome, plan = record.outcome or {}, (record.plan or {}).get("chosen", {})
    snapshot = outcome.get("snapshot") or plan.get("snapshot", {}).get("id")
    return {
        "operation": record.operation,
        "cluster": plan.get("cluster") or outcome.get("cluster") or (snapshot or "").partition("/")[0] or None,
        "outcome": outcome.get("outcome"),
        "state": outcome.get("outcome", "no outcome on record"),
        "snapshot": snapshot,
        "duration_s": outcome.get("duration_s"),
    }


def merged(row: dict[str, Any], found: "Found") -> dict[str, Any]:
    """The record knows how it ended, the server whether it runs."""
    state = row["state"] if row.get("outcome") and not found.open else found.state
    names = {"operation": found.operation, "cluster": found.cluster, "kind": found.kind, "actor": found.actor}
    return {"snapshot": None, "duration_s": None, **row, **names, "state": state}


def digest(record: "Record") -> str | None:
    """Of the plan that was approved, computed again from its record."""
    from worker.record import plan_of

    plan = plan_of(record)
    return plan.chosen.digest() if plan else None


def finished(outcome: dict[str, Any]) -> Any:
    """A result as it was recorded, of whichever kind has its fields."""
    from pydantic import TypeAdapter, ValidationError

    from quorate.backup import BackupResult
    from quorate.operation import RestoreResult
    from quorate.prove import ProveResult
    from quorate.prune import PruneResult
    from quorate.verify import VerifyResult

    if {"known_hosts", "schedule"} & outcome.keys():
        operation = outcome.get("operation")
        raise BadInput(f"{operation} is over, there is nothing to watch", next=f"quorate audit show {operation}")
    kinds: dict[str, Any] = {"stored_bytes": BackupResult, "freed_bytes": PruneResult, "verified_bytes": VerifyResult}
    kinds |= {"restored_bytes": ProveResult}
    kind = next((kind for field, kind in kinds.items() if field in outcome), RestoreResult)
    try:
        return TypeAdapter(kind).validate_python(outcome)
    except ValidationError as error:
        raise BadInput(
            f"the record of {outcome.get('operation')} is not one of ours: {error.errors()[0]['msg']}"
        ) from error


def plan_page(plan: "Plan", here: Given) -> str:
    """As whoever asked for it was shown it."""
    from worker.cli import freeze, lay, replace_member, tidy
    from worker.cli import plan as restore

    match plan.chosen.runbook:
        case "restore":
            return restore.page(plan, here, paint())
        case "replace-member":
            return replace_member.page(plan, here)
        case "lay":
            return lay.page(plan)
        case "tidy":
            return tidy.plan_page(plan)
    return freeze.page(plan, here)


def page(found: "Record", here: Given) -> str:
    from worker.cli.results import restore_text
    from worker.record import plan_of
    from worker.screen import span, table

    lines = [f"{paint()(found.operation, 'bold')}  {found.where}"]
    plan, whole = (found.plan or {}).get("chosen", {}), plan_of(found)
    if whole and not found.outcome:  # whoever is asked to approve it has to read all of it
        lines.append(f"\n{plan_page(whole, here)}\n")
    elif plan:
        source = f" from {plan['snapshot']['id']}" if plan["snapshot"]["id"] else ""
        lines.append(f"{plan['runbook']} of {plan['cluster']}{source}, digest {digest(found)}")
        lines += [f"  lost: {each}" for each in (found.plan or {}).get("losses", [])]
    if found.outcome and "note" in found.outcome:
        lines.append(f"{found.outcome['outcome']}  {found.outcome['cluster']}: {found.outcome['note']}")
    if found.outcome and "steps" in found.outcome:
        result = finished(found.outcome)
        lines.append(restore_text(result, here))
        rows = [[step.id, step.host, step.state, span(step.duration_s or 0)] for step in result.steps]
        lines.append(table([["STEP", "HOST", "STATE", "TOOK"], *rows], "  "))
        if result.error:
            lines.append(
                f"  error: {result.error.message}\n  next: {here.command(result.error.next or after(result))}"
            )
    elif not found.outcome:
        lines.append(
            f"no outcome is on record: it runs, or left none; {here.command(f'quorate watch {found.operation}')}"
        )
    count = sum(map(len, found.chains.values()))
    lines.append(f"audit: {count} records; {here.command(f'quorate audit verify {found.operation}')}")
    return "\n".join(lines)
