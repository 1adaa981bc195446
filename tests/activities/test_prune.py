"""A prune removes what retention lets go, whole or not at all, and nothing that somebody uses, protects or locks."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.backups.pruning import Pruning
from activities.recording.recorded import RecordedStores
from quorate.backups.catalogue import Manifest, load, shelf
from quorate.backups.marks import Kind, Mark, put
from quorate.errors import Denied, Failed, QuorateError
from quorate.operation import Outcome, RestoreResult
from quorate.prune import PruneRequest, PruneResult, PruneTask
from quorate.records import home, result_text
from quorate.settings.policies import Retention
from quorate.settings.stores import Store
from tests.fakes.store import MemoryStore, MemoryStores
from tests.quorate.test_catalogue import AT, made, stored
from tests.workflows.test_backup import Notebook

HOUR, DAY = 60, 1440
NOW = AT + timedelta(days=30)


class Clock:
    def time(self) -> float:
        return NOW.timestamp()

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, _: float) -> None:
        return


class Nobody:
    """Proves nothing; no manifest here is signed."""

    def prove(self, *_: object) -> None:
        raise AssertionError


class Shop:
    """A store with some backups, and what prunes it."""

    def __init__(self, folder: Path, *manifests: Manifest) -> None:
        self.store = stored(*manifests)
        self.folder = folder
        self.pages = Notebook()
        stores = RecordedStores(MemoryStores(self.store), lambda _: self.pages, Clock())
        self.pruning = Pruning(stores, Nobody(), folder, Clock())
        self.request = PruneRequest(
            "prune-1", "prod", Store(directory="/backups"), "ada", Retention(last=1, min_verified=1)
        )

    def run(self) -> PruneResult:
        environment = ActivityEnvironment()
        task = PruneTask(self.request, "judge", 1)
        task = replace(task, judgement=environment.run(self.pruning.judge, task), step="prune", turn=2)
        return environment.run(self.pruning.prune, task)

    @property
    def ids(self) -> list[str]:
        return [each.id for each in load(self.store, "prod")]


@pytest.fixture
def backups() -> list[Manifest]:
    return [made(minutes=HOUR * number, revision=100 + number) for number in range(4)]


@pytest.fixture
def shop(tmp_path: Path, backups: list[Manifest]) -> Iterator[Shop]:
    return Shop(tmp_path, *backups)


def test_what_may_go_goes_with_everything_beside_it(shop: Shop, backups: list[Manifest]) -> None:
    put(shop.store, Mark(backups[0].directory, Kind.VERIFIED, AT, "ada", "verify-1"))
    result = shop.run()
    assert result.outcome == "pruned"
    assert result.removed == tuple(each.id for each in backups[:3])
    assert (result.kept, result.freed_bytes > 0) == (1, True)
    assert sorted(shop.store.objects) == sorted([backups[3].key, backups[3].manifest_key])


def test_every_removal_is_on_record_before_it_happens(shop: Shop, backups: list[Manifest]) -> None:
    shop.run()
    removed = [act.split()[4] for act in shop.pages.acts if "store remove" in act]
    assert removed[:2] == [backups[0].manifest_key, backups[0].key]
    assert len(removed) == 9


def test_only_what_was_shown_goes(shop: Shop, backups: list[Manifest]) -> None:
    shop.request = replace(shop.request, shown=(backups[1].id,))
    assert shop.run().removed == (backups[1].id,)
    assert shop.ids == [backups[0].id, backups[2].id, backups[3].id]


def test_what_has_become_protected_since_it_was_shown_stays(shop: Shop, backups: list[Manifest]) -> None:
    environment = ActivityEnvironment()
    task = PruneTask(shop.request, "judge", 1)
    task = replace(task, judgement=environment.run(shop.pruning.judge, task), step="prune", turn=2)
    put(shop.store, Mark(backups[0].directory, Kind.PROTECTED, AT, "ada", "mark-1", "the last before the upgrade"))
    result = environment.run(shop.pruning.prune, task)
    assert (result.removed, result.kept) == ((backups[1].id, backups[2].id), 2)
    assert result.notes == (f"{backups[0].directory} stays after all: it may not go any more",)
    assert shop.ids == [backups[0].id, backups[3].id]


def test_a_second_attempt_tells_what_the_first_has_removed(shop: Shop, backups: list[Manifest]) -> None:
    environment = ActivityEnvironment()
    task = PruneTask(shop.request, "judge", 1)
    task = replace(task, judgement=environment.run(shop.pruning.judge, task), step="prune", turn=2)
    first = environment.run(shop.pruning.prune, task)
    assert environment.run(shop.pruning.prune, task) == first
    assert first.freed_bytes == 3 * len(shop.store.objects[backups[3].key])


def test_a_mark_that_a_bucket_locks_by_itself_is_laid_once_and_goes_when_it_may(
    shop: Shop, backups: list[Manifest]
) -> None:
    real = shop.store.put

    def locking(key: str, *rest: object) -> object:
        shop.store.under_lock[key] = datetime(2030, 1, 1, tzinfo=UTC)
        return real(key, *rest)  # type: ignore[arg-type]

    shop.store.put = locking  # type: ignore[method-assign,assignment]
    for _ in range(2):
        result = shop.run()
        assert all("stays until its lock ends" in note for note in result.notes)
    assert len([key for key in shop.store.objects if "/marks/" in key]) == 3
    shop.store.under_lock.clear()
    assert shop.run().outcome == "pruned"
    assert sorted(shop.store.objects) == sorted([backups[3].key, backups[3].manifest_key])


def test_what_is_under_a_lock_stays_whole(shop: Shop, backups: list[Manifest]) -> None:
    shop.store.under_lock = {backups[0].key: datetime(2030, 1, 1, tzinfo=UTC)}
    result = shop.run()
    assert backups[0].id not in result.removed
    assert shop.ids == [backups[0].id, backups[3].id]
    assert result.notes == (f"{backups[0].key} is under a lock until 2030-01-01 00:00Z",)
    assert not shelf(shop.store, "prod").marks


class TestUsed:
    def begin(self, shop: Shop, snapshot: str, outcome: Outcome | None = None) -> str:
        operation = "restore-1"
        where = home("prod", operation)
        text = {"chosen": {"cluster": "prod", "snapshot": {"id": snapshot}}}
        shop.store.objects[f"{where}/plan.json"] = json.dumps(text).encode()
        if outcome:
            done = RestoreResult(operation=operation, outcome=outcome, snapshot=snapshot, revision=1)
            shop.store.objects[f"{where}/outcome.json"] = result_text(done).encode()
        return operation

    @pytest.mark.parametrize("outcome", [None, Outcome.HELD])
    def test_by_a_restore_that_is_not_over_it_stays(
        self, shop: Shop, backups: list[Manifest], outcome: Outcome | None
    ) -> None:
        operation = self.begin(shop, backups[0].id, outcome)
        assert backups[0].id not in shop.run().removed
        rows, _, _ = shop.pruning.look(shop.store, shop.request)
        assert f"{operation} uses it" in rows[-1].stays

    @pytest.mark.parametrize("outcome", [Outcome.RESTORED, Outcome.REFUSED, Outcome.UNDONE])
    def test_by_one_that_is_over_it_may_go(self, shop: Shop, backups: list[Manifest], outcome: Outcome) -> None:
        self.begin(shop, backups[0].id, outcome)
        assert backups[0].id in shop.run().removed

    def test_by_one_that_only_this_machine_knows_of_it_stays(self, shop: Shop, backups: list[Manifest]) -> None:
        record = shop.folder / "restore-9" / "plan.json"
        record.parent.mkdir()
        record.write_text(json.dumps({"chosen": {"cluster": "prod", "snapshot": {"id": backups[0].id}}}))
        assert backups[0].id not in shop.run().removed
        (record.parent / "outcome.json").write_text("{}")
        assert backups[0].id in shop.run().removed


class TestStrays:
    def stray(self, shop: Shop, days_ago: int) -> Manifest:
        left = made(minutes=(30 - days_ago) * DAY, revision=7)
        shop.store.objects[left.key] = b"half a backup"
        return left

    def test_what_a_dead_attempt_has_left_is_removed(self, shop: Shop) -> None:
        left = self.stray(shop, 2)
        result = shop.run()
        assert result.strays == (left.directory,)
        assert left.key not in shop.store.objects

    def test_what_may_be_a_backup_under_way_is_not_touched(self, shop: Shop) -> None:
        left = self.stray(shop, 0)
        assert shop.run().strays == ()
        assert left.key in shop.store.objects

    def test_a_manifest_that_was_published_and_is_gone_is_told_and_nothing_of_it_removed(self, shop: Shop) -> None:
        left = self.stray(shop, 2)
        began = ulid((AT + timedelta(days=28)).timestamp() - 5)
        record = {"operation": f"backup-{began}", "snapshot": left.id}
        shop.store.objects[f"{home('prod', f'backup-{began}')}/outcome.json"] = json.dumps(record).encode()
        result = shop.run()
        assert (result.outcome, result.strays) == ("incomplete", ())
        assert "has published" in result.findings[0]
        assert left.key in shop.store.objects

    def test_marks_without_a_manifest_are_told(self, shop: Shop, backups: list[Manifest]) -> None:
        put(shop.store, Mark(backups[3].directory, Kind.VERIFIED, AT, "ada", "verify-1"))
        del shop.store.objects[backups[3].manifest_key]
        result = shop.run()
        assert result.outcome == "incomplete"
        assert "not by us" in result.findings[0]
        assert backups[3].key in shop.store.objects


def ulid(at: float) -> str:
    number = int(at * 1000) << 80
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[number >> shift & 31] for shift in range(125, -1, -5))


@pytest.mark.parametrize("die_at", range(1, 12))
def test_killed_before_any_removal_the_next_run_ends_it(shop: Shop, backups: list[Manifest], die_at: int) -> None:
    """What is half removed is no backup any more, and never an alarm."""
    calls = 0
    real_remove, real_put = shop.store.remove, shop.store.put

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == die_at:
            raise KeyboardInterrupt

    def remove(key: str) -> None:
        count()
        real_remove(key)

    def put_counted(*args: object) -> object:
        count()
        return real_put(*args)  # type: ignore[arg-type]

    shop.store.remove, shop.store.put = remove, put_counted  # type: ignore[method-assign,assignment]
    with pytest.raises(KeyboardInterrupt):
        shop.run()
    assert backups[3].id in shop.ids
    for each in load(shop.store, "prod"):
        assert {each.key, each.manifest_key} <= shop.store.objects.keys()
    result = shop.run()
    assert (result.outcome, result.findings) == ("pruned", ())
    assert sorted(shop.store.objects) == sorted([backups[3].key, backups[3].manifest_key])


def test_what_a_store_keeps_although_it_said_yes_is_a_failure(shop: Shop) -> None:
    shop.store.remove = lambda _key: None  # type: ignore[method-assign]
    with pytest.raises(Failed, match="is there still"):
        shop.run()


def test_what_somebody_deleted_by_name_is_a_finding_and_comes_to_no_harm(shop: Shop, backups: list[Manifest]) -> None:
    shop.store.hide(backups[3].manifest_key)
    result = shop.run()
    assert result.outcome == "incomplete"
    assert any("hidden by a delete marker" in each for each in result.findings)
    assert backups[3].key in shop.store.objects


def test_a_store_that_refuses_leaves_the_rest_as_it_was(shop: Shop, backups: list[Manifest]) -> None:
    def refuse(key: str) -> None:
        raise Denied(f"remove {key}: not allowed")

    shop.store.remove = refuse  # type: ignore[method-assign]
    with pytest.raises(QuorateError, match="not allowed"):
        shop.run()
    assert {each.key for each in backups} <= shop.store.objects.keys()


def test_one_run_removes_a_bounded_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.prune.AT_ONCE", 2)
    backups = [made(minutes=HOUR * number, revision=100 + number) for number in range(5)]
    shop = Shop(tmp_path, *backups)
    result = shop.run()
    assert result.removed == (backups[0].id, backups[1].id)
    assert result.notes == ("2 more may go, at the next run",)
    assert isinstance(shop.store, MemoryStore)
