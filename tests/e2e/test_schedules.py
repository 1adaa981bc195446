"""Schedules of a real daemon, a real Temporal server and a real etcd, by the clock on the wall."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.product import Product, alone, until
from tests.real_etcd import Cluster, made

pytestmark = pytest.mark.server


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Cluster]:
    cluster = made("3.6", tmp_path / "etcd", ("a",), tls=False, data=None)
    cluster.start()
    yield cluster
    cluster.kill()


@pytest.fixture
def quorate(tmp_path: Path, temporal_binary: Path, etcd: Cluster) -> Iterator[Product]:
    product = alone(tmp_path / "demo", etcd.first.target.url, {"binary": str(temporal_binary)})
    schedule(product, {"every": "10s"})
    yield product
    product.down()


def schedule(product: Product, wanted: object) -> None:
    text = yaml.safe_load(product.config.read_text())
    text["clusters"]["demo"]["backup"]["schedule"] = wanted
    product.config.write_text(yaml.safe_dump(text))


def row(product: Product, exit_code: int = 0) -> dict[str, Any]:
    (only,) = product.json("schedule", "ls", "demo", exit_code=exit_code)["schedules"]
    return only  # type: ignore[no-any-return]


def runs(product: Product) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = product.json("schedule", "history", "demo")["runs"]
    return found


def verified(product: Product) -> list[dict[str, Any]]:
    return [each for each in runs(product) if each["outcome"] == "verified"]


def test_a_backup_is_taken_when_it_is_due_and_none_while_it_is_paused(quorate: Product) -> None:
    alone = quorate.json("schedule", "ls", exit_code=6)["error"]
    assert (alone["kind"], "up --detach" in alone["next"]) == ("no-daemon", True)
    quorate.up()
    assert row(quorate)["timing"] == "every 10s"
    until(lambda: bool(verified(quorate)), 40, 0.5)
    taken = verified(quorate)[-1]
    record = json.loads((quorate.state / "operations" / taken["operation"] / "outcome.json").read_text())
    assert (record["outcome"], record["snapshot"]) == ("verified", taken["snapshot"])
    assert quorate.json("audit", "verify", taken["operation"])["sealed"]
    (manifest,) = Path(quorate.config.parent / "store").glob(
        f"demo/*/{taken['snapshot'].split('/')[1]}/manifest.json"
    )
    assert json.loads(manifest.read_text())["actor"] == "schedule"

    paused = quorate.json("schedule", "pause", "demo", "--reason", "CHG-7", "--as", "kim")
    assert (paused["paused"], paused["note"]) == (True, "paused by kim: CHG-7")
    assert quorate.json("audit", "verify", paused["operation"])["sealed"]
    assert quorate.json("schedule", "pause", "demo", "--reason", "again", exit_code=4)["error"]["kind"] == "refused"
    until(lambda: not any(each["outcome"] == "running" for each in runs(quorate)), 20, 0.2)
    before = len(runs(quorate))
    quorate.down()
    schedule(quorate, {"every": "11s"})
    quorate.up()
    seen = row(quorate, exit_code=3)
    (found,) = seen["findings"]
    assert (seen["timing"], seen["paused"], found["evidence"]) == ("every 11s", True, "paused by kim: CHG-7")
    (cluster,) = quorate.json(exit_code=3)["clusters"]
    assert [each["next"] for each in cluster["findings"] if each["id"] == "schedule-paused"]
    told = quorate.json("schedule", "run-now", "demo")
    assert quorate.run("watch", told["operation"]).returncode == 0
    until(lambda: len(verified(quorate)) == before + 1, 20, 0.2)
    assert quorate.json("schedule", "resume", "demo", "--as", "lee")["paused"] is False
    until(lambda: len(verified(quorate)) > before + 1, 40, 0.5)
    kinds = {each.get("kind") for each in quorate.json("operations", "ls")["operations"]}
    assert "backup" in kinds
    assert "backup.due" not in kinds


def missed(product: Product) -> int:
    """However the last run ended: on a busy machine one may be skipped because the one before is not over."""
    done = product.run("schedule", "ls", "demo", "-o", "json")
    assert done.returncode in {0, 3}, done.stdout + done.stderr
    return int(json.loads(done.stdout)["schedules"][0]["missed"])


def test_of_a_time_without_a_server_one_run_is_made_up_for_and_the_rest_is_counted(quorate: Product) -> None:
    quorate.up()
    until(lambda: bool(verified(quorate)), 60, 0.5)
    before = len(runs(quorate))
    gone, away_s = time.monotonic(), 35
    quorate.down()
    until(lambda: time.monotonic() - gone > away_s, away_s + 5, 0.5)
    quorate.up()
    until(lambda: missed(quorate) >= 2, 60, 0.5)
    until(lambda: len(runs(quorate)) > before, 60, 0.5)
    due = (time.monotonic() - gone) / 10
    assert missed(quorate) + len(runs(quorate)) - before <= due + 2


def test_a_run_that_fails_is_told_and_on_record_as_any_other(quorate: Product, etcd: Cluster) -> None:
    etcd.kill()
    schedule(quorate, {"cron": "0 3 * * *", "time_zone": "Europe/Zurich"})
    quorate.up()
    told = quorate.json("schedule", "run-now", "demo")
    until(lambda: runs(quorate)[0]["outcome"] == "failed", 120, 0.5)
    (failed,) = runs(quorate)
    assert (failed["operation"], failed["snapshot"]) == (told["operation"], None)
    assert "no member of demo answers" in failed["reason"]
    assert quorate.json("audit", "verify", told["operation"])["sealed"]
    assert row(quorate, exit_code=3)["findings"][0]["message"] == "the last scheduled backup of demo: failed"


def test_a_killed_daemon_goes_on_with_what_was_due(quorate: Product, etcd: Cluster) -> None:
    with etcd.first.at() as member:
        for number in range(8):
            member.put(f"/large/{number}", bytes(1 << 20))
    text = yaml.safe_load(quorate.config.read_text())
    text["clusters"]["demo"]["backup"] |= {"schedule": {"every": "1h"}, "rate_mib_s": 1}
    quorate.config.write_text(yaml.safe_dump(text))
    quorate.up()
    told = quorate.json("schedule", "run-now", "demo")
    assert quorate.json("schedule", "run-now", "demo", exit_code=11)["error"]["kind"] == "busy"
    quorate.kill("daemon")
    assert quorate.json("schedule", "ls", exit_code=6)["error"]["kind"] == "no-daemon"
    quorate.up()
    until(lambda: runs(quorate)[0]["outcome"] != "running", 90, 0.5)
    (only,) = runs(quorate)
    assert (only["outcome"], only["operation"]) == ("verified", told["operation"])
