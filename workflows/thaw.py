"""Thaw a cluster: planned, approved and carried out as a restore is, without any data."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from quorate.operation import Outcome, RestoreRequest, RestoreResult
    from workflows.restore import Restore


@workflow.defn(name="thaw")
class Thaw(Restore):
    planner, success, moves_data = "plan.thaw", Outcome.THAWED, False

    @workflow.run
    async def run(self, request: RestoreRequest) -> RestoreResult:
        return await super().run(request)
