"""Clients outside, one a member and one an API server, that write all the time and remember every acknowledgement."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from deploy.lab.https import Caller, NoAnswerError
from deploy.lab.load import text
from deploy.lab.ready import etcd_identity
from deploy.robustness.acknowledged import digest, value_of
from deploy.robustness.configmaps import client, prepared
from deploy.robustness.readings import Write

if TYPE_CHECKING:
    from deploy.lab.lab import Lab

PREFIX = "/quorate-robustness/"
LOAD = "/quorate-load/"
KEYS, VALUE_BYTES, KEYS_A_REQUEST = 200, 16 * 1024, 40
PAUSE_S = 0.05
ANSWER_S = 1.0


@dataclass(slots=True)
class Writers:
    """What they wrote so far."""

    lab: Lab
    run: str
    writes: list[Write] = field(default_factory=list)
    objects: list[Write] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def clients(self) -> Iterator[tuple[Callable[[int], Write], list[Write]]]:
        """What each does again and again, and where it is remembered."""
        for node in self.lab.nodes:
            etcd = Caller(node.client_url, etcd_identity(self.lab), ANSWER_S)
            yield partial(self.put, etcd, node.name), self.writes
            if self.lab.kubeconfig:
                yield client(self.lab, node, self.run).write, self.objects

    def hammer(self, write: Callable[[int], Write], written: list[Write]) -> None:
        for number in itertools.count():
            if self.over.wait(PAUSE_S):
                return
            written.append(write(number))

    def put(self, etcd: Caller, through: str, number: int) -> Write:
        """A key is never written twice, so that an answer that was lost leaves no doubt about another."""
        key, began = f"{PREFIX}{self.run}/{through}/{number:06d}", time.monotonic()
        try:
            answer = etcd.call("POST", "/v3/kv/put", {"key": text(key.encode()), "value": text(value_of(key))})
            header = answer["header"]
        except (NoAnswerError, ValueError, KeyError, TypeError):
            return Write(key, through, began, time.monotonic())
        return Write(key, through, began, time.monotonic(), str(header["cluster_id"]), int(header["revision"]))

    def since(self, moment: float) -> set[str]:
        """Through whom a write was acknowledged that began after it, by the API server too where there is one."""
        kinds = (self.writes, self.objects) if self.lab.kubeconfig else (self.writes,)
        return set.intersection(
            *({each.through for each in tuple(kind) if each.revision and each.began > moment} for kind in kinds)
        )


@contextmanager
def writing(lab: Lab, run: str, earlier: Writers | None = None) -> Iterator[Writers]:
    """Until the block ends; only what nobody writes to any more can be read and judged."""
    writers = Writers(lab, run, list(earlier.writes), list(earlier.objects)) if earlier else Writers(lab, run)
    threads = [threading.Thread(target=writers.hammer, args=each, daemon=True) for each in writers.clients()]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        writers.over.set()
        for thread in threads:
            thread.join()


def load(lab: Lab) -> dict[str, str]:
    """A few MiB that every backup holds; the keys and the sha256 of each value."""
    etcd = Caller(lab.etcd.endpoints[0], etcd_identity(lab))
    values = {f"{LOAD}{number:06d}": f"{number:06d} ".encode() * (VALUE_BYTES // 7) for number in range(KEYS)}
    for names in batches(list(values)):
        puts = [{"requestPut": {"key": text(name.encode()), "value": text(values[name])}} for name in names]
        etcd.call("POST", "/v3/kv/txn", {"success": puts})
    return {name: digest(value) for name, value in values.items()}


def batches(names: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(names), KEYS_A_REQUEST):
        yield names[at : at + KEYS_A_REQUEST]


def forget(lab: Lab) -> None:
    """What the writers of earlier runs wrote."""
    if lab.kubeconfig:
        prepared(lab)
    start, end = PREFIX.encode(), PREFIX[:-1].encode() + b"0"
    Caller(lab.etcd.endpoints[0], etcd_identity(lab)).call(
        "POST", "/v3/kv/deleterange", {"key": text(start), "range_end": text(end)}
    )
