"""A published snapshot, copied to the other stores of its policy, each proved as the first one was."""

import time
from dataclasses import dataclass, replace

from temporalio import activity

from activities.backups.snapshots import AHEAD, locked
from activities.backups.sweeping import swept
from activities.recording.recorded import RecordedStores
from activities.recording.tickets import ticket_of
from activities.streams.checksums import Sum, drain, proved
from activities.streams.pipeline import ahead, beaten
from quorate.backup import BackupResult, BackupTask
from quorate.backups.catalogue import MANIFEST, Manifest, key_of, parse, read
from quorate.command import Ticket
from quorate.converge import Clock, Tick
from quorate.errors import AlreadyThere, Corrupt, QuorateError
from quorate.ports import Store, Uploads


@dataclass(frozen=True)
class Copying:
    stores: RecordedStores
    uploads: Uploads
    clock: Clock = time
    tick: Tick = activity.heartbeat

    @activity.defn(name="snapshots.copy", no_thread_cancel_exception=True)
    def copy(self, task: BackupTask) -> BackupResult:
        """What one store refuses is a finding: the backup is there, and so are the other copies."""
        ticket = ticket_of(task)
        return beaten(lambda tick: self._copied(task, ticket, tick), self.tick)

    def _copied(self, task: BackupTask, ticket: Ticket, tick: Tick) -> BackupResult:
        assert task.result, "copied before it was published"
        assert task.streamed, "published before it was streamed"
        source = self.stores.at(task.request.store, ticket)
        key = key_of(task.streamed.directory, MANIFEST)
        manifest = parse(read(source, key), key)
        findings: list[str] = []
        for name, settings in task.request.copies.items():
            try:
                target = self.stores.at(settings, ticket)
                prefix = f"{manifest.cluster}/{manifest.cluster_id}/"
                findings += swept(target, settings.place, prefix, self.uploads, self.clock.time())
                with self.uploads.storing(settings.place, manifest.key):
                    lacks = copied(source, target, manifest, tick)
                findings += (f"{why} {name}" for why in lacks)
                if task.request.lock and settings.s3:
                    findings += (f"the copy in {name}: {why}" for why in locked(target, task.request.lock, manifest))
            except QuorateError as error:
                findings.append(f"it is not copied to {name}: {error}")
        return noted(task.result, tuple(findings))


def copied(source: Store, target: Store, manifest: Manifest, tick: Tick) -> tuple[str, ...]:
    """The very objects, then the very manifest; why its bundle is not there, which holds up no snapshot."""
    carried(source, target, manifest.key, manifest.stored_sha256, tick)
    lacks = without_bundle(source, target, manifest, tick)
    try:
        target.put(manifest.manifest_key, (manifest.encode(),), tick)
    except AlreadyThere:
        if read(target, manifest.manifest_key) != manifest.encode():
            raise
    return lacks


def without_bundle(source: Store, target: Store, manifest: Manifest, tick: Tick) -> tuple[str, ...]:
    try:
        if beside := manifest.bundle:
            carried(source, target, beside.key, beside.stored_sha256, tick)
    except QuorateError as error:
        return (f"its bundle is not copied ({error}) to",)
    return ()


def carried(source: Store, target: Store, key: str, sha256: str, tick: Tick) -> None:
    """What is there already is proved instead."""
    try:
        with ahead(proved(source.get(key), sha256, key), AHEAD, tick) as chunks:
            target.put(key, chunks, tick)
    except AlreadyThere:
        tick("it is there already")
    found = Sum()
    with ahead(target.get(key), AHEAD, tick) as chunks:
        drain(found.of(chunks))
    if found.sha256 != sha256:
        raise Corrupt(f"the store gave back something else than {key}: sha256 {found.sha256[:12]}…")


def noted(result: BackupResult, findings: tuple[str, ...]) -> BackupResult:
    outcome = "degraded" if findings and result.outcome == "verified" else result.outcome
    return replace(result, outcome=outcome, findings=(*result.findings, *findings))
