"""A plan is a value: chosen, printed, approved by its digest, then carried out step by step."""

import hashlib
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from quorate.audit import canonical
from quorate.command import Node
from quorate.members.etcd import EtcdTarget
from quorate.nodes.absent import Absent
from quorate.nodes.clients import Clients
from quorate.nodes.image import ETCD, Copied
from quorate.nodes.joining import Joiner, Joining
from quorate.nodes.kept import Removal, lives_of
from quorate.nodes.kubelet import Kubelet
from quorate.nodes.lacking import Lacking
from quorate.nodes.mention import Mention
from quorate.nodes.node import Claim, DataDir, Records
from quorate.nodes.note import Note
from quorate.nodes.pushed import Pushed
from quorate.nodes.scratch import Replay
from quorate.nodes.servers import Unlisting
from quorate.nodes.stored import StoredTool
from quorate.nodes.supervisor import Supervised, Together
from quorate.nodes.swapped import Looks
from quorate.restoring.source import BARE, STAGED, FromMember
from quorate.settings.stores import Store
from quorate.sshsig import Signer

# `source`: the one member whose data is taken; `rehearsal`: the one where what is staged is tried; `member`: the one
# that is replaced.
Place = Literal["node", "cluster", "source", "rehearsal", "member"]
ADDED_TO_TARGET = ("user", "password")  # likewise
WAYS = ("certificate", "forward", "jump")  # to Ssh, likewise
ADDED = ("admits", "keeps", "may_skip")  # to Step, since plans were approved without them
ADDED_TO_CHOSEN = ("signers", "source", "powered_off", "without", "absent", "rehearsal", "replaced", "bundle")
ADDED_TO_SNAPSHOT = ("recipients", "identities")
ADDED_TO_SOURCE, ADDED_TO_SCRATCH = ("operation",), ("beside", "member")
ADDED_TO_SHARE = (
    "mounted",
    "wal_dir",
    "wal_owner",
    "wal_mode",
    "removes",
    "image",
    "programs",
    "unlists",
    "inherits",
    "pushed",
    "lays",
    "makes",
)


class Choice(StrEnum):
    """What a person may choose at a hold."""

    RETRY = "retry"
    SKIP = "skip"
    ROLLBACK = "rollback"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Step:
    """One row of a runbook; the first that commits is the point of no return.

    From the first that `admits` on clients may write. What a step that `keeps` has built stays once it was
    started: then its undo, which removes, is left out.
    """

    key: str
    title: str
    verb: str
    place: Place = "node"
    roles: str = "etcd"
    undo: str = ""
    patience_s: float = 60.0
    expected_s: float = 1.0
    commits: bool = False
    admits: bool = False
    keeps: bool = False
    may_skip: bool = False


@dataclass(frozen=True, slots=True)
class SnapshotRef:
    """The snapshot that was chosen, and everything that proves it is that one."""

    id: str
    key: str
    revision: int
    cluster_id: str
    created_at: str
    size_bytes: int
    sha256: str
    db_sha256: str
    stored_bytes: int
    stored_sha256: str
    etcd_version: str
    keys: dict[str, int] = field(default_factory=dict)
    compressed: bool = True
    recipients: tuple[str, ...] = ()  # for whom it is encrypted
    identities: tuple[str, ...] = ()  # references of what opens it


@dataclass(frozen=True, slots=True)
class BundleRef:
    """What lies beside a snapshot for the nodes; who can open that can open this."""

    key: str
    sha256: str
    stored_sha256: str


