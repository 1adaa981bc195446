"""The restore tool out of the store, where a node has none."""

from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from quorate.errors import Corrupt, Refusal
from quorate.nodes.pushed import Pushed
from quorate.nodes.seen import NodeSeen, PathSeen
from quorate.operation import RestoreRequest
from quorate.plan import Plan
from quorate.restore import EQUIP, STEPS, UNEQUIP
from tests.activities.test_surveys import Scene
from tests.activities.test_toolbox import PATH, Keeping, tool
from tests.factory import IMAGE, PROGRAM, STORED_TOOL, inventory, plan, with_stored_tool
from tests.runbooks import Rehearsal

SCENE = Pushed(STORED_TOOL, "/q/op")
PACKED = zstandard.compress(PROGRAM.encode())
HOME = "/var/lib/quorate/demo/restore-1"
PLACED = f"{HOME}/{STORED_TOOL.program}"


def rehearsal(root: Path, packed: bytes = PACKED, whole: Plan | None = None) -> Rehearsal:
    made = Rehearsal(root, plan=whole or with_stored_tool())
    made.shelf.objects[STORED_TOOL.key] = packed
    made.run(STEPS[0], STEPS[0].verb)
    return made


def planned(root: Path) -> Plan:
    """A backup has kept the tool; since then node b has lost its own."""
    scene, keeping = Scene(root), Keeping()
    keeping.carry_out()
    assert isinstance(keeping.store, type(scene.store))
    scene.store.objects |= {key: data for key, data in keeping.store.objects.items() if key.startswith("tools/")}
    for name, machine in scene.bench.machines.items():
        machine.tools = {} if name == "b" else {PATH: "3.6.14"}
    whole = inventory(root)
    asked = ("quorum-healthy",)
    request = RestoreRequest(
        "restore-1", "demo", whole.clusters["demo"], whole.stores["here"], "latest", "ann", asked
    )
    made = scene.surveyor().plan(request)
    assert [share.pushed for share in made.chosen.shares] == [None, tool(keeping).stored, None]
    return made


def test_a_node_without_a_tool_gets_what_the_store_has_and_shuts_no_gate(tmp_path: Path) -> None:
    made = planned(tmp_path)
    assert made.refusals == ()
    assert [step.key for step in made.chosen.steps][:3] == ["claim", "equip", "stage"]


def test_which_tool_is_pushed_is_approved_with_the_plan() -> None:
    whole = with_stored_tool().chosen
    other = tuple(replace(each, pushed=replace(STORED_TOOL, sha256="0" * 64)) for each in whole.shares)
    assert replace(whole, shares=other).digest() != whole.digest()
    assert "pushed" not in plan().chosen.covered()["shares"][0]


def test_it_is_there_for_the_staging_and_gone_afterwards(tmp_path: Path) -> None:
    made = rehearsal(tmp_path)
    made.run(EQUIP, EQUIP.verb)
    assert made.machine.files[PLACED] == PROGRAM
    staged = made.run(STEPS[1], STEPS[1].verb)
    assert any(f"{PLACED} snapshot restore" in line for line in staged)
    made.run(UNEQUIP, UNEQUIP.verb)
    assert not [path for path in (*made.machine.files, *made.machine.directories) if path.startswith(PLACED)]


def test_what_came_from_the_image_and_from_the_store_is_taken_away_after_one_look(tmp_path: Path) -> None:
    """The image gives a member that is replayed its etcd, the store the tool that the image lacks."""
    whole = with_stored_tool()
    both = tuple(replace(each, image=IMAGE, programs=("etcd",)) for each in whole.chosen.shares)
    made = rehearsal(tmp_path, whole=replace(whole, chosen=replace(whole.chosen, shares=both)))
    made.machine.images[IMAGE] = {"etcd": "3.6.14"}
    made.run(EQUIP, EQUIP.verb)
    made.notebook.looked = 0
    assert made.run(UNEQUIP, UNEQUIP.verb) == [f"rm -rf {HOME}/tools {HOME}/image", f"rm -rf {PLACED}"]
    assert made.notebook.looked == 1


def test_an_attempt_that_finds_it_there_sends_nothing(tmp_path: Path) -> None:
    made = rehearsal(tmp_path)
    made.run(EQUIP, EQUIP.verb)
    made.shelf.objects.clear()
    assert made.run(EQUIP, EQUIP.verb) == []


@pytest.mark.parametrize("packed", [PACKED[:-1] + b"?", zstandard.compress(b"another program")])
def test_one_that_is_not_what_was_kept_is_never_placed(packed: bytes, tmp_path: Path) -> None:
    made = rehearsal(tmp_path, packed)
    with pytest.raises(Corrupt, match="is not what was stored"):
        made.run(EQUIP, EQUIP.verb)
    assert PLACED not in made.machine.files


@pytest.mark.parametrize(("told", "reason"), [("3.5.30", r"says that it is etcd 3\.5\.30"), ("", "does not run")])
def test_one_that_does_not_run_there_is_refused_before_anything_is_staged(told: str, reason: str) -> None:
    there = NodeSeen(
        paths={SCENE.path: PathSeen("regular file", "root:root", "700", "1", 6)},
        tools={SCENE.path: told} if told else {},
    )
    with pytest.raises(Refusal, match=reason):
        SCENE.proved(there, 0)
