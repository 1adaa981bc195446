"""What somebody approves by its digest: the steps, the snapshot, and every node's share."""

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from quorate.audit import canonical
from quorate.command import Node
from quorate.members.etcd import EtcdTarget
from quorate.nodes.absent import Absent
from quorate.nodes.clients import Clients
from quorate.nodes.joining import Joiner
from quorate.nodes.mention import Mention
from quorate.nodes.node import Claim, DataDir
from quorate.nodes.stored import StoredTool
from quorate.nodes.supervisor import Supervised
from quorate.restoring.source import FromMember
from quorate.settings.stores import Store
from quorate.sshsig import Signer

# `source`: the one member whose data is taken; `rehearsal`: the one where what is staged is tried; `member`: the one
# that is replaced.
Place = Literal["node", "cluster", "source", "rehearsal", "member"]
# Fields that came later: where they say nothing the digest leaves them out, since plans were approved without them.
ADDED_TO_TARGET = ("user", "password")
ADDED_TO_SSH = ("certificate", "forward", "jump")
ADDED_TO_STEP = ("admits", "keeps", "may_skip")
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
        data["steps"] = [without(step, ADDED_TO_STEP) for step in data["steps"]]
        covered: dict[str, Any] = settled(data)
        return covered

    @staticmethod
    def _covered(share: dict[str, Any]) -> dict[str, Any]:
        """Without what was only measured, and without what says nothing and came later."""
        share["node"]["ssh"] = without(share["node"]["ssh"].model_dump(mode="json"), ADDED_TO_SSH)
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
