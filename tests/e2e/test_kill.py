"""Killing any process of ours at any instant changes nothing about the outcome."""

import json
import shutil
from collections import Counter

import pytest

from deploy.lab.lab import digest, load
from tests.e2e.product import Product, until

pytestmark = pytest.mark.lab
OVERRIDE = ("--override-gate", "quorum-healthy", "--reason", "it is a test")


def at_step(product: Product, step: str, known: set[str]) -> bool:
    """Whether the new operation has recorded that it is about to act in that step."""
    new = [path.name for path in (product.state / "operations").glob("restore-*") if path.name not in known]
    return bool(new) and any(
        record["event"] == "intent" and record["step"] == step and record["argv"] != ["look"]
        for record in product.trail(new[0])
    )


def once(product: Product, operation: str) -> None:
    """No rename and no restore had an effect twice on one node."""
    effects = [each for each in product.acts(operation) if " -T " in each[1] or "snapshot restore" in each[1]]
    assert effects
    assert [each for each, times in Counter(effects).items() if times > 1] == []


@pytest.mark.parametrize(
    ("victims", "step"),
    [(("daemon",), "stage"), (("daemon",), "swap"), (("temporal",), "stage"), (("temporal", "daemon"), "swap")],
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


@pytest.mark.parametrize(("choice", "exit_code", "outcome"), [("rollback", 9, "undone"), ("retry", 0, "restored")])
def test_with_all_our_state_gone_the_nodes_know_enough_to_go_on(
    bare: Product, choice: str, exit_code: int, outcome: str
) -> None:
    """Daemon, Temporal, its database, records: nothing is left but the inventory."""
    bare.backup()
    before = digest(bare.lab)
    known = {path.name for path in (bare.state / "operations").glob("restore-*")}
    with bare.begin_restore(*OVERRIDE) as waiting:
        until(lambda: at_step(bare, "swap", known))
        for victim in ("daemon", "temporal"):
            bare.kill(victim)
        waiting.kill()
        waiting.communicate()
    shutil.rmtree(bare.state)
    bare.up()
    held = bare.json("adopt", bare.cluster, exit_code=10)
    assert held["outcome"] == "held"
    if choice == "retry":
        bare.json("retry", held["operation"])
    result = bare.json("rollback" if choice == "rollback" else "watch", held["operation"], exit_code=exit_code)
    assert result["outcome"] == outcome
    assert digest(bare.lab) == before
    bare.json("adopt", bare.cluster, exit_code=2)
    assert bare.run("audit", "verify", held["operation"]).returncode == 0
    bare.backup()  # of a lineage that is on record
    assert bare.json("inspect", bare.cluster)["findings"] == []
