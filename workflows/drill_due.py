"""What a schedule starts when a drill is due: it begins it under its fixed id, and says what came of it."""

from dataclasses import replace

from temporalio import workflow
from temporalio.exceptions import ActivityError, ChildWorkflowError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from quorate.drill import WORKFLOW as DRILLS
    from quorate.drill import DrillResult
    from quorate.due import DRILL, FAILED, SKIPPED, DrillDue, DueResult, Situation, drilled
    from workflows import patience
    from workflows.children import ALONE, begun, new, said

LOOK_S = 10.0


@workflow.defn(name=DRILL)
class WhenDrillDue:
    @workflow.run
    async def run(self, due: DrillDue) -> DueResult:
        """Nothing is broken while an operation has the cluster, or a backup is taken; the next run comes."""
        cluster = due.request.cluster
        try:
            now: Situation = await workflow.execute_activity(
                "due.situation", cluster, result_type=Situation, summary="Ask what runs", **patience.step(LOOK_S)
            )
        except ActivityError as error:
            return DueResult(cluster, FAILED, reason=f"what runs on the cluster could not be asked: {said(error)}")
        if now.why_not and due.request.scenario.faults:
            return DueResult(cluster, SKIPPED, reason=now.why_not)
        operation = new(DRILLS)
        asked = replace(due.request, operation=operation)
        try:
            child = await begun(DRILLS, asked, DrillResult, now.attributes, due.version, ALONE)
            workflow.upsert_memo({"operation": operation})  # where it is read with no worker alive
            return drilled(await child)
        except WorkflowAlreadyStartedError:
            return DueResult(cluster, SKIPPED, reason="another drill runs on the cluster")
        except ChildWorkflowError as error:
            if workflow.cancellation_reason() is not None:
                raise
            return DueResult(cluster, FAILED, operation, reason=said(error))
