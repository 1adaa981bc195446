"""Reports of what really ran, made and verified on the command line."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from deploy.lab.lab import wreck
from tests.e2e.product import Product, on_node

pytestmark = pytest.mark.lab


def document(product: Product, operation: str) -> dict[str, Any]:
    """Of a report that was made, and verified with nothing but the public key."""
    file = product.config.parent / f"{operation}-{time.time_ns()}.json"
    done = product.run("report", operation, "-f", "json", "-o", str(file))
    assert done.returncode == 0, done.stderr
    seal = json.loads(file.read_text())
    said = product.json("report", "verify", str(file), "--key", seal["document"]["sealed_by"])
    assert (said["operation"], said["vouched"]) == (operation, "given")
    found: dict[str, Any] = seal["document"]
    return found


def failed(report: dict[str, Any]) -> list[str]:
    return [each["id"] for each in report["checks"] if each["passed"] is False]


def test_a_restore_of_a_lost_quorum_has_a_report_that_agrees_with_the_nodes(bare: Product) -> None:
    snapshot = bare.json("snapshots", "ls")["snapshots"][0]
    wreck(bare.lab, "quorum-loss")
    before = time.time()
    operation = bare.restore("--snapshot", snapshot["snapshot"])["operation"]
    took = time.time() - before
    report = document(bare, operation)
    assert report["verdict"]["judgement"].startswith("PASSED")
    assert 0 < report["rto"]["most_s"] < took
    assert report["rto"]["met"] is True and report["rpo"]["met"] is True
    assert failed(report) == []
    assert report["trail"]["sealed"] and not report["trail"]["broken"]
    assert snapshot["sha256"] in str(report["provenance"]) and "signed by SHA256:" in str(report["provenance"])
    kept = [each for each in report["resources"] if each["kind"] == "kept data"]
    assert len(kept) == 3
    for each in kept:
        number = [node.name for node in bare.lab.nodes].index(each["place"])
        assert each["name"] in on_node(bare.lab, f"ls -d {each['name']}", number)
    assert all(each["destroyed"] for each in report["resources"] if not each["kind"].startswith("kept"))


def test_what_was_overridden_is_in_it_with_its_reason_and_the_one_before_beside_it(bare: Product) -> None:
    """Of a cluster whose quorum was healthy."""
    bare.backup()
    operation = bare.restore("--override-gate", "quorum-healthy", "--reason", "CHG-7, a rehearsal")["operation"]
    report = document(bare, operation)
    (deviation,) = [each for each in report["deviations"] if "quorum-healthy" in each["what"]]
    assert deviation["reason"] == "CHG-7, a rehearsal"
    assert [each["kind"] for each in report["compared"]] == ["restore"] * len(report["compared"])
    assert any("etcd was out for" in note for note in report["time_notes"])


def test_with_the_state_directory_lost_it_is_made_from_the_record_in_the_store(bare: Product) -> None:
    backup = bare.backup()
    here = document(bare, backup["operation"])
    shutil.rmtree(bare.state / "operations" / backup["operation"])
    there = document(bare, backup["operation"])
    assert Path(here["where"]).is_absolute() and there["where"].startswith("s3://")
    for part in ("verdict", "checks", "provenance", "log", "trail", "bars", "cluster"):
        assert there[part] == here[part]
    assert failed(there) == []


def test_the_trend_has_them_all(bare: Product) -> None:
    backup = bare.backup()["operation"]
    found = {each["kind"]: each for each in bare.json("report", "trend", bare.cluster)["trends"]}
    assert found["backup"]["operations"][0]["operation"] == backup
    assert found["backup"]["passed"] == len(found["backup"]["operations"])
