"""A restore tool's way from a node into the store: streamed, compressed, read back like a snapshot."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime

from activities.recording.recorded import RecordedHosts, RecordedStores
from activities.streams.checksums import Sum, drain
from activities.streams.compression import compressed, expanded
from quorate.backup import BackupTask, told_by_nodes
from quorate.backups.toolbox import SHELF, KeptTool, Offer, lacked, shelf, undescribed
from quorate.command import Command, Node, Ticket
from quorate.converge import Clock, Tick
from quorate.errors import AlreadyThere, Corrupt, Missing, Unreachable
from quorate.ports import Store

KEEP_S = 30.0  # half of what the step has: the snapshot is published already
BEAT_S = 1.0
# Clusters share the tools, so a put may be another backup's: none takes this long, no clock is so wrong.
DEAD_S = 86400.0


@dataclass(frozen=True)
class Toolbox:
    hosts: RecordedHosts
    stores: RecordedStores
    clock: Clock

    def keep(self, task: BackupTask, ticket: Ticket, tick: Tick) -> tuple[str, ...]:
        """Why the store lacks the tool after all, in words; whatever goes wrong takes no backup back."""
        if not task.request.tool:
            return ()
        limit = self.clock.monotonic() + KEEP_S
        pool = ThreadPoolExecutor(1, "tool")
        asked = pool.submit(self._keep, task, ticket, limit)
        pool.shutdown(wait=False)
        while not wait([asked], BEAT_S).done and self.clock.monotonic() < limit:
            tick("keeping the restore tool")
        try:
            asked.result(0)
        except TimeoutError:
            return (f"the restore tool is not kept in the store: it took longer than {KEEP_S:.0f} s",)
        except Exception as error:  # noqa: BLE001 - the snapshot exists, whatever is wrong with a tool
            return (f"the restore tool is not kept in the store: {error}",)
        return ()

    def _keep(self, task: BackupTask, ticket: Ticket, limit: float) -> None:
        assert task.choice, "published before it was chosen"
        store = self.stores.at(task.request.store, ticket)
        self._sweep(store)
        keys = tuple(each.key for each in store.ls(shelf(task.choice.version)))
        for offer in lacked(told_by_nodes(task).tools, task.choice.version, keys):
            self._store(store, offer, undescribed(keys, offer), task, ticket, limit)

    def _sweep(self, store: Store) -> None:
        """All machines store tools under the same names, so a day has to pass before one is taken for dead."""
        for each in store.unfinished(f"{SHELF}/"):
            if each.moved < self.clock.time() - DEAD_S:
                store.abandon(each)

    def _store(self, store: Store, offer: Offer, left: str, task: BackupTask, ticket: Ticket, limit: float) -> None:
        """Every attempt has a key of its own, unless it finishes what another has left; the first manifest counts."""
        node = next(node for node in task.request.nodes if node.name == offer.node)
        passage = Passage(self.hosts, node, offer, store, self.clock, limit)
        laid = passage.finished(left) or passage.put(f"{offer.name}.{ticket.operation}-{ticket.attempt}.zst")
        made = KeptTool(
            key=laid.key,
            program=offer.program,
            version=offer.version,
            architecture=offer.architecture,
            size_bytes=laid.program.size_bytes,
            sha256=laid.program.sha256,
            stored_bytes=laid.packed.size_bytes,
            stored_sha256=laid.packed.sha256,
            cluster=task.request.cluster,
            node=offer.node,
            path=offer.path,
            operation=ticket.operation,
            created_at=datetime.fromtimestamp(int(self.clock.time()), UTC),
        )
        try:
            store.put(made.manifest_key, (made.encode(),), silent)
        except AlreadyThere:
            return


@dataclass(frozen=True, slots=True)
class Laid:
    """An object as the store gives it back: what a node runs, and as it lies there."""

    key: str
    program: Sum
    packed: Sum


@dataclass(frozen=True, slots=True)
class Passage:
    """One program's, from its node into the store."""

    hosts: RecordedHosts
    node: Node
    offer: Offer
    store: Store
    clock: Clock
    limit: float

    def put(self, key: str) -> Laid:
        sent, packed = Sum(), Sum()
        self.store.put(key, packed.of(compressed(sent.of(self._program()))), silent)
        laid = self._laid(key)
        if (laid.program.told, laid.packed.told) != (sent.told, packed.told):
            raise Corrupt(f"the store gave back something else than {key}")
        return laid

    def finished(self, key: str) -> Laid | None:
        """What a backup that died has left there, if it is this very program: a store never removes an object."""
        if not key:
            return None
        here = Sum()
        drain(here.of(self._program()))
        try:
            laid = self._laid(key)
        except (Corrupt, Missing):
            return None
        return laid if laid.program.told == here.told else None

    def _laid(self, key: str) -> Laid:
        laid = Laid(key, Sum(), Sum())
        drain(laid.program.of(expanded(self._within(laid.packed.of(self.store.get(key))), key)))
        return laid

    def _program(self) -> Iterator[bytes]:
        return self._within(self.hosts.read(self.node, Command(("cat", "--", self.offer.path))))

    def _within(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self.clock.monotonic() > self.limit:
                raise Unreachable(f"it took longer than {KEEP_S:.0f} s")
            yield chunk


def silent(_progress: str) -> None:
    """The thread that waits says it."""
