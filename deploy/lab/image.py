"""The node's image: built once, on Debian 12 from wherever it can be had."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from docker.errors import APIError, ImageNotFound

from deploy.lab.cache import cache, held
from deploy.lab.engine import apt_install
from deploy.lab.errors import LabError
from deploy.lab.process import run

if TYPE_CHECKING:
    from docker import DockerClient

    from deploy.lab.process import Say

BASE = "debian:bookworm-slim"
HERE = Path(__file__).parent
CONTEXT = ("Dockerfile", "lab-init")
POD_CONTEXT = HERE / "static_pods"


def node_image(client: DockerClient, say: Say) -> str:
    """The image's name, keyed by what it is made of."""
    name = f"quorate-lab-node:{fingerprint(*((HERE / each).read_bytes() for each in CONTEXT))}"
    with held("image"):
        if not present(client, name):
            base_image(client, say)
            say("lab: building the node's image, Debian with systemd and sshd (usually 40 s)")
            build(client, name, HERE, say)
    return name


def pod_node_image(client: DockerClient, say: Say) -> str:
    """The plain node's with containerd and what starts a kubelet, under a name of its own."""
    plain = node_image(client, say)
    made_of = (file.read_bytes() for file in sorted(POD_CONTEXT.iterdir()))
    name = f"quorate-lab-pod-node:{fingerprint(plain.encode(), *made_of)}"
    with held("image"):
        if not present(client, name):
            say("lab: building the image of a node that runs pods: containerd, runc (usually 40 s)")
            build(client, name, POD_CONTEXT, say, {"NODE": plain})
    return name


def fingerprint(*made_of: bytes) -> str:
    """Twelve digits of what the image is made of."""
    return hashlib.sha256(b"\0".join(made_of)).hexdigest()[:12]


def present(client: DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def build(client: DockerClient, name: str, folder: Path, say: Say, values: dict[str, str] | None = None) -> None:
    """The engine says what it does line by line; its steps are the progress."""
    said: list[str] = []
    lines = client.api.build(
        path=str(folder),
        tag=name,
        rm=True,
        forcerm=True,
        labels={"quorate-lab-image": "node"},
        buildargs=values,
        decode=True,
    )
    for line in lines:
        if "error" in line:
            raise LabError(f"{name} did not build: {line['error']}: {''.join(said)[-600:].strip()}")
        said.append(line.get("stream", ""))
        if said[-1].startswith("Step "):
            say(f"  ... {said[-1].strip()[:100]}")


def base_image(client: DockerClient, say: Say) -> None:
    """The local one, else pulled, else bootstrapped from Debian's packages under the same name."""
    if present(client, BASE):
        return
    try:
        say(f"lab: pulling {BASE} (usually 10 s)")
        client.images.pull(*BASE.split(":"))
    except APIError as error:
        say(f"lab: cannot pull it ({str(error.explanation or error)[:100]})")
        bootstrap(client, say)


def bootstrap(client: DockerClient, say: Say) -> None:
    """debootstrap wants root: it makes device nodes and chroots."""
    if os.geteuid():
        raise LabError(f"neither a local {BASE} nor an image registry: load that image, or run this as root")
    if not shutil.which("debootstrap"):
        apt_install(("debootstrap",), say)
    say(f"lab: making {BASE} with debootstrap instead (usually 45 s)")
    tree, packed, log = cache() / "work" / "base", cache() / "work" / "base.tar", cache() / "logs" / "base.log"
    shutil.rmtree(tree, ignore_errors=True)
    run(["debootstrap", "--variant=minbase", "bookworm", str(tree)], log, say)
    run(["tar", "-C", str(tree), "--exclude=./var/cache/apt/archives/*.deb", "-cf", str(packed), "."], log, say)
    repository, tag = BASE.split(":")
    with packed.open("rb") as data:
        client.api.import_image_from_file(data, repository=repository, tag=tag)
    shutil.rmtree(tree)
    packed.unlink()
