"""Schedules: what the inventory wants, what the server is told, and what becomes of what is due."""

import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, RemoveSearchAttributesRequest
from temporalio.client import Client, ScheduleState, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from quorate.backup import STEPS
from quorate.backups.catalogue import load
from quorate.backups.marks import Kind, Mark, put
from quorate.backups.request import request
from quorate.command import Node
from quorate.due import Due, DueResult
from quorate.due import due as due_of
from quorate.errors import BadInput
from quorate.inventories.reading import parse
from quorate.prove import ProveRequest
from quorate.prune import PruneRequest
from quorate.settings.fields import written
from quorate.settings.policies import Backup as Policy
from quorate.settings.policies import Retention, Schedule
from tests.factory import INVENTORY, SSH
from tests.fakes.store import MemoryStore
from tests.schedules import ID, settings, until, workers
from tests.workflows.test_backup import SETTINGS, Bench, a_cluster, wrong_trailer
from worker.embedded import ATTRIBUTES
from worker.schedules import (
    LONGEST,
    ORPHANED,
    Run,
    Standing,
    Wanted,
    described,
    findings,
    history,
    reconcile,
    settled,
    standing,
    wanted,
)
from worker.settings import Settings
from worker.temporal import attributes
from workflows.patience import STEPS_QUEUE, stream

HELD = "held-tests"
STATE = ScheduleState()


class TestInventory:
    def told(self, schedule: str) -> Policy:
        text = INVENTORY.format(state="/state", store="/store")
        return (
            parse(text.replace("store: here}", f"store: here, schedule: {schedule}}}"), "q.yaml")
            .clusters["demo"]
            .backup
        )

    @pytest.mark.parametrize("schedule", ["off", "'off'", "null"])
    def test_nothing_is_scheduled_unless_it_says_so(self, schedule: str) -> None:
        assert self.told(schedule).schedule is Policy(store="here").schedule is None

    @pytest.mark.parametrize(
        ("schedule", "expected_s"),
        [
            ("on", 3600),
            ("'on'", 3600),
            ("{every: 30m, jitter: 5m}", 1800),
            ("{cron: '0 */6 * * *', time_zone: Europe/Zurich}", 6 * 3600),
        ],
    )
    def test_how_often_is_said_once(self, schedule: str, expected_s: float) -> None:
        assert self.told(schedule).expected_s == expected_s

    def test_a_preset_is_one_line_and_gives_way_to_what_is_said(self) -> None:
        text = INVENTORY.format(state="/state", store="/store")
        one_line = parse(text.replace("store: here}", "store: here, preset: daily-7}"), "q.yaml")
        policy = one_line.clusters["demo"].backup
        assert (policy.expected_s, policy.verify_within) == (86400, 86400)
        assert policy.retention is not None
        assert (policy.retention.keep_within, policy.retention.min_verified) == (7 * 86400, 3)
        said = text.replace("store: here}", "store: here, preset: daily-7, retention: {last: 30}}")
        assert parse(said, "q.yaml").clusters["demo"].backup.retention == Retention(last=30)
        with pytest.raises(BadInput, match="q.yaml:[0-9]+: clusters.demo.backup.preset: must be 'daily-7'"):
            parse(text.replace("store: here}", "store: here, preset: weekly}"), "q.yaml")

    @pytest.mark.parametrize(
        ("schedule", "field", "what"),
        [
            ("{cron: '0 25 * * *'}", "schedule.cron", "hour is '25': expected 0-23"),
            ("{cron: '0 2 * * *', time_zone: Mars/Base}", "schedule.time_zone", "such as Europe/Zurich"),
            ("{cron: '0 2 * * *', time_zone: ../etc}", "schedule.time_zone", "must match"),
            ("{time_zone: Europe/Zurich}", "schedule", "a time_zone only with cron"),
            ("{every: 1h, cron: '0 2 * * *'}", "schedule", "cron or every, not both"),
            ("{every: 5s}", "schedule.every", "greater than or equal to 10"),
            ("{every: 1h, jitter: 1h}", "backup", "jitter below the interval, which is 3600s"),
            ("{when: noon}", "schedule.when", "no such field"),
            ("daily", "schedule", "found 'daily'"),
        ],
    )
    def test_what_is_wrong_is_told_with_its_line_and_its_field(self, schedule: str, field: str, what: str) -> None:
        with pytest.raises(BadInput) as raised:
            self.told(schedule)
        (line,) = str(raised.value).splitlines()
        assert line.startswith("q.yaml:13: clusters.demo.backup")
        assert field in line
        assert what in line

    def test_a_policy_that_has_travelled_is_the_same(self) -> None:
        policy = self.told("{cron: '0 2 * * *', time_zone: Europe/Zurich, jitter: 90s}")
        assert Policy.model_validate_json(policy.model_dump_json()) == policy

    @pytest.mark.parametrize(
        ("seconds", "text"), [(90, "90s"), (3600, "1h"), (5400, "90m"), (604800, "1w"), (0.5, "0.5s")]
    )
    def test_a_duration_is_written_as_a_person_does(self, seconds: float, text: str) -> None:
        assert written(seconds) == text


