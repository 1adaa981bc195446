"""What one step is told, at a node or about the cluster."""

from dataclasses import dataclass, replace

from quorate.chosen import BundleRef, Replaced, Share, SnapshotRef
from quorate.nodes.absent import Absent
from quorate.nodes.image import ETCD, Copied
from quorate.nodes.joining import Joining
from quorate.nodes.kept import Removal, lives_of
from quorate.nodes.kubelet import Kubelet
from quorate.nodes.lacking import Lacking
from quorate.nodes.node import Claim, DataDir, Records
from quorate.nodes.note import Note
from quorate.nodes.pushed import Pushed
from quorate.nodes.scratch import Replay
from quorate.nodes.servers import Unlisting
from quorate.nodes.supervisor import Together
from quorate.nodes.swapped import Looks
from quorate.restoring.source import BARE, STAGED, FromMember
from quorate.settings.stores import Store


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
