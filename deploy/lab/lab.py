"""Labs, as a program uses them: bring one up, fill it, look at it, wreck it, take it down."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from docker.errors import APIError, DockerException, NotFound

from deploy.lab import addresses, age, engine, image, machine, parts, pod_images, s3
from deploy.lab.cache import held
from deploy.lab.digest import Digest, digest
from deploy.lab.errors import LabError
from deploy.lab.kubeconfig import kubeconfig
from deploy.lab.load import load
from deploy.lab.node_files import Trust, node_files, outside_files, sandbox_files
from deploy.lab.pki import authority, signing_pair
from deploy.lab.quorate_yaml import quorate_yaml
from deploy.lab.ready import await_ready, missing
from deploy.lab.spec import HOME, LABEL, Etcd, Lab, LabSpec, Node, check_name, load_lab
from deploy.lab.ssh import ssh_key, write_identity, write_known_hosts
from deploy.lab.wreck import node_exec, wreck

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from deploy.lab.process import Say

__all__ = [
    "Digest",
    "Lab",
    "LabError",
    "LabSpec",
    "Node",
    "digest",
    "down",
    "labs",
    "load",
    "load_lab",
    "node_exec",
    "up",
    "wreck",
]

READY_S = 120


def quiet(_: str) -> None:
    """For callers that do not want to hear it."""


def up(spec: LabSpec, say: Say = quiet) -> Lab:
    """A healthy lab of this shape; one that is there already is left alone."""
    with held(f"lab-{spec.name}"):
        if lab := standing(spec):
            say(f"lab: {spec.name} is up already")
            return lab
        client = engine.connect(say)
        parts.make_parts(spec, say)
        node_image = make_image(spec, client, say)
        began = time.monotonic()
        remove(spec.name, client)
        say(f"lab: starting {spec.name}: {shape(spec)} (usually 20 s to 30 s)")
        lab = assemble(spec, client, node_image)
        say(f"lab: {spec.name} is up after {time.monotonic() - began:.0f} s; config: {lab.config}")
        return lab


def make_image(spec: LabSpec, client: DockerClient, say: Say) -> str:
    """The node's image, and what is made with its help."""
    if spec.control_plane == "static-pods":
        name = image.pod_node_image(client, say)
        pod_images.make_pod_images(client, name, spec, say)
        return name
    name = image.node_image(client, say)
    if spec.etcd == "3.4":
        parts.make_debian_etcd(client, name, say)
    return name


def shape(spec: LabSpec) -> str:
    bound = f", data on {spec.data_tmpfs_mib} MiB" if spec.data_tmpfs_mib else ""
    beside = ", a sandbox" if spec.sandbox else ""
    return f"{spec.members} x etcd {spec.etcd}, control plane: {spec.control_plane}{bound}{beside}"


def standing(spec: LabSpec) -> Lab | None:
    """The lab of that name if everything in it answers; a healthy one of another shape is not thrown away."""
    if not (HOME / spec.name / "lab.json").is_file() or missing(lab := load_lab(spec.name)):
        return None
    if lab.spec != spec:
        raise LabError(f"{spec.name} is up as {shape(lab.spec)}: `make lab-down LAB={spec.name}` first")
    return lab


def assemble(spec: LabSpec, client: DockerClient, node_image: str) -> Lab:
    """Files first, then every machine at once, then wait."""
    subnet = addresses.subnet(spec.name, addresses.taken(client))
    machines = tuple(
        Node(f"{spec.name}-{number}", addresses.address(subnet, number), f"quorate-{spec.name}-{number}")
        for number in range(1, spec.machines + 1)
    )
    nodes, beside = machines[: spec.members], machines[spec.members :]
    outside, sandbox = beside[: spec.outside], next(iter(beside[spec.outside :]), None)
    lab = write_lab(spec, nodes, outside, trust := new_trust(), sandbox)
    machine.network(spec, subnet)
    host_keys = [ssh_key() for _ in machines]
    write_known_hosts(spec.folder / "ssh", {node.address: key for node, key in zip(machines, host_keys, strict=True)})

    def boot(number: int) -> None:
        node, host_key = machines[number - 1], host_keys[number - 1]
        programs = parts.node_programs(spec)
        if node == sandbox:
            files, programs = sandbox_files(spec, trust, host_key), parts.sandbox_programs(spec)
        elif node in nodes:
            files = node_files(spec, number, nodes, trust, host_key)
        else:
            files = outside_files(node, number, nodes, trust, host_key)
        machine.machine(spec, node, node_image, files, programs).start()

    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(boot, range(1, len(machines) + 1)))
    except APIError as error:
        raise LabError(f"Docker refused to start a node: {error.explanation or error}") from error
    await_ready(lab, READY_S)
    lab.save()
    return lab


