"""What the daemon looks at beside its work never gets in its way."""

import threading
from collections.abc import Callable

from quorate.errors import Unreachable
from worker.eyes import repeated

SOON_S = 20.0


def begun(look: Callable[[], None], closed: threading.Event) -> threading.Thread:
    thread = threading.Thread(target=repeated, args=("a look", look, 0.0, closed), daemon=True)
    thread.start()
    return thread


def test_a_look_that_fails_is_looked_again_whatever_it_raised() -> None:
    closed, looked = threading.Event(), threading.Event()
    errors = iter((Unreachable("away"), ValueError("a defect"), KeyError("another")))

    def look() -> None:
        if error := next(errors, None):
            raise error
        looked.set()

    thread = begun(look, closed)
    assert looked.wait(SOON_S)
    closed.set()
    thread.join(SOON_S)
    assert not thread.is_alive()


def test_one_that_hangs_keeps_no_other_waiting_nor_the_end() -> None:
    closed, hangs, looked = threading.Event(), threading.Event(), threading.Event()
    stuck = begun(lambda: hangs.wait() and None, closed)
    begun(looked.set, closed)
    assert looked.wait(SOON_S)
    closed.set()
    assert stuck.daemon
    hangs.set()
    stuck.join(SOON_S)
    assert not stuck.is_alive()
