"""The figures that are watched from outside: what each is called, and what it is by the catalogue and the records."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from quorate.backups.catalogue import Manifest, Shelf, age, newest
from quorate.clusters.cluster import Silence
from quorate.inventory import Cluster
from quorate.members.etcd import EtcdSeen
from quorate.members.revision_clock import Loss, Tick, loss
from quorate.operation import Outcome


@dataclass(frozen=True, slots=True)
class Metric:
    """Of a counter the name is what is scraped, with `_total`."""

    name: str
    help: str
    labels: tuple[str, ...] = ("cluster",)
    kind: Literal["gauge", "counter"] = "gauge"


@dataclass(frozen=True, slots=True)
class Figure:
    """One sample; its labels stand in the order of its metric's."""

    name: str
    labels: tuple[str, ...]
    value: float


METRICS = (
    Metric("quorate_build_info", "1, with the version that runs.", ("version",)),
    Metric(
        "quorate_snapshot_last_success_timestamp_seconds",
        "When the newest snapshot that counts was begun; 0 is never. A degraded one counts, a suspect one does not.",
    ),
    Metric(
        "quorate_snapshot_last_verified_timestamp_seconds",
        "When the newest snapshot without a finding was begun: read back from the store, opened and compared. "
        "0 is never. That it was restored is not part of it.",
    ),
    Metric(
        "quorate_snapshot_last_attempt_timestamp_seconds",
        "When the last backup was begun, whether or not anything came of it; 0 is never.",
    ),
    Metric(
        "quorate_snapshot_size_bytes",
        "Of the newest snapshot that counts: what etcd sent (db), and what lies in the store (stored).",
        ("cluster", "stage"),
    ),
    Metric("quorate_snapshot_revision", "Of the newest snapshot that counts."),
    Metric("quorate_snapshot_keys", "In the newest snapshot that counts; absent where they were not counted."),
    Metric("quorate_snapshot_duration_seconds", "How long the newest snapshot that counts took, read back included."),
    Metric(
        "quorate_snapshots",
        "In the store, by what they are worth; quarantined: it was not what it should be when it was looked at "
        "again; doubted: nobody whom `trust` names has signed it; damaged: its manifest is not believed.",
        ("cluster", "state"),
    ),
    Metric(
        "quorate_snapshot_suspect_since_success", "Suspect snapshots that are newer than the newest one that counts."
    ),
    Metric(
        "quorate_snapshot_last_recheck_timestamp_seconds",
        "When a snapshot was last fetched again and proved where it lies; 0 is never.",
    ),
    Metric(
        "quorate_snapshot_last_restored_timestamp_seconds",
        "When a snapshot was last proved by an etcd that was started from it; 0 is never.",
    ),
    Metric(
        "quorate_hidden_objects",
        "Objects that somebody has deleted by name: hidden in the store, and there still.",
        ("cluster", "store"),
    ),
    Metric(
        "quorate_copy_last_success_timestamp_seconds",
        "When the newest snapshot that counts was begun, of those that a store with copies holds; 0 is never.",
        ("cluster", "store"),
    ),
    Metric("quorate_schedule_expected_interval_seconds", "The longest that should lie between two backups."),
    Metric(
        "quorate_schedule_next_run_timestamp_seconds",
        "When the schedule begins the next backup; absent while it is paused, and without a schedule.",
    ),
    Metric("quorate_schedule_paused", "Whether somebody has paused the schedule (1, 0); absent without one."),
    Metric(
        "quorate_schedule_missed",
        "Runs of the schedule that nobody began in time, since it was laid down.",
        kind="counter",
    ),
    Metric(
        "quorate_schedule_skipped",
        "Runs of the schedule that were left out, for the one before was not over.",
        kind="counter",
    ),
    Metric("quorate_rpo_objective_seconds", "`objectives.rpo`; absent where there is none."),
    Metric("quorate_rto_objective_seconds", "`objectives.rto`; absent where there is none."),
    Metric("quorate_restore_proof_objective_seconds", "`objectives.restore_proof`; absent where there is none."),
    Metric(
        "quorate_rpo_current_seconds",
        "How much time's writes a restore from the newest snapshot would lose now, by the revision clock: "
        "no less than least, no more than most. Absent without a snapshot.",
        ("cluster", "bound"),
    ),
    Metric("quorate_cluster_revision", "The highest that the revision clock has heard of the cluster last."),
    Metric("quorate_clock_last_tick_timestamp_seconds", "When the revision clock last heard a member; 0 is never."),
    Metric(
        "quorate_target_reachable",
        "Whether the daemon was answered when it looked last (1, 0): host is a member, check is etcd.",
        ("cluster", "host", "check"),
    ),
    Metric(
        "quorate_store_reachable",
        "Whether the catalogue could be read from the store when that was tried last; if not, what is told of "
        "snapshots is what was known before.",
        ("cluster", "store"),
    ),
    Metric(
        "quorate_catalogue_read_timestamp_seconds",
        "When the catalogue was last read from a store; absent for never.",
        ("cluster", "store"),
    ),
    Metric(
        "quorate_runs",
        "Operations on record in the state directory, by how they ended.",
        ("cluster", "kind", "result"),
        "counter",
    ),
    Metric(
        "quorate_drill_last_result",
        "How the last drill of a scenario ended: 1 good, 0 failed or stopped early, -1 it was never held.",
        ("cluster", "scenario"),
    ),
    Metric(
        "quorate_drill_last_timestamp_seconds",
        "When the last drill of a scenario was begun; 0 is never.",
        ("cluster", "scenario"),
    ),
    Metric(
        "quorate_drill_due_timestamp_seconds",
        "When `drills.scenarios` wants the next drill of a scenario; 0 where the last one was not good, or none was. "
        "Absent where nobody wants any.",
        ("cluster", "scenario"),
    ),
    Metric(
        "quorate_drill_rto_seconds",
        "From when the last drill of a scenario was declared until it was served again; absent where not measured.",
        ("cluster", "scenario"),
    ),
    Metric(
        "quorate_run_last_timestamp_seconds",
        "When the last operation was begun that ended so; 0 is never.",
        ("cluster", "kind", "result"),
    ),
    Metric("quorate_run_active", "Operations that run now.", ("cluster", "kind")),
    Metric("quorate_run_held", "Operations that have stopped and wait for a person.", ("cluster", "kind")),
    Metric(
        "quorate_credential_expiry_timestamp_seconds",
        "When a certificate of the inventory expires: for etcd (and its authority), in the kubeconfig, for SSH. "
        "Absent for one that cannot be read.",
        ("cluster", "kind"),
    ),
    Metric(
        "quorate_backup_can_be_opened",
        "Whether an identity of the inventory opens what is encrypted for its recipients (1, 0); absent where "
        "nothing is encrypted.",
    ),
    Metric(
        "quorate_retention_expected_interval_seconds",
        "The longest that should lie between two prunes; absent without `backup.retention`.",
    ),
    Metric(
        "quorate_notices_waiting",
        "What a webhook was not told yet; given up after a day.",
        ("receiver",),
    ),
    Metric("quorate_audit_chain_ok", "Whether no sealed audit trail in the state directory was changed (1, 0).", ()),
    Metric("quorate_audit_trails", "Audit trails in the state directory: sealed, or still open.", ("state",)),
    Metric("quorate_audit_last_seal_timestamp_seconds", "When an audit trail was last sealed; 0 is never.", ()),
)

