"""Manifests of the small cluster of `tests.factory`."""

import hashlib
from datetime import UTC, datetime

from quorate.backups.catalogue import SNAPSHOT, Manifest, Source, directory, id_of, key_of
from tests.factory import DB, SNAPSHOT_BYTES

AT = datetime(2026, 11, 21, 10, 45, tzinfo=UTC)


def manifest(revision: int = 41, cluster_id: str = "c1", stored: bytes = SNAPSHOT_BYTES) -> Manifest:
    where = directory("demo", cluster_id, AT, revision)
    return Manifest(
        id=id_of(where),
        key=key_of(where, SNAPSHOT),
        cluster="demo",
        cluster_id=cluster_id,
        created_at=AT,
        duration_s=1.0,
        revision=revision,
        size_bytes=len(SNAPSHOT_BYTES),
        sha256=hashlib.sha256(SNAPSHOT_BYTES).hexdigest(),
        db_sha256=hashlib.sha256(DB).hexdigest(),
        stored_bytes=len(stored),
        stored_sha256=hashlib.sha256(stored).hexdigest(),
        source=Source(name="a", id="1", version="3.6.14"),
        members=(),
        keys={"": 20},
        hash_kv=None,
        operation="backup-1",
        actor="tester",
        outcome="verified",
    )
