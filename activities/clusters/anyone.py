"""Whichever member does it: what all of them can do alike is asked of one after the other."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TypeVar

from quorate.errors import QuorateError, Unreachable
from quorate.members.etcd import EtcdTarget
from quorate.ports import Etcd

T = TypeVar("T")


def first(
    at: Callable[[EtcdTarget], AbstractContextManager[Etcd]], targets: Iterable[EtcdTarget], ask: Callable[[Etcd], T]
) -> T:
    """The answer of the first that has one; Unreachable, in the words of all, where none has."""
    said: list[str] = []
    for target in targets:
        try:
            with at(target) as etcd:
                return ask(etcd)
        except QuorateError as error:
            said.append(str(error))
    raise Unreachable("; ".join(said))
