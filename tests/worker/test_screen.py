import pytest

from quorate.operation import Progress, StepDone
from worker.screen import Doing, Paint, View, counted_bytes, size, span, table, tree

TITLES = {"claim": "Claim every node", "stage": "Stage", "start": "Start etcd"}
PLAIN = Paint()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.34, "0.3 s"), (42, "42 s"), (62, "1 min 2 s"), (3000, "50 min"), (11100, "3 h 5 min"), (187200, "2 d 4 h")],
)
def test_a_span_is_said_in_the_two_largest_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(12, "12 B"), (1536, "1.5 KiB"), (8 << 30, "8.0 GiB"), (200 << 20, "200 MiB")]
)
def test_a_size_has_three_digits_at_most(count: int, words: str) -> None:
    assert size(count) == words


def test_columns_are_aligned_whatever_their_colour() -> None:
    colour = Paint(on=True)
    plain, painted = table([["A", "B"], ["xx", "1"]]), table([["A", "B"], [colour("xx", "red"), "1"]])
    assert plain == "A   B\nxx  1"
    assert painted.splitlines()[1] == "\x1b[31mxx\x1b[0m  1"


def test_without_colours_nothing_but_text_is_written() -> None:
    assert "\x1b" not in tree(view(StepDone("claim", "a", "failed", 1.0, 1.0)), PLAIN)


def view(*steps: StepDone, doing: tuple[Doing, ...] = (), phase: str = "running") -> View:
    progress = Progress("restore-1", phase, "now", steps, TITLES)
    return View("RESTORE demo", progress, doing, {"stage": 10.0}, "note", 14.0, 105.0)


def test_the_tree_shows_what_is_done_what_runs_and_what_is_to_come() -> None:
    steps = (
        StepDone("claim", "a", "done", 91.0, 0.3),
        StepDone("claim", "b", "done", 91.0, 0.4),
        StepDone("stage", "a", "done", 100.0, 2.0),
        StepDone("stage", "b", "running", 100.0),
    )
    head, claim, stage, at_b, start, note = tree(
        view(*steps, doing=(Doing("b", "etcdutl …", 2, 0.5),)), PLAIN
    ).splitlines()
    assert head == "RESTORE demo  running  00:14"
    assert (claim.split()[:3], claim.split()[-2:]) == (["✓", "1", "Claim"], ["0.4", "s"])
    assert stage.endswith("00:05 (expected 10 s)")
    assert at_b.split() == ["b", "etcdutl", "…", "·", "attempt", "2"]
    assert start.split() == ["·", "3", "Start", "etcd"]
    assert note == "note"


def test_a_step_that_failed_anywhere_has_failed() -> None:
    steps = (StepDone("claim", "a", "done", 1.0, 0.3), StepDone("claim", "b", "failed", 1.0, 9.0))
    assert "✗  1 Claim every node" in tree(view(*steps), PLAIN)


def test_an_undo_is_titled_after_the_step_it_undoes() -> None:
    assert "Undo: Stage" in tree(view(StepDone("undo-stage", "a", "running", 100.0), phase="undoing"), PLAIN)


def test_before_there_is_a_plan_the_tree_says_what_is_done_now() -> None:
    assert "▸ now" in tree(View("RESTORE demo", Progress("restore-1", "planning", "now")), PLAIN)


def test_bytes_are_shown_with_their_rate_and_silence_after_three_seconds() -> None:
    assert str(Doing("a", "12 MiB stored", 1, 0.1, rate=3 << 20)) == "12.0 MiB stored · 3.0 MiB/s"
    assert str(Doing("a", "2048 bytes sent", 1, 40)) == "2.0 KiB sent · no news for 40 s"
    assert counted_bytes("systemctl stop etcd") is None
