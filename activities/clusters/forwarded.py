"""Members and API servers that only their own nodes reach, asked as if they were here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from activities.clusters.tunnels import Tunnels, through
from quorate.command import Node
from quorate.members.etcd import EtcdTarget
from quorate.ports import Api, Apis, Etcd, Etcds


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


@dataclass(frozen=True, slots=True)
class ForwardedApis:
    apis: Apis
    tunnels: Tunnels

    @contextmanager
    def at(self, kubeconfig: str, url: str, nodes: Sequence[Node]) -> Iterator[Api]:
        """Through its own node where nodes forward; an address that is no node's is one that any node reaches."""
        host, port = urlsplit(url).hostname, urlsplit(url).port
        node = next((each for each in nodes if each.host == host), nodes[0])
        if not (node.ssh.forward and host and port):
            yield self.apis.at(kubeconfig, url)
            return
        with self.tunnels.tunnel(node, host, port) as dial:
            yield self.apis.at(kubeconfig, url, dial)
