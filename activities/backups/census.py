"""The keys that a member holds, counted by prefix; what cannot be counted in time is said, and the backup as good."""

from dataclasses import dataclass, field

from quorate.converge import Clock, Tick
from quorate.database.content import COUNTED_MAX, REST, most, prefix_of
from quorate.errors import QuorateError
from quorate.members.listing import PAGE_KEYS, Key, LiveKeys
from quorate.ports import Etcd

KEYS_MAX = 1_000_000
COUNT_S = 10.0
PAGE_BYTES = 16 << 20  # of values, about, that a member has in memory at once for us


@dataclass(frozen=True, slots=True)
class Census:
    """Keys by prefix, or why there are none."""

    live: dict[str, LiveKeys] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def census(etcd: Etcd, revision: int, keys: int, size_bytes: int, clock: Clock, tick: Tick) -> Census:
    """As of the revision, of a database of that size with so many keys."""
    if keys > KEYS_MAX:
        return unknown(f"there are {keys}, up to {KEYS_MAX} are")
    counted, limit = Counted(), clock.monotonic() + COUNT_S
    try:
        for page in etcd.key_pages(revision, page_keys(keys, size_bytes)):
            counted.add(page)
            tick(f"{counted.keys} keys counted")
            if clock.monotonic() > limit:
                return unknown(f"{counted.keys} of them took longer than {COUNT_S:.0f} s")
    except QuorateError as error:
        return unknown(str(error))
    return Census(counted.live())


def unknown(why: str) -> Census:
    return Census(notes=(f"keys were not counted by prefix: {why}",))


def page_keys(keys: int, size_bytes: int) -> int:
    """So that a page of them is about as many bytes as a member can spare."""
    return max(16, min(PAGE_KEYS, PAGE_BYTES * keys // max(1, size_bytes)))


@dataclass(slots=True)
class Counted:
    keys: int = 0
    leased: int = 0
    by_prefix: dict[str, int] = field(default_factory=dict)
    leased_by_prefix: dict[str, int] = field(default_factory=dict)

    def add(self, page: tuple[Key, ...]) -> None:
        for key in page:
            prefix = prefix_of(key.name)
            if prefix in self.by_prefix or len(self.by_prefix) < COUNTED_MAX:
                self.by_prefix[prefix] = self.by_prefix.get(prefix, 0) + 1
                self.leased_by_prefix[prefix] = self.leased_by_prefix.get(prefix, 0) + key.leased
            self.leased += key.leased
        self.keys += len(page)

    def live(self) -> dict[str, LiveKeys]:
        told = {name: LiveKeys(self.by_prefix[name], self.leased_by_prefix[name]) for name in most(self.by_prefix)}
        rest = LiveKeys(
            self.keys - sum(each.keys for each in told.values()),
            self.leased - sum(each.leased for each in told.values()),
        )
        return told | ({REST: rest} if rest.keys else {})
