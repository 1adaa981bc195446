"""A node that is gone for good: left out of the restore, and shut out should it come back."""

from dataclasses import replace
from pathlib import Path

import pytest

from quorate.errors import BadInput
from quorate.nodes.absent import RULES, TABLE, Absent, addresses
from quorate.nodes.seen import NodeSeen, PathSeen, UnitSeen
from quorate.operation import RestoreRequest
from quorate.plan import Plan
from quorate.restore import plan
from tests.factory import inventory, without_c
from tests.worker.test_power import BOTH, GONE

FILE = PathSeen("regular file", "root:root", "644", "1", 10)
ABSENT = Absent(("10.0.0.3", "fd00::3"), (2379, 2380), "etcd.service")


def made(root: Path, *without: str, off: tuple[str, ...] = ()) -> Plan:
    whole = inventory(root)
    request = RestoreRequest(
        "restore-1", "demo", whole.clusters["demo"], whole.stores["here"], "latest", "ann", powered_off=off
    )
    return plan(replace(request, without=without), GONE)


def test_the_others_are_restored_as_a_cluster_of_their_own(tmp_path: Path) -> None:
    whole = made(tmp_path, "b", "c", off=tuple(f"{name}={how}" for name, how in BOTH.items()))
    assert whole.refusals == ()
    assert [share.member for share in whole.chosen.shares] == ["a"]
    assert whole.initial_cluster == "a=https://127.0.0.1:1"
    assert whole.chosen.absent == Absent(("127.0.0.2", "127.0.0.3"), (11, 1), "etcd.service")
    keys = [step.key for step in whole.chosen.steps]
    assert keys[keys.index("bar") + 1] == "shut-out"
    told = " ".join((*whole.losses, *whole.afterwards))
    assert "c is left out: should it come back" in told
    assert "etcdctl member add c --learner" in told


def test_a_majority_is_not_left_out_unless_somebody_vouches_that_it_is_off(tmp_path: Path) -> None:
    assert [gate.id for gate in made(tmp_path, "b", "c").refusals] == ["majority-unreachable"]


def test_whoever_answers_is_not_left_out(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a can be looked at"):
        made(tmp_path, "a")


def test_nobody_is_left_out_of_a_plan_that_does_not_say_so(tmp_path: Path) -> None:
    assert "shut-out" not in [step.key for step in made(tmp_path).chosen.steps]
    assert without_c().chosen.digest() != replace(without_c().chosen, without=(), absent=None).digest()


def test_only_numbers_are_addresses(tmp_path: Path) -> None:
    members = inventory(tmp_path).clusters["demo"].members
    named = (members[0].model_copy(update={"host": "a.example"}),)
    assert list(addresses(named)) == ["127.0.0.1"]


def seen(*paths: str, tables: frozenset[str] = frozenset(), loaded: bool = True) -> NodeSeen:
    unit = UnitSeen("etcd.service", "loaded", "active", drop_ins=(ABSENT.drop_in,) if loaded else ())
    return NodeSeen(paths=dict.fromkeys(paths, FILE), units={"etcd.service": unit}, tables=tables)


BOTH_FILES = (RULES, ABSENT.drop_in)


@pytest.mark.parametrize(
    ("there", "acts"),
    [
        (seen(loaded=False), 5),
        (seen(*BOTH_FILES, loaded=False), 5),  # cut off before the reload
        (seen(*BOTH_FILES), 5),  # after a reboot in which etcd was barred from starting
        (seen(*BOTH_FILES, tables=frozenset({TABLE})), 0),
    ],
)
def test_it_is_shut_out_now_and_at_every_start(there: NodeSeen, acts: int) -> None:
    assert len(ABSENT.shut_out(there, 0)) == acts  # type: ignore[arg-type]


def test_letting_in_takes_the_rule_and_the_files_away() -> None:
    acts = ABSENT.let_in(seen(*BOTH_FILES, tables=frozenset({TABLE})), 0)
    assert [act.argv[0] for act in acts] == ["/usr/sbin/nft", "rm", "sync", "systemctl"]  # type: ignore[union-attr]
    assert ABSENT.let_in(seen(loaded=False), 0) == ()


def test_the_rule_knows_both_kinds_of_address_and_both_ways() -> None:
    rules = ABSENT.shut_out(seen(loaded=False), 0)[0].stdin  # type: ignore[index]
    for line in ("ip saddr 10.0.0.3", "ip daddr 10.0.0.3", "ip6 saddr fd00::3", "ip6 daddr fd00::3"):
        assert f"{line} tcp dport {{ 2379, 2380 }} reject with tcp reset" in rules
