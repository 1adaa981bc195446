"""A snapshot's way into the store and back: nothing on disk, a few megabytes in memory at any size."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.backups.asking import Asking
from activities.backups.measuring import Early, Measuring
from activities.backups.passing import Passing, settled
from activities.backups.sweeping import swept
from activities.backups.toolbox import Toolbox
from activities.recording.recorded import RecordedEtcds, RecordedHosts, RecordedStores
from activities.recording.tickets import ticket_of
from activities.streams.checksums import Sum, drain
from activities.streams.compression import LEVEL, compressed, expanded
from activities.streams.easing import Easing, defragmenting, told_of, unwatched
from activities.streams.pipeline import Pace, ahead, beaten, beside
from activities.streams.sealed import opened
from activities.streams.walking import Walking, learnt
from quorate.backup import (
    BackupResult,
    BackupTask,
    Choice,
    ReadBack,
    Streamed,
    manifest,
    notes_of,
    result,
)
from quorate.backups.catalogue import ENCRYPTED, MANIFEST, SNAPSHOT, Manifest, directory, key_of, read
from quorate.backups.choosing import choose, findings, least_sick
from quorate.backups.provenance import signed
from quorate.command import Ticket
from quorate.converge import Clock, Tick
from quorate.database.pages import heard, told
from quorate.database.snapshot import Facts, joined
from quorate.errors import AlreadyThere, Corrupt, Failed, QuorateError, Refusal, Unreachable
from quorate.members.agreement import order
from quorate.members.etcd import EtcdSeen, EtcdTarget
from quorate.ports import Cipher, Disks, Etcd, Signing, Store, Uploads
from quorate.settings.policies import Lock
from quorate.suspicion import Baseline, baseline

AHEAD = 1  # piece between two threads that read, examine and compress: a second one gains nothing
LOOK_AGAIN_S = 0.5
SETTLE_S = 10.0  # an election, or a member that catches up
Proof = Callable[[BackupTask, Ticket, Tick], ReadBack]


@dataclass(frozen=True, slots=True)
class Import:
    """A snapshot that was not taken by us: its bytes, as often as they are asked for, its time and revision."""

    chunks: Callable[[], Iterator[bytes]]
    taken: int
    revision: int


@dataclass(frozen=True)
class Snapshots:
    etcds: RecordedEtcds
    stores: RecordedStores
    hosts: RecordedHosts
    cipher: Cipher
    signing: Signing
    uploads: Uploads
    clock: Clock = time
    tick: Tick = activity.heartbeat
    disks: Disks | None = None  # nobody asks how they do, where nothing but a file is read or a cluster is down

    @activity.defn(name="backup.choose", no_thread_cancel_exception=True)
    def choose(self, task: BackupTask) -> Choice:
        """Looks again for a while: an election, or being behind by a moment, is no reason to fail."""
        ticket = ticket_of(task)
        choice = beaten(lambda tick: self._choose(task, ticket, tick), self.tick)
        with self.etcds.at(choice.target, ticket) as etcd:
            auth = bool(choice.target.user) if choice.alone else etcd.auth_enabled()  # asked of a quorum
        return replace(choice, auth=auth)

    @activity.defn(name="snapshots.stream", no_thread_cancel_exception=True)
    def stream(self, task: BackupTask) -> Streamed:
        """Every attempt has a key of its own, named after its time, so a dead one is never in the way.

        Whatever else there is to ask, of nodes and of the store, is asked while the member sends.
        """
        ticket, cluster, cluster_id = ticket_of(task), task.request.cluster, chosen(task).cluster_id
        store = self.stores.at(task.request.store, ticket)
        asked = Asking(self.hosts, self.clock).begun(task.request)

        def sent(tick: Tick) -> tuple[Streamed, Baseline | None]:
            return beside(lambda: self._stream(task, ticket, tick), lambda: baseline(store, cluster, cluster_id))

        put, before = beaten(sent, self.tick)
        return replace(put, nodes=asked.told(), before=before)

    @activity.defn(name="snapshots.read_back", no_thread_cancel_exception=True)
    def read_back(self, task: BackupTask) -> ReadBack:
        """The store's word is not taken: it has to be what etcd sent. Whoever was not measured yet is, beside it."""
        ticket = ticket_of(task)
        return beaten(lambda tick: self._proof(task, ticket, tick), self.tick)

    @activity.defn(name="snapshots.publish", no_thread_cancel_exception=True)
    def publish(self, task: BackupTask) -> BackupResult:
        """From here on the snapshot exists; a manifest that is there already must be this one. Then the tool."""
        ticket = ticket_of(task)
        published = beaten(lambda tick: self._publish(task, ticket, tick), self.tick)
        toolbox = Toolbox(self.hosts, self.stores, self.clock)
        lacks = beaten(lambda tick: toolbox.keep(task, ticket, tick), self.tick)
        return replace(published, notes=(*published.notes, *lacks))

    def taken(self, task: BackupTask, ticket: Ticket, tick: Tick) -> Manifest:
        """Stream, read back and publish in one go, for a member that has been chosen already."""
        return self._proved(task, lambda: self._stream(task, ticket, tick), self._proof, ticket, tick)

    def imported(self, task: BackupTask, source: Import, ticket: Ticket, tick: Tick) -> Manifest:
        """The same for what somebody else has saved."""

        def put() -> Streamed:
            return self._put(task, lambda: joined(source.chunks()), source.taken, source.revision, ticket, tick)

        return self._proved(task, put, self._read_back, ticket, tick)

    def _proved(
        self, task: BackupTask, put: Callable[[], Streamed], proof: Proof, ticket: Ticket, tick: Tick
    ) -> Manifest:
        began = self.clock.monotonic()
        task = replace(task, streamed=put())
        read_back = proof(task, ticket, tick)
        task = replace(task, duration_s=self.clock.monotonic() - began, read_back=read_back)
        self._publish(task, ticket, tick)
        return manifest(task)

    def _choose(self, task: BackupTask, ticket: Ticket, tick: Tick) -> Choice:
        limit = self.clock.monotonic() + SETTLE_S
        sick = task.request.when_sick == "degraded"
        while True:
            try:
                (revision, seen), disks = beside(
                    lambda: (self._linearizable_revision(task, ticket), self._look(task, ticket)),
                    lambda: told_of(self.disks, task.request.targets),
                )
                name = choose(seen, revision, task.request.member, defragmenting(disks))
                return replace(choice_of(task, name, seen, revision), notes=unwatched(disks, name))
            except (Refusal, Unreachable) as error:
                if self.clock.monotonic() >= limit and sick:
                    return self._sick(task, ticket, str(error))
                if self.clock.monotonic() >= limit or (isinstance(error, Unreachable) and not sick):
                    raise
                tick(str(error))
            self.clock.sleep(LOOK_AGAIN_S)

    def _sick(self, task: BackupTask, ticket: Ticket, why: str) -> Choice:
        """Nobody can vouch for it, and it may be the last that there is."""
        seen = self._look(task, ticket)
        name = least_sick(seen, task.request.member)
        made = choice_of(task, name, seen, 0)
        notes = unwatched(told_of(self.disks, (made.target,)), name)
        findings = (f"taken although {why}", *made.findings)
        return replace(made, alone=True, others=(), findings=findings, notes=notes)

    def _look(self, task: BackupTask, ticket: Ticket) -> dict[str, EtcdSeen | str]:
        def look(target: EtcdTarget) -> EtcdSeen | str:
            try:
                with self.etcds.at(target, ticket) as etcd:
                    return etcd.look()
            except QuorateError as error:
                return str(error)

        with ThreadPoolExecutor(len(task.request.targets), "look") as pool:
            return {
                t.name: s for t, s in zip(task.request.targets, pool.map(look, task.request.targets), strict=True)
            }

    def _linearizable_revision(self, task: BackupTask, ticket: Ticket) -> int:
        """Of the first member that can answer for a quorum; Unreachable if none can."""
        reasons = []
        for target in task.request.targets:
            try:
                with self.etcds.at(target, ticket) as etcd:
                    return etcd.linearizable_revision()
            except QuorateError as error:
                reasons.append(f"{target.name}: {error}")
        raise Unreachable(
            f"no member of {task.request.cluster} answers a linearizable read, so it has no quorum:"
            f" {'; '.join(reasons)}",
            next=f"quorate inspect {task.request.cluster}",
        )

    def _stream(self, task: BackupTask, ticket: Ticket, tick: Tick) -> Streamed:
        request, choice = task.request, chosen(task)
        with self.etcds.at(choice.target, ticket) as etcd:
            easing = Easing(self.disks, choice.target, self.clock)
            (started, floor), _ = beside(
                lambda: (int(self.clock.time()), floor_of(etcd, choice)), lambda: easing.begin(ticket.attempt)
            )
            measuring = Measuring(self.etcds, self.clock)

            def sent() -> Iterator[bytes]:
                pace = Pace(request.rate_bytes_s, self.clock)
                blobs = settled(pace.of(etcd.snapshot()), etcd, choice.target.name, self.clock)
                return joined(easing.over(blobs, pace))

            with ThreadPoolExecutor(1, "measure") as pool:
                early = Early(lambda facts: measuring.of(task, ticket, facts, tick), pool)
                return early.told(self._put(task, sent, started, floor, ticket, tick, early.known))

    def _put(
        self,
        task: BackupTask,
        chunks: Callable[[], Iterator[bytes]],
        started: int,
        floor: int,
        ticket: Ticket,
        tick: Tick,
        known: Callable[[Facts], None] = lambda _: None,
    ) -> Streamed:
        """Examined, compressed and encrypted as it passes; what is not sound does not come to be stored.

        `known` hears what was sent as soon as all of it was.
        """
        request, choice = task.request, chosen(task)
        store = self.stores.at(request.store, ticket)
        place = request.store.place
        others = swept(store, place, f"{request.cluster}/{choice.cluster_id}/", self.uploads, self.clock.time())
        name, sealed = self._sealed(request.recipients)
        where = directory(request.cluster, choice.cluster_id, datetime.fromtimestamp(started, UTC), floor)
        passing = Passing(floor, known)
        with ahead(chunks(), AHEAD, tick) as sent, ahead(passing.examined(sent), AHEAD, tick) as pieces:
            try:
                with self.uploads.storing(place, key_of(where, name)):
                    stored = store.put(key_of(where, name), passing.out(sealed(compressed(pieces))), tick)
            except AlreadyThere as error:
                raise Failed(f"{error}: another attempt began in the same second") from error
        facts = passing.known()
        return Streamed(
            directory=where,
            key=stored.key,
            revision=facts.revision,
            size_bytes=facts.size_bytes,
            sha256=facts.sha256,
            db_sha256=facts.db_sha256,
            stored_bytes=stored.size_bytes,
            stored_sha256=passing.stored.sha256,
            level=LEVEL,
            started=started,
            keys={},
            findings=others,
            uses=told(passing.uses),
        )

    def _sealed(self, recipients: tuple[str, ...]) -> tuple[str, Callable[[Iterator[bytes]], Iterator[bytes]]]:
        """What the object is called, and what makes it of compressed bytes; keys are tried before etcd is asked."""
        if not recipients:
            return SNAPSHOT, lambda chunks: chunks
        drain(self.cipher.encrypted((), recipients))
        return ENCRYPTED, lambda chunks: self.cipher.encrypted(chunks, recipients)

    def _proof(self, task: BackupTask, ticket: Ticket, tick: Tick) -> ReadBack:
        """Read back by one thread while the members measure, which is work for theirs and none for ours."""
        put = streamed(task)

        if put.keys:
            return self._read_back(task, ticket, tick)
        found, said = beside(
            lambda: self._read_back(task, ticket, tick),
            lambda: Measuring(self.etcds, self.clock).of(task, ticket, put, tick),
        )
        return replace(found, measured=said)

    def _read_back(self, task: BackupTask, ticket: Ticket, tick: Tick) -> ReadBack:
        wanted, request = streamed(task), task.request
        stored, sent = Sum(), Sum()
        store = self.stores.at(request.store, ticket)
        if request.recipients and not request.identities:
            with ahead(store.get(wanted.key), AHEAD, tick) as chunks:
                drain(stored.of(chunks))
            return same(ReadBack(wanted.size_bytes, wanted.sha256, stored.sha256, decrypted=False), wanted)
        walking = Walking(heard(wanted.uses) or self._uses(task, store, tick))
        with self._clear(task, store, stored, sent, tick) as pieces:
            drain(walking.of(pieces))
        found = same(ReadBack(sent.size_bytes, sent.sha256, stored.sha256), wanted)
        return replace(found, walked=walking.walked())

    @contextmanager
    def _clear(self, task: BackupTask, store: Store, stored: Sum, sent: Sum, tick: Tick) -> Iterator[Iterator[bytes]]:
        """What lies in the store, opened and expanded: in threads that take about as long as each other."""
        request, key = task.request, streamed(task).key
        with ahead(store.get(key), AHEAD, tick) as chunks:
            clear = opened(self.cipher, stored.of(chunks), request.recipients, request.identities, key)
            with ahead(expanded(clear, key), AHEAD, tick) as whole, ahead(sent.of(whole), AHEAD, tick) as pieces:
                yield pieces

    def _uses(self, task: BackupTask, store: Store, tick: Tick) -> bytes:
        """Of its pages, by one more reading: they were too many and too strewn to be told by the step before."""
        with self._clear(task, store, Sum(), Sum(), tick) as pieces:
            return learnt(pieces, streamed(task).revision)

    def _publish(self, task: BackupTask, ticket: Ticket, tick: Tick) -> BackupResult:
        made = signed(manifest(task), self.signing)
        store = self.stores.at(task.request.store, ticket)
        key = key_of(streamed(task).directory, MANIFEST)
        try:
            store.put(key, (made.encode(),), tick)
        except AlreadyThere:
            if read(store, key) != made.encode():
                raise
        unlocked = locked(store, task.request.lock, made) if task.request.lock else ()
        return result(made, notes_of(task), unlocked)


