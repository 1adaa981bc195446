"""A drill mends what it has broken in every ending, and says in its verdict only what was seen."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.recording.boundary import Boundary
from quorate.converge import Receipt
from quorate.drill import (
    DrillRequest,
    DrillResult,
    Exposed,
    Fingerprint,
    Lost,
    MemberState,
    Situation,
    Verdict,
    Watched,
)
from quorate.drills.permitted import request
from quorate.drills.probing import Log
from quorate.drills.scenario import Fault, Scenario
from quorate.due import Situation as Server
from quorate.errors import CommandFailed, Refusal
from quorate.inventories.reading import parse
from quorate.measure import Check, Gap, Probed, Tries, Verb
from quorate.nodes.supervisor import Systemd
from quorate.operation import Outcome, RestoreRequest, RestoreResult
from quorate.records import Entry
from tests.worker.test_drill import ALLOWED
from tests.workflows.test_prove import Attic
from worker.scenarios import scenario
from workflows.drill import Drill
from workflows.patience import STEPS_QUEUE, STREAMS_QUEUE
from workflows.prove import Prove

SANDBOX = (
    ALLOWED
    + "    sandbox: {host: 10.9.9.9}\n"
    + "    control_plane: [{role: kube-apiserver, unit: kube-apiserver.service}]\n"
    + '    kubernetes: {kubeconfig: "file:/admin", api_urls: ["https://127.0.0.1:6443"]}\n'
)
FAILOVER, NIGHTLY, LOSS = (scenario(each) for each in ("leader-failover", "restore-sandbox", "control-plane-loss"))
API = Systemd("kube-apiserver", "kube-apiserver.service", (6443,))
KEY = "/etc/kubernetes/pki/apiserver.key"
EXPOSED = Exposed("demo/1", dict.fromkeys("abc", API), dict.fromkeys("abc", (KEY,)))
THERE = Situation(
    members=tuple(MemberState(name, name == "b", f"id-{name}") for name in "abc"),
    processes={name: Systemd("etcd", "etcd.service", (2379,)) for name in "abc"},
    firewalls=("a", "b", "c"),
)
STEADY = (Check("quorum", "one leader", "1 leader", passed=True),)
SHAKY = (Check("quorum", "one leader", "0 leaders", passed=False),)
VERBS: tuple[Verb, ...] = ("read", "write")
SEEN = Probed(
    1.0, 2.0, (Tries("etcd", "read", 9, 0), Tries("etcd", "write", 9, 0)), (Gap("etcd", "write", 1.1, 1.2),)
)


def asked(held: Scenario = FAILOVER) -> DrillRequest:
    return request(parse(SANDBOX, "q.yaml"), "demo", held, "drill-1", "ada")


@workflow.defn(name="backup", sandboxed=False)
class NoBackup:
    """One that fails."""

    @workflow.run
    async def run(self, _: dict[str, Any]) -> None:
        raise ApplicationError("the store is away", type="unreachable", non_retryable=True)


@workflow.defn(name="lay", sandboxed=False)
class FakeLay:
    """One that ends as the member's name says."""

    @workflow.run
    async def run(self, asked: RestoreRequest) -> RestoreResult:
        assert (asked.snapshot, asked.cluster) == ("demo/1", "demo")
        outcome = Outcome.LAID if asked.member == "a" else Outcome.UNDONE
        return RestoreResult(asked.operation, outcome, asked.snapshot, 1, member=asked.member)


