"""How the drills, restores and backups of a cluster went over time, as a table and its medians."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from quorate.reports.report import Judgement, Row

KINDS = ("drill", "restore", "prove", "backup")
LAST = 5


@dataclass(frozen=True, slots=True)
class Trend:
    """All of one kind, the newest first; medians are of those that passed and were measured."""

    kind: str
    rows: tuple[Row, ...]
    passed: int
    median_rto_s: float | None
    median_duration_s: float | None
    last_rto_s: float | None  # the median of the last five
    last_duration_s: float | None
    longest_gap_s: float | None  # from the begin of one that passed to that of the next


def trends(rows: Iterable[Row]) -> tuple[Trend, ...]:
    by_kind: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda each: each.began, reverse=True):
        by_kind.setdefault(row.kind, []).append(row)
    order = (*KINDS, *sorted(by_kind.keys() - set(KINDS)))
    return tuple(trend(kind, by_kind[kind]) for kind in order if kind in by_kind)


def trend(kind: str, rows: Sequence[Row]) -> Trend:
    good = [row for row in rows if row.judgement in {Judgement.PASSED, Judgement.FINDINGS}]
    return Trend(
        kind,
        tuple(rows),
        len(good),
        middle(row.rto_s for row in good),
        middle(row.duration_s for row in good),
        middle(row.rto_s for row in good[:LAST]),
        middle(row.duration_s for row in good[:LAST]),
        max((round(later.began - row.began, 3) for later, row in pairwise(good)), default=None),
    )


def middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 3) if known else None


def before(rows: Iterable[Row], kind: str, began: float, operation: str) -> tuple[Row, ...]:
    """The last five of its kind that began before it, the newest first."""
    own = [row for row in rows if row.kind == kind and row.operation != operation and row.began <= began]
    return tuple(sorted(own, key=lambda row: row.began, reverse=True)[:LAST])
