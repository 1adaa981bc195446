"""What is done about the cluster as a whole: compared, verified."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from temporalio import activity

from activities.clusters.tunnels import Tunnels, through
from activities.recording.recorded import RecordedEtcds, RecordedHosts
from activities.restoring.nodes import ticket_of
from activities.streams.pipeline import beaten
from quorate.chosen import Share
from quorate.command import Ticket
from quorate.converge import Clock, Receipt, Tick
from quorate.errors import Corrupt, DidNotConverge, Failed, QuorateError, Refusal, Unreachable
from quorate.members.etcd import EtcdSeen, HashKV, member_id
from quorate.members.verifying import (
    differing_content,
    differing_hashes,
    leader_last,
    missing_keys,
    wrong_identity,
    wrong_revision,
)
from quorate.ports import Etcd
from quorate.restoring.canary import overtaken
from quorate.task import ClusterTask

POLL_S = 0.1
SILENT_S = 120.0  # as long as the step `verify` has where nothing is to be passed
BEAT_S = 1.0
T = TypeVar("T")


@dataclass(frozen=True)
class Members:
    hosts: RecordedHosts
    etcds: RecordedEtcds
    tunnels: Tunnels
    clock: Clock
    tick: Tick = activity.heartbeat

    @activity.defn(name="nodes.same", no_thread_cancel_exception=True)
    def same(self, task: ClusterTask) -> Receipt:
        """Every node staged the same content: nothing in etcd would ever notice a mix.

        Not the same bytes: bbolt's freelist is a Go map, so of two free spans that fit now one is taken, now
        the other (seen on etcd 3.6.14 with a fragmented db: 1 of 12 restores of one file had another sha256,
        all 12 had one hash). DECISIONS.md, "Staged content".
        """
        started, began = self.clock.time(), self.clock.monotonic()
        staged = {share.node.name: self._staged(task, share) for share in task.shares}
        if wrong := differing_content(staged):
            raise Corrupt(f"the nodes did not stage the same content: {wrong}; nothing was stopped")
        if task.mark and (late := overtaken(task.mark, self._highest(task))):
            raise Refusal(f"{late}; nothing was stopped", next=f"quorate plan restore {task.cluster}")
        facts = {"staged": next(iter(staged.values()))}
        return Receipt(started=started, duration_s=self.clock.monotonic() - began, facts=facts)

    @activity.defn(name="members.verify", no_thread_cancel_exception=True)
    def verify(self, task: ClusterTask) -> Receipt:
        """Identity, keys, a write through every member, and one hash over all of them."""
        started, began = self.clock.time(), self.clock.monotonic()
        with self._all(task) as etcds:
            facts = Verification(task, etcds, self, began + task.patience_s).facts()
        return Receipt(started=started, duration_s=self.clock.monotonic() - began, facts=facts)

    def _staged(self, task: ClusterTask, share: Share) -> str:
        data = share.data(task.operation)
        seen = self.hosts.at(share.node, data.look(), ticket_of(task)).look()
        return seen.texts.get(data.digest, "")

    def _highest(self, task: ClusterTask) -> int:
        """How far any member is that still says so."""
        seen = looks(self.etcds, task.shares, ticket_of(task))
        return max((each.revision for _, each in seen if isinstance(each, EtcdSeen)), default=0)

    @contextmanager
    def _all(self, task: ClusterTask) -> Iterator[dict[str, Etcd]]:
        with ExitStack() as stack:
            ticket = ticket_of(task)
            dialled = {
                share.member: stack.enter_context(through(self.tunnels, share.node, share.target))
                for share in task.shares
            }
            yield {name: stack.enter_context(self.etcds.at(each, ticket)) for name, each in dialled.items()}

    def until(self, deadline: float, ask: Callable[[], T]) -> T:
        """The answer, once there is one: a cluster without a leader yet is not a failure yet."""
        while True:
            try:
                return ask()
            except Unreachable:
                if self.clock.monotonic() >= deadline:
                    raise
                self.tick("waiting for etcd to answer")
                self.clock.sleep(POLL_S)


@dataclass(frozen=True)
class Verification:
    """One look at every member of a restored cluster, in the order of design.md, "Verify order"."""

    task: ClusterTask
    etcds: Mapping[str, Etcd]
    members: Members
    end: float

    @property
    def deadline(self) -> float:
        """When a silent etcd is given up, from now on: sooner than the step ends where writes may take long."""
        return min(self.end, self.members.clock.monotonic() + SILENT_S)

    @property
    def canary(self) -> str:
        return f"quorate/canary/{self.task.operation}"

    def facts(self) -> dict[str, str]:
        ids = {share.member: member_id(share.peer_urls, self.task.token) for share in self.task.shares}
        seen = self.members.until(self.deadline, self._looks)
        demand("this is not the cluster that was restored", wrong_identity(seen, ids))
        restored = self._restored()
        keys = {prefix: self._count(prefix, restored) for prefix in self.task.snapshot.keys}
        demand("keys are missing", missing_keys(self.task.snapshot.keys, keys))
        armed = any(etcd.alarms for etcd in seen.values())
        disarmed = self._any().disarm() if armed else ()
        if self.task.mark:
            self._pass_mark()
        first, written = self._write()
        demand("the revision went back", wrong_revision(self.task.floor, first))
        hashes = self._hashes(leader_last(seen))
        demand("the members differ", differing_hashes(hashes))
        for etcd in self.etcds.values():
            etcd.delete(self.canary)
        return {
            "cluster_id": next(iter(seen.values())).cluster_id,
            "served_revision": str(first),
            "first_write": repr(written),
            "disarmed": ", ".join(disarmed),
            "hash_kv": str(next(iter(hashes.values())).hash),
        }

    def _looks(self) -> dict[str, EtcdSeen]:
        """All members at once: their first connections are part of the outage."""
        with ThreadPoolExecutor(len(self.etcds)) as pool:
            looks = {name: pool.submit(etcd.look) for name, etcd in self.etcds.items()}
        return {name: each.result() for name, each in looks.items()}

    def _any(self) -> Etcd:
        return next(iter(self.etcds.values()))

    def _restored(self) -> int:
        """Where keys are counted: at the restored revision, so that a write of somebody else counts for nothing.

        A keyspace that was never written to has no revision to add the bump to, and serves one less. Past the
        mark an attempt before this one has compacted: then as it is now, without the canary.
        """
        served = self.members.until(self.deadline, self._any().linearizable_revision)
        if 0 < self.task.mark < served:
            return self.members.until(self.deadline, lambda: self._any().delete(self.canary))
        return min(self.task.snapshot.revision + self.task.bump, served)

    def _count(self, prefix: str, revision: int) -> int:
        return self.members.until(self.deadline, lambda: self._any().count(prefix, revision))

    def _pass_mark(self) -> None:
        """As a bump with `--mark-compacted`: nothing is served twice, and no old watch goes on in silence."""
        etcd = self._any()
        passed = self.members.until(self.deadline, lambda: etcd.advance(self.canary, self.task.mark, self._tick))
        self.members.until(self.deadline, lambda: beaten(lambda _: etcd.compact(passed), self.members.tick))

    def _tick(self, said: str) -> None:
        if self.members.clock.monotonic() >= self.end:
            raise DidNotConverge(f"the time of this step is over at {said}; a retry goes on from there")
        self.members.tick(said)

    def _write(self) -> tuple[int, float]:
        """Put and get through every member; the first write's revision and time.

        The key stays until the hashes are compared: an etcd without any hashes also what a compaction has yet to
        remove, and each member is as far with that as it is (seen on 3.4.23).
        """
        first, written = 0, 0.0
        for name, etcd in self.etcds.items():
            value = name.encode()
            revision = self.members.until(self.deadline, partial(etcd.put, self.canary, value))
            if not first:
                first, written = revision, self.members.clock.time()
            if etcd.get(self.canary) != value:
                raise Failed(f"{name} does not read back what was written through it")
        return first, written

    def _hashes(self, order: tuple[str, ...]) -> dict[str, HashKV]:
        """All at once where clients are shut out: a hash blocks its member's writes, so else one at a time."""
        revision = self._any().linearizable_revision()
        shut = all(share.clients.firewall for share in self.task.shares)
        with ThreadPoolExecutor(len(order) if shut else 1, "hash") as pool:
            asked = {name: pool.submit(self.etcds[name].hash_kv, revision) for name in order}
            while wait(asked.values(), BEAT_S).not_done:
                self.members.tick("comparing hashes")
        return {name: replace(each.result(), revision=revision) for name, each in asked.items()}


def looks(
    etcds: RecordedEtcds, shares: tuple[Share, ...], ticket: Ticket
) -> tuple[tuple[Share, EtcdSeen | QuorateError], ...]:
    """What each member says of itself, or why it says nothing; all are asked at once."""

    def look(share: Share) -> EtcdSeen | QuorateError:
        try:
            with etcds.at(share.target, ticket) as etcd:
                return etcd.look()
        except QuorateError as error:
            return error

    with ThreadPoolExecutor(len(shares)) as pool:
        return tuple(zip(shares, pool.map(look, shares), strict=True))


def demand(what: str, wrong: str) -> None:
    """Success is observed; anything else is a failure that says what was seen."""
    if wrong:
        raise Failed(f"{what}: {wrong}")
