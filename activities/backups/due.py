"""What the server knows right before a backup that is due is begun: it waits for nobody."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from quorate.due import Situation

HARMLESS = {"tidy"}  # has the nodes, and touches nothing that serves
ANSWER = timedelta(seconds=4)  # less than a heartbeat may take


@dataclass(frozen=True)
class Outset:
    """`attributes` tells which search attributes of ours the server has, in their order."""

    attributes: Callable[[Client], Awaitable[tuple[str, ...]]]

    @activity.defn(name="due.situation")
    async def situation(self, cluster: str) -> Situation:
        """Asked in the event loop, as the client is: it waits, and blocks nobody."""
        client = activity.client()
        holder, backup, names = await asyncio.gather(
            running(client, f"quorate/{cluster}/op"),
            running(client, f"quorate/{cluster}/backup"),
            self.attributes(client),
        )
        return Situation(why_not(holder, backup), names)


def why_not(holder: str, backup: str) -> str:
    if holder and holder.partition("-")[0] not in HARMLESS:
        return f"{holder} has the cluster"
    return f"{backup} runs already" if backup else ""


async def running(client: Client, workflow: str) -> str:
    """The operation that is open under this id, or nothing."""
    try:
        seen = await client.get_workflow_handle(workflow).describe(rpc_timeout=ANSWER)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return ""
        raise
    if seen.status is not WorkflowExecutionStatus.RUNNING:
        return ""
    return str(await seen.memo_value("operation", default="an operation"))
