"""The yes that somebody has given beforehand, handed in where it is asked for."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from quorate.drill import ApproveTask
from quorate.errors import NotApproved
from quorate.operation import Approval, Awaiting

ANSWER = timedelta(seconds=4)  # less than a heartbeat may take
POLL_S = 0.5


@dataclass(frozen=True)
class Approving:
    @activity.defn(name="drill.approve")
    async def approve(self, task: ApproveTask) -> str:
        """For the plan that the operation has by then; "" where it ended without asking. NotApproved in its words."""
        handle = activity.client().get_workflow_handle(task.workflow)
        while True:
            activity.heartbeat(f"waits until {task.operation} asks")
            seen = await handle.describe(rpc_timeout=ANSWER)
            if seen.status is not WorkflowExecutionStatus.RUNNING:
                return ""
            if await seen.memo_value("operation", default="") == task.operation:
                awaiting = await seen.memo_value("awaiting", None, type_hint=Awaiting)
                if awaiting and task.actor not in awaiting.approved_by:
                    return await self._given(task, awaiting)
            await asyncio.sleep(POLL_S)

    async def _given(self, task: ApproveTask, awaiting: Awaiting) -> str:
        approval = Approval(awaiting.digest, task.actor, until=awaiting.until)
        handle = activity.client().get_workflow_handle(task.workflow)
        try:
            return str(
                await handle.execute_update(
                    "approve", approval, id=f"{task.operation}-{awaiting.digest[:12]}", rpc_timeout=ANSWER
                )
            )
        except WorkflowUpdateFailedError as error:
            said = error.cause.message if isinstance(error.cause, ApplicationError) else str(error.cause)
            raise NotApproved(f"{task.operation}: {said}") from error
