"""The command line's only Temporal client: operations are begun, found, watched and steered here.

What is only for those that watch is imported there: nobody waits for it before an operation has begun.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError, RPCStatusCode

from quorate.errors import (
    BadInput,
    Busy,
    Denied,
    Failed,
    NoDaemon,
    NotApproved,
    QuorateError,
    Refusal,
    StillRunning,
    Unreachable,
    kinds,
)
from worker import disk, presence
from worker.embedded import ATTRIBUTES
from worker.returned import Result, returned
from worker.settings import Settings
from worker.temporal import RPC, connected, described, full, refused
from workflows.patience import STEPS_QUEUE

if TYPE_CHECKING:
    from quorate.backup import BackupProgress
    from quorate.operation import Awaiting, Hold, Progress

LOOK = timedelta(seconds=2)
ANSWER = timedelta(seconds=30)
POLL_S = 0.3
START_S = 30.0
LISTED = 500
POLLED_S = 90  # a poll lasts a minute
NODES = "op"
SLOTS = {  # what changes nodes shares one lock; the rest runs beside it
    **dict.fromkeys(("restore", "freeze", "thaw", "tidy", "replace-member", "lay"), NODES),
    "backup": "backup",
    "prune": "prune",
    "verify": "verify",
    "prove": "prove",
    "drill": "drill",
}


def version() -> str:
    """Ours, as it was installed."""
    try:
        return metadata.version("quorate")
    except metadata.PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True, slots=True)
class Found:
    """One run of an operation, as the server knows it."""

    operation: str
    cluster: str
    kind: str
    actor: str
    workflow: str
    run: str
    began: float
    state: str  # running | completed | failed | terminated | …
    version: str = ""  # of the Quorate that began it

    @property
    def open(self) -> bool:
        return self.state == "running"

    @property
    def changes_nodes(self) -> bool:
        return SLOTS.get(self.kind, NODES) == NODES

    @property
    def cleans_up(self) -> bool:
        """Whether a cancel is more than an end of it."""
        return self.changes_nodes or self.kind in {"prove", "drill"}

    @property
    def remembers(self) -> bool:
        """Whether its steps say more than its result, once it is over; of the others they are the step it was at."""
        return self.changes_nodes or self.kind == "drill"


@dataclass(frozen=True, slots=True)
class Heard:
    """The last heartbeat of one activity that runs."""

    place: str
    text: str
    attempt: int
    at: float | None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """One look at an operation; `note` says what keeps us from seeing more."""

    found: Found
    closed: bool = False
    progress: "Progress | None" = None
    hold: "Hold | None" = None
    awaiting: "Awaiting | None" = None
    heard: tuple[Heard, ...] = ()
    note: str = ""


def up(settings: Settings) -> str:
    """The command that starts a daemon for these settings."""
    return f"quorate --config {settings.path} up --detach"


def no_daemon(settings: Settings) -> NoDaemon:
    return NoDaemon(f"no daemon runs on {settings.state}: nothing could carry it out", next=up(settings))


def address(settings: Settings) -> str:
    """Of the server in the inventory, or of the one that the daemon started last."""
    return settings.inventory.temporal.address or str(
        presence.read(settings.state / "temporal.json").get("address", "")
    )


async def connect(settings: Settings) -> Client:
    """NoDaemon when nothing can answer; a daemon that is just starting is waited for."""
    remote = settings.inventory.temporal.address
    deadline = time.monotonic() + START_S
    while True:
        if not remote and not presence.running(settings):
            raise no_daemon(settings)
        try:
            return await client(settings)
        except Unreachable as error:
            starting = presence.running(settings) and not isinstance(error, Denied)
            if time.monotonic() > deadline or (remote and not starting):
                raise
        await asyncio.sleep(POLL_S)


async def client(settings: Settings) -> Client:
    if not (there := address(settings)):
        raise Unreachable(f"no Temporal server has started on {settings.state} yet", next=up(settings))
    return await connected(settings, there, silent())


@cache
def silent() -> Runtime:
    """Temporal's core would write its warnings to standard output, which belongs to the answer."""
    return Runtime(telemetry=TelemetryConfig(logging=None))


