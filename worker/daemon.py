"""`quorate up`: one process on one state directory that carries operations out."""

import asyncio
import ctypes
import os
import secrets
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import structlog
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.recording.boundary import Boundary
from quorate.errors import Denied, Unreachable
from worker import embedded, eyes, metrics, presence, temporal
from worker.operations import Operations
from worker.registry import WORKFLOWS, steps, streams
from worker.schedules import reconcile
from worker.settings import Settings
from worker.telemetry import configure
from worker.upgrade import SANDBOX, refuse_what_does_not_go_on
from worker.wiring import Wiring
from workflows.patience import STEPS_QUEUE, STREAMS_QUEUE

STEP_SLOTS = 32  # nine nodes, several steps at once, and room for a second cluster
STREAM_SLOTS = 4
WORKFLOW_SLOTS = 16
GRACE = timedelta(seconds=20)
PATIENCE_S = 5.0  # for a server that is just starting; for longer, whoever supervises us starts us again
M_ARENA_MAX = -8  # malloc.h
SCHEDULES_S = 30.0  # until they are laid down once more
RETENTION_S = 90 * 86400
log = structlog.get_logger("quorate.daemon")


def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT; Busy names the daemon that has this state directory already."""
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    configure()
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)  # else every thread keeps an arena: 10 MiB more in a backup
    with presence.locked(settings):
        asyncio.run(serve(settings))


async def serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with AsyncExitStack() as stack:
        client = await connected(settings, stack)
        operations = Operations(settings, client)
        await refuse_what_does_not_go_on(operations)
        wiring = Wiring(settings, chain_name())
        stack.callback(wiring.hosts.close)
        for worker in workers(client, wiring, stack):
            await stack.enter_async_context(worker)
        await lay_schedules(settings, client, stack)
        open_eyes(wiring, operations, stack)
        presence.tell_ready(settings)
        notify("READY=1")
        log.info("ready", state_dir=str(settings.state), clusters=sorted(settings.inventory.clusters))
        await stop.wait()
        notify("STOPPING=1")
        log.info("stopping", grace_s=GRACE.total_seconds())


async def lay_schedules(settings: Settings, client: Client, stack: AsyncExitStack) -> None:
    """Before we say that we are ready; where that fails it is tried on, for a restore must not wait for it."""
    if not await laid(settings, client):
        again = asyncio.create_task(keep_laying(settings, client))
        stack.callback(again.cancel)


async def keep_laying(settings: Settings, client: Client) -> None:
    while True:
        await asyncio.sleep(SCHEDULES_S)
        if await laid(settings, client):
            return


async def laid(settings: Settings, client: Client) -> bool:
    try:
        await reconcile(settings, client)
    except RPCError as error:
        log.error("the schedules are not as the inventory has them", error=error.message)  # noqa: TRY400 - no stack
        return False
    return True


def open_eyes(wiring: Wiring, operations: Operations, stack: AsyncExitStack) -> None:
    """A port that is taken keeps no daemon from its work; it is said, and tried again at the next start."""
    board, wanted = stack.enter_context(eyes.open_on(wiring, operations)).board, wiring.settings.inventory.metrics
    if wanted is None:
        return
    try:
        port = stack.enter_context(metrics.served(board, wanted.host, wanted.port))
    except Unreachable as error:
        log.error("no metrics", error=str(error))  # noqa: TRY400 - the reason, not our stack
        return
    presence.tell(wiring.settings, metrics=f"{wanted.listen.rpartition(':')[0]}:{port}")


async def connected(settings: Settings, stack: AsyncExitStack) -> Client:
    """To the address in the inventory, or to a server of our own that is kept alive."""
    if settings.inventory.temporal.address:
        client = await connect(settings, settings.inventory.temporal.address)
        await check_namespace(settings, client)
        return client
    server = await asyncio.to_thread(embedded.ensure, settings)
    log.info("temporal", pid=server.pid, address=server.address, version=server.version)
    keeper = asyncio.create_task(keep_alive(settings))
    stack.callback(stop_embedded, settings, keeper)
    client = await connect(settings, server.address)
    await keep_history(client)
    return client


async def keep_alive(settings: Settings) -> None:
    """A server that died is started again, on the same file and port."""
    while True:
        await asyncio.sleep(0.5)
        server = embedded.known(settings.state)
        if server:
            embedded.reap(server.pid)
        if server is None or not server.alive:
            log.warning("temporal is gone and is started again")
            try:
                await asyncio.to_thread(embedded.ensure, settings)
            except Unreachable as error:
                log.error("temporal did not start", error=str(error))  # noqa: TRY400 - the reason, not our stack


def stop_embedded(settings: Settings, keeper: asyncio.Task[None]) -> None:
    keeper.cancel()
    server = embedded.known(settings.state)
    if server:
        embedded.stop(server)


async def connect(settings: Settings, address: str) -> Client:
    """Waited for while it comes up; what will not change by itself is said at once."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            return await temporal.connected(settings, address)
        except Denied:
            raise
        except Unreachable as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            log.info("temporal is waited for", error=str(error))
            await asyncio.sleep(0.5)


async def keep_history(client: Client) -> None:
    """The dev server forgets closed runs after a day; ours keeps them as long as auditors ask."""
    request = UpdateNamespaceRequest(namespace=client.namespace)
    request.config.workflow_execution_retention_ttl.FromSeconds(RETENTION_S)
    await client.workflow_service.update_namespace(request)


async def check_namespace(settings: Settings, client: Client) -> None:
    """On a server that is not ours nothing is changed; what is missing is said."""
    kept_s = await temporal.namespace_kept_s(settings, client)
    if kept_s < RETENTION_S:
        log.warning("temporal keeps closed runs shorter than advised", kept_s=kept_s, advised_s=RETENTION_S)
    if missing := sorted(set(embedded.ATTRIBUTES) - await temporal.attributes(client)):
        log.warning("temporal lacks search attributes, runs cannot be filtered by them", missing=missing)


def workers(client: Client, wiring: Wiring, stack: AsyncExitStack) -> list[Worker]:
    """Two queues with pools of their own: bulk streams never starve a restore."""
    few = stack.enter_context(ThreadPoolExecutor(STEP_SLOTS, "steps"))
    bulk = stack.enter_context(ThreadPoolExecutor(STREAM_SLOTS, "streams"))
    return [
        Worker(
            client,
            task_queue=STEPS_QUEUE,
            workflows=list(WORKFLOWS),
            activities=steps(wiring),
            activity_executor=few,
            max_concurrent_activities=STEP_SLOTS,
            max_concurrent_workflow_tasks=WORKFLOW_SLOTS,
            max_cached_workflows=50,
            max_heartbeat_throttle_interval=timedelta(seconds=1),
            graceful_shutdown_timeout=GRACE,
            interceptors=[Boundary()],
            workflow_runner=SANDBOX,
        ),
        Worker(
            client,
            task_queue=STREAMS_QUEUE,
            activities=streams(wiring),
            activity_executor=bulk,
            max_concurrent_activities=STREAM_SLOTS,
            max_heartbeat_throttle_interval=timedelta(seconds=1),
            graceful_shutdown_timeout=GRACE,
            interceptors=[Boundary()],
        ),
    ]


def chain_name() -> str:
    """One audit chain a daemon start: sortable by time, and never the same twice."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def notify(state: str) -> None:
    """sd_notify(3), where systemd asks for it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(state.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)
