"""What schedules start: it begins the operation under its fixed id, waits for it, and says what came of it.

No runbook of its own, so it has no page: what it does by hand is to start the runbook. It holds nothing either.
Whatever ends it, even a time-out, leaves alone the backup that it has begun.
"""

from dataclasses import replace

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError
from temporalio.workflow import ChildWorkflowCancellationType, ChildWorkflowHandle, ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from quorate.backup import WORKFLOW as BACKUP
    from quorate.backup import BackupRequest, BackupResult
    from quorate.due import FAILED, SKIPPED, WORKFLOW, Due, DueResult, Situation, taken
    from quorate.operation import named
    from workflows import patience

LOOK_S = 10.0


@workflow.defn(name=WORKFLOW)
class BackupDue:
    @workflow.run
    async def run(self, due: Due) -> DueResult:
        """A backup that runs already, or an operation that has the nodes, is no failure: the next run comes."""
        cluster = due.request.cluster
        operation = named(BACKUP, int(workflow.time() * 1000), workflow.random().getrandbits(80))
        try:
            now = await self.situation(cluster)
            if now.why_not:
                return DueResult(cluster, SKIPPED, reason=now.why_not)
            backup = await self.begun(due, now, replace(due.request, operation=operation))
            workflow.upsert_memo({"operation": operation})  # where it is read with no worker alive
            return taken(cluster, await backup)
        except WorkflowAlreadyStartedError:
            return DueResult(cluster, SKIPPED, reason="another backup was begun at this moment")
        except ActivityError as error:
            return DueResult(cluster, FAILED, reason=f"what runs on the cluster could not be asked: {said(error)}")
        except ChildWorkflowError as error:
            if workflow.cancellation_reason() is not None:
                raise
            return DueResult(cluster, FAILED, operation, reason=said(error))

    async def situation(self, cluster: str) -> Situation:
        now: Situation = await workflow.execute_activity(
            "due.situation", cluster, result_type=Situation, summary="Ask what runs", **patience.step(LOOK_S)
        )
        return now

    async def begun(
        self, due: Due, now: Situation, request: BackupRequest
    ) -> ChildWorkflowHandle[object, BackupResult]:
        """As the command line begins one: the same id, so one at a time, and the same memo, so it is found."""
        memo = {"operation": request.operation, "cluster": request.cluster, "kind": BACKUP, "actor": request.actor}
        return await workflow.start_child_workflow(
            BACKUP,
            request,
            id=f"quorate/{request.cluster}/{BACKUP}",
            task_queue=patience.STEPS_QUEUE,
            result_type=BackupResult,
            cancellation_type=ChildWorkflowCancellationType.ABANDON,
            parent_close_policy=ParentClosePolicy.ABANDON,
            memo={**memo, "version": due.version},
            search_attributes=described(now, request),
            static_summary=f"{request.operation} by {request.actor}",
        )


def described(now: Situation, request: BackupRequest) -> TypedSearchAttributes:
    """By those that the server has: with an unknown one the backup could not begin at all."""
    values = zip(now.attributes, (request.cluster, BACKUP, request.operation), strict=False)
    return TypedSearchAttributes(
        [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values if name]
    )


def said(error: BaseException) -> str:
    """By whoever noticed it."""
    while error.__cause__ is not None and not isinstance(error, ApplicationError):
        error = error.__cause__
    return error.message if isinstance(error, ApplicationError) else str(error)
