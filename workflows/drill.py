"""Hold a drill: see that all is steady, break what the scenario says, watch, undo it, and judge by what was seen."""

import asyncio
from collections.abc import Coroutine
from dataclasses import asdict, replace
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from quorate.audit import canonical
    from quorate.converge import Receipt
    from quorate.drill import (
        BY_KEY,
        FAULT_S,
        LOOK_S,
        STEADY_S,
        STEPS,
        WORKFLOW,
        ApproveTask,
        Drilled,
        DrillRequest,
        DrillResult,
        DrillTask,
        FaultTask,
        Lost,
        Situation,
        Watched,
        WatchTask,
        aim,
        changed,
        held_by,
        laid,
        steady_of,
        unsteady,
    )
    from quorate.due import Situation as Server
    from quorate.errors import Refusal
    from quorate.fault import by_hand
    from quorate.measure import Check, Probed, Resource
    from quorate.operation import Progress, RestoreResult, StepDone
    from quorate.prove import WORKFLOW as PROVE
    from quorate.prove import ProveResult
    from quorate.records import Entry
    from quorate.scenario import Stage
    from quorate.verdict import result
    from workflows import patience
    from workflows.children import TOGETHER, begun, new, said

T = TypeVar("T")
ATTEMPTS = 3
NODES = "op"
LIFT_S = 3600.0  # a node that does not answer lifts the fault by itself meanwhile


