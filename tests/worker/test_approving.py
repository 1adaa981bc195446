"""Approval on the real server: by signature, in time, of a cluster that is still as it was; and without waiting."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import (
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from quorate.approval import message
from quorate.operation import Approval, Outcome, RestoreResult
from quorate.plan import Gate
from quorate.sshsig import Signer, public_key
from tests.world import World, approve, awaited
from worker.signing import signed
from workflows.restore import Restore

pytestmark = pytest.mark.server
Handle = WorkflowHandle[Restore, RestoreResult]
NOBODY = "0" * 64
STAGE = WorkflowUpdateStage.ACCEPTED


@pytest.fixture
def world(temporal: WorkflowEnvironment, tmp_path: Path) -> World:
    return World(temporal.client, tmp_path, people=2)


@pytest.fixture
def keyed(world: World, tmp_path: Path) -> World:
    """Ann asks; she and Bob are listed with a key."""
    world.approvers = ("ann", "bob")
    world.signers = tuple(Signer(name, key(tmp_path, name)) for name in world.approvers)
    return world


def key(folder: Path, name: str) -> str:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
    subprocess.run(argv, check=True)
    return public_key((folder / f"{name}.pub").read_text())


async def by(world: World, name: str, handle: Handle, **changes: Any) -> Approval:
    """Signed with the key of that name, and handed in by Zoe."""
    awaiting = await awaited(handle)
    text = message("demo", changes.pop("operation", world.operation), awaiting)
    return Approval(changes.pop("digest", awaiting.digest), "zoe", signed(text, world.root / name))


async def denied(handle: Handle, approval: Approval) -> tuple[str, str]:
    """The kind and the words of the answer."""
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await approve(handle, approval)
    assert isinstance(raised.value.cause, ApplicationError)
    return str(raised.value.cause.type), raised.value.cause.message


async def answer(update: WorkflowUpdateHandle[str]) -> str:
    try:
        return await update.result()
    except WorkflowUpdateFailedError as error:
        return str(error.cause.type) if isinstance(error.cause, ApplicationError) else ""


def trail(world: World) -> list[tuple[list[str], int, str]]:
    """Every approval that came in: what it said, how it was judged, in which words."""
    (path,) = (world.root / world.operation / "audit").glob("*.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    ends = {record["of"]: record for record in records if record["event"] == "outcome"}
    return [
        (record["argv"], ends[record["seq"]]["exit"], ends[record["seq"]]["tail"])
        for record in records
        if record.get("step") == "approval"
    ]


async def test_whoever_holds_a_listed_key_approves_and_the_trail_keeps_the_signature(keyed: World) -> None:
    async with keyed.worker():
        handle = await keyed.begin()
        awaiting = await awaited(handle)
        assert (awaiting.approved_by, awaiting.asked, awaiting.signers) == (("ann",), ("bob",), keyed.signers)
        approval = await by(keyed, "bob", handle)
        said = await approve(handle, approval)
        result = await handle.result()
    assert result.outcome is Outcome.RESTORED
    assert said.startswith("approved by bob with the key SHA256:")
    assert result.decisions == ("approved by ann", said)
    ((argv, code, tail),) = trail(keyed)
    assert argv[:4] == ["approve", keyed.operation, "--digest", awaiting.digest]
    assert (argv[-1], code, tail) == (approval.signature, 0, said)


async def test_what_is_denied_is_answered_and_on_record_and_the_operation_waits_on(keyed: World) -> None:
    before = keyed.state
    key(keyed.root, "zoe")
    async with keyed.worker():
        handle = await keyed.begin()
        digest = (await awaited(handle)).digest
        answers = [
            await denied(handle, Approval(digest, "bob")),
            await denied(handle, await by(keyed, "zoe", handle)),
            await denied(handle, await by(keyed, "ann", handle)),
            await denied(handle, await by(keyed, "bob", handle, operation="restore-0")),
            await denied(handle, await by(keyed, "bob", handle, digest=NOBODY)),
        ]
        awaiting = await awaited(handle)
        assert (awaiting.approved_by, keyed.state) == (("ann",), before)
        await handle.execute_update(Restore.cancel, "ann")
        result = await handle.result()
    assert {kind for kind, _ in answers} == {"not-approved"}
    for (_, words), said in zip(
        answers, ("is not signed", "not among the keys", "ann has approved already", "does not match", "has digest"),
        strict=True,
    ):  # fmt: skip
        assert said in words
    assert [(code, tail) for _, code, tail in trail(keyed)] == [(5, f"denied: {words}") for _, words in answers]
    assert (result.decisions, keyed.state) == (("approved by ann", "cancelled by ann"), before)


async def test_what_has_no_form_or_comes_at_no_time_is_refused_and_leaves_no_record(world: World) -> None:
    world.people = 1
    async with world.worker():
        handle = await world.begin(approved="")
        awaiting = await awaited(handle)
        assert (await denied(handle, Approval("5" * 12, "bob")))[0] == "refused"
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(Restore.approve, Approval(awaiting.digest, "bob"))
        await approve(handle, Approval(awaiting.digest, "bob"))
        with pytest.raises(WorkflowUpdateFailedError) as late:
            await handle.execute_update(Restore.approve, Approval(awaiting.digest, "cam", until=awaiting.until))
        assert "no approval is awaited" in str(late.value.cause)
        assert (await handle.result()).outcome is Outcome.RESTORED
    assert len(trail(world)) == 1


async def test_two_at_once_with_one_name_are_one_person(world: World) -> None:
    async with world.worker():
        handle = await world.begin(approved="")
        awaiting = await awaited(handle)
        bob = Approval(awaiting.digest, "bob", until=awaiting.until)
        both = [await handle.start_update(Restore.approve, bob, wait_for_stage=STAGE) for _ in range(2)]
        answers = [await answer(update) for update in both]
        assert sorted(answers) == ["approved by bob", "not-approved"]
        assert (await awaited(handle)).approved_by == ("bob",)
        await handle.execute_update(Restore.cancel, "ann")
        await handle.result()


async def test_an_approval_that_does_not_come_in_time_changes_nothing(world: World) -> None:
    before, world.expires_s = world.state, 1.0
    async with world.worker():
        result = await (await world.begin()).result()
    assert (result.outcome, world.state) == (Outcome.REFUSED, before)
    assert result.error is not None
    assert (result.error.kind, result.error.exit_code) == ("not-approved", 5)
    assert "2 had to approve it by 20" in result.error.message
    assert result.error.message.endswith("until then only ann did")


@pytest.mark.parametrize(
    ("moved", "shut", "said"),
    [
        ({"cluster_id": "c9"}, (), "cluster id: c1 was approved, now it is c9"),
        ({"bump": 7}, (), "bump: 1000000000 was approved, now it is 7"),
        ({}, (Gate("quorum-healthy", "3 of 3 answer"),), "gate quorum-healthy: 3 of 3 answer"),
    ],
)
async def test_an_approval_is_void_when_the_cluster_has_changed_while_it_was_waited_for(
    world: World, moved: dict[str, Any], shut: tuple[Gate, ...], said: str
) -> None:
    before = world.state
    async with world.worker():
        handle = await world.begin()
        digest = (await awaited(handle)).digest
        world.moved, world.shut = moved, shut
        await approve(handle, Approval(digest, "bob"))
        result = await handle.result()
    assert (result.outcome, world.state) == (Outcome.REFUSED, before)
    assert all(machine.claim is None for machine in world.machines.values())
    assert result.error is not None
    assert (result.error.kind, result.error.exit_code) == ("not-approved", 5)
    assert result.error.message == f"the cluster is not as it was when it was approved: {said}"
    assert result.decisions == ("approved by ann", "approved by bob")


async def test_a_cluster_that_cannot_be_looked_at_again_is_let_alone(world: World) -> None:
    before = world.state
    async with world.worker():
        handle = await world.begin()
        digest = (await awaited(handle)).digest
        world.silent = "the store does not answer"
        await approve(handle, Approval(digest, "bob"))
        result = await handle.result()
    assert (result.outcome, world.state) == (Outcome.REFUSED, before)
    assert "the store does not answer" in (result.error.message if result.error else "")


async def test_a_plan_that_changed_after_it_was_shown_says_in_what(world: World) -> None:
    shown, before = world.plan.chosen, world.state
    world.moved = {"cluster_id": "c9"}
    async with world.worker():
        result = await (await world.begin(approved=shown.digest(), shown=shown)).result()
    assert (result.outcome, world.state) == (Outcome.REFUSED, before)
    assert "cluster id: c1 was approved, now it is c9" in (result.error.message if result.error else "")


async def test_broken_glass_waits_for_nobody_and_is_on_record(world: World) -> None:
    async with world.worker():
        result = await (await world.begin(incident="INC-7", reason="everybody is asleep")).result()
    said = "glass broken by ann for incident INC-7: everybody is asleep"
    assert (result.outcome, result.decisions) == (Outcome.RESTORED, ("approved by ann", said))
    ((argv, code, tail),) = trail(world)
    assert argv[:2] == ["break-glass", world.operation]
    assert argv[-4:] == ["--incident", "INC-7", "--reason", "everybody is asleep"]
    assert (code, tail) == (0, said)


async def test_the_approval_of_who_asks_is_on_record_too(world: World) -> None:
    world.people = 1
    async with world.worker():
        result = await (await world.begin(shown=world.plan.chosen)).result()
    assert (result.outcome, result.decisions) == (Outcome.RESTORED, ("approved by ann",))
    ((argv, code, tail),) = trail(world)
    assert (argv[:4], code, tail) == (
        ["approve", world.operation, "--digest", world.plan.chosen.digest()], 0, "approved by ann",
    )  # fmt: skip


async def test_broken_glass_opens_no_plan_that_was_not_shown(world: World) -> None:
    before = world.state
    async with world.worker():
        result = await (await world.begin(approved=NOBODY, incident="INC-7", reason="haste")).result()
    assert (result.outcome, world.state) == (Outcome.REFUSED, before)


async def test_a_wait_outlives_the_worker(keyed: World) -> None:
    async with keyed.worker():
        handle = await keyed.begin()
        approval = await by(keyed, "bob", handle)
    async with keyed.worker():
        await approve(handle, approval)
        assert (await handle.result()).outcome is Outcome.RESTORED
