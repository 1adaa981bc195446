"""Whether a lab answers: etcd, SSH, the control plane, the store."""

from __future__ import annotations

import socket
import time
from functools import partial
from typing import TYPE_CHECKING

from deploy.lab import s3
from deploy.lab.errors import LabError
from deploy.lab.https import Caller, Identity, NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deploy.lab.spec import Lab, Node

Check = tuple[str, "Callable[[], bool]"]

PATIENCE_S = 3
STATIC_PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
KUBE_SYSTEM = "/api/v1/namespaces/kube-system/pods/"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/"


def checks(lab: Lab) -> Iterator[Check]:
    """Everything a lab is waited for, in words."""
    for node in lab.machines:
        yield f"{node.name}: sshd", partial(greets, node.address)
    for node in lab.nodes:
        yield f"{node.name}: etcd", partial(etcd_healthy, lab, node.client_url)
    if lab.kubeconfig:
        yield from control_plane_checks(lab)
    if lab.spec.control_plane == "static-pods":
        yield from pod_checks(lab)
    yield "S3 server", partial(s3.answers, lab.folder / "s3", lab.s3)


def control_plane_checks(lab: Lab) -> Iterator[Check]:
    """Every API server, one leader of each kind, and the namespace that comes last."""
    for node in lab.api_nodes:
        yield f"{node.name}: kube-apiserver", partial(api_ready, lab, node.api_url)
    for name in ("kube-controller-manager", "kube-scheduler"):
        yield f"{name}: a leader", partial(leads, lab, name)
    yield "namespace default", partial(has_default, lab)


def pod_checks(lab: Lab) -> Iterator[Check]:
    """What a kubelet tells the API server of its node and of the pods it runs there by itself."""
    for node in lab.nodes:
        yield f"{node.name}: a Node that is ready", partial(node_ready, lab, node)
        yield f"{node.name}: {len(STATIC_PODS)} mirror pods", partial(mirrored, lab, node)


def missing(lab: Lab) -> str:
    """The first thing that does not answer, or nothing."""
    return next((what for what, holds in checks(lab) if not holds()), "")


def await_ready(lab: Lab, deadline_s: float) -> None:
    """Look at each until it answers; those that answered once are not asked again."""
    began = time.monotonic()
    for what, holds in checks(lab):
        while not holds():
            if time.monotonic() - began > deadline_s:
                raise LabError(
                    f"{what} does not answer after {deadline_s:.0f} s; look with `docker exec`, or `down` it"
                )
            time.sleep(0.1)


def greets(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), PATIENCE_S) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def etcd_identity(lab: Lab) -> Identity:
    return Identity(lab.etcd.ca, lab.etcd.cert, lab.etcd.key)


def api_identity(lab: Lab) -> Identity:
    """The administrator's, also kept beside the kubeconfig."""
    folder = lab.folder / "pki" / "kubernetes"
    return Identity(str(folder / "ca.crt"), str(folder / "admin.crt"), str(folder / "admin.key"))


def etcd_healthy(lab: Lab, url: str) -> bool:
    try:
        answer = Caller(url, etcd_identity(lab), PATIENCE_S).call("GET", "/health")
    except NoAnswerError:
        return False
    return bool(answer.get("health") == "true")


def api(lab: Lab, url: str, path: str) -> object:
    """What the API server says, or None."""
    try:
        return Caller(url, api_identity(lab), PATIENCE_S).call("GET", path)
    except NoAnswerError:
        return None


def api_ready(lab: Lab, url: str) -> bool:
    return api(lab, url, "/readyz") == "ok"


def has_default(lab: Lab) -> bool:
    return api(lab, lab.api_nodes[0].api_url, "/api/v1/namespaces/default") is not None


def leads(lab: Lab, name: str) -> bool:
    lease = api(lab, lab.api_nodes[0].api_url, LEASES + name)
    return isinstance(lease, dict) and bool(lease["spec"].get("holderIdentity"))


def node_ready(lab: Lab, node: Node) -> bool:
    found = api(lab, node.api_url, f"/api/v1/nodes/{node.name}")
    conditions = found["status"].get("conditions", ()) if isinstance(found, dict) else ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def mirrored(lab: Lab, node: Node) -> bool:
    """The kubelet has seen each of them running, and said so."""
    found = (api(lab, node.api_url, f"{KUBE_SYSTEM}{pod}-{node.name}") for pod in STATIC_PODS)
    return all(isinstance(pod, dict) and pod["status"]["phase"] == "Running" for pod in found)
