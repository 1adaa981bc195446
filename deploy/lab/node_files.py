"""Everything that makes one node itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from deploy.lab.kubeadm import kubeadm_files
from deploy.lab.kubeconfig import kubeconfig
from deploy.lab.machine import NodeFile
from deploy.lab.units import (
    ETCD_PKI,
    KUBE_PKI,
    SERVICE_ADDRESS,
    apiserver_unit,
    controller_manager_unit,
    etcd_unit,
    scheduler_unit,
    unit_folder,
)

if TYPE_CHECKING:
    from deploy.lab.pki import Authority, Pair
    from deploy.lab.spec import LabSpec, Node
    from deploy.lab.ssh import SshKey

LOCAL = ("127.0.0.1", "localhost")
KUBERNETES_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    SERVICE_ADDRESS,
)


@dataclass(frozen=True, slots=True)
class Trust:
    """Who signs what in one lab."""

    etcd: Authority
    kubernetes: Authority
    front_proxy: Authority
    service_accounts: Pair
    operator: SshKey


def node_files(spec: LabSpec, number: int, nodes: tuple[Node, ...], trust: Trust, host_key: SshKey) -> list[NodeFile]:
    """Identity, etcd and, where wanted, the control plane."""
    if spec.control_plane == "static-pods":
        return identity(trust, host_key) + kubeadm_files(spec, number, nodes, trust)
    files = identity(trust, host_key) + etcd_files(spec, number, nodes, trust)
    if spec.control_plane == "systemd":
        files += control_plane_files(nodes[number - 1], number, nodes, trust)
    return files


def outside_files(
    node: Node, number: int, members: tuple[Node, ...], trust: Trust, host_key: SshKey
) -> list[NodeFile]:
    """A control plane whose etcd is on other machines."""
    return identity(trust, host_key) + control_plane_files(node, number, members, trust)


def sandbox_files(spec: LabSpec, trust: Trust, host_key: SshKey) -> list[NodeFile]:
    """The programs, and nothing that runs."""
    files = identity(trust, host_key) + program_files(spec)
    return files if spec.control_plane == "none" else [*files, kubernetes_program("kube-apiserver")]


def identity(trust: Trust, host_key: SshKey) -> list[NodeFile]:
    """A machine id, a host key, and the one key that may log in."""
    return [
        NodeFile("/etc/machine-id", f"{uuid4().hex}\n".encode(), 0o444),
        NodeFile("/etc/ssh/ssh_host_ed25519_key", host_key.private, 0o600),
        NodeFile("/etc/ssh/ssh_host_ed25519_key.pub", host_key.public + b"\n"),
        NodeFile("/home/quorate/.ssh/authorized_keys", trust.operator.public + b"\n", 0o600, "quorate"),
    ]


def etcd_files(spec: LabSpec, number: int, nodes: tuple[Node, ...], trust: Trust) -> list[NodeFile]:
    """The programs, the certificates and the unit."""
    node = nodes[number - 1]
    hosts = (node.name, node.address, *LOCAL)
    return [
        *program_files(spec),
        NodeFile("/etc/tmpfiles.d/etcd.conf", b"d /var/lib/etcd 0700 etcd etcd\n"),
        NodeFile(f"{ETCD_PKI}/ca.crt", trust.etcd.pair.cert),
        *pair_files(f"{ETCD_PKI}/server", trust.etcd.sign(node.name, hosts=hosts), "etcd"),
        *pair_files(f"{ETCD_PKI}/peer", trust.etcd.sign(node.name, hosts=hosts), "etcd"),
        *unit_files(number, "etcd", etcd_unit(spec, node, nodes)),
    ]


def program_files(spec: LabSpec) -> list[NodeFile]:
    programs = ("etcd", "etcdctl") if spec.etcd == "3.4" else ("etcd", "etcdctl", "etcdutl")
    return [NodeFile(f"/usr/local/bin/{name}", target=f"/opt/etcd/{name}") for name in programs]


def kubernetes_program(name: str) -> NodeFile:
    return NodeFile(f"/usr/local/bin/{name}", target=f"/opt/kubernetes/{name}")


def control_plane_files(node: Node, number: int, members: tuple[Node, ...], trust: Trust) -> list[NodeFile]:
    """Three units, each with an identity of its own."""
    signs = trust.kubernetes.sign
    programs = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
    users = {name: f"system:kube-{name}" for name in ("controller-manager", "scheduler")}
    return [
        *(kubernetes_program(name) for name in programs),
        *pair_files(f"{KUBE_PKI}/ca", trust.kubernetes.pair),
        NodeFile(f"{KUBE_PKI}/etcd-ca.crt", trust.etcd.pair.cert),
        *pair_files(f"{KUBE_PKI}/apiserver-etcd-client", trust.etcd.sign("kube-apiserver")),
        *pair_files(
            f"{KUBE_PKI}/apiserver",
            signs("kube-apiserver", hosts=(node.name, node.address, *LOCAL, *KUBERNETES_NAMES)),
        ),
        NodeFile(f"{KUBE_PKI}/sa.pub", trust.service_accounts.cert),
        NodeFile(f"{KUBE_PKI}/sa.key", trust.service_accounts.key, 0o600),
        *(
            NodeFile(
                f"/etc/kubernetes/{name}.conf",
                kubeconfig(node.api_url, trust.kubernetes.pair.cert, signs(user, user), user),
                0o600,
            )
            for name, user in users.items()
        ),
        *unit_files(number, "kube-apiserver", apiserver_unit(node, members)),
        *unit_files(number, "kube-controller-manager", controller_manager_unit()),
        *unit_files(number, "kube-scheduler", scheduler_unit()),
    ]


def pair_files(stem: str, pair: Pair, owner: str = "root") -> list[NodeFile]:
    return [NodeFile(f"{stem}.crt", pair.cert), NodeFile(f"{stem}.key", pair.key, 0o600, owner)]


def unit_files(number: int, name: str, text: str) -> list[NodeFile]:
    """Enabled, so that it comes up with the machine."""
    path = f"{unit_folder(number)}/{name}.service"
    wanted = f"/etc/systemd/system/multi-user.target.wants/{name}.service"
    return [NodeFile(path, text.encode()), NodeFile(wanted, target=path)]
