"""A backup restored on a machine of no cluster: sent, restored, compared, started, asked, and taken away again."""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from temporalio import activity

from activities.clusters.catalogued import Shelving, straight
from activities.recording.recorded import RecordedHosts, RecordedStores
from activities.recording.tickets import ticket_of
from activities.streams.checksums import drain
from activities.streams.fetched import fetched
from activities.streams.pipeline import beaten
from activities.streams.pushing import placed_on, receive
from activities.streams.walking import Walking
from quorate.backups.catalogue import Contents, Manifest, parse, read
from quorate.backups.marks import Kind, Mark, put
from quorate.backups.provenance import doubted
from quorate.backups.toolbox import find as find_tool
from quorate.command import Command, Ticket
from quorate.converge import Clock, Decide, Tick, converge, succeeded
from quorate.database.content import Content
from quorate.database.snapshot import Examination, joined
from quorate.drills.sandbox import differing_hash, fit, heard, journal, version_of_etcd
from quorate.errors import Busy, CommandFailed, Corrupt, DidNotConverge, Refusal
from quorate.members.etcd import minor
from quorate.nodes.pushed import Pushed
from quorate.nodes.seen import Look, NodeSeen
from quorate.ports import Cipher, Host, Signatures
from quorate.prove import (
    Chosen,
    Compared,
    ProveRequest,
    ProveResult,
    ProveTask,
    Restored,
    chosen,
    due,
    result,
    taken,
)
from quorate.verify import counting

T = TypeVar("T")


