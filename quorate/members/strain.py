"""Whether a member's disk suffers: how long its WAL takes to be on disk now, beside how long it took before."""

from dataclasses import dataclass

WINDOW_S = 2.0  # between two looks
BEFORE_S = 2.0  # that a member is watched for before it sends
FSYNCS_MIN = 8  # fewer say nothing
FSYNCS_KNOWN = 200  # since its start: their mean is what the disk usually does, and nobody has to watch it first
TIMES = 2.0  # what is too much
FLOOR_S = 0.010  # what etcd asks of a disk: nobody suffers below, and from 0.5 to 1 ms is noise
HALVINGS = 3  # of its speed, before a member that suffers still is left alone


@dataclass(frozen=True, slots=True)
class DiskSeen:
    """What a member has counted since it was started."""

    fsyncs: int
    fsyncs_s: float  # all of them together
    defragmenting: bool = False


NOTHING = DiskSeen(0, 0.0)


def known(seen: DiskSeen) -> bool:
    return seen.fsyncs >= FSYNCS_KNOWN


def enough(before: DiskSeen, now: DiskSeen) -> bool:
    """So many between the two that their mean means something; one that was started again has counted fewer."""
    return now.fsyncs - before.fsyncs >= FSYNCS_MIN


def mean_s(before: DiskSeen, now: DiskSeen) -> float:
    return (now.fsyncs_s - before.fsyncs_s) / (now.fsyncs - before.fsyncs)


def usual_s(before: DiskSeen, now: DiskSeen) -> float | None:
    """Without a stream; of a cluster in which hardly anybody writes as it was since the member's start, if ever."""
    for since in (before, NOTHING):
        if enough(since, now):
            return mean_s(since, now)
    return None


def strained(usual: float | None, mean: float) -> bool:
    return usual is not None and mean >= max(TIMES * usual, FLOOR_S)
