"""Keys that a drill deletes by mistake: written, told apart, deleted, and told again when they are back."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from temporalio import activity

from activities.clusters.anyone import first
from activities.recording.recorded import RecordedEtcds
from activities.recording.tickets import ticket_of
from activities.streams.pipeline import beaten
from quorate.converge import Clock, Tick
from quorate.drill import Fingerprint, MistakeTask
from quorate.ports import Etcd

T = TypeVar("T")


@dataclass(frozen=True)
class Mistakes:
    etcds: RecordedEtcds
    clock: Clock = time
    tick: Tick = activity.heartbeat

    @activity.defn(name="drill.write", no_thread_cancel_exception=True)
    def write(self, task: MistakeTask) -> None:
        """The same names at every try, so that there are never more of them."""

        def put(etcd: Etcd, tick: Tick) -> None:
            for number in range(task.mistake.writes):
                etcd.put(f"{task.mistake.prefix}{number:05}", task.request.operation.encode())
                tick(f"{number} keys written")

        self._through_any(task, put)

    @activity.defn(name="drill.fingerprint", no_thread_cancel_exception=True)
    def fingerprint(self, task: MistakeTask) -> Fingerprint:
        return self._through_any(task, lambda etcd, tick: fingerprint(etcd, task.mistake.prefix, tick))

    @activity.defn(name="drill.delete", no_thread_cancel_exception=True)
    def delete(self, task: MistakeTask) -> Fingerprint:
        """What is left afterwards."""

        def delete(etcd: Etcd, tick: Tick) -> Fingerprint:
            etcd.delete_prefix(task.mistake.prefix)
            return fingerprint(etcd, task.mistake.prefix, tick)

        return self._through_any(task, delete)

    def _through_any(self, task: MistakeTask, ask: Callable[[Etcd, Tick], T]) -> T:
        at = partial(self.etcds.at, ticket=ticket_of(task))
        return beaten(lambda tick: first(at, task.request.targets, lambda etcd: ask(etcd, tick)), self.tick)


def fingerprint(etcd: Etcd, prefix: str, tick: Tick) -> Fingerprint:
    """Every key is read for it, a page at a time."""
    whole, count = hashlib.sha256(), 0
    for page in etcd.key_pages():
        for key in page:
            if key.name.startswith(prefix):
                whole.update(f"{key.name} {key.revision}\n".encode())
                count += 1
        tick(f"{count} keys below {prefix}")
    return Fingerprint(count, whole.hexdigest())
