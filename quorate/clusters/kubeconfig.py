"""Where a kubeconfig leads to."""

import base64
from typing import Any

import yaml


def server(text: bytes) -> str:
    """The URL of its current context; "" where it cannot be told."""
    try:
        told: Any = yaml.safe_load(text)
        contexts = {each["name"]: each["context"]["cluster"] for each in told["contexts"]}
        clusters = {each["name"]: each["cluster"]["server"] for each in told["clusters"]}
        return str(clusters[contexts[told["current-context"]]])
    except (yaml.YAMLError, KeyError, TypeError):
        return ""


def client_certificate(text: bytes) -> bytes:
    """In PEM, of its only user; nothing where it logs in otherwise, or names a file."""
    try:
        told: Any = yaml.safe_load(text)
        return base64.b64decode(told["users"][0]["user"]["client-certificate-data"])
    except (yaml.YAMLError, KeyError, TypeError, IndexError, ValueError):
        return b""
