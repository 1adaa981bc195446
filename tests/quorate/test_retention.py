"""What retention removes, and above all what it never does."""

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import ValidationError

from quorate.backups.catalogue import Manifest, Shelf
from quorate.backups.marks import UNMARKED
from quorate.backups.retention import Circumstances, judged
from quorate.settings.policies import Retention
from tests.quorate.test_catalogue import AT, made

HOUR, DAY = 60, 1440
NOTHING = Circumstances({}, {})


def shelf(*manifests: Manifest) -> Shelf:
    return Shelf(tuple(sorted(manifests, key=lambda each: each.created_at)), {})


def hourly(count: int, **differently: object) -> list[Manifest]:
    """One an hour, ending at `AT` + count hours."""
    return [made(minutes=HOUR * number, revision=100 + number, **differently) for number in range(count)]


def policy(**rules: float) -> Retention:
    return Retention.model_validate({"min_verified": 1, **rules})


def kept(stock: Shelf, rules: Retention | None, around: Circumstances = NOTHING) -> list[str]:
    return [each.manifest.id for each in judged(stock, rules, around) if each.stays]


def suspect(each: Manifest) -> Manifest:
    return each.model_copy(update={"outcome": "suspect", "findings": ("its revision is 3",)})


def test_what_is_dated_ahead_stays_makes_nothing_go_and_is_told() -> None:
    """A year on: nothing else would be within a week of it."""
    backups = hourly(4)
    ahead = made(minutes=365 * DAY, revision=200)
    around = replace(NOTHING, now=backups[-1].created_at)
    rows = judged(shelf(*backups, ahead), policy(keep_within=7 * 86400), around)
    assert all(row.stays for row in rows)
    assert [row.manifest.id for row in rows if row.finding] == [ahead.id]
    assert "is still to come: a clock is wrong" in rows[0].finding
    rows = judged(shelf(*backups, ahead), policy(keep_within=3600), around)
    assert [row.manifest.id for row in rows if not row.stays] == [backups[1].id, backups[0].id]


def test_two_clocks_may_differ_a_little() -> None:
    backups = hourly(2)
    around = replace(NOTHING, now=backups[-1].created_at - timedelta(minutes=4))
    assert [row.finding for row in judged(shelf(*backups), policy(last=1), around)] == ["", ""]


def test_without_a_policy_everything_stays() -> None:
    stock = shelf(*hourly(3))
    assert len(kept(stock, None)) == 3
    assert "backup.retention" in judged(stock, None, NOTHING)[0].stays[0]


def test_the_last_so_many_stay() -> None:
    backups = hourly(10)
    assert kept(shelf(*backups), policy(last=3)) == [each.id for each in reversed(backups[-3:])]


@pytest.mark.parametrize(
    ("rule", "span", "count", "left"),
    [
        ("hourly", 20, 12, 3),
        ("daily", 6 * HOUR, 12, 3),
        ("weekly", DAY, 30, 3),
        ("monthly", 7 * DAY, 30, 3),
        ("yearly", 90 * DAY, 20, 3),
    ],
)
def test_of_each_period_the_last_one_stays(rule: str, span: int, count: int, left: int) -> None:
    backups = [made(minutes=span * number, revision=100 + number) for number in range(count)]
    remaining = kept(shelf(*backups), policy(**{rule: left}))
    assert len(remaining) == left
    assert remaining[0] == backups[-1].id
    form = {"hourly": "%d%H", "daily": "%m%d", "weekly": "%G%V", "monthly": "%Y%m", "yearly": "%Y"}[rule]
    by_id = {each.id: each for each in backups}
    assert len({f"{by_id[each].created_at:{form}}" for each in remaining}) == left
    for id_ in remaining[1:]:
        same = [each for each in backups if f"{each.created_at:{form}}" == f"{by_id[id_].created_at:{form}}"]
        assert id_ == same[-1].id


def test_a_span_is_measured_from_the_newest_backup_and_not_from_now() -> None:
    """No backup for ten years, or a clock that is wrong: nothing more goes."""
    backups = hourly(48)
    remaining = kept(shelf(*backups), policy(keep_within=6 * 3600))
    assert remaining == [each.id for each in reversed(backups[-7:])]


