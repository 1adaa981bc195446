"""Temporal's Schedules as the inventory wants them: made, changed, paused when nobody wants them; never deleted."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from pydantic import TypeAdapter
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleDescription,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowExecutionStatus,
)
from temporalio.client import Schedule as Laid
from temporalio.service import RPCError, RPCStatusCode

from quorate.audit import canonical
from quorate.cron import parsed
from quorate.drills.permitted import request
from quorate.due import ACTOR, DRILL, WORKFLOW, DrillDue, Due, DueResult, due
from quorate.errors import QuorateError
from quorate.findings.finding import Finding
from quorate.settings.fields import written
from quorate.settings.policies import Schedule
from worker.operations import version
from worker.scenarios import scenario as named
from worker.settings import Settings
from worker.temporal import ASKED, RPC
from workflows.patience import STEPS_QUEUE

PREFIX = "quorate/"
OVERLAP = ScheduleOverlapPolicy.SKIP  # the next run is soon due; one that was put off would only be late as well
LONGEST = timedelta(hours=12)  # of one run, or one that nobody carries out would hold up all after it
FINE = {"verified", "running", "passed"}
FINAL = (RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED)
ORPHANED = "paused by Quorate: the inventory has no such schedule any more"
DUE: TypeAdapter[Due | DrillDue] = TypeAdapter(Due | DrillDue)
log = structlog.get_logger("quorate.daemon")


def id_of(cluster: str, scenario: str = "") -> str:
    """Of its backups, or of one of its drills."""
    return f"{PREFIX}{cluster}/drill/{scenario}" if scenario else f"{PREFIX}{cluster}/backup"


def cluster_of(id_: str) -> str:
    return id_.removeprefix(PREFIX).partition("/")[0]


def scenario_of(id_: str) -> str:
    """Of its drill; nothing for backups."""
    return id_.removeprefix(PREFIX).partition("/drill/")[2]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One schedule as the inventory has it now: what it starts, and when; `expected_s` is its longest interval."""

    id: str
    workflow: str
    due: Due | DrillDue
    schedule: Schedule
    expected_s: float

    @property
    def cluster(self) -> str:
        return cluster_of(self.id)

    @property
    def what(self) -> str:
        scenario = scenario_of(self.id)
        return f"the drill {scenario} of {self.cluster}" if scenario else f"the backup of {self.cluster}"

    @property
    def digest(self) -> str:
        """Of all that is laid down; the server keeps a cron expression in another form, so that is not compared."""
        said = {"timing": self.timing, "catchup_s": self.catchup_s, "overlap": OVERLAP.name, "longest": str(LONGEST)}
        text = canonical({**said, "due": DUE.dump_python(self.due, mode="json")})
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def timing(self) -> str:
        """`every 1h`, or the cron expression and its zone."""
        schedule = self.schedule
        when = f"{schedule.cron} {schedule.time_zone}" if schedule.cron else f"every {written(self.expected_s)}"
        return f"{when}, up to {written(schedule.jitter)} later" if schedule.jitter else when

    @property
    def catchup_s(self) -> float:
        """One interval: of what was missed while no server ran the newest is made up for, and the rest is counted."""
        return self.expected_s

    def laid(self, state: ScheduleState) -> Laid:
        return Laid(
            action=ScheduleActionStartWorkflow(
                self.workflow,
                self.due,
                id=runs_under(self.id),
                task_queue=STEPS_QUEUE,
                execution_timeout=LONGEST,
                memo={
                    "cluster": self.cluster,
                    "kind": self.workflow,
                    "actor": ACTOR,
                    "version": self.due.version,
                    "timing": self.timing,
                    "digest": self.digest,
                },
                static_summary=f"{self.what} that is due",
            ),
            spec=self.spec(),
            policy=SchedulePolicy(overlap=OVERLAP, catchup_window=timedelta(seconds=self.catchup_s)),
            state=state,
        )

    def spec(self) -> ScheduleSpec:
        schedule = self.schedule
        jitter = timedelta(seconds=schedule.jitter) or None
        if schedule.cron:
            return ScheduleSpec(cron_expressions=[schedule.cron], jitter=jitter, time_zone_name=schedule.time_zone)
        every = timedelta(seconds=self.expected_s)
        return ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)], jitter=jitter)


def runs_under(id_: str) -> str:
    """The id of its runs, so that there is one at a time."""
    cluster, scenario = cluster_of(id_), scenario_of(id_)
    return f"{PREFIX}{cluster}/{DRILL}/{scenario}" if scenario else f"{PREFIX}{cluster}/{WORKFLOW}"


def wanted(settings: Settings) -> dict[str, Wanted]:
    """By id, of every cluster that has a schedule."""
    found = [
        Wanted(
            id_of(name),
            WORKFLOW,
            due(settings.inventory, name, version()),
            cluster.backup.schedule,
            cluster.backup.expected_s,
        )
        for name, cluster in settings.inventory.clusters.items()
        if cluster.backup.schedule
    ]
    return {each.id: each for each in (*found, *drills(settings))}


