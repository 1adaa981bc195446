"""Whether a backup is of the cluster that the ones before were of, or of an empty one under its name.

Two wiped members that come up again form an empty cluster with the same ids: backed up as the newest it would be
what is restored, and retention would eat the good ones.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from quorate.backups.catalogue import MANIFEST, Manifest, home_of, parse, read
from quorate.backups.marks import UNMARKED, Standing, standings
from quorate.errors import Corrupt
from quorate.ports import Store
from quorate.records import lineages

READ_MAX = 50  # manifests that are read before there is none that counts


@dataclass(frozen=True, slots=True)
class Baseline:
    """The newest backup before that counts; `revision` is 0 where it is of another cluster id."""

    snapshot: str
    keys: int
    revision: int = 0


def baseline(store: Store, cluster: str, cluster_id: str) -> Baseline | None:
    """Of the same cluster id, else of the same name; None for the first one, and for the first after a restore."""
    listed = [each.key for each in store.ls(f"{cluster}/")]
    marks = standings(listed)
    keys = [key for key in listed if key.endswith(f"/{MANIFEST}") and not set_aside(marks, key)]
    if same := counting(store, (key for key in keys if key.startswith(f"{cluster}/{cluster_id}/"))):
        return Baseline(same.id, total(same), same.revision)
    if cluster_id in {link.after for link in lineages(store, cluster)}:
        return None
    other = counting(store, keys)
    return Baseline(other.id, total(other)) if other else None


def set_aside(marks: Mapping[str, Standing], key: str) -> bool:
    standing = marks.get(home_of(key), UNMARKED)
    return standing.pruned or standing.quarantined is not None


def counting(store: Store, keys: Iterable[str]) -> Manifest | None:
    """The newest of them that counts; their names begin with their time."""
    for key in sorted(keys, key=lambda each: each.split("/")[-2], reverse=True)[:READ_MAX]:
        try:
            found = parse(read(store, key), key)
        except Corrupt:
            continue
        if found.counts and "" in found.keys:
            return found
    return None


def total(manifest: Manifest) -> int:
    return manifest.keys[""]


def suspicions(before: Baseline | None, revision: int, keys: int | None, shrink_percent: int) -> Iterator[str]:
    """`keys` is None where they could not be counted."""
    if before is None:
        return
    if revision < before.revision:
        yield (
            f"its revision is {revision}, that of {before.snapshot} was {before.revision}: an empty cluster can have "
            "the same ids"
        )
    if keys is None or not before.keys:
        return
    fell_percent = 100 - 100 * keys / before.keys
    if fell_percent > shrink_percent or not keys:
        yield (
            f"it holds {keys} keys, {before.snapshot} held {before.keys}: {fell_percent:.0f} % are gone, "
            f"{shrink_percent} % may be (backup.shrink_percent)"
        )
