"""Restore a cluster, from a snapshot or from what one member still holds."""

from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from quorate.adoption import walked
    from quorate.approval import BrokenGlass
    from quorate.chosen import Step
    from quorate.difference import void
    from quorate.errors import NotApproved
    from quorate.operation import Adopted, Outcome, RestoreRequest, RestoreResult, Trouble
    from quorate.plan import Plan
    from quorate.records import Entry, plan_text, result_text
    from quorate.restoring.timing import measured
    from quorate.restoring.whereabouts import whereabouts
    from quorate.taking import reference_of
    from workflows import patience
    from workflows.operation import Operation, trouble_of


@workflow.defn(name="restore")
class Restore(Operation):
    planner = "plan.restore"
    moves_data = True

    @workflow.init
    def __init__(self, request: RestoreRequest) -> None:
        self.request = request
        self.walked = walked(request.adopted) if request.adopted else ()
        self.begin(request.operation, request.actor)
        self.taken_over = bool(request.adopted)
        self.approval_s = request.settings.approval.expires

    @workflow.run
    async def run(self, request: RestoreRequest) -> RestoreResult:
        """Plan, be approved, carry out, leave a record."""
        return await self.uncancelled(self.recorded(request))

    async def recorded(self, request: RestoreRequest) -> RestoreResult:
        result = await self.outcome(request)
        self.phase = "done"
        await workflow.wait_condition(workflow.all_handlers_finished)  # what they record belongs under the seal
        name = f"outcome-{request.adopted.turn}.json" if request.adopted else "outcome.json"
        await self.call("ledger.seal", name, result_text(result))
        await workflow.wait_condition(workflow.all_handlers_finished)
        return result

    async def outcome(self, request: RestoreRequest) -> RestoreResult:
        if request.adopted:
            return await self.adopted(request.adopted)
        try:
            self.plan = plan = await self.planned()
        except ActivityError as error:
            return self.refused("", 0, trouble_of(request.cluster, error))
        await self.call("ledger.write", "plan.json", plan_text(plan))
        snapshot = plan.chosen.snapshot
        if plan.refusals:
            said = "; ".join(f"{gate.id}: {gate.evidence}" for gate in plan.refusals)
            return self.refused(snapshot.id, snapshot.revision, Trouble("refused", said, exit_code=4))
        if why_not := await self.approved(plan, request.approved, request.shown, self.glass(plan)):
            return self.refused(snapshot.id, snapshot.revision, not_approved(why_not))
        if self.waited and (trouble := await self.look_again(plan)):
            return self.refused(snapshot.id, snapshot.revision, trouble)
        began = workflow.time()
        outcome = await self.carry_out(self.plan)
        return self.result(self.plan, outcome, began)

    async def adopted(self, adopted: Adopted) -> RestoreResult:
        """Its plan was approved when it was begun."""
        self.plan = adopted.plan
        self.decisions.append(f"adopted at step {adopted.step} by {self.actor}")
        await self.call("ledger.write", "plan.json", plan_text(adopted.plan))
        began = workflow.time()
        return self.result(adopted.plan, await self.take_over(adopted.plan, adopted), began)

    async def planned(self) -> Plan:
        plan: Plan = await workflow.execute_activity(
            self.planner, self.request, result_type=Plan, **patience.step(60)
        )
        return plan

    async def look_again(self, approved: Plan) -> Trouble | None:
        """Whoever was waited for has approved the cluster as it was shown: is it that still?"""
        self.phase, self.title = "planning", "Look at every node again"
        try:
            now = await self.planned()
        except ActivityError as error:
            return trouble_of(self.request.cluster, error)
        if why_not := void(approved, now) or (f"cancelled by {self.cancelled}" if self.cancelled else ""):
            return not_approved(why_not)
        self.plan = now
        await self.call("ledger.write", "plan-again.json", plan_text(now))
        return None

    def glass(self, plan: Plan) -> BrokenGlass | None:
        """Broken by the request, which says for which incident and why."""
        asked = self.request
        digest = plan.chosen.digest()
        broken = BrokenGlass(asked.operation, asked.cluster, digest, asked.actor, asked.incident, asked.reason)
        return broken if asked.incident else None

    def learnt(self, plan: Plan, step: Step) -> Plan:
        """From where a member's data was taken on, that snapshot is what is restored."""
        if step.key == "take":
            (answer,) = self.answers["take"]
            assert answer.receipt
            plan = self.plan = replace(plan, taken=reference_of(answer.receipt.facts))
        return plan

    def result(self, plan: Plan, outcome: Outcome, began: float) -> RestoreResult:
        receipts = {key: [a.receipt for a in answers if a.receipt] for key, answers in self.answers.items()}
        times = measured(receipts)
        cancelled = Trouble("cancelled", f"cancelled by {self.cancelled}", exit_code=9) if self.cancelled else None
        return RestoreResult(
            operation=plan.operation,
            outcome=outcome,
            snapshot=plan.snapshot.id,
            revision=plan.snapshot.revision,
            served_revision=times.served_revision if outcome is self.success else None,
            outage_s=times.outage_s if plan.had_quorum else None,
            api_outage_s=times.api_outage_s,
            duration_s=round(workflow.time() - began, 3),
            steps=tuple(self.steps),
            error=None if outcome is self.success else self.trouble or cancelled,
            cluster_id=times.cluster_id,
            previous_cluster_id=plan.chosen.cluster_id or plan.chosen.snapshot.cluster_id,
            findings=(*times.findings, *(plan.afterwards if outcome is Outcome.RESTORED else ())),
            decisions=tuple(self.decisions),
            differences=times.differences,
            undiffered=times.undiffered,
            where=self.where() if outcome is Outcome.HELD or self.rolled_back else (),
            approved_at=self.approved_at,
        )

    def where(self) -> tuple[str, ...]:
        return whereabouts(self.plan, (*self.walked, *self.steps)) if self.plan and self.moves_data else ()

    def refused(self, snapshot: str, revision: int, trouble: Trouble) -> RestoreResult:
        return RestoreResult(
            operation=self.request.operation,
            outcome=Outcome.REFUSED,
            snapshot=snapshot or self.request.snapshot,
            revision=revision,
            error=trouble,
            decisions=tuple(self.decisions),
        )

    async def call(self, verb: str, name: str, text: str) -> None:
        """An operation whose record is not written is not over."""
        entry = Entry(self.request.operation, self.request.cluster, self.request.store, name, text)
        await workflow.execute_activity(verb, entry, **patience.record(patience.STEPS_QUEUE))


def not_approved(why_not: str) -> Trouble:
    return Trouble(NotApproved.kind, why_not, exit_code=NotApproved.exit_code)
