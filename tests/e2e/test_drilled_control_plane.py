"""Drills where a control plane runs: what its API servers could not do is measured too, and people are missed."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.product import QUORATE, Product, until
from tests.e2e.test_drills import drills, failing, short

pytestmark = pytest.mark.lab


def test_a_leader_is_lost_and_the_probe_sees_it_through_an_api_server_too(whole: Product, tmp_path: Path) -> None:
    scenario = short(tmp_path, "kill")
    Path(scenario).write_text(Path(scenario).read_text().replace("same-data]", "same-data, every-apiserver]"))
    result = whole.json("drill", "start", scenario, whole.cluster)
    assert (result["outcome"], failing(result)) == ("passed", [])
    tried = {(each["surface"], each["verb"]): each["made"] for each in result["probed"]["tries"]}
    assert set(tried) == {(surface, verb) for surface in ("etcd", "apiserver") for verb in ("read", "write")}
    assert min(tried.values()) > 5
    assert "after stage 1: every-apiserver" in [each["id"] for each in result["checks"]]


def test_whoever_usually_approves_may_not_and_another_person_can(whole: Product, tmp_path: Path) -> None:
    """With a control plane: the API servers are back before it is handed back."""
    whole.backup()
    text = yaml.safe_load(whole.config.read_text())
    text["clusters"][whole.cluster]["approval"] = {"approvers": ["ada", "kim"]}
    file = tmp_path / "quorate.yaml"
    file.write_text(yaml.safe_dump(text))
    known, before = drills(whole), planned(whole)
    argv = [str(QUORATE), "--config", str(file), "drill", "start", "operator-absent", whole.cluster]
    with subprocess.Popen(
        [*argv, "--as", "ada", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiting:
        digest, operation = awaited(whole, before)
        mine = whole.run("approve", operation, "--digest", digest, "--as", "ada")
        assert mine.returncode == 5
        assert "ada is not among the approvers: kim" in mine.stderr
        assert whole.run("approve", operation, "--digest", digest, "--as", "kim").returncode == 0
        answer, said = waiting.communicate(timeout=300)
    result = json.loads(answer)
    assert (result["outcome"], failing(result)) == ("passed", []), answer + said
    (absent,) = [each for each in result["checks"] if each["id"] == "absent"]
    assert "ada is not among the approvers" in absent["observed"]
    assert any("approved by kim" in each for each in result["people"])
    assert result["clock"]["declared"] < result["clock"]["approved"] < result["clock"]["first_write"]
    assert result["clock"]["readyz"] >= result["clock"]["declared"]
    assert drills(whole) - known == {result["operation"]}


def awaited(quorate: Product, known: set[str]) -> tuple[str, str]:
    """The plan that is made and waits for an approval, and whose it is."""
    until(lambda: bool(planned(quorate) - known), deadline_s=90, poll_s=0.2)
    (operation,) = planned(quorate) - known
    return str(quorate.json("operations", "show", operation)["digest"]), operation


def planned(quorate: Product) -> set[str]:
    return {path.parent.name for path in (quorate.state / "operations").glob("restore-*/plan.json")}
