"""A snapshot on its way into the store: sent by a member whose leader stays, examined as it passes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from activities.streams.checksums import Sum
from quorate.converge import Clock
from quorate.database.snapshot import Examination, Facts
from quorate.errors import Corrupt, Unreachable
from quorate.ports import Etcd

STEADY_S = 1.0  # between two looks at who leads while a member sends


@dataclass(slots=True)
class Passing:
    """What is learnt of a snapshot while it passes; nothing leaves as the last byte unless it is sound."""

    floor: int
    known_to: Callable[[Facts], None]
    stored: Sum = field(default_factory=Sum)
    facts: Facts | None = None
    uses: bytes = b""

    def examined(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        examination = Examination(self.floor)
        for piece in pieces:
            examination.feed(piece)
            yield piece
        self.facts, self.uses = examination.facts(), examination.uses
        if self.facts.revision < self.floor:
            raise Corrupt(
                f"the snapshot is older than revision {self.floor}, which the member itself read before it began"
            )
        self.known_to(self.facts)

    def out(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        return self.stored.of(chunks)

    def known(self) -> Facts:
        assert self.facts is not None, "asked before the last byte"
        return self.facts


def settled(chunks: Iterator[bytes], etcd: Etcd, name: str, clock: Clock) -> Iterator[bytes]:
    """The same, for as long as the leader is the same: a backup must not be a burden on an election.

    Unreachable, which is tried again, as soon as the member knows of another one.
    """
    before, looked = etcd.look(), clock.monotonic()
    for chunk in chunks:
        yield chunk
        if clock.monotonic() - looked >= STEADY_S:
            now, looked = etcd.look(), clock.monotonic()
            if (now.leader, now.raft_term) != (before.leader, before.raft_term):
                raise Unreachable(
                    f"the leader was {before.leader or 'nobody'} in term {before.raft_term} and is "
                    f"{now.leader or 'nobody'} in term {now.raft_term} while {name} was sending: stopped"
                )
