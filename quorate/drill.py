"""Drills: what is broken on purpose, whether it may be, and what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import urlsplit

from quorate.backup import BackupRequest, BackupResult
from quorate.backup import request as backup_request
from quorate.catalogue import LATEST
from quorate.clients import NFT
from quorate.command import Node, node_of
from quorate.errors import BadInput, Refusal
from quorate.etcd import EtcdTarget, quorum, target
from quorate.fault import DRILL, MARGIN_S, Cut, Laid, Stopped, Wiped
from quorate.inventory import Cluster, Inventory, Member, Store
from quorate.measure import Check, Clock, Probed, Resource, failed
from quorate.node import Claim
from quorate.notices import TOLD
from quorate.operation import Outcome, RestoreRequest, RestoreResult
from quorate.plan import Step
from quorate.prove import ProveRequest, ProveResult
from quorate.prove import request as prove_request
from quorate.scenario import Expected, Fault, Mistake, Scenario, Stage, Steady
from quorate.static_pod import StaticPod
from quorate.supervisor import Systemd

WORKFLOW = "drill"
LOOK_S, STEADY_S, FAULT_S = 60.0, 30.0, 120.0
CHANGES = ("restore", "replace-member")  # what changes nodes, planned and approved as ever

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


class Verdict(StrEnum):
    """How a drill ends; stopped: a stop condition, or a person, ended it early."""

    PASSED = "passed"
    FINDINGS = "passed-with-findings"
    FAILED = "failed"
    STOPPED = "stopped"


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
    restore: RestoreRequest | None = None
    backup: BackupRequest | None = None
    second: Store | None = None  # the first that has copies
    confirmed: str = ""  # who has said yes beforehand to whatever plan its restore will have
    version: str = ""

    @property
    def targets(self) -> tuple[EtcdTarget, ...]:
        return tuple(target(self.settings, member) for member in self.settings.members)

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
class Situation:
    """Who is there, what each node supervises etcd with, and who has the nodes."""

    members: tuple[MemberState, ...] = ()
    processes: dict[str, Systemd | StaticPod] = field(default_factory=dict)
    firewalls: tuple[str, ...] = ()  # nodes that have nft
    mounted: tuple[str, ...] = ()  # nodes whose data directory is a mount point, which cannot be renamed
    holders: dict[str, str] = field(default_factory=dict)  # by node, the operation that has claimed it
    silent: dict[str, str] = field(default_factory=dict)  # nodes that cannot be logged in to, and why

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


def request(
    inventory: Inventory,
    cluster: str,
    scenario: Scenario,
    operation: str,
    actor: str,
    production: str = "",
    confirmed: str = "",
) -> DrillRequest:
    """Refusal where it may not be: nothing is begun. `production` names a cluster in so many words."""
    settings = inventory.cluster(cluster)
    allow(scenario, cluster, settings, inventory.stores[settings.backup.store], production)
    return DrillRequest(
        operation=operation,
        cluster=cluster,
        settings=settings,
        store=inventory.stores[settings.backup.store],
        scenario=scenario,
        actor=actor,
        prove=proving(inventory, cluster, scenario, actor),
        restore=restoring(inventory, cluster, scenario, operation, actor),
        backup=backing(inventory, cluster, scenario, actor),
        second=next((inventory.stores[name] for name in settings.backup.copies), None),
        confirmed=confirmed,
    )


def backing(inventory: Inventory, cluster: str, scenario: Scenario, actor: str) -> BackupRequest | None:
    if not any(stage.run == "backup" or stage.mistake for stage in scenario.stages):
        return None
    return backup_request(inventory, cluster, "", actor)


def restoring(
    inventory: Inventory, cluster: str, scenario: Scenario, operation: str, actor: str
) -> RestoreRequest | None:
    """The newest backup, as in an incident; who approves is what the inventory says, but for who is absent."""
    if not any(stage.run in CHANGES for stage in scenario.stages):
        return None
    settings = inventory.cluster(cluster)
    if scenario.absent:
        others = tuple(each for each in settings.approval.approvers if each.name != actor)
        approval = settings.approval.model_copy(update={"approvers": others, "people": 1})
        settings = settings.model_copy(update={"approval": approval})
    asked = RestoreRequest("", cluster, settings, inventory.stores[settings.backup.store], LATEST, actor)
    if not any(stage.mistake for stage in scenario.stages):
        return asked
    return replace(asked, overrides=("quorum-healthy",), reason=f"{operation}: keys were deleted on purpose")


def proving(inventory: Inventory, cluster: str, scenario: Scenario, actor: str) -> ProveRequest | None:
    if not any(stage.run == "prove" for stage in scenario.stages):
        return None
    return prove_request(inventory, cluster, "", actor)


def allow(scenario: Scenario, cluster: str, settings: Cluster, store: Store, production: str) -> None:
    """Faults only where the inventory allows them, and on production only where its name was given for that."""
    if production and production != cluster:
        raise BadInput(f"--in-production is {production!r}, the cluster is {cluster!r}; nothing was started")
    if scenario.faults and not (settings.drills and settings.drills.allowed):
        raise Refusal(
            f"{scenario.scenario} breaks things, and {cluster} is not marked `drills: allowed`; nothing was started",
            next=f"set clusters.{cluster}.drills to allowed in the inventory, if it may",
        )
    if scenario.needs.staging and settings.environment != "staging":
        raise Refusal(
            f"{scenario.scenario} is held on staging only, and {cluster} is production; nothing was started"
        )
    if scenario.faults and settings.environment == "production" and production != cluster:
        raise Refusal(
            f"{cluster} is production, and {scenario.scenario} breaks things; nothing was started",
            next=f"quorate drill start {scenario.scenario} {cluster} --in-production {cluster}  # if you mean that",
        )
    if lacking := tuple(lacks(scenario, settings, store)):
        raise Refusal(f"{scenario.scenario} needs {' and '.join(lacking)}; {cluster} has not; nothing was started")


def lacks(scenario: Scenario, settings: Cluster, store: Store) -> Iterable[str]:
    if len(settings.members) < scenario.needs.members:
        yield f"{scenario.needs.members} members"
    if scenario.needs.sandbox and settings.sandbox is None:
        yield "a sandbox"
    if scenario.needs.copies and not settings.backup.copies:
        yield "a second store (backup.copies)"
    if any(stage.store == "away" for stage in scenario.stages) and not store.s3:
        yield "a store in S3"
    if scenario.needs.approvers and len(settings.approval.names) < 2:
        yield "two approvers by name"
    if scenario.needs.control_plane and not settings.control_plane:
        yield "a control plane"
    known = {"leader", "follower", "majority", *(member.name for member in settings.members)}
    unknown = {stage.fault.at for stage in scenario.stages if stage.fault} - known
    if unknown:
        yield f"a member {', '.join(sorted(unknown))}"


def aim(fault: Fault, situation: Situation) -> tuple[str, ...]:
    """The members that it is laid on; Refusal where there is none such."""
    leader, names = situation.leader, tuple(each.name for each in situation.members)
    others = tuple(each.name for each in situation.members if not each.leads and not each.why)
    found: tuple[str, ...]
    match fault.at:
        case "leader":
            found = (leader,) if leader else ()
        case "follower":
            found = others[:1]
        case "majority":
            found = (*((leader,) if leader else ()), *others)[: quorum(len(names))]
        case name:
            found = (name,)
    if not found:
        raise Refusal(f"there is no {fault.at} to lay the fault on; nothing was broken")
    return found


def laid(request: DrillRequest, number: int, stage: Stage, name: str, situation: Situation) -> FaultTask:
    """What is done on that member's node; Refusal where the node has nothing to do it with."""
    assert stage.fault
    settings, limits = request.settings, request.scenario.limits
    member = next(each for each in settings.members if each.name == name)
    node = node_of(request.cluster, settings, member)
    timer = f"quorate-{request.operation}-{number}"
    lasts_s = limits.duration if stage.run else stage.hold
    claim = Claim(node.lock_dir, request.cluster, "").file
    gone = Stopped(situation.processes[name], timer, lasts_s + limits.recover + MARGIN_S, claim, "kill")
    what: Laid
    match stage.fault.kind:
        case "stop" | "kill" as how:
            what = replace(gone, how=how)
        case "wipe":
            live = settings.etcd.data_dir
            what = Wiped(gone, f"{live}/member" if name in situation.mounted else live, request.operation)
        case "cut":
            if name not in situation.firewalls:
                raise Refusal(f"{name} has no {NFT}, by which it would be cut from its peers; nothing was broken")
            what = Cut(peer_ports(settings.members), timer, gone.after_s)
    return FaultTask(request, "lay", 0, replace(node, cluster=DRILL), what)


