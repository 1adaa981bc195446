"""Data to back up: the same bytes for the same seed, and compressing like Kubernetes objects."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from deploy.lab.errors import LabError
from deploy.lab.https import Caller, NoAnswerError
from deploy.lab.ready import api_identity, etcd_identity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.lab.spec import Lab

PREFIX = "/quorate-load/"
NAMESPACE = "quorate-load"
VALUE_BYTES = 128 * 1024
VALUES_A_REQUEST = 8  # 1 MiB; etcd takes 1.5 MiB at most
OBJECTS = 300
SEED = 1
WRITERS = 6
HEX_DIGITS = 56  # beside about as many bytes that repeat: three to four times smaller when packed
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


def key(index: int) -> bytes:
    return f"{PREFIX}{index:08d}".encode()


def value(seed: int, index: int, size: int = VALUE_BYTES) -> bytes:
    """Lines of JSON with ids that nobody can guess but everybody can compute."""
    count = size // len(line("0" * HEX_DIGITS)) + 1
    digits = hashlib.shake_128(f"{seed}/{index}".encode()).hexdigest(count * HEX_DIGITS // 2)
    lines = (line(digits[at : at + HEX_DIGITS]) for at in range(0, len(digits), HEX_DIGITS))
    return "".join(lines).encode()[:size]


def line(digits: str) -> str:
    return f'{{"kind":"Pod","namespace":"default","uid":"{digits}","phase":"Running"}}\n'


def load(lab: Lab, mib: int, seed: int = SEED) -> None:
    """Fill etcd with `mib` MiB and, with a control plane, some hundred real objects."""
    count = mib * 1024 * 1024 // VALUE_BYTES
    batches = [range(at, min(at + VALUES_A_REQUEST, count)) for at in range(0, count, VALUES_A_REQUEST)]
    shares = [batches[at::WRITERS] for at in range(WRITERS)]
    try:
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(lambda at: put_all(lab, at, shares[at], seed), range(WRITERS)))
        if lab.kubeconfig:
            create_objects(lab)
    except NoAnswerError as error:
        raise LabError(f"cannot fill {lab.name}: {error}; `python -m deploy.lab ls` shows what is down") from error


def put_all(lab: Lab, writer: int, batches: Iterable[range], seed: int) -> None:
    """One writer, one member."""
    caller = Caller(lab.etcd.endpoints[writer % len(lab.etcd.endpoints)], etcd_identity(lab))
    for batch in batches:
        puts = [{"requestPut": {"key": text(key(at)), "value": text(value(seed, at))}} for at in batch]
        caller.call("POST", "/v3/kv/txn", {"success": puts})


def create_objects(lab: Lab) -> None:
    """ConfigMaps through the API server; those that exist stay."""
    caller = Caller(lab.api_nodes[0].api_url, api_identity(lab))
    fine = (200, 201, 409)
    caller.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}, fine)
    for at in range(OBJECTS):
        data = {"line": line(hashlib.sha256(str(at).encode()).hexdigest()[:HEX_DIGITS])}
        caller.call("POST", MAPS, {"metadata": {"name": f"load-{at:04d}"}, "data": data}, fine)


def text(raw: bytes) -> str:
    return b64encode(raw).decode()


def count_objects(lab: Lab) -> int:
    """How many of ours there are; the namespace's own certificate bundle is not counted."""
    if not lab.kubeconfig:
        return 0
    listed = Caller(lab.api_nodes[0].api_url, api_identity(lab)).call("GET", MAPS)
    names = [item["metadata"]["name"] for item in listed["items"]]
    return sum(name.startswith("load-") for name in names)
