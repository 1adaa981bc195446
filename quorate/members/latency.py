"""How long something takes, as Prometheus counts it: how many took no longer than each bound."""

from math import inf

Buckets = tuple[tuple[float, float], ...]  # (bound in seconds, how many took no longer), rising; the last is infinite


def quantile_s(buckets: Buckets, part: float) -> float | None:
    """As histogram_quantile estimates it: even within a bucket; None where nothing was counted.

    What is above the last bound is said to be that bound, for nobody knows by how much.
    """
    if not buckets or (total := buckets[-1][1]) <= 0:
        return None
    wanted, low, before = part * total, 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            return low if bound == inf else low + (bound - low) * (wanted - before) / ((count - before) or 1)
        low, before = bound, count
    return low


def p99_s(buckets: Buckets) -> float | None:
    return quantile_s(buckets, 0.99)