def peer_ports(members: Iterable[Member]) -> tuple[int, ...]:
    ports = {urlsplit(url).port for member in members for url in member.peer_urls}
    return tuple(sorted(port for port in ports if port))


def unsteady(before: Iterable[Check]) -> str:
    """Why nothing is begun, or nothing."""
    return "; ".join(f"{each.id}: {each.observed}, expected {each.expected}" for each in failed(before))


def steady_of(request: DrillRequest) -> tuple[Steady, ...]:
    """Of what the scenario asks, what this cluster can have."""
    bare = not request.settings.control_plane
    return tuple(each for each in request.scenario.steady if not (bare and each == "every-apiserver"))


def held_by(situation: Situation) -> str:
    """Who has the nodes, or nothing; a node that nobody can log in to could not be mended."""
    held = [f"{name} belongs to operation {operation}" for name, operation in situation.holders.items()]
    return "; ".join((*held, *(f"{name} cannot be logged in to: {why}" for name, why in situation.silent.items())))


def changed(stage: str, ended: RestoreResult) -> Check:
    """Whether it has ended as what it was begun for."""
    wanted = Outcome.REPLACED if ended.member else Outcome.RESTORED
    said = f"{ended.outcome}: {ended.error.message}" if ended.error else str(ended.outcome)
    return Check(f"{stage}: {ended.operation.rpartition('-')[0]}", str(wanted), said, ended.outcome is wanted)


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


