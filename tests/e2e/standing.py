"""What stands on a node, read from the node itself: before a restore that is undone, and after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from zlib import crc32

from deploy.lab.lab import Node
from tests.e2e.product import Product, on_node, until
from tests.e2e.test_steering import ended, running

# Units, manifests and what they read, byte by byte; of data, records and programs the names; every rule.
FOUND = r"""
folders=$(ls -d /etc/systemd /etc/kubernetes /etc/etcd /usr/lib/systemd/system 2>/dev/null)
find $folders -type f -printf '%p %u:%g %m %t\n' | sort
find $folders -type f -print0 | xargs -0 sha256sum | sort -k 2
find $folders /usr/local -type d -o -type l | sort
ls -d /var/lib/etcd* /var/lib/etcd/* /usr/local/bin/*
find /var/lib/quorate* -type f ! -name plan.json ! -name released ! -name lock | sort
nft list ruleset inet; mount | grep quorate || true
"""
SLOW = """#!/bin/sh
for each in /run/slow/${0##*/}.*; do
    while read -r words <$each && case "$*" in $words) ;; *) false;; esac; do sleep 0.05; done
done 2>/dev/null
exec /usr/bin/${0##*/} "$@"
"""


def found(product: Product, node: Node) -> list[str]:
    return on_node(product.lab, FOUND, product.lab.nodes.index(node)).splitlines()


@contextmanager
def slow(product: Product, node: Node, program: str, words: str) -> Iterator[None]:
    """A command of these words, a pattern, does not begin on this node before the block is left."""
    number = product.lab.nodes.index(node)
    ours = f"/usr/local/sbin/{program}"  # before the real one in the path of sudo
    each = f"/run/slow/{program}.{crc32(words.encode())}"
    lay = f"mkdir -p /run/slow; echo '{words}' >{each}; cat >{ours} <<'END'\n{SLOW}END\nchmod 755 {ours}"
    on_node(product.lab, lay, number)
    try:
        yield
    finally:
        on_node(product.lab, f"rm {each}; ls /run/slow/{program}.* >/dev/null 2>&1 || rm {ours}", number)


def cancelled_as_it_unlists(product: Product, node: Node, *more: str) -> dict[str, Any]:
    """A restore that has given tools to the nodes and taken who is gone out of the lists, and no more."""
    with product.begin_restore(*more) as waiting:
        with slow(product, node, "sed", "-i *"):
            operation = running(product)
            until(lambda: any("sed -i" in " ".join(each.get("argv", ())) for each in product.trail(operation)))
            product.json("cancel", operation)
        code, result = ended(waiting)
    assert (code, result["outcome"], result["error"]["kind"]) == (9, "undone", "cancelled"), result
    done = {step["id"] for step in result["steps"] if step["state"] == "done"}
    assert done >= {"equip", "unlist", "undo-unlist", "undo-equip"}
    assert not done & {"fence", "swap"}
    assert product.run("audit", "verify", operation).returncode == 0
    return result
