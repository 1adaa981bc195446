"""Back up a cluster."""

import asyncio
from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.exceptions import TimeoutError as TimedOut

with workflow.unsafe.imports_passed_through():
    from quorate.backup import (
        STEPS,
        BackupProgress,
        BackupResult,
        BackupTask,
        Choice,
        ReadBack,
        Streamed,
    )
    from quorate.backups.bundle import Bundled
    from quorate.backups.request import BackupRequest
    from workflows.straight import Straight

BESIDE = "bundle-beside-read-back"
READ_BACK = next(number for number, step in enumerate(STEPS, 1) if step.key == "read-back")


@workflow.defn(name="backup")
class Backup(Straight):
    steps = STEPS

    @workflow.init
    def __init__(self, request: BackupRequest) -> None:
        self.task: BackupTask = BackupTask(request, STEPS[0].key, 0)

    @workflow.run
    async def run(self, _: BackupRequest) -> BackupResult:
        """Choose, stream, read back, bundle, publish, copy; then seal the record, however it ended."""
        result: BackupResult = await self.recorded()
        return result

    async def outcome(self) -> BackupResult:
        """A failure leaves no manifest, so there is nothing to undo."""
        began = workflow.time()
        choice = await self.take(Choice)  # before `replace`, which would else read a task one turn too old
        self.task = replace(self.task, choice=choice)
        streamed = await self.take(Streamed)
        self.task = replace(self.task, streamed=streamed)
        if workflow.patched(BESIDE):
            await self.proved_and_bundled(began)
        else:
            await self.proved(began)
            await self.completed()
        result = await self.take(BackupResult)
        if not self.task.request.copies:
            return result
        self.task = replace(self.task, result=result)
        return await self.take(BackupResult)

    async def proved_and_bundled(self, began: float) -> None:
        """At once: one waits for the store, the other for the nodes. Nothing is bundled for what is not proved."""
        bundling = asyncio.create_task(self.completed())
        try:
            await self.proved(began)
        except BaseException:
            bundling.cancel()
            await asyncio.gather(bundling, return_exceptions=True)
            raise
        await bundling

    async def proved(self, began: float) -> None:
        read_back = await self.take(ReadBack)
        self.task = replace(self.task, duration_s=workflow.time() - began, read_back=read_back)

    async def completed(self) -> None:
        """With what the snapshot does not hold, as far as that could be had."""
        bundled = await self.bundled()
        self.task = replace(self.task, bundled=bundled)

    async def bundled(self) -> Bundled | None:
        """Whatever goes wrong with it: the snapshot is worth having without."""
        wanted = self.task.request.bundle
        if wanted is None or wanted.why_not:
            self.pass_over()
            return None
        try:
            return await self.take(Bundled)
        except ActivityError as error:
            if not isinstance(error.cause, ApplicationError | TimedOut):
                raise
            return Bundled(findings=(f"the bundle was not taken: {error.cause.message}",))

    @workflow.query
    def progress(self) -> BackupProgress:
        """What is read back says where it is, whatever goes on beside it."""
        number = max(1, self.task.turn)
        if self.task.streamed and not self.task.read_back:
            number = min(number, READ_BACK)
        step = STEPS[number - 1]
        return BackupProgress(self.task.request.operation, step.key, step.title, number)
