"""Back up a cluster."""

from dataclasses import asdict, replace
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from quorate.audit import canonical
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
    from quorate.records import Entry
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
        """Choose, stream, read back, publish; then seal the record, however it ended."""
        try:
            result = await self.outcome()
        except ApplicationError as error:
            trouble = {"kind": error.type, "message": error.message}
            await self.seal({"operation": self.task.request.operation, "outcome": "failed", "error": trouble})
            raise
        await self.seal(asdict(result))
        return result

    async def seal(self, outcome: dict[str, Any]) -> None:
        request = self.task.request
        entry = Entry(request.operation, request.cluster, request.store, "outcome.json", canonical(outcome))
        await workflow.execute_activity("ledger.seal", entry, **patience.record(patience.STREAMS_QUEUE))

    async def outcome(self) -> BackupResult:
        """A failure leaves no manifest, so there is nothing to undo."""
        began = workflow.time()
        try:
            choice = await self.take(Choice)  # before `replace`, which would else read a task one turn too old
            self.task = replace(self.task, choice=choice)
            streamed = await self.take(Streamed)
            self.task = replace(self.task, streamed=streamed)
            read_back = await self.take(ReadBack)
            self.task = replace(self.task, duration_s=workflow.time() - began, read_back=read_back)
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
