"""Prove a backup by a restore in the sandbox."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from quorate.errors import Busy, Corrupt, Failed, Refusal
    from quorate.operation import Progress, StepDone
    from quorate.prove import (
        BUSY_POLL_S,
        BUSY_S,
        CLEAR,
        STEPS,
        Chosen,
        Compared,
        ProveRequest,
        ProveResult,
        ProveTask,
        Restored,
        Served,
        leftover,
        nothing_due,
    )
    from workflows import patience
    from workflows.shielded import uncancelled
    from workflows.straight import ATTEMPTS, Straight

T = TypeVar("T")
FOR_EVER = 0  # as long as the step has time
BY_KEY = {step.key: step for step in STEPS}


@workflow.defn(name="prove")
class Prove(Straight):
    steps = STEPS

    @workflow.init
    def __init__(self, request: ProveRequest) -> None:
        self.task: ProveTask = ProveTask(request, STEPS[0].key, 0)
        self.done: list[str] = []
        self.held = False
        self.work: asyncio.Task[str] | None = None
        self.cancelled_by = ""

    @workflow.run
    async def run(self, _: ProveRequest) -> ProveResult:
        """Whatever happens after the sandbox was claimed, it is left empty; then seal the record."""
        result: ProveResult = await self.recorded()
        return result

    async def outcome(self) -> ProveResult:
        began = workflow.time()
        chosen = await self.step("choose", Chosen)
        self.task = replace(self.task, chosen=chosen)
        if not chosen.snapshot:
            return nothing_due(self.task)
        self.work = asyncio.create_task(self.tried())
        try:
            differs = await self.work
        except (ActivityError, asyncio.CancelledError) as error:
            left = await uncancelled(self.removed())
            raise self.ended(error, left) from error
        left = await uncancelled(self.removed())
        self.task = replace(self.task, differs=differs, left=left, duration_s=workflow.time() - began)
        return await self.step("mark", ProveResult)

    def ended(self, error: BaseException, left: str) -> ApplicationError:
        """Why there is no result, in words that say what is left behind; nothing is marked."""
        failed = error.cause if isinstance(error, ActivityError) else None
        if isinstance(failed, ApplicationError):
            told, type_, details = failed.message, failed.type, failed.details
        else:
            told, type_, details = f"cancelled by {self.cancelled_by or 'Temporal'}", Failed.kind, ()
        return ApplicationError("; ".join(filter(None, (told, left))), *details, type=type_, non_retryable=True)

    async def tried(self) -> str:
        await self.claimed()
        differs = await self.twice()
        if not differs and self.task.request.api_server:
            await self.served()
        return differs

    async def claimed(self) -> None:
        """Another one that has it is waited for."""
        deadline = workflow.time() + BUSY_S
        while not self.held:
            try:
                await self.step("claim", type(None))
                self.held = True
                self.go_on()
            except ActivityError as error:
                if kind(error) != Busy.kind or workflow.time() > deadline:
                    raise
                await workflow.sleep(timedelta(seconds=BUSY_POLL_S))

    async def twice(self) -> str:
        """Why it is not what its manifest says; once may be the network's."""
        if not await self.once():
            return ""
        await self.forward("remove", type(None), CLEAR)
        self.task = replace(self.task, notes=(), facts={})
        return await self.once()

    async def once(self) -> str:
        try:
            restored = await self.forward("restore", Restored)
            self.task = replace(self.task, restored=restored)
            for key in ("read", "start"):
                compared = await self.forward(key, Compared)
                if compared.differs:
                    return compared.differs
                notes = (*self.task.notes, *([compared.note] if compared.note else []))
                self.task = replace(self.task, notes=notes, facts={**self.task.facts, **compared.facts})
        except ActivityError as error:
            if kind(error) != Corrupt.kind:
                raise
            return said(error)
        return ""

    async def served(self) -> None:
        """By an API server: whatever is wrong with that is a finding, for the backup has been compared."""
        for key in ("serve", "ask"):
            try:
                told = await self.forward(key, Served)
            except ActivityError as error:
                told = Served(wrong=said(error))
                self.go_on()
            notes, facts = (*self.task.notes, *told.notes), {**self.task.facts, **told.facts}
            self.task = replace(self.task, notes=notes, facts=facts, unserved=told.wrong)
            if told.wrong:
                return

    async def removed(self) -> str:
        """What is left, and how it is removed by hand; nothing where all was seen gone, or nothing ever was there."""
        try:
            await self.step("remove", type(None), attempts=FOR_EVER if self.held else ATTEMPTS)
        except ActivityError as error:
            return leftover(self.task.request, said(error)) if self.held else ""
        return ""

    async def forward(self, key: str, result: type[T], verb: str = "") -> T:
        """A step that nobody wants any more once it was cancelled, though it may have come to its end."""
        answer = await self.step(key, result, verb)
        self.go_on()
        return answer

    def go_on(self) -> None:
        if self.cancelled_by or workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError

    async def step(self, key: str, result: type[T], verb: str = "", attempts: int = ATTEMPTS) -> T:
        """One of the steps, which may come again; the turn rises with each."""
        step = BY_KEY[key]
        self.task = replace(self.task, step=key, turn=self.task.turn + 1)
        options: dict[str, Any] = patience.stream(step.patience_s)
        policy = replace(options.pop("retry_policy"), maximum_attempts=attempts)
        answer: T = await workflow.execute_activity(
            verb or step.verb, self.task, result_type=result, retry_policy=policy, summary=step.title, **options
        )
        self.done = [*(each for each in self.done if each != key), key]
        self.task = replace(self.task, times={**self.task.times, key: workflow.time()})
        return answer

    @workflow.update
    def cancel(self, by: str) -> str:
        """It is taken away as after any other end."""
        assert self.work, "the validator has looked"
        self.cancelled_by = by
        self.work.cancel()
        return "what it has laid in the sandbox is removed"

    @cancel.validator
    def may_be_cancelled(self, by: str) -> None:  # noqa: ARG002 - whoever it is
        if self.work is None or self.work.done():
            raise ApplicationError(
                "nothing of it is in the sandbox: it begins, or is about to end", type=Refusal.kind
            )

    @workflow.query
    def progress(self) -> Progress:
        step = BY_KEY[self.task.step]
        done = tuple(StepDone(key, "cluster", "done") for key in self.done if key != step.key)
        return Progress(
            operation=self.task.request.operation,
            phase="running",
            title=step.title,
            steps=(*done, StepDone(step.key, "cluster", "running")),
            titles={each.key: each.title for each in STEPS},
        )


def kind(error: ActivityError) -> str:
    return (error.cause.type or "") if isinstance(error.cause, ApplicationError) else ""


def said(error: ActivityError) -> str:
    return error.cause.message if isinstance(error.cause, ApplicationError) else str(error.cause or error)
