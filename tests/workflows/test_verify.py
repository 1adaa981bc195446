"""Backups are proved again where they lie; what is not sound is set aside, what is sound has peace."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from activities.adapters.signatures import SshSignatures
from activities.backups.pruning import Pruning
from activities.backups.verifying import Verifying
from activities.recording.boundary import Boundary
from activities.recording.recorded import RecordedStores
from quorate.backups.catalogue import LATEST, Shelf, find, shelf
from quorate.backups.marks import Kind, Mark, put
from quorate.errors import BadInput, Denied
from quorate.prune import PruneRequest, PruneResult
from quorate.records import Entry
from quorate.settings.policies import Retention
from quorate.suspicion import baseline
from quorate.verify import VerifyRequest, VerifyResult, VerifyTask, due
from tests.fakes.store import MemoryStore, MemoryStores
from tests.quorate.test_catalogue import AT, made
from tests.workflows.test_backup import AGE, SETTINGS, Bench, Notebook, a_cluster
from workflows.patience import STEPS_QUEUE, STREAMS_QUEUE
from workflows.prune import Prune
from workflows.verify import Verify

DAY_S = 86400.0


class Vault:
    """Two backups of one cluster, an hour apart, and what verifies them."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        bench = Bench(a_cluster(), self.store)
        self.first = bench.carry_out().snapshot
        self.cluster_id = bench.manifest().cluster_id
        later = replace(bench, clock=replace(bench.clock, now=bench.clock.now + 3600))
        self.second = later.carry_out().snapshot
        self.clock = replace(later.clock, now=later.clock.now + 30 * DAY_S)
        stores = RecordedStores(MemoryStores(self.store), lambda _: Notebook(), self.clock)
        self.verifying = Verifying(stores, AGE, SshSignatures(), self.clock)
        self.request = VerifyRequest("verify-1", "prod", SETTINGS, "ada", verify_within_s=7 * DAY_S)

    def run(self) -> VerifyResult:
        environment = ActivityEnvironment()
        task = VerifyTask(self.request, "choose", 1)
        task = replace(task, due=environment.run(self.verifying.due, task), step="verify", turn=2)
        return environment.run(self.verifying.verify, task)

    @property
    def shelf(self) -> Shelf:
        return shelf(self.store, "prod")

    def break_(self, snapshot: str) -> None:
        key = next(each.key for each in self.shelf.manifests if each.id == snapshot)
        data = self.store.objects[key]
        self.store.objects[key] = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


@pytest.fixture
def vault() -> Iterator[Vault]:
    return Vault()


def test_what_was_not_proved_for_a_while_is_and_then_has_peace(vault: Vault) -> None:
    result = vault.run()
    assert (result.outcome, result.verified, result.newest) == ("sound", (vault.first, vault.second), vault.second)
    assert all(vault.shelf.standing(each).verified for each in vault.shelf.manifests)
    assert vault.run().verified == ()


def test_one_that_is_not_sound_is_set_aside_and_the_next_good_one_named(vault: Vault) -> None:
    vault.break_(vault.second)
    result = vault.run()
    assert (result.outcome, result.verified, result.quarantined) == ("unsound", (vault.first,), (vault.second,))
    assert vault.second in result.findings[0]
    assert f"the newest that counts is {vault.first}" in result.findings[0]
    stock = vault.shelf
    assert find(stock.manifests, LATEST, "prod", (), stock.quarantined).id == vault.first
    before = baseline(vault.store, "prod", vault.cluster_id)
    assert before is not None
    assert before.snapshot == vault.first


def test_where_none_is_left_latest_means_none(vault: Vault) -> None:
    for each in (vault.first, vault.second):
        vault.break_(each)
    assert vault.run().newest == ""
    with pytest.raises(BadInput, match="no snapshot latest"):
        find(vault.shelf.manifests, LATEST, "prod", (), vault.shelf.quarantined)


def test_a_single_bad_answer_sets_nothing_aside(vault: Vault) -> None:
    answers = iter([lambda data: data[:-1]])
    vault.store.gives_back = lambda key, data: (
        data if key.endswith(".json") else next(answers, lambda whole: whole)(data)
    )
    assert vault.run().outcome == "sound"


