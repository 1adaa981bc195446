"""A backup that is damaged on purpose: a twin of the newest, under a name of its own, and taken away again."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity

from activities.clusters.catalogued import Shelving, straight
from activities.recording.recorded import RecordedStores
from activities.recording.tickets import ticket_of
from activities.streams.pipeline import beaten
from quorate.backups.catalogue import LATEST, Manifest, directory, find, id_of, key_of
from quorate.backups.provenance import signed
from quorate.command import Ticket
from quorate.converge import Clock, Tick
from quorate.drill import Spoiled, SpoilTask
from quorate.errors import AlreadyThere
from quorate.ports import Signing, Store

LATER = timedelta(seconds=1)


@dataclass(frozen=True)
class Spoiling:
    stores: RecordedStores
    signing: Signing
    shelf: Shelving = straight
    clock: Clock = time
    tick: Tick = activity.heartbeat

    @activity.defn(name="drill.spoil", no_thread_cancel_exception=True)
    def spoil(self, task: SpoilTask) -> Spoiled:
        """Signed by us, for nobody else would be believed; only its bytes are not what its manifest says."""
        ticket = ticket_of(task)
        return beaten(lambda tick: self._spoil(task, ticket, tick), self.tick)

    @activity.defn(name="drill.unspoil", no_thread_cancel_exception=True)
    def unspoil(self, task: SpoilTask) -> None:
        """All of it, its marks too, and seen gone."""
        ticket = ticket_of(task)
        beaten(lambda _: self._unspoil(task, ticket), self.tick)

    def _spoil(self, task: SpoilTask, ticket: Ticket, tick: Tick) -> Spoiled:
        request = task.request
        store = self.stores.at(request.store, ticket)
        stock = self.shelf(store, request.store, request.cluster)
        mine = [each for each in stock.manifests if each.operation == request.operation]
        out = frozenset((*stock.quarantined, *(each.id for each in mine)))
        sound = find(stock.manifests, LATEST, request.cluster, (), out)
        twin = mine[0] if mine else self._twin(sound, request.operation)
        damaged(store, sound, twin, tick)
        return Spoiled(twin.id, sound.id, twin.directory)

    def _twin(self, sound: Manifest, operation: str) -> Manifest:
        where = directory(sound.cluster, sound.cluster_id, sound.created_at + LATER, sound.revision)
        changed = {
            "id": id_of(where),
            "key": key_of(where, sound.key.rpartition("/")[2]),
            "created_at": sound.created_at + LATER,
            "operation": operation,
            "bundle": None,
            "signature": "",
        }
        return signed(sound.model_copy(update=changed), self.signing)

    def _unspoil(self, task: SpoilTask, ticket: Ticket) -> None:
        assert task.spoiled
        store = self.stores.at(task.request.store, ticket)
        for each in store.ls(f"{task.spoiled.directory}/"):
            store.remove(each.key)
        assert not store.ls(f"{task.spoiled.directory}/"), "the store has said that it is gone"


def damaged(store: Store, sound: Manifest, twin: Manifest, tick: Tick) -> None:
    """Bytes first, the manifest last, as with any backup."""
    for key, chunks in (
        (twin.key, flipped(store.get(sound.key), sound.stored_bytes // 2)),
        (twin.manifest_key, iter((twin.encode(),))),
    ):
        try:
            store.put(key, chunks, tick)
        except AlreadyThere:
            tick(f"{key} is there already")


def flipped(chunks: Iterator[bytes], at: int) -> Iterator[bytes]:
    """The same bytes, but for one."""
    passed = 0
    for chunk in chunks:
        if passed <= at < passed + len(chunk):
            whole = bytearray(chunk)
            whole[at - passed] ^= 0xFF
            yield bytes(whole)
        else:
            yield chunk
        passed += len(chunk)