def one(root: Path, schedule: str = "on") -> Wanted:
    (only,) = wanted(settings(root, schedule)).values()
    return only


class TestWanted:
    def test_every_cluster_with_a_schedule_is_wanted_and_no_other(self, tmp_path: Path) -> None:
        assert list(wanted(settings(tmp_path))) == [ID]
        assert wanted(settings(tmp_path, "off")) == {}

    def test_it_carries_the_request_that_the_command_line_would_make(self, tmp_path: Path) -> None:
        due = one(tmp_path).due
        assert due.request == request(settings(tmp_path).inventory, "demo", "", "schedule")

    def test_a_proof_by_a_restore_is_part_of_it_where_the_policy_says_how_often(self, tmp_path: Path) -> None:
        assert one(tmp_path).due.prove == ()
        text = INVENTORY.format(state="/state", store="/store")
        text = text.replace("store: here}", "store: here, restore_within: 1d}") + "    sandbox: {host: h}\n"
        (proof,) = due_of(parse(text, "q.yaml"), "demo", "1").prove
        assert (proof.within_s, proof.actor, proof.snapshot, proof.node.host) == (86400, "schedule", "", "h")

    def test_two_of_one_inventory_have_one_digest(self, tmp_path: Path) -> None:
        assert one(tmp_path).digest == one(tmp_path).digest

    @pytest.mark.parametrize("schedule", ["{every: 2h}", "{jitter: 1m}", "{cron: '0 * * * *'}"])
    def test_another_time_is_another_digest(self, tmp_path: Path, schedule: str) -> None:
        assert one(tmp_path, schedule).digest != one(tmp_path).digest

    def test_so_is_whatever_the_request_has_of_the_inventory(self, tmp_path: Path) -> None:
        made = one(tmp_path)
        other = replace(made.due, request=replace(made.due.request, recipients=("age1x",)))
        assert replace(made, due=other).digest != made.digest

    def test_no_backup_takes_longer_than_its_run_may(self) -> None:
        assert sum((stream(step.patience_s)["schedule_to_close_timeout"] for step in STEPS), timedelta()) < LONGEST

    def test_one_that_was_missed_is_made_up_for_and_no_other(self, tmp_path: Path) -> None:
        for schedule, hours in (("on", 1), ("{cron: '0 0,6 * * *'}", 18)):
            laid = one(tmp_path, schedule).laid(STATE)
            assert laid.policy.catchup_window == timedelta(hours=hours)
            assert laid.policy.overlap.name == "SKIP"


NOW = Standing(ID, "every 1h", "", paused=False, note="", next=1.0, missed=0, skipped=0, running=False)
LAST = Run("w", "r", 1.0, "completed", DueResult("demo", "verified"))


