"""An object that was begun and has not come to be: whose it is, and whether anybody is still at it."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

STILL_S = 3600.0  # the slowest part of an upload that lives, and more than clocks that S3 accepts are apart (900 s)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """`moved` is when the store last got something of it, by the store's clock."""

    key: str
    id: str
    moved: float


class Whose(Enum):
    DEAD = "nobody's"
    OURS = "this machine's, and under way"
    ANOTHERS = "another machine's"


def whose(each: Unfinished, left: Collection[str], live: Collection[str], now: float) -> Whose:
    """`left` and `live` are keys that this machine began: no longer stored by anybody, and being stored."""
    if each.key in live:
        return Whose.OURS
    return Whose.DEAD if each.key in left or each.moved < now - STILL_S else Whose.ANOTHERS
