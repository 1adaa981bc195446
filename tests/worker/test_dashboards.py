"""The dashboards of deploy/grafana: every query is one, and names series that a daemon or etcd exports."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from activities.adapters.directory import DirectoryStore
from deploy.lab.process import wait
from quorate.backups.marks import Kind, Mark, put
from tests.exporting import AT, DRILLED, EVERYTHING, Site, missing, names, snapshot
from tests.real_etcd import running
from tests.real_prometheus import scraping
from tests.runbooks import ROOT
from tests.worker.test_alerts import SERIES, promtool
from worker.cli.options import new_id
from worker.metrics import served

BOARDS = {path.stem: json.loads(path.read_text()) for path in (ROOT / "deploy" / "grafana").glob("*.json")}
NAMES = sorted(BOARDS)


def queries(board: dict[str, Any]) -> Iterator[str]:
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def series(board: dict[str, Any]) -> set[str]:
    variables = (str(each["query"]) for each in board["templating"]["list"])
    return {name for text in (*queries(board), *variables) for name in SERIES.findall(text)}


def test_there_is_one_for_recoverability_and_one_for_etcd() -> None:
    assert NAMES == ["etcd", "recoverability"]


def test_recoverability_names_series_that_a_daemon_exports(tmp_path: Path) -> None:
    site = Site(tmp_path, EVERYTHING)
    site.keep(snapshot())
    site.record(new_id("drill"), DRILLED)
    exporter = site.exporter()
    exporter.look()
    assert series(BOARDS["recoverability"]) - names(exporter.text) == set()


@pytest.mark.server
def test_etcd_names_series_that_three_members_export(tmp_path: Path) -> None:
    with running("3.6", tmp_path, ("a", "b", "c")) as cluster:
        urls = [f"{member.target.url}/metrics" for member in cluster.members]
        assert missing(series(BOARDS["etcd"]), urls) == set()


@pytest.mark.parametrize("name", NAMES)
class TestBoard:
    def test_every_panel_has_a_place_of_its_own_and_asks_something(self, name: str) -> None:
        panels = BOARDS[name]["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert all(panel["title"] and panel["targets"] for panel in panels)
        for one, other in combinations([panel["gridPos"] for panel in panels], 2):
            beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]

    def test_whoever_imports_it_chooses_the_source(self, name: str) -> None:
        assert {panel["datasource"]["uid"] for panel in BOARDS[name]["panels"]} == {"${datasource}"}
        assert "datasource" in {each["name"] for each in BOARDS[name]["templating"]["list"]}

    def test_it_uses_the_variables_that_it_has(self, name: str) -> None:
        known = {each["name"] for each in BOARDS[name]["templating"]["list"]}
        used = set(re.findall(r"\$\{?(\w+)", " ".join(queries(BOARDS[name]))))
        assert used == known - {"datasource"}

    @pytest.mark.server
    def test_every_query_is_one(self, name: str, tmp_path: Path) -> None:
        """promtool takes it as a rule."""
        rules = [
            {"record": f"panel:{number}", "expr": re.sub(r"\$(\w+)", "any", query)}
            for number, query in enumerate(queries(BOARDS[name]))
        ]
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
        done = promtool("check", "rules", "rules.yaml", folder=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


EMPTY = {  # where all is well, or nothing of the kind was done yet
    'sum by (cluster, kind, result) (increase(quorate_runs_total{cluster=~"$cluster"}[1d])) > 0',
    'sum by (cluster, kind) (quorate_run_active{cluster=~"$cluster"}) > 0',
}
SEEN_S = 60


@pytest.mark.server
def test_a_real_prometheus_that_scrapes_both_answers_every_query_and_no_alert_of_ours_begins(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, EVERYTHING)
    now = datetime.now(UTC).replace(microsecond=0)
    for where in ("store", "far"):
        kept = site.keep(snapshot((now - AT).total_seconds()), where)
        store = DirectoryStore(str(tmp_path / where))
        for kind in (Kind.VERIFIED, Kind.RESTORED):
            put(store, Mark(kept.directory, kind, now, "tester", "verify-1"))
    site.record(new_id("prune"), {"outcome": "pruned"})
    site.record(new_id("drill"), DRILLED)
    exporter = site.exporter()
    exporter.look()
    rules = [ROOT / "deploy" / "prometheus" / f"{name}.yaml" for name in ("quorate", "etcd")]
    with (
        running("3.6", tmp_path / "etcd", ("a", "b", "c")) as cluster,
        served(exporter.eyes.board, "127.0.0.1", 0) as port,
    ):
        jobs = {
            "quorate": [f"127.0.0.1:{port}"],
            "etcd": [member.target.url.removeprefix("http://") for member in cluster.members],
        }
        with scraping(tmp_path, jobs, rules) as prometheus:
            asked = [query for name in NAMES for query in queries(BOARDS[name]) if query not in EMPTY]

            def silent() -> list[str]:
                return [each for each in asked if not prometheus.ask(re.sub(r"\$(\w+)", ".*", each))]

            wait(lambda: not silent(), SEEN_S)
            assert silent() == []

            def ours() -> set[str]:
                return {name for name in prometheus.alerts() if name.startswith("Quorate")}

            wait(lambda: not ours(), SEEN_S)  # rules that were judged before the first scrape are judged again
            assert ours() == set()
