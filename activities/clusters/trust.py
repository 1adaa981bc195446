"""Which host keys machines show beside those that are pinned, and the one way to pin another."""

from dataclasses import dataclass

from activities.recording.recorded import OpenJournal, Pen
from quorate.command import Node, Ticket, jump_of
from quorate.converge import Clock
from quorate.errors import Denied, HostKeyChanged, HostKeyUnknown, QuorateError, Refusal
from quorate.nodes.known_hosts import HostKey, Pins, Row, compared, name_of, pins, replaced, same, vouched
from quorate.ports import HostKeys, KnownHosts


@dataclass(frozen=True, slots=True)
class Compared:
    """One machine; `said` is why it shows nothing."""

    node: Node
    rows: tuple[Row, ...]
    said: str = ""

    @property
    def equal(self) -> bool:
        return same(self.rows)


@dataclass(frozen=True, slots=True)
class Pinned:
    """What is pinned now, what was before, and where the file of before lies; without one nothing was changed."""

    key: HostKey
    was: tuple[HostKey, ...]
    kept: str = ""
    changed: bool = True


@dataclass(frozen=True)
class Trust:
    keys: HostKeys
    files: KnownHosts
    journals: OpenJournal
    clock: Clock

    def compare(self, node: Node) -> Compared:
        """Nobody logs in, nothing is changed."""
        pinned = self._pins(node)
        try:
            rows = compared(pinned, self._shown(node))
            vouched = self._vouched(node, pinned) if pinned.authorities else ()
        except QuorateError as error:
            return Compared(node, compared(pinned, ()), str(error))
        return Compared(node, (*vouched, *rows))

    def _vouched(self, node: Node, pinned: Pins) -> tuple[Row, ...]:
        """A machine whose own key is pinned needs no certificate."""
        try:
            found = self.keys.authority(node)
        except (HostKeyChanged, HostKeyUnknown):
            return (vouched(pinned, None),)
        return (vouched(pinned, found),)

    def pin(self, node: Node, fingerprint: str, ticket: Ticket, reason: str) -> Pinned:
        """The key that the machine shows now, if it is the one that a person has read elsewhere; on record first."""
        pinned, shown = self._pins(node), self._shown(node)
        key = next((each for each in shown if each.fingerprint == fingerprint), None)
        if key is None:
            raise Refusal(
                f"{node.name} ({node.host}) shows {said(shown)}, none of which is {fingerprint}; "
                f"pinned is {said(pinned.keys)}; nothing was changed",
                next=f"quorate hosts ls {node.cluster}  # and compare with what its console says",
            )
        was = tuple(each for each in pinned.keys if each.type == key.type)
        if was == (key,) and pinned.accept(key):
            return Pinned(key, was, changed=False)
        return Pinned(key, was, self._rewritten(node, key, was, ticket, reason))

    def _rewritten(self, node: Node, key: HostKey, was: tuple[HostKey, ...], ticket: Ticket, reason: str) -> str:
        name, path = name_of(node.host, node.ssh.port), node.ssh.known_hosts

        def change(text: str) -> str:
            return replaced(text, name, key)

        change(self.files.read(path))  # what is refused leaves no record of an act
        pen = Pen(self.journals(ticket.operation), ticket, node.name, self.clock)
        argv = ("pin", name, key.type, key.fingerprint, "in", path, "instead of", *(each.fingerprint for each in was))
        because = ("because", reason) if reason else ()
        return pen.called((*argv, *because), lambda: self.files.rewrite(path, change, ticket.operation))

    def _pins(self, node: Node) -> Pins:
        try:
            return pins(self.files.read(node.ssh.known_hosts), name_of(node.host, node.ssh.port))
        except ValueError as error:
            raise Denied(f"{node.name}: {node.ssh.known_hosts}: {error}") from error

    def _shown(self, node: Node) -> tuple[HostKey, ...]:
        return self.keys.shown(node.host, node.ssh.port, jump_of(node))


def said(keys: tuple[HostKey, ...]) -> str:
    return ", ".join(map(str, keys)) or "nothing"
