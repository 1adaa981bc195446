"""Every acknowledgement is judged by its header: what was promised is there, or was taken back as announced."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deploy.robustness.readings import Evidence, Write

SHOWN = 3
OF_API_SERVERS = ("/registry/", "compact_rev_key")  # judged through them


def digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


def value_of(key: str) -> bytes:
    """Every key of the writer holds its own name."""
    return key.encode()


def went_back(writes: tuple[Write, ...]) -> Iterator[str]:
    """A write that began after another was acknowledged has a higher revision, whoever asks whomever."""
    acknowledged = [write for write in writes if write.revision]
    by_end = sorted(acknowledged, key=lambda write: write.ended)
    known, highest = 0, 0
    for write in sorted(acknowledged, key=lambda write: write.began):
        while known < len(by_end) and by_end[known].ended < write.began:
            highest = max(highest, by_end[known].revision)
            known += 1
        if write.revision <= highest:
            yield f"the revision went back: {write.revision} through {write.through} after {highest} was acknowledged"


def lost_and_found(seen: Evidence, present: Mapping[str, str], *, restored: bool) -> Iterator[str]:
    """Keys that are missing, keys that should be gone, keys and values that nobody wrote."""
    ids = {member.cluster_id for member in seen.before.members.values()}
    must, never = dict(seen.loaded), set()
    for write in seen.writes:
        if write.cluster_id in ids and restored and write.revision > seen.snapshot_revision:
            never.add(write.key)
        elif write.cluster_id:
            must[write.key] = digest(value_of(write.key))
    unanswered = {write.key: digest(value_of(write.key)) for write in seen.writes if not write.cluster_id}
    yield from some("missing", {key for key in must if key not in present})
    yield from some("there, although written after the backup", never & set(present))
    known = unanswered | must
    theirs = {key for key in present if seen.objects and key.startswith(OF_API_SERVERS)}
    yield from some("there, although nobody wrote it", set(present) - set(known) - never - theirs)
    yield from some(
        "there with another value", {key for key in present if known.get(key, present[key]) != present[key]}
    )


def some(what: str, keys: set[str]) -> Iterator[str]:
    if keys:
        more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
        yield f"{what}: {', '.join(sorted(keys)[:SHOWN])}{more}"


def gone_clusters(seen: Evidence) -> Iterator[str]:
    """Whoever let clients in must still be there, or be the cluster from before."""
    known = {member.cluster_id for at in (seen.before, seen.after) for member in at.members.values()}
    for other in sorted({write.cluster_id for write in seen.writes if write.cluster_id} - known):
        yield f"writes were acknowledged by cluster {other}, which is neither the old nor the new one"