@dataclass
class Hall:
    """Activities that answer as they are told, and what they were asked."""

    answers: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    sealed: list[str] = field(default_factory=list)
    probe_dies: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def activities(self) -> list[Callable[..., Any]]:
        usual = {
            "look": THERE,
            "steady": STEADY,
            "lay": Receipt(started=1.0),
            "watch": Watched((Check("another-leader", "one", "c", passed=True),)),
            "lift": Receipt(started=2.0),
            "clean": None,
            "write": None,
            "delete": Fingerprint(),
            "fingerprint": Fingerprint(100, "digest"),
            "lost": Lost(0.0, 10.0),
            "exposed": EXPOSED,
        }
        steps = [self.step(name, answer) for name, answer in usual.items()]
        return [*steps, self.situation(), self.seal()]

    def step(self, name: str, usual: Any) -> Callable[..., Any]:
        @activity.defn(name=f"drill.{name}")
        async def act(_: dict[str, Any]) -> Any:
            self.asked.append(name)
            planned = self.answers.get(name, [])
            answer = planned.pop(0) if planned else usual
            if answer == "for ever":
                while True:
                    activity.heartbeat()
                    await asyncio.sleep(0.05)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return act

    def probe(self) -> Callable[..., Any]:
        if self.probe_dies:
            return self.dying_probe()

        @activity.defn(name="drill.probe")
        async def act(_: dict[str, Any]) -> Probed:
            with suppress(asyncio.CancelledError):
                while True:
                    activity.heartbeat()
                    await asyncio.sleep(0.05)
            return SEEN

        return act

    def dying_probe(self) -> Callable[..., Any]:
        """It beats once and is never heard of again, as if its process were gone."""

        @activity.defn(name="drill.probe")
        async def act(_: dict[str, Any]) -> Probed:
            log = Log(time.time() - 10.0)
            for verb in VERBS:
                log.tried(("etcd", verb), log.began, log.began + 0.1)
            activity.heartbeat("1 write", log.note(time.time()))
            while not self.over.is_set():
                with suppress(asyncio.CancelledError):
                    await self.over.wait()
            raise ApplicationError("nobody waits for it any more", non_retryable=True)

        return act

    def situation(self) -> Callable[..., Any]:
        @activity.defn(name="due.situation")
        async def act(_: str) -> Server:
            return Server()

        return act

    def seal(self) -> Callable[..., Any]:
        @activity.defn(name="ledger.seal")
        async def act(entry: Entry) -> None:
            self.sealed.append(entry.text)

        return act

    @asynccontextmanager
    async def begun(
        self, client: Client, what: DrillRequest | None = None
    ) -> AsyncIterator[WorkflowHandle[Drill, DrillResult]]:
        attic = Attic()
        flows = Worker(
            client,
            task_queue=STEPS_QUEUE,
            workflows=[Drill, Prove, NoBackup, FakeLay],
            activities=self.activities(),
            interceptors=[Boundary()],
            max_cached_workflows=0,
        )
        streams = Worker(
            client,
            task_queue=STREAMS_QUEUE,
            activities=[*attic.activities(), self.probe()],
            interceptors=[Boundary()],
        )
        async with flows, streams:
            yield await client.start_workflow(
                Drill.run, what or asked(), id=f"drill-{id(self)}", task_queue=STEPS_QUEUE
            )


async def until(hall: Hall, step: str) -> None:
    while step not in hall.asked:  # noqa: ASYNC110 - it is an activity of our own
        await asyncio.sleep(0.05)


