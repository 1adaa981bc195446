"""A backup that is in two stores is the same in both, and one store that fails costs a finding and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from activities.adapters.directory import DirectoryStore
from activities.backups.copying import Copying
from activities.recording.recorded import RecordedStores
from quorate.backup import BackupResult
from quorate.backups.catalogue import load
from quorate.errors import BadInput, Denied, QuorateError, Unreachable
from quorate.inventories.reading import parse
from quorate.ports import Store as StorePort
from quorate.settings.stores import Store
from tests.factory import INVENTORY
from tests.fakes.store import MemoryStore
from tests.workflows.test_backup import SETTINGS, Bench, a_cluster

SECOND, THIRD = Store(directory="/second"), Store(directory="/third")


class Places:
    """Stores by their settings."""

    def __init__(self, **stores: StorePort) -> None:
        self.stores = stores

    def at(self, settings: Store) -> StorePort:
        names = {SETTINGS.url: "first", SECOND.url: "second", THIRD.url: "third"}
        return self.stores[names[settings.url]]


class Shop:
    def __init__(self, second: StorePort) -> None:
        self.first, self.second, self.third = MemoryStore(), second, MemoryStore()
        self.bench = Bench(a_cluster(), self.first)
        places = Places(first=self.first, second=self.second, third=self.third)
        stores = RecordedStores(places, self.bench.journal, self.bench.clock)
        self.copying = Copying(stores, self.bench.uploads, self.bench.clock, lambda _: None)
        task = self.bench.read_back()
        request = replace(task.request, copies={"second": SECOND, "third": THIRD})
        self.task = replace(task, request=request, turn=5, step="copy", result=self.bench.publish(task))

    def copy(self) -> BackupResult:
        return self.bench.environment.run(self.copying.copy, self.task)


def test_a_copy_has_the_same_manifest_and_the_same_bytes(tmp_path: Path) -> None:
    shop = Shop(DirectoryStore(str(tmp_path)))
    result = shop.copy()
    assert (result.outcome, result.findings) == ("verified", ())
    assert load(shop.second, "prod") == load(shop.third, "prod") == load(shop.first, "prod") != ()
    key = shop.bench.manifest().key
    assert b"".join(shop.second.get(key)) == shop.first.objects[key]


def test_one_that_was_interrupted_goes_on_and_twice_is_once(tmp_path: Path) -> None:
    shop = Shop(DirectoryStore(str(tmp_path)))
    key = shop.bench.manifest().key
    shop.second.put(key, (shop.first.objects[key],), lambda _: None)
    assert shop.copy() == shop.copy()
    assert len(load(shop.second, "prod")) == 1


@pytest.mark.parametrize("error", [Unreachable("it does not answer"), Denied("not allowed")])
def test_a_store_that_fails_is_a_finding_and_the_others_have_it(error: QuorateError) -> None:
    second = MemoryStore(refuses=lambda *_: error)
    shop = Shop(second)
    result = shop.copy()
    assert (result.outcome, result.findings) == ("degraded", (f"it is not copied to second: {error}",))
    assert load(shop.second, "prod") == ()
    assert len(load(shop.third, "prod")) == 1


def test_a_copy_that_came_out_differently_gets_no_manifest() -> None:
    second = MemoryStore(gives_back=lambda _, data: data[:-1] + b"?")
    shop = Shop(second)
    assert "gave back something else" in shop.copy().findings[0]
    assert load(second, "prod") == ()


def test_something_else_under_that_name_is_not_taken_for_it() -> None:
    second = MemoryStore()
    shop = Shop(second)
    second.objects[shop.bench.manifest().key] = b"another object"
    assert "gave back something else" in shop.copy().findings[0]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("{store: here, copies: [nowhere]}", "has 'nowhere'; stores that exist: here"),
        ("{store: here, copies: [here]}", "a store is named twice: here"),
    ],
)
def test_a_copy_that_makes_no_sense_is_refused_with_its_line(tmp_path: Path, policy: str, said: str) -> None:
    text = INVENTORY.format(state=tmp_path / "state", store=tmp_path / "store")
    with pytest.raises(BadInput, match=f"quorate.yaml:[0-9]+: clusters.demo.backup.*{said}"):
        parse(text.replace("{store: here}", policy), "quorate.yaml")