@dataclass(frozen=True)
class SandboxWork:
    hosts: RecordedHosts
    stores: RecordedStores
    cipher: Cipher
    signatures: Signatures
    clock: Clock = time
    tick: Tick = activity.heartbeat
    shelf: Shelving = straight

    @activity.defn(name="sandbox.choose", no_thread_cancel_exception=True)
    def choose(self, task: ProveTask) -> Chosen:
        return self._beaten(task, self._choose)

    @activity.defn(name="sandbox.claim", no_thread_cancel_exception=True)
    def claim(self, task: ProveTask) -> None:
        """Busy as long as another operation has it; one that was terminated has it for ever, so that is told too."""
        request, trial = task.request, task.request.trial
        try:
            self._beaten(task, lambda _, at, tick: self._converge(task, at, tick, trial.look(), trial.claim.hold))
        except Busy as error:
            if other := self.hosts.survey(request.node, trial.claim.look()).holder:
                raise Busy(f"{error}; {taken(request, other)}", next=error.next) from error
            raise

    @activity.defn(name="sandbox.restore", no_thread_cancel_exception=True)
    def restore(self, task: ProveTask) -> Restored:
        """Opened and expanded on the way, and nowhere but there on a disk."""
        return self._beaten(task, self._restore)

    @activity.defn(name="sandbox.read", no_thread_cancel_exception=True)
    def read(self, task: ProveTask) -> Compared:
        """What the restore tool has made of it, before any etcd runs on it.

        From then on it changes by itself: leases run out, and a compaction that was under way is finished.
        """
        return self._beaten(task, self._read)

    @activity.defn(name="sandbox.start", no_thread_cancel_exception=True)
    def start(self, task: ProveTask) -> Compared:
        """An etcd that does not run says why in its journal, so the failure quotes it."""
        return self._beaten(task, self._start)

    @activity.defn(name="sandbox.clear", no_thread_cancel_exception=True)
    def clear(self, task: ProveTask) -> None:
        self._beaten(task, self._clear)

    @activity.defn(name="sandbox.remove", no_thread_cancel_exception=True)
    def remove(self, task: ProveTask) -> None:
        """Seen gone before the claim is given back: whoever has it next finds an empty place."""
        self._beaten(task, self._remove)

    @activity.defn(name="sandbox.mark", no_thread_cancel_exception=True)
    def mark(self, task: ProveTask) -> ProveResult:
        return self._beaten(task, self._mark)

    def _beaten(self, task: ProveTask, work: Callable[[ProveTask, Ticket, Tick], T]) -> T:
        ticket = ticket_of(task)
        return beaten(lambda tick: work(task, ticket, tick), self.tick)

    def _choose(self, task: ProveTask, ticket: Ticket, _tick: Tick) -> Chosen:
        request = task.request
        stock = self.shelf(self.stores.at(request.store, ticket), request.store, request.cluster)
        if not request.snapshot and not due(stock, request.within_s, self._now()):
            return Chosen(note=f"nothing was due: one was proved in the last {request.within_s / 86400:g} days")
        doubts = self._doubted(stock.manifests, request)
        found = chosen(stock, request, doubts)
        if why := doubts.get(found.id):
            raise Refusal(f"{found.id}: {why}", next=f"quorate snapshots ls {request.cluster}")
        return Chosen(found.id, found.manifest_key, hashlib.sha256(found.encode()).hexdigest())

    def _restore(self, task: ProveTask, ticket: Ticket, tick: Tick) -> Restored:
        request, manifest = task.request, self._manifest(task, ticket)
        trial, host = request.trial, self._host(task, ticket, self._look(task))
        seen = host.look()
        self._fit(request, manifest, host, tick)
        succeeded(host.do(trial.prepare(), tick))
        tool = self._tool(task, manifest, seen, ticket, tick)
        if trial.needs_snapshot(seen, manifest.size_bytes):
            arriving = trial.arriving(ticket.turn, ticket.attempt)
            chunks = fetched(self.stores.at(request.store, ticket), self.cipher, manifest, request.identities)
            receive(host, trial.receive(arriving, manifest.size_bytes), chunks, manifest.key, tick)
            succeeded(host.do((trial.arrived(arriving),), tick))
        self._converge(
            task, ticket, tick, self._look(task), lambda now, _: trial.restore(tool, manifest.sha256, now), 1800
        )
        return Restored(tool, manifest.size_bytes)

    def _fit(self, request: ProveRequest, manifest: Manifest, host: Host, tick: Tick) -> None:
        (ran, *_) = host.do((version_of_etcd(request.etcd),), tick).ran
        fit(ran.tail if ran.exit == 0 else "", manifest.version, request.etcd, request.node.name)

    def _tool(self, task: ProveTask, manifest: Manifest, seen: NodeSeen, ticket: Ticket, tick: Tick) -> str:
        """The program that is there, where it is of the backup's version; else the one that the store has."""
        request, wanted = task.request, minor(manifest.version)
        if minor(seen.tools.get(request.restore_tool, "")) == wanted:
            return request.restore_tool
        store = self.stores.at(request.store, ticket)
        kept = find_tool(store, manifest.version, seen.architecture)
        if kept is None:
            raise Refusal(
                f"neither the sandbox {request.node.name} nor the store has a restore tool of etcd {wanted}",
                next=f"install one there as {request.restore_tool}",
            )
        pushed = Pushed(kept.stored, request.trial.home)
        placed_on(self._host(task, ticket, pushed.look()), pushed, store, ticket, tick)
        self._converge(task, ticket, tick, pushed.look(), pushed.proved)
        return pushed.path

    def _read(self, task: ProveTask, ticket: Ticket, tick: Tick) -> Compared:
        manifest, trial = self._manifest(task, ticket), task.request.trial
        seen = self._host(task, ticket, trial.look()).look()
        if trial.db not in seen.paths or not seen.units[trial.unit].gone:
            raise CommandFailed(f"{trial.data} is not as it was restored")
        if manifest.content is None:
            return Compared(note="the manifest does not say what it holds: HashKV alone was compared")
        command = Command(("cat", "--", trial.db))
        examination = Examination(manifest.revision)

        def examined(chunks: Iterator[bytes]) -> str:
            for piece in joined(trailed(ticking(chunks, tick))):
                examination.feed(piece)
            return f"revision {examination.facts().revision}"

        def walked(chunks: Iterator[bytes]) -> str:
            drain(walking.of(joined(trailed(ticking(chunks, tick)))))
            return walking.walked().content.digest

        try:
            self.hosts.taken(task.request.node, command, ticket, examined)
            walking = Walking(examination.uses)
            digest = self.hosts.taken(task.request.node, command, ticket, walked)
        except Corrupt as error:
            return Compared(differs=f"what was restored from it is damaged: {error}")
        return Compared(differing_content(walking.walked().content, manifest.content), facts={"content": digest})

    def _start(self, task: ProveTask, ticket: Ticket, tick: Tick) -> Compared:
        manifest, trial = self._manifest(task, ticket), task.request.trial
        host = self._host(task, ticket, trial.look())
        try:
            converge(host, trial.start, 600, self.clock, tick)
            (answer,) = succeeded(host.do((trial.ask(manifest.revision),), tick)).ran
        except (DidNotConverge, CommandFailed) as error:
            said = host.do((journal(trial.unit),), tick).ran[0].tail
            raise type(error)(f"{error}; its journal ends: {said}") from error
        found, wanted = heard(answer.tail, manifest.revision), manifest.hash_kv
        facts = {"hash": str(found.hash), "revision": str(found.revision)}
        if wanted and wanted.compact_revision == found.compact_revision:
            return Compared(differing_hash(found, wanted.hash), facts=facts)
        why = "the manifest has none"
        if wanted:
            why = f"it is of a cluster that was compacted to {wanted.compact_revision} meanwhile"
        if manifest.content is None:
            raise Refusal(f"{manifest.id} cannot be compared: no content digest, and of HashKV {why}")
        return Compared(note=f"HashKV was not compared: {why}", facts=facts)

    def _clear(self, task: ProveTask, ticket: Ticket, tick: Tick) -> NodeSeen:
        trial = task.request.trial
        return self._converge(task, ticket, tick, trial.look(), trial.remove)

    def _remove(self, task: ProveTask, ticket: Ticket, tick: Tick) -> None:
        trial = task.request.trial
        if trial.claim.file not in self._clear(task, ticket, tick).paths:
            return  # an attempt before has seen it gone, and given the claim back
        host = self._host(task, ticket, trial.look())
        succeeded(host.do((*trial.forget(), trial.gone()), tick))
        converge(host, trial.claim.release, 60, self.clock, tick)

    def _mark(self, task: ProveTask, ticket: Ticket, _tick: Tick) -> ProveResult:
        request, manifest = task.request, self._manifest(task, ticket)
        store = self.stores.at(request.store, ticket)
        kind = Kind.QUARANTINED if task.differs else Kind.RESTORED
        put(store, Mark(manifest.directory, kind, self._now(), ticket.actor, ticket.operation, task.differs))
        stock = self.shelf(store, request.store, request.cluster)
        return result(task, counting(stock, self._doubted(stock.manifests, request)))

    def _look(self, task: ProveTask) -> Look:
        request = task.request
        return request.trial.look() | Look(spaces=(request.data_dir,), tools=(request.restore_tool,))

    def _host(self, task: ProveTask, ticket: Ticket, look: Look) -> Host:
        return self.hosts.at(task.request.node, look, ticket)

    def _converge(
        self,
        task: ProveTask,
        ticket: Ticket,
        tick: Tick,
        look: Look,
        decide: Decide[NodeSeen, Command],
        patience_s: float = 60,
    ) -> NodeSeen:
        return converge(self._host(task, ticket, look), decide, patience_s, self.clock, tick).seen

    def _manifest(self, task: ProveTask, ticket: Ticket) -> Manifest:
        return manifest_of(self.stores, task, ticket)

    def _doubted(self, manifests: tuple[Manifest, ...], request: ProveRequest) -> Mapping[str, str]:
        return doubted(manifests, request.trust, self.signatures)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.time(), UTC)


