"""Hold a drill: see that all is steady, break what the scenario says, watch, undo it, and judge by what was seen."""

import asyncio
from dataclasses import asdict, replace
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    is_cancelled_exception,
)
from temporalio.exceptions import TimeoutError as TimedOut

with workflow.unsafe.imports_passed_through():
    from quorate.converge import Receipt
    from quorate.drill import (
        BY_KEY,
        EXPOSED_TITLE,
        FAULT_S,
        KEY_TITLES,
        KEYS_S,
        LOOK_S,
        STEADY_S,
        WORKFLOW,
        Drilled,
        DrillRequest,
        DrillResult,
        DrillTask,
        Exposed,
        FaultTask,
        Fingerprint,
        Lost,
        MistakeTask,
        Situation,
        Spoiled,
        SpoilTask,
        Watched,
        WatchTask,
    )
    from quorate.drills.aiming import aim, held_by, laid, steady_of, unsteady
    from quorate.drills.fault import Hidden, by_hand
    from quorate.drills.probing import resumed, unheard
    from quorate.drills.scenario import Stage
    from quorate.drills.shown import keys_back, not_back, refused_twin, same_files
    from quorate.drills.verdict import result
    from quorate.errors import Refusal
    from quorate.measure import Check, Probed, Resource
    from quorate.operation import Outcome
    from workflows import patience
    from workflows.children import said
    from workflows.shielded import uncancelled
    from workflows.stages import ATTEMPTS, Stages

T = TypeVar("T")
SPOIL_S = 1800.0
SPOIL_TITLES = {"spoil": "make a damaged twin of it", "unspoil": "remove that again"}
LIFT_S = 3600.0  # a node that does not answer lifts the fault by itself meanwhile


