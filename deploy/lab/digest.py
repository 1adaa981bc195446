"""What etcd holds, as one number to compare before and after."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.lab.errors import LabError
from deploy.lab.https import Caller, NoAnswerError
from deploy.lab.load import PREFIX, count_objects, text
from deploy.lab.ready import etcd_healthy, etcd_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.lab.spec import Lab

PAGE = 64  # values of 128 KiB: 8 MiB an answer


@dataclass(frozen=True, slots=True)
class Digest:
    """Equal digests mean equal keys and values, whatever their order and revisions."""

    keys: int
    sha256: str
    objects: int


def digest(lab: Lab) -> Digest:
    """Every key under the load's prefix, and how many ConfigMaps the API server lists."""
    try:
        keys, total = fold(pairs(lab))
        return Digest(keys, total, count_objects(lab))
    except NoAnswerError as error:
        raise LabError(f"cannot read {lab.name}: {error}; `python -m deploy.lab ls` shows what is down") from error


def fold(found: Iterator[tuple[bytes, bytes]]) -> tuple[int, str]:
    """A sum does not depend on the order; two equal pairs do not cancel each other out as with xor."""
    count = total = 0
    for key, value in found:
        one = hashlib.sha256(len(key).to_bytes(8) + key + value).digest()
        count, total = count + 1, (total + int.from_bytes(one)) % 2**256
    return count, f"{total:064x}"


def pairs(lab: Lab) -> Iterator[tuple[bytes, bytes]]:
    """Page by page from the first member that answers, all at one revision."""
    url = next((url for url in lab.etcd.endpoints if etcd_healthy(lab, url)), lab.etcd.endpoints[0])
    caller = Caller(url, etcd_identity(lab))
    start, end, revision = PREFIX.encode(), PREFIX[:-1].encode() + b"0", "0"  # "0" comes right after "/"
    while True:
        asked = {"key": text(start), "range_end": text(end), "limit": PAGE, "revision": revision}
        answer = caller.call("POST", "/v3/kv/range", asked)
        revision = answer["header"]["revision"] if revision == "0" else revision
        for pair in answer.get("kvs", ()):
            start = b64decode(pair["key"]) + b"\0"
            yield b64decode(pair["key"]), b64decode(pair.get("value", ""))
        if not answer.get("more"):
            return
