"""`quorate report` on records that lie in a state directory, without a daemon, a store that answers or a network."""

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from activities.adapters.sqlite import SqliteTicks
from quorate.ids import begun, named
from quorate.measure import Verdict
from quorate.members.revision_clock import Tick
from quorate.reports.told import DRILL
from tests.reports import GOLDEN, KEY, OTHER, RECORDS, drill, file_of, of_drill, trail
from tests.worker.test_cli import Capture, Cli
from worker.__main__ import answer

pytestmark = pytest.mark.slow

RESTORE, BACKUP = (next(name for name in RECORDS if name.startswith(kind)) for kind in ("restore", "backup"))


@pytest.fixture
def cli(tmp_path: Path, capsys: Capture) -> Cli:
    found = Cli(tmp_path, capsys)
    for name in RECORDS:
        shutil.copytree(GOLDEN / name, tmp_path / "state" / "operations" / name)
        (tmp_path / "state" / "operations" / name / "cluster").write_text("demo")
    return found


@pytest.mark.parametrize("form", ["html", "md", "json"])
@pytest.mark.parametrize("name", RECORDS)
def test_every_record_becomes_a_file_that_this_machine_vouches_for(cli: Cli, name: str, form: str) -> None:
    file = str(cli.root / f"report.{form}")
    code, out, err = cli("report", name, "-f", form, "-o", file)
    assert code == 0, err
    assert "sealed by SHA256:" in out
    code, said = cli.json("report", "verify", file)
    assert (code, said["operation"], said["form"], said["vouched"]) == (0, name, form, "own")


def test_without_a_file_it_is_on_standard_output_and_as_good(cli: Cli) -> None:
    code, out, _ = cli("report", BACKUP, "-f", "md")
    assert code == 0 and out.startswith("# Backup of")
    (cli.root / "piped.md").write_text(out)
    assert cli("report", "verify", str(cli.root / "piped.md"))[0] == 0


def test_a_file_that_is_there_already_is_left_alone(cli: Cli) -> None:
    (cli.root / "mine.html").write_text("mine")
    code, _, err = cli("report", BACKUP, "-o", str(cli.root / "mine.html"))
    assert code == 2 and "is there already" in err
    assert (cli.root / "mine.html").read_text() == "mine"


def test_what_nobody_has_a_record_of_is_said_to_have_none(cli: Cli) -> None:
    code, _, err = cli("report", "restore-01M8MTFAYM5RFTMDZ3GRPBQR00")
    assert code == 2 and "there is no record" in err


def test_where_the_store_does_not_have_the_snapshot_the_report_says_so_and_goes_on(cli: Cli) -> None:
    code, out, _ = cli("report", RESTORE, "-f", "json")
    assert code == 0
    document = json.loads(out)["document"]
    assert "there is no cluster 'report'" in document["unproven"] or "not in" in document["unproven"]
    assert [each for each in document["provenance"] if each["label"] == "sha256"]


def test_one_whose_cluster_has_left_the_inventory_still_has_a_report(cli: Cli) -> None:
    """Its plan says which it was."""
    _, out, _ = cli("report", RESTORE, "-f", "json")
    document = json.loads(out)["document"]
    assert document["cluster"] == "report"
    assert document["rto"]["objective_s"] is None and document["rto"]["most_s"] > 0


def test_a_drill_on_record_has_a_report_beside_the_drills_before_it(cli: Cli) -> None:
    for at, verdict in ((1, Verdict.FAILED), (2, Verdict.PASSED)):
        result = replace(drill(verdict, "demo"), operation=named("drill", 1795917600000 + at, at))
        home = cli.root / "state" / "operations" / result.operation
        (home / "audit").mkdir(parents=True)
        (home / "outcome.json").write_bytes(DRILL.dump_json(result))
        (home / "cluster").write_text("demo")
        for name, lines in trail(result).items():
            (home / "audit" / name).write_text("\n".join(lines) + "\n")
    code, out, err = cli("report", result.operation, "-f", "json")
    assert code == 0, err
    document = json.loads(out)["document"]
    assert document["verdict"]["judgement"] == "PASSED"
    assert document["rto"]["most_s"] == result.clock.rto_s
    assert [each["outcome"] for each in document["compared"]] == ["failed"]
    _, said = cli.json("report", "trend", "demo")
    assert [each["passed"] for each in said["trends"] if each["kind"] == "drill"] == [1]


