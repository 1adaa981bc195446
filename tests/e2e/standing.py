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
    number = product.lab.machines.index(node)
    ours = f"/usr/local/sbin/{program}"  # before the real one in the path of sudo
    each = f"/run/slow/{program}.{crc32(words.encode())}"
    lay = f"mkdir -p /run/slow; echo '{words}' >{each}; cat >{ours} <<'END'\n{SLOW}END\nchmod 755 {ours}"
    on_node(product.lab, lay, number)
    try:
        yield
    finally:
        on_node(product.lab, f"rm {each}; ls /run/slow/{program}.* >/dev/null 2>&1 || rm {ours}", number)


def cancelled_in(product: Product, step: str, node: Node, program: str, words: str, *more: str) -> None:
    """A restore that has given out tools and done this step, of which the command is a part, and no more."""
    with product.begin_restore(*more) as waiting:
        with slow(product, node, program, words):
            operation = running(product)
            until(lambda: any(program in each.get("argv", ()) for each in in_step(product, operation, step, node)))
            product.json("cancel", operation)
        code, result = ended(waiting)
    assert (code, result["outcome"], result["error"]["kind"]) == (9, "undone", "cancelled"), result
    done = {step["id"] for step in result["steps"] if step["state"] == "done"}
    assert done >= {"equip", step, f"undo-{step}", "undo-equip"}
    assert not done & {"fence", "swap"}
    assert product.run("audit", "verify", operation).returncode == 0


def in_step(product: Product, operation: str, step: str, node: Node) -> list[dict[str, Any]]:
    return [each for each in product.trail(operation) if (each.get("step"), each.get("place")) == (step, node.name)]