def new_trust() -> Trust:
    etcd, kubernetes, front_proxy = (authority(f"{name}-ca") for name in ("etcd", "kubernetes", "front-proxy"))
    return Trust(etcd, kubernetes, front_proxy, signing_pair(), ssh_key())


def write_lab(
    spec: LabSpec, nodes: tuple[Node, ...], outside: tuple[Node, ...], trust: Trust, sandbox: Node | None = None
) -> Lab:
    """Everything in `.lab/<name>`, and the store running."""
    folder, pki = spec.folder, spec.folder / "pki"
    folder.mkdir(parents=True, mode=0o700)
    spec.save()
    trust.etcd.pair.write(pki, "ca")
    trust.etcd.sign("quorate").write(pki, "client")
    write_identity(folder / "ssh", trust.operator)
    store = s3.start(folder / "s3", spec.name)
    config = folder / "quorate.yaml"
    config.write_text(quorate_yaml(spec, nodes, store, age.recipients(folder), outside, sandbox))
    etcd = Etcd(
        tuple(node.client_url for node in nodes),
        *(str(pki / name) for name in ("ca.crt", "client.crt", "client.key")),
    )
    return Lab(str(config), nodes, etcd, store, write_admin(spec, outside or nodes, trust), outside, sandbox)


def write_admin(spec: LabSpec, api_nodes: tuple[Node, ...], trust: Trust) -> str | None:
    """The administrator's kubeconfig and its certificate."""
    if spec.control_plane == "none":
        return None
    folder, path = spec.folder / "pki" / "kubernetes", spec.folder / "admin.kubeconfig"
    trust.kubernetes.pair.write(folder, "ca")
    admin = trust.kubernetes.sign("quorate-lab-admin", "system:masters").write(folder, "admin")
    path.touch(mode=0o600)
    path.write_bytes(kubeconfig(api_nodes[0].api_url, trust.kubernetes.pair.cert, admin, "quorate-lab-admin"))
    return str(path)


def down(name: str, say: Say = quiet) -> None:
    """Nothing of it is left: machines, network, store, files."""
    check_name(name)
    with held(f"lab-{name}"):
        found = engine.installed() and remove(name, engine.connect(say))
    say(f"lab: {name} is gone" if found else f"lab: there was no {name}")


def remove(name: str, client: DockerClient) -> bool:
    """By label, so that a half-made lab goes too; true if there was anything."""
    only = {"label": f"{LABEL}={name}"}
    containers, networks = client.containers.list(all=True, filters=only), client.networks.list(filters=only)
    with ThreadPoolExecutor() as pool:
        list(pool.map(remove_container, containers))
    for network in networks:
        network.remove()
    folder = HOME / name
    s3.stop(folder / "s3")
    there = folder.exists()
    shutil.rmtree(folder, ignore_errors=True)
    return bool(containers or networks or there)


def remove_container(container: Container) -> None:
    """With its volumes."""
    try:
        container.remove(force=True, v=True)
    except NotFound:
        return
    except DockerException as error:
        raise LabError(f"Docker cannot remove {container.name}: {error}") from error


def labs() -> list[tuple[str, str]]:
    """The labs there are, and the first thing that does not answer in each."""
    found = []
    for folder in sorted(HOME.iterdir()) if HOME.is_dir() else ():
        try:
            lab = load_lab(folder.name)
        except LabError:
            found.append((folder.name, "half-made"))
            continue
        wrong = missing(lab)
        found.append((folder.name, f"{shape(lab.spec)}; " + (f"{wrong} does not answer" if wrong else "healthy")))
    return found
