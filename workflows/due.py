"""What schedules start: it begins the operation under its fixed id, waits for it, and says what came of it.

No runbook of its own, so it has no page: what it does by hand is to start the runbook. It holds nothing either.
Whatever ends it, even a time-out, leaves alone the backup that it has begun.
"""

from dataclasses import replace
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ChildWorkflowError, WorkflowAlreadyStartedError
from temporalio.workflow import ChildWorkflowHandle

with workflow.unsafe.imports_passed_through():
    from quorate.backup import WORKFLOW as BACKUP
    from quorate.backup import BackupResult
    from quorate.backups.request import BackupRequest
    from quorate.due import FAILED, SKIPPED, WORKFLOW, Due, DueResult, Situation, followed, taken
    from quorate.prove import WORKFLOW as PROVE
    from quorate.prove import ProveRequest, ProveResult
    from quorate.prune import WORKFLOW as PRUNE
    from quorate.prune import PruneRequest, PruneResult
    from quorate.verify import WORKFLOW as VERIFY
    from quorate.verify import VerifyRequest, VerifyResult
    from workflows import patience
    from workflows.children import ALONE, begun, new, said

Request = BackupRequest | VerifyRequest | ProveRequest | PruneRequest
T = TypeVar("T")

LOOK_S = 10.0


@workflow.defn(name=WORKFLOW)
class BackupDue:
    @workflow.run
    async def run(self, due: Due) -> DueResult:
        """A backup that runs already, or an operation that has the nodes, is no failure: the next run comes."""
        cluster = due.request.cluster
        try:
            now = await self.situation(cluster)
        except ActivityError as error:
            return DueResult(cluster, FAILED, reason=f"what runs on the cluster could not be asked: {said(error)}")
        if now.why_not:
            return DueResult(cluster, SKIPPED, reason=now.why_not)
        return followed(await self.backup(due, now), await self.rest(due, now))

    async def backup(self, due: Due, now: Situation) -> DueResult:
        cluster, operation = due.request.cluster, new(BACKUP)
        try:
            backup = await self.begun(BACKUP, due, now, replace(due.request, operation=operation), BackupResult)
            workflow.upsert_memo({"operation": operation})  # where it is read with no worker alive
            return taken(cluster, await backup)
        except WorkflowAlreadyStartedError:
            return DueResult(cluster, SKIPPED, reason="another backup was begun at this moment")
        except ChildWorkflowError as error:
            if workflow.cancellation_reason() is not None:
                raise
            return DueResult(cluster, FAILED, operation, reason=said(error))

    async def rest(self, due: Due, now: Situation) -> tuple[str, ...]:
        """One after another, and none is kept from running by one before; what is wrong with any is a finding."""
        findings: list[str] = []
        for request in due.verify:
            findings += await self.follow(VERIFY, due, now, request, VerifyResult)
        for proof in due.prove:
            findings += await self.follow(PROVE, due, now, proof, ProveResult)
        for request_ in due.prune:
            findings += await self.follow(PRUNE, due, now, request_, PruneResult)
        return tuple(findings)

    async def follow(self, kind: str, due: Due, now: Situation, request: Request, result: type[Any]) -> list[str]:
        operation = new(kind)
        try:
            ended = await (await self.begun(kind, due, now, replace(request, operation=operation), result))
        except WorkflowAlreadyStartedError:
            return []  # somebody does it already
        except ChildWorkflowError as error:
            if workflow.cancellation_reason() is not None:
                raise
            return [f"{operation}: {said(error)}"]
        return [f"{operation}: {each}" for each in ended.findings]

    async def situation(self, cluster: str) -> Situation:
        now: Situation = await workflow.execute_activity(
            "due.situation", cluster, result_type=Situation, summary="Ask what runs", **patience.step(LOOK_S)
        )
        return now

    async def begun(
        self, kind: str, due: Due, now: Situation, request: Request, result: type[T]
    ) -> ChildWorkflowHandle[Any, T]:
        return await begun(kind, request, result, now.attributes, due.version, ALONE)
