"""A client of the cluster all the while: it writes and reads, and what it could not do is the outage."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from temporalio import activity

from activities.clusters.forwarded import ForwardedApis
from activities.recording.recorded import OpenJournal, Pen
from activities.recording.tickets import ticket_of
from quorate.converge import Clock, Ran
from quorate.drill import DrillRequest, DrillTask
from quorate.drills.probing import Log, resumed
from quorate.errors import QuorateError
from quorate.measure import Probed, Surface, Verb
from quorate.ports import Api, Etcd, Etcds

T = TypeVar("T")
EVERY_S = 0.1  # between two rounds that went through
AGAIN_S = 0.05  # after one that did not
API_EVERY_S = 0.25
LEASE = "quorate-canary"  # as after every restore
BEAT_S = 1.0


@dataclass(slots=True)
class Clients(Generic[T]):
    """One connection to each, made anew after it failed; the one that answered last is asked first."""

    opened: Callable[[str], AbstractContextManager[T]]
    names: list[str]
    held: dict[str, tuple[ExitStack, T]] = field(default_factory=dict)

    def through_any(self, ask: Callable[[T], None]) -> str:
        """Why none of them took it, or nothing."""
        said: list[str] = []
        for name in tuple(self.names):
            try:
                ask(self._at(name))
            except QuorateError as error:
                self._drop(name)
                self.names = [*(each for each in self.names if each != name), name]
                said.append(f"{name}: {error}")
            else:
                return ""
        return "; ".join(said)

    def _at(self, name: str) -> T:
        if name not in self.held:
            stack = ExitStack()
            self.held[name] = (stack, stack.enter_context(self.opened(name)))
        return self.held[name][1]

    def _drop(self, name: str) -> None:
        if name in self.held:
            self.held.pop(name)[0].close()

    def close(self) -> None:
        for name in tuple(self.held):
            self._drop(name)


@dataclass(frozen=True)
class Probe:
    """`etcds` and `apis` are prompt: whoever does not answer in about a second has not answered."""

    etcds: Etcds
    apis: ForwardedApis
    journals: OpenJournal
    clock: Clock
    beat: Callable[..., None] = activity.heartbeat

    @activity.defn(name="drill.probe", no_thread_cancel_exception=True)
    def probe(self, task: DrillTask) -> Probed:
        """Until it is cancelled; on record as one act, however many writes it makes."""
        log = self._log()
        pen = Pen(self.journals(task.request.operation), ticket_of(task), "cluster", self.clock)

        def act() -> Ran:
            began = self.clock.time()
            self._run(task.request, log)
            said = f"{sum(log.made.values())} tries, {sum(log.failed.values())} failed"
            return Ran("probe", 0, said, began, self.clock.time() - began)

        pen.ran(("probe", task.request.probe_key), act)
        return log.probed(self.clock.time())

    def _log(self) -> Log:
        details = activity.info().heartbeat_details
        now = self.clock.time()
        return resumed(details[1], now) if len(details) > 1 else Log(now)

    def _run(self, request: DrillRequest, log: Log) -> None:
        over, one_at_a_time = threading.Event(), threading.Lock()
        threads = [threading.Thread(target=self._etcd, args=(request, log, over, one_at_a_time), name="probe-etcd")]
        if request.settings.kubernetes:
            threads.append(
                threading.Thread(target=self._api, args=(request, log, over, one_at_a_time), name="probe-api")
            )
        for each in threads:
            each.start()
        try:
            while not activity.is_cancelled() and all(each.is_alive() for each in threads):
                with one_at_a_time:
                    note = log.note(self.clock.time())
                self.beat(f"{sum(log.made.values())} writes and reads", note)
                over.wait(BEAT_S)
        finally:
            over.set()
            for each in threads:
                each.join()

    def _etcd(self, request: DrillRequest, log: Log, over: threading.Event, one: threading.Lock) -> None:
        targets = {each.name: each for each in request.targets}
        clients = Clients(lambda name: self.etcds.at(targets[name]), list(targets))
        key = request.probe_key

        def read(etcd: Etcd) -> None:
            there = etcd.read(key)
            with one:
                log.read(*((int(there.value), there.revision) if there else (0, 0)))

        def write(etcd: Etcd) -> None:
            number = log.acknowledged + 1
            log.wrote(number, etcd.put(key, str(number).encode()))

        def look_first(etcd: Etcd) -> None:
            """What was lost meanwhile is seen before it is written over."""
            read(etcd)
            write(etcd)

        try:
            while not over.is_set():
                why = self._try(log, one, ("etcd", "read"), lambda: clients.through_any(read))
                ask = look_first if why else write
                why = self._try(log, one, ("etcd", "write"), partial(clients.through_any, ask)) or why
                over.wait(AGAIN_S if why else EVERY_S)
        finally:
            clients.close()

    def _api(self, request: DrillRequest, log: Log, over: threading.Event, one: threading.Lock) -> None:
        kubernetes = request.settings.kubernetes
        assert kubernetes
        clients = Clients(
            lambda url: self.apis.at(kubernetes.kubeconfig, url, request.nodes), list(kubernetes.api_urls)
        )

        def read(api: Api) -> None:
            api.lease(LEASE)

        def write(api: Api) -> None:
            api.write_lease(LEASE, request.operation)

        try:
            while not over.is_set():
                self._try(log, one, ("apiserver", "read"), lambda: clients.through_any(read))
                self._try(log, one, ("apiserver", "write"), lambda: clients.through_any(write))
                over.wait(API_EVERY_S)
        finally:
            clients.close()

    def _try(self, log: Log, one: threading.Lock, key: tuple[Surface, Verb], ask: Callable[[], str]) -> str:
        since = self.clock.time()
        why = ask()
        with one:
            log.tried(key, since, self.clock.time(), why)
        return why
