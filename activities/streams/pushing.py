"""Bytes on their way to a node, and the restore tool that the store has for one that has none."""

from collections.abc import Iterable

from activities.streams.checksums import proved
from activities.streams.compression import expanded
from quorate.command import Command, Ticket
from quorate.converge import Ran, Tick, succeeded
from quorate.errors import CommandFailed
from quorate.nodes.pushed import Pushed
from quorate.ports import Host, Store


def receive(host: Host, command: Command, chunks: Iterable[bytes], key: str, tick: Tick) -> None:
    sent = host.send(command, chunks, tick)
    if sent.exit:
        raise CommandFailed(f"receiving {key} exited {sent.exit}: {sent.tail}")


def placed_on(host: Host, pushed: Pushed, store: Store, ticket: Ticket, tick: Tick) -> tuple[Ran, ...]:
    """Unless it is there; what the store gives is checked as it passes, and what has arrived once more."""
    if pushed.path in host.look().paths:
        return ()
    key, arriving = pushed.tool.key, pushed.arriving(ticket.turn, ticket.attempt)
    stored = proved(store.get(key), pushed.tool.stored_sha256, key)
    receive(host, pushed.receive(arriving), expanded(stored, key), key, tick)
    return succeeded(host.do(pushed.place(arriving), tick)).ran
