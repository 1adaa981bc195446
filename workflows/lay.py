"""Lay what a node has lost: planned, approved and carried out as a restore is."""

from dataclasses import replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from quorate.operation import Outcome, RestoreRequest, RestoreResult
    from quorate.plan import Plan
    from workflows.restore import Restore


@workflow.defn(name="lay")
class Lay(Restore):
    planner, success, moves_data = "plan.lay", Outcome.LAID, False

    @workflow.run
    async def run(self, request: RestoreRequest) -> RestoreResult:
        return await super().run(request)

    def result(self, plan: Plan, outcome: Outcome, began: float) -> RestoreResult:
        return replace(super().result(plan, outcome, began), member=plan.chosen.shares[0].member)

    def why_not_cancelled(self) -> str:
        if self.committed and self.phase != "done":
            return "its control plane was told to start, so nothing is undone any more; it goes on or is held"
        return super().why_not_cancelled()