class TestVerify:
    def test_it_needs_no_inventory_only_the_file_and_the_key(
        self, tmp_path: Path, capsys: Capture, monkeypatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("QUORATE_CONFIG", raising=False)
        (tmp_path / "drill.html").write_text(file_of(of_drill(drill()), "html"))
        (tmp_path / "key.pub").write_text(f"{KEY.public_key} somebody@somewhere\n")
        said = subprocess.run(
            ["ssh-keygen", "-lf", "key.pub"], capture_output=True, text=True, check=True
        ).stdout.split()
        for key in ("key.pub", KEY.public_key, said[1]):
            assert answer(["report", "verify", "drill.html", "--key", key]) == 0
        assert answer(["report", "verify", "drill.html"]) == 3
        assert "whose key that is nobody here says" in capsys.readouterr().out

    def test_another_key_than_the_one_given_is_named(self, tmp_path: Path, capsys: Capture) -> None:
        file = tmp_path / "drill.md"
        file.write_text(file_of(of_drill(drill()), "md"))
        assert answer(["report", "verify", str(file), "--key", OTHER.public_key]) == 7
        assert "which is not the key that was given" in capsys.readouterr().err

    def test_a_change_is_corrupt_and_scripts_get_every_field(self, cli: Cli) -> None:
        file = cli.root / "drill.html"
        file.write_text(file_of(of_drill(drill()), "html").replace("PASSED WITH FINDINGS", "PASSED", 1))
        code, said = cli.json("report", "verify", str(file), "--key", KEY.public_key)
        assert (code, said["error"]["kind"]) == (7, "corrupt")
        assert "was changed" in said["error"]["message"]
        assert {"file", "operation", "form", "verdict", "key", "fingerprint", "vouched"} < said.keys()

    def test_a_key_that_the_inventory_trusts_vouches_for_it(self, cli: Cli) -> None:
        file = cli.root / "drill.html"
        file.write_text(file_of(of_drill(drill()), "html"))
        assert cli.json("report", "verify", str(file))[0] == 3
        cli.config.write_text(f'{cli.config.read_text()}    trust: ["{KEY.public_key}"]\n')
        code, said = cli.json("report", "verify", str(file))
        assert (code, said["vouched"]) == (0, "trust")

    def test_verifying_makes_no_key(self, cli: Cli) -> None:
        file = cli.root / "drill.html"
        file.write_text(file_of(of_drill(drill()), "html"))
        cli("report", "verify", str(file))
        assert not (cli.root / "state" / "signing.key").exists()

    @pytest.mark.parametrize("key", ["nothing", "ssh-ed25519 AAAA", "SHA256:"])
    def test_a_key_that_is_none_vouches_for_nothing(self, cli: Cli, key: str) -> None:
        file = cli.root / "drill.html"
        file.write_text(file_of(of_drill(drill()), "html"))
        assert cli("report", "verify", str(file), "--key", key)[0] in {2, 7}

    def test_a_file_that_is_not_there_is_bad_input(self, cli: Cli) -> None:
        assert cli("report", "verify", str(cli.root / "none.html"))[0] == 2


class TestTrend:
    def test_everything_of_the_cluster_is_in_it_with_the_recovery_time_out_of_the_trail(self, cli: Cli) -> None:
        code, said = cli.json("report", "trend", "demo")
        assert code == 0
        found = {each["kind"]: each for each in said["trends"]}
        assert set(found) == {"restore", "backup", "prove"}
        assert found["restore"]["operations"][0]["rto_s"] == found["restore"]["median_rto_s"] > 0
        assert found["backup"]["median_rto_s"] is None

    def test_what_a_restore_gave_up_is_in_it_by_the_revision_clock(self, cli: Cli) -> None:
        """By the age of the snapshot alone, then with a look that saw its revision ten seconds before."""

        def lost() -> tuple[float, float]:
            _, said = cli.json("report", "trend", "demo")
            (restore,) = next(each["operations"] for each in said["trends"] if each["kind"] == "restore")
            return restore["rpo_least_s"], restore["rpo_most_s"]

        plan = json.loads((GOLDEN / RESTORE / "plan.json").read_text())["chosen"]["snapshot"]
        age = begun(RESTORE) - datetime.fromisoformat(plan["created_at"]).timestamp()
        assert lost() == (0.0, pytest.approx(age, abs=0.01))
        at = begun(RESTORE) - 10
        ticks = SqliteTicks(cli.root / "state" / "clock.db")
        ticks.add("demo", (Tick(at, at + 0.1, plan["cluster_id"], plan["revision"], led=True),))
        assert lost() == (0.0, pytest.approx(10.0, abs=0.01))

    def test_people_get_a_table(self, cli: Cli) -> None:
        code, out, _ = cli("report", "trend", "demo")
        assert code == 0
        assert "restore: 1 of 1 passed" in out and RESTORE in out and "median of those that passed" in out

    def test_of_a_cluster_without_a_record_it_says_so(self, cli: Cli) -> None:
        shutil.rmtree(cli.root / "state" / "operations")
        assert "nothing of demo is on record" in cli("report", "trend", "demo")[1]

    def test_a_cluster_that_is_none_is_bad_input(self, cli: Cli) -> None:
        assert cli("report", "trend", "nowhere")[0] == 2


def test_help_names_what_there_is(cli: Cli) -> None:
    code, out, _ = cli("report", "--help")
    assert code == 0
    for word in ("verify", "trend", "OPERATION [-f html|json|md] [-o FILE]"):
        assert word in out