class TestFindings:
    def found(self, root: Path, now: Standing | None) -> list[tuple[str, str]]:
        want = one(root)
        there = now if now is None or now.digest else replace(now, digest=want.digest)
        return [(each.id, each.evidence) for each in findings(ID, want, there)]

    def test_one_that_runs_as_it_should_has_none(self, tmp_path: Path) -> None:
        assert self.found(tmp_path, NOW) == self.found(tmp_path, replace(NOW, last=LAST)) == []

    def test_what_was_missed_is_shown_and_no_finding_for_ever(self, tmp_path: Path) -> None:
        assert self.found(tmp_path, replace(NOW, missed=7, skipped=3)) == []

    def test_a_pause_is_one_in_the_words_of_whoever_paused(self, tmp_path: Path) -> None:
        paused = replace(NOW, paused=True, note="paused by kim: CHG-7")
        assert self.found(tmp_path, paused) == [("schedule-paused", "paused by kim: CHG-7")]

    @pytest.mark.parametrize(
        ("result", "evidence"),
        [
            (DueResult("demo", "failed", reason="the store is away"), "the store is away"),
            (DueResult("demo", "skipped", reason="restore-1 has the cluster"), "restore-1 has the cluster"),
            (DueResult("demo", "degraded"), "its findings say why"),
        ],
    )
    def test_so_is_a_last_run_without_a_verified_backup(
        self, tmp_path: Path, result: DueResult, evidence: str
    ) -> None:
        last = replace(LAST, result=result)
        assert self.found(tmp_path, replace(NOW, last=last)) == [("schedule-run", evidence)]

    def test_and_one_that_nobody_carried_out(self, tmp_path: Path) -> None:
        last = replace(LAST, state="timed_out", result=None)
        assert self.found(tmp_path, replace(NOW, last=last)) == [
            ("schedule-run", "nobody carried it out within 12 h")
        ]

    def test_and_one_that_is_not_there_or_is_another(self, tmp_path: Path) -> None:
        assert [each for each, _ in self.found(tmp_path, None)] == ["schedule-differs"]
        assert [each for each, _ in self.found(tmp_path, replace(NOW, digest="other"))] == ["schedule-differs"]
        assert [each.id for each in findings(ID, None, NOW)] == ["schedule-differs"]

    def test_one_that_the_inventory_has_no_more_has_none(self) -> None:
        assert findings(ID, None, replace(NOW, paused=True, note=ORPHANED)) == ()


@pytest.fixture
async def client(temporal: WorkflowEnvironment) -> AsyncIterator[Client]:
    yield temporal.client
    async for each in await temporal.client.list_schedules():
        await temporal.client.get_schedule_handle(each.id).delete()
    async for run in temporal.client.list_workflows("ExecutionStatus = 'Running'"):
        await temporal.client.get_workflow_handle(run.id).terminate()


async def seen(client: Client, id_: str = ID) -> Standing:
    found = await standing(client, id_)
    assert found
    return found


@pytest.mark.server
class TestReconcile:
    async def test_it_is_made_once_and_changed_when_the_inventory_is(self, client: Client, tmp_path: Path) -> None:
        assert await reconcile(settings(tmp_path), client) == {ID: "created"}
        assert await reconcile(settings(tmp_path), client) == {ID: "kept"}
        nightly = settings(tmp_path, "{cron: '0 2 * * *', time_zone: Europe/Zurich}")
        assert await reconcile(nightly, client) == {ID: "changed"}
        laid = await described(client, ID)
        assert laid
        assert laid.schedule.spec.time_zone_name == "Europe/Zurich"
        assert laid.schedule.policy.catchup_window == timedelta(days=1)
        now = await seen(client)
        assert (now.timing, now.paused, now.missed) == ("0 2 * * * Europe/Zurich", False, 0)
        assert now.next
        assert findings(ID, wanted(nightly)[ID], now) == ()

    async def test_a_pause_with_its_note_outlives_a_change(self, client: Client, tmp_path: Path) -> None:
        await reconcile(settings(tmp_path), client)
        await client.get_schedule_handle(ID).pause(note="paused by kim: CHG-7")
        assert await reconcile(settings(tmp_path), client) == {ID: "kept"}
        assert await reconcile(settings(tmp_path, "{every: 2h}"), client) == {ID: "changed"}
        now = await seen(client)
        assert (now.timing, now.paused, now.note, now.next) == ("every 2h", True, "paused by kim: CHG-7", None)

    async def test_one_that_nobody_wants_is_paused_and_runs_again_when_it_is_wanted(
        self, client: Client, tmp_path: Path
    ) -> None:
        await reconcile(settings(tmp_path), client)
        await until(lambda: listed(client))
        assert await reconcile(settings(tmp_path, "off"), client) == {ID: "paused: not in the inventory"}
        now = await seen(client)
        assert (now.paused, now.note) == (True, ORPHANED)
        other = settings(tmp_path, cluster="other")
        assert (await reconcile(other, client))[ID] == "left paused: not in the inventory"
        assert (await reconcile(settings(tmp_path), client))[ID] == "changed"
        now = await seen(client)
        assert (now.paused, now.note) == (False, "")

    async def test_what_a_person_had_paused_before_it_went_is_paused_when_it_returns(
        self, client: Client, tmp_path: Path
    ) -> None:
        await reconcile(settings(tmp_path), client)
        await client.get_schedule_handle(ID).pause(note="paused by kim: CHG-7")
        await until(lambda: listed(client))
        assert await reconcile(settings(tmp_path, "off"), client) == {ID: "left paused: not in the inventory"}
        assert await reconcile(settings(tmp_path), client) == {ID: "kept"}
        assert (await seen(client)).note == "paused by kim: CHG-7"

    async def test_schedules_of_others_are_left_alone(self, client: Client, tmp_path: Path) -> None:
        laid = one(tmp_path).laid(STATE)
        await client.create_schedule("their/own/backup", laid)
        await client.create_schedule("quorate/demo/drill", laid)
        await until(lambda: listed(client, 2))
        assert await reconcile(settings(tmp_path, "off"), client) == {}

    async def test_one_that_the_server_refuses_is_told_and_is_no_failure(
        self, client: Client, tmp_path: Path
    ) -> None:
        nonsense = Schedule.model_construct(cron="not cron at all", every=None, jitter=0.0, time_zone="UTC")
        made = one(tmp_path)
        odd = replace(made, schedule=nonsense)
        assert (await settled(client, odd)).startswith("refused: ")
        assert await standing(client, ID) is None