ENDS = {
    "backup": ("verified", "degraded", "suspect", "failed"),
    "verify": ("sound", "unsound", "failed"),
    "prune": ("pruned", "incomplete", "failed"),
    "prove": ("proved", "degraded", "unsound", "failed"),
    "drill": ("passed", "passed-with-findings", "failed", "stopped"),
    "restore": (Outcome.RESTORED, Outcome.REFUSED, Outcome.UNDONE, Outcome.HELD),
    "freeze": (Outcome.FROZEN, Outcome.REFUSED, Outcome.UNDONE, Outcome.HELD),
    "thaw": (Outcome.THAWED, Outcome.REFUSED, Outcome.UNDONE, Outcome.HELD),
    "replace-member": (Outcome.REPLACED, Outcome.REFUSED, Outcome.UNDONE, Outcome.HELD),
    "tidy": (Outcome.TIDIED, Outcome.REFUSED, Outcome.UNDONE, Outcome.HELD),
    "lay": (Outcome.LAID, Outcome.REFUSED, Outcome.UNDONE, Outcome.HELD),
}
WORTH = ("verified", "degraded", "suspect", "quarantined", "doubted", "damaged")


@dataclass(frozen=True, slots=True)
class Run:
    """How one operation ended, as one file of its record tells; `why` is its error, else its findings."""

    cluster: str
    kind: str
    result: str
    began: float
    operation: str = ""
    file: str = ""
    ended: float = 0.0
    why: str = ""
    snapshot: str = ""
    scenario: str = ""  # of a drill that has a verdict
    rto_s: float | None = None


