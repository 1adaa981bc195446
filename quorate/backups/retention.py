"""Which backups may go: decided from manifests and marks alone, for all lineages of a cluster's name.

Age is measured from the newest backup that counts, not from now: where no backup was taken for a month, or a clock is
wrong, nothing grows older.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from quorate.backups.catalogue import Manifest, Shelf, age
from quorate.settings.policies import Retention

PERIODS: Mapping[str, str] = {  # ISO weeks, so that no week is cut by a new year
    "hourly": "%Y-%m-%d %H",
    "daily": "%Y-%m-%d",
    "weekly": "%G-W%V",
    "monthly": "%Y-%m",
    "yearly": "%Y",
}

AHEAD = timedelta(minutes=5)  # that two clocks may differ by


@dataclass(frozen=True, slots=True)
class Judged:
    """One backup, and why it stays; nothing where it may go. `finding` is what somebody should know of it."""

    manifest: Manifest
    stays: tuple[str, ...]
    finding: str = ""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of the snapshots beside their manifests and marks, each by id.

    `doubted`: nobody who is trusted vouches for them; `used`: by which open operation. `now` is None where nobody
    has said it.
    """

    doubted: Mapping[str, str]
    used: Mapping[str, str]
    now: datetime | None = None


def judged(shelf: Shelf, policy: Retention | None, around: Circumstances) -> tuple[Judged, ...]:
    """Every backup, the newest first."""
    aside, ahead = shelf.quarantined, dated_ahead(shelf, around.now)
    counting = [each for each in reversed(shelf.sound(around.doubted)) if each.counts and each.id not in ahead]
    frozen = freezing(shelf, counting)
    kept = by_rules(counting, policy) if policy else {}
    proved = next((each.id for each in counting if shelf.standing(each).restored), "")
    oldest = min(map(age, (each for each in counting if kept.get(each.id))), default=None)

    def stays(each: Manifest) -> tuple[str, ...]:
        return (
            *untouchable(each, shelf, aside, around),
            *([ahead[each.id]] if each.id in ahead else []),
            *([] if policy else ["there is no policy: backup.retention"]),
            *([frozen] if frozen else []),
            *kept.get(each.id, ()),
            *(["the newest that an etcd was started from"] if each.id == proved else []),
            *beside(each, oldest),
        )

    return tuple(Judged(each, stays(each), ahead.get(each.id, "")) for each in reversed(shelf.manifests))


def dated_ahead(shelf: Shelf, now: datetime | None) -> Mapping[str, str]:
    """Why it pushes nothing out, by id: its clock was ahead, or ours is behind, and nobody knows how old it is."""
    limit = now + AHEAD if now else datetime.max.replace(tzinfo=UTC)
    return {
        each.id: f"{each.id} is dated {each.created_at:%Y-%m-%d %H:%M}Z, which is still to come: a clock is wrong, "
        "or was; until then it stays and makes nothing else go"
        for each in shelf.manifests
        if each.created_at > limit
    }


def freezing(shelf: Shelf, counting: list[Manifest]) -> str:
    """Why nothing at all may go: the cluster may not be the one that the good ones are of."""
    if not shelf.manifests:
        return ""
    last = shelf.manifests[-1]
    if not last.counts and (not counting or age(last) > age(counting[0])):
        return f"{last.id} is suspect, and until one counts again nothing goes"
    return ""


def untouchable(each: Manifest, shelf: Shelf, aside: Mapping[str, str], around: Circumstances) -> tuple[str, ...]:
    """Reasons that no policy outweighs."""
    reasons = (
        (around.used.get(each.id), f"{around.used.get(each.id)} uses it"),
        (shelf.standing(each).protected, "it is protected"),
        (each.id in aside, "it is quarantined: evidence, which only a person removes"),
        (each.id in around.doubted, "nobody who is trusted vouches for it: evidence, which only a person removes"),
    )
    return tuple(reason for true, reason in reasons if true)


def beside(each: Manifest, oldest: tuple[datetime, int] | None) -> tuple[str, ...]:
    """A suspect one is evidence for as long as an older one that counts is kept."""
    if each.counts or oldest is None or age(each) < oldest:
        return ()
    return ("it is suspect, and older ones that count are kept",)


def by_rules(counting: list[Manifest], policy: Retention) -> dict[str, tuple[str, ...]]:
    """Reasons by id; `counting` is the newest first."""
    kept: dict[str, tuple[str, ...]] = {}

    def keep(each: Manifest, reason: str) -> None:
        kept[each.id] = (*kept.get(each.id, ()), reason)

    for number, each in enumerate(counting[: policy.last], 1):
        keep(each, f"last {number} of {policy.last}")
    for rule, period in PERIODS.items():
        wanted = getattr(policy, rule)
        for number, each in enumerate(firsts(counting, period)[:wanted], 1):
            keep(each, f"{rule} {number} of {wanted}")
    for each in within(counting, policy.keep_within):
        keep(each, f"within {policy.keep_within / 3600:g} h of the newest")
    for number, each in enumerate(counting[: policy.min_verified], 1):
        keep(each, f"{number} of the {policy.min_verified} that always stay")
    return kept


def firsts(counting: list[Manifest], period: str) -> list[Manifest]:
    """The newest of each period that has one."""
    found: dict[str, Manifest] = {}
    for each in counting:
        found.setdefault(f"{each.created_at:{period}}", each)
    return list(found.values())


def within(counting: list[Manifest], span_s: float) -> list[Manifest]:
    if not counting or not span_s:
        return []
    since = counting[0].created_at - timedelta(seconds=span_s)
    return [each for each in counting if each.created_at >= since]
