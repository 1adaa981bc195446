"""Tidy the nodes of a cluster: planned, approved and carried out as a restore is."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from quorate.operation import Outcome, RestoreRequest, RestoreResult
    from workflows.restore import Restore


@workflow.defn(name="tidy")
class Tidy(Restore):
    planner, success, moves_data = "plan.tidy", Outcome.TIDIED, False

    @workflow.run
    async def run(self, request: RestoreRequest) -> RestoreResult:
        return await super().run(request)
