"""Carries out any plan: its steps, its point of no return and its undo are the plan's; this only walks."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from quorate.adoption import leaves, undone_by
    from quorate.approval import BrokenGlass, Case, Verdict, expiry
    from quorate.chosen import Chosen, Step
    from quorate.converge import Receipt
    from quorate.difference import differences
    from quorate.errors import Busy, NotApproved
    from quorate.operation import (
        Adopted,
        Approval,
        Awaiting,
        Hold,
        Outcome,
        Progress,
        Resolution,
        StepDone,
        Trouble,
        upon_cancel,
        why_malformed,
        why_not,
        why_not_cancelled,
    )
    from quorate.plan import Choice, Plan
    from quorate.task import ClusterTask, NodeTask
    from workflows import patience

SEIZE, SEIZING = "adopt", "Take over the claims"
UNDOING = (Choice.RETRY, Choice.ABORT)
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What one place said to one step: a receipt, or what is wrong."""

    place: str
    receipt: Receipt | None = None
    trouble: Trouble | None = None


class Operation:
    """Set up before `run`, since an Update may arrive in the very first task."""

    def begin(self, operation: str, actor: str) -> None:
        self.operation, self.actor = operation, actor
        self.plan: Plan | None = None
        self.phase, self.title = "planning", "Look at every node"
        self.turn = self.holds = 0
        self.hold: Hold | None = None
        self.awaiting: Awaiting | None = None
        self.cancelled = ""
        self.committed = self.rolled_back = self.waited = self.taken_over = False
        self.decisions: list[str] = []
        self.approved_at: float | None = None
        self.trouble: Trouble | None = None
        self.chosen: asyncio.Future[Choice] = asyncio.Future()
        self.steps: list[StepDone] = []
        self.answers: dict[str, list[Answer]] = {}

    async def approved(self, plan: Plan, already: str, shown: Chosen | None, glass: BrokenGlass | None) -> str:
        """Nothing once enough people have said yes to this digest; else the reason why not."""
        digest, people = plan.chosen.digest(), plan.chosen.people
        if already and already != digest:
            said = f"the plan changed after it was shown: {already[:12]} was approved, now it is {digest[:12]}"
            return "; ".join((said, *(differences(shown, plan.chosen) if shown else ())))
        until = workflow.time() + self.approval_s
        if shown and (why_not := await self.confirmed(Awaiting(digest, people, (), until))):
            return why_not
        self.decisions += [f"approved by {self.actor}"] if already else []
        if glass:
            await workflow.execute_activity("approvals.break_glass", glass, **patience.record(patience.STEPS_QUEUE))
            self.decisions.append(str(glass))
            people = 1
        given = (self.actor,) if already else ()
        awaiting = Awaiting(digest, people, given, until, plan.chosen.approvers, plan.chosen.signers)
        self.await_approval(awaiting)
        try:
            await workflow.wait_condition(
                lambda: bool(self.cancelled) or len(self.given()) >= people,
                timeout=timedelta(seconds=self.approval_s),
                timeout_summary="approval",
            )
        except TimeoutError:
            said = ", ".join(self.given()) or "nobody"
            return f"{people} had to approve it by {expiry(until)}, and until then only {said} did"
        finally:
            self.await_approval(None)
        if self.cancelled:
            return f"cancelled by {self.cancelled}"
        self.approved_at = workflow.time()
        return ""

    async def confirmed(self, awaiting: Awaiting) -> str:
        """What the requester has typed goes on record as any approval does."""
        return (await self.check(Approval(awaiting.digest, self.actor, until=awaiting.until), awaiting)).why_not

    approval_s = 1800.0
    success = Outcome.RESTORED

    def given(self) -> tuple[str, ...]:
        return self.awaiting.approved_by if self.awaiting else ()

    async def carry_out(self, plan: Plan) -> Outcome:
        """Take every step; undo before the point of no return, hold after it."""
        return await self.take(plan, plan.chosen.steps)

    async def take_over(self, plan: Plan, adopted: Adopted) -> Outcome:
        """Raise every claim, so that nobody else goes on; then a person says how this does."""
        step = plan.at(adopted.step)
        self.turn = adopted.turn
        self.committed = bool(plan.committed(step) or step.commits) and not adopted.undoing
        says = undone_by(adopted.verb, started=not adopted.unstarted)
        troubles = [*await self.seize(plan, step, says), taken_over(step, adopted)]
        choices = UNDOING if adopted.undoing else plan.choices(step) or (*UNDOING, Choice.ROLLBACK)
        note = "" if adopted.undoing else plan.no_rollback(step)
        choice = await self.held(step, troubles, choices, note)
        self.taken_over = False
        if choice is Choice.RETRY and not adopted.undoing:
            return await self.take(plan, plan.rest(step))
        self.trouble = troubles[-1]
        return Outcome.HELD if choice is Choice.ABORT else await self.undo(plan, plan.begun(step), kept=adopted.kept)

    async def seize(self, plan: Plan, step: Step, says: str) -> list[Trouble]:
        """What a node's claim says of the step stays as it was: it is where the next one would take over."""
        self.title = SEIZING
        claim = plan.chosen.steps[0]
        tasks = [replace(task, step=step.key, verb=says) for task in plan.tasks(claim, self.turn, self.actor)]
        answers = await asyncio.gather(*(self.at_place(task, claim.verb, SEIZE, claim) for task in tasks))
        return [answer.trouble for answer in answers if answer.trouble]

    async def take(self, plan: Plan, steps: tuple[Step, ...]) -> Outcome:
        self.phase = "running"
        for step in steps:
            if self.cancelled and not self.committed:
                return await self.undo(plan, plan.begun(step)[:-1])
            self.committed = self.committed or step.commits
            match await self.settle(plan, step, step.verb, plan.choices(step), plan.no_rollback(step)):
                case Choice.ROLLBACK:
                    return await self.undo(plan, plan.begun(step))
                case Choice.ABORT:
                    return Outcome.HELD
                case Choice.SKIP:
                    self.skipped(step)
            plan = self.learnt(plan, step)
        return self.success

    def learnt(self, plan: Plan, step: Step) -> Plan:  # noqa: ARG002 - a runbook may look at the step's answers
        """The plan for the steps to come, in a runbook that learns something on its way."""
        return plan

    async def undo(self, plan: Plan, begun: tuple[Step, ...], *, kept: bool = False) -> Outcome:
        """Undo on every node, last step first: a node that did nothing has nothing left."""
        self.phase = "undoing"
        self.committed, self.rolled_back = False, self.committed or kept
        for step in plan.undoing(begun, kept=kept):
            if await self.settle(plan, step, step.undo, UNDOING) is Choice.ABORT:
                return Outcome.HELD
        return Outcome.UNDONE

    async def settle(
        self, plan: Plan, step: Step, verb: str, choices: tuple[Choice, ...], note: str = ""
    ) -> Choice | None:
        """Try until every place has done it (None) or a person chooses otherwise."""
        while troubles := await self.everywhere(plan, step, verb):
            self.trouble = self.trouble or troubles[0]
            if not choices:
                self.trouble = troubles[0]
                return Choice.ROLLBACK
            if (choice := await self.held(step, troubles, choices, note)) is not Choice.RETRY:
                self.trouble = troubles[0]
                return choice
        return None

    async def everywhere(self, plan: Plan, step: Step, verb: str) -> list[Trouble]:
        """Wait for every place before judging any, so an undo never races a swap."""
        self.turn += 1
        self.title = step.title if verb == step.verb else f"Undo: {step.title}"
        key = step.key if verb == step.verb else f"undo-{step.key}"
        tasks = plan.tasks(step, self.turn, self.actor)
        if verb == step.verb:
            tasks = equipped(tasks, leaves(plan, step.key))
        else:
            tasks = tuple(replace(task, verb=undone_by(verb, started=self.rolled_back)) for task in tasks)
        answers = await asyncio.gather(*(self.at_place(task, verb, key, step) for task in tasks))
        self.answers[key] = list(answers)
        return [answer.trouble for answer in answers if answer.trouble]

    async def at_place(self, task: NodeTask | ClusterTask, verb: str, key: str, step: Step) -> Answer:
        place = task.share.node.name if isinstance(task, NodeTask) else "cluster"
        started = workflow.time()
        self.show_step(StepDone(key, place, "running", started))
        try:
            receipt = await workflow.execute_activity(
                verb, task, result_type=Receipt, summary=f"{key} {place}", **patience.step(step.patience_s)
            )
        except ActivityError as error:
            trouble = trouble_of(place, error)
            foreign = verb != step.verb and trouble.kind == Busy.kind  # another's node: nothing of ours is there
            self.show_step(StepDone(key, place, "done" if foreign else "failed", started, workflow.time() - started))
            return Answer(place, trouble=None if foreign else trouble)
        self.show_step(StepDone(key, place, "done", receipt.started or started, receipt.duration_s))
        return Answer(place, receipt)

    async def held(self, step: Step, troubles: list[Trouble], choices: tuple[Choice, ...], note: str) -> Choice:
        """Wait for a person, as long as it takes."""
        self.holds += 1
        reason = "; ".join(dict.fromkeys(trouble.message for trouble in troubles))
        before, self.phase = self.phase, "held"
        self.chosen = asyncio.Future()
        self.show(Hold(self.holds, step.key, reason, choices, workflow.time(), self.where(), self.noted(note)))
        choice = await self.chosen
        self.phase = before
        return choice

    def noted(self, note: str) -> tuple[str, ...]:
        """What a person should know who chooses."""
        return (note,) if note else ()

    def where(self) -> tuple[str, ...]:
        """Where the data lies, in a runbook that moves any."""
        return ()

    def show(self, hold: Hold | None) -> None:
        """In the memo, where it is read with no worker alive.

        It must be a command: after a restart, an Update in the same task as the last answers would be
        judged before them, and a right resolution rejected.
        """
        self.hold = hold
        workflow.upsert_memo({"hold": hold})

    def await_approval(self, awaiting: Awaiting | None) -> None:
        """A command, for the same reason."""
        self.awaiting = awaiting
        self.phase = "approval" if awaiting else self.phase
        workflow.upsert_memo({"awaiting": awaiting})

    def show_step(self, done: StepDone) -> None:
        others = [each for each in self.steps if (each.id, each.host) != (done.id, done.host)]
        self.steps = [*others, done]
        workflow.set_current_details(f"**{self.title}** ({self.phase})")

    def skipped(self, step: Step) -> None:
        self.steps = [
            replace(d, state="skipped") if (d.id, d.state) == (step.key, "failed") else d for d in self.steps
        ]

    @workflow.update
    def resolve(self, resolution: Resolution) -> None:
        assert self.hold is not None
        self.decisions.append(f"{resolution.choice} at step {self.hold.step} by {resolution.actor}")
        self.show(None)
        self.chosen.set_result(resolution.choice)

    @resolve.validator
    def may_resolve(self, resolution: Resolution) -> None:
        refuse(why_not(resolution, self.hold))

    @workflow.update
    async def approve(self, approval: Approval) -> str:
        """Checked where it can be proved and is put on record; an expiry it lacks was taken before that was so."""
        assert self.awaiting is not None
        verdict = await self.check(approval, self.awaiting) if approval.until else Verdict(approval.actor)
        refuse(verdict.why_not, NotApproved.kind)
        if self.awaiting is None or verdict.name in self.awaiting.approved_by:  # while it was checked
            refuse("no approval of that person is awaited any more", NotApproved.kind)
        self.decisions.append(str(verdict))
        self.waited = bool(approval.until)
        self.await_approval(replace(self.awaiting, approved_by=(*self.awaiting.approved_by, verdict.name)))
        return str(verdict)

    @approve.validator
    def may_approve(self, approval: Approval) -> None:
        refuse(why_malformed(approval, self.awaiting))

    async def check(self, approval: Approval, awaiting: Awaiting) -> Verdict:
        assert self.plan is not None
        case = Case(self.operation, self.plan.chosen.cluster, awaiting, approval)
        try:
            verdict: Verdict = await workflow.execute_activity(
                "approvals.check", case, result_type=Verdict, **patience.step(patience.CHECK_S)
            )
        except ActivityError as error:
            return Verdict(approval.actor, f"it could not be checked: {trouble_of(case.cluster, error).message}")
        return verdict

    @workflow.update
    def cancel(self, actor: str) -> str:
        """Followed between steps, and only before the point of no return; answers what comes of it."""
        self.call_off(actor)
        return upon_cancel(self.phase, self.title)

    @cancel.validator
    def may_cancel(self, actor: str) -> None:  # noqa: ARG002 - it is asked with what the Update is given
        refuse(self.why_not_cancelled())

    def why_not_cancelled(self) -> str:
        return why_not_cancelled(self.phase, committed=self.committed, taken_over=self.taken_over)

    def call_off(self, actor: str) -> None:
        self.decisions.append(f"cancelled by {actor}")
        self.cancelled = self.cancelled or actor

    async def uncancelled(self, work: Coroutine[Any, Any, T]) -> T:
        """Temporal's own cancel comes once and into the main task: it counts as the Update, and tears nothing."""
        task = asyncio.create_task(work)
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                if self.why_not_cancelled():
                    self.decisions.append("a cancel by Temporal was not followed")
                else:
                    self.call_off("Temporal")
        return task.result()

    @workflow.query
    def progress(self) -> Progress:
        steps = self.plan.chosen.steps if self.plan else ()
        taking = {SEIZE: SEIZING} if any(each.id == SEIZE for each in self.steps) else {}
        return Progress(
            operation=self.operation,
            phase=self.phase,
            title=self.title,
            steps=tuple(self.steps),
            titles={**taking, **{step.key: step.title for step in steps}},
            hold=self.hold,
            awaiting=self.awaiting,
            digest=self.plan.chosen.digest() if self.plan else "",
        )


