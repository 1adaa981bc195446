"""Where the restore tool cannot raise the revision: canary writes, until all that was ever served is passed."""

from quorate.clusters.cluster import ClusterSeen

# Measured through the tunnel, 1,000 in flight: 3,000 to 4,200 a second (lab, etcd 3.4.23, three members on two
# cores), and 5,600 without the tunnel. So these take at most 67 s of what `verify` has for them: nine times as long,
# because 160,000 were not done in 120 s where another lab had the same cores.
PUTS_S = 3_000
PUTS_MAX = 200_000
PASSING_S = 600.0

# What may have been served that nobody has told us of.
UNHEARD = 10_000  # by members that were ahead of those that answer; written between the last look and the stop
WRITTEN = 50_000  # by a cluster that serves, until it is stopped: a minute of 800 writes a second
UNKNOWN = 100_000  # where only backups and records say how far it was: an hour of 28 writes a second


def mark(seen: ClusterSeen) -> int:
    """The revision that has to be passed before anybody is admitted."""
    if unknown(seen):
        return seen.high_water() + UNKNOWN
    return seen.high_water() + (WRITTEN if seen.has_quorum else UNHEARD)


def unknown(seen: ClusterSeen) -> bool:
    """Whether no member that answers was as far as some backup or restore on record."""
    return max((etcd.revision for etcd in seen.answering.values()), default=0) < seen.high_water()


def puts(seen: ClusterSeen, revision: int) -> int:
    """How many it takes from a snapshot's revision on."""
    return mark(seen) + 1 - revision


def practical(seen: ClusterSeen, revision: int) -> bool:
    return puts(seen, revision) <= PUTS_MAX


def foretold(seen: ClusterSeen, revision: int) -> str:
    """For the plan: what will happen, and what it rests on."""
    number = puts(seen, revision)
    guess = f", {UNKNOWN} of them because no member says how far it went since" if unknown(seen) else ""
    return (
        f"the restore tool cannot raise the revision: {number} canary writes take it past {seen.high_water()} "
        f"before clients are admitted{guess}; about {max(1, number // PUTS_S)} s more"
    )


def overtaken(mark: int, now: int) -> str:
    """Why the mark of a plan is too low by now, or nothing; asked last before anything stops."""
    if now + UNHEARD <= mark:
        return ""
    return f"the cluster has gone on to revision {now}, too near to {mark}, which this plan would pass"