def locked(store: Store, lock: Lock, made: Manifest) -> tuple[str, ...]:
    """Only what is proved is locked: half a backup would have to be kept as long. Why it is not, where it fails."""
    until = made.created_at + timedelta(seconds=lock.keep)
    try:
        for key in made.keys_stored:
            store.lock(key, until, lock.mode)
    except QuorateError as error:
        return (f"it is not locked: {error}",)
    return ()


def same(found: ReadBack, wanted: Streamed) -> ReadBack:
    if (found.size_bytes, found.sha256, found.stored_sha256) != (
        wanted.size_bytes,
        wanted.sha256,
        wanted.stored_sha256,
    ):
        raise Corrupt(
            f"the store gave back something else than {wanted.key}: {found.size_bytes} bytes"
            f" with sha256 {found.sha256[:12]}…, etcd sent {wanted.size_bytes} with {wanted.sha256[:12]}…;"
            " no manifest was written"
        )
    return found


def choice_of(task: BackupTask, name: str, seen: dict[str, EtcdSeen | str], revision: int) -> Choice:
    source = seen[name]
    assert isinstance(source, EtcdSeen), "a member that did not answer was chosen"
    return Choice(
        target=next(target for target in task.request.targets if target.name == name),
        member_id=source.member_id,
        version=source.version,
        cluster_id=source.cluster_id,
        revision=revision,
        members=source.members,
        findings=findings(seen),
        others=order(name, seen),
    )


def floor_of(etcd: Etcd, choice: Choice) -> int:
    """The snapshot is not older: than the cluster, or than the member itself where it is all there is."""
    return etcd.look().revision if choice.alone else etcd.linearizable_revision()


def chosen(task: BackupTask) -> Choice:
    assert task.choice is not None, "streamed before it was chosen"
    return task.choice


def streamed(task: BackupTask) -> Streamed:
    assert task.streamed is not None, "read back before it was streamed"
    return task.streamed
