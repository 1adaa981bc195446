"""One node as a container: what makes it itself goes in before its first boot."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")  # its image cannot be had without a registry

from docker.types import EndpointConfig
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from deploy.lab.spec import LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Network
    from pathlib import Path

    from deploy.lab.spec import LabSpec, Node

API_VERSION = "1.41"
OWNERS = {"root": 0, "etcd": 800, "quorate": 810}
DATA_MOUNT = "/var/lib/etcd"


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A file of the node; `target` makes it a symbolic link."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    owner: str = "root"
    target: str = ""


def packed(files: Iterable[NodeFile]) -> bytes:
    """One archive with owners and modes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.mode, entry.uid, entry.gid = file.mode, OWNERS[file.owner], OWNERS[file.owner]
            if file.target:
                entry.type, entry.linkname = tarfile.SYMTYPE, file.target
            entry.size = len(file.content)
            archive.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()


def network(spec: LabSpec, subnet: IPv4Network) -> Network:
    """A bridge of the lab's own."""
    made = Network(
        docker_network_kw={
            "driver": "bridge",
            "labels": {LABEL: spec.name},
            "ipam": {"Driver": "default", "Config": [{"Subnet": str(subnet)}]},
        }
    )
    made.name = network_name(spec.name)
    return made.create()


def network_name(lab: str) -> str:
    return f"quorate-{lab}"


def machine(
    spec: LabSpec, node: Node, image: str, files: Iterable[NodeFile], programs: Iterable[Path]
) -> DockerContainer:
    """Not privileged: systemd boots with two capabilities and no seccomp profile."""
    lan = network_name(spec.name)
    container = DockerContainer(image, name=node.container).with_kwargs(
        hostname=node.name,
        labels={LABEL: spec.name},
        network=lan,
        networking_config={lan: EndpointConfig(API_VERSION, ipv4_address=node.address)},
        cgroupns="private",
        cap_add=["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"],
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
    )
    container.tmpfs = tmpfs(spec)
    for folder in programs:
        container.with_volume_mapping(str(folder), f"/opt/{folder.parent.name}", "ro")
    return container.with_copy_into_container(packed(files), "/node.tar", 0o600)


def tmpfs(spec: LabSpec) -> dict[str, str]:
    """What a boot wants empty, and the data filesystem where it is to be bounded."""
    mounts = {"/run": "", "/tmp": "exec"}
    if spec.data_tmpfs_mib:
        owner = OWNERS["root" if spec.control_plane == "static-pods" else "etcd"]
        mounts[DATA_MOUNT] = f"size={spec.data_tmpfs_mib}m,uid={owner},gid={owner},mode=0700"
    return mounts
