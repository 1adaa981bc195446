"""A scenario's file is read whole or refused with every mistake at its line."""

import pytest

from quorate.drills.scenario import parse
from quorate.errors import BadInput
from worker.scenarios import ours, read, scenario

GOOD = """\
apiVersion: quorate/v1
scenario: mine
title: One is stopped
hypothesis: The others go on.
needs: {members: 3}
steady: [quorum]
stages:
  - title: One is stopped
    fault: {kind: stop, at: follower}
    hold: 5s
    expect: [majority-serves]
proof:
  - {check: write-gap, at_most: 2s}
"""


def test_every_scenario_that_comes_with_it_can_be_read_and_is_called_like_its_file() -> None:
    assert {name: read(path).scenario for name, path in ours().items()} == {name: name for name in ours()}
    assert {"restore-sandbox", "leader-failover", "network-partition"} <= set(ours())


def test_only_what_breaks_something_has_faults() -> None:
    assert not scenario("restore-sandbox").faults
    assert scenario("leader-failover").faults


def test_what_it_is_measured_by_is_what_is_lost() -> None:
    assert scenario("control-plane-loss").lost == "apiserver"
    assert {scenario(name).lost for name in ours()} == {"apiserver", "etcd"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "kind: stop",
            "kind: melt",
            "q.yaml:9: stages.0.fault.kind: must be 'stop', 'kill', 'cut', 'wipe' or 'lose-api', found 'melt'",
        ),
        ("steady: [quorum]", "steady: [calm]", "q.yaml:6: steady.0: must be 'quorum'"),
        ("    hold: 5s", "    hold: soon", "q.yaml:10: stages.0.hold: expected a duration"),
        ("    hold: 5s", "    hold: 2h", "q.yaml:10: stages.0.hold: "),
        ("title: One is stopped\nhypo", "hypo", "q.yaml:1: title: is missing"),
        ("needs: {members: 3}", "colour: red", "q.yaml:5: colour: no such field"),
        ("    fault: {kind: stop, at: follower}\n", "", "q.yaml:8: stages.0: expected a fault, run, or both"),
        ("kind: stop", "kind: lose-api", "q.yaml:8: stages.0: expected run: lay with the fault lose-api"),
        ("    hold: 5s\n", "    run: lay\n", "q.yaml:8: stages.0: expected run: lay with the fault lose-api"),
        (", at_most: 2s", "", "q.yaml:13: proof.0: expected at_most with write-gap and read-gap"),
        ("needs: {members: 3}", "title: twice", "q.yaml:5: title: appears twice"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_is_allowed(old: str, new: str, told: str) -> None:
    assert old in GOOD
    with pytest.raises(BadInput) as raised:
        parse(GOOD.replace(old, new), "q.yaml")
    assert told in str(raised.value)


def test_every_mistake_is_told_at_once() -> None:
    text = GOOD.replace("kind: stop", "kind: melt").replace("[quorum]", "[calm]")
    with pytest.raises(BadInput) as raised:
        parse(text, "q.yaml")
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "- a", "a: [", "\x00"])
def test_what_is_no_scenario_at_all_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput, match=r"q\.yaml"):
        parse(text, "q.yaml")


def test_one_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(BadInput, match="known: bad-backup, control-plane-loss, data-loss"):
        scenario("nightmare")
    with pytest.raises(BadInput, match="cannot be read"):
        scenario("/nowhere/mine.yaml")