@dataclass(slots=True)
class Operations:
    """Everything asked of the server on behalf of one command."""

    settings: Settings
    client: Client

    async def begin(self, kind: str, request: Any) -> Found:
        """Busy names the operation that holds the cluster; asking twice begins one operation."""
        await self.ready()
        self.recordable(request.operation)
        memo = {"operation": request.operation, "cluster": request.cluster, "kind": kind, "actor": request.actor}
        memo |= {"version": version()}
        values = dict(zip(ATTRIBUTES, (request.cluster, kind, request.operation), strict=True))
        workflow = f"quorate/{request.cluster}/{SLOTS[kind]}"
        try:
            await self.client.start_workflow(
                kind,
                request,
                id=workflow,
                task_queue=STEPS_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                memo=memo,
                search_attributes=await described(self.client, values),
                static_summary=f"{request.operation} by {request.actor}",
                rpc_timeout=ANSWER,
            )
        except WorkflowAlreadyStartedError:
            pass  # perhaps by our own call, whose answer was lost: the memo tells
        except RPCError as error:
            raise refused(self.settings, address(self.settings), error) from error
        found = await self.current(workflow)
        if found is None or found.operation != request.operation:
            other = found.operation if found else "another operation"
            raise Busy(f"{other} runs on {request.cluster}", next=f"quorate watch {other}")
        return found

    async def ready(self) -> None:
        """Somebody polls for work; our own daemon says so itself, of others the server knows."""
        deadline = time.monotonic() + START_S
        while not presence.ready(self.settings):
            if self.settings.inventory.temporal.address and await self.polled():
                return
            if not presence.running(self.settings) or time.monotonic() > deadline:
                raise NoDaemon(f"no daemon is ready on {self.settings.state}", next=up(self.settings))
            await asyncio.sleep(POLL_S)

    def recordable(self, operation: str) -> None:
        """Refused like this by a server of ours that cannot write; one whose log has room left would begin it."""
        if why := full(self.settings):
            raise Unreachable(f"{operation} was not begun: {why}", next=disk.remedy(self.settings.state))

    async def polled(self) -> bool:
        """Whether somebody has asked for work of late; one that went away is remembered for minutes."""
        queue = TaskQueue(name=STEPS_QUEUE)
        request = DescribeTaskQueueRequest(
            namespace=self.client.namespace, task_queue=queue, task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
        )
        seen = await self.client.workflow_service.describe_task_queue(request, timeout=RPC)
        return any(time.time() - each.last_access_time.seconds < POLLED_S for each in seen.pollers)

    async def current(self, workflow: str) -> Found | None:
        """The latest run under a fixed id."""
        try:
            seen = await self.client.get_workflow_handle(workflow).describe(rpc_timeout=RPC)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        return await found_in(seen)

    def locks(self) -> list[str]:
        """The fixed ids of every cluster of the inventory."""
        slots = dict.fromkeys(SLOTS.values())
        return [f"quorate/{name}/{slot}" for name in self.settings.inventory.clusters for slot in slots]

    async def open(self) -> tuple[Found, ...]:
        """What runs now, on every cluster of the inventory."""
        ids = self.locks()
        seen = await asyncio.gather(*(self.current(each) for each in ids))
        return tuple(each for each in seen if each and each.open)

    async def unfinished(self) -> tuple[Found, ...]:
        """Whatever a daemon would go on with, also of clusters that the inventory has no more."""
        query = "WorkflowId STARTS_WITH 'quorate/' AND ExecutionStatus = 'Running'"
        listed = [await found_in(each) async for each in self.client.list_workflows(query)]
        seen = {each.run: each for each in (*listed, *await self.open())}  # the list may be a moment late
        return tuple(seen.values())

    async def recent(self) -> tuple[Found, ...]:
        """What the server still knows, running or over; the run of a schedule is shown by what it began."""
        from quorate.due import DRILL, WORKFLOW

        query = f"WorkflowId STARTS_WITH 'quorate/' AND WorkflowType != '{WORKFLOW}' AND WorkflowType != '{DRILL}'"
        return tuple([await found_in(each) async for each in self.client.list_workflows(query, limit=LISTED)])

    async def find(self, operation: str) -> Found:
        """Among the latest runs, then among all that the server still knows."""
        ids = self.locks()
        for each in await asyncio.gather(*(self.current(workflow) for workflow in ids)):
            if each and each.operation == operation:
                return each
        for older in await self.recent():
            if older.operation == operation:
                return older
        raise BadInput(f"there is no operation {operation}", next="quorate operations ls")

    def handle(self, found: Found) -> WorkflowHandle[Any, Any]:
        return self.handle_of(found.workflow, found.run, returned(found.kind))

    def handle_of(self, workflow: str, run: str | None, result: Any = None) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(workflow, run_id=run, result_type=result)

    async def watch(self, found: Found, patience_s: float, poll_s: float = POLL_S) -> AsyncIterator[Glimpse]:
        """Looks until it is closed or held; while nobody answers it keeps trying. StillRunning at the deadline.

        Not at once: what a look loads and asks would hold up what has just begun.
        """
        deadline = time.monotonic() + patience_s
        last = Glimpse(found)
        async with self.ending(found) as ended:
            await asyncio.wait([ended], timeout=POLL_S)
            while True:
                try:
                    last = await self.glimpse(found, last)
                except (RPCError, RuntimeError):
                    last = Glimpse(found, progress=last.progress, note=self.silence())
                    await self.reconnect()
                yield last
                if last.closed or last.hold:
                    return
                if time.monotonic() >= deadline:
                    raise StillRunning(
                        f"{found.operation} goes on; waited {patience_s:.0f} s",
                        next=f"quorate watch {found.operation}",
                    )
                await (asyncio.sleep(poll_s) if ended.done() else asyncio.wait([ended], timeout=poll_s))

    @asynccontextmanager
    async def ending(self, found: Found) -> AsyncIterator["asyncio.Future[Any]"]:
        """Done when it is over, or when nobody can tell: the server says so at once, and is not asked again."""
        ended = asyncio.ensure_future(self.handle_of(found.workflow, found.run).result(rpc_timeout=ANSWER))
        try:
            yield ended
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    async def glimpse(self, found: Found, last: Glimpse) -> Glimpse:
        """One describe, which answers with no worker alive, and one query, which needs one."""
        from quorate.operation import Awaiting, Hold

        seen = await self.handle(found).describe(rpc_timeout=RPC)
        closed = seen.status is not WorkflowExecutionStatus.RUNNING
        progress = await self.progress(found) if found.remembers or not closed else None
        shown = progress or last.progress
        if shown and not found.remembers and seen.status is WorkflowExecutionStatus.COMPLETED:
            shown = over(shown)
        note = "" if progress or closed else self.silence()
        return Glimpse(
            found=found,
            closed=closed,
            progress=shown,
            hold=await seen.memo_value("hold", None, type_hint=Hold),
            awaiting=await seen.memo_value("awaiting", None, type_hint=Awaiting),
            heard=await heard(seen, shown),
            note=note,
        )

    async def glimpse_of(self, found: Found) -> Glimpse:
        return await self.glimpse(found, Glimpse(found))

    async def progress(self, found: Found) -> "Progress | None":
        """Nothing while no worker answers."""
        from quorate.backup import BackupProgress
        from quorate.operation import Progress

        kind: Any = BackupProgress if found.kind == "backup" else Progress
        try:
            answer = await self.handle(found).query("progress", result_type=kind, rpc_timeout=LOOK)
        except (RPCError, WorkflowQueryFailedError, WorkflowQueryRejectedError):
            return None
        return from_backup(answer) if isinstance(answer, BackupProgress) else answer

    def silence(self) -> str:
        if not self.settings.inventory.temporal.address and not presence.running(self.settings):
            return f"the daemon is down, the operation waits for it: {up(self.settings)}"
        return "no answer from the server or its worker; still trying"

    async def reconnect(self) -> None:
        """A server that came back may listen elsewhere."""
        try:
            self.client = await client(self.settings)
        except Unreachable:
            return

    async def result(self, found: Found) -> Result:
        """What the operation returned, or its failure as one of our errors."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                answer: Result = await self.handle(found).result(rpc_timeout=ANSWER)
            except WorkflowFailureError as error:
                raise failure(found, error.cause) from error
            except RPCError:
                if time.monotonic() > deadline:
                    raise
                await self.reconnect()
                await asyncio.sleep(POLL_S)
            else:
                return answer

    async def update(self, found: Found, name: str, argument: Any, update_id: str | None = None) -> Any:
        """Refusal carries the operation's own words; nothing is known when nobody answers in time."""
        try:
            return await self.handle(found).execute_update(name, argument, id=update_id, rpc_timeout=ANSWER)
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            said, kind = (cause.message, cause.type) if isinstance(cause, ApplicationError) else (str(cause), "")
            refusal = NotApproved if kind == NotApproved.kind else Refusal
            raise refusal(f"{found.operation}: {said}", next=f"quorate watch {found.operation}") from error
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            raise NoDaemon(f"{found.operation}: no daemon answered in time", next=up(self.settings)) from None
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise Refusal(
                    f"{found.operation} is over", next=f"quorate operations show {found.operation}"
                ) from error
            raise Unreachable(f"{found.operation}: {error.message}", next=up(self.settings)) from error


