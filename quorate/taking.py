"""A snapshot of one member, taken in the middle of a restore, and how the steps after it get to know of it."""

from collections.abc import Mapping

from pydantic import TypeAdapter

from quorate.backup import BackupTask, Choice
from quorate.backups.catalogue import Manifest
from quorate.backups.request import BackupRequest
from quorate.chosen import SnapshotRef
from quorate.members.etcd import EtcdSeen, EtcdTarget
from quorate.restore import reference
from quorate.task import ClusterTask

REFERENCE: TypeAdapter[SnapshotRef] = TypeAdapter(SnapshotRef)
FACT = "snapshot"


def taking(task: ClusterTask, target: EtcdTarget, seen: EtcdSeen) -> BackupTask:
    """A backup of that very member, which says that nobody but the member vouches for it."""
    assert task.store, "only a plan with a source has this step"
    assert task.source
    name = task.source.member
    return BackupTask(
        request=BackupRequest(
            task.operation,
            task.cluster,
            (target,),
            task.store,
            task.actor,
            recipients=task.snapshot.recipients,
            identities=task.snapshot.identities,
        ),
        step=task.step,
        turn=task.turn,
        choice=Choice(
            target=target,
            member_id=seen.member_id,
            version=seen.version,
            cluster_id=seen.cluster_id,
            revision=seen.revision,
            members=seen.members,
            findings=(f"taken from {name} alone by {task.operation}",),
            alone=True,
            auth=bool(target.user),
        ),
    )


def facts(manifest: Manifest, identities: tuple[str, ...]) -> dict[str, str]:
    """For the receipt of the step."""
    return {FACT: REFERENCE.dump_json(reference(manifest, identities)).decode()}


def reference_of(facts: Mapping[str, str]) -> SnapshotRef:
    return REFERENCE.validate_json(facts[FACT])
