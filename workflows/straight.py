"""A runbook that changes no node: one step after another, and a record at the end, however it ends."""

from dataclasses import asdict, replace
from typing import Any, ClassVar, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from quorate.audit import canonical
    from quorate.chosen import Step
    from quorate.operation import Progress, StepDone
    from quorate.records import Entry
    from workflows import patience

T = TypeVar("T")

ATTEMPTS = 5  # nothing that fails here has to be undone; the next run is soon due


class Straight:
    """`task` is what the next activity is told: a request, a step, a turn, and what the steps before it found."""

    steps: ClassVar[tuple[Step, ...]]
    task: Any

    async def outcome(self) -> Any:
        """All steps, each through `take`."""
        raise NotImplementedError

    async def recorded(self) -> Any:
        """The outcome, sealed; so is a failure, before it is raised."""
        try:
            result = await self.outcome()
        except (ActivityError, ApplicationError) as error:
            said = error if isinstance(error, ApplicationError) else error.cause  # not that an activity said it
            if not isinstance(said, ApplicationError):
                raise
            trouble = {"kind": said.type, "message": said.message}
            failed = {"operation": self.task.request.operation, "outcome": "failed", "error": trouble}
            await self.seal(failed)
            raise said from None
        await self.seal(asdict(result))
        return result

    def where(self) -> Progress:
        """One step at a time, at one place."""
        turn = max(1, self.task.turn)
        done = tuple(StepDone(step.key, "cluster", "done") for step in self.steps[: turn - 1])
        step = self.steps[turn - 1]
        return Progress(
            operation=self.task.request.operation,
            phase="running",
            title=step.title,
            steps=(*done, StepDone(step.key, "cluster", "running")),
            titles={step.key: step.title for step in self.steps},
        )

    async def seal(self, outcome: dict[str, Any]) -> None:
        request = self.task.request
        entry = Entry(request.operation, request.cluster, request.store, "outcome.json", canonical(outcome))
        await workflow.execute_activity("ledger.seal", entry, **patience.record(patience.STREAMS_QUEUE))

    def pass_over(self) -> None:
        """The next step, which has nothing to do this time."""
        self.task = replace(self.task, turn=self.task.turn + 1)

    async def take(self, kind: type[T]) -> T:
        """The next step."""
        step = self.steps[self.task.turn]
        self.task = replace(self.task, step=step.key, turn=self.task.turn + 1)
        options: dict[str, Any] = patience.stream(step.patience_s)
        policy = replace(options.pop("retry_policy"), maximum_attempts=ATTEMPTS)
        answer: T = await workflow.execute_activity(
            step.verb, self.task, result_type=kind, retry_policy=policy, summary=step.title, **options
        )
        return answer
