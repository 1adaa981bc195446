"""The short form of `make robustness` (seeds 2 and 3 strike at no step), and its checker on nodes that are wrong."""

import os
from collections.abc import Iterator

import pytest

from deploy.lab.https import Caller
from deploy.lab.lab import node_exec, wreck
from deploy.lab.load import text
from deploy.lab.process import wait
from deploy.lab.ready import etcd_identity
from deploy.robustness.__main__ import begun, ended
from deploy.robustness.chance import case, cases
from deploy.robustness.checker import BEFORE, FAILED, NEW
from deploy.robustness.restore import Restore, World
from deploy.robustness.run import restored, run
from deploy.robustness.telling import line, trouble
from deploy.robustness.writing import forget, writing

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    name = f"r{os.getpid()}"
    try:
        yield begun(name, case(1, "none"))
    finally:
        ended(name)


@pytest.mark.parametrize(
    ("seed", "fault"),
    [
        (2, "kill-both"),
        (4, "reboot"),
        *(
            pytest.param(*each, marks=pytest.mark.long)
            for each in ((3, "kill-daemon"), (3, "drop-ssh"), (8, "lose-state"))
        ),
    ],
)
def test_a_restore_with_one_fault_ends_fully_new_or_fully_as_before(world: World, seed: int, fault: str) -> None:
    ran = run(world, case(seed, fault))
    assert ran.wrong == (), "\n".join([line(ran), *trouble(ran)])
    assert ran.ends[-1] in (NEW, BEFORE)
    assert not ran.spent


@pytest.mark.parametrize(
    ("fault", "at"), [("power-cycle", "rename:11"), pytest.param("drop-ssh", "called:20", marks=pytest.mark.long)]
)
def test_a_fault_between_two_renames_or_at_one_command_is_withstood(world: World, fault: str, at: str) -> None:
    """The eleventh rename is that of `swap` which gives the restored data the name of the live."""
    ran = run(world, next(cases(4, 1, fault, at)))
    assert ran.wrong == (), "\n".join([line(ran), *trouble(ran)])
    assert (ran.struck, ran.ends, ran.spent) == (True, (NEW,), False)


@pytest.fixture(scope="module")
def done(world: World) -> Restore:
    """A restore without a fault, and everything that is known of it."""
    forget(world.lab)
    with writing(world.lab, "checked") as writers:
        restore, _ = restored(world, case(1, "none"), writers)
        assert wait(lambda: len(writers.since(restore.ended)) == len(world.lab.nodes), 60)
    assert restore.verdict().end == NEW
    return restore


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "mkdir -p /var/lib/quorate/x; echo op 1 1 > /var/lib/quorate/x/claim",
            "rm -r /var/lib/quorate/x",
            "claimed: op",
        ),
        (
            "mkdir -p /var/lib/quorate/fence; touch /var/lib/quorate/fence/etcd.service",
            "rm -r /var/lib/quorate/fence",
            "fence/",
        ),
        ("nft add table inet quorate", "nft delete table inet quorate", "the firewall table inet quorate"),
        (
            "mkdir /var/lib/etcd/default.quorate-x.part",
            "rmdir /var/lib/etcd/default.quorate-x.part",
            "quorate-x.part",
        ),
    ],
    ids=["a claim", "a fence", "a table", "a directory"],
)
def test_the_checker_sees_what_is_left_on_a_node(done: Restore, before: str, after: str, said: str) -> None:
    node = done.world.lab.nodes[1].name
    node_exec(done.world.lab, node, ["sh", "-c", before])
    try:
        verdict = done.verdict()
    finally:
        node_exec(done.world.lab, node, ["sh", "-c", after])
    assert verdict.end == FAILED
    assert [wrong for wrong in verdict.wrong if wrong.startswith(f"{node} ") and said in wrong]
    assert done.verdict().end == NEW


def test_the_checker_sees_a_lost_key_and_then_a_member_of_another_cluster(done: Restore) -> None:
    lab, key = done.world.lab, next(iter(done.world.loaded))
    etcd = Caller(lab.etcd.endpoints[0], etcd_identity(lab))
    etcd.call("POST", "/v3/kv/deleterange", {"key": text(key.encode())})
    assert [wrong for wrong in done.verdict().wrong if f"missing: {key}" in wrong]
    wreck(lab, "wipe", lab.nodes[2].name)
    wreck(lab, "start", lab.nodes[2].name)
    assert wait(lambda: alone(done), 30)
    verdict = done.verdict()
    assert verdict.end == FAILED
    assert [wrong for wrong in verdict.wrong if lab.nodes[2].name in wrong and "missing" not in wrong]


def alone(done: Restore) -> bool:
    """Its unit's own flags make it a member of the cluster that the lab began with, which nobody else is in."""
    return node_exec(done.world.lab, done.world.lab.nodes[2].name, ["pidof", "etcd"])[0] == 0
