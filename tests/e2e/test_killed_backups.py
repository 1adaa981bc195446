"""A backup goes on whatever is killed at any of its acts: one manifest, whole, and nothing half."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.product import QUORATE, Product, alone, until
from tests.real_etcd import Cluster, made

pytestmark = pytest.mark.server
ACTS = ("etcd snapshot", "store get demo/", "manifest.json")  # streaming, reading back, publishing


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = made("3.6", tmp_path_factory.mktemp("killed") / "etcd", ("a",), tls=False, data=None)
    cluster.start()
    with cluster.first.at() as member:
        for number in range(12):
            member.put(f"/large/{number}", os.urandom(1 << 20))
    yield cluster
    cluster.kill()


@pytest.fixture(scope="module")
def quorate(tmp_path_factory: pytest.TempPathFactory, temporal_binary: Path, etcd: Cluster) -> Iterator[Product]:
    home = tmp_path_factory.mktemp("home")
    product = alone(home / "demo", etcd.first.target.url, {"binary": str(temporal_binary)})
    text = yaml.safe_load(product.config.read_text())
    text["clusters"]["demo"]["backup"] |= {"rate_mib_s": 8}
    product.config.write_text(yaml.safe_dump(text))
    product.up()
    yield product
    product.down()


def begun(product: Product) -> subprocess.Popen[str]:
    argv = [str(QUORATE), "--config", str(product.config), "backup", product.cluster, "-o", "json"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def operations(product: Product) -> set[str]:
    return {path.name for path in (product.state / "operations").glob("backup-*")}


def has_begun(product: Product, known: set[str], act: str) -> bool:
    intents = (
        " ".join(record["argv"])
        for operation in operations(product) - known
        for record in product.trail(operation)
        if record["event"] == "intent"
    )
    return any(act in argv for argv in intents)


def left(product: Product) -> list[str]:
    return [path.name for path in (product.config.parent / "store").rglob("*.part")]


def manifests(product: Product) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (product.config.parent / "store").rglob("manifest.json")]


@pytest.mark.parametrize("act", ACTS, ids=["stream", "read-back", "publish"])
@pytest.mark.parametrize(
    "victims",
    [("daemon",), pytest.param(("temporal",), marks=pytest.mark.long), ("daemon", "temporal")],
    ids="+".join,
)
def test_killed_at_any_of_its_acts_it_is_taken_all_the_same(
    quorate: Product, victims: tuple[str, ...], act: str
) -> None:
    known, before = operations(quorate), len(manifests(quorate))
    running = begun(quorate)
    until(lambda: has_begun(quorate, known, act), 60, 0.005)
    for victim in victims:
        quorate.kill(victim)
    quorate.up()
    out, err = running.communicate(timeout=180)
    result = json.loads(out)
    assert (running.returncode, result["outcome"]) == (0, "verified"), out + err
    made_now = [each for each in manifests(quorate) if each["operation"] == result["operation"]]
    assert [each["id"] for each in made_now] == [result["snapshot"]]
    assert (len(manifests(quorate)), left(quorate)) == (before + 1, [])
    assert quorate.json("snapshots", "verify", result["snapshot"])["ok"]
    assert quorate.json("audit", "verify", result["operation"])["sealed"]


def test_of_one_that_is_over_nothing_is_shown_as_running(quorate: Product) -> None:
    done = quorate.run("backup", quorate.cluster)
    shown = re.findall(r"^(running|done) +(.+ \(cluster\))", done.stdout, re.MULTILINE)
    assert (done.returncode, {state for state, _ in shown}) == (0, {"running", "done"})
    assert set({step: state for state, step in shown}.values()) == {"done"}


def test_a_member_that_dies_while_it_sends_leaves_nothing_and_the_next_run_is_good(
    quorate: Product, etcd: Cluster
) -> None:
    known, before = operations(quorate), len(manifests(quorate))
    running = begun(quorate)
    until(lambda: has_begun(quorate, known, "store put"), 60, 0.005)
    etcd.kill()
    out, err = running.communicate(timeout=180)
    result = json.loads(out)
    assert (running.returncode, result["outcome"], result["error"]["kind"]) == (10, "failed", "unreachable"), (
        out + err
    )
    assert (len(manifests(quorate)), left(quorate)) == (before, [])
    etcd.start()
    assert quorate.backup()["outcome"] == "verified"
