"""What a probe keeps in mind while it writes and reads: how often it tried, since when it could not, what is gone."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from quorate.measure import Gap, Probed, Surface, Tries, Verb

Key = tuple[Surface, Verb]
WAITED_S = 0.5  # of a try that went through: a client that waited for so long was not served meanwhile
PROBED: TypeAdapter[Probed] = TypeAdapter(Probed)


@dataclass(slots=True)
class Log:
    """Its own time: `began`, and `last` for when it was last at work."""

    began: float
    last: float = 0.0
    made: dict[Key, int] = field(default_factory=dict)
    failed: dict[Key, int] = field(default_factory=dict)
    slowest: dict[Key, float] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    open: dict[Key, tuple[float, str]] = field(default_factory=dict)
    unwatched: list[tuple[float, float]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    acknowledged: int = 0  # the number that the last acknowledged write had
    revision: int = 0  # and its revision

    def tried(self, key: Key, since: float, until: float, why: str = "") -> None:
        """One try that took from then to then; `why` it failed, or nothing."""
        self.made[key] = self.made.get(key, 0) + 1
        self.last = until
        if why:
            self.failed[key] = self.failed.get(key, 0) + 1
            self.open.setdefault(key, (since, why))
            return
        waited_s = round(until - since, 3)
        self.slowest[key] = max(self.slowest.get(key, 0.0), waited_s)
        if key in self.open:
            began, first = self.open.pop(key)
            self.gaps.append(Gap(*key, began, until, first))
        elif waited_s >= WAITED_S:
            self.gaps.append(Gap(*key, since, until, f"it went through after {waited_s:.1f} s"))

    def wrote(self, number: int, revision: int) -> None:
        self.acknowledged, self.revision = number, revision

    def read(self, number: int, revision: int) -> None:
        """What the key holds: from an older write than was acknowledged, and acknowledged writes are gone.

        By the revision: a write that nobody answered in time may be carried out when its member has come back (seen:
        25 s later, when a cut was lifted), and then the key holds its smaller number, though nothing is gone.
        """
        if revision >= self.revision:
            return
        self.lost.append(f"writes {number + 1} to {self.acknowledged} were acknowledged and are gone")
        self.wrote(number, revision)

    def probed(self, now: float) -> Probed:
        still = [Gap(*key, since, None, why) for key, (since, why) in self.open.items()]
        return Probed(
            began=self.began,
            ended=now,
            tries=tuple(
                Tries(*key, made, self.failed.get(key, 0), self.slowest.get(key, 0.0))
                for key, made in sorted(self.made.items())
            ),
            gaps=tuple(sorted((*self.gaps, *still), key=lambda gap: (gap.since, gap.surface, gap.verb))),
            unwatched=tuple(self.unwatched),
            lost=tuple(self.lost),
        )

    def note(self, now: float) -> dict[str, Any]:
        """For whoever goes on where this one was killed."""
        return {
            "probed": PROBED.dump_python(self.probed(now), mode="json"),
            "acknowledged": self.acknowledged,
            "revision": self.revision,
        }


def resumed(note: dict[str, Any], now: float) -> Log:
    """What another one had seen; what passed since then nobody watched."""
    seen = PROBED.validate_python(note["probed"])
    return Log(
        began=seen.began,
        last=now,
        made={(each.surface, each.verb): each.made for each in seen.tries},
        failed={(each.surface, each.verb): each.failed for each in seen.tries if each.failed},
        slowest={(each.surface, each.verb): each.slowest_s for each in seen.tries},
        gaps=[gap for gap in seen.gaps if gap.until is not None],
        open={(gap.surface, gap.verb): (gap.since, gap.why) for gap in seen.gaps if gap.until is None},
        unwatched=[*seen.unwatched, (seen.ended, now)],
        lost=list(seen.lost),
        acknowledged=int(note["acknowledged"]),
        revision=int(note.get("revision", 0)),
    )


def unheard(seen: Probed | None, why: str) -> str:
    """The finding of a probe that could not say in the end what it saw."""
    if seen is None:
        return f"what the probe saw is lost: {why}"
    since, until = seen.unwatched[-1]
    return f"nobody probed in the last {until - since:.0f} s: {why}"
