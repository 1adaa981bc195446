"""What retention lets go, removed from the store: looked at, judged, removed, looked at again."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from temporalio import activity

from activities.pipeline import beaten
from activities.recorded import RecordedStores
from quorate.catalogue import MANIFEST, Shelf, home_of, id_of, shelf
from quorate.command import Ticket
from quorate.converge import Clock, Tick
from quorate.errors import Denied, Failed
from quorate.marks import Kind, Mark
from quorate.marks import put as put_mark
from quorate.ports import Signatures, Store
from quorate.provenance import doubted
from quorate.prune import (
    Judgement,
    PruneRequest,
    PruneResult,
    PruneTask,
    Stray,
    began,
    judgement,
    order,
    result,
    strays,
)
from quorate.records import published, used
from quorate.retention import Circumstances, Judged, judged

DAY_S = 86400.0  # a snapshot has its name when it is streamed, and its backup began before


@dataclass(frozen=True)
class Pruning:
    """`operations` is the directory of the records that are kept here."""

    stores: RecordedStores
    signatures: Signatures
    operations: Path
    clock: Clock = time
    tick: Tick = activity.heartbeat

    @activity.defn(name="snapshots.judge", no_thread_cancel_exception=True)
    def judge(self, task: PruneTask) -> Judgement:
        """Nothing is changed by it."""
        store = self.stores.at(task.request.store, ticket_of(task))

        def work(_: Tick) -> Judgement:
            rows, others = self.rows(store, task.request)
            return judgement(task.request, rows, others, store.hidden(f"{task.request.cluster}/"))

        return beaten(work, self.tick)

    @activity.defn(name="snapshots.prune", no_thread_cancel_exception=True)
    def prune(self, task: PruneTask) -> PruneResult:
        """Judged once more: what has become newest, protected or used meanwhile stays. A second run goes on."""
        ticket = ticket_of(task)
        return beaten(lambda tick: self._prune(task, ticket, tick), self.tick)

    def rows(self, store: Store, request: PruneRequest) -> tuple[tuple[Judged, ...], tuple[Stray, ...]]:
        """Every snapshot and every stray of the cluster, each with why it stays."""
        stock = shelf(store, request.cluster)
        around = Circumstances(
            doubted=doubted(stock.manifests, request.trust, self.signatures),
            used=self._used(store, request.cluster),
        )
        return judged(stock, request.retention, around), self._strays(store, request.cluster, stock)

    def _strays(self, store: Store, cluster: str, stock: Shelf) -> tuple[Stray, ...]:
        times = [began(home_of(key)).timestamp() for key in stock.strays]
        known = published(store, cluster, min(times) - DAY_S, max(times)) if times else {}
        hidden = store.hidden(f"{cluster}/") if times else ()
        return strays(stock, known, hidden, datetime.fromtimestamp(self.clock.time(), UTC))

    def _prune(self, task: PruneTask, ticket: Ticket, tick: Tick) -> PruneResult:
        store = self.stores.at(task.request.store, ticket)
        rows, others = self.rows(store, task.request)
        may_go = {row.manifest.directory for row in rows if not row.stays}
        may_go |= {each.directory for each in others if not each.stays}
        removed: list[str] = []
        stay: list[str] = []
        notes: list[str] = []
        for directory in (*task.judgement.goes, *task.judgement.strays):
            tick(f"removing {directory}")
            if not store.ls(f"{directory}/"):
                removed.append(directory)  # by an attempt before this one
            elif directory not in may_go:
                stay.append(f"{directory} stays after all: it may not go any more")
            elif why := self._in_use(store, task.request.cluster, directory) or lock_of(store, directory):
                stay.append(why)
            else:
                notes += self._remove(store, directory, ticket)
                removed.append(directory)
        return result(task, tuple(removed), tuple(stay), tuple(notes))

    def _used(self, store: Store, cluster: str) -> Mapping[str, str]:
        return {**used(store, cluster), **used_here(self.operations, cluster)}

    def _in_use(self, store: Store, cluster: str, directory: str) -> str:
        """By a restore that was planned since."""
        operation = self._used(store, cluster).get(id_of(directory))
        return f"{operation} uses {id_of(directory)}" if operation else ""

    def _remove(self, store: Store, directory: str, ticket: Ticket) -> tuple[str, ...]:
        """The mark first, so that whoever finds the rest knows whose work it is."""
        marked = [each.key for each in store.ls(f"{directory}/marks/") if each.key.endswith(f"-{Kind.PRUNED}")]
        if not marked:
            at = datetime.fromtimestamp(self.clock.time(), UTC)
            mark = Mark(directory, Kind.PRUNED, at, ticket.actor, ticket.operation)
            put_mark(store, mark)
            marked = [mark.key]
        stuck = []
        for key in order((each.key for each in store.ls(f"{directory}/")), marked[0]):
            try:
                store.remove(key)
            except Denied as error:
                if "/marks/" not in key:
                    raise
                stuck.append(f"{key} stays until its lock ends: {error}")
        left = [each.key for each in store.ls(f"{directory}/") if "/marks/" not in each.key]
        if left:
            raise Failed(f"{', '.join(left)} was removed and is there still", next="quorate snapshots ls")
        return tuple(stuck)


def lock_of(store: Store, directory: str) -> str:
    """Why nothing of a snapshot may be removed yet, or nothing: half of one would be worse than all."""
    keys = [each.key for each in store.ls(f"{directory}/") if "/marks/" not in each.key]
    held = ((key, store.locked(key)) for key in sorted(keys, key=lambda key: not key.endswith(MANIFEST)))
    return next((f"{key} is {why}" for key, why in held if why), "")


def used_here(operations: Path, cluster: str) -> Mapping[str, str]:
    """By open operations whose records the store may not have yet."""
    found = {}
    for plan in operations.glob("restore-*/plan.json"):
        if not list(plan.parent.glob("outcome*.json")):
            chosen = json.loads(plan.read_text())["chosen"]
            if chosen["cluster"] == cluster:
                found[str(chosen["snapshot"]["id"])] = plan.parent.name
    return found


def ticket_of(task: PruneTask) -> Ticket:
    return Ticket(task.request.operation, task.turn, activity.info().attempt, task.step, task.request.actor)
