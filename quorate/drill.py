"""Drills: what is broken on purpose, the steps, what each of them is told, and what came of it."""

from dataclasses import dataclass, field

from quorate.backups.request import BackupRequest
from quorate.chosen import Step
from quorate.command import Node, node_of
from quorate.drills.fault import Laid
from quorate.drills.scenario import Expected, Mistake, Scenario, Steady
from quorate.inventory import Cluster
from quorate.measure import Check, Clock, Probed, Resource, Verdict
from quorate.members.etcd import EtcdTarget, target
from quorate.nodes.static_pod import StaticPod
from quorate.nodes.supervisor import Systemd
from quorate.operation import RestoreRequest, RestoreResult
from quorate.prove import ProveRequest, ProveResult
from quorate.settings.stores import Store

WORKFLOW = "drill"
LOOK_S, STEADY_S, FAULT_S = 60.0, 30.0, 120.0

STEPS = (
    Step("look", "Look who leads and whether anybody has the nodes", "drill.look", "cluster", patience_s=LOOK_S),
    Step("steady", "See that all is steady", "drill.steady", "cluster", patience_s=STEADY_S),
    Step("lay", "Lay the fault, its removal first", "drill.lay", patience_s=FAULT_S),
    Step("watch", "Watch while it lasts", "drill.watch", "cluster"),
    Step("lift", "Lift it, and see it gone", "drill.lift", patience_s=FAULT_S),
    Step("recover", "Wait until all is steady again", "drill.steady", "cluster"),
    Step("clean", "Remove what the probe has written", "drill.clean", "cluster", patience_s=LOOK_S),
    Step("lost", "Work out what a restore would have lost", "drill.lost", "cluster", patience_s=LOOK_S),
)
BY_KEY = {step.key: step for step in STEPS}


EXIT = {Verdict.PASSED: 0, Verdict.FINDINGS: 3, Verdict.FAILED: 10, Verdict.STOPPED: 9}


@dataclass(frozen=True, slots=True)
class Lost:
    """How much time's writes: never a point, for etcd records no commit times. None: it cannot be known."""

    least_s: float | None = None
    most_s: float | None = None


@dataclass(frozen=True, slots=True)
class DrillRequest:
    """All that it will ever read of the inventory and of the scenario's file: references, no secrets."""

    operation: str
    cluster: str
    settings: Cluster
    store: Store
    scenario: Scenario
    actor: str = ""
    prove: ProveRequest | None = None  # its own operation is named when it begins; so is that of a restore
    restore: RestoreRequest | None = None  # of whatever changes nodes
    backup: BackupRequest | None = None
    second: Store | None = None  # the first that has copies
    confirmed: str = ""  # who has said yes beforehand to whatever plan its restore will have
    version: str = ""

    @property
    def targets(self) -> tuple[EtcdTarget, ...]:
        return tuple(target(self.settings, member) for member in self.settings.members)

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(node_of(self.cluster, self.settings, member) for member in self.settings.members)

    @property
    def probe_key(self) -> str:
        return f"quorate/probe/{self.operation}"


@dataclass(frozen=True, slots=True)
class MemberState:
    """One member as it was just seen; `why` says why it does not answer."""

    name: str
    leads: bool = False
    member_id: str = ""
    version: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Exposed:
    """What each node supervises its API server with, and which of its files the bundle of that backup holds."""

    snapshot: str
    processes: dict[str, Systemd | StaticPod] = field(default_factory=dict)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Situation:
    """Who is there, what each node supervises etcd with, and who has the nodes."""

    members: tuple[MemberState, ...] = ()
    processes: dict[str, Systemd | StaticPod] = field(default_factory=dict)
    firewalls: tuple[str, ...] = ()  # nodes that have nft
    mounted: tuple[str, ...] = ()  # nodes whose data directory is a mount point, which cannot be renamed
    holders: dict[str, str] = field(default_factory=dict)  # by node, the operation that has claimed it
    silent: dict[str, str] = field(default_factory=dict)  # nodes that cannot be logged in to, and why
    exposed: Exposed | None = None  # looked at where a stage takes the API servers away

    @property
    def leader(self) -> str:
        return next((each.name for each in self.members if each.leads), "")


@dataclass(frozen=True, slots=True)
class DrillTask:
    """What one step is told; `chosen` is the snapshot that was proved, if any."""

    request: DrillRequest
    step: str
    turn: int
    patience_s: float = 0.0
    when: str = ""  # before each check, so that those of every stage are told apart
    wanted: tuple[Steady, ...] = ()
    snapshot: str = ""
    declared: float = 0.0


@dataclass(frozen=True, slots=True)
class FaultTask:
    request: DrillRequest
    step: str
    turn: int
    node: Node
    laid: Laid
    stage: int = 0

    @property
    def holder(self) -> str:
        """As whom it has the node: a stage gives it back, and another one may want it again."""
        return f"{self.request.operation}-{self.stage}" if self.stage else self.request.operation


@dataclass(frozen=True, slots=True)
class WatchTask:
    """For so long, or until a stop condition holds; `victim` is the member that the fault is laid on."""

    request: DrillRequest
    step: str
    turn: int
    victim: str
    expect: tuple[Expected, ...] = ()
    hold_s: float = 0.0
    when: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """What was expected meanwhile; `stopped` is the condition that ended it, or nothing."""

    checks: tuple[Check, ...] = ()
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Drilled:
    """What there is to judge, gathered on the way."""

    began: float
    ended: float = 0.0
    declared: float | None = None
    checks: tuple[Check, ...] = ()
    resources: tuple[Resource, ...] = ()
    probed: Probed | None = None
    proved: ProveResult | None = None
    restored: RestoreResult | None = None
    approved: float | None = None
    operations: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    stopped: str = ""
    lost: Lost = Lost()


@dataclass(frozen=True, slots=True)
class DrillResult:
    """The scripts' contract, and what a report is made of."""

    operation: str
    outcome: Verdict
    cluster: str
    scenario: str
    hypothesis: str = ""
    clock: Clock = field(default_factory=Clock)
    probed: Probed | None = None
    checks: tuple[Check, ...] = ()
    resources: tuple[Resource, ...] = ()
    findings: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()  # that it had carried out, each with a record of its own
    snapshot: str = ""
    rto_objective_s: float | None = None
    rpo_objective_s: float | None = None
    lost: Lost = Lost()
    duration_s: float = 0.0
    people: tuple[str, ...] = ()  # who asked, who approved, who was not to take part
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApproveTask:
    """The workflow that will wait for an approval, and who has given it beforehand."""

    workflow: str
    operation: str
    actor: str


@dataclass(frozen=True, slots=True)
class MistakeTask:
    request: DrillRequest
    step: str
    turn: int
    mistake: Mistake


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Of all keys below a prefix: how many, and one hash of their names and the revisions that wrote them."""

    keys: int = 0
    digest: str = ""


KEY_TITLES = {
    "write": "write keys",
    "fingerprint": "tell what is there",
    "delete": "delete all of it, by mistake",
}
KEYS_S = 120.0
EXPOSED_TITLE = "look what the newest bundle holds of every API server"


@dataclass(frozen=True, slots=True)
class Spoiled:
    """A damaged twin of a backup, and the sound one that it was made of."""

    twin: str
    sound: str
    directory: str


@dataclass(frozen=True, slots=True)
class SpoilTask:
    request: DrillRequest
    step: str
    turn: int
    spoiled: Spoiled | None = None  # what is removed again
