"""A stream that makes way: slower where its member's disk suffers, and over where that does not help."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from activities.streams.pipeline import Pace
from quorate.converge import Clock
from quorate.errors import QuorateError, Unreachable
from quorate.members.etcd import EtcdTarget
from quorate.members.strain import (
    BEFORE_S,
    HALVINGS,
    NOTHING,
    WINDOW_S,
    DiskSeen,
    enough,
    known,
    mean_s,
    strained,
    usual_s,
)
from quorate.ports import Disks


@dataclass(slots=True)
class Easing:
    """Of one member; one that does not tell is not watched, which `choose` has noted."""

    disks: Disks | None
    target: EtcdTarget
    clock: Clock
    last: DiskSeen | None = None
    usual: float | None = None

    def begin(self, attempt: int = 1) -> None:
        """Compared is with all since the member's start, or, where that is little or did not do, with a moment."""
        if (before := self.look()) is None:
            return
        if attempt == 1 and known(before):
            self.last, self.usual = before, mean_s(NOTHING, before)
            return
        self.clock.sleep(BEFORE_S)
        if (now := self.look()) is not None:
            self.last, self.usual = now, usual_s(before, now)

    def over(self, chunks: Iterator[bytes], pace: Pace) -> Iterator[bytes]:
        """The same; Unreachable, which is tried again, where it had better wait."""
        looked = self.clock.monotonic()
        for chunk in chunks:
            yield chunk
            if self.last is not None and self.clock.monotonic() - looked >= WINDOW_S:
                looked = self.clock.monotonic()
                self.judge(pace)

    def judge(self, pace: Pace) -> None:
        before, now, name = self.last, self.look(), self.target.name
        if before is None or now is None:
            return
        if now.defragmenting:
            raise Unreachable(f"{name} is being defragmented, and waits with all its clients for the stream: stopped")
        if now.fsyncs >= before.fsyncs and not enough(before, now):
            return
        self.last = now
        if now.fsyncs < before.fsyncs or not strained(self.usual, mean := mean_s(before, now)):
            return
        if pace.halved >= HALVINGS:
            raise Unreachable(
                f"a write to disk takes {name} {1000 * mean:.0f} ms, {1000 * (self.usual or 0):.1f} ms before it "
                f"was sending, and sending slower does not help: stopped, so that nobody suffers by a backup"
            )
        pace.halve()

    def look(self) -> DiskSeen | None:
        told = looked(self.disks, self.target)
        return told if isinstance(told, DiskSeen) else None


def looked(disks: Disks | None, target: EtcdTarget) -> DiskSeen | str:
    """Or why it is not known, "" where nobody asks."""
    if disks is None:
        return ""
    try:
        return disks.read(target)
    except QuorateError as error:
        return str(error)


def told_of(disks: Disks | None, targets: tuple[EtcdTarget, ...]) -> dict[str, DiskSeen | str]:
    """What each of them tells of its disk, by its name; all are asked at once."""
    with ThreadPoolExecutor(len(targets), "disks") as pool:
        return dict(zip((each.name for each in targets), pool.map(partial(looked, disks), targets), strict=True))


def unwatched(told: Mapping[str, DiskSeen | str], name: str) -> tuple[str, ...]:
    """A backup is as good without."""
    why = told[name]
    return (f"the disk of {name} is not watched while it sends: {why}",) if why and isinstance(why, str) else ()


def defragmenting(told: Mapping[str, DiskSeen | str]) -> frozenset[str]:
    """Of those that tell."""
    return frozenset(name for name, said in told.items() if isinstance(said, DiskSeen) and said.defragmenting)
