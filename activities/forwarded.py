"""Members that only their own nodes reach, asked as if they were here."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from activities.tunnels import Tunnels, through
from quorate.etcd import EtcdTarget
from quorate.ports import Etcd, Etcds


@dataclass(frozen=True, slots=True)
class ForwardedEtcds:
    etcds: Etcds
    tunnels: Tunnels

    @contextmanager
    def at(self, target: EtcdTarget) -> Iterator[Etcd]:
        """Who dials elsewhere already has a tunnel of its own."""
        if target.through is None or target.dial:
            with self.etcds.at(target) as etcd:
                yield etcd
            return
        with through(self.tunnels, target.through, target) as dialled, self.etcds.at(dialled) as etcd:
            yield etcd
