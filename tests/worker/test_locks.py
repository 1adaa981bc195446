"""What the store holds against us: locked when it is proved, and tried by `doctor`."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from quorate.errors import BadInput, Denied, Failed
from quorate.inventories.reading import parse
from quorate.settings.policies import Lock
from tests.factory import INVENTORY
from tests.fakes.store import MemoryStore
from tests.workflows.test_backup import Bench, a_cluster
from worker.cli.locks import CANARY, held

LOCK = Lock(keep="35d")  # type: ignore[arg-type]


def test_snapshot_and_manifest_are_locked_once_they_are_proved() -> None:
    store = MemoryStore()
    bench = replace(Bench(a_cluster(), store), lock=LOCK)
    streamed = bench.streamed()
    assert streamed.streamed is not None
    assert store.under_lock == {}
    result = bench.publish(replace(streamed, read_back=bench.environment.run(bench.snapshots.read_back, streamed)))
    made = bench.manifest()
    assert (result.outcome, set(store.under_lock)) == ("verified", {made.key, made.manifest_key})
    assert set(store.under_lock.values()) == {made.created_at + timedelta(days=35)}


def test_a_backup_that_the_store_does_not_lock_is_there_and_degraded() -> None:
    store = MemoryStore()

    def refuse(key: str, *_: object) -> None:
        raise Denied(f"lock {key}: the bucket has no Object Lock")

    store.lock = refuse  # type: ignore[method-assign]
    bench = replace(Bench(a_cluster(), store), lock=LOCK)
    result = bench.carry_out()
    assert result.outcome == "degraded"
    assert "it is not locked: lock" in result.findings[-1]
    assert bench.manifest().id == result.snapshot


class TestDoctor:
    def test_a_store_that_holds_is_tried_and_the_canary_used_again(self) -> None:
        store = MemoryStore()
        assert "could not be removed" in held(store, "prod", LOCK)
        first = dict(store.under_lock)
        assert "could not be removed" in held(store, "prod", LOCK)
        assert store.under_lock == first

    def test_a_store_that_only_says_so_is_found_out(self) -> None:
        store = MemoryStore()
        store.lock = lambda *_: None  # type: ignore[method-assign]
        with pytest.raises(Failed, match="nothing holds the backups"):
            held(store, "prod", LOCK)

    def test_a_canary_whose_lock_is_over_is_locked_anew(self) -> None:
        store = MemoryStore()
        held(store, "prod", LOCK)
        store.under_lock.clear()
        assert "could not be removed" in held(store, "prod", LOCK)
        assert set(store.under_lock) == {f"prod/{CANARY}"}

    def test_without_a_lock_it_says_what_that_means(self) -> None:
        assert "no lock" in held(MemoryStore(), "prod", None)


def test_a_directory_with_a_lock_is_refused_when_the_inventory_is_read(tmp_path: Path) -> None:
    text = INVENTORY.format(state=tmp_path / "state", store=tmp_path / "store")
    with pytest.raises(BadInput, match="here is a directory"):
        parse(text.replace("backup: {store: here}", "backup: {store: here, lock: {keep: 35d}}"), "quorate.yaml")
