"""What is asked of an operation, what it shows while it runs, how it ends."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from quorate.chosen import Chosen
from quorate.inventory import Cluster
from quorate.members.listing import Difference
from quorate.plan import Choice, Plan
from quorate.settings.stores import Store
from quorate.sshsig import Signer


class Outcome(StrEnum):
    RESTORED = "restored"
    FROZEN = "frozen"
    THAWED = "thawed"
    TIDIED = "tidied"
    REPLACED = "replaced"
    LAID = "laid"
    REFUSED = "refused"
    UNDONE = "undone"
    HELD = "held"


SIGNATURE_MAX = 8192
EXIT = {
    Outcome.RESTORED: 0,
    Outcome.FROZEN: 0,
    Outcome.THAWED: 0,
    Outcome.TIDIED: 0,
    Outcome.REPLACED: 0,
    Outcome.LAID: 0,
    Outcome.REFUSED: 4,
    Outcome.UNDONE: 9,
    Outcome.HELD: 10,
}


@dataclass(frozen=True, slots=True)
class Adopted:
    """An operation that is taken over where another left it; its turns begin above all that were before."""

    plan: Plan
    step: str
    verb: str
    undoing: bool
    turn: int
    unstarted: bool = False  # an undo of what nobody can have run: all of it is undone

    @property
    def kept(self) -> bool:
        """Whether what was staged stays."""
        return self.undoing and not self.unstarted


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """Everything the operation will ever read of the inventory travels in it: references, no secrets."""

    operation: str
    cluster: str
    settings: Cluster
    store: Store
    snapshot: str
    actor: str
    overrides: tuple[str, ...] = ()
    reason: str = ""
    approved: str = ""  # the digest the requester has seen and confirmed; "" = not yet
    from_member: str = ""  # whose data is taken instead of a backup
    adopted: Adopted | None = None
    powered_off: tuple[str, ...] = ()  # NODE=EVIDENCE, each
    without: tuple[str, ...] = ()  # members that are gone for good
    shown: Chosen | None = None  # what has that digest, so that a difference can be told
    incident: str = ""  # the glass is broken for it: nobody else is waited for
    from_kept: str = ""  # the operation whose kept data is taken instead
    older_than_s: float = 0.0  # what is kept longer goes; 0 is what the inventory says
    member: str = ""  # who is replaced, "" for the one whose data is not that of the others; or where files are laid


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes; `until` is the expiry that they were shown, and have signed where keys are listed."""

    digest: str
    actor: str  # who hands it in; where it is signed, its key tells who approves
    signature: str = ""
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Hold:
    """Where it stopped, why, and what a person may choose."""

    number: int
    step: str
    reason: str
    choices: tuple[Choice, ...]
    since: float = 0.0
    where: tuple[str, ...] = ()  # the data lies
    notes: tuple[str, ...] = ()  # why a choice is missing, and what else bears on it


@dataclass(frozen=True, slots=True)
class Resolution:
    hold: int
    choice: Choice
    actor: str


@dataclass(frozen=True, slots=True)
class Awaiting:
    """An approval is awaited, for this digest, from somebody who has not given one yet."""

    digest: str
    people: int
    approved_by: tuple[str, ...]
    until: float
    approvers: tuple[str, ...] = ()  # nobody: anybody
    signers: tuple[Signer, ...] = ()

    @property
    def asked(self) -> tuple[str, ...]:
        """Who may still say yes, where that is not anybody."""
        return tuple(name for name in self.approvers if name not in self.approved_by)


@dataclass(frozen=True, slots=True)
class StepDone:
    """One step at one place, as scripts see it."""

    id: str
    host: str
    state: str  # pending | running | done | failed | skipped
    started: float | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    kind: str
    message: str
    next: str = ""
    exit_code: int = 10


@dataclass(frozen=True, slots=True)
class Progress:
    operation: str
    phase: str  # planning | approval | running | undoing | held | done
    title: str
    steps: tuple[StepDone, ...] = ()
    titles: dict[str, str] = field(default_factory=dict)
    hold: Hold | None = None
    awaiting: Awaiting | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """The scripts' contract (README, "For scripts")."""

    operation: str
    outcome: Outcome
    snapshot: str
    revision: int
    served_revision: int | None = None
    outage_s: float | None = None
    api_outage_s: float | None = None
    duration_s: float | None = None
    steps: tuple[StepDone, ...] = ()
    error: Trouble | None = None
    cluster_id: str = ""
    previous_cluster_id: str = ""
    findings: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()  # what people decided on the way, and who
    where: tuple[str, ...] = ()  # the data lies, where it is held or was rolled back
    differences: tuple[Difference, ...] | None = None  # from what was there before; None: it was not compared
    undiffered: str = ""  # why they are not known
    member: str = ""  # who was replaced
    approved_at: float | None = None  # when enough people had said yes


def why_not(resolution: Resolution, hold: Hold | None) -> str:
    """The reason why a resolution cannot be taken, or nothing."""
    if hold is None:
        return "nothing is held"
    if resolution.hold != hold.number:
        return f"hold {resolution.hold} is over; the one that waits is {hold.number}"
    if resolution.choice not in hold.choices:
        allowed = f"{resolution.choice} is not possible at step {hold.step}; possible: {', '.join(hold.choices)}"
        return "; ".join((allowed, *hold.notes))
    return ""


def why_malformed(approval: Approval, awaiting: Awaiting | None) -> str:
    """The reason why an approval is not even looked at, or nothing."""
    if awaiting is None:
        return "no approval is awaited"
    if not re.fullmatch(r"[0-9a-f]{64}", approval.digest):
        return f"{approval.digest[:64]!r} is no digest; the plan that awaits approval has {awaiting.digest}"
    if not approval.until or len(approval.signature) > SIGNATURE_MAX:
        return "this approval is of a form that another version of quorate makes"
    return ""


def why_not_approved(approval: Approval, awaiting: Awaiting) -> str:
    """The reason why an approval cannot be taken, or nothing."""
    if approval.digest != awaiting.digest:
        return f"the plan that awaits approval has digest {awaiting.digest[:12]}, not {approval.digest[:12]}"
    if approval.until != awaiting.until:
        return "it is for another expiry than the plan that awaits approval has"
    if approval.actor in awaiting.approved_by:
        return f"{approval.actor} has approved already; another person has to"
    if awaiting.approvers and approval.actor not in awaiting.approvers:
        return f"{approval.actor} is not among the approvers: {', '.join(awaiting.approvers)}"
    return ""


def why_not_cancelled(phase: str, *, committed: bool, taken_over: bool = False) -> str:
    """The reason why a cancel cannot be followed, or nothing."""
    if phase == "done":
        return "it is over"
    if taken_over:
        return "it was taken over and is held until somebody chooses how it goes on; see `quorate watch`"
    if committed:
        return "etcd was told to start, so nothing is undone any more; it goes on or is held"
    return ""


def upon_cancel(phase: str, title: str) -> str:
    """What a cancel that is followed brings about."""
    match phase:
        case "planning" | "approval":
            return "nothing was begun, nothing is changed"
        case "running":
            return f"everything is undone once this step is over: {title}"
    return "it is being undone already"
