"""Back up a cluster."""

from dataclasses import replace
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from quorate.backup import (
        STEPS,
        BackupProgress,
        BackupRequest,
        BackupResult,
        BackupTask,
        Choice,
        ReadBack,
        Streamed,
    )
    from workflows import patience

T = TypeVar("T")

ATTEMPTS = 5  # nothing is changed by a backup that fails; the next one is soon due


@workflow.defn(name="backup")
class Backup:
    @workflow.init
    def __init__(self, request: BackupRequest) -> None:
        self.task = BackupTask(request, STEPS[0].key, 0)

    @workflow.run
    async def run(self, _: BackupRequest) -> BackupResult:
        """Choose, stream, read back, publish; a failure leaves no manifest, so nothing to undo."""
        began = workflow.time()
        try:
            choice = await self.take(Choice)  # before `replace`, which would else read a task one turn too old
            self.task = replace(self.task, choice=choice)
            streamed = await self.take(Streamed)
            self.task = replace(self.task, streamed=streamed)
            await self.take(ReadBack)
            self.task = replace(self.task, duration_s=workflow.time() - began)
            return await self.take(BackupResult)
        except ActivityError as error:
            if isinstance(error.cause, ApplicationError):  # what the activity said, not that an activity said it
                raise error.cause from None
            raise

    @workflow.query
    def progress(self) -> BackupProgress:
        step = STEPS[max(0, self.task.turn - 1)]
        return BackupProgress(self.task.request.operation, step.key, step.title, max(1, self.task.turn))

    async def take(self, kind: type[T]) -> T:
        """The next step."""
        step = STEPS[self.task.turn]
        self.task = replace(self.task, step=step.key, turn=self.task.turn + 1)
        options: dict[str, Any] = patience.stream(step.patience_s)
        policy = replace(options.pop("retry_policy"), maximum_attempts=ATTEMPTS)
        answer: T = await workflow.execute_activity(
            step.verb, self.task, result_type=kind, retry_policy=policy, summary=step.title, **options
        )
        return answer
