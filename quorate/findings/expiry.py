"""Which of a node's certificates ends first, and when that should be put on somebody's list."""

from collections.abc import Iterator

from quorate.clusters.causes import leaves, renewal
from quorate.clusters.cluster import ClusterSeen
from quorate.clusters.surroundings import LEFT_DAYS_MIN
from quorate.findings.case import Case
from quorate.findings.finding import Finding
from quorate.nodes.certificates import DAY_S, Certificate

SOON_DAYS = 30.0


def soonest(seen: ClusterSeen, name: str) -> tuple[str, Certificate] | None:
    """By the file that etcd is told of, its own before an authority of the same day; None where none was seen."""
    ends = sorted(leaves(seen, name), key=lambda each: (each[1].not_after // DAY_S, each[1].authority, each[0]))
    return next(iter(ends), None)


def soon(case: Case) -> Iterator[Finding]:
    """Below a week it is a finding, and once it has expired a cause."""
    for name, node in sorted(case.seen.reachable.items()):
        for path, found in leaves(case.seen, name):
            if LEFT_DAYS_MIN <= (left := found.days_left(node.now)) < SOON_DAYS:
                message = f"{name}: {path} expires in {left:.0f} days"
                evidence = "renewed in time it costs a restart of one member after the other, and nothing else"
                aid = f"{case.at(name)} {renewal(case.settings.etcd.process, path)}"
                yield Finding("certificate-soon", "NOTE", message, evidence, aid)