DRILLED = """    sandbox: {host: 10.9.9.9}
    drills:
      scenarios:
        restore-sandbox: {within: 1d, schedule: {cron: "0 3 * * *"}}
        leader-failover: {within: 90d, schedule: {every: 30d}}
        network-partition: 90d
"""


class TestDrills:
    def test_those_with_a_schedule_are_wanted_and_one_that_may_not_be_held_keeps_no_other_back(
        self, tmp_path: Path
    ) -> None:
        found = wanted(Settings(tmp_path / "q.yaml", parse(self.text(tmp_path), "q.yaml")))
        assert list(found) == ["quorate/demo/drill/restore-sandbox"]  # faults are not allowed there
        (each,) = found.values()
        assert (each.timing, each.workflow, each.expected_s) == ("0 3 * * * UTC", "drill.due", 86400)
        assert each.what == "the drill restore-sandbox of demo"

    def test_a_schedule_says_when(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match=r"clusters.demo.drills.*: expected cron or every in schedule"):
            parse(self.text(tmp_path).replace('{cron: "0 3 * * *"}', "{jitter: 5m}"), "q.yaml")

    async def test_it_is_laid_down_kept_and_paused_when_nobody_wants_it_any_more(
        self, client: Client, tmp_path: Path
    ) -> None:
        id_ = "quorate/demo/drill/restore-sandbox"
        with_it = Settings(tmp_path / "q.yaml", parse(self.text(tmp_path), "q.yaml"))
        assert await reconcile(with_it, client) == {id_: "created"}
        assert await reconcile(with_it, client) == {id_: "kept"}
        there = await standing(client, id_)
        assert there and there.next
        assert findings(id_, wanted(with_it)[id_], there) == ()
        (told,) = findings(id_, wanted(with_it)[id_], replace(there, paused=True))
        assert (told.message, told.next) == (
            "the schedule of demo's drill restore-sandbox does not run",
            "quorate schedule resume demo --drill restore-sandbox",
        )
        await until(lambda: listed(client, 1))
        assert await reconcile(settings(tmp_path, "off"), client) == {id_: "paused: not in the inventory"}

    def text(self, root: Path) -> str:
        return INVENTORY.format(state=root / "state", store=root / "store") + DRILLED


async def listed(client: Client, count: int = 1) -> bool:
    """The server's list is a moment late."""
    return len([each async for each in await client.list_schedules()]) >= count


