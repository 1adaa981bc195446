"""The real workflow on the real server; the machines are of memory, and refuse what real ones refuse."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from quorate.operation import Approval, Outcome
from quorate.plan import Choice
from tests.factory import LIVE, authenticated
from tests.world import TAKEN, World, approve, held, phase, resolve
from workflows.restore import Restore

pytestmark = pytest.mark.server

BAR = "install -D -m 0644 /dev/stdin"
KEEP, PLACE = f"mv -T {LIVE} ", f"-g1 {LIVE}"
STAGE = "snapshot restore"
STOP = "systemctl stop etcd"
START = "timeout 10 systemctl start etcd"


@pytest.fixture
def world(temporal: WorkflowEnvironment, tmp_path: Path) -> World:
    return World(temporal.client, tmp_path)


def restored(world: World) -> bool:
    token = f"quorate-{world.operation}-g1"
    return all(live.startswith(f"{token}:the backup's bytes") for live in world.live.values())


async def test_a_restore_replaces_the_data_everywhere_and_keeps_the_old(world: World) -> None:
    result = await world.restore()
    assert result.outcome is Outcome.RESTORED
    assert restored(world)
    for name, machine in world.machines.items():
        assert machine.files[f"{LIVE}.before-{world.operation}/member/snap/db"] == f"the old data of {name}"
        assert machine.claim is None
        assert not [path for path in machine.files if "fence" in path]
    assert (result.served_revision, result.cluster_id) == (10**9 + 42, "c2")
    assert result.outage_s is not None
    assert world.closed == [result]


@pytest.mark.parametrize("stuck", [STAGE, BAR, STOP, KEEP, PLACE])
async def test_one_stuck_node_before_the_point_of_no_return_puts_every_node_back(world: World, stuck: str) -> None:
    before = world.state
    world.machines["b"].breaks = stuck
    result = await world.restore()
    assert (result.outcome, result.error and result.error.kind) == (Outcome.UNDONE, "command-failed")
    assert result.error is not None
    assert "b: " in result.error.message
    assert world.state == before


def switch_off(world: World) -> None:
    for machine in world.machines.values():
        machine.units["etcd.service"].state = "inactive"


def left_of_the_copy(world: World) -> list[str]:
    there = world.machines["a"]
    return [name for name in (*there.files, *there.directories, *there.units) if "-copy" in name or "scratch" in name]


async def test_what_a_member_held_is_what_every_step_restores(world: World) -> None:
    world.replays = True
    switch_off(world)
    result = await world.restore()
    assert (result.outcome, result.snapshot, result.revision) == (Outcome.RESTORED, TAKEN.id, TAKEN.revision)
    assert restored(world)
    assert any("--force-new-cluster" in line for line in world.machines["a"].ran)
    assert left_of_the_copy(world) == []


@pytest.mark.parametrize("stuck", ["cp -a", "systemd-run", "take"])
async def test_a_member_that_cannot_be_taken_leaves_no_copy_and_everything_as_before(
    world: World, stuck: str
) -> None:
    world.replays = True
    switch_off(world)
    before = world.state
    world.machines["a"].breaks = stuck
    world.cluster.wrong["members.take"] = "the store is away" if stuck == "take" else ""
    result = await world.restore()
    assert result.outcome is Outcome.UNDONE
    assert left_of_the_copy(world) == []
    assert world.state["b"] == before["b"]


async def test_a_disk_that_filled_up_is_undone_at_once_and_who_died_of_it_is_named(world: World) -> None:
    world.machines["b"].free_bytes = 4 * 2**20
    world.machines["b"].units["etcd.service"].state = "failed"
    before = world.state
    result = await world.restore()
    assert (result.outcome, result.error and result.error.kind) == (Outcome.UNDONE, "no-space")
    assert result.findings == ("ran before and does not run now: b: etcd.service is failed",)
    assert world.state == before
    assert not [line for line in world.machines["b"].ran if "default" in line]


async def test_a_snapshot_that_is_not_what_was_stored_changes_nothing(world: World) -> None:
    before = world.state
    world.shelf.objects = {key: data[:-1] + b"?" for key, data in world.shelf.objects.items()}
    result = await world.restore()
    assert (result.outcome, result.error and result.error.kind) == (Outcome.UNDONE, "corrupt")
    assert world.state == before


async def test_a_snapshot_that_does_not_know_us_changes_nothing_and_leaves_no_copy(world: World) -> None:
    chosen = authenticated().chosen
    steps = tuple(replace(step, patience_s=world.patience_s) for step in chosen.steps)
    world.moved = {"rehearsal": chosen.rehearsal, "steps": steps}
    world.cluster.wrong["members.log_in"] = "authentication failed"
    before = world.state
    result = await world.restore()
    assert (result.outcome, [step.id for step in result.steps if step.state == "failed"]) == (
        Outcome.UNDONE,
        ["log-in"],
    )
    assert world.state == before
    assert any("systemd-run" in line for line in world.machines["a"].ran)
    assert not any("systemd-run" in line for name in "bc" for line in world.machines[name].ran)


async def test_a_failure_after_it_holds_until_somebody_says_retry(world: World) -> None:
    world.machines["b"].breaks = START
    async with world.worker():
        handle = await world.begin()
        hold = await held(handle)
        assert (hold.number, hold.step, hold.reason[:2]) == (1, "start", "b:")
        with pytest.raises(WorkflowUpdateFailedError):
            await resolve(handle, 2, Choice.RETRY)
        with pytest.raises(WorkflowUpdateFailedError):
            await resolve(handle, 1, Choice.SKIP)
        world.machines["b"].breaks = ""
        await resolve(handle, 1, Choice.RETRY)
        assert (await handle.result()).outcome is Outcome.RESTORED
    assert restored(world)


async def test_a_hold_outlives_the_worker_and_is_in_the_memo_without_one(world: World) -> None:
    world.machines["c"].breaks = START
    async with world.worker():
        handle = await world.begin()
        hold = await held(handle)
    memo = (await handle.describe()).raw_description.workflow_execution_info.memo.fields
    assert hold.step.encode() in memo["hold"].data
    world.machines["c"].breaks = ""
    async with world.worker():
        await resolve(handle, hold.number, Choice.RETRY)
        assert (await handle.result()).outcome is Outcome.RESTORED


async def test_abort_leaves_everything_where_it_is_and_says_held(world: World) -> None:
    world.machines["b"].breaks = START
    async with world.worker():
        handle = await world.begin()
        await resolve(handle, (await held(handle)).number, Choice.ABORT)
        result = await handle.result()
    assert result.outcome is Outcome.HELD
    assert world.machines["a"].claim is not None
    assert world.machines["b"].exists(f"{LIVE}.before-{world.operation}")


async def test_a_restore_of_nodes_that_another_has_claimed_ends_before_it_begins(world: World) -> None:
    before = world.state
    world.machines["b"].claim = ("restore-0", 9, 1)
    result = await world.restore()
    assert (result.outcome, result.error and result.error.kind) == (Outcome.UNDONE, "busy")
    assert world.machines["b"].claim == ("restore-0", 9, 1)
    assert (world.machines["a"].claim, world.state) == (None, before)


async def test_a_late_attempt_does_nothing(world: World) -> None:
    """Its connection froze before the rename; it thaws when the operation is long over."""
    machine = world.machines["b"]
    machine.stalls = PLACE
    async with world.worker():
        result = await asyncio.wait_for((await world.begin()).result(), 60)
        assert result.outcome is Outcome.RESTORED
        after, ran = world.state, machine.ran.copy()
        machine.thaw.set()
    assert machine.frozen.is_set()
    assert (machine.ran, world.state) == (ran, after)
    trail = next((world.root / world.operation / "audit").glob("*.jsonl")).read_text()
    assert "Superseded" in trail


async def test_an_approval_for_another_plan_is_refused_and_changes_nothing(world: World) -> None:
    before = world.state
    async with world.worker():
        result = await (await world.begin(approved="0" * 64)).result()
    assert (result.outcome, result.error and result.error.exit_code) == (Outcome.REFUSED, 5)
    assert world.state == before


async def test_two_people_are_two_people(world: World) -> None:
    world.people = 2
    async with world.worker():
        handle = await world.begin()
        digest = (await phase(handle, "approval")).digest
        for approval in (Approval("0" * 64, "bob"), Approval(digest, "ann")):
            with pytest.raises(WorkflowUpdateFailedError):
                await approve(handle, approval)
        assert all(machine.claim is None for machine in world.machines.values())
        assert await approve(handle, Approval(digest, "bob")) == "approved by bob"
        assert (await handle.result()).outcome is Outcome.RESTORED


async def test_a_cancel_while_approval_is_awaited_changes_nothing(world: World) -> None:
    before = world.state
    async with world.worker():
        handle = await world.begin(approved="")
        await phase(handle, "approval")
        assert "nothing was begun" in await handle.execute_update(Restore.cancel, "ann")
        result = await handle.result()
    assert (result.outcome, result.decisions) == (Outcome.REFUSED, ("cancelled by ann",))
    assert world.state == before


@pytest.mark.parametrize("by", ["ann", "Temporal"])
async def test_a_cancel_before_the_point_of_no_return_undoes(world: World, by: str) -> None:
    before = world.state
    world.machines["b"].stalls = KEEP
    async with world.worker():
        handle = await world.begin()
        await asyncio.to_thread(world.machines["b"].frozen.wait, 30)
        await (handle.cancel() if by == "Temporal" else handle.execute_update(Restore.cancel, by))
        world.machines["b"].thaw.set()
        result = await handle.result()
    assert (result.outcome, result.decisions) == (Outcome.UNDONE, ("approved by ann", f"cancelled by {by}"))
    assert world.state == before


async def test_a_cancel_after_it_is_refused_and_changes_nothing(world: World) -> None:
    world.machines["b"].breaks = START
    async with world.worker():
        handle = await world.begin()
        hold = await held(handle)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(Restore.cancel, "ann")
        assert "nothing is undone any more" in str(refused.value.cause)
        await handle.cancel()
        assert await held(handle) == hold
        world.machines["b"].breaks = ""
        await resolve(handle, 1, Choice.RETRY)
        result = await handle.result()
    assert result.outcome is Outcome.RESTORED
    assert result.decisions[1:] == ("a cancel by Temporal was not followed", "retry at step start by ann")


async def test_a_hold_says_where_the_data_of_every_node_lies(world: World) -> None:
    world.machines["b"].breaks = START
    async with world.worker():
        handle = await world.begin()
        hold = await held(handle)
        await resolve(handle, hold.number, Choice.ABORT)
        result = await handle.result()
    kept = f"{LIVE}.before-{world.operation}"
    assert result.where == hold.where == (f"on a, b, c the data from before is in {kept}, the restored in {LIVE}",)


def rolled_back(world: World, before: object) -> bool:
    """All as before, but for the restored data under the name that it was staged with."""
    staged = f"{LIVE}.quorate-{world.operation}-g1"
    kept = [machine.files.pop(f"{staged}/member/snap/db") for machine in world.machines.values()]
    for machine in world.machines.values():
        machine.directories -= {staged, f"{staged}/member"}
    return all("the backup's bytes" in each for each in kept) and world.state == before


@pytest.mark.parametrize("step", ["start", "verify"])
async def test_a_rollback_puts_the_old_cluster_back_and_keeps_what_was_restored(world: World, step: str) -> None:
    before, live = world.state, world.live
    if step == "start":
        world.machines["b"].breaks = START
    else:
        world.cluster.wrong["members.verify"] = "the members differ"
    async with world.worker():
        handle = await world.begin()
        hold = await held(handle)
        assert (hold.step, hold.notes) == (step, ())
        assert hold.choices == (Choice.RETRY, Choice.ROLLBACK, Choice.ABORT)
        world.machines["b"].breaks = ""
        await resolve(handle, 1, Choice.ROLLBACK)
        result = await handle.result()
    assert (result.outcome, result.decisions[-1]) == (Outcome.UNDONE, f"rollback at step {step} by ann")
    assert result.where == (
        f"on a, b, c the data from before is in {LIVE}, the restored in {LIVE}.quorate-{world.operation}-g1",
    )
    assert (world.live, [machine.claim for machine in world.machines.values()]) == (live, [None] * 3)
    assert all(machine.tables == set() for machine in world.machines.values())
    assert rolled_back(world, before)


async def test_a_rollback_starts_nothing_that_did_not_run_before(world: World) -> None:
    wiped = world.machines["c"]
    wiped.directories.discard(LIVE)
    wiped.files.clear()
    wiped.units["etcd.service"].state = "inactive"
    world.before["c"] = "inactive"
    before = world.state
    world.cluster.wrong["members.verify"] = "the members differ"
    async with world.worker():
        handle = await world.begin()
        await held(handle)
        await resolve(handle, 1, Choice.ROLLBACK)
        assert (await handle.result()).outcome is Outcome.UNDONE
    assert wiped.units["etcd.service"].state == "inactive"
    assert rolled_back(world, before)


async def test_a_rollback_that_fails_is_held_again(world: World) -> None:
    before = world.state
    world.cluster.wrong["members.verify"] = "the members differ"
    back = world.machines["c"]
    async with world.worker():
        handle = await world.begin()
        await held(handle)
        back.breaks = f".before-{world.operation} {LIVE}"
        await resolve(handle, 1, Choice.ROLLBACK)
        hold = await held(handle, 2)
        assert (hold.step, hold.choices) == ("swap", (Choice.RETRY, Choice.ABORT))
        fenced = ("etcd.service", "kube-apiserver.service")
        assert {each.units[name].state for each in world.machines.values() for name in fenced} == {"inactive"}
        back.breaks = ""
        await resolve(handle, 2, Choice.RETRY)
        assert (await handle.result()).outcome is Outcome.UNDONE
    assert rolled_back(world, before)


async def test_a_rollback_goes_on_after_the_worker_was_killed_in_its_middle(world: World) -> None:
    before = world.state
    world.cluster.wrong["members.verify"] = "the members differ"
    async with world.worker():
        handle = await world.begin()
        await held(handle)
        world.machines["b"].stalls = f".before-{world.operation} {LIVE}"
        await resolve(handle, 1, Choice.ROLLBACK)
        await asyncio.to_thread(world.machines["b"].frozen.wait, 30)
        world.machines["b"].thaw.set()
    async with world.worker():
        assert (await handle.result()).outcome is Outcome.UNDONE
    assert rolled_back(world, before)


async def test_no_rollback_once_clients_were_admitted_and_the_refusal_says_why(world: World) -> None:
    world.cluster.wrong["kubernetes.verify"] = "the scheduler has no lease"
    async with world.worker():
        handle = await world.begin()
        hold = await held(handle)
        assert (hold.step, hold.choices) == ("verify-api", (Choice.RETRY, Choice.ABORT))
        for choice in (Choice.ROLLBACK, Choice.SKIP):
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await resolve(handle, 1, choice)
            assert "possible: retry, abort" in str(refused.value.cause)
        assert "loses what was written since" in str(refused.value.cause)
        world.cluster.wrong.clear()
        await resolve(handle, 1, Choice.RETRY)
        assert (await handle.result()).outcome is Outcome.RESTORED


async def test_a_step_that_may_be_skipped_is(world: World) -> None:
    world.skippable = "verify-api"
    world.cluster.wrong["kubernetes.verify"] = "the scheduler has no lease"
    async with world.worker():
        handle = await world.begin()
        await held(handle)
        await resolve(handle, 1, Choice.SKIP)
        result = await handle.result()
    assert (result.outcome, result.decisions[-1]) == (Outcome.RESTORED, "skip at step verify-api by ann")
    assert ("verify-api", "skipped") in {(step.id, step.state) for step in result.steps}


@pytest.mark.parametrize("seed", range(12))
async def test_connections_that_break_anywhere_leave_it_all_new_or_all_as_before(world: World, seed: int) -> None:
    before, order = world.state, random.Random(seed)
    for machine in world.machines.values():
        machine.dies_at = order.randrange(30)
    result = await world.restore()
    if result.outcome is Outcome.RESTORED:
        assert restored(world)
    else:
        assert (result.outcome, world.state) == (Outcome.UNDONE, before)
