"""What the domain needs from the world; adapters provide it, contract tests hold fakes to it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from quorate.audit import Act
from quorate.command import Command, Node, Ticket
from quorate.converge import Done, Ran, Surface, Tick
from quorate.members.etcd import EtcdSeen, EtcdTarget, HashKV, KeyValue
from quorate.members.listing import PAGE_KEYS, Key
from quorate.members.revision_clock import Tick as ClockTick
from quorate.members.strain import DiskSeen
from quorate.members.vitals import Latencies
from quorate.nodes.certificates import Certificate
from quorate.nodes.known_hosts import HostKey
from quorate.nodes.seen import Look, NodeSeen
from quorate.settings.fields import LockMode
from quorate.settings.stores import Store as StoreSettings
from quorate.sshsig import Signature
from quorate.unfinished import Unfinished


class Secrets(Protocol):
    """Resolves a reference where it is used; the value never leaves the process that asked."""

    def resolve(self, reference: str) -> bytes: ...


class Certificates(Protocol):
    def read(self, pem: str) -> Certificate | None:
        """None for what is no certificate."""

    def signs(self, key: bytes, certificates: Iterable[bytes]) -> bool:
        """Whether a file is the private key of an authority that one of these is the certificate of."""


class Host(Surface[NodeSeen, Command], Protocol):
    """One node under one ticket: looking raises its claim, acting is refused to an older ticket."""

    def look(self) -> NodeSeen: ...

    def do(self, acts: tuple[Command, ...], tick: Tick) -> Done[NodeSeen]: ...

    def send(self, command: Command, chunks: Iterable[bytes], tick: Tick) -> Ran:
        """Run a command that reads `chunks` from its standard input; it lets the node's lock go by itself."""


class Hosts(Protocol):
    """Looking without a ticket changes nothing on the node."""

    def survey(self, node: Node, look: Look) -> NodeSeen: ...

    def at(self, node: Node, look: Look, ticket: Ticket) -> Host: ...

    def read(self, node: Node, command: Command) -> Iterator[bytes]:
        """What a command that changes nothing prints, as it comes; CommandFailed behind it if it fails."""

    def tried(self, node: Node, words: tuple[str, ...], program: Iterable[bytes]) -> str:
        """What a program that is sent along prints; nothing of it stays. CommandFailed where it does not run."""


class HostKeys(Protocol):
    """Who a machine says it is, before anybody logs in to it."""

    def shown(self, host: str, port: int = 22, jump: Node | None = None) -> tuple[HostKey, ...]:
        """Every host key it shows, one a type; from the jump host if there is one. Nothing is learned from it."""

    def authority(self, node: Node) -> HostKey | None:
        """Which pinned authority vouches for it; None where its own key is pinned, an error where neither is."""


class KnownHosts(Protocol):
    """The files of pinned host keys; one that is not there is empty."""

    def read(self, path: str) -> str: ...

    def rewrite(self, path: str, change: Callable[[str], str], keep: str) -> str:
        """As a whole or not at all; where the old one is kept, "" if there was none."""


