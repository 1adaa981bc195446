"""One reading for several takers, as nodes that are sent the same snapshot."""

import itertools
import threading
from collections.abc import Iterator

import pytest

from activities.streams.readings import WINDOW, Readings
from quorate.errors import Unreachable
from tests.e2e.product import until

PIECES = [bytes([number]) * 3 for number in range(4 * WINDOW)]
WHOLE = b"".join(PIECES)


class Source:
    """Counts how often it is begun, and how far it was read."""

    def __init__(self, fails_at: int = len(PIECES)) -> None:
        self.begun, self.read, self.fails_at = 0, 0, fails_at

    def __call__(self) -> Iterator[bytes]:
        self.begun += 1
        for number, piece in enumerate(PIECES):
            if number == self.fails_at:
                raise Unreachable("the store is away")
            self.read += 1
            yield piece


def test_who_comes_at_the_same_time_gets_the_same_pieces_of_one_reading():
    source, shared = Source(), Readings()
    first, second = shared.of("a", source), shared.of("a", source)
    both = [(one, other) for one, other in zip(first, second, strict=True)]
    assert both == [(piece, piece) for piece in PIECES]
    assert source.begun == 1
    until(lambda: not shared.going_on)


def test_who_comes_when_the_beginning_is_over_reads_for_itself():
    source, shared = Source(), Readings()
    first = shared.of("a", source)
    begun = list(itertools.islice(first, 2))
    assert b"".join(shared.of("a", source)) == WHOLE
    assert b"".join((*begun, *first)) == WHOLE
    assert source.begun == 2


def test_another_object_has_a_reading_of_its_own():
    one, other, shared = Source(), Source(), Readings()
    assert b"".join(shared.of("a", one)) == b"".join(shared.of("b", other)) == WHOLE
    assert (one.begun, other.begun) == (1, 1)


def test_one_that_stands_still_is_left_behind_and_goes_on_by_itself_where_it_was():
    source, shared = Source(), Readings(patience_s=0.05)
    fast, slow = shared.of("a", source), shared.of("a", source)
    begun = next(slow)
    assert b"".join(fast) == WHOLE
    assert source.begun == 1
    assert begun + b"".join(slow) == WHOLE
    assert source.begun == 2


def test_nothing_is_read_far_ahead_of_the_slowest():
    source, shared = Source(), Readings()
    slow = shared.of("a", source)
    next(slow)
    until(lambda: source.read >= WINDOW)
    assert source.read <= WINDOW + 2
    assert b"".join(slow) == WHOLE[3:]


def test_a_reading_that_breaks_off_breaks_off_for_all():
    source, shared = Source(fails_at=WINDOW + 4), Readings()
    one, other = shared.of("a", source), shared.of("a", source)
    with pytest.raises(Unreachable, match="the store is away"):
        list(zip(one, other, strict=True))
    with pytest.raises(Unreachable, match="the store is away"):
        list(other)
    assert source.begun == 1


def test_a_reading_that_nobody_wants_any_more_ends():
    source, shared = Source(), Readings()
    one, other = shared.of("a", source), shared.of("a", source)
    next(one)
    next(other)
    one.close()
    other.close()
    until(lambda: not shared.going_on)
    assert source.read <= WINDOW + 2


def test_takers_in_threads_of_their_own_each_get_everything():
    source, shared, got = Source(), Readings(), []
    takers = [shared.of("a", source) for _ in range(3)]
    threads = [threading.Thread(target=lambda each=each: got.append(b"".join(each))) for each in takers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert got == [WHOLE] * 3
    assert source.begun == 1
