"""Every acknowledgement of an API server is judged by its resourceVersion, which is the revision in etcd."""

from __future__ import annotations

from itertools import groupby
from math import inf
from typing import TYPE_CHECKING

from deploy.robustness.acknowledged import some
from deploy.robustness.readings import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deploy.robustness.readings import Evidence, Write


def unserved(seen: Evidence) -> Iterator[str]:
    """API servers that do not answer, or that nobody could write through."""
    for name, reason in seen.after.unheard.items():
        yield f"the API server on {name} does not answer: {reason}"
    for name in seen.after.objects:
        if not any(write.through == name and write.revision and write.began > seen.ended for write in seen.objects):
            yield f"no object written through the API server on {name} was acknowledged after the end"


def objects_astray(seen: Evidence, objects: Mapping[str, Stored], *, restored: bool) -> Iterator[str]:
    """What one API server holds, compared with everything that any of them has acknowledged."""
    ordered = sorted(seen.objects, key=lambda write: (write.key, write.began))
    named = {name: tuple(writes) for name, writes in groupby(ordered, lambda write: write.key)}
    wrong: dict[str, set[str]] = {}
    for name, writes in named.items():
        counted = tuple(each for each in writes if each.revision and not (restored and taken_back(each, seen)))
        possible = {each.value for each in writes if not each.revision}
        wrong.setdefault(astray(objects.get(name), counted, possible), set()).add(name)
    wrong.pop("", None)
    for how, names in wrong.items():
        yield from some(f"objects {how}", names)
    yield from some("objects there, although nobody wrote them", set(objects) - set(named))


def astray(there: Stored | None, counted: tuple[Write, ...], possible: set[str]) -> str:
    """One client writes a name, so its writes have an order; one that nobody acknowledged may have happened."""
    if there is None:
        return "missing" if counted else ""
    if there.value in possible:
        return ""
    if not counted:
        return "there, although written after the backup"
    return "" if there == Stored(counted[-1].revision, counted[-1].value) else "not as they were written last"


def taken_back(write: Write, seen: Evidence) -> bool:
    """An API server does not say to which cluster it wrote; the revisions of the two lie far apart."""
    old = {member.cluster_id for member in seen.before.members.values()}
    last = max((each.revision for each in seen.writes if each.cluster_id in old), default=0)
    first = min((each.revision for each in seen.writes if each.cluster_id not in {"", *old}), default=inf)
    return write.revision > seen.snapshot_revision and write.revision - last <= first - write.revision
