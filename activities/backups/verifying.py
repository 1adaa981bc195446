"""What lies in the store, fetched again and compared, and what was found marked beside it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio import activity

from activities.backups.unbundling import unsound
from activities.clusters.catalogued import Shelving, straight
from activities.recording.recorded import RecordedStores
from activities.recording.tickets import ticket_of
from activities.streams.fetched import looked_through
from activities.streams.pipeline import beaten
from quorate.backups.catalogue import Manifest
from quorate.backups.marks import Kind, Mark, put
from quorate.backups.provenance import doubted
from quorate.command import Ticket
from quorate.converge import Clock, Tick
from quorate.errors import Corrupt, QuorateError
from quorate.ports import Cipher, Signatures, Store
from quorate.verify import Due, VerifyRequest, VerifyResult, VerifyTask, counting, due, result


@dataclass(frozen=True)
class Verifying:
    stores: RecordedStores
    cipher: Cipher
    signatures: Signatures
    clock: Clock = time
    tick: Tick = activity.heartbeat
    shelf: Shelving = straight

    @activity.defn(name="snapshots.due", no_thread_cancel_exception=True)
    def due(self, task: VerifyTask) -> Due:
        store = self.stores.at(task.request.store, ticket_of(task))
        return beaten(lambda _tick: self._due(store, task.request), self.tick)

    @activity.defn(name="snapshots.verify", no_thread_cancel_exception=True)
    def verify(self, task: VerifyTask) -> VerifyResult:
        """A second run fetches only what the first has not marked yet."""
        ticket = ticket_of(task)
        return beaten(lambda tick: self._verify(task, ticket, tick), self.tick)

    def proved(self, store: Store, manifest: Manifest, identities: tuple[str, ...], ticket: Ticket) -> None:
        """Marked as verified; or Corrupt, and marked as quarantined, where it is not sound twice in a row."""
        try:
            looked_through(store, self.cipher, manifest, identities)
        except Corrupt:
            self._again(store, manifest, identities, ticket)  # once may be the network's
        put(store, self._mark(manifest, Kind.VERIFIED, ticket))

    def bundle(self, store: Store, manifest: Manifest, identities: tuple[str, ...]) -> str:
        """Why what lies beside it is not sound, or nothing: no reason for a quarantine, the snapshot is."""
        return unsound(store, self.cipher, manifest, identities)

    def _again(self, store: Store, manifest: Manifest, identities: tuple[str, ...], ticket: Ticket) -> None:
        try:
            looked_through(store, self.cipher, manifest, identities)
        except Corrupt as error:
            put(store, self._mark(manifest, Kind.QUARANTINED, ticket, str(error)))
            raise

    def _due(self, store: Store, request: VerifyRequest) -> Due:
        stock = self.shelf(store, request.store, request.cluster)
        now = datetime.fromtimestamp(self.clock.time(), UTC)
        return due(stock, request.verify_within_s, self._doubted(stock.manifests, request), now)

    def _verify(self, task: VerifyTask, ticket: Ticket, tick: Tick) -> VerifyResult:
        request = task.request
        store = self.stores.at(request.store, ticket)
        left = set(self._due(store, request).snapshots) if ticket.attempt > 1 else set(task.due.snapshots)
        known = {each.id: each for each in self.shelf(store, request.store, request.cluster).manifests}
        sound: list[Manifest] = []
        broken: dict[str, str] = {}
        unread: dict[str, str] = {}
        bundles: dict[str, str] = {}
        for id_ in task.due.snapshots:
            if (manifest := known.get(id_)) is None:
                continue  # pruned meanwhile
            tick(f"verifying {id_}")
            try:
                if id_ in left:
                    self.proved(store, manifest, request.identities, ticket)
                sound.append(manifest)
                if why := self.bundle(store, manifest, request.identities):
                    bundles[id_] = why
            except Corrupt as error:
                broken[id_] = str(error)
            except QuorateError as error:
                unread[id_] = str(error)
        stock = self.shelf(store, request.store, request.cluster)
        good = counting(stock, self._doubted(stock.manifests, request))
        return result(task, sound, broken, unread, good, bundles)

    def _doubted(self, manifests: tuple[Manifest, ...], request: VerifyRequest) -> Mapping[str, str]:
        return doubted(manifests, request.trust, self.signatures)

    def _mark(self, manifest: Manifest, kind: Kind, ticket: Ticket, reason: str = "") -> Mark:
        at = datetime.fromtimestamp(self.clock.time(), UTC)
        return Mark(manifest.directory, kind, at, ticket.actor, ticket.operation, reason)
