"""What retention lets go, removed from the store: looked at, judged, removed, looked at again."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from temporalio import activity

from activities.clusters.catalogued import Shelving, straight
from activities.recording.recorded import RecordedStores
from activities.recording.tickets import ticket_of
from activities.streams.pipeline import beaten
from quorate.backups.catalogue import MANIFEST, home_of, id_of
from quorate.backups.marks import Kind, Mark
from quorate.backups.marks import put as put_mark
from quorate.backups.provenance import doubted
from quorate.backups.retention import Circumstances, Judged, judged
from quorate.command import Ticket
from quorate.converge import Clock, Tick
from quorate.errors import Denied, Failed
from quorate.ports import Signatures, Store
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

DAY_S = 86400.0  # a snapshot has its name when it is streamed, and its backup began before


@dataclass(frozen=True)
class Pruning:
    """`operations` is the directory of the records that are kept here."""

    stores: RecordedStores
    signatures: Signatures
    operations: Path
    clock: Clock = time
    tick: Tick = activity.heartbeat
    shelf: Shelving = straight

    @activity.defn(name="snapshots.judge", no_thread_cancel_exception=True)
    def judge(self, task: PruneTask) -> Judgement:
        """Nothing is changed by it."""
        store = self.stores.at(task.request.store, ticket_of(task))
        return beaten(lambda _tick: judgement(task.request, *self.look(store, task.request)), self.tick)

    @activity.defn(name="snapshots.prune", no_thread_cancel_exception=True)
    def prune(self, task: PruneTask) -> PruneResult:
        """Judged once more: what has become newest, protected or used meanwhile stays. A second run goes on."""
        ticket = ticket_of(task)
        return beaten(lambda tick: self._prune(task, ticket, tick), self.tick)

    def look(
        self, store: Store, request: PruneRequest
    ) -> tuple[tuple[Judged, ...], tuple[Stray, ...], tuple[str, ...]]:
        """Every snapshot and every stray of the cluster, each with why it stays, and the keys that are hidden."""
        stock = self.shelf(store, request.store, request.cluster)
        hidden = store.hidden(f"{request.cluster}/")
        now = datetime.fromtimestamp(self.clock.time(), UTC)
        around = Circumstances(
            doubted=doubted(stock.manifests, request.trust, self.signatures),
            used=self._used(store, request.cluster),
            now=now,
        )
        times = [began(home_of(key)).timestamp() for key in stock.strays]
        known = published(store, request.cluster, min(times) - DAY_S, max(times)) if times else {}
        return judged(stock, request.retention, around), strays(stock, known, hidden, now), hidden

    def _prune(self, task: PruneTask, ticket: Ticket, tick: Tick) -> PruneResult:
        store = self.stores.at(task.request.store, ticket)
        rows, others, _ = self.look(store, task.request)
        may_go = {row.manifest.directory for row in rows if not row.stays}
        may_go |= {each.directory for each in others if not each.stays}
        removed: list[str] = []
        stay: list[str] = []
        notes: list[str] = []
        for directory in (*task.judgement.goes, *task.judgement.strays):
            tick(f"removing {directory}")
            keys = keys_of(store, directory)
            if not keys:
                removed.append(directory)  # by an attempt before this one
            elif directory not in may_go:
                stay.append(f"{directory} stays after all: it may not go any more")
            elif why := self._in_use(store, task.request.cluster, directory) or lock_of(store, keys):
                stay.append(why)
            else:
                notes += self._remove(store, directory, keys, ticket)
                removed.append(directory)
        return result(task, tuple(removed), tuple(stay), tuple(notes))

    def _used(self, store: Store, cluster: str) -> Mapping[str, str]:
        return {**used(store, cluster), **used_here(self.operations, cluster)}

    def _in_use(self, store: Store, cluster: str, directory: str) -> str:
        """By a restore that was planned since."""
        operation = self._used(store, cluster).get(id_of(directory))
        return f"{operation} uses {id_of(directory)}" if operation else ""

    def _remove(self, store: Store, directory: str, keys: tuple[str, ...], ticket: Ticket) -> tuple[str, ...]:
        """The mark first, so that whoever finds the rest knows whose work it is."""
        mark = next((key for key in keys if key.endswith(f"-{Kind.PRUNED}")), "")
        if not mark:
            at = datetime.fromtimestamp(self.clock.time(), UTC)
            made = Mark(directory, Kind.PRUNED, at, ticket.actor, ticket.operation)
            put_mark(store, made)
            mark = made.key
        stuck = []
        for key in order(keys_of(store, directory), mark):  # again: somebody may have laid a mark meanwhile
            try:
                store.remove(key)
            except Denied as error:
                if is_data(key):
                    raise
                stuck.append(f"{key} stays until its lock ends: {error}")
        if left := [key for key in keys_of(store, directory) if is_data(key)]:
            raise Failed(f"{', '.join(left)} was removed and is there still", next="quorate snapshots ls")
        return tuple(stuck)


def keys_of(store: Store, directory: str) -> tuple[str, ...]:
    return tuple(each.key for each in store.ls(f"{directory}/"))


def is_data(key: str) -> bool:
    """And no mark."""
    return "/marks/" not in key


def lock_of(store: Store, keys: tuple[str, ...]) -> str:
    """Why nothing of a snapshot may be removed yet, or nothing: half of one would be worse than all."""
    data = sorted(filter(is_data, keys), key=lambda key: not key.endswith(MANIFEST))
    held = ((key, store.locked(key)) for key in data)
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
