"""A restore tool's way from a node into the store: streamed, compressed, read back like a snapshot."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime

from activities.checksums import Sum
from activities.compression import compressed, expanded
from activities.recorded import RecordedHosts, RecordedStores
from quorate.backup import BackupTask
from quorate.command import Command, Ticket
from quorate.converge import Clock, Tick
from quorate.errors import AlreadyThere, Corrupt, Unreachable
from quorate.ports import Store
from quorate.toolbox import KeptTool, Offer, lacked, shelf

KEEP_S = 30.0  # half of what the step has: the snapshot is published already
BEAT_S = 1.0


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
        keys = [each.key for each in store.ls(shelf(task.choice.version))]
        for offer in lacked(task.choice.tools, task.choice.version, keys):
            self._store(store, offer, task, ticket, limit)

    def _store(self, store: Store, offer: Offer, task: BackupTask, ticket: Ticket, limit: float) -> None:
        """Every attempt has a key of its own; the manifest that is there first counts."""
        node = next(node for node in task.request.nodes if node.name == offer.node)
        key = f"{offer.name}.{ticket.operation}-{ticket.attempt}.zst"
        sent, lies = Sum(), Sum()
        chunks = self._within(limit, self.hosts.read(node, Command(("cat", "--", offer.path))))
        store.put(key, lies.of(compressed(sent.of(chunks))), silent)
        back, back_lies = Sum(), Sum()
        for _ in back.of(expanded(self._within(limit, back_lies.of(store.get(key))), key)):
            pass
        if (back.told, back_lies.told) != (sent.told, lies.told):
            raise Corrupt(f"the store gave back something else than {key}")
        made = KeptTool(
            key=key,
            program=offer.program,
            version=offer.version,
            architecture=offer.architecture,
            size_bytes=sent.size_bytes,
            sha256=sent.told[1],
            stored_bytes=lies.size_bytes,
            stored_sha256=lies.told[1],
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

    def _within(self, limit: float, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self.clock.monotonic() > limit:
                raise Unreachable(f"it took longer than {KEEP_S:.0f} s")
            yield chunk


def silent(_progress: str) -> None:
    """The thread that waits says it."""
