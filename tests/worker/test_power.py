"""A majority that cannot be looked at is believed to be off when somebody vouches and nothing speaks against it."""

from dataclasses import replace
from pathlib import Path

import pytest

from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.clusters.power import vouched
from quorate.errors import BadInput
from quorate.operation import RestoreRequest
from quorate.restore import plan
from quorate.restoring.gates import closed
from tests.factory import etcd_seen, inventory
from tests.quorate.test_gates import DOWN, NODE
from worker.cli.plan import check_vouched

AWAY = Silence("no route")
PORTS = ("127.0.0.2:1", "127.0.0.2:11", "127.0.0.3:1", "127.0.0.3:11")
GONE = replace(DOWN, nodes={"a": NODE, "b": AWAY, "c": AWAY}, dials={"a": dict.fromkeys(PORTS, "silent")})
BOTH = {"b": "its power supply is out", "c": "seen on the console"}


def shut(seen: ClusterSeen, root: Path) -> dict[str, str]:
    gates = closed(inventory(root).clusters["demo"], seen, seen.manifests[-1])
    assert not any(gate.overridable for gate in gates)
    return {gate.id: gate.evidence for gate in gates}


def found_by_a(**changes: str) -> ClusterSeen:
    return replace(GONE, off=BOTH, dials={"a": {**GONE.dials["a"], **changes}})


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (GONE, "nobody has said that b is off (`--powered-off b=EVIDENCE`)"),
        (replace(GONE, off={"b": "it is"}), "nobody has said that c is off"),
        (replace(GONE, off=BOTH, dials={}), "a could not try whether the ports of b are closed"),
        (found_by_a(**{PORTS[1]: "untried"}), "a could not try whether the ports of b are closed"),
        (found_by_a(**{PORTS[2]: "open"}), "a reaches 127.0.0.3:1, so c is not off"),
        (
            replace(GONE, off=BOTH, etcd={**GONE.etcd, "c": etcd_seen("3", leader="")}),
            "c is said to be off, but its etcd answers",
        ),
        (replace(GONE, nodes={**GONE.nodes, "b": NODE}, off=BOTH), "b is said to be off, but it answers over SSH"),
    ],
)
def test_the_gate_stays_shut_while_one_of_them_may_be_on(seen: ClusterSeen, said: str, tmp_path: Path) -> None:
    assert said in shut(seen, tmp_path)["majority-unreachable"]


@pytest.mark.parametrize("how", ["silent", "refused", "unreachable"])
def test_with_everybody_vouched_for_and_every_port_closed_it_opens_and_the_fence_is_what_is_missing(
    how: str, tmp_path: Path
) -> None:
    assert list(shut(found_by_a(**dict.fromkeys(PORTS, how)), tmp_path)) == ["node-unreachable"]


def test_a_minority_that_is_away_needs_nobody_to_vouch(tmp_path: Path) -> None:
    assert list(shut(replace(GONE, nodes={**GONE.nodes, "b": NODE}), tmp_path)) == ["node-unreachable"]


def test_what_was_vouched_for_is_in_the_plan_and_its_digest(tmp_path: Path) -> None:
    whole = inventory(tmp_path)
    said = ("c=seen on the console", "b=its power supply is out")
    asked = RestoreRequest("r", "demo", whole.clusters["demo"], whole.stores["here"], "latest", "ann")
    plain, vouching = plan(asked, GONE), plan(replace(asked, powered_off=said), GONE)
    assert vouching.chosen.powered_off == tuple(sorted(said))
    assert vouched(said) == BOTH
    assert [gate.id for gate in vouching.refusals] == ["node-unreachable"]
    assert plain.chosen.digest() != vouching.chosen.digest()
    assert replace(vouching.chosen, powered_off=()).digest() == plain.chosen.digest()


@pytest.mark.parametrize("said", ["d=gone", "b=", "b= ", "b"])
def test_a_claim_needs_a_node_that_there_is_and_how_one_knows(said: str) -> None:
    with pytest.raises(BadInput, match="--powered-off"):
        check_vouched([said], ["a", "b", "c"])
