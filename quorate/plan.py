"""A plan is a value: chosen, printed, approved by its digest, then carried out step by step."""

from dataclasses import dataclass
from enum import StrEnum

from quorate.chosen import Chosen, Share, SnapshotRef, Step
from quorate.restoring.source import FromMember
from quorate.task import ClusterTask, NodeTask


class Choice(StrEnum):
    """What a person may choose at a hold."""

    RETRY = "retry"
    SKIP = "skip"
    ROLLBACK = "rollback"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Gate:
    """A reason to refuse, with its evidence; one that cannot be overridden says what to do instead."""

    id: str
    evidence: str
    overridable: bool = True


@dataclass(frozen=True, slots=True)
class Way:
    """Something that can be done about a cluster, and what it would lose; `member` is who it is about, if anybody."""

    id: str
    what: str
    loses: str
    command: str
    member: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done, why it may not be, and what it will cost.

    `mark` is what canary writes have to pass where `chosen.bump` is 0; measured, so the digest leaves it out.
    `taken` is the snapshot of the member whose data is restored, once there is one.
    """

    operation: str
    chosen: Chosen
    refusals: tuple[Gate, ...] = ()
    overridden: tuple[Gate, ...] = ()
    losses: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    high_water: int = 0
    had_quorum: bool = True
    mark: int = 0
    taken: SnapshotRef | None = None
    afterwards: tuple[str, ...] = ()  # what is left to do for a person
    ways: tuple[Way, ...] = ()  # what can be done, the least lost first
    incident: str = ""  # the glass is broken for it: no second person is waited for
    reason: str = ""  # of that, and of what is overridden
    quorum: tuple[str, ...] = ()  # how many members have a vote and how many of them answer, step by step
    size_bytes: int = 0  # of the database, where a member takes it over from the others; measured

    @property
    def snapshot(self) -> SnapshotRef:
        return self.taken or self.chosen.snapshot

    @property
    def token(self) -> str:
        """New for every operation, so no old member can ever join."""
        return f"quorate-{self.operation}-g1"

    @property
    def initial_cluster(self) -> str:
        return ",".join(f"{s.member}={u}" for s in self.chosen.shares for u in s.peer_urls)

    def tasks(self, step: Step, turn: int, actor: str) -> tuple[NodeTask | ClusterTask, ...]:
        """One for every node that the step is about, or a single one for the cluster."""
        if step.place == "cluster":
            return (self._cluster_task(step, turn, actor),)
        control = step.roles == "control-plane"
        shares = [share for share in self.chosen.shares if share.control or not control]
        if step.place == "member":
            shares = [
                share for share in shares if self.chosen.replaced and share.member == self.chosen.replaced.member
            ]
        if one := self._one(step):
            shares = [share for share in shares if share.member == one.member]
        return tuple(self._node_task(step, turn, actor, share) for share in shares)

    def begun(self, step: Step) -> tuple[Step, ...]:
        """Every step up to this one, this one included."""
        steps = self.chosen.steps
        return steps[: steps.index(step) + 1]

    def committed(self, step: Step) -> bool:
        """Whether the point of no return lies before this step."""
        return any(each.commits for each in self.begun(step)[:-1])

    def choices(self, step: Step) -> tuple[Choice, ...]:
        """None before the point of no return: nobody is asked, it is undone."""
        if not any(each.commits for each in self.begun(step)):
            return ()
        skip = (Choice.SKIP,) if step.may_skip else ()
        rollback = () if self.no_rollback(step) else (Choice.ROLLBACK,)
        return (Choice.RETRY, *skip, *rollback, Choice.ABORT)

    def no_rollback(self, step: Step) -> str:
        """The reason why a hold at this step cannot be rolled back, or nothing: then nobody can have written."""
        if self.chosen.replaced:
            return "no rollback: a member that was removed never comes back under its id, only a new one can"
        if all(each.verb != "nodes.swap" for each in self.chosen.steps):
            return ""  # no data was moved: there is nothing that clients could have written into
        closed = [each for each in self.chosen.steps if each.admits and each not in self.begun(step)]
        if not closed:
            return (
                "it is too late for a rollback, clients may have written: the way back is a restore of what was "
                f"kept, which loses what was written since: `quorate abort {self.operation}`, then `quorate plan "
                f"restore {self.chosen.cluster} --from-kept {self.operation} --override-gate claimed --reason '…'`"
            )
        open_to_all = [share.node.name for share in self.chosen.shares if not share.clients.firewall]
        if open_to_all:
            return (
                f"no rollback: {', '.join(open_to_all)} cannot keep clients out, they may have written into the "
                "restored data"
            )
        return ""

    def undoing(self, begun: tuple[Step, ...], *, kept: bool = False) -> tuple[Step, ...]:
        """What is undone of the steps that were begun, the last first; `kept` where it may have been started."""
        started = kept or any(step.commits for step in begun)
        return tuple(step for step in reversed(begun) if step.undo and not (started and step.keeps))

    def at(self, key: str) -> Step:
        return next(step for step in self.chosen.steps if step.key == key)

    def rest(self, step: Step) -> tuple[Step, ...]:
        """From this step on."""
        return self.chosen.steps[self.chosen.steps.index(step) :]

    def _one(self, step: Step) -> FromMember | None:
        """The member that a step is about, where it is about one alone."""
        return {"source": self.chosen.source, "rehearsal": self.chosen.rehearsal}.get(step.place)

    def _node_task(self, step: Step, turn: int, actor: str, share: Share) -> NodeTask:
        return NodeTask(
            operation=self.operation,
            turn=turn,
            step=step.key,
            actor=actor,
            share=share,
            control=step.roles == "control-plane",
            snapshot=self.snapshot,
            store=self.chosen.store,
            initial_cluster=self.initial_cluster,
            token=self.token,
            bump=self.chosen.bump,
            patience_s=step.patience_s,
            source=self._one(step),
            absent=self.chosen.absent if step.key == "shut-out" else None,
            replaced=self.chosen.replaced if step.place == "member" else None,
            size_bytes=self.size_bytes,
            bundle=self.chosen.bundle,
        )

    def _cluster_task(self, step: Step, turn: int, actor: str) -> ClusterTask:
        return ClusterTask(
            operation=self.operation,
            turn=turn,
            step=step.key,
            actor=actor,
            cluster=self.chosen.cluster,
            shares=self.chosen.shares,
            snapshot=self.snapshot,
            token=self.token,
            bump=self.chosen.bump,
            patience_s=step.patience_s,
            kubeconfig=self.chosen.kubeconfig,
            api_urls=self.chosen.api_urls,
            mark=self.mark,
            store=self.chosen.store,
            source=self.chosen.source,
            rehearsal=self.chosen.rehearsal,
            replaced=self.chosen.replaced,
        )
