"""What is asked beside a survey where a person looks: how fast members are, which API servers, how many nodes."""

from dataclasses import dataclass, field

from quorate.members.latency import Buckets, p99_s, quantile_s


@dataclass(frozen=True, slots=True)
class Latencies:
    """Of one member since it was started: a log entry made durable, a commit to the database, to a peer and back."""

    fsyncs: Buckets = ()
    commits: Buckets = ()
    peers: dict[str, Buckets] = field(default_factory=dict)  # by the peer's member id

    @property
    def fsync_p99_s(self) -> float | None:
        return p99_s(self.fsyncs)

    @property
    def commit_p99_s(self) -> float | None:
        return p99_s(self.commits)

    @property
    def peer_p99_s(self) -> float | None:
        """To the slowest of them."""
        return slowest(self.peers, 0.99)

    @property
    def peer_median_s(self) -> float | None:
        """What the line usually takes: hours in which a peer was away do not count in it."""
        return slowest(self.peers, 0.5)


def slowest(peers: dict[str, Buckets], part: float) -> float | None:
    return max((took for each in peers.values() if (took := quantile_s(each, part)) is not None), default=None)


@dataclass(frozen=True, slots=True)
class Vitals:
    """Whoever did not tell in time is not in it: none of it decides anything."""

    members: dict[str, Latencies] = field(default_factory=dict)
    apis: dict[str, str] = field(default_factory=dict)  # version by URL
    nodes: int | None = None  # that have registered with Kubernetes