@workflow.defn(name=WORKFLOW)
class Drill:
    @workflow.init
    def __init__(self, request: DrillRequest) -> None:
        self.request = request
        self.turn = 0
        self.seen = Drilled(began=0.0)
        self.steps: dict[tuple[str, str], StepDone] = {}
        self.titles: dict[str, str] = {}
        self.title = STEPS[0].title
        self.work: asyncio.Task[None] | None = None
        self.cancelled_by = ""

    @workflow.run
    async def run(self, _: DrillRequest) -> DrillResult:
        """A drill that may not begin fails and has changed nothing; any other has a verdict and a sealed record."""
        self.seen = Drilled(began=workflow.time())
        try:
            await self.may_begin()
        except (ActivityError, ApplicationError) as error:
            await self.seal({"operation": self.request.operation, "outcome": "failed", "error": trouble(error)})
            raise ApplicationError(said(error), type=kind(error), non_retryable=True) from None
        await self.held()
        ended = result(self.request, self.seen)
        await self.seal(asdict(ended))
        return ended

    async def may_begin(self) -> None:
        """Nobody has the nodes, and all is as the scenario wants it before."""
        if not self.request.scenario.faults:
            return
        situation = await self.situation()
        if why := held_by(situation):
            raise ApplicationError(f"{why}; nothing was broken", type=Refusal.kind)
        before = await self.steady("before", STEADY_S)
        self.note(checks=before)
        if why := unsteady(before):
            raise ApplicationError(f"it is not steady before the drill: {why}; nothing was broken", type=Refusal.kind)

    async def held(self) -> None:
        """The probe is there from before the first fault until after the last; what it wrote is removed."""
        probe = self.probing() if self.request.scenario.faults else None
        self.work = asyncio.create_task(self.stages())
        try:
            await asyncio.wait_for(asyncio.shield(self.work), self.request.scenario.limits.duration)
        except TimeoutError:
            self.note(stopped=f"it took longer than {self.request.scenario.limits.duration:g} s")
            self.work.cancel()
            await asyncio.gather(self.work, return_exceptions=True)
        except asyncio.CancelledError:
            self.note(stopped=f"cancelled by {self.cancelled_by or 'Temporal'}")
            self.work.cancel()
            await asyncio.gather(self.work, return_exceptions=True)
        if self.cancelled_by:
            self.note(stopped=f"cancelled by {self.cancelled_by}")
        self.seen = replace(self.seen, ended=workflow.time())
        if probe:
            probe.cancel()
            await self.uncancelled(self.stopped(probe))
        if self.seen.proved or self.seen.restored:
            await self.uncancelled(self.worked_out())

    async def stages(self) -> None:
        """One after another until one of them is stopped, or does not become steady again."""
        for number, stage in enumerate(self.request.scenario.stages, 1):
            if stage.fault:
                await self.broken(number, stage)
            else:
                await self.carried_out(number, stage)
            if self.seen.stopped or any(each.passed is False for each in self.seen.checks):
                return

    async def broken(self, number: int, stage: Stage) -> None:
        """Laid on all, watched or mended by an operation, lifted in every ending; then waited for."""
        assert stage.fault
        try:
            situation = await self.situation()
            victims = aim(stage.fault, situation)
            faults = {name: laid(self.request, number, stage, name, situation) for name in victims}
        except (ActivityError, Refusal) as error:
            self.note(stopped=str(error) if isinstance(error, Refusal) else said(error))
            return
        made = {name: Resource("fault", name, fault.laid.what, workflow.time()) for name, fault in faults.items()}
        try:
            await asyncio.gather(*(self.fault(number, stage, "lay", name, fault) for name, fault in faults.items()))
            if self.seen.declared is None:
                self.seen = replace(self.seen, declared=workflow.time())
            await (self.carried_out if stage.run else self.watched)(number, stage, victims[0])
        except ActivityError as error:
            if not is_cancelled_exception(error):  # who has cancelled it is known elsewhere
                self.note(stopped=said(error))
        finally:
            await self.uncancelled(self.all_lifted(number, stage, faults, made))
        patience_s = self.request.scenario.limits.recover
        self.note(checks=await self.steady(f"after stage {number}", patience_s))

    async def watched(self, number: int, stage: Stage, victim: str) -> None:
        task = WatchTask(self.request, "watch", self.next(), victim, stage.expect, stage.hold, f"stage {number}")
        watched = await self.step(f"watch-{number}", stage.title, "drill.watch", task, Watched, stage.hold + 30)
        self.note(checks=watched.checks, stopped=watched.stopped)

    async def all_lifted(
        self, number: int, stage: Stage, faults: dict[str, FaultTask], made: dict[str, Resource]
    ) -> None:
        lifted = [self.lifted(number, stage, fault, made[name]) for name, fault in faults.items()]
        self.seen = replace(self.seen, resources=(*self.seen.resources, *(await asyncio.gather(*lifted))))

    async def lifted(self, number: int, stage: Stage, fault: FaultTask, resource: Resource) -> Resource:
        """Tried for long: what could not be lifted is told with the command that lifts it."""
        try:
            await self.fault(number, stage, "lift", resource.place, fault)
        except ActivityError as error:
            self.note(findings=(f"{resource.name} on {resource.place} could not be lifted: {said(error)}",))
            return replace(resource, removal=by_hand(fault.node, fault.laid))
        return replace(resource, destroyed=workflow.time())

    async def fault(self, number: int, stage: Stage, key: str, name: str, fault: FaultTask) -> Receipt:
        patience_s, attempts = (LIFT_S, 0) if key == "lift" else (FAULT_S, ATTEMPTS)
        task = replace(fault, step=key, turn=self.next())
        title = f"{stage.title}: {BY_KEY[key].title.lower()}"
        return await self.step(
            f"{key}-{number}", title, f"drill.{key}", task, Receipt, patience_s, attempts=attempts, place=name
        )

    async def carried_out(self, number: int, stage: Stage, victim: str = "") -> None:
        """The same workflow as ever, as an operation of its own; cancelled with this one."""
        key = f"run-{number}"
        self.show(key, "cluster", stage.title, "running")
        try:
            server: Server = await workflow.execute_activity(
                "due.situation", self.request.cluster, result_type=Server, **patience.step(LOOK_S)
            )
            if stage.run == "prove":
                await self.prove(server)
            else:
                await self.change(number, stage, victim, server)
        except WorkflowAlreadyStartedError:
            self.note(stopped=f"another {stage.run} runs at this moment")
        except (ActivityError, ChildWorkflowError) as error:
            self.note(checks=(Check(f"stage {number}: {stage.run}", "it ends", said(error), passed=False),))
        self.show(key, "cluster", stage.title, "done")

    async def prove(self, server: Server) -> None:
        assert self.request.prove
        asked = replace(self.request.prove, operation=self.begins(PROVE))
        child = await begun(PROVE, asked, ProveResult, server.attributes, self.request.version, TOGETHER)
        self.seen = replace(self.seen, proved=await child)
        assert self.seen.proved
        self.note(findings=self.seen.proved.findings)

    async def change(self, number: int, stage: Stage, victim: str, server: Server) -> None:
        """Its plan is made, approved and carried out as in an incident."""
        assert self.request.restore
        assert stage.run
        member = victim if stage.run == "replace-member" else ""
        asked = replace(self.request.restore, operation=self.begins(stage.run), member=member)
        child = await begun(
            stage.run, asked, RestoreResult, server.attributes, self.request.version, TOGETHER, slot=NODES
        )
        approving = asyncio.create_task(self.approve(asked.operation)) if self.approver else None
        ended = await child
        if approving:
            await approving
        self.seen = replace(self.seen, restored=ended)
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

    async def situation(self) -> Situation:
        task = DrillTask(self.request, "look", self.next())
        return await self.step("look", BY_KEY["look"].title, "drill.look", task, Situation, LOOK_S)

    async def steady(self, when: str, patience_s: float) -> tuple[Check, ...]:
        wanted = steady_of(self.request)
        task = DrillTask(self.request, "steady", self.next(), patience_s, when, wanted)
        title = f"{BY_KEY['steady'].title}: {when}"
        return await self.step(f"steady {when}", title, "drill.steady", task, tuple[Check, ...], patience_s + 30)

    def probing(self) -> "workflow.ActivityHandle[Probed]":
        task = DrillTask(self.request, "probe", self.next())
        options = patience.stream(self.request.scenario.limits.duration + LIFT_S)
        return workflow.start_activity("drill.probe", task, result_type=Probed, summary="Write and read", **options)

    async def stopped(self, probe: "workflow.ActivityHandle[Probed]") -> None:
        """What it saw; then its keys go."""
        try:
            self.seen = replace(self.seen, probed=await probe)
        except ActivityError as error:
            self.note(findings=(f"what the probe saw is lost: {said(error)}",))
        task = DrillTask(self.request, "clean", self.next())
        try:
            await self.step("clean", BY_KEY["clean"].title, "drill.clean", task, type(None), LOOK_S)
        except ActivityError as error:
            key = self.request.probe_key
            self.note(findings=(f"the probe's keys under {key} could not be removed: {said(error)}",))

    async def worked_out(self) -> None:
        """Of what was proved when it began; of what was restored when the first fault was laid."""
        snapshot = next(each.snapshot for each in (self.seen.restored, self.seen.proved) if each)
        if not snapshot:
            return
        at = self.seen.declared or self.seen.began
        task = DrillTask(self.request, "lost", self.next(), snapshot=snapshot, declared=at)
        try:
            lost = await self.step("lost", BY_KEY["lost"].title, "drill.lost", task, Lost, LOOK_S)
        except ActivityError as error:
            self.note(findings=(f"what a restore would have lost is not known: {said(error)}",))
        else:
            self.seen = replace(self.seen, lost=lost)

    async def step(
        self,
        key: str,
        title: str,
        verb: str,
        task: DrillTask | FaultTask | WatchTask,
        kind_: type[T],
        patience_s: float,
        *,
        attempts: int = ATTEMPTS,
        place: str = "cluster",
    ) -> T:
        self.title = title
        self.show(key, place, title, "running")
        options: dict[str, Any] = patience.step(patience_s)
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
        await self.uncancelled(
            workflow.execute_activity("ledger.seal", entry, **patience.record(patience.STEPS_QUEUE))
        )

    async def uncancelled(self, work: Coroutine[Any, Any, T]) -> T:
        """A cancel does not keep what was broken from being mended."""
        task = asyncio.create_task(work)
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                continue
        return task.result()

    @workflow.update
    def cancel(self, by: str) -> str:
        """Whatever is broken is mended first; the verdict is `stopped`."""
        assert self.work, "the validator has looked"
        self.cancelled_by = by
        self.work.cancel()
        return "what was broken is mended, then it ends as stopped"

    @cancel.validator
    def may_be_cancelled(self, by: str) -> None:  # noqa: ARG002 - whoever it is
        if self.work is None or self.work.done():
            raise ApplicationError("nothing is broken: it begins, or is about to end", type=Refusal.kind)

    @workflow.query
    def progress(self) -> Progress:
        return Progress(
            operation=self.request.operation,
            phase="running",
            title=self.title,
            steps=tuple(self.steps.values()),
            titles=dict(self.titles),
        )


def kind(error: BaseException) -> str:
    cause = error if isinstance(error, ApplicationError) else error.__cause__
    return (cause.type or "failed") if isinstance(cause, ApplicationError) else "failed"


def trouble(error: BaseException) -> dict[str, str]:
    return {"kind": kind(error), "message": said(error)}
