"""Whether the members hold the same data, told by their own hashes of all keys at one revision."""

from collections.abc import Mapping
from dataclasses import dataclass

from quorate.members.etcd import EtcdSeen, HashKV


@dataclass(frozen=True, slots=True)
class Agreement:
    """Findings are about members that differ; notes about those that could not be compared."""

    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def order(source: str, seen: Mapping[str, EtcdSeen | str]) -> tuple[str, ...]:
    """Who is asked beside the source, the leader last: a hash blocks the writes of its member while it is made."""
    voters = {name: each for name, each in seen.items() if isinstance(each, EtcdSeen) and not each.learner}
    return tuple(sorted(voters.keys() - {source}, key=lambda name: (voters[name].leads, name)))


def compared(source: str, mine: HashKV, others: Mapping[str, HashKV | str]) -> Agreement:
    """Text in `others` says why a member gave no hash; those of two compactions say nothing about each other."""
    findings, notes = list[str](), list[str]()
    for name, each in others.items():
        if isinstance(each, str):
            notes.append(f"{name} was not compared with {source}: {each}")
        elif each.compact_revision != mine.compact_revision:
            notes.append(
                f"{name} was not compared with {source}: it has compacted up to {each.compact_revision}, "
                f"{source} up to {mine.compact_revision}"
            )
        elif each.hash != mine.hash:
            findings.append(
                f"{name} does not hold the same data as {source} at revision {mine.revision}: "
                f"HashKV {each.hash} and {mine.hash}"
            )
    return Agreement(tuple(findings), tuple(notes))
