"""An etcd cluster in memory: revisions, history and snapshots as the real one has them."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from quorate.converge import Tick
from quorate.errors import BadInput, Failed, Missing, Unreachable
from quorate.members.etcd import EtcdSeen, EtcdTarget, HashKV, KeyValue, MemberSeen
from quorate.members.listing import PAGE_KEYS, Key
from quorate.ports import Etcd
from tests.fakes import database

CLUSTER = "8cc9da78b36d1115"
NAMES = ("a", "b", "c")


@dataclass
class FakeCluster:
    """What a majority has agreed on, and what is wrong with whom."""

    names: tuple[str, ...] = NAMES
    id: str = CLUSTER
    ids: dict[str, str] = field(default_factory=dict)  # of its members, where they are not a, b and c
    leader: str = "a"
    history: list[tuple[int, str, bytes | None]] = field(default_factory=list)
    revision: int = 1
    compacted: int = 0
    alarms: tuple[tuple[str, str], ...] = ()
    silent: set[str] = field(default_factory=set)
    behind: dict[str, int] = field(default_factory=dict)  # how far a member's own state lags
    sends: Callable[[Iterator[bytes]], Iterator[bytes]] = lambda blobs: blobs
    hashing: Callable[[HashKV], HashKV] = lambda hashed: hashed
    leased: set[str] = field(default_factory=set)
    hashes: dict[str, int] = field(default_factory=dict)  # of members that do not hold what the others hold
    joined: list[MemberSeen] = field(default_factory=list)  # added beside those of `names`
    left: set[str] = field(default_factory=set)  # ids that were removed
    lag: int = 0  # how often a promotion is refused, for the learner has yet to catch up

    @contextmanager
    def at(self, target: EtcdTarget) -> Iterator[Etcd]:
        yield FakeEtcd(self, target.name)

    def members(self) -> tuple[MemberSeen, ...]:
        first = tuple(
            MemberSeen(self.ids.get(name, f"{n:x}"), name, (f"https://{name}:2380",), (f"https://{name}:2379",))
            for n, name in enumerate(self.names, 10)
        )
        return tuple(each for each in (*first, *self.joined) if each.id not in self.left)

    def id_of(self, name: str) -> str:
        return next((member.id for member in self.members() if member.name == name), "")

    def add(self, key: str, value: bytes | None) -> int:
        self.revision += 1
        self.history.append((self.revision, key, value))
        return self.revision

    def keys(self, revision: int = 0) -> dict[str, bytes]:
        if revision and revision < self.compacted:
            raise Failed("etcdserver: mvcc: required revision has been compacted")
        if revision > self.revision:
            raise Failed("etcdserver: mvcc: required revision is a future revision")
        found: dict[str, bytes] = {}
        for at, key, value in self.history:
            if revision and at > revision:
                break
            found.pop(key, None)
            if value is not None:
                found[key] = value
        return found


@dataclass(frozen=True)
class FakeEtcd:
    cluster: FakeCluster
    name: str

    def look(self) -> EtcdSeen:
        self._answers()
        return EtcdSeen(
            cluster_id=self.cluster.id,
            member_id=self.cluster.id_of(self.name),
            version="3.6.14",
            revision=self._revision(),
            raft_term=2,
            raft_index=self.cluster.revision + 3,
            raft_applied=self._revision() + 3,
            leader=self.cluster.id_of(self.cluster.leader),
            db_bytes=24576,
            db_in_use_bytes=20480,
            alarms=self.cluster.alarms,
            members=self.cluster.members(),
        )

    def linearizable_revision(self) -> int:
        self._answers()
        self._has_leader()
        return self.cluster.revision

    def snapshot(self) -> Iterator[bytes]:
        self._answers()
        keep = [row for row in self.cluster.history if row[0] <= self._revision()]
        rows = [
            (database.key(at, 0, value is None), database.key_value(key.encode(), value)) for at, key, value in keep
        ]
        leaves = [rows[at : at + 20] for at in range(0, len(rows), 20)] or [[]]
        whole = database.snapshot(database.database(leaves, self.cluster.compacted))
        return self.cluster.sends(database.blobs(whole))

    def hash_kv(self, revision: int) -> HashKV:
        self._answers()
        at = revision or self.cluster.revision
        number = self.cluster.hashes.get(self.name) or zlib.crc32(
            repr(sorted(self.cluster.keys(at).items())).encode()
        )
        return self.cluster.hashing(HashKV(number, at, self.cluster.compacted or -1))

    def count(self, prefix: str, revision: int = 0) -> int:
        self._answers()
        return sum(key.startswith(prefix) for key in self.cluster.keys(revision))

    def key_pages(self, revision: int = 0, page_keys: int = PAGE_KEYS) -> Iterator[tuple[Key, ...]]:
        self._answers()
        if not revision:
            self._has_leader()
        there = self.cluster.keys(revision)
        written = {key: at for at, key, _ in self.cluster.history if at <= (revision or self.cluster.revision)}
        found = [Key(key, written[key], key in self.cluster.leased) for key in sorted(there)]
        yield from (tuple(found[at : at + page_keys]) for at in range(0, len(found) or 1, page_keys))

    def put(self, key: str, value: bytes) -> int:
        self._writes()
        return self.cluster.add(key, value)

    def advance(self, key: str, past: int, tick: Tick) -> int:
        revision = self.put(key, b"")
        while revision <= past:
            if revision % 1000 == 0:
                tick(f"revision {revision} of {past}")
            revision = self.put(key, b"")
        return revision

    def get(self, key: str) -> bytes | None:
        self._writes()
        return self.cluster.keys().get(key)

    def read(self, key: str) -> KeyValue | None:
        self._writes()
        written = {each: (value, at) for at, each, value in self.cluster.history}
        value, at = written.get(key, (None, 0))
        return None if value is None else KeyValue(value, at)

    def delete(self, key: str) -> int:
        self._writes()
        return self.cluster.add(key, None) if self.get(key) is not None else self.cluster.revision

    def delete_prefix(self, prefix: str) -> int:
        self._writes()
        if not prefix:
            raise BadInput("without a prefix every key of the cluster would be deleted")
        there = [key for key in list(self.cluster.keys()) if key.startswith(prefix)]
        for key in there:
            self.cluster.add(key, None)
        return len(there)

    def disarm(self, of: tuple[str, ...] = ()) -> tuple[str, ...]:
        self._writes()
        armed = tuple(each for each in self.cluster.alarms if not of or each[0] in of)
        self.cluster.alarms = tuple(each for each in self.cluster.alarms if each not in armed)
        return tuple(f"{member} {kind}" for member, kind in armed)

    def add_learner(self, peer_urls: tuple[str, ...]) -> str:
        self._writes()
        there = self.cluster.members()
        if any(set(each.peer_urls) & set(peer_urls) for each in there):
            raise Failed("etcdserver: Peer URLs already exists")
        if any(each.learner for each in there):
            raise Failed("etcdserver: too many learner members in cluster")
        new = f"{0xADD + len(self.cluster.joined):x}"
        self.cluster.joined.append(MemberSeen(new, "", peer_urls, (), learner=True))
        return new

    def remove(self, member_id: str) -> None:
        self._writes()
        if member_id not in {each.id for each in self.cluster.members()}:
            raise Missing("etcdserver: member not found")
        self.cluster.left.add(member_id)

    def promote(self, member_id: str) -> None:
        self._writes()
        at = next((n for n, each in enumerate(self.cluster.joined) if each.id == member_id), None)
        if at is None or not self.cluster.joined[at].learner:
            raise Failed("etcdserver: can only promote a learner member")
        if self.cluster.lag:
            self.cluster.lag -= 1
            raise Failed("etcdserver: can only promote a learner member which is in sync with leader")
        self.cluster.joined[at] = replace(self.cluster.joined[at], learner=False)

    def compact(self, revision: int) -> None:
        self._writes()
        if revision > self.cluster.revision:
            raise Failed("etcdserver: mvcc: required revision is a future revision")
        self.cluster.compacted = max(self.cluster.compacted, revision)

    def auth_enabled(self) -> bool:
        self._writes()
        return False

    def _revision(self) -> int:
        return self.cluster.revision - self.cluster.behind.get(self.name, 0)

    def _answers(self) -> None:
        if self.name in self.cluster.silent:
            raise Unreachable(f"{self.name}: failed to connect")

    def _has_leader(self) -> None:
        if not self.cluster.leader:
            raise Unreachable(f"{self.name}: etcdserver: request timed out")

    def _writes(self) -> None:
        self._answers()
        self._has_leader()


def seen(name: str, **differently: object) -> EtcdSeen:
    """A healthy member of the cluster a, b, c that a leads."""
    return replace(FakeEtcd(FakeCluster(revision=100), name).look(), **differently)