def drills(settings: Settings) -> Iterator[Wanted]:
    """What may not be held is said, and keeps no backup from being taken."""
    for name, cluster in settings.inventory.clusters.items():
        for scenario, policy in (cluster.drills.scenarios if cluster.drills else {}).items():
            if policy.schedule is None:
                continue
            try:
                held = named(policy.file or scenario)
                asked = request(settings.inventory, name, held, "", ACTOR)
            except QuorateError as error:
                log.error("a drill is not scheduled", cluster=name, scenario=scenario, error=str(error))  # noqa: TRY400
                continue
            yield Wanted(
                id_of(name, scenario),
                DRILL,
                DrillDue(asked, version()),
                policy.schedule,
                every_s(policy.schedule),
            )


def every_s(schedule: Schedule) -> float:
    return parsed(schedule.cron).longest_s if schedule.cron else schedule.every or 0.0


async def reconcile(settings: Settings, client: Client) -> dict[str, str]:
    """What was done with each schedule, by id. One that the server refuses keeps no other one back."""
    want = wanted(settings)
    done = {id_: await settled(client, each) for id_, each in want.items()}
    for id_ in await ours(client):
        if id_ not in want:
            done[id_] = await orphaned(client, id_)
    for id_, what in sorted(done.items()):
        (log.warning if what.startswith(("refused", "paused")) else log.info)("schedule", id=id_, done=what)
    return done


async def settled(client: Client, want: Wanted) -> str:
    """Made, changed, or left as it is; whoever has paused it finds it paused."""
    try:
        seen = await described(client, want.id)
        if seen is None:
            await client.create_schedule(want.id, want.laid(ScheduleState()), rpc_timeout=RPC)
            return "created"
        if await noted(seen, "digest") == want.digest and seen.schedule.state.note != ORPHANED:
            return "kept"

        def change(given: ScheduleUpdateInput) -> ScheduleUpdate:
            return ScheduleUpdate(want.laid(carried(given.description.schedule.state)))

        await client.get_schedule_handle(want.id).update(change, rpc_timeout=ASKED)
    except ScheduleAlreadyRunningError:
        return "created by another daemon"
    except RPCError as error:
        if error.status not in FINAL:
            raise
        return f"refused: {error.message}"
    return "changed"


def carried(state: ScheduleState) -> ScheduleState:
    """A pause is a person's, and stays; only our own ends when the schedule is wanted again."""
    return ScheduleState() if state.note == ORPHANED else state


async def orphaned(client: Client, id_: str) -> str:
    """Paused and said so, unless somebody has paused it before."""
    seen = await described(client, id_)
    if seen is None or seen.schedule.state.paused:
        return "left paused: not in the inventory"
    await client.get_schedule_handle(id_).pause(note=ORPHANED, rpc_timeout=RPC)
    return "paused: not in the inventory"


async def ours(client: Client) -> tuple[str, ...]:
    """The ids of what our daemons have laid down; the list may be a moment late."""
    found = [each async for each in await client.list_schedules(rpc_timeout=RPC)]
    return tuple(sorted(each.id for each in found if kind_is_ours(each.id)))


def kind_is_ours(id_: str) -> bool:
    return id_.startswith(PREFIX) and (id_.endswith("/backup") or bool(scenario_of(id_)))


async def described(client: Client, id_: str) -> ScheduleDescription | None:
    try:
        return await client.get_schedule_handle(id_).describe(rpc_timeout=ASKED)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


async def noted(seen: ScheduleDescription, key: str) -> str:
    """What we have written into the action: it is replaced with it, while a schedule's own memo never changes."""
    action = seen.schedule.action
    memo: Mapping[str, Any] = (action.memo or {}) if isinstance(action, ScheduleActionStartWorkflow) else {}
    value = memo.get(key)
    if not isinstance(value, Payload):
        return ""
    (text,) = await seen.data_converter.decode([value], [str])
    return str(text)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a schedule; `state` is the server's word, the rest is what it has answered."""

    workflow: str
    run: str
    at: float
    state: str  # running | completed | failed | timed_out | canceled | terminated
    result: DueResult | None = None
    operation: str = ""

    @property
    def outcome(self) -> str:
        return self.result.outcome if self.result else self.state

    @property
    def reason(self) -> str:
        if self.state == "timed_out":
            return f"nobody carried it out within {LONGEST.total_seconds() / 3600:.0f} h"
        return self.result.reason if self.result else ""


@dataclass(frozen=True, slots=True)
class Standing:
    """A schedule as the server has it. Missed: no server ran in time. Skipped: the run before was not over."""

    id: str
    timing: str
    digest: str
    paused: bool
    note: str
    next: float | None
    missed: int
    skipped: int
    running: bool
    last: Run | None = None


