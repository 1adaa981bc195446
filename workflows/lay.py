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
        whole = super().result(plan, outcome, began)
        findings = whole.findings if outcome is Outcome.UNDONE else (*whole.findings, *self.unlike())
        return replace(whole, member=plan.chosen.shares[0].member, findings=findings)

    def noted(self, note: str) -> tuple[str, ...]:
        """Where a control plane does not start on what was laid, what was not laid may be why."""
        return (*super().noted(note), *self.unlike())

    def unlike(self) -> tuple[str, ...]:
        """What was there and is another one than in the bundle; an earlier step, or version, says nothing of it."""
        receipts = [answer.receipt for answer in self.answers.get("lay", ()) if answer.receipt]
        found = "; ".join(said for each in receipts if (said := each.facts.get("unlike")))
        return (f"left as it is, though the bundle has it otherwise: {found}",) if found else ()

    def why_not_cancelled(self) -> str:
        if self.committed and self.phase != "done":
            return "its control plane was told to start, so nothing is undone any more; it goes on or is held"
        return super().why_not_cancelled()
