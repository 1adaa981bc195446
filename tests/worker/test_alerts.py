"""The rules of deploy/prometheus: each fires for what is bad, names series that there are, and has its page."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from deploy.lab.prometheus import make_prometheus
from tests.exporting import EVERYTHING, Site, missing, names, snapshot
from tests.real_etcd import running
from tests.runbooks import ROOT
from worker.cli.app import app

RULES = ROOT / "deploy" / "prometheus"
PAGES = {path.stem: path.read_text() for path in (ROOT / "runbooks" / "alerts").glob("*.md")}
PARTS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
SERIES = re.compile(r"\b(?:quorate|etcd|process)_[a-z_]+")


def alerts(name: str) -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((RULES / f"{name}.yaml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


OURS, ETCDS = alerts("quorate"), alerts("etcd")
ALL = OURS | ETCDS


class TestPages:
    def test_every_alert_has_a_page_and_every_page_an_alert(self) -> None:
        assert set(ALL) == set(PAGES)

    @pytest.mark.parametrize("name", sorted(ALL))
    def test_it_says_what_it_means_and_what_to_do_in_a_few_lines(self, name: str) -> None:
        heading, *lines = [line for line in PAGES[name].splitlines() if line]
        assert heading == f"# {name}"
        assert re.findall(r"^\*\*(\w+)\.\*\* ", PAGES[name], re.MULTILINE) == PARTS
        assert 3 <= len(lines) <= 8

    @pytest.fixture(scope="class")
    @classmethod
    def commands(cls) -> set[str]:
        return set(get_command(app).commands)  # type: ignore[attr-defined]

    @pytest.mark.parametrize("name", sorted(ALL))
    def test_it_names_commands_pages_and_alerts_that_there_are(self, name: str, commands: set[str]) -> None:
        assert set(re.findall(r"`quorate ([a-z]+(?:-[a-z]+)*)", PAGES[name])) <= commands
        assert all((ROOT / path).exists() for path in re.findall(r"`(runbooks/[a-z]+\.md)`", PAGES[name]))
        assert set(re.findall(r"\b((?:Quorate|Etcd)[A-Z]\w+)", PAGES[name])) <= set(ALL)

    def test_what_rings_says_where_its_page_is_and_how_bad_it_is(self) -> None:
        for name, rule in ALL.items():
            assert rule["annotations"]["runbook"] == f"runbooks/alerts/{name}.md"
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["description"]
            assert rule["labels"]["severity"] in {"warning", "critical"}

    def test_no_path_of_a_machine_and_no_address_is_in_them(self) -> None:
        for path in (*RULES.rglob("*.yaml"), *(ROOT / "runbooks" / "alerts").glob("*.md")):
            assert not re.search(r"/(work|root|home)/|https?://", path.read_text()), path


class TestSeries:
    def test_every_rule_of_ours_names_series_that_a_daemon_exports(self, tmp_path: Path) -> None:
        site = Site(tmp_path, EVERYTHING)
        site.keep(snapshot())
        exporter = site.exporter()
        exporter.look()
        exported = names(exporter.text)
        wanted = {name for rule in OURS.values() for name in SERIES.findall(rule["expr"])}
        assert wanted
        assert wanted - exported == set()

    @pytest.mark.server
    def test_every_rule_about_etcd_names_series_that_three_members_export(self, tmp_path: Path) -> None:
        wanted = {name for rule in ETCDS.values() for name in SERIES.findall(rule["expr"])}
        with running("3.6", tmp_path, ("a", "b", "c")) as cluster:
            assert missing(wanted, [f"{member.target.url}/metrics" for member in cluster.members]) == set()
        assert wanted


@pytest.mark.parametrize("name", ["quorate", "etcd"])
class TestRules:
    def test_every_alert_is_tried_with_what_is_bad(self, name: str) -> None:
        tried = yaml.safe_load((RULES / "tests" / f"{name}.yaml").read_text())["tests"]
        assert [each["name"] for each in tried] == list(alerts(name))
        for each in tried:
            assert f'alertname="{each["name"]}"' in str(each["promql_expr_test"][-1]["exp_samples"])

    @pytest.mark.server
    def test_promtool_takes_them_and_each_fires_for_what_is_bad_alone(self, name: str) -> None:
        for words in (("check", "rules", f"{name}.yaml"), ("test", "rules", f"tests/{name}.yaml")):
            done = promtool(*words, folder=RULES)
            assert done.returncode == 0, done.stdout + done.stderr

    @pytest.mark.server
    def test_a_rule_that_never_fires_is_found_for_each(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "tests").mkdir()
        text = (RULES / "tests" / f"{name}.yaml").read_text()
        (tmp_path / "tests" / f"{name}.yaml").write_text(text)
        mute = yaml.safe_load((RULES / f"{name}.yaml").read_text())
        for rule in mute["groups"][0]["rules"]:
            rule["expr"] = "vector(1) > 2"
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(mute))
        done = promtool("test", "rules", f"tests/{name}.yaml", folder=tmp_path)
        assert done.returncode != 0
        said = done.stdout + done.stderr
        assert [each for each in alerts(name) if f'alertname="{each}"' not in said] == []


def promtool(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [make_prometheus(print) / "promtool", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
