"""`quorate schedule`: the backups that nobody has to ask for, and who has stopped them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from quorate.errors import BadInput, Busy, Refusal, StillRunning
from worker.cli.options import (
    Actor,
    As,
    ClusterName,
    Given,
    Output,
    actor,
    contract,
    given,
    new_id,
    paint,
    plain,
    say,
    say_json,
)
from worker.cli.waiting import operations

if TYPE_CHECKING:
    from temporalio.client import Client

    from worker.schedules import Run, Standing, Wanted
    from worker.settings import Settings

FINDINGS = 3
BEGINS_S, POLL_S = 20.0, 0.2
LISTED = 20
STATE = ("timing", "next", "last", "paused", "note", "missed", "skipped", "findings")
LS_FIELDS = ("cluster", "schedule", *STATE)  # of each of `schedules`
RUN_FIELDS = ("cluster", "schedule", "operation", "outcome", "next")
SWITCH_FIELDS = ("cluster", "schedule", "operation", "paused", "note")
HISTORY_FIELDS = ("cluster", "schedule", "runs")
T = TypeVar("T")

app = typer.Typer(
    help="The backups and drills that the daemon begins by itself.", no_args_is_help=True, rich_markup_mode=None
)

MaybeCluster = Annotated[str, typer.Argument(metavar="[CLUSTER]", help="All clusters if left out.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; stays with the schedule and on record.")]
OfDrill = Annotated[str, typer.Option("--drill", metavar="SCENARIO", help="Of that drill, not of the backups.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=500, help="The newest so many.")]


@app.command()
def ls(ctx: typer.Context, cluster: MaybeCluster = "", output: As = Output.TABLE) -> int:
    """When the next runs are, how the last ones ended, what is paused and why. Exit 0, 3 (findings)."""
    from worker import schedules

    here = given(ctx)
    settings = here.settings()
    if cluster:
        settings.cluster(cluster)
    with contract(here, output, {"schedules": []}):
        found = ask(settings, lambda client: schedules.surveyed(settings, client, cluster))
    rows = [row(id_, want, now) for id_, (want, now) in found.items()]
    if output is Output.JSON:
        say_json({"schedules": rows})
    else:
        say(page(rows, here))
    return FINDINGS if any(row["findings"] for row in rows) else 0


@app.command("run-now")
def run_now(ctx: typer.Context, cluster: ClusterName, *, drill: OfDrill = "", output: As = Output.TABLE) -> int:
    """One run before its time, as the schedule would; in your own name it is `quorate backup`. Also while paused."""
    here = given(ctx)
    with contract(here, output, {**dict.fromkeys(RUN_FIELDS), "cluster": cluster}):
        settings = here.settings()
        id_ = scheduled(settings, cluster, drill)
        began = ask(settings, lambda client: begun(client, settings, id_))
    fields = {"cluster": cluster, "schedule": id_, **as_run(began), "next": here.command(after(began, id_))}
    if output is Output.JSON:
        say_json(fields)
    else:
        what = (
            f"{began.operation} has begun" if began.operation else f"{began.outcome}: {began.reason or 'see below'}"
        )
        say(f"{what}\nnext: {fields['next']}")
    return FINDINGS if began.outcome == "skipped" else 0


@app.command()
def pause(
    ctx: typer.Context,
    cluster: ClusterName,
    *,
    reason: Reason,
    drill: OfDrill = "",
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """No run until `resume`, whatever becomes of the daemon or the inventory; who and why is on record."""
    if not reason.strip():
        raise BadInput("--reason is empty: whoever finds the schedule paused must know why")
    note = f"paused by {actor(who)}: {' '.join(reason.split())}"
    return switched(given(ctx), output, (cluster, drill), "pause", actor(who), note)


@app.command()
def resume(
    ctx: typer.Context, cluster: ClusterName, *, drill: OfDrill = "", who: Actor = "", output: As = Output.TABLE
) -> int:
    """The next run is at its next time; what was missed meanwhile is not made up for."""
    return switched(given(ctx), output, (cluster, drill), "resume", actor(who), f"resumed by {actor(who)}")


@app.command()
def history(
    ctx: typer.Context,
    cluster: ClusterName,
    *,
    drill: OfDrill = "",
    limit: Limit = LISTED,
    output: As = Output.TABLE,
) -> int:
    """What became of the runs, the newest first, as far back as the server remembers."""
    from worker import schedules

    here = given(ctx)
    with contract(here, output, {**dict.fromkeys(HISTORY_FIELDS), "cluster": cluster}):
        settings = here.settings()
        settings.cluster(cluster)
        id_ = schedules.id_of(cluster, drill)
        runs = ask(settings, lambda client: schedules.history(client, id_, limit))
    if output is Output.JSON:
        say_json({"cluster": cluster, "schedule": id_, "runs": [as_run(each) for each in runs]})
    else:
        say(pasts(runs))
    return 0


def ask(settings: "Settings", what: "Callable[[Client], Awaitable[T]]") -> T:
    """NoDaemon where there is no server to ask."""

    async def run() -> T:
        async with operations(settings) as found:
            return await what(found.client)

    return asyncio.run(run())


def scheduled(settings: "Settings", cluster: str, drill: str = "") -> str:
    """The id of its schedule; BadInput where the inventory has none."""
    from worker.schedules import id_of

    wanted = settings.cluster(cluster)
    if drill:
        policy = wanted.drills.scenarios.get(drill) if wanted.drills else None
        if policy is None or policy.schedule is None:
            raise BadInput(
                f"{settings.path} has no schedule for the drill {drill!r} of {cluster}",
                next=f"quorate drill start {drill} {cluster}",
            )
    elif wanted.backup.schedule is None:
        raise BadInput(
            f"{settings.path} has no schedule for {cluster}: clusters.{cluster}.backup.schedule is off",
            next=f"quorate backup {cluster}",
        )
    return id_of(cluster, drill)


def row(id_: str, want: "Wanted | None", now: "Standing | None") -> dict[str, Any]:
    from worker.schedules import cluster_of, findings, when

    cluster = cluster_of(id_)
    return {
        "cluster": cluster,
        "schedule": id_,
        "timing": now.timing if now else want.timing if want else "",
        "next": when(now.next) if now else None,
        "last": as_run(now.last) if now and now.last else None,
        "paused": bool(now and now.paused),
        "note": (now.note if now else "") or None,
        "missed": now.missed if now else 0,
        "skipped": now.skipped if now else 0,
        "findings": [plain(each) for each in findings(id_, want, now)],
    }


async def begun(client: "Client", settings: "Settings", id_: str) -> "Run":
    """Triggered, and waited for until it has an operation or has said why not."""
    from worker import schedules
    from worker.operations import Operations

    await Operations(settings, client).ready()
    now = await schedules.standing(client, id_)
    if now is None:
        raise missing(id_)
    history = f"quorate schedule history {schedules.flags(id_)}"
    if now.running:
        raise Busy(f"a run of the schedule of {schedules.spoken(id_)} is not over", next=history)
    await client.get_schedule_handle(id_).trigger()
    deadline = time.monotonic() + BEGINS_S
    while time.monotonic() < deadline:
        seen = await schedules.standing(client, id_)
        last = seen.last if seen else None
        if last and last.run != (now.last.run if now.last else "") and (last.operation or last.state != "running"):
            return last
        await asyncio.sleep(POLL_S)
    raise StillRunning(f"the run has not begun within {BEGINS_S:.0f} s", next=history)


def missing(id_: str) -> Refusal:
    from worker.schedules import spoken

    return Refusal(
        f"the server has no schedule for {spoken(id_)}: "
        "the daemon began before it was in the inventory, or was refused",
        next="quorate down  # then: quorate up --detach",
    )


def after(run: "Run", id_: str) -> str:
    from worker.schedules import flags

    return f"quorate watch {run.operation}" if run.operation else f"quorate schedule history {flags(id_)}"


def switched(here: Given, output: Output, whose: tuple[str, str], verb: str, who: str, note: str) -> int:
    """Told to the server, and on record: an auditor asks who has stopped the backups."""
    from quorate.command import Ticket
    from worker import schedules
    from worker.cli.records import closed

    cluster, drill = whose
    with contract(here, output, {**dict.fromkeys(SWITCH_FIELDS), "cluster": cluster}) as fields:
        wiring = here.wiring()
        fields["schedule"] = id_ = scheduled(wiring.settings, cluster, drill)
        now = ask(wiring.settings, lambda client: schedules.standing(client, id_))
        refuse(verb, id_, now)
        ticket = Ticket(new_id(f"schedule-{verb}"), 1, 1, verb, who)
        fields |= {"operation": ticket.operation, "note": note}
        with closed(wiring, ticket.operation, f"{verb}d", fields):
            argv = ("schedule", verb, id_, "--note", note)
            wiring.record(ticket, cluster, argv, lambda: told(wiring.settings, id_, verb, note))
            fields["paused"] = verb == "pause"
    record = here.command(f"quorate audit show {ticket.operation}")
    if output is Output.JSON:
        say_json(fields)
    else:
        say(f"{cluster}: {note}\n  on record  {record}")
    return 0


def refuse(verb: str, id_: str, now: "Standing | None") -> None:
    """A second pause would put its reason in the place of the first."""
    from worker.schedules import cluster_of, spoken

    if now is None:
        raise missing(id_)
    if now.paused == (verb == "pause"):
        said = f"paused already: {now.note or 'nobody has said why'}" if now.paused else "not paused"
        raise Refusal(f"the schedule of {spoken(id_)} is {said}", next=f"quorate schedule ls {cluster_of(id_)}")


def told(settings: "Settings", id_: str, verb: str, note: str) -> str:
    async def tell(client: "Client") -> str:
        handle = client.get_schedule_handle(id_)
        await (handle.pause(note=note) if verb == "pause" else handle.unpause(note=note))
        return note

    return ask(settings, tell)


def as_run(run: "Run") -> dict[str, Any]:
    from worker.schedules import when

    result = plain(run.result) if run.result else {}
    return {
        "at": when(run.at),
        "outcome": run.outcome,
        "operation": run.operation or None,
        "snapshot": result.get("snapshot") or None,
        "reason": run.reason or None,
        "findings": result.get("findings", []),
    }


def page(rows: list[dict[str, Any]], here: Given) -> str:
    from worker.screen import table

    if not rows:
        return "nothing is scheduled: no cluster of the inventory has backup.schedule, or a drill with one"
    colour = paint()
    cells = [["CLUSTER", "WHAT", "WHEN", "NEXT", "LAST", "", "MISSED", "SKIPPED"]]
    for each in rows:
        last = each["last"] or {"at": "-", "outcome": "-"}
        following = colour("paused", "yellow") if each["paused"] else each["next"] or "-"
        counts = (str(each["missed"]), str(each["skipped"]))
        cells.append(
            [
                each["cluster"],
                each["schedule"].partition(f"/{each['cluster']}/")[2],
                each["timing"],
                following,
                last["at"],
                colour.state(last["outcome"]),
                *counts,
            ]
        )
    return "\n".join([table(cells), *(line for each in rows for line in below(each, here))])


def below(row: dict[str, Any], here: Given) -> list[str]:
    """What there is to know of one, and the command that changes it."""
    said = [
        f"{each['message']}: {each['evidence']}\n  next: {here.command(each['next'])}" for each in row["findings"]
    ]
    return said or ([f"{row['cluster']}: {row['note'] or 'paused'}"] if row["paused"] else [])


def pasts(runs: "tuple[Run, ...]") -> str:
    from worker.screen import table

    if not runs:
        return "no run is remembered"
    colour = paint()
    cells = [["AT", "OUTCOME", "OPERATION", "SNAPSHOT", ""]]
    for each in map(as_run, runs):
        reason = "; ".join(filter(None, (each["reason"], *each["findings"])))
        cells.append(
            [each["at"], colour.state(each["outcome"]), each["operation"] or "-", each["snapshot"] or "-", reason]
        )
    return table(cells)
