"""What a fault did while it lasted, by many looks at the members that it left alone and at the one it did not."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from quorate.clusters.cluster import Silence
from quorate.drills.scenario import Expected
from quorate.measure import Check
from quorate.members.etcd import EtcdSeen, quorum


@dataclass(frozen=True, slots=True)
class Looked:
    """One look at all; text is why a read or a write did not go through, "" that it did.

    `wrote` is through whichever member took it, `refused` through the victim; None: nobody tried.
    """

    at: float
    members: Mapping[str, EtcdSeen | Silence] = field(default_factory=dict)
    reads: Mapping[str, str] = field(default_factory=dict)
    refused: str | None = None
    wrote: str | None = None

    def leader(self, victim: str) -> str:
        """By name, whom a majority follows, other than the victim."""
        rest = {name: each for name, each in self.members.items() if isinstance(each, EtcdSeen) and name != victim}
        leads = next((name for name, each in rest.items() if each.leads), "")
        followed = [name for name, each in rest.items() if leads and each.leader == rest[leads].member_id]
        return leads if len(followed) >= quorum(len(self.members)) else ""

    def serves(self, victim: str) -> tuple[str, ...]:
        return tuple(name for name, why in self.reads.items() if not why and name != victim)


def checks(wanted: Iterable[Expected], victim: str, looks: Sequence[Looked], when: str) -> tuple[Check, ...]:
    return tuple(CHECKS[each](f"{when}: {each}", victim, looks) for each in wanted)


def stopped(looks: Sequence[Looked], fail_s: float) -> str:
    """The stop condition that holds now, or nothing: no member has taken a write for so long on end."""
    if not looks:
        return ""
    good = [look.at for look in looks if not look.wrote]
    since = max(good, default=looks[0].at)
    silent_s = looks[-1].at - since
    return f"no member took a write for {silent_s:.0f} s: {looks[-1].wrote}" if silent_s > fail_s else ""


def _another_leader(id_: str, victim: str, looks: Sequence[Looked]) -> Check:
    """From the first look that saw one on."""
    expected = f"a majority follows another leader than {victim}"
    first = next(((look.at, name) for look in looks if (name := look.leader(victim))), None)
    if first is None:
        return Check(id_, expected, "none was seen", False)
    at, name = first
    return Check(id_, expected, f"{name}, {at - looks[0].at:.1f} s after the first look", True)


def _majority_serves(id_: str, victim: str, looks: Sequence[Looked]) -> Check:
    """At the last look: how long it took is the probe's to say."""
    last = looks[-1] if looks else Looked(0.0)
    through, needed = last.serves(victim), quorum(len(last.members))
    expected = f"linearizable reads through at least {needed} other than {victim}, at the last look"
    return Check(id_, expected, ", ".join(through) or "through nobody", bool(looks) and len(through) >= needed)


def _minority_refuses(id_: str, victim: str, looks: Sequence[Looked]) -> Check:
    tried = [look.refused for look in looks if look.refused is not None]
    taken = [why for why in tried if not why]
    expected = f"no write goes through {victim}"
    if not tried:
        return Check(id_, expected, "nobody tried", None)
    return Check(id_, expected, f"{len(tried) - len(taken)} of {len(tried)} refused: {tried[-1]}", not taken)


CHECKS: Mapping[Expected, Callable[[str, str, Sequence[Looked]], Check]] = {
    "another-leader": _another_leader,
    "majority-serves": _majority_serves,
    "minority-refuses": _minority_refuses,
}
