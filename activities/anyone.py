"""Whichever member does it: what all of them can do alike is asked of one after the other."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from activities.recorded import RecordedEtcds
from quorate.command import Ticket
from quorate.errors import QuorateError, Unreachable
from quorate.etcd import EtcdTarget
from quorate.ports import Etcd

T = TypeVar("T")


def first(etcds: RecordedEtcds, targets: Iterable[EtcdTarget], ticket: Ticket, ask: Callable[[Etcd], T]) -> T:
    """The answer of the first that has one; Unreachable, in the words of all, where none has."""
    said: list[str] = []
    for target in targets:
        try:
            with etcds.at(target, ticket) as etcd:
                return ask(etcd)
        except QuorateError as error:
            said.append(str(error))
    raise Unreachable("; ".join(said))