def test_rules_add_up_and_each_says_why() -> None:
    backups = hourly(72)
    rows = judged(shelf(*backups), policy(last=2, daily=3), NOTHING)
    assert rows[0].stays == ("last 1 of 2", "daily 1 of 3", "1 of the 1 that always stay")
    assert rows[1].stays == ("last 2 of 2",)
    assert len([row for row in rows if row.stays]) == 4


def test_a_policy_never_removes_the_last_that_count() -> None:
    backups = hourly(9)
    assert kept(shelf(*backups), policy(last=1, min_verified=4)) == [each.id for each in reversed(backups[-4:])]


def test_what_does_not_count_takes_nobodys_place() -> None:
    """Neither as one of the last, nor as the one of its day, nor as one of those that always stay."""
    good, doubted, broken = made(0), made(1), made(2)
    stock = replace(
        shelf(good, doubted, broken), marks={broken.directory: replace(UNMARKED, quarantined=AT + timedelta(hours=1))}
    )
    around = Circumstances({doubted.id: "its manifest is not signed"}, {})
    rows = {row.manifest.id: row.stays for row in judged(stock, policy(last=1), around)}
    assert rows[good.id] == ("last 1 of 1", "1 of the 1 that always stay")
    assert "evidence" in rows[doubted.id][0]
    assert "quarantined" in rows[broken.id][0]


def test_a_suspect_newest_freezes_everything() -> None:
    backups = hourly(5)
    frozen = judged(shelf(*backups, suspect(made(DAY))), policy(last=1), NOTHING)
    assert all(row.stays for row in frozen)
    assert "is suspect" in frozen[-1].stays[0]


def test_one_that_counts_again_thaws_it_and_the_suspect_stays_beside_older_ones() -> None:
    old, bad, new = made(0), suspect(made(HOUR)), made(2 * HOUR)
    assert kept(shelf(old, bad, new), policy(last=2)) == [new.id, bad.id, old.id]
    assert kept(shelf(old, bad, new), policy(last=1)) == [new.id]


def test_only_suspect_ones_are_all_kept() -> None:
    assert len(kept(shelf(suspect(made(0)), suspect(made(HOUR))), policy(last=1))) == 2


@pytest.mark.parametrize("standing", [replace(UNMARKED, protected=True), replace(UNMARKED, restored=AT)])
def test_the_protected_and_the_newest_that_was_restored_stay(standing: object) -> None:
    old, new = made(0), made(DAY)
    stock = replace(shelf(old, new), marks={old.directory: standing})
    assert kept(stock, policy(last=1)) == [new.id, old.id]


def test_what_an_operation_uses_stays() -> None:
    old, new = made(0), made(DAY)
    rows = judged(shelf(old, new), policy(last=1), Circumstances({}, {old.id: "restore-1"}))
    assert rows[1].stays == ("restore-1 uses it",)


def test_lineages_are_one_cluster() -> None:
    before = [made(HOUR * number, cluster_id="aaa", revision=number) for number in range(1, 4)]
    after = [made(HOUR * number, cluster_id="bbb", revision=number) for number in range(4, 6)]
    assert kept(shelf(*before, *after), policy(last=3)) == [after[1].id, after[0].id, before[2].id]


@pytest.mark.slow
def test_ten_thousand_backups_are_judged_without_looking_at_each_for_each() -> None:
    """It took minutes; the limit is generous, for it is no measurement."""
    stock = shelf(*(made(minutes=number, revision=100 + number) for number in range(10_000)))
    began = time.process_time()
    assert len(kept(stock, policy(last=10, daily=7))) >= 10
    assert time.process_time() - began < 10


def test_a_policy_without_a_rule_is_refused() -> None:
    with pytest.raises(ValidationError, match="expected at least one of last, hourly"):
        Retention.model_validate({"min_verified": 2})
    with pytest.raises(ValidationError):
        Retention.model_validate({"last": 3, "min_verified": 0})
