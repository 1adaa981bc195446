"""Members that only their own nodes reach, asked as if they were here."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from activities.members import Tunnels
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
        url = urlsplit(target.url)
        assert url.hostname, "the inventory has checked it"
        assert url.port
        with (
            self.tunnels.tunnel(target.through, url.hostname, url.port) as dial,
            self.etcds.at(replace(target, dial=dial)) as etcd,
        ):
            yield etcd
