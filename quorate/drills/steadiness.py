"""Whether a cluster is as it should be before a drill, and again after it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from quorate.clusters.cluster import Silence
from quorate.drills.scenario import Steady
from quorate.measure import Check
from quorate.members.etcd import EtcdSeen, HashKV, quorum


@dataclass(frozen=True, slots=True)
class Told:
    """What each member and each API server said; text says why one said nothing."""

    members: Mapping[str, EtcdSeen | Silence] = field(default_factory=dict)
    reads: Mapping[str, str] = field(default_factory=dict)  # "" where a linearizable read went through
    hashes: Mapping[str, HashKV | str] = field(default_factory=dict)
    uncompared: str = ""  # why nobody was asked for a hash
    apis: Mapping[str, str] = field(default_factory=dict)  # "" where it is ready

    @property
    def answering(self) -> dict[str, EtcdSeen]:
        return {name: each for name, each in self.members.items() if isinstance(each, EtcdSeen)}


def checks(wanted: Iterable[Steady], told: Told, when: str) -> tuple[Check, ...]:
    """`when` stands before each: before, or after which stage."""
    return tuple(CHECKS[each](f"{when}: {each}", told) for each in wanted)


def _quorum(id_: str, told: Told) -> Check:
    leaders = {each.leader for each in told.answering.values() if each.leader}
    through = [name for name, why in told.reads.items() if not why]
    good = len(leaders) == 1 and len(through) >= quorum(len(told.members))
    seen = f"{len(leaders)} leader{'' if len(leaders) == 1 else 's'}, reads through {', '.join(through) or 'nobody'}"
    return Check(id_, "one leader, and linearizable reads through a majority", seen, good)


def _every_member(id_: str, told: Told) -> Check:
    silent = [f"{name}: {why}" for name, why in told.reads.items() if why]
    learners = [f"{name} is a learner" for name, each in told.answering.items() if each.learner]
    wrong = (*silent, *learners)
    count = f"{len(told.reads) - len(silent)} of {len(told.reads)}"
    return Check(id_, f"reads through all {len(told.reads)}", "; ".join(wrong) or count, not wrong)


def _no_alarms(id_: str, told: Told) -> Check:
    armed = sorted({kind for each in told.answering.values() for _, kind in each.alarms})
    if not told.answering:
        return Check(id_, "none", "no member answers", None)
    return Check(id_, "none", ", ".join(armed) or "none", not armed)


def _same_data(id_: str, told: Told) -> Check:
    """Compacted as far, each of them; else their hashes say nothing about each other."""
    expected = "one HashKV of every member at one revision"
    if told.uncompared:
        return Check(id_, expected, told.uncompared, None)
    said = {name: each for name, each in told.hashes.items() if isinstance(each, HashKV)}
    silent = [f"{name}: {each}" for name, each in told.hashes.items() if isinstance(each, str)]
    if silent or len({each.compact_revision for each in said.values()}) > 1:
        return Check(id_, expected, "; ".join(silent) or "the members have not compacted as far as each other", False)
    values = {each.hash for each in said.values()}
    seen = ", ".join(f"{name} {each.hash} at {each.revision}" for name, each in said.items())
    return Check(id_, expected, seen or "nobody was asked", len(values) == 1)


def _every_apiserver(id_: str, told: Told) -> Check:
    silent = [why for why in told.apis.values() if why]
    count = f"{len(told.apis) - len(silent)} of {len(told.apis)}"
    return Check(id_, f"all {len(told.apis)} are ready", "; ".join(silent) or count, not silent)


CHECKS: Mapping[Steady, Callable[[str, Told], Check]] = {
    "quorum": _quorum,
    "every-member": _every_member,
    "no-alarms": _no_alarms,
    "same-data": _same_data,
    "every-apiserver": _every_apiserver,
}
