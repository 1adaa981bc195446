"""Ports that write the audit trail around every act; activities receive no others."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import TypeVar

from quorate.audit import Act
from quorate.command import Command, Node, Ticket
from quorate.converge import Clock, Done, Ran, Tick
from quorate.errors import Failed
from quorate.members.etcd import EtcdSeen, EtcdTarget, HashKV, KeyValue
from quorate.members.listing import PAGE_KEYS, Key
from quorate.nodes.seen import Look, NodeSeen
from quorate.ports import Etcd, Etcds, Host, Hosts, Journal, Store, Stored, Stores
from quorate.settings.fields import LockMode
from quorate.settings.stores import Store as StoreSettings
from quorate.unfinished import Unfinished

T = TypeVar("T")
OpenJournal = Callable[[str], Journal]  # the operation's


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes what one place does under one ticket."""

    journal: Journal
    ticket: Ticket
    place: str
    clock: Clock

    def ran(self, argv: tuple[str, ...], act: Callable[[], Ran]) -> Ran:
        done: Done[None] = self.did((argv,), lambda: Done((act(),)))
        return done.ran[0]

    def did(self, argvs: tuple[tuple[str, ...], ...], act: Callable[[], Done[T]]) -> Done[T]:
        """No intent on record, no act; one that was not come to has an outcome without an exit code."""
        seqs = [self._intent(argv) for argv in argvs]
        try:
            done = act()
        except BaseException as error:
            for seq in seqs:
                self.journal.outcome(seq, error)
            raise
        for seq, argv, ran in zip_longest(seqs, argvs, done.ran):
            self.journal.outcome(seq, ran or Ran(" ".join(argv), None))
        return done

    def _intent(self, argv: tuple[str, ...]) -> int:
        ticket = self.ticket
        return self.journal.intent(
            Act(ticket.operation, ticket.step, self.place, argv, ticket.actor, ticket.turn, ticket.attempt)
        )

    def called(self, argv: tuple[str, ...], call: Callable[[], T]) -> T:
        """The same for a call of an API, which has an answer instead of an exit code."""
        answers: list[T] = []

        def act() -> Ran:
            started, began = self.clock.time(), self.clock.monotonic()
            answers.append(call())
            tail = answers[0] if isinstance(answers[0], int | str | Stored) else ""
            return Ran(" ".join(argv), 0, str(tail), started, self.clock.monotonic() - began)

        self.ran(argv, act)
        return answers[0]


@dataclass(slots=True)
class RecordedHost:
    """The first look of an attempt raises the node's claim, so it is an act; later ones change nothing."""

    host: Host
    pen: Pen
    looked: bool = False

    def look(self) -> NodeSeen:
        if self.looked:
            return self.host.look()
        seen = self.pen.called(("look",), self.host.look)
        self.looked = True
        return seen

    def do(self, acts: tuple[Command, ...], tick: Tick) -> Done[NodeSeen]:
        return self.pen.did(tuple(act.argv for act in acts), lambda: self.host.do(acts, tick))

    def send(self, command: Command, chunks: Iterable[bytes], tick: Tick) -> Ran:
        return self.pen.ran(command.argv, lambda: self.host.send(command, chunks, tick))


@dataclass(frozen=True, slots=True)
class RecordedHosts:
    hosts: Hosts
    journals: OpenJournal
    clock: Clock

    def survey(self, node: Node, look: Look) -> NodeSeen:
        return self.hosts.survey(node, look)

    def read(self, node: Node, command: Command) -> Iterator[bytes]:
        return self.hosts.read(node, command)

    def taken(self, node: Node, command: Command, ticket: Ticket, take: Callable[[Iterator[bytes]], T]) -> T:
        """What is made of what a command prints that changes nothing; of a number or a word that is on record too."""
        pen = Pen(self.journals(ticket.operation), ticket, node.name, self.clock)
        return pen.called(command.argv, lambda: take(self.hosts.read(node, command)))

    def at(self, node: Node, look: Look, ticket: Ticket) -> Host:
        return self.instead(node, look, ticket, ticket)

    def instead(self, node: Node, look: Look, ticket: Ticket, former: Ticket) -> Host:
        """On record as what `ticket` does, while the node takes it for an act of `former`."""
        pen = Pen(self.journals(ticket.operation), ticket, node.name, self.clock)
        return RecordedHost(self.hosts.at(node, look, former), pen)


@dataclass(frozen=True, slots=True)
class RecordedFiles:
    """What was never meant for us: that it was read is on record, what is in it never."""

    hosts: Hosts
    journals: OpenJournal
    clock: Clock

    def read(self, node: Node, path: str, ticket: Ticket) -> bytes:
        return self.printed(node, Command(("cat", "--", path)), ticket)

    def printed(self, node: Node, command: Command, ticket: Ticket, most_bytes: int = 64 << 20) -> bytes:
        """What a command that changes nothing prints, up to so much."""
        pen = Pen(self.journals(ticket.operation), ticket, node.name, self.clock)
        return pen.called(command.argv, lambda: whole(self.hosts.read(node, command), node, most_bytes))


