"""Prune a cluster's backups."""

from dataclasses import replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from quorate.operation import Progress
    from quorate.prune import STEPS, Judgement, PruneRequest, PruneResult, PruneTask
    from workflows.straight import Straight


@workflow.defn(name="prune")
class Prune(Straight):
    steps = STEPS

    @workflow.init
    def __init__(self, request: PruneRequest) -> None:
        self.task: PruneTask = PruneTask(request, STEPS[0].key, 0)

    @workflow.run
    async def run(self, _: PruneRequest) -> PruneResult:
        """Judge, remove; then seal the record."""
        result: PruneResult = await self.recorded()
        return result

    async def outcome(self) -> PruneResult:
        judgement = await self.take(Judgement)
        self.task = replace(self.task, judgement=judgement)
        return await self.take(PruneResult)

    @workflow.query
    def progress(self) -> Progress:
        return self.where()
