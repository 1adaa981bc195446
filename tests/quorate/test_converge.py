from dataclasses import dataclass, field

import pytest

from quorate.converge import Await, Done, Left, Ran, Tick, converge
from quorate.errors import CommandFailed, DidNotConverge


@dataclass
class Clock:
    now: float = 0.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Counter:
    """A place whose only fact is a number."""

    value: int = 0
    stuck: bool = False
    exit: int | None = 0
    done: list[str] = field(default_factory=list)

    def look(self) -> int:
        self.looks += 1
        return self.value

    blind: bool = False
    looks: int = 0

    def do(self, acts: tuple[str, ...], tick: Tick) -> Done[int]:
        self.done += acts
        if not self.stuck and self.exit == 0:
            self.value += len(acts)
        return Done(tuple(Ran(act, self.exit, "said so") for act in acts), None if self.blind else self.value)


def up_to(target: int):
    def decide(value: int, waited_s: float) -> Left[str]:
        return (f"to {value + 1}",) if value < target else ()

    return decide


def silent(_: str) -> None:
    return None


def test_what_is_left_is_done_until_nothing_is() -> None:
    place = Counter()
    assert [ran.act for ran in converge(place, up_to(2), 10, Clock(), silent).receipt.ran] == ["to 1", "to 2"]


def test_what_was_tried_and_is_still_left_has_failed() -> None:
    with pytest.raises(DidNotConverge, match="to 1.*said so"):
        converge(Counter(stuck=True), up_to(1), 10, Clock(), silent)


def test_what_was_seen_with_the_act_is_not_looked_at_again() -> None:
    place, blind = Counter(), Counter(blind=True)
    for each in (place, blind):
        converge(each, up_to(2), 10, Clock(), silent)
    assert (place.looks, blind.looks) == (1, 3)


def test_a_nonzero_exit_is_an_error_that_quotes_what_was_said() -> None:
    with pytest.raises(CommandFailed, match="`to 1` exited 7: said so"):
        converge(Counter(exit=7), up_to(1), 10, Clock(), silent)


def test_waiting_ends_at_the_deadline_with_the_reason() -> None:
    ticks: list[str] = []
    with pytest.raises(DidNotConverge, match="it is slow"):
        converge(Counter(), lambda *_: Await("it is slow", 1.0), 5, Clock(), ticks.append)
    assert ticks == ["it is slow"] * 5


def test_the_decider_hears_the_time_since_the_last_act() -> None:
    heard: list[float] = []

    def decide(value: int, waited_s: float) -> Left[str]:
        heard.append(waited_s)
        if value == 0:
            return ("go",)
        return () if waited_s >= 2 else Await("not yet", 1.0)

    converge(Counter(), decide, 10, Clock(), silent)
    assert heard == [0, 0, 1, 2]
