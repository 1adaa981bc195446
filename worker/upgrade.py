"""An operation that is open goes on under this version, or the daemon does not start: replayed before it polls."""

import re
from collections.abc import Iterable

import structlog
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from quorate.errors import OtherVersion
from worker.operations import Found, Operations, address, silent, version
from worker.registry import WORKFLOWS
from worker.temporal import refused

# Workflows are not imported anew for every run: files that are replaced under a daemon are of another version.
SANDBOX = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules("quorate", "workflows", "yaml")
)
BEGUN = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
SAID = re.compile(r'message: "(?:\[TMPRL1100\] )?(.+?)", source')
log = structlog.get_logger("quorate.daemon")


async def refuse_what_does_not_go_on(operations: Operations, workflows: Iterable[type] = WORKFLOWS) -> None:
    """OtherVersion names every open operation that this code would decide otherwise than it was begun."""
    unfit: list[tuple[Found, str]] = []
    for found, history in await histories(operations):
        differs = await difference(tuple(workflows), history)
        log.info("open operation", operation=found.operation, begun_by=found.version, goes_on=not differs)
        unfit += [(found, differs)] if differs else []
    if unfit:
        raise OtherVersion("; ".join(told(*each) for each in unfit), next=following(operations, unfit[0][0]))


async def histories(operations: Operations) -> list[tuple[Found, WorkflowHistory]]:
    """Of everything that is open; a server that does not tell is no server to begin with."""
    try:
        found = await operations.unfinished()
        return [(each, await operations.handle(each).fetch_history()) for each in found]
    except RPCError as error:
        raise refused(operations.settings, address(operations.settings), error) from error


async def difference(workflows: tuple[type, ...], history: WorkflowHistory) -> str:
    """What this code would do otherwise, or nothing; nothing also where nothing was decided yet."""
    if not any(event.event_type == BEGUN for event in history.events):
        return ""
    replayer = Replayer(
        workflows=workflows, data_converter=pydantic_data_converter, workflow_runner=SANDBOX, runtime=silent()
    )
    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
    if result.replay_failure is None:
        return ""
    said = " ".join(str(result.replay_failure).split())
    inner = SAID.search(said)
    return inner[1] if inner else said


def told(found: Found, differs: str) -> str:
    begun_by = f"Quorate {found.version}" if found.version else "another version"
    begun_by = f"another build of {begun_by}" if found.version == version() else begun_by
    named = f"{found.operation or found.workflow} on {found.cluster or 'an unknown cluster'}"
    return f"Quorate {version()} cannot go on with {named}, which {begun_by} began: {differs}"


def following(operations: Operations, found: Found) -> str:
    with_it = f"with Quorate {found.version}" if found.version else "with the version that began it"
    return f"quorate --config {operations.settings.path} up --detach  # {with_it}, until it is over"
