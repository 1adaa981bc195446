"""An operation whose orchestrator is gone for good, taken over from what lies on the nodes."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.remains import Remains
from quorate.adoption import EPOCH, Claimed, Found, adopted, claimed, one_operation, one_text, walked
from quorate.errors import BadInput, Corrupt, Refusal
from quorate.operation import Adopted, Outcome, RestoreRequest, RestoreResult
from quorate.plan import Choice
from quorate.records import plan_text
from quorate.whereabouts import whereabouts
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
BEFORE_ADMISSION = [step for step in FROZEN if step not in {"admit", "start-api", "unbar", "release"}]


def claim(turn: int = 7, attempt: int = 1, step: str = "swap", verb: str = "nodes.swap") -> Claimed:
    return Claimed("restore-1", turn, attempt, step, verb)


class TestWhereItStands:
    def test_a_claim_tells_whose_it_is_and_how_far_it_came(self) -> None:
        assert claimed("restore-1 7 1 swap nodes.swap\n") == claim()
        assert claimed("restore-1 7 1") == claim(step="", verb="")
        assert claimed("") is claimed("rubbish") is None

    def test_the_latest_claim_is_where_it_stands_and_the_new_turns_are_far_above(self) -> None:
        found = Found({"a": claim(), "b": claim(6, step="fence", verb="nodes.fence")}, plan_text(plan()))
        assert adopted(found, "demo") == Adopted(plan(), "swap", "nodes.swap", undoing=False, turn=EPOCH)
        again = Found({"a": claim(EPOCH + 3)}, plan_text(plan()))
        assert adopted(again, "demo").turn == 2 * EPOCH

    def test_an_undo_is_told_by_its_verb(self) -> None:
        found = Found({"a": claim(verb="nodes.put_back")}, plan_text(plan()))
        assert adopted(found, "demo").undoing

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
        ("step", "verb", "lies"),
        [
            ("bar", "nodes.bar", f"in {LIVE}"),
            ("swap", "nodes.swap", f"in {KEPT} if that is there, else in {LIVE}"),
            ("start", "nodes.start", f"in {KEPT}, the restored in {LIVE}"),
            ("release", "nodes.release", f"in {KEPT}, the restored in {LIVE}"),
            ("start", "nodes.fence", f"in {KEPT}, the restored in {LIVE}"),
            ("swap", "nodes.put_back", f"in {KEPT} if that is there, else in {LIVE}"),
            ("bar", "nodes.unbar", f"in {LIVE}"),
        ],
    )
    def test_where_the_data_lies_follows_from_the_step_and_the_verb(self, step: str, verb: str, lies: str) -> None:
        whole = plan()
        found = adopted(Found({"a": claim(step=step, verb=verb)}, plan_text(whole)), "demo")
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


async def others(handle: "WorkflowHandle[Restore, RestoreResult]", key: str) -> list[str]:
    steps = (await handle.query(Restore.progress)).steps
    return [each.host for each in steps if (each.id, each.state) == (key, "done")]


async def adopt(world: World, choice: Choice) -> RestoreResult:
    """By somebody who has nothing but the inventory; the hung command wakes up behind it."""
    whole = inventory(world.root)
    found = adopted(Remains(FakeHosts(world.machines)).found("demo", whole.clusters["demo"]), "demo")
    request = RestoreRequest(
        world.operation, "demo", whole.clusters["demo"], whole.stores["here"], "latest", "bob", adopted=found
    )
    handle = await world.client.start_workflow(
        Restore.run, request, id=f"quorate/{world.operation}", task_queue=STEPS_QUEUE
    )
    hold = await held(handle)
    assert hold.where == whereabouts(found.plan, walked(found))
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
