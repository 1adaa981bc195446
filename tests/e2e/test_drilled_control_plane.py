"""Drills where a control plane runs: what its API servers could not do is measured too, and people are missed."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import lab, product
from tests.e2e.product import QUORATE, Product, until
from tests.e2e.test_drills import drills, failing, short, there

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def guarded() -> Iterator[Product]:
    """Three members with a control plane on each node, and a machine that is nobody's."""
    for made in lab("g", members=3, etcd="3.6", control_plane="systemd", sandbox=True):
        for quorate in product(made):
            quorate.backup()
            yield quorate


@pytest.mark.parametrize(
    "scenario", ["restore-sandbox", "network-partition", "member-loss", "quorum-loss", "data-loss", "bad-backup"]
)
def test_a_scenario_is_held_with_a_control_plane(guarded: Product, scenario: str) -> None:
    held(guarded, scenario)


def held(quorate: Product, scenario: str) -> None:
    """All that was expected was seen, also through the API servers, and nothing of the drill is left."""
    quorate.backup()
    result = quorate.json("drill", "start", scenario, quorate.cluster, "--confirm", quorate.cluster)
    assert (result["outcome"], failing(result)) == ("passed", [])
    if scenario not in {"restore-sandbox", "bad-backup"}:  # these two touch no node of the cluster
        assert "every-apiserver" in " ".join(each["id"] for each in result["checks"])
        assert {each["surface"] for each in result["probed"]["tries"]} == {"etcd", "apiserver"}
    assert [line for lines in there(quorate).values() for line in lines if "drill" in line] == []
    if any(each.startswith("restore-") for each in result["operations"]):
        quorate.json("tidy", quorate.cluster, "--older-than", "1s", "--confirm", quorate.cluster)


@pytest.mark.parametrize("forward", [False, True])
def test_a_leader_is_lost_and_the_probe_sees_it_through_an_api_server_too(
    guarded: Product, tmp_path: Path, forward: bool
) -> None:
    """Also where etcd and the API servers are reached through their own nodes only."""
    scenario = short(tmp_path, "kill")
    Path(scenario).write_text(Path(scenario).read_text().replace("same-data]", "same-data, every-apiserver]"))
    text = yaml.safe_load(guarded.config.read_text())
    text["clusters"][guarded.cluster]["ssh"]["forward"] = forward
    other = Product(guarded.lab, tmp_path / "quorate.yaml")
    other.config.write_text(yaml.safe_dump(text))
    other.config.parent.joinpath("state").symlink_to(guarded.state)
    result = other.json("drill", "start", scenario, guarded.cluster)
    assert (result["outcome"], failing(result)) == ("passed", [])
    tried = {(each["surface"], each["verb"]): each["made"] for each in result["probed"]["tries"]}
    assert set(tried) == {(surface, verb) for surface in ("etcd", "apiserver") for verb in ("read", "write")}
    assert min(tried.values()) > 5
    assert "after stage 1: every-apiserver" in [each["id"] for each in result["checks"]]


def test_whoever_usually_approves_may_not_and_another_person_can(guarded: Product, tmp_path: Path) -> None:
    """With a control plane: the API servers are back before it is handed back."""
    guarded.backup()
    text = yaml.safe_load(guarded.config.read_text())
    text["clusters"][guarded.cluster]["approval"] = {"approvers": ["ada", "kim"]}
    file = tmp_path / "quorate.yaml"
    file.write_text(yaml.safe_dump(text))
    known, before = drills(guarded), planned(guarded)
    argv = [str(QUORATE), "--config", str(file), "drill", "start", "operator-absent", guarded.cluster]
    with subprocess.Popen(
        [*argv, "--as", "ada", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiting:
        digest, operation = awaited(guarded, before)
        mine = guarded.run("approve", operation, "--digest", digest, "--as", "ada")
        assert mine.returncode == 5
        assert "ada is not among the approvers: kim" in mine.stderr
        assert guarded.run("approve", operation, "--digest", digest, "--as", "kim").returncode == 0
        answer, said = waiting.communicate(timeout=300)
    result = json.loads(answer)
    assert (result["outcome"], failing(result)) == ("passed", []), answer + said
    (absent,) = [each for each in result["checks"] if each["id"] == "absent"]
    assert "ada is not among the approvers" in absent["observed"]
    assert any("approved by kim" in each for each in result["people"])
    assert result["clock"]["declared"] < result["clock"]["approved"] < result["clock"]["first_write"]
    assert result["clock"]["readyz"] >= result["clock"]["declared"]
    assert drills(guarded) - known == {result["operation"]}


def awaited(quorate: Product, known: set[str]) -> tuple[str, str]:
    """The plan that is made and waits for an approval, and whose it is."""
    until(lambda: bool(planned(quorate) - known), deadline_s=90, poll_s=0.2)
    (operation,) = planned(quorate) - known
    return str(quorate.json("operations", "show", operation)["digest"]), operation


def planned(quorate: Product) -> set[str]:
    return {path.parent.name for path in (quorate.state / "operations").glob("restore-*/plan.json")}
