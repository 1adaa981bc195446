"""Who is in a cluster, who has a vote, and what is left when one of them goes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quorate.members.etcd import EtcdSeen, HashKV, MemberSeen, quorum

NOBODY = "0"  # whom an etcd 3.5 names that does not know which member is corrupt


@dataclass(frozen=True, slots=True)
class Votes:
    """How many members have a vote, and how many of them are up."""

    voters: int
    up: int

    @property
    def quorum(self) -> int:
        return quorum(self.voters)

    @property
    def holds(self) -> bool:
        return self.up >= self.quorum

    @property
    def spare(self) -> int:
        """How many more may fail."""
        return self.up - self.quorum

    def __str__(self) -> str:
        spare = f"{self.spare} more may fail" if self.spare > 0 else "no other may fail meanwhile"
        return f"{self.up} of {self.voters} with a vote are up, {self.quorum} are needed: {spare}"


def listed(seen: Mapping[str, EtcdSeen]) -> tuple[MemberSeen, ...]:
    """The members as whoever is furthest lists them."""
    furthest = max(seen.values(), key=lambda each: (each.raft_term, each.raft_applied), default=None)
    return furthest.members if furthest else ()


def row_of(rows: Iterable[MemberSeen], name: str, peer_urls: tuple[str, ...], id_: str = "") -> MemberSeen | None:
    """The row of a member: by its id, else by its name, else by its URLs, for one that never started has no name."""
    rows = tuple(rows)
    for mine in (
        lambda row: row.id == id_,
        lambda row: row.name == name,
        lambda row: bool(set(row.peer_urls) & set(peer_urls)),
    ):
        if found := next(filter(mine, rows), None):
            return found
    return None


def newcomer(rows: Iterable[MemberSeen], peer_urls: tuple[str, ...], former: str) -> MemberSeen | None:
    """Who has those URLs and is not who had them before."""
    return next((row for row in rows if sorted(row.peer_urls) == sorted(peer_urls) and row.id != former), None)


def without(rows: Iterable[MemberSeen], former: str, seen: Mapping[str, EtcdSeen]) -> Votes:
    """The votes that are left without one member."""
    voters = {row.id for row in rows if not row.learner and row.id != former}
    up = {each.member_id for each in seen.values() if each.leader} & voters
    return Votes(len(voters), len(up))


def votes(rows: Iterable[MemberSeen], seen: Mapping[str, EtcdSeen]) -> Votes:
    return without(rows, "", seen)


def odd(hashes: Mapping[str, HashKV | str]) -> tuple[str, ...]:
    """Who does not hold what most of those hold that could be compared; nobody where there is no such majority."""
    compared = {name: each for name, each in hashes.items() if isinstance(each, HashKV)}
    kinds = [(each.hash, each.compact_revision) for each in compared.values()]
    for kind in set(kinds):
        if 2 * kinds.count(kind) > len(kinds):
            others = {name: each for name, each in compared.items() if (each.hash, each.compact_revision) != kind}
            return tuple(sorted(name for name, each in others.items() if each.compact_revision == kind[1]))
    return ()


def apart(hashes: Mapping[str, HashKV | str]) -> bool:
    """Whether any two of them differ that can be compared."""
    compared = [each for each in hashes.values() if isinstance(each, HashKV)]
    return any(a.compact_revision == b.compact_revision and a.hash != b.hash for a in compared for b in compared)


def told(hashes: Mapping[str, HashKV | str]) -> str:
    """Each hash, or why there is none."""
    return ", ".join(
        f"{name}: {each.hash} (compacted {each.compact_revision})" if isinstance(each, HashKV) else f"{name}: {each}"
        for name, each in sorted(hashes.items())
    )


def not_whole(seen: Mapping[str, EtcdSeen], former: str) -> str:
    """Why this is not one cluster of exactly these members, all with a vote; or nothing."""
    ids = {each.cluster_id for each in seen.values()}
    if len(ids) > 1:
        return f"the members are in different clusters: {', '.join(sorted(ids))}"
    members = sorted(each.member_id for each in seen.values())
    for name, each in sorted(seen.items()):
        if not each.leader:
            return f"{name} knows of no leader"
        if each.member_id == former:
            return f"{name} still is member {former}, which was removed"
        if sorted(row.id for row in each.members) != members:
            return (
                f"{name} lists members {', '.join(row.id for row in each.members)}, those that answer are {members}"
            )
        if any(row.learner for row in each.members):
            return f"{name} lists a learner"
    return ""
