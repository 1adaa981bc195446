"""A proof by a restore ends with an empty sandbox, and marks nothing that was not seen twice."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from activities.drills.sandbox import SandboxWork
from activities.recording.boundary import Boundary
from activities.recording.recorded import RecordedHosts
from quorate.backups.catalogue import Shelf, shelf
from quorate.backups.marks import Kind, Mark, put
from quorate.command import Node
from quorate.errors import Busy, CommandFailed, Corrupt, Refusal, Unreachable
from quorate.prove import (
    Chosen,
    Compared,
    ProveRequest,
    ProveResult,
    ProveTask,
    Restored,
    Served,
    chosen,
    due,
    result,
)
from quorate.records import Entry
from tests.factory import SSH
from tests.fakes.machine import FakeHosts, Machine
from tests.fakes.store import MemoryStore
from tests.quorate.test_catalogue import AT, made
from tests.workflows.test_backup import SETTINGS, Notebook
from workflows.patience import STEPS_QUEUE, STREAMS_QUEUE
from workflows.prove import Prove

NODE = Node("attic", "10.9.9.9", SSH, "/var/lib/quorate", "sandbox")
REQUEST = ProveRequest("prove-1", "prod", SETTINGS, NODE, "/data", "/etcd", "/etcdutl", "ada")
ON_TOP = replace(REQUEST, api_server="/kube-apiserver")
ID = "prod/20261121T104500Z-100"


def stock(*restored: int, backups: int = 2) -> Shelf:
    """Backups a minute apart; those of these numbers were proved two days later."""
    store = MemoryStore()
    for number in range(backups):
        each = made(minutes=number)
        store.objects[each.key], store.objects[each.manifest_key] = b"compressed", each.encode()
        if number in restored:
            put(store, Mark(each.directory, Kind.RESTORED, AT + timedelta(days=2), "ada", "prove-0"))
    return shelf(store, "prod")


class TestDue:
    @pytest.mark.parametrize(("days", "is_due"), [(2.5, False), (3.1, True)])
    def test_it_is_when_none_was_proved_for_so_long(self, days: float, is_due: bool) -> None:
        assert due(stock(0), 86400, AT + timedelta(days=days)) is is_due

    def test_it_is_when_none_ever_was_or_whoever_asks_does_not_care(self) -> None:
        assert due(stock(), 86400, datetime(2026, 11, 22, tzinfo=UTC))
        assert due(stock(0), 0, AT + timedelta(days=2))

    def test_what_cannot_be_compared_is_refused_before_anything_is_done(self) -> None:
        shelf_ = stock()
        bare = tuple(each.model_copy(update={"content": None, "hash_kv": None}) for each in shelf_.manifests)
        with pytest.raises(Refusal, match="neither what it holds nor its HashKV"):
            chosen(replace(shelf_, manifests=bare), REQUEST, ())


def test_what_is_left_is_a_finding_and_does_not_take_the_proof_back() -> None:
    task = ProveTask(REQUEST, "mark", 7, Chosen(ID), Restored("/etcdutl", 10))
    assert result(task, ID).outcome == "proved"
    left = result(replace(task, left="remove it: ssh …"), ID)
    assert (left.outcome, left.findings) == ("degraded", ("remove it: ssh …",))
    wrong = result(replace(task, differs="another digest", left="remove it: ssh …"), "")
    assert (wrong.outcome, len(wrong.findings)) == ("unsound", 2)
    assert wrong.findings[0] == f"{ID} is quarantined: another digest; none counts"


def test_who_cannot_have_the_sandbox_is_told_who_has_it_and_how_it_is_given_back() -> None:
    """One that was terminated gives nothing back."""
    hosts = FakeHosts({"attic": Machine("attic", claim=("prove-0", 1, 1))})
    notebook = Notebook()
    work = SandboxWork(RecordedHosts(hosts, lambda _: notebook, time), None, None, None, tick=lambda _: None)  # type: ignore[arg-type]
    with pytest.raises(Busy, match="attic belongs to operation prove-0; if prove-0 was terminated") as caught:
        ActivityEnvironment().run(work.claim, ProveTask(REQUEST, "claim", 2))
    command = str(caught.value).rpartition("give the sandbox back: ")[2]
    assert command == replace(REQUEST.trial, operation="prove-0").by_hand(NODE)
    assert "rm -f /var/lib/quorate/sandbox/claim" in command


@dataclass
class Attic:
    """Activities that answer as they are told, and what they were asked."""

    answers: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sealed: list[str] = field(default_factory=list)

    def activities(self) -> list[Callable[..., Any]]:
        steps = {
            "choose": Chosen(ID, "key", "sha"),
            "claim": None,
            "restore": Restored("/etcdutl", 10),
            "read": Compared(facts={"content": "c"}),
            "start": Compared(facts={"hash": "1"}),
            "serve": Served(facts={"readyz_s": "3.10"}, notes=("the bundle lacks sa.pub",)),
            "ask": Served(facts={"namespaces": "4"}),
            "clear": None,
            "remove": None,
        }
        return [*(self.step(name, usual) for name, usual in steps.items()), self.mark(), self.seal()]

    def step(self, name: str, usual: Any) -> Callable[..., Any]:
        @activity.defn(name=f"sandbox.{name}")
        async def act(_: ProveTask) -> Any:
            self.asked.append(name)
            planned = self.answers.get(name, [])
            answer = planned.pop(0) if planned else usual
            if answer == "for ever":
                while True:
                    activity.heartbeat()
                    await asyncio.sleep(0.05)
            if isinstance(answer, asyncio.Event):
                with suppress(asyncio.CancelledError):
                    await answer.wait()
                return usual
            if isinstance(answer, Exception):
                raise answer
            return answer

        return act

    def mark(self) -> Callable[..., Any]:
        @activity.defn(name="sandbox.mark")
        async def act(task: ProveTask) -> ProveResult:
            self.asked.append("mark")
            return result(task, ID)

        return act

    def seal(self) -> Callable[..., Any]:
        @activity.defn(name="ledger.seal")
        async def act(entry: Entry) -> None:
            self.sealed.append(entry.text)

        return act

    @asynccontextmanager
    async def begun(
        self, client: Client, request: ProveRequest = REQUEST
    ) -> AsyncIterator[WorkflowHandle[Prove, ProveResult]]:
        flows = Worker(client, task_queue=STEPS_QUEUE, workflows=[Prove], max_cached_workflows=0)
        streams = Worker(client, task_queue=STREAMS_QUEUE, activities=self.activities(), interceptors=[Boundary()])
        async with flows, streams:
            yield await client.start_workflow(Prove.run, request, id=f"prove-{id(self)}", task_queue=STEPS_QUEUE)


async def failed(handle: WorkflowHandle[Prove, ProveResult]) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as raised:
        await handle.result()
    assert isinstance(raised.value.cause, ApplicationError)
    return raised.value.cause


@pytest.mark.server
class TestWorkflow:
    async def test_what_is_equal_is_proved_once_and_removed(self, temporal: WorkflowEnvironment) -> None:
        attic = Attic()
        async with attic.begun(temporal.client) as handle:
            ended = await handle.result()
        assert (ended.outcome, ended.restored_bytes, ended.facts) == ("proved", 10, {"content": "c", "hash": "1"})
        assert attic.asked == ["choose", "claim", "restore", "read", "start", "remove", "mark"]
        assert '"outcome":"proved"' in attic.sealed[0]

    @pytest.mark.parametrize("once", [Compared("another digest"), Corrupt("no snapshot")])
    async def test_what_differs_once_is_tried_again_from_the_start(
        self, temporal: WorkflowEnvironment, once: Any
    ) -> None:
        attic = Attic({"restore" if isinstance(once, Corrupt) else "read": [once]})
        async with attic.begun(temporal.client) as handle:
            assert (await handle.result()).outcome == "proved"
        assert attic.asked.count("restore") == 2
        assert attic.asked.index("clear") < len(attic.asked) - 1 - attic.asked[::-1].index("restore")

    async def test_what_differs_twice_is_quarantined_and_removed(self, temporal: WorkflowEnvironment) -> None:
        attic = Attic({"start": [Compared("another hash"), Compared("another hash")]})
        async with attic.begun(temporal.client) as handle:
            ended = await handle.result()
        assert ended.outcome == "unsound"
        assert ended.findings == (f"{ID} is quarantined: another hash; the newest that counts is {ID}",)
        assert attic.asked[-2:] == ["remove", "mark"]

    async def test_where_one_is_named_an_api_server_serves_it_before_all_is_removed(
        self, temporal: WorkflowEnvironment
    ) -> None:
        attic = Attic()
        async with attic.begun(temporal.client, ON_TOP) as handle:
            ended = await handle.result()
        assert attic.asked == ["choose", "claim", "restore", "read", "start", "serve", "ask", "remove", "mark"]
        assert (ended.outcome, ended.unserved, ended.notes) == ("proved", "", ("the bundle lacks sa.pub",))
        assert {"hash": "1", "readyz_s": "3.10", "namespaces": "4"}.items() <= ended.facts.items()

    @pytest.mark.parametrize("broken", [Served("it is not ready"), Refusal("no such program")])
    async def test_an_api_server_that_does_not_serve_is_a_finding_and_no_quarantine(
        self, temporal: WorkflowEnvironment, broken: Any
    ) -> None:
        attic = Attic({"serve": [broken]})
        async with attic.begun(temporal.client, ON_TOP) as handle:
            ended = await handle.result()
        why = broken.wrong if isinstance(broken, Served) else str(broken)
        assert (ended.outcome, ended.unserved) == ("degraded", why)
        assert ended.findings == (f"no API server serves what was restored: {why}",)
        assert attic.asked[-3:] == ["serve", "remove", "mark"]

    async def test_none_is_started_on_what_is_not_what_its_manifest_says(self, temporal: WorkflowEnvironment) -> None:
        attic = Attic({"start": [Compared("another hash"), Compared("another hash")]})
        async with attic.begun(temporal.client, ON_TOP) as handle:
            ended = await handle.result()
        assert (ended.outcome, ended.unserved, "serve" in attic.asked) == ("unsound", None, False)

    async def test_a_cancel_while_one_starts_is_removed(self, temporal: WorkflowEnvironment) -> None:
        attic = Attic({"serve": ["for ever"]})
        async with attic.begun(temporal.client, ON_TOP) as handle:
            while "serve" not in attic.asked:  # noqa: ASYNC110 - it is an activity of our own
                await asyncio.sleep(0.05)
            await handle.execute_update(Prove.cancel, "ada")
            assert "cancelled by ada" in (await failed(handle)).message
        assert (attic.asked[-1], "mark" in attic.asked) == ("remove", False)

    async def test_a_failure_is_removed_too_and_marks_nothing(self, temporal: WorkflowEnvironment) -> None:
        attic = Attic({"start": [Refusal("no etcd 3.6")]})
        async with attic.begun(temporal.client) as handle:
            error = await failed(handle)
        assert (error.type, error.message, attic.asked[-1]) == ("refused", "no etcd 3.6", "remove")
        assert '"outcome":"failed"' in attic.sealed[0]

    async def test_what_cannot_be_removed_is_told_with_the_command(self, temporal: WorkflowEnvironment) -> None:
        stuck = Refusal("a disk that is read-only")
        attic = Attic({"remove": [stuck]})
        async with attic.begun(temporal.client) as handle:
            ended = await handle.result()
        assert ended.outcome == "degraded"
        assert (
            "remove it: ssh quorate@10.9.9.9 sudo sh -c 'systemctl stop quorate-sandbox-prove-1" in ended.findings[0]
        )
        attic = Attic({"start": [CommandFailed("it does not run")] * 3, "remove": [stuck]})
        async with attic.begun(temporal.client) as handle:
            assert "; what prove-1 has laid on attic could not be removed" in (await failed(handle)).message

    @pytest.mark.parametrize("by_temporal", [True, False])
    async def test_a_cancel_is_removed_and_on_record(self, temporal: WorkflowEnvironment, by_temporal: bool) -> None:
        attic = Attic({"restore": ["for ever"]})
        async with attic.begun(temporal.client) as handle:
            while "restore" not in attic.asked:  # noqa: ASYNC110 - it is an activity of our own
                await asyncio.sleep(0.05)
            if by_temporal:
                await handle.cancel()
            else:
                await handle.execute_update(Prove.cancel, "ada")
            error = await failed(handle)
        assert f"cancelled by {'Temporal' if by_temporal else 'ada'}" in error.message
        assert (attic.asked[-1], "mark" in attic.asked) == ("remove", False)
        assert '"outcome":"failed"' in attic.sealed[0]

    async def test_a_cancel_counts_although_the_step_came_to_its_end(self, temporal: WorkflowEnvironment) -> None:
        attic, go_on = Attic(), asyncio.Event()
        attic.answers["restore"] = [go_on]
        async with attic.begun(temporal.client) as handle:
            while "restore" not in attic.asked:  # noqa: ASYNC110 - it is an activity of our own
                await asyncio.sleep(0.05)
            await handle.execute_update(Prove.cancel, "ada")
            go_on.set()
            assert "cancelled by ada" in (await failed(handle)).message
        assert attic.asked[-2:] == ["restore", "remove"]

    async def test_where_nothing_is_due_no_sandbox_is_claimed(self, temporal: WorkflowEnvironment) -> None:
        attic = Attic({"choose": [Chosen(note="nothing was due")]})
        async with attic.begun(temporal.client) as handle:
            ended = await handle.result()
        assert (ended.outcome, ended.snapshot, ended.notes) == ("proved", "", ("nothing was due",))
        assert attic.asked == ["choose"]

    async def test_another_one_that_has_the_sandbox_is_waited_for(
        self, temporal: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("quorate.prove.BUSY_POLL_S", 0.1)
        attic = Attic({"claim": [Busy("attic belongs to operation prove-0"), Unreachable("attic is away")]})
        async with attic.begun(temporal.client) as handle:
            assert (await handle.result()).outcome == "proved"
        assert attic.asked[:4] == ["choose", "claim", "claim", "claim"]