def of_settings(name: str, cluster: Cluster) -> Iterator[Figure]:
    yield Figure("quorate_schedule_expected_interval_seconds", (name,), cluster.backup.expected_s)
    if cluster.backup.retention:
        yield Figure("quorate_retention_expected_interval_seconds", (name,), cluster.backup.expected_s)
    if cluster.objectives:
        yield Figure("quorate_rpo_objective_seconds", (name,), cluster.objectives.rpo)
        yield Figure("quorate_rto_objective_seconds", (name,), cluster.objectives.rto)
        if cluster.objectives.restore_proof:
            proof_s = cluster.objectives.restore_proof
            yield Figure("quorate_restore_proof_objective_seconds", (name,), proof_s)


def of_catalogue(name: str, shelf: Shelf, doubted: Mapping[str, str]) -> Iterator[Figure]:
    sound = shelf.sound(doubted)
    latest = newest(sound, ())
    verified = [each.created_at.timestamp() for each in sound if each.outcome == "verified"]
    suspect = [each for each in sound if not each.counts and (latest is None or age(each) > age(latest))]
    began = latest.created_at.timestamp() if latest else 0.0
    yield Figure("quorate_snapshot_last_success_timestamp_seconds", (name,), began)
    yield Figure("quorate_snapshot_last_verified_timestamp_seconds", (name,), max(verified, default=0.0))
    yield Figure("quorate_snapshot_suspect_since_success", (name,), len(suspect))
    yield from of_marks(name, shelf)
    yield from of_worth(name, shelf, doubted)
    if latest:
        yield from of_snapshot(name, latest)


def of_copy(name: str, store: str, latest: Manifest | None) -> Iterator[Figure]:
    began = latest.created_at.timestamp() if latest else 0.0
    yield Figure("quorate_copy_last_success_timestamp_seconds", (name, store), began)


def of_marks(name: str, shelf: Shelf) -> Iterator[Figure]:
    standings = [shelf.standing(each) for each in shelf.manifests]
    again = [each.verified.timestamp() for each in standings if each.verified]
    restored = [each.restored.timestamp() for each in standings if each.restored]
    yield Figure("quorate_snapshot_last_recheck_timestamp_seconds", (name,), max(again, default=0.0))
    yield Figure("quorate_snapshot_last_restored_timestamp_seconds", (name,), max(restored, default=0.0))


def of_worth(name: str, shelf: Shelf, doubted: Mapping[str, str]) -> Iterator[Figure]:
    marked = {**dict.fromkeys(doubted, "doubted"), **dict.fromkeys(shelf.quarantined, "quarantined")}
    worth = Counter(marked.get(each.id, each.outcome) for each in shelf.manifests)
    worth["damaged"] = len(shelf.damaged)
    for state in WORTH:
        yield Figure("quorate_snapshots", (name, state), worth[state])


