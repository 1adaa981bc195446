"""What etcd says of itself, and the identities that can be computed before it runs."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha1

from quorate.command import Node, node_of
from quorate.inventory import Cluster
from quorate.settings.machines import Member

BUMP_MIN = 1_000_000_000  # etcd's op-guide/recovery.md: a week of under 1,500 writes a second
BUMP_MARGIN = 1_000_000
BUMP_STEP = 10_000_000  # a plan that is shown is still the plan while a cluster that serves goes on writing


@dataclass(frozen=True, slots=True)
class MemberSeen:
    """A row of MemberList; ids are hexadecimal, as etcd prints them."""

    id: str
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool = False


@dataclass(frozen=True, slots=True)
class EtcdSeen:
    """Status of one member, its alarms and its own (not linearizable) member list."""

    cluster_id: str
    member_id: str
    version: str
    revision: int
    raft_term: int
    raft_index: int
    raft_applied: int
    leader: str  # "" = it knows of none
    db_bytes: int
    db_in_use_bytes: int
    learner: bool = False
    quota_bytes: int = 0  # 0 = the member does not say (before 3.6)
    errors: tuple[str, ...] = ()
    alarms: tuple[tuple[str, str], ...] = ()  # (member id, NOSPACE | CORRUPT)
    members: tuple[MemberSeen, ...] = ()

    @property
    def leads(self) -> bool:
        return self.leader == self.member_id


@dataclass(frozen=True, slots=True)
class KeyValue:
    """What a key holds, and the revision of the write that put it there."""

    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class HashKV:
    """The hash of all keys at `revision`; comparable only at the same compact revision."""

    hash: int
    revision: int
    compact_revision: int


@dataclass(frozen=True, slots=True)
class EtcdTarget:
    """One member as it is reached; references only, never a key."""

    name: str
    url: str
    ca: str = ""
    cert: str = ""
    key: str = ""
    dial: str = ""  # host:port to connect to instead of the URL's, which still names the certificate
    through: Node | None = None  # which reaches it for us
    user: str = ""  # where authentication is enabled, and the certificate's name is not who we are
    password: str = ""


def target(settings: Cluster, member: Member) -> EtcdTarget:
    """A member as the inventory says it is reached: by its first client URL."""
    tls = settings.etcd.tls
    ca, cert, key = (tls.ca, tls.cert, tls.key) if tls else ("", "", "")
    through = node_of("", settings, member) if settings.ssh.forward else None
    user, password = (settings.etcd.auth.user, settings.etcd.auth.password) if settings.etcd.auth else ("", "")
    return EtcdTarget(
        member.name, member.client_urls[0], ca, cert, key, through=through, user=user, password=password
    )


def member_id(peer_urls: Iterable[str], token: str) -> str:
    """The id a restore gives a member: E:server/etcdserver/api/membership/member.go computeMemberID."""
    digest = sha1("".join(sorted(peer_urls)).encode() + token.encode(), usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[:8], 'big'):x}"


def cluster_id(member_ids: Iterable[str]) -> str:
    """The id of a cluster of those members: E:server/etcdserver/api/membership/cluster.go genID."""
    ids = sorted(int(each, 16) for each in member_ids)
    digest = sha1(b"".join(each.to_bytes(8, "big") for each in ids), usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[:8], 'big'):x}"


def bump(snapshot_revision: int, high_water: int) -> int:
    """How much to add so that no revision is ever served twice; it is an addition to the snapshot's."""
    needed = high_water - snapshot_revision + BUMP_MARGIN
    amount = max(BUMP_MIN, -(-needed // BUMP_STEP) * BUMP_STEP)
    assert snapshot_revision + amount > high_water
    return amount


def can_bump(version: str) -> bool:
    """`--bump-revision` exists from 3.4.27, 3.5.10 and 3.6.0 on (their CHANGELOGs)."""
    major, minor, patch = numbers(version)
    return (major, minor) >= (3, 6) or (minor, patch) >= (5, 10) or (minor == 4 and patch >= 27)


def numbers(version: str) -> tuple[int, int, int]:
    parts = [int(part) for part in version.partition("-")[0].split(".")[:3]]
    major, minor, patch = (*parts, 0, 0, 0)[:3]
    return major, minor, patch


def numbered(version: str) -> tuple[int, int, int]:
    """Vendors add words of their own to it; what is no number is 0."""
    digits = ["".join(filter(str.isdigit, part)) or "0" for part in version.partition("-")[0].split(".")[:3]]
    return numbers(".".join(digits))


def minor(version: str) -> str:
    """`3.6` of `3.6.4`."""
    return ".".join(version.split(".")[:2])


def quorum(voters: int) -> int:
    return voters // 2 + 1
