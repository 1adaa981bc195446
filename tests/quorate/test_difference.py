"""What is told when a plan that was approved is not the plan any more."""

from dataclasses import replace
from typing import Any

import pytest

from quorate.chosen import BundleRef, Chosen, Replaced, Share
from quorate.difference import differences, void
from quorate.nodes.absent import Absent
from quorate.plan import Gate
from quorate.restoring.source import FromMember
from quorate.settings.stores import Store
from quorate.sshsig import Signer
from tests.factory import JOINER, plan, share

PLAN = plan(people=2)
CHOSEN = PLAN.chosen


def with_share(member: str, **changes: Any) -> tuple[Share, ...]:
    return tuple(replace(each, **changes) if each.member == member else each for each in CHOSEN.shares)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cluster_id": "c9"}, ("cluster id: c1 was approved, now it is c9",)),
        ({"cluster_id": ""}, ("cluster id: c1 was approved, now it is nothing",)),
        (
            {"snapshot": replace(CHOSEN.snapshot, id="demo/later", revision=99, sha256="f" * 64)},
            (f"snapshot id: {CHOSEN.snapshot.id} was approved, now it is demo/later",),
        ),
        (
            {"snapshot": replace(CHOSEN.snapshot, stored_bytes=7)},
            (f"snapshot stored bytes: {CHOSEN.snapshot.stored_bytes} was approved, now it is 7",),
        ),
        (
            {"shares": with_share("b", machine="machine-x")},
            ("node b machine: machine-b was approved, now it is machine-x",),
        ),
        (
            {"shares": with_share("b", control=())},
            ("node b control kube-apiserver: is there no more",),
        ),
        ({"shares": CHOSEN.shares[:2]}, ("node c: is there no more",)),
        ({"shares": (*CHOSEN.shares, share("d"))}, ("node d: was not there",)),
        ({"bump": 7}, ("bump: 1000000000 was approved, now it is 7",)),
        ({"overrides": ("corrupt", "lineage")}, ("overrides: nothing was approved, now it is corrupt, lineage",)),
        ({"people": 1}, ("people: 2 was approved, now it is 1",)),
        ({"store": Store(directory="/other")}, ("store: file:///store was approved, now it is file:///other",)),
        ({"signers": (Signer("bob", "ssh-ed25519 A"),)}, ("signers: was not there",)),
        (
            {"steps": tuple(replace(s, patience_s=9) if s.key == "bar" else s for s in CHOSEN.steps)},
            ("step bar patience s: 30 was approved, now it is 9",),
        ),
    ],
)
def test_every_difference_is_told_by_the_name_of_its_field(changes: dict[str, Any], said: tuple[str, ...]) -> None:
    now = replace(CHOSEN, **changes)
    assert differences(CHOSEN, now) == said
    assert CHOSEN.digest() != now.digest()


def test_a_step_that_moved_is_told() -> None:
    first, second, *others = CHOSEN.steps
    found = differences(CHOSEN, replace(CHOSEN, steps=(second, first, *others)))
    assert found == (
        "step claim number: 1 was approved, now it is 2",
        "step stage number: 2 was approved, now it is 1",
    )


@pytest.mark.parametrize("name", [field for field in Chosen.__dataclass_fields__ if field not in {"shares", "steps"}])
def test_no_field_that_the_digest_covers_is_left_out(name: str) -> None:
    """A new field of a plan is told without anybody thinking of it."""
    other: dict[type, Any] = {
        str: "another",
        int: 77,
        tuple: (Signer("x", "y"),) if name == "signers" else ("another",),
    }
    value = getattr(CHOSEN, name)
    parts: dict[str, Any] = {
        "snapshot": replace(CHOSEN.snapshot, id="x"),
        "store": Store(directory="/x"),
        "source": FromMember("a", "stream"),
        "rehearsal": FromMember("a", "staged"),
        "absent": Absent(("10.0.0.3",), (2379,), "etcd.service"),
        "replaced": Replaced("a", "a1", JOINER),
        "bundle": BundleRef("bundle.tar.zst", "0" * 64, "1" * 64),
    }
    now = replace(CHOSEN, **{name: parts.get(name) or other[type(value)]})
    (told,) = differences(CHOSEN, now)
    assert told.startswith(name.replace("_", " "))


def test_what_was_only_measured_is_no_difference() -> None:
    measured = with_share("b", etcd=replace(CHOSEN.shares[1].etcd, before="failed"))
    assert differences(CHOSEN, replace(CHOSEN, shares=measured)) == ()


def test_an_approval_is_void_for_another_plan_and_for_a_gate_that_has_shut() -> None:
    healthy = replace(PLAN, refusals=(Gate("quorum-healthy", "3 of 3 answer"),), mark=5, losses=("more",))
    moved = replace(healthy, chosen=replace(CHOSEN, cluster_id="c9"))
    begin = "the cluster is not as it was when it was approved: "
    assert void(PLAN, replace(PLAN, mark=7, had_quorum=False)) == ""
    assert void(PLAN, healthy) == f"{begin}gate quorum-healthy: 3 of 3 answer"
    assert (
        void(PLAN, moved) == f"{begin}cluster id: c1 was approved, now it is c9; gate quorum-healthy: 3 of 3 answer"
    )
