"""A subnet of its own for every lab, the same one each time unless it is taken."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.lab.errors import LabError

if TYPE_CHECKING:
    from docker import DockerClient

POOL = IPv4Network("172.30.0.0/16")
FIRST_NODE = 11


def subnet(name: str, taken: Iterable[IPv4Network]) -> IPv4Network:
    """Where the name's checksum points, or the next free one after it."""
    subnets, busy = list(POOL.subnets(new_prefix=24)), list(taken)
    start = zlib.crc32(name.encode()) % len(subnets)
    for candidate in subnets[start:] + subnets[:start]:
        if not any(candidate.overlaps(other) for other in busy):
            return candidate
    raise LabError(f"every /24 of {POOL} is taken; `python -m deploy.lab ls` shows the labs to take down")


def address(network: IPv4Network, number: int) -> str:
    """The nth node's address; n counts from 1."""
    return str(network[FIRST_NODE + number - 1])


def taken(client: DockerClient) -> list[IPv4Network]:
    """Docker's networks and the host's own routes."""
    docker = [
        IPv4Network(config["Subnet"])
        for network in client.networks.list()
        for config in (network.attrs["IPAM"]["Config"] or ())
        if ":" not in config.get("Subnet", ":")
    ]
    return docker + routes(Path("/proc/net/route").read_text())


def routes(table: str) -> list[IPv4Network]:
    """The kernel's routing table without its default; it writes addresses backwards, in hex."""
    rows = [line.split() for line in table.splitlines()[1:]]
    found = [(bytes.fromhex(row[1])[::-1], bytes.fromhex(row[7])[::-1]) for row in rows if len(row) > 7]
    return [IPv4Network((net, int.from_bytes(mask).bit_count())) for net, mask in found if any(mask)]
