"""Which drills were held where, and which are due: never held, too long ago, or failed and not held again."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from quorate.gauges import Figure, Run
from quorate.inventory import Inventory
from quorate.measure import Verdict
from quorate.restoring.timing import spoken

GOOD = (Verdict.PASSED, Verdict.FINDINGS)


@dataclass(frozen=True, slots=True)
class Held:
    """One drill on record that has a verdict."""

    cluster: str
    scenario: str
    operation: str
    verdict: str
    began: datetime
    rto_s: float | None = None


@dataclass(frozen=True, slots=True)
class Covered:
    """A scenario on a cluster: the last time that it was held there, when it is due, and why it is, if it is now."""

    cluster: str
    scenario: str
    now: datetime
    operation: str = ""
    verdict: str = ""
    held: datetime | None = None
    rto_s: float | None = None
    within_s: float | None = None
    due: datetime | None = None
    why_due: str = ""


def covered(inventory: Inventory, held: Iterable[Held], now: datetime) -> tuple[Covered, ...]:
    """Every scenario that was held on a cluster of the inventory, or that its policy names."""
    last: dict[tuple[str, str], Held] = {}
    good: dict[tuple[str, str], Held] = {}
    for each in sorted(held, key=lambda one: one.began):
        last[each.cluster, each.scenario] = each
        if each.verdict in GOOD:
            good[each.cluster, each.scenario] = each
    wanted = {
        (name, scenario): policy.within
        for name, cluster in inventory.clusters.items()
        if cluster.drills
        for scenario, policy in cluster.drills.scenarios.items()
    }
    keys = sorted({*wanted, *(key for key in last if key[0] in inventory.clusters)})
    return tuple(row(key, last.get(key), good.get(key), wanted.get(key), now) for key in keys)


def row(key: tuple[str, str], last: Held | None, good: Held | None, within_s: float | None, now: datetime) -> Covered:
    due = good.began + timedelta(seconds=within_s) if within_s and good and last is good else None
    return Covered(
        cluster=key[0],
        scenario=key[1],
        now=now,
        operation=last.operation if last else "",
        verdict=last.verdict if last else "",
        held=last.began if last else None,
        rto_s=last.rto_s if last else None,
        within_s=within_s,
        due=due,
        why_due=why(last, good, within_s, now),
    )


def why(last: Held | None, good: Held | None, within_s: float | None, now: datetime) -> str:
    """One that has failed is to be held again whatever the policy says; one that nobody wants is never late."""
    if last and last.verdict == Verdict.FAILED:
        return "the last one failed: hold it again once the cause is mended"
    if within_s is None:
        return ""
    if good is None:
        return "it was never held to its end" if last else "it was never held"
    age_s = (now - good.began).total_seconds()
    return (
        f"the last good one is {spoken(age_s)} old, at most {spoken(within_s)} is allowed" if age_s > within_s else ""
    )


def figures(rows: Iterable[Covered]) -> Iterator[Figure]:
    for each in rows:
        labels = (each.cluster, each.scenario)
        result = -1.0 if each.held is None else float(each.verdict in GOOD)
        yield Figure("quorate_drill_last_result", labels, result)
        yield Figure("quorate_drill_last_timestamp_seconds", labels, each.held.timestamp() if each.held else 0.0)
        if each.within_s:
            yield Figure("quorate_drill_due_timestamp_seconds", labels, each.due.timestamp() if each.due else 0.0)
        if each.rto_s is not None:
            yield Figure("quorate_drill_rto_seconds", labels, each.rto_s)


def of_runs(runs: Iterable[Run]) -> Iterator[Held]:
    """Those of the records that are drills with a verdict."""
    for run in runs:
        if run.scenario:
            at = datetime.fromtimestamp(run.began, UTC)
            yield Held(run.cluster, run.scenario, run.operation, run.result, at, run.rto_s)
