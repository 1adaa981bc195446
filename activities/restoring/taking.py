"""One member in the middle of a restore, itself or the etcd that runs on a copy: snapshotted, or logged in to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from temporalio import activity

from activities.backups.snapshots import Snapshots
from activities.clusters.tunnels import Tunnels, through
from activities.recording.recorded import RecordedEtcds
from activities.restoring.nodes import ticket_of
from activities.streams.pipeline import beaten
from quorate.chosen import Share
from quorate.converge import Clock, Receipt, Tick
from quorate.errors import LoginRefused, Refusal
from quorate.members.etcd import EtcdTarget
from quorate.taking import facts, taking
from quorate.task import ClusterTask


@dataclass(frozen=True)
class Taking:
    etcds: RecordedEtcds
    tunnels: Tunnels
    snapshots: Snapshots
    clock: Clock
    tick: Tick = activity.heartbeat

    @activity.defn(name="members.take", no_thread_cancel_exception=True)
    def take(self, task: ClusterTask) -> Receipt:
        """Into the store as any backup, proved by being read back, so that it is there for a second try too."""
        started, began = self.clock.time(), self.clock.monotonic()
        ticket = ticket_of(task)
        with self._member(task) as target:
            with self.etcds.at(target, ticket) as etcd:
                wanted = taking(task, target, etcd.look())
            made = beaten(lambda tick: self.snapshots.taken(wanted, ticket, tick), self.tick)
        return Receipt(
            started=started, duration_s=self.clock.monotonic() - began, facts=facts(made, task.snapshot.identities)
        )

    @activity.defn(name="members.log_in", no_thread_cancel_exception=True)
    def log_in(self, task: ClusterTask) -> Receipt:
        """As root: etcd runs on a copy of what is staged, where users and passwords are as of the snapshot."""
        started, began = self.clock.time(), self.clock.monotonic()
        try:
            with self._member(task) as target, self.etcds.at(target, ticket_of(task)) as etcd:
                etcd.look()
                etcd.hash_kv(0)  # of all that a verification does, what nobody but root may
        except LoginRefused as error:
            raise Refusal(
                f"the snapshot of {task.snapshot.created_at} does not know us, so nobody could verify what is "
                f"restored: {error}; nothing was stopped",
                next="put the user and the password as of then into the inventory's etcd.auth",
            ) from error
        return Receipt(started=started, duration_s=self.clock.monotonic() - began)

    @contextmanager
    def _member(self, task: ClusterTask) -> Iterator[EtcdTarget]:
        """As its own node reaches it."""
        source = task.source or task.rehearsal
        assert source, "only a plan with a source or a rehearsal has this step"
        share = next(share for share in task.shares if share.member == source.member)
        target, host = share.target, ""
        if scratch := source.scratch:
            target, host = on_scratch(share, scratch.port, tls=bool(scratch.tls)), "127.0.0.1"
        with through(self.tunnels, share.node, target, host) as dialled:
            yield dialled


def on_scratch(share: Share, port: int, *, tls: bool) -> EtcdTarget:
    """The member's name stays, for its certificate; who dials goes elsewhere."""
    host = urlsplit(share.target.url).netloc.rpartition(":")[0]
    return replace(share.target, url=f"{'https' if tls else 'http'}://{host}:{port}")