@pytest.mark.server
class TestWorkflow:
    async def test_each_stage_is_laid_watched_lifted_and_waited_for(self, temporal: WorkflowEnvironment) -> None:
        hall = Hall()
        async with hall.begun(temporal.client) as handle:
            ended = await handle.result()
        stage = ["look", "lay", "watch", "lift", "steady"]
        assert hall.asked == ["look", "steady", *stage, *stage, "clean"]
        assert (ended.outcome, ended.probed, ended.findings) == (Verdict.PASSED, SEEN, ())
        assert [each.name for each in ended.resources] == ["etcd.service is stopped", "etcd.service is killed"]
        assert '"outcome":"passed"' in hall.sealed[0]

    async def test_of_a_probe_that_is_gone_at_the_end_counts_what_it_saw_until_then(
        self, temporal: WorkflowEnvironment
    ) -> None:
        hall = Hall(probe_dies=True)
        async with hall.begun(temporal.client) as handle:
            ended = await handle.result()
            hall.over.set()
        assert ended.probed
        assert ended.probed.tries == tuple(Tries("etcd", verb, 1, 0, 0.1) for verb in VERBS)
        ((since, until),) = ended.probed.unwatched
        assert until - since >= 4.0  # a beat has to be missing for so long
        (finding,) = ended.findings
        assert finding.startswith(f"nobody probed in the last {until - since:.0f} s: ")
        assert ended.outcome is Verdict.FINDINGS

    @pytest.mark.parametrize("step", ["lay", "watch"])
    async def test_what_fails_half_way_is_lifted_all_the_same(self, temporal: WorkflowEnvironment, step: str) -> None:
        hall = Hall({step: [Refusal("no such unit")]})
        async with hall.begun(temporal.client) as handle:
            ended = await handle.result()
        assert hall.asked[-3:] == ["lift", "steady", "clean"]
        assert (ended.outcome, ended.findings[0]) == (Verdict.STOPPED, "stopped early: no such unit")

    async def test_what_is_not_steady_again_fails_it_and_no_further_stage_is_begun(
        self, temporal: WorkflowEnvironment
    ) -> None:
        hall = Hall({"steady": [STEADY, SHAKY]})
        async with hall.begun(temporal.client) as handle:
            ended = await handle.result()
        assert hall.asked.count("lay") == 1
        assert (ended.outcome, ended.findings) == (Verdict.FAILED, ("quorum: 0 leaders, expected one leader",))

    @pytest.mark.parametrize("by_temporal", [True, False])
    async def test_a_cancel_lifts_first_and_names_who(self, temporal: WorkflowEnvironment, by_temporal: bool) -> None:
        hall = Hall({"watch": ["for ever"]})
        async with hall.begun(temporal.client) as handle:
            await until(hall, "watch")
            if by_temporal:
                await handle.cancel()
            else:
                await handle.execute_update(Drill.cancel, "ada")
            ended = await handle.result()
        assert "lift" in hall.asked
        assert hall.asked[-1] == "clean"
        who = "Temporal" if by_temporal else "ada"
        assert (ended.outcome, ended.findings[0]) == (Verdict.STOPPED, f"stopped early: cancelled by {who}")

    async def test_what_cannot_be_lifted_is_told_with_the_command_and_nothing_more_is_broken(
        self, temporal: WorkflowEnvironment
    ) -> None:
        hall = Hall({"lift": [CommandFailed("read-only disk")] * 3})
        async with hall.begun(temporal.client) as handle:
            ended = await handle.result()
        assert ended.outcome is Verdict.STOPPED
        assert hall.asked.count("lay") == 1
        assert any("remove it: ssh quorate@127.0.0.2 sudo sh -c " in each for each in ended.findings), ended.findings
        assert any("could not be lifted: read-only disk" in each for each in ended.findings)

    @pytest.mark.parametrize(
        ("answers", "said"),
        [
            ({"steady": [SHAKY]}, "it is not steady before the drill: quorum: 0 leaders"),
            ({"look": [replace(THERE, holders={"a": "restore-9"})]}, "a belongs to operation restore-9"),
        ],
    )
    async def test_what_may_not_begin_breaks_nothing_and_is_on_record(
        self, temporal: WorkflowEnvironment, answers: dict[str, list[Any]], said: str
    ) -> None:
        hall = Hall(answers)
        async with hall.begun(temporal.client) as handle:
            with pytest.raises(WorkflowFailureError) as raised:
                await handle.result()
        cause = raised.value.cause
        assert isinstance(cause, ApplicationError)
        assert (cause.type, said in cause.message, "lay" in hall.asked) == ("refused", True, False)
        assert '"outcome":"failed"' in hall.sealed[0]

    async def test_nothing_is_deleted_that_no_backup_holds(self, temporal: WorkflowEnvironment) -> None:
        hall = Hall()
        async with hall.begun(temporal.client, asked(scenario("data-loss"))) as handle:
            ended = await handle.result()
        assert (ended.outcome, "delete" in hall.asked) == (Verdict.FAILED, False)
        assert ended.findings[0] == "stage 1: backup: the store is away, expected it ends"

    async def test_api_servers_that_are_lost_are_mended_out_of_the_bundle_that_was_looked_at(
        self, temporal: WorkflowEnvironment
    ) -> None:
        hall = Hall()
        async with hall.begun(temporal.client, asked(LOSS)) as handle:
            ended = await handle.result()
        every = ["look", "steady", "look", "exposed", "lay", "lay", "lay", "lift", "lift", "lift", "steady", "clean"]
        assert hall.asked == every
        checks = {each.id: each.passed for each in ended.checks}
        assert (checks["stage 1: lay"], checks["laid"], checks["stage 1: files"]) == (True, True, None)
        assert sorted(each.name for each in ended.resources) == [
            "kube-apiserver.service is killed",
            "kube-apiserver.service is killed",
            "kube-apiserver.service is killed, 1 of its files are out of sight",
        ]

    async def test_what_could_not_be_laid_fails_it_and_the_fault_is_lifted(
        self, temporal: WorkflowEnvironment
    ) -> None:
        stage = LOSS.stages[0].model_copy(update={"fault": Fault(kind="lose-api", at="c")})
        hall = Hall()
        async with hall.begun(temporal.client, asked(LOSS.model_copy(update={"stages": (stage,)}))) as handle:
            ended = await handle.result()
        assert hall.asked[-5:] == ["lift", "lift", "lift", "steady", "clean"]
        assert (ended.outcome, ended.findings[0]) == (Verdict.FAILED, "stage 1: lay: undone, expected laid")

    async def test_where_no_bundle_could_mend_it_nothing_is_broken(self, temporal: WorkflowEnvironment) -> None:
        hall = Hall({"exposed": [Refusal("no backup that counts has a bundle; nothing was broken")]})
        async with hall.begun(temporal.client, asked(LOSS)) as handle:
            ended = await handle.result()
        assert "lay" not in hall.asked
        assert (ended.outcome, ended.findings[0]) == (
            Verdict.STOPPED,
            "stopped early: no backup that counts has a bundle; nothing was broken",
        )

    async def test_a_night_in_the_sandbox_lays_nothing_and_is_measured_by_the_proof(
        self, temporal: WorkflowEnvironment
    ) -> None:
        hall = Hall()
        async with hall.begun(temporal.client, asked(NIGHTLY)) as handle:
            ended = await handle.result()
        assert hall.asked == ["lost"]
        assert (ended.outcome, len(ended.operations), ended.lost) == (Verdict.PASSED, 1, Lost(0.0, 10.0))
        assert ended.clock.rto_s is not None
