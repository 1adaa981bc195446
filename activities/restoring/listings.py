"""The keys of a cluster before it is restored, and what of them is not as it was afterwards.

Nothing here is worth a failed restore: what could not be listed is said in words.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from temporalio import activity

from activities.recording.recorded import RecordedEtcds, RecordedStores
from activities.restoring.members import looks
from activities.restoring.nodes import ticket_of
from activities.streams.compression import compressed, expanded
from activities.streams.pipeline import beaten
from activities.streams.sealed import opened, sealed
from quorate.command import Ticket
from quorate.converge import Clock, Receipt, Tick
from quorate.errors import AlreadyThere, Failed, QuorateError, Unreachable
from quorate.members.etcd import EtcdSeen, EtcdTarget
from quorate.members.listing import KEYS_MAX, Key, differences, lines, parsed, shortened
from quorate.ports import Cipher, Etcd, Store
from quorate.records import home
from quorate.task import ClusterTask

LIST_S = 20.0
NAME = "keys-before.zst"


@dataclass(frozen=True)
class Listings:
    etcds: RecordedEtcds
    stores: RecordedStores
    cipher: Cipher
    clock: Clock
    tick: Tick = activity.heartbeat

    @activity.defn(name="members.list", no_thread_cancel_exception=True)
    def before(self, task: ClusterTask) -> Receipt:
        """Kept with the operation's record in the store, for whoever ends the restore; the first listing counts.

        Names of keys say who runs what, so they are encrypted for whomever the snapshot is.
        """
        return self._said(task, self._keep)

    @activity.defn(name="members.differ", no_thread_cancel_exception=True)
    def differ(self, task: ClusterTask) -> Receipt:
        """By kind, with what was restored and not with what was written since."""
        return self._said(task, self._differ)

    def _said(self, task: ClusterTask, ask: Callable[[ClusterTask, Ticket, Tick], dict[str, str]]) -> Receipt:
        started, began, ticket = self.clock.time(), self.clock.monotonic(), ticket_of(task)
        try:
            facts = beaten(lambda tick: ask(task, ticket, tick), self.tick)
        except QuorateError as error:
            facts = {"unlisted": str(error)}
        return Receipt(started=started, duration_s=self.clock.monotonic() - began, facts=facts)

    def _keep(self, task: ClusterTask, ticket: Ticket, tick: Tick) -> dict[str, str]:
        target, seen = self._furthest(task, ticket)
        with self.etcds.at(target, ticket) as etcd:
            keys = self._keys(etcd, seen.revision, tick)
        try:
            listed = sealed(self.cipher, compressed(lines(keys)), task.snapshot.recipients)
            self._store(task, ticket).put(key(task), listed, tick)
        except AlreadyThere:
            return {}
        return {"listed": str(len(keys)), "listed_at": str(seen.revision)}

    def _differ(self, task: ClusterTask, ticket: Ticket, tick: Tick) -> dict[str, str]:
        snapshot, stored = task.snapshot, self._store(task, ticket).get(key(task))
        clear = opened(self.cipher, stored, snapshot.recipients, snapshot.identities, key(task))
        was = parsed(b"".join(expanded(clear, key(task))))
        with self.etcds.at(task.shares[0].target, ticket) as etcd:
            restored = min(task.snapshot.revision + task.bump, etcd.linearizable_revision())
            now = {each.name: each.revision for each in self._keys(etcd, 0 if task.mark else restored, tick)}
        found = shortened(differences(was, now))
        return {"differs": json.dumps([asdict(each) for each in found])}

    def _furthest(self, task: ClusterTask, ticket: Ticket) -> tuple[EtcdTarget, EtcdSeen]:
        """The member that knows most; Unreachable, with what each said, where none answers."""
        seen = looks(self.etcds, task.shares, ticket)
        answers = [(share.target, each) for share, each in seen if isinstance(each, EtcdSeen)]
        if not answers:
            raise Unreachable("; ".join(str(error) for _, error in seen))
        return max(answers, key=lambda each: each[1].revision)

    def _keys(self, etcd: Etcd, revision: int, tick: Tick) -> list[Key]:
        found, limit = list[Key](), self.clock.monotonic() + LIST_S
        for page in etcd.key_pages(revision):
            found += page
            tick(f"{len(found)} keys listed")
            if len(found) > KEYS_MAX:
                raise Failed(f"more than {KEYS_MAX} keys are not listed")
            if self.clock.monotonic() > limit:
                raise Failed(f"{len(found)} keys took longer than {LIST_S:.0f} s to list")
        return found

    def _store(self, task: ClusterTask, ticket: Ticket) -> Store:
        assert task.store, "a restore always has one"
        return self.stores.at(task.store, ticket)


def key(task: ClusterTask) -> str:
    return f"{home(task.cluster, task.operation)}/{NAME}{'.age' if task.snapshot.recipients else ''}"