def of_snapshot(name: str, latest: Manifest) -> Iterator[Figure]:
    yield Figure("quorate_snapshot_size_bytes", (name, "db"), latest.size_bytes)
    yield Figure("quorate_snapshot_size_bytes", (name, "stored"), latest.stored_bytes)
    yield Figure("quorate_snapshot_revision", (name,), latest.revision)
    yield Figure("quorate_snapshot_duration_seconds", (name,), latest.duration_s)
    if "" in latest.keys:
        yield Figure("quorate_snapshot_keys", (name,), latest.keys[""])


def loss_of(latest: Manifest, ticks: Iterable[Tick], now: float) -> Loss:
    """What a restore of this snapshot would lose now."""
    return loss(ticks, latest.cluster_id, latest.revision, latest.created_at.timestamp(), now)


def of_loss(name: str, lost: Loss) -> Iterator[Figure]:
    yield Figure("quorate_rpo_current_seconds", (name, "least"), lost.least_s)
    yield Figure("quorate_rpo_current_seconds", (name, "most"), lost.most_s)


def of_members(name: str, heard: Mapping[str, EtcdSeen | Silence]) -> Iterator[Figure]:
    for member, said in heard.items():
        answers = isinstance(said, EtcdSeen)
        yield Figure("quorate_target_reachable", (name, member, "etcd"), float(answers))


def of_clock(name: str, last: Tick | None) -> Iterator[Figure]:
    yield Figure("quorate_clock_last_tick_timestamp_seconds", (name,), last.heard if last else 0.0)
    if last:
        yield Figure("quorate_cluster_revision", (name,), last.revision)


def of_runs(runs: Iterable[Run], clusters: Iterable[str]) -> Iterator[Figure]:
    """Every way to end is there from the first day on, so that the first failure is a rise."""
    ways = [(cluster, kind, str(end)) for cluster in clusters for kind, ends in ENDS.items() for end in ends]
    counts, last = Counter(dict.fromkeys(ways, 0)), dict.fromkeys(ways, 0.0)
    for run in runs:
        way = (run.cluster, run.kind, run.result)
        counts[way] += 1
        last[way] = max(last.get(way, 0.0), run.began)
    for labels in sorted(counts):
        yield Figure("quorate_runs", labels, counts[labels])
        yield Figure("quorate_run_last_timestamp_seconds", labels, last[labels])


def of_credentials(name: str, expiries: Mapping[str, float]) -> Iterator[Figure]:
    for kind, at in expiries.items():
        yield Figure("quorate_credential_expiry_timestamp_seconds", (name, kind), at)


def of_keys(name: str, opens: bool | None) -> Iterator[Figure]:  # noqa: FBT001 - None is a third answer
    if opens is not None:
        yield Figure("quorate_backup_can_be_opened", (name,), float(opens))


def of_active(
    clusters: Iterable[str], active: Iterable[tuple[str, str]], held: Iterable[tuple[str, str]]
) -> Iterator[Figure]:
    """Both by cluster and kind."""
    run, wait = Counter(active), Counter(held)
    for cluster in clusters:
        for kind in ENDS:
            yield Figure("quorate_run_active", (cluster, kind), run[cluster, kind])
            yield Figure("quorate_run_held", (cluster, kind), wait[cluster, kind])


def of_attempts(runs: Iterable[Run], succeeded: Mapping[str, float]) -> Iterator[Figure]:
    """Of each cluster in `succeeded`, which says when its newest snapshot was begun; a failed one has left none."""
    tried = [run for run in runs if run.kind == "backup" and run.result == "failed"]
    for cluster, at in succeeded.items():
        began = max((run.began for run in tried if run.cluster == cluster), default=0.0)
        yield Figure("quorate_snapshot_last_attempt_timestamp_seconds", (cluster,), max(at, began))
