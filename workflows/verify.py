"""Verify a cluster's backups where they lie."""

from dataclasses import replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from quorate.operation import Progress
    from quorate.verify import STEPS, Due, VerifyRequest, VerifyResult, VerifyTask
    from workflows.straight import Straight


@workflow.defn(name="verify")
class Verify(Straight):
    steps = STEPS

    @workflow.init
    def __init__(self, request: VerifyRequest) -> None:
        self.task: VerifyTask = VerifyTask(request, STEPS[0].key, 0)

    @workflow.run
    async def run(self, _: VerifyRequest) -> VerifyResult:
        """Choose, verify; then seal the record."""
        result: VerifyResult = await self.recorded()
        return result

    async def outcome(self) -> VerifyResult:
        due = await self.take(Due)
        self.task = replace(self.task, due=due)
        return await self.take(VerifyResult)

    @workflow.query
    def progress(self) -> Progress:
        return self.where()
