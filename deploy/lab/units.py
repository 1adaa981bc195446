"""The units of a node, as an operator would have written them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.lab.spec import LabSpec, Node

DATA_DIR = "/var/lib/etcd/default"
ETCD_PKI = "/etc/etcd/pki"
KUBE_PKI = "/etc/kubernetes/pki"
QUOTA_BYTES = 8 * 1024**3
SERVICE_NETWORK = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"


def unit_folder(number: int) -> str:
    """Odd nodes keep their units in /etc, even ones in /usr/lib: fences of the two differ."""
    return "/etc/systemd/system" if number % 2 else "/usr/lib/systemd/system"


def exec_start(program: str, flags: Iterable[tuple[str, object]]) -> str:
    """One flag a line."""
    return " \\\n    ".join([f"/usr/local/bin/{program}", *(f"--{name}={value}" for name, value in flags)])


def etcd_unit(spec: LabSpec, node: Node, nodes: tuple[Node, ...]) -> str:
    """Ready means published through raft, so a start blocks until there is a quorum."""
    flags = [
        ("name", node.name),
        ("data-dir", DATA_DIR),
        ("listen-client-urls", f"{node.client_url},https://127.0.0.1:2379"),
        ("advertise-client-urls", node.client_url),
        ("listen-peer-urls", node.peer_url),
        ("initial-advertise-peer-urls", node.peer_url),
        ("initial-cluster", ",".join(f"{member.name}={member.peer_url}" for member in nodes)),
        ("initial-cluster-token", f"quorate-lab-{spec.name}"),
        ("initial-cluster-state", "new"),
        ("quota-backend-bytes", QUOTA_BYTES),
        *tls_flags(""),
        *tls_flags("peer-"),
    ]
    return f"""[Unit]
Description=etcd
After=network.target

[Service]
Type=notify
User=etcd
ExecStart={exec_start("etcd", flags)}
Restart=on-abnormal
TimeoutStartSec=90
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""


def tls_flags(side: str) -> list[tuple[str, object]]:
    """Clients and peers both have to show a certificate."""
    pair = "peer" if side else "server"
    return [
        (f"{side}client-cert-auth", "true"),
        (f"{side}trusted-ca-file", f"{ETCD_PKI}/ca.crt"),
        (f"{side}cert-file", f"{ETCD_PKI}/{pair}.crt"),
        (f"{side}key-file", f"{ETCD_PKI}/{pair}.key"),
    ]


def apiserver_unit(node: Node, members: tuple[Node, ...]) -> str:
    """The local etcd first where there is one, the others for when it is down."""
    servers = [member.client_url for member in sorted(members, key=lambda member: member != node)]
    flags = [
        ("advertise-address", node.address),
        ("secure-port", 6443),
        ("etcd-servers", ",".join(servers)),
        ("etcd-cafile", f"{KUBE_PKI}/etcd-ca.crt"),
        ("etcd-certfile", f"{KUBE_PKI}/apiserver-etcd-client.crt"),
        ("etcd-keyfile", f"{KUBE_PKI}/apiserver-etcd-client.key"),
        ("endpoint-reconciler-type", "lease"),
        ("authorization-mode", "Node,RBAC"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("client-ca-file", f"{KUBE_PKI}/ca.crt"),
        ("tls-cert-file", f"{KUBE_PKI}/apiserver.crt"),
        ("tls-private-key-file", f"{KUBE_PKI}/apiserver.key"),
        ("service-cluster-ip-range", SERVICE_NETWORK),
        ("service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
        ("service-account-key-file", f"{KUBE_PKI}/sa.pub"),
        ("service-account-signing-key-file", f"{KUBE_PKI}/sa.key"),
        ("allow-privileged", "true"),
    ]
    return control_unit("kube-apiserver", flags, "notify", "etcd.service")


def controller_manager_unit() -> str:
    """Leader election is its default, said anyway."""
    kubeconfig = "/etc/kubernetes/controller-manager.conf"
    flags = [
        *kubeconfig_flags(kubeconfig),
        ("bind-address", "127.0.0.1"),
        ("leader-elect", "true"),
        ("use-service-account-credentials", "true"),
        ("service-account-private-key-file", f"{KUBE_PKI}/sa.key"),
        ("root-ca-file", f"{KUBE_PKI}/ca.crt"),
        ("cluster-signing-cert-file", f"{KUBE_PKI}/ca.crt"),
        ("cluster-signing-key-file", f"{KUBE_PKI}/ca.key"),
        ("service-cluster-ip-range", SERVICE_NETWORK),
    ]
    return control_unit("kube-controller-manager", flags, "exec", "kube-apiserver.service")


def scheduler_unit() -> str:
    flags = [
        *kubeconfig_flags("/etc/kubernetes/scheduler.conf"),
        ("bind-address", "127.0.0.1"),
        ("leader-elect", "true"),
    ]
    return control_unit("kube-scheduler", flags, "exec", "kube-apiserver.service")


def kubeconfig_flags(path: str) -> list[tuple[str, object]]:
    return [(name, path) for name in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")]


def control_unit(program: str, flags: list[tuple[str, object]], kind: str, after: str) -> str:
    """It tries again for ever: etcd may be away for as long as a restore takes."""
    return f"""[Unit]
Description={program}
After={after}
StartLimitIntervalSec=0

[Service]
Type={kind}
ExecStart={exec_start(program, flags)}
Restart=always
RestartSec=1
TimeoutStartSec=120
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""
