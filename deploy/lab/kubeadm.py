"""What kubeadm is told, and what it finds on a node: it writes the manifests and signs the rest itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from deploy.lab.binaries import KUBERNETES
from deploy.lab.machine import NodeFile
from deploy.lab.pod_images import REPOSITORY, etcd_tag
from deploy.lab.units import KUBE_PKI, QUOTA_BYTES, SERVICE_NETWORK

if TYPE_CHECKING:
    from deploy.lab.node_files import Trust
    from deploy.lab.pki import Pair
    from deploy.lab.spec import LabSpec, Node

CONFIG = "/etc/kubernetes/kubeadm.yaml"
# As a person would find such a node: etcd's own tools are in its image alone.
PROGRAMS = {"kubelet": ("kubelet", "kubeadm"), "kubernetes": ("kubectl",), "crictl": ("crictl",)}
# A lab stands on somebody's own disk, which may be nearly full: no eviction, no image thrown away.
DISK_PRESSURE = ("imagefs.available", "imagefs.inodesFree", "nodefs.available", "nodefs.inodesFree")


def kubeadm_files(spec: LabSpec, number: int, nodes: tuple[Node, ...], trust: Trust) -> list[NodeFile]:
    """The authorities that all nodes share, the configuration, and the programs."""
    return [
        *(
            NodeFile(f"/usr/local/bin/{program}", target=f"/opt/{part}/{program}")
            for part, programs in PROGRAMS.items()
            for program in programs
        ),
        *authority_files(f"{KUBE_PKI}/ca", trust.kubernetes.pair),
        *authority_files(f"{KUBE_PKI}/front-proxy-ca", trust.front_proxy.pair),
        *authority_files(f"{KUBE_PKI}/etcd/ca", trust.etcd.pair),
        NodeFile(f"{KUBE_PKI}/sa.pub", trust.service_accounts.cert),
        NodeFile(f"{KUBE_PKI}/sa.key", trust.service_accounts.key, 0o600),
        NodeFile(CONFIG, configuration(spec, nodes[number - 1], nodes).encode(), 0o600),
    ]


def authority_files(stem: str, pair: Pair) -> list[NodeFile]:
    return [NodeFile(f"{stem}.crt", pair.cert), NodeFile(f"{stem}.key", pair.key, 0o600)]


def configuration(spec: LabSpec, node: Node, nodes: tuple[Node, ...]) -> str:
    """`kubeadm init` on every node: etcd's members know each other from the start, as in a lab of units."""
    init = {
        "localAPIEndpoint": {"advertiseAddress": node.address, "bindPort": 6443},
        "nodeRegistration": {
            "name": node.name,
            "criSocket": "unix:///run/containerd/containerd.sock",
            "kubeletExtraArgs": arguments({"node-ip": node.address}),
        },
    }
    cluster = {
        "clusterName": spec.name,
        "kubernetesVersion": f"v{KUBERNETES}",
        "imageRepository": REPOSITORY,
        "encryptionAlgorithm": "ECDSA-P256",
        "networking": {"serviceSubnet": SERVICE_NETWORK},
        "etcd": {"local": {"imageTag": etcd_tag(spec), "extraArgs": arguments(etcd_arguments(nodes))}},
    }
    documents = [
        {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "InitConfiguration", **init},
        {"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration", **cluster},
        {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **kubelet()},
    ]
    return yaml.safe_dump_all(documents, sort_keys=False)


def etcd_arguments(nodes: tuple[Node, ...]) -> dict[str, str]:
    """No token: kubeadm gives none."""
    return {
        "initial-cluster": ",".join(f"{member.name}={member.peer_url}" for member in nodes),
        "initial-cluster-state": "new",
        "quota-backend-bytes": str(QUOTA_BYTES),
    }


def kubelet() -> dict[str, object]:
    """kubeadm's own settings, but for what a container and a full disk make different."""
    return {
        "cgroupDriver": "cgroupfs",
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", **dict.fromkeys(DISK_PRESSURE, "0%")},
    }


def arguments(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]