@dataclass(frozen=True, slots=True)
class Share:
    """A node's share of a plan: who it is, what runs there, what it is to become."""

    node: Node
    machine: str
    member: str
    peer_urls: tuple[str, ...]
    target: EtcdTarget
    etcd: Supervised
    control: tuple[Supervised, ...]
    clients: Clients
    data_dir: str
    owner: str
    mode: str
    tool: str
    mounted: bool = False  # the data directory is a mount point: what is swapped is the `member` in it
    wal_dir: str = ""
    wal_owner: str = ""
    wal_mode: str = ""
    removes: tuple[str, ...] = ()  # what earlier operations have kept and a tidy takes away
    image: str = ""  # that `programs` are copied out of, for they are not on the node
    programs: tuple[str, ...] = ()
    unlists: tuple[Mention, ...] = ()  # files of an API server that name who is gone
    inherits: str = ""  # the operation that has claimed the node, was aborted, and gives way
    pushed: StoredTool | None = None  # out of the store
    lays: tuple[tuple[str, str], ...] = ()  # files that are missing: where, and what of the bundle
    makes: tuple[str, ...] = ()  # folders for them that are missing too
    note: str = ""  # what runs, to be known while it is frozen; measured, so the digest leaves it out

    def data(self, operation: str) -> DataDir:
        """The names that an operation gives to what it builds and keeps here."""
        home = Claim(self.node.lock_dir, self.node.cluster, operation).home
        live = f"{self.data_dir}/member" if self.mounted else self.data_dir
        return DataDir(live, operation, home, mounted=self.mounted, wal_dir=self.wal_dir)