@workflow.defn(name="holder", sandboxed=False)
class Holder:
    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(600)


@pytest.mark.server
class TestDue:
    async def test_what_is_triggered_is_a_backup_as_any_other(self, client: Client, tmp_path: Path) -> None:
        bench = Bench(name="demo")
        await reconcile(settings(tmp_path), client)
        async with workers(client, bench):
            await client.get_schedule_handle(ID).trigger()
            last = await until(lambda: over(client))
        assert last.result
        assert (last.outcome, last.operation) == ("verified", last.result.operation)
        (manifest,) = load(bench.store, "demo")
        assert (manifest.id, manifest.operation, manifest.actor) == (last.result.snapshot, last.operation, "schedule")
        backup = await client.get_workflow_handle("quorate/demo/backup").describe()
        assert await backup.memo() == {
            "operation": last.operation,
            "cluster": "demo",
            "kind": "backup",
            "actor": "schedule",
            "version": one(tmp_path).due.version,
        }
        (told,) = await until(lambda: history(client, ID, 10))
        assert told.result == last.result

    async def test_each_run_has_an_operation_of_its_own(self, client: Client, tmp_path: Path) -> None:
        async with workers(client, Bench(name="demo")):
            first, second = [await (await due(client, tmp_path)).result() for _ in "ab"]
        assert first.operation < second.operation
        assert {first.outcome, second.outcome} <= {"verified", "failed"}

    async def test_its_backup_carries_the_attributes_that_the_server_has(
        self, client: Client, tmp_path: Path
    ) -> None:
        known = dict.fromkeys(ATTRIBUTES[:2], IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
        operator, namespace = client.operator_service, client.namespace
        await operator.add_search_attributes(AddSearchAttributesRequest(namespace=namespace, search_attributes=known))
        try:
            await until(lambda: has(client, ATTRIBUTES[1]))
            async with workers(client, Bench(name="demo")):
                await (await due(client, tmp_path)).result()
            backup = await client.get_workflow_handle("quorate/demo/backup").describe()
        finally:
            await operator.remove_search_attributes(
                RemoveSearchAttributesRequest(namespace=namespace, search_attributes=ATTRIBUTES[:2])
            )
        carried = {pair.key.name: pair.value for pair in backup.typed_search_attributes}
        assert [carried.get(name) for name in ATTRIBUTES] == ["demo", "backup", None]

    @pytest.mark.parametrize(
        ("slot", "operation", "outcome", "reason"),
        [
            ("op", "restore-1", "skipped", "restore-1 has the cluster"),
            ("op", "freeze-1", "skipped", "freeze-1 has the cluster"),
            ("op", "tidy-1", "verified", ""),
            ("backup", "backup-1", "skipped", "backup-1 runs already"),
        ],
    )
    async def test_it_waits_for_nobody(
        self, client: Client, tmp_path: Path, slot: str, operation: str, outcome: str, reason: str
    ) -> None:
        bench = Bench(name="demo")
        async with workers(client, bench), Worker(client, task_queue=HELD, workflows=[Holder]):
            holder = await client.start_workflow(
                Holder.run, id=f"quorate/demo/{slot}", task_queue=HELD, memo={"operation": operation}
            )
            result = await (await due(client, tmp_path)).result()
            await holder.terminate()
            assert (result.outcome, result.reason) == (outcome, reason)
            assert bool(load(bench.store, "demo")) is (outcome == "verified")

    async def test_a_backup_that_fails_is_a_result_and_its_record_is_sealed(
        self, client: Client, tmp_path: Path
    ) -> None:
        cluster = a_cluster()
        cluster.sends = wrong_trailer
        bench = Bench(cluster, name="demo")
        async with workers(client, bench):
            result = await (await due(client, tmp_path)).result()
            backup = client.get_workflow_handle("quorate/demo/backup")
            events = [each async for each in backup.fetch_history_events()]
        assert (result.outcome, result.snapshot) == ("failed", "")
        assert "its trailer says" in result.reason
        scheduled = [each.activity_task_scheduled_event_attributes.activity_type.name for each in events]
        assert "ledger.seal" in scheduled

    async def test_then_what_is_old_is_verified_and_what_may_go_is_pruned(
        self, client: Client, tmp_path: Path
    ) -> None:
        bench = Bench(name="demo")
        old = bench.carry_out().snapshot
        bench.clock.now += 30 * 86400
        made = replace(
            one(tmp_path).due,
            prune=(PruneRequest("", "demo", SETTINGS, "schedule", Retention(last=1, min_verified=1)),),
        )
        async with workers(client, bench):
            result = await (await begun(client, made)).result()
        assert (result.outcome, result.findings) == ("verified", ())
        assert [each.id for each in load(bench.store, "demo")] == [result.snapshot]
        assert any(f"{old.partition('/')[2]}/marks" in act and "verified" in act for act in bench.notes.acts)

    async def test_a_retention_that_fails_is_a_finding_of_a_backup_that_does_not(
        self, client: Client, tmp_path: Path
    ) -> None:
        bench = Bench(name="demo")
        bench.carry_out()
        assert isinstance(bench.store, MemoryStore)
        lost = next(key for key in bench.store.objects if key.endswith("manifest.json"))
        bench.store.hide(lost)
        bench.clock.now += 86400
        made = replace(
            one(tmp_path).due,
            prune=(PruneRequest("", "demo", SETTINGS, "schedule", Retention(last=1, min_verified=1)),),
        )
        async with workers(client, bench):
            result = await (await begun(client, made)).result()
        assert result.outcome == "degraded"
        assert "hidden by a delete marker" in result.findings[-1]

    async def test_a_proof_that_is_due_follows_and_one_that_fails_is_a_finding_of_a_backup_that_does_not(
        self, client: Client, tmp_path: Path
    ) -> None:
        bench = Bench(name="demo")
        bench.carry_out()
        bench.clock.now += 86400
        (first,) = load(bench.store, "demo")
        at = datetime.fromtimestamp(bench.clock.now - 60, UTC)
        put(bench.store, Mark(first.directory, Kind.RESTORED, at, "ada", "prove-0"))
        node = Node("attic", "10.9.9.9", SSH, "/var/lib/quorate", "sandbox")
        proof = ProveRequest("", "demo", SETTINGS, node, "/data", "/etcd", "/etcdutl", within_s=3600)
        nobody = replace(proof, within_s=0, trust=("ssh-ed25519 AAAA",))
        for asked, outcome, told in ((proof, "verified", ""), (nobody, "degraded", "there is no snapshot latest")):
            bench.clock.now += 60
            async with workers(client, bench):
                result = await (await begun(client, replace(one(tmp_path).due, prove=(asked,)))).result()
            assert result.outcome == outcome
            assert [told in each and each.startswith("prove-") for each in result.findings] == [True] * bool(told)

    @pytest.mark.parametrize("end", ["terminate", "cancel"])
    async def test_whatever_ends_it_leaves_the_backup_alone(self, client: Client, tmp_path: Path, end: str) -> None:
        cluster, streams, go_on = a_cluster(), threading.Event(), threading.Event()

        def slow(blobs: Iterator[bytes]) -> Iterator[bytes]:
            streams.set()
            go_on.wait(30)
            yield from blobs

        cluster.sends = slow
        bench = Bench(cluster, name="demo")
        async with workers(client, bench):
            handle = await due(client, tmp_path)
            await until(lambda: waits(streams))
            await getattr(handle, end)()
            with pytest.raises(Exception, match="[Tt]erminated|[Cc]ancelled|failed"):
                await handle.result()
            go_on.set()
            await client.get_workflow_handle("quorate/demo/backup").result()
        assert [each.outcome for each in load(bench.store, "demo")] == ["verified"]


async def due(client: Client, root: Path) -> WorkflowHandle[object, DueResult]:
    return await begun(client, one(root).due)


async def begun(client: Client, made: Due) -> WorkflowHandle[object, DueResult]:
    return await client.start_workflow(
        "backup.due", made, id=f"due-{uuid4()}", task_queue=STEPS_QUEUE, result_type=DueResult
    )


async def has(client: Client, name: str) -> bool:
    return name in await attributes(client)


async def over(client: Client) -> Run | None:
    now = await standing(client, ID)
    return now.last if now and now.last and now.last.result else None


async def waits(event: threading.Event) -> bool:
    return event.is_set()
