"""What the stages of a drill are made of: steps that are shown, notes for the verdict, operations of their own."""

import asyncio
from dataclasses import replace
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ChildWorkflowError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from quorate.audit import canonical
    from quorate.backup import WORKFLOW as BACKUP
    from quorate.backup import BackupResult
    from quorate.drill import (
        LOOK_S,
        STEPS,
        ApproveTask,
        Drilled,
        DrillRequest,
        DrillTask,
        FaultTask,
        MistakeTask,
        SpoilTask,
        WatchTask,
    )
    from quorate.drills.aiming import away
    from quorate.drills.scenario import Stage
    from quorate.drills.shown import backed_up, changed, failed_for_it
    from quorate.due import Situation as Server
    from quorate.measure import Check
    from quorate.operation import Progress, RestoreResult, StepDone
    from quorate.prove import WORKFLOW as PROVE
    from quorate.prove import ProveResult
    from quorate.records import Entry
    from workflows import patience
    from workflows.children import TOGETHER, Request, begun, new, said
    from workflows.shielded import uncancelled

T = TypeVar("T")
ATTEMPTS = 3
NODES = "op"


class Stages:
    """Set up before `run`, since an Update may arrive in the very first task."""

    def begin(self, request: DrillRequest) -> None:
        self.request = request
        self.turn = 0
        self.seen = Drilled(began=0.0)
        self.steps: dict[tuple[str, str], StepDone] = {}
        self.titles: dict[str, str] = {}
        self.title = STEPS[0].title
        self.work: asyncio.Task[None] | None = None
        self.cancelled_by = self.bundled = ""

    async def carried_out(self, number: int, stage: Stage, victim: str = "") -> None:
        """The same workflow as ever, as an operation of its own; cancelled with this one."""
        key = f"run-{number}"
        self.show(key, "cluster", stage.title, "running")
        try:
            server: Server = await workflow.execute_activity(
                "due.situation", self.request.cluster, result_type=Server, **patience.step(LOOK_S)
            )
            match stage.run:
                case "prove":
                    await self.prove(server)
                case "backup":
                    await self.backup(number, stage, server)
                case _:
                    await self.change(number, stage, victim, server)
        except WorkflowAlreadyStartedError:
            self.note(stopped=f"another {stage.run} runs at this moment")
        except (ActivityError, ChildWorkflowError) as error:
            self.note(checks=(Check(f"stage {number}: {stage.run}", "it ends", said(error), passed=False),))
        self.show(key, "cluster", stage.title, "done")

    async def child(
        self, kind_: str, asked: Request, answer: type[T], server: Server, slot: str = ""
    ) -> "workflow.ChildWorkflowHandle[Any, T]":
        return await begun(kind_, asked, answer, server.attributes, self.request.version, TOGETHER, slot)

    async def prove(self, server: Server) -> None:
        assert self.request.prove
        asked = replace(self.request.prove, operation=self.begins(PROVE))
        proof = await (await self.child(PROVE, asked, ProveResult, server))
        self.seen = replace(self.seen, proved=proof)
        self.note(findings=proof.findings)

    async def backup(self, number: int, stage: Stage, server: Server) -> None:
        """With its store away it has to fail."""
        assert self.request.backup
        asked = replace(self.request.backup, operation=self.begins(BACKUP))
        if stage.store != "away":
            ended = await (await self.child(BACKUP, asked, BackupResult, server))
            self.note(checks=(backed_up(f"stage {number}", ended),))
            return
        child = await self.child(BACKUP, replace(asked, store=away(asked.store)), BackupResult, server)
        try:
            told = (await child).outcome
        except ChildWorkflowError as error:
            told = said(error)
        self.note(checks=(failed_for_it(f"stage {number}", told),))

    async def change(self, number: int, stage: Stage, victim: str, server: Server) -> None:
        """Its plan is made, approved and carried out as in an incident."""
        assert self.request.restore
        assert stage.run
        member = "" if stage.run == "restore" else victim
        asked = replace(self.request.restore, operation=self.begins(stage.run), member=member)
        if stage.run == "lay":  # of a newer one the bundle would lack what is out of sight
            asked = replace(asked, snapshot=self.bundled)
        if stage.store == "second":
            assert self.request.second
            asked = replace(asked, store=self.request.second)
        child = await self.child(stage.run, asked, RestoreResult, server, NODES)
        approving = asyncio.create_task(self.approve(asked.operation)) if self.approver else None
        ended = await child
        if approving:
            await approving
        self.seen = replace(self.seen, restored=ended, approved=ended.approved_at or self.seen.approved)
        self.note(checks=(changed(f"stage {number}", ended),), findings=ended.findings)

    @property
    def approver(self) -> str:
        """Who has said yes beforehand; who is absent is asked all the same, to see that it does not count."""
        return self.request.actor if self.request.scenario.absent else self.request.confirmed

    async def approve(self, operation: str) -> None:
        """What could not be approved beforehand waits for a person, as it would in an incident."""
        task = ApproveTask(f"quorate/{self.request.cluster}/{NODES}", operation, self.approver)
        options = patience.step(self.request.scenario.limits.duration)
        absent = bool(self.request.scenario.absent)
        try:
            given: str = await workflow.execute_activity("drill.approve", task, result_type=str, **options)
        except ActivityError as error:
            if absent:
                self.note(checks=(Check("absent", f"{self.approver} cannot approve it", said(error), passed=True),))
            else:
                self.note(findings=(f"{self.approver}'s approval did not count: {said(error)}",))
            return
        if given:
            self.seen = replace(self.seen, approved=workflow.time())
        if absent:
            self.note(checks=(Check("absent", f"{self.approver} cannot approve it", given or "-", passed=False),))

    def begins(self, kind_: str) -> str:
        operation = new(kind_)
        self.seen = replace(self.seen, operations=(*self.seen.operations, operation))
        return operation

    async def step(
        self,
        key: str,
        title: str,
        verb: str,
        task: DrillTask | FaultTask | WatchTask | MistakeTask | SpoilTask,
        kind_: type[T],
        patience_s: float,
        *,
        attempts: int = ATTEMPTS,
        place: str = "cluster",
        bulk: bool = False,
    ) -> T:
        self.title = title
        self.show(key, place, title, "running")
        options: dict[str, Any] = (patience.stream if bulk else patience.step)(patience_s)
        policy: RetryPolicy = replace(options.pop("retry_policy"), maximum_attempts=attempts)
        try:
            answer: T = await workflow.execute_activity(
                verb, task, result_type=kind_, retry_policy=policy, summary=title, **options
            )
        except ActivityError:
            self.show(key, place, title, "failed")
            raise
        self.show(key, place, title, "done")
        return answer

    def show(self, key: str, place: str, title: str, state: str) -> None:
        before = self.steps.get((key, place))
        now = workflow.time()
        began = before.started if before and before.started and state != "running" else now
        took = None if state == "running" else round(now - began, 3)
        self.titles[key] = title
        self.steps[key, place] = StepDone(key, place, state, began, took)

    def next(self) -> int:
        self.turn += 1
        return self.turn

    def note(self, checks: tuple[Check, ...] = (), stopped: str = "", findings: tuple[str, ...] = ()) -> None:
        seen = self.seen
        self.seen = replace(
            seen,
            checks=(*seen.checks, *checks),
            stopped=seen.stopped or stopped,
            findings=(*seen.findings, *findings),
        )

    async def seal(self, outcome: dict[str, Any]) -> None:
        request = self.request
        entry = Entry(request.operation, request.cluster, request.store, "outcome.json", canonical(outcome))
        await uncancelled(workflow.execute_activity("ledger.seal", entry, **patience.record(patience.STEPS_QUEUE)))

    @workflow.query
    def progress(self) -> Progress:
        return Progress(
            operation=self.request.operation,
            phase="running",
            title=self.title,
            steps=tuple(self.steps.values()),
            titles=dict(self.titles),
        )