@asynccontextmanager
async def operations(settings: Settings) -> AsyncIterator[Operations]:
    """Errors of the server that nobody expected, as ours."""
    try:
        yield Operations(settings, await connect(settings))
    except RPCError as error:
        raise refused(settings, address(settings), error) from error


async def found_in(seen: WorkflowExecution) -> Found:
    memo: Mapping[str, Any] = await seen.memo()
    return Found(
        operation=str(memo.get("operation", "")),
        cluster=str(memo.get("cluster", "")),
        kind=str(memo.get("kind", seen.workflow_type)),
        actor=str(memo.get("actor", "")),
        workflow=seen.id,
        run=seen.run_id or "",
        began=seen.start_time.timestamp(),
        state=seen.status.name.lower() if seen.status else "unknown",
        version=str(memo.get("version", "")),
    )


async def heard(seen: WorkflowExecutionDescription, progress: "Progress | None") -> tuple[Heard, ...]:
    """Pending activities in the order they were scheduled, which is the order of the places that run."""
    pending = sorted(seen.raw_description.pending_activities, key=lambda each: int(each.activity_id or 0))
    running = [step.host for step in (progress.steps if progress else ()) if step.state == "running"]
    places = running if len(running) == len(pending) else [each.activity_type.name for each in pending]
    return tuple(
        [
            Heard(
                place=place,
                text=await last_words(each.heartbeat_details),
                attempt=each.attempt,
                at=each.last_heartbeat_time.seconds if each.HasField("last_heartbeat_time") else None,
                failure=each.last_failure.message if each.HasField("last_failure") else "",
            )
            for place, each in zip(places, pending, strict=True)
        ]
    )


