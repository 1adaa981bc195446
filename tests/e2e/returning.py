"""Members from before a restore that come back with the data that was kept of them, under their own addresses."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from deploy.lab.lab import Lab, node_exec
from tests.e2e.product import on_node

LIVE = "/var/lib/etcd/default"
TLS = "--cacert=/etc/etcd/pki/ca.crt --cert=/etc/etcd/pki/server.crt --key=/etc/etcd/pki/server.key"
ELECTIONS = 3  # that a returned member has called for in vain before it is said to stay out


@dataclass(frozen=True)
class Member:
    """One member as its own node tells it, past every other."""

    made: Lab
    number: int

    def ask(self, *words: str) -> str:
        """Of etcdctl; "" where it does not answer."""
        told = f"etcdctl --endpoints=https://127.0.0.1:2379 --command-timeout=2s {TLS} {' '.join(words)}"
        code, said = node_exec(self.made, self.made.nodes[self.number].name, ["sh", "-c", f"{told} 2>/dev/null"])
        return "" if code else said.strip()

    def holds(self, key: str) -> bool:
        """By its own database, which needs no quorum."""
        return bool(self.ask("get", key, "--consistency=s", "--keys-only"))

    def puts(self, key: str) -> bool:
        return self.ask("put", key, "x") == "OK"

    @property
    def status(self) -> dict[str, Any]:
        said = self.ask("endpoint", "status", "-w", "json")
        return dict(json.loads(said)[0]["Status"]) if said else {}

    @property
    def cluster_id(self) -> int:
        return int(self.status.get("header", {}).get("cluster_id", 0))

    @property
    def leader(self) -> int:
        """0 while it knows of none, or does not answer."""
        return int(self.status.get("leader", 0))

    @property
    def members(self) -> tuple[str, ...]:
        """As it lists them, ids and all."""
        return tuple(sorted(self.ask("member", "list").splitlines()))

    def said(self, what: str, since: str) -> int:
        """How often its log says so, in whatever case."""
        log = f"journalctl -o cat -u etcd --since '{since}' | grep -ic '{what}' || true"
        return int(on_node(self.made, log, self.number))


@contextmanager
def returned(made: Lab, number: int, operation: str) -> Iterator[str]:
    """A node's etcd runs on what an operation has kept of it, until the block is left; since when."""
    since = on_node(made, "date '+%F %T'", number)
    kept, restored = f"{LIVE}.before-{operation}", f"{LIVE}.restored"
    swap = "systemctl kill -s KILL etcd; systemctl stop etcd; mv {} {}; mv {} {}; systemctl reset-failed etcd || true"
    start = "systemctl start --no-block etcd"
    on_node(made, f"{swap.format(LIVE, restored, kept, LIVE)}; {start}", number)
    try:
        yield since
    finally:
        on_node(made, f"{swap.format(LIVE, kept, restored, LIVE)}; {start}", number)


def called_in_vain(old: Member, others: tuple[Member, ...], since: str) -> bool:
    """It has asked for votes again and again, and each of the others has refused its messages."""
    return old.said("starting a new election", since) >= ELECTIONS and all(
        each.said("cluster id mismatch", since) for each in others
    )
