"""What is done at one node: every verb is a decider handed to the one loop."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from temporalio import activity

from activities.recording.recorded import RecordedHosts, RecordedStores
from activities.streams.checksums import proved
from activities.streams.compression import expanded
from activities.streams.pushing import placed_on, receive
from activities.streams.readings import Readings
from activities.streams.sealed import opened
from quorate.chosen import SnapshotRef
from quorate.command import Command, Ticket
from quorate.converge import Clock, Converged, Decide, Left, Ran, Receipt, Tick, converge, succeeded
from quorate.errors import CommandFailed, DidNotConverge
from quorate.nodes.durable import unsettled
from quorate.nodes.node import Restored
from quorate.nodes.pushed import Pushed
from quorate.nodes.seen import Look, NodeSeen
from quorate.nodes.supervisor import join
from quorate.nodes.swapped import Looks
from quorate.ports import Cipher, Host
from quorate.task import ClusterTask, NodeTask

LAST_TURN = 10**9  # no operation gets that far, however often it is adopted
ZSTD = "/usr/bin/zstd"
VERBS = (
    "claim",
    "release",
    "stage",
    "discard",
    "bar",
    "unbar",
    "fence",
    "resume",
    "swap",
    "put_back",
    "start",
    "admit",
    "note",
    "tidy",
    "replay",
    "forget",
    "kubelets",
    "shut_out",
    "let_in",
    "equip",
    "unequip",
    "unlist",
    "list_again",
    "inherit",
    "check",
    "join",
)


def verb(name: str) -> Callable[..., Callable[..., Receipt]]:
    """A wire name; a cancel is noticed between acts, never inside one."""
    return activity.defn(name=name, no_thread_cancel_exception=True)


@dataclass(frozen=True)
class Nodes:
    hosts: RecordedHosts
    stores: RecordedStores
    cipher: Cipher
    clock: Clock
    tick: Tick = activity.heartbeat
    readings: Readings = field(default_factory=Readings)

    @verb("nodes.claim")
    def claim(self, task: NodeTask) -> Receipt:
        """And what would be needed to go on without us: see `quorate adopt`."""
        look = task.claim.look() | task.records.look()
        return self._converge(task, look, lambda seen, s: task.claim.hold(seen, s) or task.records.write(seen))

    @verb("nodes.inherit")
    def inherit(self, task: NodeTask) -> Receipt:
        """The claim of before is released as its own operation would have done it, above all of its turns."""
        if not task.share.inherits:
            return Receipt(started=self.clock.time())
        ticket = ticket_of(task)
        former = replace(ticket, operation=task.share.inherits, turn=LAST_TURN)
        host = self.hosts.instead(task.share.node, task.inherited.look(), ticket, former)
        return self._loop(task, host, task.inherited.release).receipt

    @verb("nodes.release")
    def release(self, task: NodeTask) -> Receipt:
        """The last that is done at a node, so here it is told what ran before and does not now."""
        look = task.claim.look() | task.everything.look()
        done = self._loop(task, self._host(task, look), task.claim.release)
        down = task.everything.down(done.seen)
        return replace(done.receipt, facts={"down": f"{task.share.node.name}: {', '.join(down)}"} if down else {})

    @verb("nodes.equip")
    def equip(self, task: NodeTask) -> Receipt:
        """Only where the plan found no tool on the node."""
        started, began, ran = self.clock.time(), self.clock.monotonic(), tuple[Ran, ...]()
        if task.share.image:
            ran = self._converge(task, task.copied.look(), task.copied.copy).ran
        if task.pushed:
            ran += self._push(task, task.pushed)
        return Receipt(ran, started, self.clock.monotonic() - began)

    @verb("nodes.unequip")
    def unequip(self, task: NodeTask) -> Receipt:
        if not task.given:
            return Receipt(started=self.clock.time())
        look = Look()
        for each in task.given:
            look |= each.look()
        return self._converge(task, look, lambda seen, s: join([each.remove(seen, s) for each in task.given]))

    @verb("nodes.stage")
    def stage(self, task: NodeTask) -> Receipt:
        """Bring the snapshot to the node unless it is there, then restore it beside the live data."""
        started, began = self.clock.time(), self.clock.monotonic()
        look = task.data.look() | task.records.look() | task.data.look_for_room() | Look(paths=(ZSTD,))
        host = self._host(task, look)
        seen = host.look()
        if task.data.needs_snapshot(seen, task.snapshot.size_bytes):
            self._send(task, host, unpack_there=ZSTD in seen.paths)
        restored = restored_of(task)
        done = self._loop(task, host, lambda seen, _: task.records.write(seen) or task.data.stage(restored, seen))
        self._settle(task.data.folders, host, done)
        facts = {"staged": done.seen.texts.get(task.data.digest, "")}
        return Receipt(done.receipt.ran, started, self.clock.monotonic() - began, facts)

    @verb("nodes.discard")
    def discard(self, task: NodeTask) -> Receipt:
        return self._converge(task, task.data.look(), task.data.discard)

    @verb("nodes.bar")
    def bar(self, task: NodeTask) -> Receipt:
        """Before anything stops, so that no reload of systemd and no reading of a disk is part of the outage."""
        clients, units = task.share.clients, task.everything
        host = self._host(task, units.look() | clients.look())
        done = self._loop(task, host, lambda seen, s: join([units.bar(seen, s), clients.close(seen, s)]))
        if not task.snapshot.key:  # nothing is staged: there is nothing to stage, or it is not taken yet
            return done.receipt
        warmed = succeeded(host.do((task.data.warm(),), self.tick))
        return replace(done.receipt, ran=(*done.receipt.ran, *warmed.ran))

    @verb("nodes.unbar")
    def unbar(self, task: NodeTask) -> Receipt:
        clients, units = task.share.clients, task.everything
        look = units.look() | clients.look()
        return self._converge(task, look, lambda seen, s: join([clients.admit(seen, s), units.unbar(seen, s)]))

    @verb("nodes.admit")
    def admit(self, task: NodeTask) -> Receipt:
        return self._converge(task, task.share.clients.look(), task.share.clients.admit)

    @verb("nodes.note")
    def note(self, task: NodeTask) -> Receipt:
        """What runs now, where whoever thaws looks for it."""
        return self._converge(task, task.note.look(), task.note.write)

    @verb("nodes.tidy")
    def tidy(self, task: NodeTask) -> Receipt:
        return self._converge(task, task.removal.look(), task.removal.remove)

    @verb("nodes.fence")
    def fence(self, task: NodeTask) -> Receipt:
        return self._durably(task, task.units.look(), task.units.fence, task.units.folders)

    @verb("nodes.resume")
    def resume(self, task: NodeTask) -> Receipt:
        """The clients first: an apiserver that is resumed next may use another node's etcd."""
        clients, units = task.share.clients, task.units
        if task.control:
            return self._durably(task, units.look(), units.resume, units.folders)
        look = units.look() | clients.look() | task.data.look_for_pair()

        def resume(seen: NodeSeen, waited_s: float) -> Left[Command]:
            task.data.check_pair(seen, restored=False)
            return clients.admit(seen, waited_s) or units.resume(seen, waited_s)

        return self._durably(task, look, resume, units.folders)

    @verb("nodes.swap")
    def swap(self, task: NodeTask) -> Receipt:
        return self._durably(task, task.data.look(), task.data.swap, task.data.folders)

    @verb("nodes.put_back")
    def put_back(self, task: NodeTask) -> Receipt:
        return self._durably(task, task.data.look(), task.data.put_back, task.data.folders)

    @verb("nodes.start")
    def start(self, task: NodeTask) -> Receipt:
        """A unit that does not start says why in its journal, so the failure quotes it."""
        host = self._host(task, task.units.look() | task.share.clients.look() | task.data.look_for_pair())

        def start(seen: NodeSeen, waited_s: float) -> Left[Command]:
            if not task.control:
                task.data.check_pair(seen, restored=True)
            return load(task, seen) or task.units.start(seen, waited_s)

        try:
            done = self._loop(task, host, start)
        except (DidNotConverge, CommandFailed) as error:
            said = host.do((task.units.journal(),), self.tick).ran[0].tail
            raise type(error)(f"{error}; its journal ends: {said}") from error
        if not task.control:
            task.share.clients.shut(done.seen)
        return replace(done.receipt, ran=done.receipt.ran + self._settle(task.units.folders, host, done))

    @verb("nodes.kubelets")
    def kubelets(self, task: NodeTask) -> Receipt:
        return self._converge(task, task.kubelet.look(), task.kubelet.restart)

    @verb("nodes.shut_out")
    def shut_out(self, task: NodeTask) -> Receipt:
        """Where there is a firewall to do it with; the plan says where there is none."""
        assert task.absent, "only a plan without somebody has this step"
        if not task.share.clients.firewall:
            return Receipt(started=self.clock.time())
        return self._converge(task, task.absent.look(), task.absent.shut_out)

    @verb("nodes.let_in")
    def let_in(self, task: NodeTask) -> Receipt:
        assert task.absent, "only a plan without somebody has this step"
        return self._converge(task, task.absent.look(), task.absent.let_in)

    @verb("nodes.unlist")
    def unlist(self, task: NodeTask) -> Receipt:
        return self._converge(task, task.unlisting.look(), task.unlisting.take_out)

    @verb("nodes.list_again")
    def list_again(self, task: NodeTask) -> Receipt:
        return self._converge(task, task.unlisting.look(), task.unlisting.put_back)

    @verb("nodes.replay")
    def replay(self, task: NodeTask) -> Receipt:
        """An etcd that cannot replay says why in its journal, so the failure quotes it."""
        host = self._host(task, task.replay.look())
        try:
            return self._loop(task, host, task.replay.start).receipt
        except (DidNotConverge, CommandFailed) as error:
            said = host.do((task.replay.journal(),), self.tick).ran[0].tail
            raise DidNotConverge(f"{error}; its journal ends: {said}") from error

    @verb("nodes.forget")
    def forget(self, task: NodeTask) -> Receipt:
        return self._converge(task, task.replay.look(), task.replay.forget)

    @verb("nodes.check")
    def check(self, task: NodeTask) -> Receipt:
        """What would only fail when there is no way back any more."""
        started, began = self.clock.time(), self.clock.monotonic()
        host = self._host(task, task.joining.look())
        ran = succeeded(host.do(task.joining.checks(), self.tick)).ran
        return Receipt(ran, started, self.clock.monotonic() - began)

    @verb("nodes.join")
    def join(self, task: NodeTask) -> Receipt:
        """An etcd that cannot join says why in its journal, so the failure quotes it."""
        joining = task.joining
        host = self._host(task, joining.look())
        if left := joining.forget(host.look()):
            succeeded(host.do(left, self.tick))
        try:
            done = self._loop(task, host, joining.join)
        except (DidNotConverge, CommandFailed) as error:
            said = host.do((joining.journal(),), self.tick).ran[0].tail
            raise DidNotConverge(f"{error}; its journal ends: {said}") from error
        return replace(done.receipt, ran=done.receipt.ran + self._settle(task.data.folders, host, done))

    def _converge(self, task: NodeTask, look: Look, decide: Decide[NodeSeen, Command]) -> Receipt:
        return self._loop(task, self._host(task, look), decide).receipt

    def _durably(
        self, task: NodeTask, look: Look, decide: Decide[NodeSeen, Command], folders: tuple[str, ...]
    ) -> Receipt:
        """The names in these directories are on the disk, whoever gave them."""
        host = self._host(task, look)
        done = self._loop(task, host, decide)
        return replace(done.receipt, ran=done.receipt.ran + self._settle(folders, host, done))

    def _settle(self, folders: tuple[str, ...], host: Host, done: Converged[NodeSeen]) -> tuple[Ran, ...]:
        left = unsettled(folders, done.receipt.ran)
        return succeeded(host.do(left, self.tick)).ran if left else ()

    def _loop(self, task: NodeTask, host: Host, decide: Decide[NodeSeen, Command]) -> Converged[NodeSeen]:
        return converge(host, decide, task.patience_s, self.clock, self.tick)

    def _host(self, task: NodeTask, look: Look) -> Host:
        return self.hosts.at(task.share.node, look, ticket_of(task))

    def _push(self, task: NodeTask, pushed: Pushed) -> tuple[Ran, ...]:
        """What the store gives is checked as it passes, and what has arrived once more."""
        host, ticket = self._host(task, pushed.look()), ticket_of(task)
        placed = placed_on(host, pushed, self.stores.at(task.store, ticket), ticket, self.tick)
        return (*placed, *self._loop(task, host, pushed.proved).receipt.ran)

    def _send(self, task: NodeTask, host: Host, *, unpack_there: bool) -> None:
        """Compressed on the wire where the node can unpack it; what the store gave is checked as it passes."""
        ticket = ticket_of(task)
        store, key = self.stores.at(task.store, ticket), task.snapshot.key
        chunks = self.readings.of(f"{task.store.url}/{key}", lambda: self._clear(store.get(key), task.snapshot))
        arriving = task.data.arriving(ticket.turn, ticket.attempt)
        unpack = (ZSTD, "-d", "-q", "-c") if unpack_there else ("cat",)
        command = task.data.receive(arriving, task.snapshot.size_bytes, unpack)
        unpacked = chunks if unpack_there else expanded(chunks, key)
        receive(host, command, unpacked, key, self.tick)
        host.do((task.data.arrived(arriving),), self.tick)

    def _clear(self, stored: Iterator[bytes], snapshot: SnapshotRef) -> Iterator[bytes]:
        """What was stored, and nothing else; opened, where it is encrypted."""
        chunks = proved(stored, snapshot.stored_sha256, snapshot.key)
        return opened(self.cipher, chunks, snapshot.recipients, snapshot.identities, snapshot.key)


def load(task: NodeTask, seen: NodeSeen) -> tuple[Command, ...]:
    """The rule that shuts the clients out, where it is not etcd's own unit that loads it."""
    return () if task.control else task.share.clients.load(seen)


def restored_of(task: NodeTask) -> Restored:
    share = task.share
    return Restored(
        tool=task.tool,
        name=share.member,
        peer_urls=share.peer_urls,
        initial_cluster=task.initial_cluster,
        token=task.token,
        bump=task.bump,
        size_bytes=task.snapshot.size_bytes,
        db_sha256=task.snapshot.db_sha256,
        db=Looks(share.owner, share.mode),
        wal=Looks(share.wal_owner, share.wal_mode) if task.data.wal else None,
    )


def ticket_of(task: NodeTask | ClusterTask) -> Ticket:
    info = activity.info()
    return Ticket(task.operation, task.turn, info.attempt, task.step, task.actor, task.verb or info.activity_type)