class Etcd(Protocol):
    """One member, asked directly; every call has a deadline and raises Unreachable past it.

    `snapshot` yields what etcd sent and nothing else: the database, then the 32 bytes of its sha256.
    """

    def look(self) -> EtcdSeen: ...

    def linearizable_revision(self) -> int: ...

    def snapshot(self) -> Iterator[bytes]: ...

    def hash_kv(self, revision: int) -> HashKV: ...

    def count(self, prefix: str, revision: int = 0) -> int: ...

    def key_pages(self, revision: int = 0, page_keys: int = PAGE_KEYS) -> Iterator[tuple[Key, ...]]:
        """Every key, a page at a time, all as of one revision; with one that is given no quorum is needed.

        A member reads the values too, all of a page at once.
        """

    def put(self, key: str, value: bytes) -> int:
        """The revision of the write, which a majority has stored."""

    def advance(self, key: str, past: int, tick: Tick) -> int:
        """Put the key, many at once, until a write has a revision above `past`; the revision of the last."""

    def get(self, key: str) -> bytes | None: ...

    def read(self, key: str) -> KeyValue | None: ...

    def delete(self, key: str) -> int: ...

    def delete_prefix(self, prefix: str) -> int:
        """Every key below it, at one revision; how many there were. BadInput for no prefix at all."""

    def disarm(self, of: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Disarm every alarm, or those of these members alone; the ones that were armed."""

    def add_learner(self, peer_urls: tuple[str, ...]) -> str:
        """The id of a member that has no vote yet; Failed where there are its URLs, or a learner, already."""

    def remove(self, member_id: str) -> None:
        """Missing where there is no such member; it never comes back under this id."""

    def promote(self, member_id: str) -> None:
        """Give a learner its vote; Failed as long as it has not caught up, or has one."""

    def compact(self, revision: int) -> None: ...

    def auth_enabled(self) -> bool:
        """Whether clients have to log in; etcd 3.4 tells it only to those who try."""


class Etcds(Protocol):
    def at(self, target: EtcdTarget) -> AbstractContextManager[Etcd]: ...


class Disks(Protocol):
    """How the disks of members do."""

    def read(self, target: EtcdTarget) -> DiskSeen:
        """Unreachable or Denied where a member does not tell, within a few seconds."""


class Meters(Protocol):
    """How long members take, as they count it themselves."""

    def latencies(self, target: EtcdTarget) -> Latencies:
        """Unreachable or Denied where a member does not tell, within a few seconds."""


class Ticks(Protocol):
    """What the revision clock has seen of each cluster."""

    def add(self, cluster: str, ticks: tuple[ClockTick, ...]) -> None: ...

    def since(self, cluster: str, at: float) -> tuple[ClockTick, ...]: ...

    def last(self, cluster: str) -> ClockTick | None:
        """Of two cluster ids that were heard at once, the one that is further."""

    def highest(self, cluster: str) -> int:
        """The highest revision that any cluster of this name is known to have served; 0 for none."""

    def thin(self, cluster: str, now: float) -> None:
        """Forget what is superfluous by its age."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it lies in the store; `etag` is another one when something else lies there, "" if none tells."""

    key: str
    size_bytes: int
    etag: str = field(default="", compare=False)


class Store(Protocol):
    """Create-only: there is no overwriting put. Keys are relative to the store's own prefix."""

    def put(self, key: str, chunks: Iterable[bytes], tick: Tick) -> Stored:
        """Store all of `chunks` or nothing: AlreadyThere if the key is taken, aborted if they raise."""

    def get(self, key: str) -> Iterator[bytes]:
        """Missing if there is none."""

    def ls(self, prefix: str) -> tuple[Stored, ...]:
        """Every key below, sorted; empty if there is none."""

    def unfinished(self, prefix: str) -> tuple[Unfinished, ...]:
        """Every put below that has not ended: somebody is at it, or was killed."""

    def abandon(self, each: Unfinished) -> None:
        """End it, so that nothing of it is left; one that is gone already is gone."""

    def remove(self, key: str) -> None:
        """Every version of it, by its id, and whatever hides it; Missing if there is none, Denied under a lock."""

    def lock(self, key: str, until: datetime, mode: LockMode) -> None:
        """From now on nobody can remove it before then; under governance only who may bypass it. Never shortened."""

    def locked(self, key: str) -> str:
        """Until when nobody may remove it, in words; "" where nothing holds it. Missing if there is none."""

    def hidden(self, prefix: str) -> tuple[str, ...]:
        """Keys below that somebody has deleted by name, sorted: the store holds them still and shows them no more."""

    def check(self) -> None:
        """Denied or Unreachable if nothing could be stored here."""


class Stores(Protocol):
    def at(self, settings: StoreSettings) -> Store: ...


class Uploads(Protocol):
    """What this machine stores, so that what it has left half done is told from what another machine is at."""

    def storing(self, place: str, key: str) -> AbstractContextManager[None]:
        """On record while it lasts, and afterwards too where it failed."""

    def live(self, place: str) -> frozenset[str]:
        """Keys that this process is storing."""

    def left(self, place: str) -> frozenset[str]:
        """Keys on record that this process is not storing."""

    def forget(self, place: str, key: str) -> None:
        """It was ended, or has never been begun."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A manifest as it was read; `doubt` is what those keys say of it that `trust` is the digest of."""

    stored: Stored
    text: bytes
    trust: str = ""
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Remembered:
    """One cluster in one store; `compared` is when with the store itself, 0 where it was written to since."""

    listing: tuple[Stored, ...] = ()
    noted: Mapping[str, Noted] = field(default_factory=dict)
    compared: float = 0.0
    said: str = ""  # why nothing is remembered, where something was
    objects: int = 0  # that are listed there
    older: int = 0  # manifests before the newest, where only what belongs to those was asked for


class Memory(Protocol):
    """What this machine remembers of stores, by the store and the cluster; to lose it costs time and nothing else."""

    def recall(self, place: str, cluster: str, last: int = 0) -> Remembered:
        """All that is listed; if `last` is not 0, what belongs to no more than so many manifests, the newest."""

    def writes(self, place: str, cluster: str) -> int:
        """How often this machine has written there."""

    def keep(
        self, place: str, cluster: str, listing: tuple[Stored, ...], noted: Iterable[Noted], at: float, writes: int
    ) -> None:
        """As it was listed at a time, with the manifests that are new; only as fresh as its `writes` are."""

    def judge(self, place: str, cluster: str, trust: str, doubts: Mapping[str, str]) -> None:
        """What some keys say of manifests, by the key of each in the store."""

    def wrote(self, place: str, cluster: str) -> None:
        """What is remembered is not fresh any more."""

    def forget(self, place: str, cluster: str) -> None: ...


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A new key: the recipient for everybody, the identity for nobody else."""

    recipient: str
    identity: str


class Cipher(Protocol):
    """What `age` would make of the same bytes and the same keys; the stream ends whole or raises."""

    def encrypted(self, chunks: Iterable[bytes], recipients: tuple[str, ...]) -> Iterator[bytes]:
        """For every one of them; BadInput, before the first byte, names one that cannot be used."""

    def decrypted(self, chunks: Iterable[bytes], identities: tuple[str, ...], what: str) -> Iterator[bytes]:
        """With whichever fits; Denied where none does, Corrupt where the bytes were changed or end too early."""

    def pair(self) -> KeyPair:
        """A key that nobody has had before."""


class Journal(Protocol):
    """The audit trail of one operation: no intent on record, no act."""

    def intent(self, act: Act) -> int: ...

    def outcome(self, seq: int, ran: Ran | BaseException) -> None: ...


@dataclass(frozen=True, slots=True)
class KubeNode:
    """A node as Kubernetes knows it."""

    name: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lease:
    """Who leads a controller, and the revision of etcd that says so."""

    holder: str
    revision: int


class Api(Protocol):
    """One kube-apiserver, asked directly; Unreachable when it does not answer or is not ready."""

    def ready(self) -> None:
        """Returns when `/readyz` says ok."""

    def version(self) -> str:
        """Its own, such as `1.34.1`."""

    def write_lease(self, name: str, holder: str) -> None:
        """Create or renew a Lease in kube-system: a write that every webhook and etcd must let through."""

    def nodes(self) -> tuple[KubeNode, ...]:
        """Every node that has registered."""

    def lease(self, name: str) -> Lease | None:
        """A Lease in kube-system, if there is one."""

    def free(self, name: str, lease: Lease) -> bool:
        """Take its holder away as the holder itself would; False when it was written since it was seen."""

    def unreadable_secrets(self) -> str:
        """Why not every Secret can be decrypted, in the server's words; nothing when all can."""


class Apis(Protocol):
    def at(self, kubeconfig: str, url: str, dial: str = "") -> Api:
        """`dial` is a host:port to connect to instead of the URL's, which still names the certificate."""


class Webhooks(Protocol):
    def call(self, what: str, url: str, body: bytes = b"") -> None:
        """A body is posted as JSON; without one it is only asked for. The URL is a secret, `what` is for errors.

        Denied where it will answer the same again, Unreachable where it may not.
        """


class Signing(Protocol):
    """Our own key; what it signs anybody can prove with the public half and `ssh-keygen -Y verify`."""

    @property
    def public_key(self) -> str: ...

    def sign(self, namespace: str, message: bytes) -> str: ...


class Signatures(Protocol):
    def prove(self, signature: Signature, message: bytes) -> None:
        """Returns when the key that the signature names has made it over this message; NotApproved if not."""
