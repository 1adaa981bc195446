"""A daemon's workers for what is due, on the real server: real workflows on a cluster and a store of memory."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.adapters.signatures import SshSignatures
from activities.backups.due import Outset
from activities.backups.pruning import Pruning
from activities.backups.verifying import Verifying
from activities.drills.sandbox import SandboxWork
from activities.recording.boundary import Boundary
from activities.recording.recorded import RecordedHosts, RecordedStores
from quorate.inventories.reading import parse
from tests.factory import INVENTORY
from tests.fakes.machine import FakeHosts
from tests.fakes.store import MemoryStores
from tests.workflows.test_backup import AGE, Bench, sealed
from worker.settings import Settings
from worker.temporal import in_order
from workflows.backup import Backup
from workflows.due import BackupDue
from workflows.patience import STEPS_QUEUE, STREAMS_QUEUE
from workflows.prove import Prove
from workflows.prune import Prune
from workflows.verify import Verify

ID = "quorate/demo/backup"
T = TypeVar("T")


def settings(root: Path, schedule: str = "on", cluster: str = "demo") -> Settings:
    text = INVENTORY.format(state=root / "state", store=root / "store").replace("  demo:", f"  {cluster}:")
    text = text.replace("backup: {store: here}", f"backup: {{store: here, schedule: {schedule}}}")
    return Settings(root / "quorate.yaml", parse(text, "quorate.yaml"))


@asynccontextmanager
async def workers(client: Client, bench: Bench) -> AsyncIterator[None]:
    snapshots = bench.snapshots
    stores = RecordedStores(MemoryStores(bench.store), bench.journal, bench.clock)
    verifying = Verifying(stores, AGE, SshSignatures(), bench.clock)
    pruning = Pruning(stores, SshSignatures(), Path("/nonexistent"), bench.clock)
    hosts = RecordedHosts(FakeHosts({}), bench.journal, bench.clock)
    sandbox = SandboxWork(hosts, stores, AGE, SshSignatures(), bench.clock)
    steps = [snapshots.choose, snapshots.stream, snapshots.read_back, snapshots.publish, sealed]
    steps += [verifying.due, verifying.verify, pruning.judge, pruning.prune, sandbox.choose]
    with ThreadPoolExecutor(4) as pool:
        flows = Worker(
            client,
            task_queue=STEPS_QUEUE,
            workflows=[Backup, BackupDue, Verify, Prune, Prove],
            activities=[Outset(in_order).situation],
            max_cached_workflows=0,
        )
        streams = Worker(
            client,
            task_queue=STREAMS_QUEUE,
            activities=steps,
            activity_executor=pool,
            interceptors=[Boundary()],
        )
        async with flows, streams:
            yield


async def until(what: Callable[[], Awaitable[T]], deadline_s: float = 30) -> T:
    """The first answer that says something; a server that is busy may not answer in time once."""
    deadline = time.monotonic() + deadline_s
    while True:
        with suppress(RPCError):
            if answer := await what():
                return answer
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.1)
