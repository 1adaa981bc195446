"""Which snapshots exist, and which one is meant."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quorate.backup import BackupTask, Choice, Streamed, manifest
from quorate.backups.catalogue import (
    Contents,
    Manifest,
    PagesSeen,
    directory,
    find,
    lineage,
    load,
    newest,
    parse,
    shelf,
)
from quorate.backups.request import BackupRequest
from quorate.errors import BadInput, Corrupt
from quorate.members.etcd import EtcdTarget, HashKV
from quorate.members.listing import LiveKeys
from quorate.operation import Outcome, RestoreResult
from quorate.records import lineages, result_text
from quorate.settings.stores import Store
from tests.fakes.etcd import CLUSTER, FakeCluster
from tests.fakes.store import MemoryStore

AT = datetime(2026, 11, 21, 10, 45, 0, tzinfo=UTC)
OBJECT = b"compressed"


def made(minutes: int = 0, cluster_id: str = CLUSTER, revision: int = 100, **differently: object) -> Manifest:
    at = AT + timedelta(minutes=minutes)
    where = directory("prod", cluster_id, at, revision)
    streamed = Streamed(
        directory=where,
        key=f"{where}/snapshot.db.zst",
        revision=revision,
        size_bytes=20512,
        sha256="1" * 64,
        db_sha256="2" * 64,
        stored_bytes=len(OBJECT),
        stored_sha256="3" * 64,
        level=3,
        started=at.timestamp(),
        keys={"": 12, "/registry/": 10},
        hash_kv=HashKV(7, revision, -1),
    )
    request = BackupRequest("backup-1", "prod", (), Store(directory="/backups"), "ada")
    choice = Choice(EtcdTarget("b", "http://b"), "b", "3.6.14", cluster_id, revision, FakeCluster().members())
    return manifest(BackupTask(request, "publish", 4, choice, replace(streamed, **differently), 1.5))


def stored(*manifests: Manifest) -> MemoryStore:
    store = MemoryStore()
    for each in manifests:
        store.objects[each.key] = OBJECT
        store.objects[each.manifest_key] = each.encode()
    return store


def test_a_manifest_reads_back_as_it_was_written() -> None:
    assert parse(made().encode(), made().manifest_key) == made()


def test_a_manifest_can_be_read_without_us() -> None:
    record = json.loads(made().encode())
    assert record["id"] == "prod/20261121T104500Z-100"
    assert record["key"] == f"prod/{CLUSTER}/20261121T104500Z-100/snapshot.db.zst"
    assert record["created_at"] == "2026-11-21T10:45:00Z"
    assert record["source"] == {"name": "b", "id": "b", "version": "3.6.14"}
    assert record["outcome"] == "verified"


def test_what_a_manifest_cannot_say_is_left_out_as_in_those_from_before_it_could() -> None:
    assert not {"content", "pages", "live", "signature", "encryption"} & json.loads(made().encode()).keys()
    full = made(live={"/registry/pods": LiveKeys(10, 1)}).model_copy(
        update={
            "content": Contents(digest="4" * 64, records=30, prefixes={"/registry/pods": 30}),
            "pages": PagesSeen(used=4, free=1, torn=0),
        }
    )
    assert parse(full.encode(), full.manifest_key) == full
    record = json.loads(full.encode())
    assert record["content"]["prefixes"] == {"/registry/pods": 30}
    assert record["live"] == {"/registry/pods": {"keys": 10, "leased": 1}}


def test_findings_make_an_outcome_degraded() -> None:
    assert made(findings=("not all was measured",)).outcome == "degraded"


@pytest.mark.parametrize(
    "change",
    [
        {"format": "quorate/manifest/v2"},
        {"revision": "100"},
        {"revision": -1},
        {"sha256": "1"},
        {"surprise": 1},
        {"id": "prod/20261121T104500Z-101"},
        {"cluster_id": "abc"},
        {"created_at": "2026-11-21T10:45:00+01:00"},
        {"verification": {"trailer": True, "read_back": False}},
        {"outcome": "degraded"},
    ],
)
def test_a_manifest_that_we_would_not_have_written_is_corrupt(change: dict[str, object]) -> None:
    text = json.dumps({**json.loads(made().encode()), **change}).encode()
    with pytest.raises(Corrupt, match=r"manifest\.json is not"):
        parse(text, made().manifest_key)


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", made().encode()[:-9], made().encode() + b" "])
def test_a_damaged_manifest_is_corrupt(text: bytes) -> None:
    with pytest.raises(Corrupt):
        parse(text, made().manifest_key)


def test_a_manifest_that_was_moved_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="it was moved"):
        parse(made().encode(), "prod/c1/20261121T104500Z-100/manifest.json")


def test_a_snapshot_without_a_manifest_does_not_exist() -> None:
    store = stored(made(0), made(5))
    del store.objects[made(5).manifest_key]
    assert load(store, "prod") == (made(0),)


def test_a_manifest_whose_object_is_gone_or_short_is_not_believed() -> None:
    store = stored(made(0), made(5), made(9))
    del store.objects[made(0).key]
    store.objects[made(5).key] = OBJECT[:-1]
    found = shelf(store, "prod")
    assert found.manifests == (made(9),)
    assert set(found.damaged) == {made(0).manifest_key, made(5).manifest_key}


def test_one_damaged_manifest_does_not_hide_the_others() -> None:
    store = stored(made(0), made(5))
    store.objects[made(5).manifest_key] = b"{"
    assert load(store, "prod") == (made(0),)


def test_another_cluster_with_a_longer_name_is_another_cluster() -> None:
    store = stored(made(0))
    store.objects["prod-eu/c1/x/manifest.json"] = b"{}"
    assert shelf(store, "prod").damaged == {}


def test_the_newest_is_of_the_lineage() -> None:
    mine, other = made(0), made(5, cluster_id="c1")
    assert newest((mine, other), lineage(CLUSTER)) == mine
    assert newest((mine, other), lineage("c1", [(CLUSTER, "c1")])) == other
    assert newest((mine,), lineage("c2", [("c1", "c2"), (CLUSTER, "c1")])) == mine
    assert newest((mine,), lineage("c2")) is None


@pytest.mark.parametrize("dated", [60, -60])
def test_of_one_cluster_id_the_newest_is_what_was_taken_last_whatever_its_clock_said(dated: int) -> None:
    before, wrong, after = made(0, revision=100), made(dated, revision=110), made(5, revision=120)
    assert newest((before, wrong), ()) == wrong
    assert newest((before, wrong, after), ()) == after


def test_one_that_fell_back_and_was_accepted_is_newer_than_all_before() -> None:
    fell = made(10, revision=5).model_copy(
        update={"outcome": "degraded", "findings": ("ada accepts that: so be it",)}
    )
    assert newest((made(0), made(5, revision=110), fell), ()) == fell
    assert newest((made(0), made(5, revision=110), fell, made(15, revision=8)), ()) == made(15, revision=8)


def test_without_any_known_lineage_the_newest_is_the_newest() -> None:
    assert newest((made(0), made(5, cluster_id="c1")), ()) == made(5, cluster_id="c1")


def test_a_circle_in_the_lineage_ends() -> None:
    assert lineage("a", [("a", "b"), ("b", "a")]) == {"a", "b"}


def test_a_snapshot_is_found_by_its_id_or_as_the_latest() -> None:
    manifests = made(0), made(5)
    assert find(manifests, "prod/20261121T104500Z-100", "prod", lineage(CLUSTER)) == made(0)
    assert find(manifests, "latest", "prod", lineage(CLUSTER)) == made(5)


def test_what_is_not_found_names_what_there_is() -> None:
    with pytest.raises(BadInput, match="the newest that exist: prod/20261121T104500Z-100"):
        find((made(0),), "prod/20261121T104500Z-99", "prod", lineage(CLUSTER))
    with pytest.raises(BadInput, match=r"latest of the cluster ids c1 of prod.*exist: prod/20261121"):
        find((made(0),), "latest", "prod", lineage("c1"))


@pytest.mark.parametrize(
    ("outcome", "changes", "links"),
    [
        (Outcome.RESTORED, {"served_revision": 1041}, [("c1", "c2", 1041)]),
        (Outcome.RESTORED, {}, [("c1", "c2", 41)]),
        (Outcome.HELD, {}, [("c1", "c2", 0)]),  # etcd was verified, then it was aborted
        (Outcome.HELD, {"cluster_id": ""}, []),
        (Outcome.UNDONE, {}, []),
    ],
)
def test_a_cluster_id_is_linked_by_every_restore_that_got_as_far_as_to_serve_it(
    outcome: Outcome, changes: dict[str, Any], links: list[tuple[str, str, int]]
) -> None:
    result = RestoreResult("restore-1", outcome, "demo/x-41", 41, cluster_id="c2", previous_cluster_id="c1")
    store = MemoryStore()
    text = result_text(replace(result, **changes))
    store.put("demo/operations/restore-1/outcome.json", iter([text.encode()]), lambda *_: None)
    assert [(each.before, each.after, each.served_revision) for each in lineages(store, "demo")] == links