@dataclass(frozen=True, slots=True)
class Replaced:
    """The member that leaves the cluster and comes back on an empty directory."""

    member: str
    former: str  # its id; "" where the cluster lists it no more
    joiner: Joiner


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is approved; nothing that was only measured, and nothing that names one operation."""

    runbook: str
    cluster: str
    cluster_id: str  # observed; "" when nobody answers
    snapshot: SnapshotRef
    store: Store
    shares: tuple[Share, ...]
    steps: tuple[Step, ...]
    bump: int
    overrides: tuple[str, ...] = ()
    people: int = 1
    approvers: tuple[str, ...] = ()
    kubeconfig: str = ""
    api_urls: tuple[str, ...] = ()
    source: FromMember | None = None  # whose data is taken; then `snapshot` only says so
    powered_off: tuple[str, ...] = ()  # NODE=EVIDENCE, each: a person vouches for it
    without: tuple[str, ...] = ()  # members that are gone for good, and shut out
    absent: Absent | None = None
    signers: tuple[Signer, ...] = ()
    rehearsal: FromMember | None = None  # on whose node etcd runs on a copy of what is staged, to log in to it
    replaced: Replaced | None = None
    bundle: BundleRef | None = None  # whose files are laid

    def digest(self) -> str:
        return hashlib.sha256(canonical(self.covered()).encode()).hexdigest()

    def covered(self) -> dict[str, Any]:
        """All that is approved, as plain data."""
        data = without(asdict(self), ADDED_TO_CHOSEN)
        data["store"] = self.store.url
        data["snapshot"] = without(data["snapshot"], ADDED_TO_SNAPSHOT)
        if self.source:
            data["source"] = without(data["source"], ADDED_TO_SOURCE)
            data["source"]["scratch"] = without(data["source"]["scratch"] or {}, ADDED_TO_SCRATCH) or None
        data["shares"] = [self._covered(share) for share in data["shares"]]
        data["steps"] = [without(step, ADDED) for step in data["steps"]]
        covered: dict[str, Any] = settled(data)
        return covered

    @staticmethod
    def _covered(share: dict[str, Any]) -> dict[str, Any]:
        """Without what was only measured, and without what says nothing and came later."""
        share["node"]["ssh"] = without(share["node"]["ssh"].model_dump(mode="json"), WAYS)
        del share["target"]["through"]  # the node says it
        share["target"] = without(share["target"], ADDED_TO_TARGET)
        del share["note"]
        for unit in (share["etcd"], *share["control"]):
            del unit["before"]  # measured: a unit that crashes in a loop is in another state each time
        if share["clients"]["loaded_by_unit"]:
            del share["clients"]["loaded_by_unit"]
        return without(share, ADDED_TO_SHARE)


def without(data: dict[str, Any], later: tuple[str, ...]) -> dict[str, Any]:
    """Without what says nothing and came later."""
    return {key: value for key, value in data.items() if value or key not in later}


def settled(value: Any) -> Any:
    """30 and 30.0 are one patience: a plan that has travelled as a payload has the digest it had before."""
    if isinstance(value, dict):
        return {key: settled(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [settled(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


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
class NodeTask:
    """One step at one node."""

    operation: str
    turn: int
    step: str
    actor: str
    share: Share
    control: bool  # the step is about the control plane's units
    snapshot: SnapshotRef
    store: Store
    initial_cluster: str
    token: str
    bump: int
    patience_s: float
    source: FromMember | None = None
    absent: Absent | None = None
    verb: str = ""  # in the claim, where it is not the activity's own
    leaves: tuple[tuple[str, str], ...] = ()  # files at the operation's home on the node, for whoever takes over
    replaced: Replaced | None = None
    size_bytes: int = 0  # of the database that a member takes over from the others
    bundle: BundleRef | None = None

    @property
    def records(self) -> Records:
        return Records(self.claim.home, self.leaves)

    @property
    def kubelet(self) -> Kubelet:
        return Kubelet(self.claim.home)

    @property
    def replay(self) -> Replay:
        assert self.source, "only a plan with a source or a rehearsal has this step"
        scratch = self.source.scratch
        assert scratch
        if self.source.how == STAGED:
            scratch = replace(scratch, member=self.data.member, wal_dir=self.data.log)
        if scratch.binary == ETCD:
            scratch = replace(scratch, binary=self.copied.path(ETCD))
        return Replay(scratch, self.operation, self.tool if self.source.how == BARE else "")

    @property
    def joining(self) -> Joining:
        assert self.replaced, "only a plan that replaces somebody has this step"
        joiner, share = self.replaced.joiner, self.share
        if joiner.binary == ETCD:
            joiner = replace(joiner, binary=self.copied.path(ETCD))
        wal = Looks(share.wal_owner, share.wal_mode) if self.data.wal else None
        return Joining(joiner, self.operation, self.data, Looks(share.owner, share.mode), wal, self.size_bytes)

    @property
    def claim(self) -> Claim:
        return Claim(self.share.node.lock_dir, self.share.node.cluster, self.operation)

    @property
    def inherited(self) -> Claim:
        return Claim(self.share.node.lock_dir, self.share.node.cluster, self.share.inherits)

    @property
    def data(self) -> DataDir:
        return self.share.data(self.operation)

    @property
    def copied(self) -> Copied:
        return Copied(self.share.image, self.share.programs, self.claim.home)

    @property
    def unlisting(self) -> Unlisting:
        return Unlisting(self.share.unlists, self.claim.home)

    @property
    def pushed(self) -> Pushed | None:
        return Pushed(self.share.pushed, self.claim.home) if self.share.pushed else None

    @property
    def given(self) -> tuple[Copied | Pushed, ...]:
        """What a node has for as long as the operation takes."""
        return (*((self.copied,) if self.share.image else ()), *((self.pushed,) if self.pushed else ()))

    @property
    def tool(self) -> str:
        return self.pushed.path if self.pushed else self.copied.tool or self.share.tool

    @property
    def lacking(self) -> Lacking:
        return Lacking(self.share.lays, self.share.makes, self.operation)

    @property
    def note(self) -> Note:
        return Note(self.share.node.lock_dir, self.share.node.cluster, self.share.note)

    @property
    def removal(self) -> Removal:
        return Removal(lives_of(self.share.data_dir), self.share.removes)

    @property
    def units(self) -> Together:
        return Together(self.share.control if self.control else (self.share.etcd,))

    @property
    def everything(self) -> Together:
        return Together((self.share.etcd, *self.share.control))


@dataclass(frozen=True, slots=True)
class ClusterTask:
    """One step about the cluster as a whole."""

    operation: str
    turn: int
    step: str
    actor: str
    cluster: str
    shares: tuple[Share, ...]
    snapshot: SnapshotRef
    token: str
    bump: int
    patience_s: float
    kubeconfig: str = ""
    api_urls: tuple[str, ...] = ()
    mark: int = 0
    store: Store | None = None
    source: FromMember | None = None
    verb: str = ""
    rehearsal: FromMember | None = None
    replaced: Replaced | None = None

    @property
    def floor(self) -> int:
        """The least revision that the first write may get."""
        return max(self.snapshot.revision + self.bump, self.mark + 1)


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