def findings(id_: str, want: Wanted | None, now: Standing | None) -> tuple[Finding, ...]:
    """What somebody should know. One that the inventory has no more is paused, and that is as it should be."""
    return (*differing(id_, want, now), *stopped(id_, want, now), *ended(id_, want, now))


def spoken(id_: str) -> str:
    """Whose schedule it is."""
    scenario = scenario_of(id_)
    return f"{cluster_of(id_)}'s drill {scenario}" if scenario else cluster_of(id_)


def flags(id_: str) -> str:
    """By which commands mean it."""
    scenario = scenario_of(id_)
    return f"{cluster_of(id_)} --drill {scenario}" if scenario else cluster_of(id_)


def differing(id_: str, want: Wanted | None, now: Standing | None) -> Iterator[Finding]:
    """The server has what the inventory had when the daemon began."""
    if (want.digest if want else None) == (now.digest if now else None) or (want is None and now and now.paused):
        return
    message = f"the schedule of {spoken(id_)} is not as the inventory has it: {want.timing if want else 'none'}"
    evidence = f"the server has {now.timing if now else 'none'}; the daemon began before that, or its log says why"
    yield Finding("schedule-differs", "WARN", message, evidence, "quorate down  # then: quorate up --detach")


def stopped(id_: str, want: Wanted | None, now: Standing | None) -> Iterator[Finding]:
    if want and now and now.paused:
        note = now.note or "nobody has said by whom or why"
        resume = f"quorate schedule resume {flags(id_)}"
        yield Finding("schedule-paused", "WARN", f"the schedule of {spoken(id_)} does not run", note, resume)


def ended(id_: str, want: Wanted | None, now: Standing | None) -> Iterator[Finding]:
    if want and now and now.last and now.last.outcome not in FINE:
        what = f"{spoken(id_)} on its schedule" if scenario_of(id_) else f"scheduled backup of {spoken(id_)}"
        message = f"the last {what}: {now.last.outcome}"
        evidence = now.last.reason or "its findings say why"
        yield Finding("schedule-run", "WARN", message, evidence, f"quorate schedule history {flags(id_)}")


async def surveyed(
    settings: Settings, client: Client, cluster: str = ""
) -> dict[str, tuple[Wanted | None, Standing | None]]:
    """What the inventory wants beside what the server has, by id; of one cluster or of all."""
    want = wanted(settings)
    every = sorted({*want, *await ours(client)})
    ids = [each for each in every if cluster_of(each) == cluster] if cluster else every
    return {each: (want.get(each), await standing(client, each)) for each in ids}


async def standing(client: Client, id_: str) -> Standing | None:
    seen = await described(client, id_)
    if seen is None:
        return None
    recent = [
        each for each in seen.info.recent_actions if isinstance(each.action, ScheduleActionExecutionStartWorkflow)
    ]
    last = recent[-1] if recent else None
    return Standing(
        id=id_,
        timing=await noted(seen, "timing"),
        digest=await noted(seen, "digest"),
        paused=seen.schedule.state.paused,
        note=seen.schedule.state.note or "",
        next=upcoming(seen),
        missed=seen.info.num_actions_missed_catchup_window,
        skipped=seen.info.num_actions_skipped_overlap,
        running=bool(seen.info.running_actions),
        last=await run_of(client, last.action, last.started_at) if last else None,
    )


def upcoming(seen: ScheduleDescription) -> float | None:
    """Of a paused one too the server tells when it would run."""
    times = seen.info.next_action_times
    return None if seen.schedule.state.paused or not times else min(times).timestamp()


async def run_of(client: Client, run: Any, at: datetime) -> Run:
    """One that the server has forgotten is `forgotten`."""
    handle = client.get_workflow_handle(run.workflow_id, run_id=run.first_execution_run_id, result_type=DueResult)
    try:
        seen = await handle.describe(rpc_timeout=RPC)
        state = seen.status.name.lower() if seen.status else "unknown"
        over = seen.status is WorkflowExecutionStatus.COMPLETED
        result = await handle.result(rpc_timeout=RPC) if over else None
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return Run(run.workflow_id, run.first_execution_run_id, at.timestamp(), "forgotten")
    operation = result.operation if result else str(await seen.memo_value("operation", default=""))
    return Run(run.workflow_id, run.first_execution_run_id, at.timestamp(), state, result, operation)


async def history(client: Client, id_: str, limit: int) -> tuple[Run, ...]:
    """The newest first, as far back as the server remembers."""
    kind = DRILL if scenario_of(id_) else WORKFLOW
    query = f"WorkflowType = '{kind}' AND WorkflowId STARTS_WITH '{runs_under(id_)}'"
    found = [each async for each in client.list_workflows(query, limit=limit)]
    runs = [
        await run_of(client, ScheduleActionExecutionStartWorkflow(each.id, each.run_id), each.start_time)
        for each in found
    ]
    return tuple(sorted(runs, key=lambda each: each.at, reverse=True))


def when(at: float | None) -> str | None:
    """ISO 8601, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if at else None
