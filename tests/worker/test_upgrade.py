"""A daemon of another version: it goes on with what is open, or it does not start."""

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.testing import WorkflowEnvironment

from quorate.errors import OtherVersion
from quorate.operation import RestoreRequest
from tests.factory import inventory
from tests.world import World, held, phase
from worker.operations import Operations
from worker.settings import Settings
from worker.upgrade import refuse_what_does_not_go_on
from workflows.backup import Backup

pytestmark = pytest.mark.server


@workflow.defn(name="restore", sandboxed=False)
class Doctored:
    """A restore as another version might have it: it does something else first."""

    @workflow.init
    def __init__(self, request: RestoreRequest) -> None:
        self.request = request

    @workflow.run
    async def run(self, request: RestoreRequest) -> None:
        await workflow.sleep(60)


@pytest.fixture
def operations(temporal: WorkflowEnvironment, tmp_path: Path) -> Operations:
    return Operations(Settings(tmp_path / "quorate.yaml", inventory(tmp_path)), temporal.client)


@pytest.fixture
def world(temporal: WorkflowEnvironment, tmp_path: Path) -> World:
    return World(temporal.client, tmp_path)


async def test_what_the_same_code_began_goes_on(operations: Operations, world: World) -> None:
    """Held after the point of no return, waiting for approval, and so new that no worker has seen it."""
    world.machines["b"].breaks = "systemctl start"
    world.patience_s = 2
    others = World(world.client, world.root), World(world.client, world.root)
    async with world.worker():
        await held(first := await world.begin())
        await phase(second := await others[0].begin(approved=""), "approval")
    third = await others[1].begin()
    try:
        await refuse_what_does_not_go_on(operations)
    finally:
        for handle in (first, second, third):
            await handle.terminate()


async def test_what_this_code_would_decide_otherwise_is_refused_by_name(operations: Operations, world: World) -> None:
    async with world.worker():
        await phase(handle := await world.begin(approved=""), "approval")
    try:
        with pytest.raises(OtherVersion) as refused:
            await refuse_what_does_not_go_on(operations, (Doctored, Backup))
    finally:
        await handle.terminate()
    assert handle.id in str(refused.value)
    assert "Nondeterminism" in str(refused.value)
    assert "Traceback" not in str(refused.value)


async def test_a_runbook_that_this_version_does_not_have_is_refused(operations: Operations, world: World) -> None:
    async with world.worker():
        await phase(handle := await world.begin(approved=""), "approval")
    try:
        with pytest.raises(OtherVersion, match="restore"):
            await refuse_what_does_not_go_on(operations, (Backup,))
    finally:
        await handle.terminate()
