"""The daemon's eyes: what it looks at all the time, beside its work and without a hand in it."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import structlog
from temporalio.service import RPCError

from quorate.drills.coverage import covered, figures
from quorate.drills.coverage import of_runs as drilled
from quorate.errors import QuorateError, Unreachable
from quorate.gauges import Figure, Run, of_active, of_attempts, of_runs
from quorate.members.revision_clock import EVERY_S
from quorate.notices import Notice, of_ends, of_hold
from worker.metrics import Board
from worker.notifying import Outbox, Receiver, Switch
from worker.operations import Operations, version
from worker.past import Past, of_audit
from worker.schedules import Standing, Wanted, scenario_of, surveyed
from worker.watched import Watched, watched
from worker.wiring import Wiring

CATALOGUE_S = 60.0
HIDDEN_S = 600.0  # every version in the store is listed for it
RECORDS_S = 15.0
ACTIVE_S = 10.0
SCHEDULES_S = 30.0
CREDENTIALS_S = 3600.0
NOTICES_S = 5.0
PING_S = 60.0
ANSWER_S = 30.0
T = TypeVar("T")
log = structlog.get_logger("quorate.eyes")


@dataclass(slots=True)
class Eyes:
    """All that one daemon looks at."""

    wiring: Wiring
    operations: Operations
    loop: asyncio.AbstractEventLoop
    board: Board = field(default_factory=Board)
    clusters: tuple[Watched, ...] = ()
    receivers: tuple[Receiver, ...] = ()
    past: Past = field(init=False)
    runs: tuple[Run, ...] = ()
    holds: tuple[Notice, ...] = ()
    answered: float = field(default_factory=time.monotonic)  # when Temporal did last

    def __post_init__(self) -> None:
        settings = self.wiring.settings
        outbox = Outbox(settings.state / "notices.json")
        self.receivers = tuple(
            Receiver(each, self.wiring.webhooks, self.wiring.secrets, outbox, self.notices)
            for each in settings.inventory.notify.webhooks
        )
        self.past = Past(settings.operations)
        self.clusters = tuple(
            watched(self.wiring, self.board, name, cluster) for name, cluster in settings.inventory.clusters.items()
        )
        self.board.tell("build", [Figure("quorate_build_info", (version(),), 1.0)])

    @property
    def looks(self) -> Iterator[tuple[str, Callable[[], None], float]]:
        """What is looked at, how, and how often."""
        for each in self.clusters:
            yield f"clock of {each.name}", each.tick, EVERY_S
            for stock in each.stocks:
                yield f"catalogue of {stock.place}", stock.read, CATALOGUE_S
                yield f"what is hidden of {stock.place}", stock.hidden, HIDDEN_S
            yield f"credentials of {each.name}", each.expiries, CREDENTIALS_S
        yield "records", self.records, RECORDS_S
        yield "operations", self.active, ACTIVE_S
        yield "schedules", self.scheduled, SCHEDULES_S
        for receiver in self.receivers:
            yield f"webhook {receiver.name}", partial(self.tell, receiver), NOTICES_S
        if url := self.wiring.settings.inventory.notify.deadman:
            yield (
                "dead man's switch",
                Switch(url, self.wiring.webhooks, self.wiring.secrets, self.silent_s).ping,
                PING_S,
            )

    def begin(self) -> None:
        """What needs nobody's answer is there before anybody can ask; years of records may take longer."""
        looks: list[tuple[str, Callable[[], None]]] = [(each.name, each.begin) for each in self.clusters]
        looks += [(each.name, partial(self.count, each)) for each in self.receivers]
        for name, look in looks:
            if trouble := troubled(look):
                log.warning("failing", what=name, error=trouble)

    def records(self) -> None:
        past = self.past.look()
        self.runs = runs = tuple(run for told in past.values() for run in told.runs)
        attempted = {each.name: each.stock.attempted for each in self.clusters}
        self.board.tell("runs", (*of_runs(runs, attempted), *of_attempts(runs, attempted)))
        self.board.tell("audit", of_audit(past))
        held = covered(self.wiring.settings.inventory, drilled(runs), datetime.now(UTC))
        self.board.tell("drills", figures(held))

    def active(self) -> None:
        """Temporal knows what runs."""
        active, held, self.holds = self.asked(self.running())
        self.answered = time.monotonic()
        self.board.tell("active", of_active([each.name for each in self.clusters], active, held))

    def scheduled(self) -> None:
        """Temporal knows what was missed as well."""
        found = self.asked(surveyed(self.wiring.settings, self.operations.client))
        self.board.tell("schedules", of_schedules(found))

    def asked(self, question: Coroutine[Any, Any, T]) -> T:
        """Of Temporal, whose client belongs to the daemon's loop."""
        try:
            return asyncio.run_coroutine_threadsafe(question, self.loop).result(ANSWER_S)
        except (RPCError, TimeoutError) as error:
            raise Unreachable(f"the Temporal server: {error or 'no answer'}") from error

    async def running(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]], tuple[Notice, ...]]:
        """By cluster and kind: what runs, and what of it is held; and what is to be told of that."""
        found = await self.operations.open()
        seen = await asyncio.gather(*(self.operations.glimpse_of(each) for each in found))
        held = [(each.found, each.hold) for each in seen if each.hold]
        told = tuple(of_hold(found.cluster, found.kind, found.operation, hold) for found, hold in held)
        return [(each.cluster, each.kind) for each in found], [(each.cluster, each.kind) for each, _ in held], told

    def notices(self) -> Iterator[Notice]:
        """Everything that is on record and that somebody should hear of."""
        yield from of_ends(self.runs)
        yield from self.holds

    def tell(self, receiver: Receiver) -> None:
        try:
            receiver.send()
        finally:
            self.count(receiver)

    def count(self, receiver: Receiver) -> None:
        self.board.tell(f"notices for {receiver.name}", receiver.figures)

    def silent_s(self) -> float:
        return time.monotonic() - self.answered


