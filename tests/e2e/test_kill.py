"""Killing any process of ours at any instant changes nothing about the outcome."""

import json
import shutil
import subprocess
from collections import Counter

import pytest

from deploy.lab.lab import Node, digest, load
from tests.e2e.product import Product, on_node, until
from tests.e2e.standing import found, slow
from tests.e2e.test_steering import running

pytestmark = pytest.mark.lab
OVERRIDE = ("--override-gate", "quorum-healthy", "--reason", "it is a test")
LIVE = "/var/lib/etcd/default"


def at_step(product: Product, step: str, known: set[str]) -> bool:
    """Whether the new operation has recorded that it is about to act in that step."""
    new = [path.name for path in (product.state / "operations").glob("restore-*") if path.name not in known]
    return bool(new) and acts_at(product, step, new[0])


def acts_at(product: Product, step: str, operation: str) -> bool:
    return any(
        record["event"] == "intent" and record["step"] == step and record["argv"] != ["look"]
        for record in product.trail(operation)
    )


def once(product: Product, operation: str) -> None:
    """No rename and no restore had an effect twice on one node."""
    effects = [each for each in product.acts(operation) if " -T " in each[1] or "snapshot restore" in each[1]]
    assert effects
    assert [each for each, times in Counter(effects).items() if times > 1] == []


@pytest.mark.parametrize(
    ("victims", "step"),
    [
        pytest.param(("daemon",), "stage", marks=pytest.mark.long),
        (("daemon",), "swap"),
        pytest.param(("temporal",), "stage", marks=pytest.mark.long),
        (("temporal", "daemon"), "swap"),
    ],
)
def test_a_restore_ends_well_whatever_is_killed_in_its_middle(
    bare: Product, victims: tuple[str, ...], step: str
) -> None:
    load(bare.lab, 24)
    before = digest(bare.lab)
    bare.backup()
    known = {path.name for path in (bare.state / "operations").glob("restore-*")}
    with bare.begin_restore(*OVERRIDE) as waiting:
        until(lambda: at_step(bare, step, known))
        for victim in victims:
            bare.kill(victim)
        if "daemon" in victims:
            until(lambda: bare.run("up", "--detach").returncode == 0, poll_s=0.5)
        answer, said = waiting.communicate(timeout=200)
    assert waiting.returncode == 0, answer + said
    result = json.loads(answer)
    assert result["outcome"] == "restored"
    assert digest(bare.lab) == before
    once(bare, result["operation"])
    assert bare.run("audit", "verify", result["operation"]).returncode == 0


@pytest.mark.parametrize(
    ("choice", "exit_code", "outcome"),
    [pytest.param("rollback", 9, "undone", marks=pytest.mark.long), ("retry", 0, "restored")],
)
def test_with_all_our_state_gone_the_nodes_know_enough_to_go_on(
    bare: Product, choice: str, exit_code: int, outcome: str
) -> None:
    """Daemon, Temporal, its database, records: nothing is left but the inventory."""
    bare.backup()
    before = digest(bare.lab)
    known = {path.name for path in (bare.state / "operations").glob("restore-*")}
    with bare.begin_restore(*OVERRIDE) as waiting:
        until(lambda: at_step(bare, "swap", known))
        lost(bare, waiting)
    bare.up()
    held = bare.json("adopt", bare.cluster, exit_code=10)
    assert held["outcome"] == "held"
    if choice == "retry":  # given up, taken up again, and struck once more
        assert bare.json("abort", held["operation"], exit_code=10)["outcome"] == "held"
        assert bare.json("adopt", bare.cluster, exit_code=10)["operation"] == held["operation"]
        bare.json("retry", held["operation"])
        until(lambda: acts_at(bare, "start", held["operation"]))
        bare.kill("daemon")
        until(lambda: bare.run("up", "--detach").returncode == 0, poll_s=0.5)
    result = bare.json("rollback" if choice == "rollback" else "watch", held["operation"], exit_code=exit_code)
    assert result["outcome"] == outcome
    assert digest(bare.lab) == before
    bare.json("adopt", bare.cluster, exit_code=2)
    assert bare.run("audit", "verify", held["operation"]).returncode == 0
    bare.backup()  # of a lineage that is on record
    assert bare.json("inspect", bare.cluster)["findings"] == []


def lost(product: Product, waiting: "subprocess.Popen[str]") -> None:
    """All that we knew, and whoever asked."""
    for victim in ("daemon", "temporal"):
        product.kill(victim)
    waiting.kill()
    waiting.communicate()
    shutil.rmtree(product.state)


def test_all_our_state_is_lost_while_data_is_put_back_and_all_ends_as_it_was(bare: Product) -> None:
    """On one node no data has its name at that moment."""
    bare.backup()
    node = bare.lab.nodes[1]
    before = digest(bare.lab), [found(bare, each) for each in bare.lab.nodes]
    with slow(bare, node, "mv", f"-T {LIVE}.before-* {LIVE}"):
        with bare.begin_restore(*OVERRIDE) as waiting:
            with slow(bare, node, "mv", f"-T {LIVE} {LIVE}.before-*"):
                operation = running(bare)
                until(lambda: acts_at(bare, "swap", operation))
                bare.json("cancel", operation)
            until(lambda: f"{LIVE}.quorate-{operation}-g1" in names(bare, node) and LIVE not in names(bare, node))
            lost(bare, waiting)
        on_node(bare.lab, "kill $(pidof -x mv)", bare.lab.nodes.index(node))
    bare.up()
    held = bare.json("adopt", bare.cluster, exit_code=10)
    assert "taken over at the undo of swap" in held["error"]["message"]
    kept = f"in {LIVE}.before-{operation} if that is there, else in {LIVE}"
    assert [where.partition(" is ")[2] for where in held["where"]] == [kept]
    assert bare.json("cancel", operation, exit_code=4)["error"]["kind"] == "refused"
    bare.json("retry", operation)
    result = bare.json("watch", operation, exit_code=9)
    assert (result["outcome"], result["where"], result["findings"]) == ("undone", [], [])
    assert (digest(bare.lab), [found(bare, each) for each in bare.lab.nodes]) == before
    assert bare.json("inspect", bare.cluster)["findings"] == []
    assert bare.run("audit", "verify", operation).returncode == 0


def names(product: Product, node: Node) -> list[str]:
    return on_node(product.lab, "echo /var/lib/etcd/*", product.lab.nodes.index(node)).split()
