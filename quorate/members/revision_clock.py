"""The revision clock: when a cluster was at which revision. etcd records no commit times, so somebody has to look."""

from collections.abc import Iterable
from dataclasses import dataclass

from quorate.members.etcd import EtcdSeen

EVERY_S = 10.0
DENSE_S = 86400.0  # every tick is kept for so long
SPARSE_S = 300.0  # then one in each such span
FORGET_S = 90 * 86400.0  # then none but the highest of each cluster id


@dataclass(frozen=True, slots=True)
class Tick:
    """One look: asked at one time, heard by the other; `led` means that the leader was among those who answered."""

    asked: float
    heard: float
    cluster_id: str
    revision: int
    led: bool = False


@dataclass(frozen=True, slots=True)
class Loss:
    """How much time's writes a restore would lose now: no less than one, no more than the other."""

    least_s: float
    most_s: float


def ticks(seen: Iterable[EtcdSeen], asked: float, heard: float) -> tuple[Tick, ...]:
    """The highest revision of each cluster id among those who answered, learners too."""
    by_id: dict[str, list[EtcdSeen]] = {}
    for each in seen:
        by_id.setdefault(each.cluster_id, []).append(each)
    return tuple(
        Tick(asked, heard, cluster_id, max(each.revision for each in members), any(each.leads for each in members))
        for cluster_id, members in sorted(by_id.items())
    )


def loss(known: Iterable[Tick], cluster_id: str, revision: int, since: float, now: float) -> Loss:
    """Of a backup that holds this revision, and was begun at `since`: nothing that it lacks is older than that.

    The first write that it lacks came after the last look that saw none, and before the first that saw one. Only
    the leader can say that there was none: a member that lags has not heard of it yet. A cluster that nobody hears
    any more takes no writes either, as far as is known, so `least_s` ends with the last look.
    """
    own = [tick for tick in known if tick.cluster_id == cluster_id]
    beyond = min((tick.heard for tick in own if tick.revision > revision), default=None)
    none_yet = max((tick.asked for tick in own if tick.revision <= revision and tick.led), default=since)
    most_s = max(0.0, now - max(none_yet if beyond is None else min(none_yet, beyond), since))
    if beyond is None:
        return Loss(0.0, most_s)
    last = max(tick.heard for tick in own)
    return Loss(min(max(0.0, last - beyond), most_s), most_s)


def superfluous(known: Iterable[Tick], now: float) -> tuple[Tick, ...]:
    """What may be forgotten: of an old span all but its last tick, of what is very old all but the highest."""
    rest = tuple(known)
    highest = {tick.cluster_id: tick for tick in sorted(rest, key=lambda tick: (tick.revision, tick.heard))}
    last = {(tick.cluster_id, tick.heard // SPARSE_S): tick for tick in sorted(rest, key=lambda tick: tick.heard)}
    keep = {*highest.values(), *(tick for tick in last.values() if now - tick.heard <= FORGET_S)}
    return tuple(tick for tick in rest if now - tick.heard > DENSE_S and tick not in keep)