def of_schedules(found: Mapping[str, tuple[Wanted | None, Standing | None]]) -> Iterator[Figure]:
    """Of those for backups that the inventory has; when drills are due is told by what was held."""
    for want, now in found.values():
        if want and now and not scenario_of(want.id):
            name = (want.cluster,)
            yield Figure("quorate_schedule_paused", name, float(now.paused))
            yield Figure("quorate_schedule_missed", name, now.missed)
            yield Figure("quorate_schedule_skipped", name, now.skipped)
            if now.next:
                yield Figure("quorate_schedule_next_run_timestamp_seconds", name, now.next)


@contextmanager
def open_on(wiring: Wiring, operations: Operations) -> Iterator[Eyes]:
    """A thread for each thing that is looked at, so that one that is slow keeps no other waiting."""
    closed = threading.Event()
    eyes = Eyes(wiring, operations, asyncio.get_running_loop())
    eyes.begin()
    for look in eyes.looks:
        threading.Thread(target=repeated, args=(*look, closed), name=look[0], daemon=True).start()
    try:
        yield eyes
    finally:
        closed.set()


def repeated(what: str, look: Callable[[], None], every_s: float, closed: threading.Event) -> None:
    """Until it is closed; a failure is logged when it begins and when it is over, and ends nothing."""
    failed = ""
    while True:
        began = time.monotonic()
        trouble = troubled(look)
        if closed.is_set():
            return
        if trouble != failed:
            log.warning("failing", what=what, error=trouble) if trouble else log.info("well again", what=what)
        failed = trouble
        if closed.wait(max(0.0, every_s - (time.monotonic() - began))):
            return


def troubled(look: Callable[[], None]) -> str:
    try:
        look()
    except QuorateError as error:
        return str(error)
    except Exception as error:
        log.exception("a defect of ours; what was looked at is looked at again")
        return f"{type(error).__name__}: {error}"
    return ""
