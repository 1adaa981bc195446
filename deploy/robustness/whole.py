"""Whether what stands there is one cluster that serves everybody, whichever data it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.robustness.held import restored_at
from deploy.robustness.readings import LIVE, NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.robustness.readings import Evidence, MemberReading, NodeReading, Reading


def flaws(seen: Evidence) -> Iterator[str]:
    """What is wrong with it, both after a restore and after one that was undone."""
    for name, reason in seen.after.silent.items():
        yield f"{name} serves no client: {reason}"
    yield from quarrels(seen.after)
    yield from strangers(seen)
    for name, node in seen.after.nodes.items():
        yield from leftovers(name, node, seen)
    for name in seen.after.nodes:
        if not any(write.through == name and write.cluster_id and write.began > seen.ended for write in seen.writes):
            yield f"no write through {name} was acknowledged after the end"


def quarrels(after: Reading) -> Iterator[str]:
    """Members that do not agree: mixed tokens, mixed snapshots."""
    for what, of in (
        ("cluster id", lambda member: member.cluster_id),
        ("member list", lambda member: sorted(member.members, key=lambda listed: listed.member_id)),
        ("HashKV", lambda member: member.hash_kv),
        ("keys", lambda member: member.keys),
    ):
        values = {name: of(member) for name, member in after.members.items()}
        if any(value != next(iter(values.values())) for value in values.values()):
            yield f"the members differ in {what}: {shown(what, after)}"


def shown(what: str, after: Reading) -> str:
    """Short enough for a line."""
    if what == "keys":
        return ", ".join(f"{name} {len(member.keys)}" for name, member in after.members.items())
    short = {"cluster id": "cluster_id", "HashKV": "hash_kv", "member list": "members"}[what]
    return ", ".join(f"{name} {str(getattr(member, short))[:60]}" for name, member in after.members.items())


def strangers(seen: Evidence) -> Iterator[str]:
    """Wrong names or addresses, a member that is somebody else, alarms."""
    wanted = {listed.place for member in seen.before.members.values() for listed in member.members}
    for name, member in seen.after.members.items():
        if (places := {listed.place for listed in member.members}) != wanted:
            yield f"{name} lists other members than before: {sorted(places ^ wanted)}"
        if own(member) != name:
            yield f"the member on {name} calls itself {own(member)}"
        if member.alarms:
            yield f"{name} has alarms: {', '.join(member.alarms)}"


def own(member: MemberReading) -> str:
    """By the id that it answers with."""
    return next((listed.name for listed in member.members if listed.member_id == member.member_id), "nobody's name")


def leftovers(name: str, node: NodeReading, seen: Evidence) -> Iterator[str]:
    """Of the operation itself; the data that it keeps is judged elsewhere."""
    if node.claim and not nobodys(node.claim, seen):
        yield f"{name} is still claimed: {node.claim}"
    for bar in node.bars:
        yield f"{name} still has {bar}"
    for table in sorted(set(node.tables) - set(seen.before.nodes[name].tables)):
        yield f"{name} still has the firewall table {table}"
    for unit in sorted(set(node.units) - set(seen.before.nodes[name].units)):
        yield f"{name} still has the unit {unit}"
    expected = {LIVE, f"{LIVE}.before-{seen.operation}", *restored_at(name, seen.told)}
    for path in sorted(set(node.directories) - set(seen.before.nodes[name].directories) - expected):
        yield f"{name} still has {path}"
    if (node.unit, node.processes) != ("active", 1):
        yield f"{name}: etcd.service is {node.unit}, {node.processes} processes of etcd"


def nobodys(claim: str, seen: Evidence) -> bool:
    """Of the operation that left too little to be adopted; whoever restores next takes the node over."""
    return seen.told.outcome == NOTHING and claim.startswith(f"{seen.operation} ")
