"""How a restore is told to people: what it has taken away and brought back."""

import pytest

from quorate.members.listing import Difference
from quorate.operation import Outcome, RestoreResult
from worker.cli.results import differing

PODS = Difference("pods", 2, 0, 1, ("-/registry/pods/a/x", "</registry/pods/a/y"))


@pytest.mark.parametrize(
    ("told", "lines"),
    [
        ({}, []),
        ({"differences": ()}, ["  differs      from before: in nothing"]),
        ({"undiffered": "nobody answered"}, ["  differs      from before: not known (nobody answered)"]),
        (
            {"differences": (PODS,)},
            ["  differs      from before:", "    pods: 2 gone, 1 older  -a/x <a/y"],
        ),
    ],
)
def test_what_differs_is_told_by_kind_or_that_nobody_knows(told: dict[str, object], lines: list[str]) -> None:
    result = RestoreResult("restore-1", Outcome.RESTORED, "demo/x-41", 41, **told)  # type: ignore[arg-type]
    assert list(differing(result)) == lines
