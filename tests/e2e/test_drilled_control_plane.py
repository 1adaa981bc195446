"""Drills where a control plane runs: what its API servers could not do is measured too, and people are missed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import lab, product
from tests.e2e.product import Product
from tests.e2e.test_drills import absent, copied, failing, short, there

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def guarded() -> Iterator[Product]:
    """Three members with a control plane on each node, and a machine that is nobody's."""
    for made in lab("g", members=3, etcd="3.6", control_plane="systemd", sandbox=True):
        for quorate in product(made):
            quorate.backup()
            yield quorate


@pytest.mark.parametrize(
    "scenario",
    [
        "restore-sandbox",
        "member-loss",
        "quorum-loss",
        *(
            pytest.param(each, marks=pytest.mark.long)
            for each in ("leader-failover", "network-partition", "data-loss", "bad-backup")
        ),
    ],
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


@pytest.mark.parametrize("forward", [False, pytest.param(True, marks=pytest.mark.long)])
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
    """The API servers are back before it is handed back."""
    result = absent(guarded, tmp_path)
    assert result["clock"]["readyz"] >= result["clock"]["declared"]


@pytest.mark.long
def test_with_the_first_store_away_the_second_is_restored_from(guarded: Product, tmp_path: Path) -> None:
    guarded.backup()
    held(copied(guarded, tmp_path), "store-away")