def keys_back(stage: str, before: Fingerprint, deleted: Fingerprint, after: Fingerprint) -> tuple[Check, ...]:
    """A restore keeps the revision that wrote a key, so the same digest means the very same keys."""
    expected, told = (f"{each.keys} keys, {each.digest[:12]}" for each in (before, after))
    gone = Check(f"{stage}: deleted", "no key is left", f"{deleted.keys} left of {before.keys}", deleted.keys == 0)
    return (gone, Check(f"{stage}: keys back", expected, told, before == after and before.keys > 0))


def backed_up(stage: str, ended: BackupResult) -> Check:
    said = "; ".join((ended.outcome, *ended.findings))
    return Check(f"{stage}: backup", "verified", said, ended.outcome in {"verified", "degraded"})


NOBODY = "http://127.0.0.1:9"  # discard: nobody answers there


def away(store: Store) -> Store:
    """The same at an address where nobody answers, for this one operation; nothing else loses its store."""
    assert store.s3, "looked at before it was begun"
    return Store(s3=store.s3.model_copy(update={"endpoint": NOBODY}))


def failed_for_it(stage: str, said: str) -> Check:
    """A backup whose store is away has to fail, and to say for what."""
    return Check(f"{stage}: backup", f"it fails, and names {NOBODY}", said, NOBODY in said)


def not_back(request: DrillRequest, mistake: Mistake) -> str:
    """What a person has to do where the drill ended between the mistake and the restore."""
    restore = f"quorate restore {request.cluster} --confirm {request.cluster} --override-gate quorum-healthy"
    return f"keys below {mistake.prefix} may be gone: {restore} --reason {request.operation}"


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


def refused_twin(stage: str, spoiled: Spoiled, proof: ProveResult) -> tuple[Check, ...]:
    """It was looked at, quarantined, told of, and the one before it is the newest that counts."""
    said = "; ".join((proof.outcome, proof.snapshot, *proof.findings))
    bad, newest = proof.outcome == "unsound" and proof.snapshot == spoiled.twin, proof.newest or "none counts"
    rings = TOLD.get(proof.outcome, "nothing")
    told = f"a proof that ends {proof.outcome} is told as {rings}"
    return (
        Check(f"{stage}: refused", f"{spoiled.twin} is unsound, and told as that", said, bad),
        Check(f"{stage}: the one before", spoiled.sound, newest, newest == spoiled.sound),
        Check(f"{stage}: the alarm", "it is told to every webhook, as critical", told, rings == "critical"),
    )