def equipped(
    tasks: tuple[NodeTask | ClusterTask, ...], files: tuple[tuple[str, str], ...]
) -> tuple[NodeTask | ClusterTask, ...]:
    """With what a node keeps for whoever has to take over with nothing else."""
    return tuple(replace(task, leaves=files) if isinstance(task, NodeTask) else task for task in tasks)


def taken_over(step: Step, adopted: Adopted) -> Trouble:
    doing = "the undo of" if adopted.undoing else "step"
    return Trouble("adopted", f"taken over at {doing} {step.key}; whatever it was that stopped it is not known here")


def refuse(reason: str, kind: str = "refused") -> None:
    if reason:
        raise ApplicationError(reason, type=kind, non_retryable=True)


def trouble_of(place: str, error: FailureError) -> Trouble:
    """What went wrong, in the words of whoever noticed it."""
    cause: BaseException = error
    while not isinstance(cause, ApplicationError) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, ApplicationError):
        details = [*cause.details, 10, ""]
        message = cause.message if cause.message.startswith(place) else f"{place}: {cause.message}"
        return Trouble(cause.type or "internal", message, str(details[1] or ""), int(details[0]))
    if is_cancelled_exception(error):
        return Trouble("cancelled", f"{place}: cancelled")
    return Trouble("timeout", f"{place}: {cause}")
