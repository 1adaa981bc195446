"""Reasons to leave a member where it is, found before anything is stopped, each with its evidence."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from quorate.clusters.causes import causes
from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.clusters.surroundings import unfit
from quorate.errors import BadInput
from quorate.inventory import Cluster
from quorate.members.etcd import EtcdSeen, HashKV, MemberSeen, numbers
from quorate.members.membership import NOBODY, Votes, apart, listed, odd, row_of, told, votes, without
from quorate.nodes.joining import Joiner, joiner_of
from quorate.nodes.room import RESERVE_BYTES, WAL_BYTES, mib, staging_bytes
from quorate.nodes.seen import NodeSeen
from quorate.operation import RestoreRequest
from quorate.plan import Gate
from quorate.restoring.gates import differences, fixed
from quorate.settings.machines import Member

Hashes = Mapping[str, HashKV | str]
ADDS_WITH_ONE_DOWN = ((3, 5, 30), (3, 6, 11))


@dataclass(frozen=True, slots=True)
class Aim:
    """Who is replaced, in a cluster as it was seen; `rows` are the members as the others list them."""

    request: RestoreRequest
    seen: ClusterSeen
    hashes: Hashes
    member: Member

    @property
    def settings(self) -> Cluster:
        return self.request.settings

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def others(self) -> dict[str, EtcdSeen]:
        return {name: each for name, each in self.seen.answering.items() if name != self.name}

    @property
    def rows(self) -> tuple[MemberSeen, ...]:
        return listed(self.others)

    @property
    def row(self) -> MemberSeen | None:
        mine = self.seen.answering.get(self.name)
        return row_of(self.rows, self.name, self.member.peer_urls, mine.member_id if mine else "")

    @property
    def former(self) -> str:
        return self.row.id if self.row else ""

    @property
    def node(self) -> NodeSeen | None:
        node = self.seen.nodes.get(self.name)
        return node if isinstance(node, NodeSeen) else None

    @property
    def left(self) -> Votes:
        return without(self.rows, self.former, self.others)

    @property
    def size_bytes(self) -> int:
        return max((each.db_bytes for each in self.others.values()), default=0)

    @property
    def moved(self) -> str:
        """The peer URLs that it leaves, where it comes back on others; "" where it comes back where it was."""
        there = self.row
        same = there is None or sorted(there.peer_urls) == sorted(self.member.peer_urls)
        return "" if same or there is None else ", ".join(there.peer_urls)


def joiner_for(aim: Aim) -> Joiner:
    """Of no use where its program is not known, which a gate tells."""
    names = {m.peer_urls: m.name for m in aim.settings.members}
    others = {row.name or names.get(row.peer_urls, row.id): row.peer_urls for row in aim.rows if row.id != aim.former}
    try:
        return joiner_of(aim.settings, aim.member, aim.node or NodeSeen(), dict(sorted(others.items())))
    except BadInput:
        return Joiner(aim.settings.etcd.process, "", "", ())


def closed(aim: Aim) -> Iterator[Gate]:
    """Every gate that says no, in the order below."""
    for key, evidence, may in GATES:
        if said := evidence(aim):
            yield Gate(key, said, may)


def no_quorum(aim: Aim) -> str:
    """An alarm CORRUPT keeps everybody from reading; then a majority that knows its leader is a quorum too."""
    now, corrupt = votes(aim.rows, aim.others), any(kind == "CORRUPT" for _, kind in alarms(aim))
    if any(name in aim.seen.reads for name in aim.others) or (corrupt and now.holds):
        return ""
    return (
        f"none of the other members serves a linearizable read: without a quorum nobody can be removed or added; "
        f"`quorate plan restore {aim.request.cluster}` tells what can be done"
    )


def quorum_at_risk(aim: Aim) -> str:
    return "" if aim.left.holds else f"without {aim.name} the quorum would be lost: {aim.left}"


def another_down(aim: Aim) -> str:
    """An etcd before those versions adds nobody while anybody is down, and a newer one only with votes to spare."""
    down = aim.left.voters - aim.left.up
    if not down or not aim.left.holds:
        return ""
    versions = sorted({each.version for each in aim.others.values()})
    able = all(adds_with_one_down(each) for each in versions) and aim.left.up >= (aim.left.voters + 1) // 2 + 1
    if able:
        return ""
    return (
        f"{down} more of the others do not answer: etcd {', '.join(versions)} may refuse to add a member until they "
        f"do, and {aim.name} would be gone until then"
    )


def adds_with_one_down(version: str) -> bool:
    found = numbers(version)
    return any(found >= least and found[:2] == least[:2] for least in ADDS_WITH_ONE_DOWN) or found[:2] >= (3, 7)


def mixed_ids(aim: Aim) -> str:
    """Among the others: a member in a cluster of its own is one to be replaced."""
    found = {each.cluster_id for each in aim.others.values()}
    return f"the other members are in different clusters: {', '.join(sorted(found))}" if len(found) > 1 else ""


def impostor(aim: Aim) -> str:
    return replace(aim.seen, etcd=dict(aim.others)).impostor()


def learner(aim: Aim) -> str:
    """There can be only one at a time; what an aborted replacement has left of this very member is no other."""
    found = sorted(row.name or row.id for row in aim.rows if row.learner and row.id != aim.former)
    return f"{', '.join(found)} is a learner already, and etcd has room for one" if found else ""


def members_differ(aim: Aim) -> str:
    """The others alone: whatever the leader holds is what the new member gets."""
    others = {name: each for name, each in aim.hashes.items() if name != aim.name}
    return f"the other members do not hold the same data: {told(others)}" if apart(others) else ""


def corrupt(aim: Aim) -> str:
    """Of another, or of nobody in particular while the hashes do not say that it is this one."""
    others = {row.id: row.name for row in aim.rows if row.id != aim.former}
    sick = sorted(others[member] for member, kind in alarms(aim) if kind == "CORRUPT" and member in others)
    if sick:
        return f"the alarm CORRUPT is raised about {', '.join(sick)}: replace that one first"
    unnamed = any(kind == "CORRUPT" and member == NOBODY for member, kind in alarms(aim))
    if unnamed and odd(aim.hashes) != (aim.name,):
        return f"the alarm CORRUPT names nobody, and by HashKV it is not {aim.name}: {told(aim.hashes)}"
    return ""


def alarms(aim: Aim) -> set[tuple[str, str]]:
    return {alarm for each in aim.seen.answering.values() for alarm in each.alarms}


def member_healthy(aim: Aim) -> str:
    """It answers, belongs here, and nothing says that it holds other data."""
    mine = aim.seen.answering.get(aim.name)
    if (
        mine is None
        or not mine.leader
        or mine.learner
        or mine.cluster_id not in {o.cluster_id for o in aim.others.values()}
    ):
        return ""
    if aim.name in odd(aim.hashes) or (mine.member_id, "CORRUPT") in mine.alarms:
        return ""
    return f"{aim.name} answers, and holds what the others hold as far as can be told: {told(aim.hashes)}"


def node_unreachable(aim: Aim) -> str:
    """Every node is claimed, and this one is fenced."""
    silent = {name: each for name, each in aim.seen.nodes.items() if isinstance(each, Silence)}
    return "; ".join(each.reason for _, each in sorted(silent.items()))


def cause_not_removed(aim: Aim) -> str:
    mine = (each for each in causes(aim.settings, aim.seen) if each.member == aim.name)
    return "; ".join(f"{each} (`{each.remedy}`)" for each in mine)


def config_differs(aim: Aim) -> str:
    return "; ".join(differences(aim.settings, aim.member, aim.node, {})) if aim.node else ""


def certificate(aim: Aim) -> str:
    return "; ".join(unfit(aim.settings, aim.member, aim.node, aim.seen)) if aim.node else ""


def layout(aim: Aim) -> str:
    return fixed(aim.settings, aim.node) if aim.node else ""


def no_program(aim: Aim) -> str:
    if aim.node is None or joiner_for(aim).binary:
        return ""
    return f"the etcd of {aim.name} is not a program on its node, and no image there has it: nothing could join"


def no_space(aim: Aim) -> str:
    """Beside what is kept the whole database is taken over once more."""
    etcd, found = aim.settings.etcd, []
    needed = {etcd.data_dir: staging_bytes(aim.size_bytes, arrived=True)}
    needed |= {etcd.wal_dir: WAL_BYTES + RESERVE_BYTES} if etcd.wal_dir else {}
    for path, size_bytes in needed.items() if aim.node else ():
        free = aim.node.spaces.get(path) if aim.node else None
        if free is not None and free < size_bytes:
            found.append(f"{mib(free)} are free at {path} on {aim.name}, {mib(size_bytes)} are needed")
    return "; ".join(found)


GATES: tuple[tuple[str, Callable[[Aim], str], bool], ...] = (
    ("no-quorum", no_quorum, False),
    ("mixed-ids", mixed_ids, False),
    ("impostor", impostor, False),
    ("quorum-at-risk", quorum_at_risk, False),
    ("another-down", another_down, True),
    ("learner", learner, False),
    ("members-differ", members_differ, False),
    ("corrupt", corrupt, False),
    ("member-healthy", member_healthy, True),
    ("node-unreachable", node_unreachable, False),
    ("cause-not-removed", cause_not_removed, True),
    ("config-differs", config_differs, True),
    ("certificate", certificate, True),
    ("layout", layout, False),
    ("no-program", no_program, False),
    ("no-space", no_space, False),
)
IDS = tuple(each[0] for each in GATES)
