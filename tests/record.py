"""Record the histories that `test_replay` replays: `python -m tests.record DIRECTORY [ENDING...]` (before a release).

Every ending of a restore, from the real workflow on the real server against machines of memory.
"""

import asyncio
import base64
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from deploy.lab.binaries import TEMPORAL
from quorate.backup import BackupResult
from quorate.drill import DrillResult
from quorate.due import DueResult
from quorate.nodes.kept import Kept
from quorate.operation import Approval, RestoreResult
from quorate.plan import Choice
from quorate.prove import Compared, ProveResult
from quorate.tidy import Judged
from tests.factory import LIVE
from tests.fences import Fences
from tests.schedules import settings, workers
from tests.worker.test_drill_workflow import NIGHTLY, Hall, asked
from tests.workflows.test_backup import Bench
from tests.workflows.test_bundle import Scene, begun
from tests.workflows.test_prove import ON_TOP, Attic
from tests.world import World, approve, held, resolve
from worker.schedules import wanted
from workflows.backup import Backup
from workflows.drill import Drill
from workflows.due import BackupDue
from workflows.patience import STEPS_QUEUE
from workflows.prove import Prove
from workflows.restore import Restore

Handle = WorkflowHandle[Restore, RestoreResult]


async def restored(world: World) -> Handle:
    return await world.begin()


async def undone(world: World) -> Handle:
    world.machines["b"].breaks = "snapshot restore"
    return await world.begin()


async def held_then_retried(world: World) -> Handle:
    world.machines["b"].breaks = "timeout 10 systemctl start etcd"
    handle = await world.begin()
    hold = await held(handle)
    world.machines["b"].breaks = ""
    await resolve(handle, hold.number, Choice.RETRY)
    return handle


async def refused(world: World) -> Handle:
    return await world.begin(approved="0" * 64)


async def from_member(world: World) -> Handle:
    world.replays = True
    for each in world.machines.values():
        each.units["etcd.service"].state = "inactive"
    return await world.begin()


async def approved_by_two(world: World) -> Handle:
    """By name: a signature would be another one each time."""
    world.people = 2
    handle = await world.begin(shown=world.plan.chosen)
    await approve(handle, Approval(world.plan.chosen.digest(), "bob"))
    return handle


async def frozen(world: World) -> Handle:
    assert isinstance(world, Fences)
    return await world.start("freeze")


async def thawed(world: World) -> Handle:
    assert isinstance(world, Fences)
    await world.run("freeze")
    return await world.start("thaw")


async def tidied(world: World) -> Handle:
    assert isinstance(world, Fences)
    operation = "restore-01M7ZK75000000000000000000"
    path = f"{LIVE}.before-{operation}"
    world.machines["a"].directories.add(path)
    world.rows = (Judged(Kept("a", path, "before", operation, 10), 1.0),)
    return await world.start("tidy")


async def laid(world: World) -> Handle:
    """Held once while the API server does not start, then gone on with."""
    assert isinstance(world, Fences)
    world.machines["a"].units["kube-apiserver.service"].state = "inactive"
    world.machines["a"].breaks = "systemctl start"
    handle = await world.start("lay")
    hold = await held(handle)
    world.machines["a"].breaks = ""
    await resolve(handle, hold.number, Choice.RETRY)
    return handle


async def replaced(world: World) -> Handle:
    """Held once after the removal, then gone on with."""
    assert isinstance(world, Fences)
    world.machines["a"].units["etcd.service"].state = "failed"
    world.machines["a"].breaks = "systemd-run"
    handle = await world.start("replace-member")
    hold = await held(handle)
    world.machines["a"].breaks = ""
    await resolve(handle, hold.number, Choice.RETRY)
    return handle


async def backup_due(world: World) -> WorkflowHandle[BackupDue, DueResult]:
    """With its workers, which are a daemon's, and its backup."""
    async with workers(world.client, Bench(name="demo")):
        (only,) = wanted(settings(world.root)).values()
        handle = await world.client.start_workflow(
            BackupDue.run, only.due, id="quorate/demo/backup.due", task_queue=STEPS_QUEUE
        )
        await handle.result()
    return handle


async def bundled(world: World) -> WorkflowHandle[Backup, BackupResult]:
    """A backup whose bundle is taken while it is read back, with its workers."""
    async with begun(world.client, Scene()) as handle:
        await handle.result()
    return handle


async def proved(world: World) -> WorkflowHandle[Prove, ProveResult]:
    """After a first try that differs, with its workers."""
    async with Attic({"read": [Compared("another digest")]}).begun(world.client) as handle:
        await handle.result()
    return handle


async def proved_and_served(world: World) -> WorkflowHandle[Prove, ProveResult]:
    """With an API server on top, with its workers."""
    async with Attic().begun(world.client, ON_TOP) as handle:
        await handle.result()
    return handle


async def drilled(world: World) -> WorkflowHandle[Drill, DrillResult]:
    """Two faults, laid and lifted, with its workers."""
    async with Hall().begun(world.client) as handle:
        await handle.result()
    return handle


async def night(world: World) -> WorkflowHandle[Drill, DrillResult]:
    """With the proof that it begins."""
    async with Hall().begun(world.client, asked(NIGHTLY)) as handle:
        await handle.result()
    return handle


def cleaned(history: str, places: dict[str, str]) -> str:
    """Without stacks and without the paths of the machine that it was recorded on."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {key: clean(each) for key, each in value.items() if key not in {"stackTrace", "identity"}}
            return {**kept, "data": payload(value["data"])} if isinstance(value.get("data"), str) else kept
        return [clean(each) for each in value] if isinstance(value, list) else value

    def payload(data: str) -> str:
        text = base64.b64decode(data)
        for place, name in places.items():
            text = text.replace(place.encode(), name.encode())
        return base64.b64encode(text).decode()

    return json.dumps(clean(json.loads(history)), indent=1) + "\n"


ENDINGS: tuple[Callable[[World], Awaitable[WorkflowHandle[Any, Any]]], ...] = (
    restored,
    undone,
    held_then_retried,
    refused,
    from_member,
    approved_by_two,
)
DUE = (backup_due, bundled, proved, proved_and_served, drilled, night)  # with workers of their own
FENCED = (frozen, thawed, tidied, replaced, laid)  # plans that are made of what is seen on the machines


async def main(directory: Path, *names: str) -> None:
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(TEMPORAL.path("temporal")), data_converter=pydantic_data_converter
    )
    directory.mkdir(parents=True, exist_ok=True)
    async with environment:
        for ending in (each for each in (*ENDINGS, *FENCED, *DUE) if not names or each.__name__ in names):
            with tempfile.TemporaryDirectory() as root:
                world = (Fences if ending in FENCED else World)(environment.client, Path(root))
                async with nullcontext() if ending in DUE else world.worker():
                    handle = await ending(world)
                    await handle.result()
                history = await handle.fetch_history()
            name = ending.__name__.replace("_", "-")
            (directory / f"{name}.json").write_text(cleaned(history.to_json(), {root: "/state"}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