@workflow.defn(name=WORKFLOW)
class Drill(Stages):
    @workflow.init
    def __init__(self, request: DrillRequest) -> None:
        self.begin(request)

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
        if self.request.scenario.faults and (why := held_by(await self.situation())):
            raise ApplicationError(f"{why}; nothing was broken", type=Refusal.kind)
        if not steady_of(self.request):
            return
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
            await uncancelled(self.stopped(probe))
        if self.seen.proved or self.seen.restored:
            await uncancelled(self.worked_out())

    async def stages(self) -> None:
        """One after another until one of them is stopped, or does not become steady again."""
        for number, stage in enumerate(self.request.scenario.stages, 1):
            if stage.fault:
                await self.broken(number, stage)
            elif stage.spoil:
                await self.spoiled(number, stage)
            elif stage.mistake:
                await self.mistaken(number, stage)
            else:
                await self.carried_out(number, stage)
            if self.failing:
                return

    async def broken(self, number: int, stage: Stage) -> None:
        """Laid on all, watched or mended by an operation, lifted in every ending; then waited for."""
        assert stage.fault
        try:
            situation = await self.exposed(number, stage, await self.situation())
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
            await uncancelled(self.all_lifted(number, stage, faults, made))
        patience_s = self.request.scenario.limits.recover
        self.note(checks=await self.steady(f"after stage {number}", patience_s))

    async def mistaken(self, number: int, stage: Stage) -> None:
        """Keys are written and backed up, then deleted by mistake, and restored: exactly those have to be back."""
        assert stage.mistake
        gone = False
        try:
            await self.key_step(number, stage, "write", type(None))
            await self.carried_out(number, stage.model_copy(update={"run": "backup"}))
            if self.failing:
                return  # nothing is deleted that is not in a backup
            before = await self.key_step(number, stage, "fingerprint", Fingerprint)
            gone = True
            deleted = await self.key_step(number, stage, "delete", Fingerprint)
            self.seen = replace(self.seen, declared=self.seen.declared or workflow.time())
            await self.carried_out(number, stage)
            after = await self.key_step(number, stage, "fingerprint", Fingerprint)
            gone = after != before
        except ActivityError as error:
            if not is_cancelled_exception(error):
                self.note(stopped=said(error))
            return
        finally:
            if gone:
                self.note(findings=(not_back(self.request, stage.mistake),))
        self.note(checks=keys_back(f"stage {number}", before, deleted, after))
        self.note(checks=await self.steady(f"after stage {number}", self.request.scenario.limits.recover))

    @property
    def failing(self) -> bool:
        """Whether it is not gone on with."""
        return bool(self.seen.stopped) or any(each.passed is False for each in self.seen.checks)

    async def spoiled(self, number: int, stage: Stage) -> None:
        """The damaged twin is what is newest; it goes in every ending."""
        place = self.request.store.url
        try:
            made = await self.spoil_step(number, stage, "spoil", Spoiled)
        except ActivityError as error:
            self.note(stopped=said(error))
            return
        resource = Resource("snapshot", place, made.twin, workflow.time())
        try:
            await self.carried_out(number, stage)
            if first := self.seen.proved:
                self.seen = replace(self.seen, proved=None, findings=())
                self.note(checks=refused_twin(f"stage {number}", made, first))
                await self.carried_out(number, stage)
        finally:
            await uncancelled(self.unspoiled(number, stage, made, resource))

    async def unspoiled(self, number: int, stage: Stage, made: Spoiled, resource: Resource) -> None:
        try:
            await self.spoil_step(number, stage, "unspoil", type(None), made)
            resource = replace(resource, destroyed=workflow.time())
        except ActivityError as error:
            self.note(findings=(f"{made.twin} could not be removed: {said(error)}",))
            resource = replace(resource, removal=f"quorate snapshots prune {self.request.cluster}")
        self.seen = replace(self.seen, resources=(*self.seen.resources, resource))

    async def spoil_step(
        self, number: int, stage: Stage, verb: str, answer: type[T], made: Spoiled | None = None
    ) -> T:
        task = SpoilTask(self.request, verb, self.next(), made)
        title = f"{stage.title}: {SPOIL_TITLES[verb]}"
        return await self.step(f"{verb}-{number}", title, f"drill.{verb}", task, answer, SPOIL_S, bulk=True)

    async def key_step(self, number: int, stage: Stage, verb: str, answer: type[T]) -> T:
        assert stage.mistake
        task = MistakeTask(self.request, verb, self.next(), stage.mistake)
        title = f"{stage.title}: {KEY_TITLES[verb]}"
        return await self.step(f"{verb}-{number}", title, f"drill.{verb}", task, answer, KEYS_S)

    async def watched(self, number: int, stage: Stage, victim: str) -> None:
        task = WatchTask(self.request, "watch", self.next(), victim, stage.expect, stage.hold, f"stage {number}")
        watched = await self.step(f"watch-{number}", stage.title, "drill.watch", task, Watched, stage.hold + 30)
        self.note(checks=watched.checks, stopped=watched.stopped)

    async def all_lifted(
        self, number: int, stage: Stage, faults: dict[str, FaultTask], made: dict[str, Resource]
    ) -> None:
        lifting = (self.lifted(number, stage, fault, made[name]) for name, fault in faults.items())
        lifted = await asyncio.gather(*lifting)
        self.seen = replace(self.seen, resources=(*self.seen.resources, *lifted))

    async def lifted(self, number: int, stage: Stage, fault: FaultTask, resource: Resource) -> Resource:
        """Tried for long: what could not be lifted is told with the command that lifts it."""
        try:
            lifted = await self.fault(number, stage, "lift", resource.place, fault)
        except ActivityError as error:
            left = f"{resource.name} on {resource.place} could not be lifted: {said(error)}"
            self.note(stopped=left)  # nothing more is broken before this is mended
            return replace(resource, removal=by_hand(fault.node, fault.laid))
        if isinstance(fault.laid, Hidden) and self.seen.restored and self.seen.restored.outcome is Outcome.LAID:
            self.note(checks=(same_files(f"stage {number}", fault.laid, lifted.ran),))
        return replace(resource, destroyed=workflow.time())

    async def fault(self, number: int, stage: Stage, key: str, name: str, fault: FaultTask) -> Receipt:
        patience_s, attempts = (LIFT_S, 0) if key == "lift" else (FAULT_S, ATTEMPTS)
        task = replace(fault, step=key, turn=self.next())
        title = f"{stage.title}: {BY_KEY[key].title.lower()}"
        return await self.step(
            f"{key}-{number}", title, f"drill.{key}", task, Receipt, patience_s, attempts=attempts, place=name
        )

    async def situation(self) -> Situation:
        task = DrillTask(self.request, "look", self.next())
        return await self.step("look", BY_KEY["look"].title, "drill.look", task, Situation, LOOK_S)

    async def exposed(self, number: int, stage: Stage, situation: Situation) -> Situation:
        """With what there is of the API servers, where they are taken away."""
        if stage.run != "lay":
            return situation
        task = DrillTask(self.request, "exposed", self.next())
        title = f"{stage.title}: {EXPOSED_TITLE}"
        exposed = await self.step(f"exposed-{number}", title, "drill.exposed", task, Exposed, LOOK_S)
        self.bundled = exposed.snapshot
        return replace(situation, exposed=exposed)

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
        """What it saw, or had seen when it was last heard of; then its keys go."""
        try:
            self.seen = replace(self.seen, probed=await probe)
        except ActivityError as error:
            self.seen = replace(self.seen, probed=last_seen(error, workflow.time()))
            self.note(findings=(unheard(self.seen.probed, said(error)),))
        task = DrillTask(self.request, "clean", self.next())
        try:
            await self.step("clean", BY_KEY["clean"].title, "drill.clean", task, type(None), LOOK_S)
        except ActivityError as error:
            key = self.request.probe_key
            self.note(findings=(f"the probe's keys under {key} could not be removed: {said(error)}",))

    async def worked_out(self) -> None:
        """Of what was proved when it began; of what was restored when the first fault was laid."""
        done = self.seen.restored or self.seen.proved
        if not done or not done.snapshot or self.bundled:  # what is laid takes back no write
            return
        snapshot = done.snapshot
        at = self.seen.declared or self.seen.began
        task = DrillTask(self.request, "lost", self.next(), snapshot=snapshot, declared=at)
        try:
            lost = await self.step("lost", BY_KEY["lost"].title, "drill.lost", task, Lost, LOOK_S)
        except ActivityError as error:
            self.note(findings=(f"what a restore would have lost is not known: {said(error)}",))
        else:
            self.seen = replace(self.seen, lost=lost)

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


def last_seen(error: ActivityError, now: float) -> Probed | None:
    """What it said with its last beat, where whoever ran it is gone; nobody watched since then."""
    beaten = error.cause.last_heartbeat_details if isinstance(error.cause, TimedOut) else ()
    return resumed(beaten[1], now).probed(now) if len(beaten) > 1 else None


def kind(error: BaseException) -> str:
    cause = error if isinstance(error, ApplicationError) else error.__cause__
    return (cause.type or "failed") if isinstance(cause, ApplicationError) else "failed"


def trouble(error: BaseException) -> dict[str, str]:
    return {"kind": kind(error), "message": said(error)}
