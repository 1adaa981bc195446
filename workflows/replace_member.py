"""Replace a member: planned, approved and carried out as a restore is, while the others go on serving."""

from dataclasses import replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from quorate.operation import Outcome, RestoreRequest, RestoreResult
    from quorate.plan import Plan
    from quorate.restoring.whereabouts import whereabouts
    from workflows.restore import Restore


@workflow.defn(name="replace-member")
class ReplaceMember(Restore):
    planner, success = "plan.replace-member", Outcome.REPLACED

    @workflow.run
    async def run(self, request: RestoreRequest) -> RestoreResult:
        return await super().run(request)

    def result(self, plan: Plan, outcome: Outcome, began: float) -> RestoreResult:
        whole = super().result(plan, outcome, began)
        assert plan.chosen.replaced
        return replace(
            whole,
            member=plan.chosen.replaced.member,
            findings=(*whole.findings, *(plan.afterwards if outcome is self.success else ())),
        )

    def why_not_cancelled(self) -> str:
        if self.committed and self.phase != "done":
            return "the member was removed, so nothing is undone any more; it goes on or is held"
        return super().why_not_cancelled()

    def where(self) -> tuple[str, ...]:
        """Of the one member whose data is moved."""
        if self.plan is None or self.plan.chosen.replaced is None:
            return ()
        chosen = self.plan.chosen
        mine = tuple(each for each in chosen.shares if chosen.replaced and each.member == chosen.replaced.member)
        return whereabouts(replace(self.plan, chosen=replace(chosen, shares=mine)), (*self.walked, *self.steps))
