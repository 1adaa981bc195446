"""An operation whose orchestrator is gone for good, taken over from what lies on the nodes."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from activities.clusters.remains import Remains
from quorate.adoption import EPOCH, Claimed, Found, adopted, claimed, one_operation, one_text, walked
from quorate.errors import BadInput, Corrupt, Refusal
from quorate.operation import Adopted, Outcome, RestoreRequest, RestoreResult
from quorate.plan import Choice
from quorate.records import plan_text
from quorate.restoring.whereabouts import whereabouts
from tests.factory import LIVE, inventory, plan
from tests.fakes.machine import FakeHosts
from tests.world import World, held, resolve
from workflows.patience import STEPS_QUEUE
from workflows.restore import Restore

KEPT = f"{LIVE}.before-restore-1"
FROZEN = {  # at this part of a command node b hangs, and everything of ours dies
    "claim": "install -d -m 0700",
    "stage": "snapshot restore",
    "bar": "install -D -m 0644 /dev/stdin",
    "fence-api": "systemctl stop kube-apiserver",
    "fence": "systemctl stop etcd",
    "swap": f"mv -T {LIVE} ",
    "swap-place": f"-g1 {LIVE}",
    "start": "timeout 10 systemctl start etcd",
    "admit": "nft delete table",
    "start-api": "timeout 10 systemctl start kube-apiserver",
    "unbar": "rm -f /etc/systemd/system/etcd.service.d/00-quorate-fence",
    "release": "mv -T /var/lib/quorate/demo/claim",
}
UNDOING = {  # the same while it is undone; OP is the operation
    "swap": f"mv -T {LIVE} {LIVE}.quorate-OP",
    "swap-restore": f"mv -T {LIVE}.before-OP",
    "fence": "timeout 10 systemctl start etcd",
    "fence-api": "timeout 10 systemctl start kube-apiserver",
    "bar": "rm -f /etc/systemd/system/etcd.service.d/00-quorate-fence",
    "stage": f"rm -rf {LIVE}.quorate-OP-g1 ",
    "claim": "mv -T /var/lib/quorate/demo/claim",
}
START = FROZEN["start"]
BEFORE_ADMISSION = [step for step in FROZEN if step not in {"admit", "start-api", "unbar", "release"}]


def claim(
    turn: int = 7, attempt: int = 1, step: str = "swap", verb: str = "nodes.swap", *, unstarted: bool = False
) -> Claimed:
    return Claimed("restore-1", turn, attempt, step, verb, unstarted)


class TestWhereItStands:
    def test_a_claim_tells_whose_it_is_and_how_far_it_came(self) -> None:
        assert claimed("restore-1 7 1 swap nodes.swap\n") == claim()
        assert claimed("restore-1 7 1") == claim(step="", verb="")
        assert claimed("restore-1 7 1 swap nodes.put_back unstarted") == claim(verb="nodes.put_back", unstarted=True)
        assert claimed("") is claimed("rubbish") is None

    def test_the_latest_claim_is_where_it_stands_and_the_new_turns_are_far_above(self) -> None:
        found = Found({"a": claim(), "b": claim(6, step="fence", verb="nodes.fence")}, plan_text(plan()))
        assert adopted(found, "demo") == Adopted(plan(), "swap", "nodes.swap", undoing=False, turn=EPOCH)
        again = Found({"a": claim(EPOCH + 3)}, plan_text(plan()))
        assert adopted(again, "demo").turn == 2 * EPOCH

    @pytest.mark.parametrize(
        ("there", "kept"),
        [
            (claim(verb="nodes.put_back"), True),
            (claim(verb="nodes.put_back", unstarted=True), False),
            (claim(step="stage", verb="nodes.discard"), False),
        ],
    )
    def test_an_undo_is_told_by_its_verb_and_keeps_what_may_have_been_started(
        self, there: Claimed, *, kept: bool
    ) -> None:
        found = adopted(Found({"a": there}, plan_text(plan())), "demo")
        assert (found.undoing, found.kept) == (True, kept)

    @pytest.mark.parametrize(
        ("claims", "text", "kind"),
        [
            ({}, "", BadInput),
            ({"a": claim(), "b": replace(claim(), operation="restore-2")}, "", Refusal),
            ({"a": claim()}, "", Refusal),
            ({"a": claim()}, "{}", Corrupt),
            ({"a": claim()}, plan_text(plan("restore-9")), Corrupt),
            ({"a": claim(step="", verb="")}, plan_text(plan()), Refusal),
        ],
    )
    def test_what_is_not_known_is_not_guessed(
        self, claims: dict[str, Claimed], text: str, kind: type[Exception]
    ) -> None:
        with pytest.raises(kind):
            adopted(Found(claims, text), "demo")

    def test_who_has_only_claimed_gives_way_to_another(self) -> None:
        with pytest.raises(Refusal, match="claimed nodes, and that is all") as refusal:
            adopted(Found({"a": claim(2, step="claim", verb="nodes.claim")}, ""), "demo")
        assert "--override-gate claimed" in refusal.value.next

    @pytest.mark.parametrize(
        ("step", "said", "lies"),
        [
            ("bar", "nodes.bar", f"in {LIVE}"),
            ("swap", "nodes.swap", f"in {KEPT} if that is there, else in {LIVE}"),
            ("start", "nodes.start", f"in {KEPT}, the restored in {LIVE}"),
            ("release", "nodes.release", f"in {KEPT}, the restored in {LIVE}"),
            ("start", "nodes.fence", f"in {KEPT}, the restored in {LIVE}"),
            ("swap", "nodes.put_back", f"in {KEPT} if that is there, else in {LIVE}"),
            ("bar", "nodes.unbar unstarted", f"in {LIVE}"),
            ("bar", "nodes.unbar", f"in {LIVE}, the restored in {LIVE}.quorate-restore-1-g1"),
        ],
    )
    def test_where_the_data_lies_follows_from_the_step_and_the_verb(self, step: str, said: str, lies: str) -> None:
        whole, there = plan(), claimed(f"restore-1 7 1 {step} {said}")
        assert there
        found = adopted(Found({"a": there}, plan_text(whole)), "demo")
        assert whereabouts(whole, walked(found)) == (f"on a, b, c the data from before is {lies}",)

    def test_nodes_that_tell_different_plans_are_no_ground_to_go_on(self) -> None:
        with pytest.raises(Corrupt, match="not the same on a, b"):
            one_text({"a": "x", "b": "y"}, "plan.json")
        assert one_operation({"a": claim()}, "demo") == "restore-1"


@pytest.fixture
def world(temporal: WorkflowEnvironment, tmp_path: Path) -> World:
    return World(temporal.client, tmp_path)


async def orphaned(world: World, step: str) -> None:
    """Begun, and gone for good while node b hangs in the middle of a step that the others have done."""
    world.machines["b"].stalls = FROZEN[step]
    handle = await world.begin()
    await asyncio.to_thread(world.machines["b"].frozen.wait, 30)
    async with asyncio.timeout(30):
        while True:
            if len(await others(handle, step.removesuffix("-place"))) == 2:
                break
            await asyncio.sleep(0.05)
    await handle.terminate("everything of ours is gone")


async def orphaned_in_its_undo(world: World, part: str, *, started: bool = False) -> None:
    """Undone, and gone for good while node b hangs in the middle of an undo that the others have done."""
    world.machines["b"].stalls = UNDOING[part].replace("OP", world.operation)
    world.machines["c"].breaks = START if started else f"mv -T {LIVE} {LIVE}.before-"
    handle = await world.begin()
    if started:
        await held(handle)
        world.machines["c"].breaks = ""
        await resolve(handle, 1, Choice.ROLLBACK)
    await asyncio.to_thread(world.machines["b"].frozen.wait, 30)
    async with asyncio.timeout(30):
        while True:
            if len(await others(handle, f"undo-{part.removesuffix('-restore')}")) == 2:
                break
            await asyncio.sleep(0.05)
    await handle.terminate("everything of ours is gone")


async def others(handle: "WorkflowHandle[Restore, RestoreResult]", key: str) -> list[str]:
    steps = (await handle.query(Restore.progress)).steps
    return [each.host for each in steps if (each.id, each.state) == (key, "done")]


def orphan(world: World) -> Adopted:
    """What the nodes say there is to adopt."""
    settings = inventory(world.root).clusters["demo"]
    return adopted(Remains(FakeHosts(world.machines)).found("demo", settings), "demo")


async def noticed(handle: "WorkflowHandle[Restore, RestoreResult]") -> None:
    """By the workflow: an Update that came with the cancel in one task would be heard before it."""
    asked, heard = (
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
    )
    async with asyncio.timeout(30):
        while True:
            types = [event.event_type for event in (await handle.fetch_history()).events]
            if asked in types and heard in types[types.index(asked) :]:
                return
            await asyncio.sleep(0.05)


async def taken_over(world: World) -> "WorkflowHandle[Restore, RestoreResult]":
    """By somebody who has nothing but the inventory, and held."""
    whole, found = inventory(world.root), orphan(world)
    request = RestoreRequest(
        world.operation, "demo", whole.clusters["demo"], whole.stores["here"], "latest", "bob", adopted=found
    )
    handle = await world.client.start_workflow(
        Restore.run, request, id=f"quorate/{world.operation}", task_queue=STEPS_QUEUE
    )
    hold = await held(handle)
    assert hold.where == whereabouts(found.plan, walked(found))
    return handle


async def adopt(world: World, choice: Choice) -> RestoreResult:
    """The hung command wakes up behind it."""
    handle = await taken_over(world)
    world.machines["b"].thaw.set()
    await resolve(handle, 1, choice)
    return await asyncio.wait_for(handle.result(), 60)


@pytest.mark.server
@pytest.mark.parametrize("step", FROZEN)
async def test_taken_over_at_any_step_it_comes_to_its_end(world: World, step: str) -> None:
    async with world.worker():
        await orphaned(world, step)
        result = await adopt(world, Choice.RETRY)
    assert result.outcome is Outcome.RESTORED, result.error
    token = f"quorate-{world.operation}-g1"
    assert {live.partition(":")[0] for live in world.live.values()} == {token}
    assert [machine.claim for machine in world.machines.values()] == [None] * 3
    assert f"adopted at step {step.removesuffix('-place')} by bob" in result.decisions
    with pytest.raises(BadInput, match=f"{world.operation} has released a, b, c: it is over there"):
        orphan(world)


@pytest.mark.server
@pytest.mark.parametrize("step", BEFORE_ADMISSION)
async def test_taken_over_before_anybody_was_admitted_it_can_be_undone(world: World, step: str) -> None:
    before = world.live
    async with world.worker():
        await orphaned(world, step)
        result = await adopt(world, Choice.ROLLBACK)
    assert result.outcome is Outcome.UNDONE, result.error
    assert world.live == before
    assert {unit.state for machine in world.machines.values() for unit in machine.units.values()} == {"active"}
    assert [machine.claim for machine in world.machines.values()] == [None] * 3


@pytest.mark.server
@pytest.mark.parametrize("part", UNDOING)
async def test_taken_over_in_its_undo_all_is_as_before_and_nothing_is_left(world: World, part: str) -> None:
    before = world.state
    async with world.worker():
        await orphaned_in_its_undo(world, part)
        result = await adopt(world, Choice.RETRY)
    assert (result.outcome, result.error and result.error.kind) == (Outcome.UNDONE, "adopted")
    assert world.state == before
    assert ([machine.claim for machine in world.machines.values()], result.where) == ([None] * 3, ())


@pytest.mark.server
@pytest.mark.parametrize("part", ["swap", "bar", "claim"])
async def test_taken_over_in_a_rollback_what_was_started_is_kept_and_told(world: World, part: str) -> None:
    before, staged = world.live, f"{LIVE}.quorate-{world.operation}-g1"
    async with world.worker():
        await orphaned_in_its_undo(world, part, started=True)
        result = await adopt(world, Choice.RETRY)
    assert (result.outcome, world.live) == (Outcome.UNDONE, before)
    assert result.where == (f"on a, b, c the data from before is in {LIVE}, the restored in {staged}",)
    assert all(machine.exists(staged) for machine in world.machines.values())


@pytest.mark.server
async def test_aborted_in_its_undo_and_lost_once_more_it_still_ends_as_before(world: World) -> None:
    before = world.state
    async with world.worker():
        await orphaned_in_its_undo(world, "swap")
        assert (await adopt(world, Choice.ABORT)).outcome is Outcome.HELD
        result = await adopt(world, Choice.RETRY)
    assert (result.outcome, world.state) == (Outcome.UNDONE, before)


@pytest.mark.server
async def test_what_was_taken_over_is_rolled_back_and_not_cancelled(world: World) -> None:
    """A cancel undoes the steps before the one that runs: here that may be done half way."""
    before = world.state
    async with world.worker():
        await orphaned(world, "swap")
        handle = await taken_over(world)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(Restore.cancel, "bob")
        assert "held until somebody chooses" in str(refused.value.cause)
        await handle.cancel()
        await noticed(handle)
        world.machines["b"].thaw.set()
        await resolve(handle, 1, Choice.RETRY)
        result = await asyncio.wait_for(handle.result(), 60)
    assert (result.outcome, "a cancel by Temporal was not followed" in result.decisions) == (Outcome.RESTORED, True)
    assert world.state != before
