"""Freeze a cluster: planned, approved and carried out as a restore is, without any data."""

from dataclasses import replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from quorate.operation import Outcome, RestoreRequest, RestoreResult
    from quorate.plan import Plan
    from workflows.restore import Restore


@workflow.defn(name="freeze")
class Freeze(Restore):
    planner, success, moves_data = "plan.freeze", Outcome.FROZEN, False

    @workflow.run
    async def run(self, request: RestoreRequest) -> RestoreResult:
        return await super().run(request)

    def result(self, plan: Plan, outcome: Outcome, began: float) -> RestoreResult:
        """That what ran does not run any more is no finding here: it is what was asked for."""
        whole = super().result(plan, outcome, began)
        return replace(whole, findings=()) if outcome is self.success else whole
