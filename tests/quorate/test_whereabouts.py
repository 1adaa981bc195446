from dataclasses import replace

import pytest

from quorate.operation import StepDone
from quorate.restoring.whereabouts import whereabouts
from tests.factory import LIVE, plan

KEPT = f"{LIVE}.before-restore-1"


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ((), f"is in {LIVE}"),
        ((("swap", "done"),), f"is in {KEPT}, the restored in {LIVE}"),
        ((("swap", "failed"),), f"is in {KEPT} if that is there, else in {LIVE}"),
        ((("swap", "done"), ("undo-swap", "failed")), f"is in {KEPT} if that is there, else in {LIVE}"),
        ((("swap", "failed"), ("undo-swap", "done")), f"is in {LIVE}"),
        (
            (("swap", "done"), ("start", "failed"), ("undo-swap", "done")),
            f"is in {LIVE}, the restored in {LIVE}.quorate-restore-1-g1",
        ),
        (
            (("swap", "done"), ("start", "done"), ("undo-swap", "failed")),
            f"is in {KEPT} if that is there, else in {LIVE}",
        ),
    ],
)
def test_what_was_renamed_tells_where_the_data_lies(steps: tuple[tuple[str, str], ...], told: str) -> None:
    done = [StepDone(key, "a", state) for key, state in steps]
    assert whereabouts(plan(names="a"), done) == (f"on a the data from before {told}",)


def test_nodes_whose_data_lies_alike_are_told_together() -> None:
    done = [StepDone("swap", "b", "failed"), StepDone("swap", "c", "done"), StepDone("swap", "a", "done")]
    assert [told.partition(" the data")[0] for told in whereabouts(plan(), done)] == ["on a, c", "on b"]


def test_a_log_of_its_own_is_told_of_too() -> None:
    """Both by one step, so where it failed between them only the names on the node tell."""
    whole = plan(names="a")
    apart = replace(whole, chosen=replace(whole.chosen, shares=(replace(whole.chosen.shares[0], wal_dir="/log"),)))
    (done,) = whereabouts(apart, [StepDone("swap", "a", "done")])
    assert done.endswith(
        f"in {KEPT}, the restored in {LIVE}; its log is in /log.before-restore-1, the restored in /log"
    )
    (failed,) = whereabouts(apart, [StepDone("swap", "a", "failed")])
    assert failed.endswith("its log is in /log.before-restore-1 if that is there, else in /log")