def manifest_of(stores: RecordedStores, task: ProveTask, ticket: Ticket) -> Manifest:
    """Of the backup that was chosen; Refusal where it is another one by now."""
    key = task.chosen.manifest_key
    text = read(stores.at(task.request.store, ticket), key)
    if hashlib.sha256(text).hexdigest() != task.chosen.manifest_sha256:
        raise Refusal(f"{key} is another one than was chosen", next=f"quorate snapshots ls {task.request.cluster}")
    return parse(text, key)


def ticking(chunks: Iterable[bytes], tick: Tick) -> Iterator[bytes]:
    passed = 0
    for chunk in chunks:
        yield chunk
        passed += len(chunk)
        tick(f"{passed >> 20} MiB read back")


def trailed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A database as a snapshot of it would be: with its sha256 behind it."""
    whole = hashlib.sha256()
    for chunk in chunks:
        whole.update(chunk)
        yield chunk
    yield whole.digest()


def differing_content(found: Content, wanted: Contents) -> str:
    if (found.digest, found.records, found.prefixes) == (wanted.digest, wanted.records, wanted.prefixes):
        return ""
    return (
        f"restored it holds {found.records} records with the content digest {found.digest[:12]}…, "
        f"its manifest says {wanted.records} with {wanted.digest[:12]}…"
    )