def test_what_is_quarantined_is_tried_again_and_comes_back_when_it_is_sound(vault: Vault) -> None:
    broken = next(each for each in vault.shelf.manifests if each.id == vault.second)
    whole = vault.store.objects[broken.key]
    vault.break_(vault.second)
    vault.run()
    vault.store.objects[broken.key] = whole
    vault.clock.now += 60
    assert vault.run().verified == (vault.second,)
    assert vault.shelf.quarantined == {}


def test_what_cannot_be_opened_is_told_and_not_set_aside(vault: Vault) -> None:
    def refuse(key: str, data: bytes) -> bytes:
        if key.endswith(".zst"):
            raise Denied(f"get {key}: not allowed")
        return data

    vault.store.gives_back = refuse
    result = vault.run()
    assert (result.outcome, result.quarantined, result.verified) == ("unsound", (), ())
    assert "was not verified" in result.findings[0]
    assert vault.shelf.quarantined == {}


def test_a_manifest_that_is_not_believed_is_a_finding(vault: Vault) -> None:
    broken = vault.shelf.manifests[0]
    vault.store.objects[broken.key] += b"x"
    result = vault.run()
    assert result.outcome == "unsound"
    assert broken.key in result.findings[0]


def test_the_longest_unproved_comes_first_and_a_run_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.verify.AT_ONCE", 2)
    store = MemoryStore()
    backups = tuple(made(minutes=number) for number in range(4))
    for each in backups:
        store.objects[each.key], store.objects[each.manifest_key] = b"compressed", each.encode()
    put(store, Mark(backups[0].directory, Kind.VERIFIED, AT + timedelta(hours=1), "ada", "verify-1"))
    found = due(
        shelf(store, "prod"), 60, {backups[1].id: "its manifest is not signed"}, datetime(2027, 1, 1, tzinfo=UTC)
    )
    assert (found.snapshots, found.later) == ((backups[2].id, backups[3].id), 1)


def test_marks_say_who_and_why_without_us(tmp_path: Path) -> None:
    mark = Mark("prod/c1/20261121T104500Z-100", Kind.QUARANTINED, AT, "ada", "verify-1", "its sha256 is another")
    assert mark.key == "prod/c1/20261121T104500Z-100/marks/20261121T104500Z-quarantined"
    assert mark.encode() == (
        b'{"actor":"ada","at":"2026-11-21T10:45:00Z","format":"quorate/mark/v1","kind":"quarantined",'
        b'"operation":"verify-1","reason":"its sha256 is another","snapshot":"prod/c1/20261121T104500Z-100"}\n'
    )
    store = MemoryStore()
    for _ in range(2):
        put(store, mark)
    assert len(store.objects) == 1


@pytest.mark.server
async def test_verify_and_prune_run_as_workflows_and_leave_a_record(
    temporal: WorkflowEnvironment, vault: Vault, tmp_path: Path
) -> None:
    vault.break_(vault.first)
    pruning = Pruning(vault.verifying.stores, SshSignatures(), tmp_path, vault.clock)
    records: list[str] = []

    @activity.defn(name="ledger.seal")
    def sealed(entry: Entry) -> None:
        records.append(entry.text)

    async def run(kind: str, request: VerifyRequest | PruneRequest, result: Any) -> Any:
        return await temporal.client.execute_workflow(
            kind, request, id=request.operation, task_queue=STEPS_QUEUE, result_type=result
        )

    activities = [vault.verifying.due, vault.verifying.verify, pruning.judge, pruning.prune, sealed]
    with ThreadPoolExecutor(4) as pool:
        async with (
            Worker(temporal.client, task_queue=STEPS_QUEUE, workflows=[Verify, Prune], max_cached_workflows=0),
            Worker(
                temporal.client,
                task_queue=STREAMS_QUEUE,
                activities=activities,
                activity_executor=pool,
                interceptors=[Boundary()],
            ),
        ):
            verified = await run("verify", vault.request, VerifyResult)
            retention = Retention(last=1, min_verified=1)
            pruned = await run("prune", PruneRequest("prune-1", "prod", SETTINGS, "ada", retention), PruneResult)
    assert (verified.outcome, verified.quarantined, verified.newest) == ("unsound", (vault.first,), vault.second)
    assert (pruned.outcome, pruned.removed, pruned.kept) == ("pruned", (), 2)
    assert [json.loads(text)["outcome"] for text in records] == ["unsound", "pruned"]
