"""A way to a member through a node: its client port may be open to nobody else."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Protocol
from urllib.parse import urlsplit

from quorate.command import Node
from quorate.members.etcd import EtcdTarget


class Tunnels(Protocol):
    def tunnel(self, node: Node, host: str, port: int) -> AbstractContextManager[str]: ...


@contextmanager
def through(tunnels: Tunnels, node: Node, target: EtcdTarget, host: str = "") -> Iterator[EtcdTarget]:
    """The member as that node reaches it: by its URL, or at `host` where it listens elsewhere."""
    url = urlsplit(target.url)
    assert url.hostname, "the inventory has checked it"
    assert url.port
    with tunnels.tunnel(node, host or url.hostname, url.port) as dial:
        yield replace(target, dial=dial)