def whole(chunks: Iterator[bytes], node: Node, most_bytes: int) -> bytes:
    """Failed, and no more is taken, where a node sends more than it said that it had."""
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > most_bytes:
            raise Failed(f"{node.name} sends more than {most_bytes >> 20} MiB: stopped")
    return bytes(data)


@dataclass(frozen=True, slots=True)
class RecordedEtcd:
    """Reads that cost the member nothing are not recorded; the snapshot and every write are."""

    etcd: Etcd
    pen: Pen

    def look(self) -> EtcdSeen:
        return self.etcd.look()

    def linearizable_revision(self) -> int:
        return self.etcd.linearizable_revision()

    def snapshot(self) -> Iterator[bytes]:
        return self.pen.called(("etcd", "snapshot"), self.etcd.snapshot)

    def hash_kv(self, revision: int) -> HashKV:
        return self.pen.called(("etcd", "hashkv", str(revision)), lambda: self.etcd.hash_kv(revision))

    def count(self, prefix: str, revision: int = 0) -> int:
        return self.etcd.count(prefix, revision)

    def key_pages(self, revision: int = 0, page_keys: int = PAGE_KEYS) -> Iterator[tuple[Key, ...]]:
        return self.etcd.key_pages(revision, page_keys)

    def put(self, key: str, value: bytes) -> int:
        return self.pen.called(("etcd", "put", key), lambda: self.etcd.put(key, value))

    def advance(self, key: str, past: int, tick: Tick) -> int:
        """One act, however many puts."""
        argv = ("etcd", "put", key, "until", str(past))
        return self.pen.called(argv, lambda: self.etcd.advance(key, past, tick))

    def get(self, key: str) -> bytes | None:
        return self.etcd.get(key)

    def read(self, key: str) -> KeyValue | None:
        return self.etcd.read(key)

    def delete(self, key: str) -> int:
        return self.pen.called(("etcd", "delete", key), lambda: self.etcd.delete(key))

    def delete_prefix(self, prefix: str) -> int:
        return self.pen.called(("etcd", "delete", "--prefix", prefix), lambda: self.etcd.delete_prefix(prefix))

    def disarm(self, of: tuple[str, ...] = ()) -> tuple[str, ...]:
        return self.pen.called(("etcd", "alarm", "disarm", *of), lambda: self.etcd.disarm(of))

    def add_learner(self, peer_urls: tuple[str, ...]) -> str:
        argv = ("etcd", "member", "add", "--learner", ",".join(peer_urls))
        return self.pen.called(argv, lambda: self.etcd.add_learner(peer_urls))

    def remove(self, member_id: str) -> None:
        self.pen.called(("etcd", "member", "remove", member_id), lambda: self.etcd.remove(member_id))

    def promote(self, member_id: str) -> None:
        self.pen.called(("etcd", "member", "promote", member_id), lambda: self.etcd.promote(member_id))

    def compact(self, revision: int) -> None:
        self.pen.called(("etcd", "compact", str(revision)), lambda: self.etcd.compact(revision))

    def auth_enabled(self) -> bool:
        return self.etcd.auth_enabled()


@dataclass(frozen=True, slots=True)
class RecordedEtcds:
    etcds: Etcds
    journals: OpenJournal
    clock: Clock

    @contextmanager
    def at(self, target: EtcdTarget, ticket: Ticket) -> Iterator[Etcd]:
        with self.etcds.at(target) as etcd:
            yield RecordedEtcd(etcd, Pen(self.journals(ticket.operation), ticket, target.name, self.clock))


@dataclass(frozen=True, slots=True)
class RecordedStore:
    store: Store
    pen: Pen

    def put(self, key: str, chunks: Iterable[bytes], tick: Tick) -> Stored:
        return self.pen.called(("store", "put", key), lambda: self.store.put(key, chunks, tick))

    def get(self, key: str) -> Iterator[bytes]:
        return self.pen.called(("store", "get", key), lambda: self.store.get(key))

    def ls(self, prefix: str) -> tuple[Stored, ...]:
        return self.store.ls(prefix)

    def unfinished(self, prefix: str) -> tuple[Unfinished, ...]:
        return self.store.unfinished(prefix)

    def abandon(self, each: Unfinished) -> None:
        self.pen.called(("store", "abandon", each.key, each.id), lambda: self.store.abandon(each))

    def remove(self, key: str) -> None:
        self.pen.called(("store", "remove", key), lambda: self.store.remove(key))

    def lock(self, key: str, until: datetime, mode: LockMode) -> None:
        argv = ("store", "lock", key, f"{until:%Y-%m-%dT%H:%M:%SZ}", mode)
        self.pen.called(argv, lambda: self.store.lock(key, until, mode))

    def locked(self, key: str) -> str:
        return self.store.locked(key)

    def hidden(self, prefix: str) -> tuple[str, ...]:
        return self.store.hidden(prefix)

    def check(self) -> None:
        self.store.check()


@dataclass(frozen=True, slots=True)
class RecordedStores:
    stores: Stores
    journals: OpenJournal
    clock: Clock

    def at(self, settings: StoreSettings, ticket: Ticket) -> Store:
        pen = Pen(self.journals(ticket.operation), ticket, settings.url, self.clock)
        return RecordedStore(self.stores.at(settings), pen)
