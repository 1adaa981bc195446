"""Taking over an operation of which only the nodes still know: its plan lies there, and how far it came.

The driver begins a step on every node only when all have done the one before it, so the latest claim of any node
tells where the operation stands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from quorate.errors import BadInput, Corrupt, Refusal
from quorate.operation import Adopted, StepDone
from quorate.plan import Plan
from quorate.records import adapter, plan_text
from quorate.taking import REFERENCE

PLAN_FILE, TAKEN_FILE = "plan.json", "taken.json"
FIRST = "claim"  # the step that leaves the plan on every node before any other begins
UNSTARTED = "unstarted"  # the last word of an undo's claim where nobody can have run what was restored
EPOCH = 1000  # turns between two orchestrators: whoever was there before stays below, however far it goes on


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a node's claim says: whose it is, under which ticket, at which step and by which verb."""

    operation: str
    turn: int
    attempt: int
    step: str = ""
    verb: str = ""
    unstarted: bool = False

    @property
    def order(self) -> tuple[int, int]:
        return self.turn, self.attempt


@dataclass(frozen=True, slots=True)
class Found:
    """What the nodes of a cluster still know of an operation; files by name, each as one text for all nodes."""

    claims: Mapping[str, Claimed]
    plan: str
    taken: str = ""


def claimed(text: str) -> Claimed | None:
    """Of a claim as it is read; one of an earlier version tells no step."""
    words = text.split()
    if len(words) < 3 or not (words[1].isdigit() and words[2].isdigit()):
        return None
    step, verb = (*words[3:5], "", "")[:2]
    return Claimed(words[0], int(words[1]), int(words[2]), step, verb, unstarted=words[5:] == [UNSTARTED])


def undone_by(verb: str, *, started: bool) -> str:
    """What an undo's claim says of its verb: whoever takes over has to know what becomes of the staged data."""
    return verb if started else f"{verb} {UNSTARTED}"


def nobody(cluster: str, released: Mapping[str, str]) -> BadInput:
    """Nothing to adopt; what was the last to be here, by node, is over, whether or not its outcome is on record."""
    said = {each: [node for node, last in released.items() if last == each] for each in sorted({*released.values()})}
    over = "".join(f"; {each} has released {', '.join(nodes)}: it is over there" for each, nodes in said.items())
    return BadInput(
        f"no node of {cluster} is claimed: there is nothing to adopt{over}", next=f"quorate inspect {cluster}"
    )


def one_operation(claims: Mapping[str, Claimed], cluster: str) -> str:
    """The operation that all claims name; BadInput where there is none, Refusal where there are two."""
    names = sorted({each.operation for each in claims.values()})
    if not names:
        raise nobody(cluster, {})
    if len(names) > 1:
        listed = ", ".join(f"{node} by {each.operation}" for node, each in sorted(claims.items()))
        raise Refusal(f"the nodes of {cluster} are claimed by several operations: {listed}")
    return names[0]


def one_text(texts: Mapping[str, str], what: str) -> str:
    """What every node that has it says; Corrupt where they differ, "" where none has it."""
    if len(set(texts.values())) > 1:
        raise Corrupt(f"{what} is not the same on {', '.join(sorted(texts))}: nobody can tell which is right")
    return next(iter(texts.values()), "")


def adopted(found: Found, cluster: str) -> Adopted:
    """Where the operation stands; Refusal where the nodes do not know enough."""
    operation = one_operation(found.claims, cluster)
    latest = max(found.claims.values(), key=lambda each: each.order)
    if not found.plan and {each.step for each in found.claims.values()} == {FIRST}:
        raise Refusal(
            f"{operation} has claimed nodes, and that is all: it died before it had left its plan on any of them; "
            "another operation takes them over",
            next=f"quorate plan restore {cluster} --override-gate claimed --reason '{operation} had only claimed'",
        )
    plan = plan_of(found, operation)
    steps = {step.key: step for step in plan.chosen.steps}
    if latest.step not in steps:
        raise Refusal(
            f"the claims of {operation} do not tell at which step it stands ({latest.step or 'nothing'}): go on by "
            "hand, runbooks/restore.md"
        )
    step = steps[latest.step]
    undoing = latest.verb == step.undo != step.verb
    return Adopted(
        plan=plan,
        step=step.key,
        verb=latest.verb,
        undoing=undoing,
        unstarted=undoing and (latest.unstarted or step.keeps),  # what was started is never discarded
        turn=(latest.turn // EPOCH + 1) * EPOCH,
    )


def plan_of(found: Found, operation: str) -> Plan:
    if not found.plan:
        raise Refusal(
            f"{operation} has claimed nodes, but left no plan there: it had not begun, or it was begun by an earlier "
            "version; undo it by hand (runbooks/restore.md), then move the claim"
        )
    try:
        plan: Plan = adapter(Plan).validate_json(found.plan)
        taken = REFERENCE.validate_json(found.taken) if found.taken else None
    except ValidationError as error:
        raise Corrupt(f"the plan of {operation} on the nodes is not one: {error.errors()[0]['msg']}") from error
    if plan.operation != operation:
        raise Corrupt(f"the plan on the nodes is of {plan.operation}, their claims are of {operation}")
    return replace(plan, taken=taken) if taken else plan


def walked(adopted: Adopted) -> tuple[StepDone, ...]:
    """What others have done of it on every node; how far they came with the step where it stands nobody knows."""
    plan, at = adopted.plan, adopted.plan.at(adopted.step)
    before = plan.begun(at)[:-1]
    after = [each for each in plan.rest(at)[1:] if adopted.undoing and not (each.commits and adopted.unstarted)]
    states = (
        *((each.key, "done") for each in (*before, *after)),
        *((f"undo-{each.key}", "done") for each in after),
        (at.key, "running"),
        *((f"undo-{at.key}", "running") for _ in range(adopted.undoing)),
    )
    names = [share.node.name for share in plan.chosen.shares]
    return tuple(StepDone(key, name, state) for key, state in states for name in names)


def leaves(plan: Plan, step: str) -> tuple[tuple[str, str], ...]:
    """The files that a step leaves on a node for this."""
    if step == FIRST:
        return ((PLAN_FILE, plan_text(plan)),)
    if step == "stage" and plan.taken:
        return ((TAKEN_FILE, REFERENCE.dump_json(plan.taken).decode()),)
    return ()
