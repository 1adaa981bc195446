"""The lab's `quorate.yaml`, in the form the product reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from deploy.lab.age import OURS
from deploy.lab.cache import cache
from deploy.lab.s3 import REGION
from deploy.lab.supervised import MANIFESTS, supervised

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.lab.spec import S3, LabSpec, Node

CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


def quorate_yaml(
    spec: LabSpec,
    nodes: tuple[Node, ...],
    store: S3,
    recipients: tuple[str, ...],
    outside: tuple[Node, ...] = (),
    sandbox: Node | None = None,
) -> str:
    """Everything by absolute path, so that it can be read from anywhere."""
    text = {
        "apiVersion": "quorate/v1",
        "state_dir": str(spec.folder / "state"),
        "temporal": {"binary": str(cache() / "bin" / "temporal")},
        "clusters": {spec.name: cluster(spec, nodes, recipients, outside) | proving(spec, sandbox)},
        "stores": {"offsite": {"s3": offsite(spec, store)}},
        "metrics": {"listen": "127.0.0.1:0"},  # labs run side by side; `daemon.json` says which port it is
    }
    return yaml.safe_dump(text, sort_keys=False, width=110)


def cluster(
    spec: LabSpec, nodes: tuple[Node, ...], recipients: tuple[str, ...], outside: tuple[Node, ...]
) -> dict[str, object]:
    text: dict[str, object] = {
        "environment": "staging",
        "ssh": {
            "user": "quorate",
            "identity": secret(spec.folder, "ssh/id_ed25519"),
            "known_hosts": str(spec.folder / "ssh" / "known_hosts"),
        },
        "etcd": {
            **process(spec, "etcd"),
            "data_dir": supervised(spec).data_dir,
            "restore_tool": f"/usr/local/bin/{'etcdctl' if spec.etcd == '3.4' else 'etcdutl'}",
            "tls": {
                "ca": secret(spec.folder, "pki/ca.crt"),
                "cert": secret(spec.folder, "pki/client.crt"),
                "key": secret(spec.folder, "pki/client.key"),
            },
        },
        "members": [member(node) for node in nodes],
    }
    if spec.control_plane in ("systemd", "static-pods"):
        text["control_plane"] = [{"role": role, **process(spec, role)} for role in CONTROL_PLANE]
    if spec.control_plane != "none":
        text["kubernetes"] = {
            "kubeconfig": secret(spec.folder, "admin.kubeconfig"),
            "api_urls": [node.api_url for node in outside or nodes],
        }
    policy = {"backup": backup(spec, recipients), "objectives": {"rto": "15m", "rpo": "30m"}}
    return text | policy | {"drills": "allowed"}


def proving(spec: LabSpec, sandbox: Node | None) -> dict[str, object]:
    """Where backups are started; the account and its key are those of the nodes."""
    if sandbox is None:
        return {}
    tool = f"/usr/local/bin/{'etcdctl' if spec.etcd == '3.4' else 'etcdutl'}"
    text = {"name": sandbox.name, "host": sandbox.address, "restore_tool": tool}
    if spec.control_plane != "none":
        text["api_server"] = "/usr/local/bin/kube-apiserver"
    return {"sandbox": text}


def backup(spec: LabSpec, recipients: tuple[str, ...]) -> dict[str, object]:
    """Encrypted, as it should be everywhere."""
    return {
        "store": "offsite",
        "every": "15m",
        "recipients": list(recipients),
        "identities": [secret(spec.folder, OURS)],
    }


def process(spec: LabSpec, name: str) -> dict[str, object]:
    """A unit, or the manifest of a static pod."""
    if spec.control_plane == "static-pods":
        return {"manifest": f"{MANIFESTS}/{name}.yaml"}
    return {"unit": f"{name}.service"}


def member(node: Node) -> dict[str, object]:
    return {
        "name": node.name,
        "host": node.address,
        "peer_urls": [node.peer_url],
        "client_urls": [node.client_url],
    }


def offsite(spec: LabSpec, store: S3) -> dict[str, object]:
    return {
        "bucket": store.bucket,
        "prefix": "quorate",
        "endpoint": store.endpoint,
        "region": REGION,
        "path_style": True,
        "access_key": secret(spec.folder, "s3/access_key"),
        "secret_key": secret(spec.folder, "s3/secret_key"),
    }


def secret(folder: Path, name: str) -> str:
    return f"file:{folder / name}"
