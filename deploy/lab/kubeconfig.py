"""Kubeconfigs, with everything inside."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from deploy.lab.pki import Pair


def kubeconfig(server: str, ca: bytes, pair: Pair, user: str) -> bytes:
    """One cluster, one user, one context."""
    text = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": encoded(ca)}}],
        "users": [
            {
                "name": user,
                "user": {"client-certificate-data": encoded(pair.cert), "client-key-data": encoded(pair.key)},
            }
        ],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        "current-context": "lab",
    }
    return yaml.safe_dump(text, sort_keys=False).encode()


def encoded(pem: bytes) -> str:
    return b64encode(pem).decode()