async def last_words(details: Payloads) -> str:
    said = await pydantic_data_converter.decode(details.payloads)
    return str(said[0]) if said else ""


def over(seen: "Progress") -> "Progress":
    """Of a runbook that ended well: the step that it was at is done."""
    return replace(
        seen,
        steps=tuple(replace(step, state="done") if step.state == "running" else step for step in seen.steps),
    )


def from_backup(seen: "BackupProgress") -> "Progress":
    """A backup has one step at a time, at one place."""
    from quorate.backup import STEPS
    from quorate.operation import Progress, StepDone

    done = tuple(StepDone(step.key, "cluster", "done") for step in STEPS[: seen.number - 1])
    return Progress(
        operation=seen.operation,
        phase="running",
        title=seen.title,
        steps=(*done, StepDone(seen.step, "cluster", "running")),
        titles={step.key: step.title for step in STEPS},
    )


def failure(found: Found, cause: BaseException | None) -> QuorateError:
    """Our error again, of the kind that the activity raised."""
    if not isinstance(cause, ApplicationError):
        return Failed(f"{found.operation}: {cause}")
    by_kind = {kind.kind: kind for kind in kinds()}
    following = str(cause.details[1]) if len(cause.details) > 1 else ""
    return by_kind.get(cause.type or "", Failed)(cause.message, next=following)
