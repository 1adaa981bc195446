"""A node's files out of a bundle: opened on the way, sent as one, given their names there, and looked at again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from temporalio import activity

from activities.backups.unbundling import whole
from activities.recording.recorded import RecordedHosts, RecordedStores
from activities.restoring.nodes import ticket_of, verb
from activities.streams.pipeline import beaten
from activities.streams.pushing import receive
from quorate.command import Command, Ticket
from quorate.converge import Clock, Decide, Receipt, Tick, converge
from quorate.errors import Corrupt
from quorate.nodes import lacking
from quorate.nodes.packed import Packed, unpacked
from quorate.nodes.seen import NodeSeen
from quorate.ports import Cipher
from quorate.task import NodeTask


@dataclass(frozen=True)
class Laying:
    hosts: RecordedHosts
    stores: RecordedStores
    cipher: Cipher
    clock: Clock
    tick: Tick = activity.heartbeat

    @verb("nodes.lay")
    def lay(self, task: NodeTask) -> Receipt:
        """Opened in memory alone; what is not as the bundle has it afterwards has failed."""
        ticket = ticket_of(task)
        return beaten(lambda tick: self._lay(task, ticket, tick), self.tick)

    @verb("nodes.unlay")
    def unlay(self, task: NodeTask) -> Receipt:
        """Only what this operation has laid."""
        return self._converge(task, task.lacking.take_back)

    @verb("nodes.settle")
    def settle(self, task: NodeTask) -> Receipt:
        return self._converge(task, task.lacking.settle)

    def _lay(self, task: NodeTask, ticket: Ticket, tick: Tick) -> Receipt:
        started, began = self.clock.time(), self.clock.monotonic()
        wanted, held = task.lacking, self._held(task, ticket, tick)
        others = wanted.others(held)
        host = self.hosts.at(task.share.node, wanted.look(others), ticket)
        seen = host.look()
        if absent := wanted.absent(seen):
            receive(host, wanted.receive(), wanted.tar(absent, held, seen), "what the node lacks", tick)
        done = converge(host, wanted.place, task.patience_s, self.clock, tick)
        there = tuple(path for path in others if path in done.seen.paths)
        read = lacking.summed(self.hosts.taken(task.share.node, lacking.sums((*wanted.paths, *there)), ticket, said))
        wanted.check(held, done.seen, read)
        facts = {"laid": str(len(wanted.files)), "unlike": lacking.differing(there, held, done.seen, read)}
        return Receipt(done.receipt.ran, started, self.clock.monotonic() - began, facts)

    def _held(self, task: NodeTask, ticket: Ticket, tick: Tick) -> Mapping[str, Packed]:
        """The node's files by their paths; Corrupt where the bundle is not what was stored, or lacks one of them."""
        assert task.bundle, "only a plan with a bundle has this step"
        snapshot, top = task.snapshot, f"/{task.share.member}/rootfs"
        tick("opening the bundle")
        store = self.stores.at(task.store, ticket)
        chunks = whole(store, self.cipher, task.bundle, snapshot.recipients, snapshot.identities)
        packed = unpacked(b"".join(chunks))
        held = {path: replace(each, path=path) for each in packed if (path := below(each.path, top))}
        if lost := [of for _, of in task.lacking.files if of not in held or held[of].data is None]:
            raise Corrupt(f"{task.bundle.key} does not hold {', '.join(lost)}, though its manifest says so")
        return held

    def _converge(self, task: NodeTask, decide: Decide[NodeSeen, Command]) -> Receipt:
        host = self.hosts.at(task.share.node, task.lacking.look(), ticket_of(task))
        return converge(host, decide, task.patience_s, self.clock, self.tick).receipt


def below(path: str, top: str) -> str:
    """As it is called on the node; nothing for what is not the node's."""
    return path.removeprefix(top) if path.startswith(f"{top}/") else ""


def said(chunks: Iterable[bytes]) -> str:
    return b"".join(chunks).decode(errors="replace")
