"""The command line without a daemon: every foreseeable error has its exit code, and none a traceback."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from activities.adapters.directory import DirectoryStore
from activities.adapters.sqlite import SqliteTicks
from quorate.audit import GENESIS, canonical, chained
from quorate.backups.catalogue import MANIFEST, Contents, Live, Manifest, PagesSeen
from quorate.backups.marks import Kind, Mark, put
from quorate.errors import NoDaemon
from quorate.freeze import NOTHING
from quorate.ids import ULID
from quorate.members.revision_clock import Tick
from quorate.records import plan_text
from quorate.restoring.gates import IDS
from tests.factory import INVENTORY, SNAPSHOT_BYTES, plan, replacing
from tests.manifests import AT, manifest
from worker.__main__ import answer
from worker.cli.looking import foremost
from worker.cli.options import new_id
from worker.cli.plan import FIELDS as PLAN_FIELDS
from worker.cli.replace_member import PLAN_FIELDS as REPLACE_PLAN_FIELDS
from worker.cli.results import BACKUP_FIELDS, PROVE_FIELDS, REPLACE_FIELDS, RESTORE_FIELDS
from worker.cli.schedule import HISTORY_FIELDS, RUN_FIELDS, SWITCH_FIELDS
from worker.operations import Found

pytestmark = pytest.mark.slow

Capture = pytest.CaptureFixture[str]


class Cli:
    """`quorate --config FILE …` in this process."""

    def __init__(self, root: Path, capture: Capture) -> None:
        self.root, self.capture = root, capture
        self.config = root / "quorate.yaml"
        self.config.write_text(INVENTORY.format(state=root / "state", store=root / "store"))
        (root / "store").mkdir()
        (root / "state").mkdir()

    def __call__(self, *words: str) -> tuple[int, str, str]:
        code = answer(["--config", str(self.config), *words])
        said = self.capture.readouterr()
        assert "Traceback" not in said.out + said.err
        assert "internal error" not in said.out + said.err
        return code, said.out, said.err

    def json(self, *words: str) -> tuple[int, dict[str, Any]]:
        code, out, _ = self(*words, "-o", "json")
        data = json.loads(out)
        assert isinstance(data, dict)
        return code, data

    def keep_snapshot(self, kept: Manifest | None = None) -> str:
        kept = kept or manifest()
        home = self.root / "store" / kept.directory
        home.mkdir(parents=True)
        (home / MANIFEST).write_bytes(kept.encode())
        (self.root / "store" / kept.key).write_bytes(SNAPSHOT_BYTES)
        return kept.id

    def with_sandbox(self) -> "Cli":
        more = "    sandbox: {host: 127.0.0.9}\n    objectives: {rto: 15m, rpo: 1h, restore_proof: 2d}\n"
        self.config.write_text(self.config.read_text() + more)
        return self

    def keep_trail(self, operation: str, *records: dict[str, Any]) -> Path:
        path = self.root / "state" / "operations" / operation / "audit" / "one.jsonl"
        path.parent.mkdir(parents=True)
        last, lines = GENESIS, []
        for seq, record in enumerate(records):
            linked = chained({"time": f"2026-11-21T10:45:0{seq}.000+00:00", "seq": seq, **record}, last)
            lines.append(canonical(linked))
            last = linked["hash"]
        path.write_text("\n".join(lines) + "\n")
        return path


@pytest.fixture
def cli(tmp_path: Path, capsys: Capture) -> Cli:
    return Cli(tmp_path, capsys)


TRAIL = (
    {"event": "begin", "chain": "one", "follows": {}},
    {"event": "intent", "place": "a", "step": "fence", "argv": ["systemctl", "stop", "etcd"], "actor": "kim"},
    {"event": "outcome", "of": 1, "exit": 0, "duration_s": 1.25, "tail": ""},
)


class TestUsage:
    @pytest.mark.parametrize(
        "words",
        [
            ("nosuch",),
            ("inspect",),
            ("inspect", "demo", "--nosuch"),
            ("inspect", "other"),
            ("backup", "other"),
            ("restore", "demo", "--confirm", "other"),
            ("restore", "demo", "--confirm", "demo", "--wait-timeout", "soon"),
            ("restore", "demo", "--confirm", "demo", "--break-glass", "--reason", "nobody is awake"),
            ("restore", "demo", "--confirm", "demo", "--break-glass", "--incident", "INC-7"),
            ("restore", "demo", "--confirm", "demo", "--incident", "INC-7"),
            ("replace-member", "demo", "--confirm", "demo"),
            ("replace-member", "demo", "a", "--odd-one-out", "--confirm", "demo"),
            ("replace-member", "demo", "x", "--confirm", "demo"),
            ("replace-member", "demo", "a", "--confirm", "other"),
            ("replace-member", "demo", "a", "--confirm", "demo", "--override-gate", "member-healthy"),
            (
                "replace-member",
                "demo",
                "a",
                "--confirm",
                "demo",
                "--override-gate",
                "quorum-healthy",
                "--reason",
                "x",
            ),
            ("plan", "replace-member", "demo"),
            ("plan", "replace-member", "demo", "--odd-one-out"),
            ("approve", "restore-1", "--digest", "0" * 64, "--key", "/id", "--signature", "/sig"),
            ("approve", "restore-1", "--digest", "0" * 64, "--key", "/id", "--print-message"),
            ("plan", "restore", "demo", "--snapshot", "demo/nosuch"),
            ("plan", "restore", "demo", "--override-gate", "lineage"),
            ("snapshots", "show", "demo/nosuch"),
            ("snapshots", "show", "nosuch"),
            ("snapshots", "ls", "other"),
            ("audit", "show", "restore-1"),
            ("audit", "verify", "../../etc"),
            ("operations", "show", ".."),
            ("doctor", "other"),
            ("schedule", "ls", "other"),
            ("schedule", "pause", "demo"),
            ("schedule", "pause", "demo", "--reason", " "),
            ("schedule", "pause", "demo", "--reason", "CHG-7"),  # nothing is scheduled
            ("schedule", "run-now", "demo"),
            ("schedule", "history", "demo", "--limit", "0"),
        ],
    )
    def test_what_makes_no_sense_is_exit_2_with_a_sentence(self, cli: Cli, words: tuple[str, ...]) -> None:
        code, out, err = cli(*words)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")

    def test_a_script_gets_one_object_even_when_its_words_are_wrong(self, cli: Cli) -> None:
        code, said = cli.json("nosuch")
        assert (code, said["error"]["kind"]) == (2, "bad-input")

    def test_a_config_that_is_not_there_is_exit_2(self, capsys: Capture) -> None:
        assert answer(["--config", "/nosuch/quorate.yaml", "inspect", "demo"]) == 2
        assert "/nosuch/quorate.yaml" in capsys.readouterr().err

    def test_every_mistake_of_the_config_is_told_by_any_command(self, cli: Cli) -> None:
        cli.config.write_text(cli.config.read_text().replace("here}", "there}") + "colour: red\n")
        for words in (("config", "validate"), ("inspect", "demo"), ("backup", "demo")):
            code, _, err = cli(*words)
            assert (code, err.count(f"{cli.config}:")) == (2, 2)

    def test_output_before_the_command_is_refused_and_not_ignored(self, cli: Cli) -> None:
        code, out, _ = cli("-o", "json", "inspect", "demo")
        assert (code, "quorate inspect … -o json" in json.loads(out)["error"]["message"]) == (2, True)

    def test_the_next_command_names_the_config_that_was_given(self, cli: Cli) -> None:
        code, said = cli.json("backup", "demo")
        assert (code, said["error"]["next"]) == (6, f"quorate --config {cli.config} up --detach")


class TestWithoutADaemon:
    def test_a_backup_names_how_to_start_one(self, cli: Cli) -> None:
        code, said = cli.json("backup", "demo")
        assert (code, said["error"]["kind"]) == (6, "no-daemon")
        assert set(BACKUP_FIELDS) < set(said)

    @pytest.mark.parametrize(
        ("words", "fields"),
        [
            (("ls",), ("schedules",)),
            (("run-now", "demo"), RUN_FIELDS),
            (("pause", "demo", "--reason", "CHG-7"), SWITCH_FIELDS),
            (("resume", "demo"), SWITCH_FIELDS),
            (("history", "demo"), HISTORY_FIELDS),
        ],
    )
    def test_so_does_whatever_is_asked_of_a_schedule_and_nothing_is_on_record(
        self, cli: Cli, words: tuple[str, ...], fields: tuple[str, ...]
    ) -> None:
        cli.config.write_text(cli.config.read_text().replace("{store: here}", "{store: here, schedule: on}"))
        code, said = cli.json("schedule", *words)
        assert (code, said["error"]["kind"]) == (6, "no-daemon")
        assert said["error"]["next"] == f"quorate --config {cli.config} up --detach"
        assert set(fields) < set(said)
        assert not (cli.root / "state" / "operations").exists()

    @pytest.mark.parametrize("verb", ["retry", "abort", "cancel", "watch"])
    def test_what_steers_an_operation_does_too(self, cli: Cli, verb: str) -> None:
        code, _, err = cli(verb, "restore-1")
        assert (code, "up --detach" in err) == (6, True)

    def test_inspect_says_who_is_gone_in_a_finding(self, cli: Cli) -> None:
        code, said = cli.json("inspect", "demo")
        assert (code, said["state"], said["quorum"]["holds"]) == (3, "FAIL", False)
        assert [member["node"]["reachable"] for member in said["members"]] == [False] * 3
        assert all(finding["evidence"] and finding["next"] for finding in said["findings"])

    def test_what_would_be_lost_now_is_told_between_two_looks_of_the_clock(self, cli: Cli) -> None:
        cli.keep_snapshot()
        assert cli.json("inspect", "demo")[1]["rpo_now"]["least_s"] == 0.0
        since, ticks = AT.timestamp(), SqliteTicks(cli.root / "state" / "clock.db")
        ticks.add("demo", tuple(Tick(since + at, since + at, "c1", at, led=True) for at in (41, 42, 7242)))
        assert cli.json("inspect", "demo")[1]["rpo_now"]["least_s"] == 7200.0
        _, out, _ = cli("inspect", "demo")
        assert "a restore now loses 2 h 0 min to " in out
        _, out, _ = cli()
        assert "RPO NOW" in out
        assert " 2 h 0 min to " in out

    def test_inspect_is_plain_text_where_there_is_no_terminal(self, cli: Cli) -> None:
        code, out, err = cli("inspect", "demo")
        assert (code, err, "\x1b" in out) == (3, "", False)
        assert "majority-unreachable" in out

    def test_inspect_is_watched_until_an_interrupt_and_ends_as_the_last_look_did(self, cli: Cli) -> None:
        argv = [sys.executable, "-m", "worker", "--config", str(cli.config), "inspect", "demo", "--watch", "1"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout
            read = []
            while sum(line.startswith("cluster id ") for line in read) < 2:
                read.append(watching.stdout.readline())
                assert read[-1], "it ended before the second look"
            watching.send_signal(signal.SIGINT)
            assert watching.wait(60) == 3
        assert sum(line == "-" * 40 + "\n" for line in read) == 1
        assert not any("\x1b" in line for line in read)

    @pytest.mark.parametrize("words", [("demo", "5"), ("demo", "0.2", "--watch"), ("demo", "often", "--watch")])
    def test_how_often_to_look_is_said_with_watch_and_not_more_than_once_a_second(
        self, cli: Cli, words: tuple[str, ...]
    ) -> None:
        code, out, err = cli("inspect", *words)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")

    def test_doctor_tells_a_ci_server_one_test_case_a_check(self, cli: Cli) -> None:
        code, said = cli.json("doctor", "demo")
        again, out, _ = cli("doctor", "demo", "-o", "junit")
        assert code == again
        root = ET.fromstring(out)
        cases = root.findall("testsuite/testcase")
        checks = said["checks"]
        assert [case.get("name") for case in cases] == [each["about"] for each in checks]
        assert [case.get("classname") for case in cases] == [f"doctor.{each['id']}" for each in checks]
        failures = [case.find("failure") for case in cases]
        assert [each is None for each in failures] == [each["ok"] for each in checks]
        wrong = [each for each in checks if not each["ok"]]
        assert wrong
        assert root.get("failures") == str(len(wrong))
        assert [each.get("type") == "unreachable" for each in failures if each is not None] == [
            each["unreachable"] for each in wrong
        ]
        assert [each.text or "" for each in failures if each is not None] == [
            f"next: {each['next']}" if each["next"] else "" for each in wrong
        ]

    def test_quorate_alone_shows_every_cluster_and_what_to_do(self, cli: Cli) -> None:
        code, out, _ = cli()
        assert code == 3
        assert "up --detach" in out
        code, said = cli.json()
        assert (code, said["daemon"], [each["cluster"] for each in said["clusters"]]) == (3, False, ["demo"])

    def test_doctor_tells_what_does_not_answer_from_what_is_wrong(self, cli: Cli) -> None:
        code, said = cli.json("doctor", "demo")
        failed = {check["id"] for check in said["checks"] if not check["ok"]}
        assert (code, said["ok"]) == (6, False)
        assert {"ssh", "etcd"} <= failed
        assert "store" not in failed

    def test_snapshots_are_read_from_the_store(self, cli: Cli) -> None:
        assert cli("snapshots", "ls")[:2] == (0, "there are no snapshots\n")
        kept = cli.keep_snapshot()
        code, said = cli.json("snapshots", "ls", "demo")
        assert (code, [each["snapshot"] for each in said["snapshots"]]) == (0, [kept])
        assert cli.json("snapshots", "show", kept)[1]["revision"] == 41
        assert kept in cli("snapshots", "show", kept)[1]

    def test_people_are_shown_the_newest_hundred_and_how_many_there_are_before_them(self, cli: Cli) -> None:
        kept = [cli.keep_snapshot(manifest(revision=41 + each)) for each in range(103)]
        code, out, _ = cli("snapshots", "ls")
        shown = [line.split()[0] for line in out.splitlines() if line.startswith("demo/")]
        assert (code, shown) == (0, kept[:2:-1])
        assert "demo: 3 older ones; `--all` shows them" in out
        assert kept[0] in cli("snapshots", "ls", "--all")[1]
        assert len(cli.json("snapshots", "ls")[1]["snapshots"]) == 103

    def test_what_a_snapshot_holds_is_shown(self, cli: Cli) -> None:
        kept = manifest().model_copy(
            update={
                "content": Contents(digest="4" * 64, records=31, prefixes={"": 1, "/registry/pods": 30}),
                "pages": PagesSeen(used=4, free=2, torn=1),
                "live": {"": Live(keys=1, leased=0), "/registry/pods": Live(keys=10, leased=2)},
            }
        )
        cli.keep_snapshot(kept)
        lines = {tuple(re.split(r"  +", line.strip())) for line in cli("snapshots", "show", kept.id)[1].splitlines()}
        assert {
            ("live in no directory", "1"),
            ("live /registry/pods", "10, of them leased 2"),
            ("records /registry/pods", "30"),
            ("records in all", "31"),
            ("content", "4" * 64),
            ("pages", "4 in use, 2 free, of them torn 1"),
        } <= lines
        assert cli.json("snapshots", "show", kept.id)[1]["pages"] == {"used": 4, "free": 2, "torn": 1}

    def test_a_manifest_that_is_not_believed_is_a_finding(self, cli: Cli) -> None:
        cli.keep_snapshot()
        path = cli.root / "store" / manifest().directory / MANIFEST
        path.write_bytes(path.read_bytes().replace(b"41", b"42"))
        code, out, _ = cli("snapshots", "ls")
        assert (code, "not believed" in out) == (3, True)

    def test_what_is_protected_says_so_and_no_retention_removes_it(self, cli: Cli) -> None:
        kept = cli.keep_snapshot()
        code, _, err = cli("snapshots", "protect", kept)
        assert (code, "--reason" in err) == (2, True)
        code, said = cli.json("snapshots", "protect", kept, "--reason", "before the upgrade", "--as", "ada")
        assert (code, said["protected"], said["error"]) == (0, True, None)
        assert cli.json("snapshots", "ls")[1]["snapshots"][0]["protected"] is True
        assert "protected" in cli("snapshots", "ls")[1]
        reasons = cli.json("snapshots", "prune", "demo")[1]["backups"][0]["reasons"]
        assert "it is protected" in reasons
        assert cli.json("audit", "show", said["operation"])[0] == 0
        marks = [path.read_text() for path in (cli.root / "store").rglob("marks/*")]
        assert ["before the upgrade" in mark and "ada" in mark for mark in marks] == [True]

    def test_what_was_protected_may_be_let_go(self, cli: Cli) -> None:
        kept = cli.keep_snapshot()
        cli("snapshots", "protect", kept, "--reason", "x")
        mark = next((cli.root / "store").rglob("marks/*"))
        mark.rename(mark.with_name("20261121T104500Z-protected"))  # an earlier second than what follows
        assert cli.json("snapshots", "unprotect", kept, "--reason", "y")[1]["protected"] is False

    def test_a_prune_without_a_confirmation_only_shows_what_it_would_do(self, cli: Cli) -> None:
        kept = cli.keep_snapshot()
        cli.config.write_text(cli.config.read_text().replace("backup: {", "backup: {retention: {last: 1}, "))
        code, said = cli.json("snapshots", "prune", "demo", "--dry-run")
        assert (code, [row["remove"] for row in said["backups"]], said["removed"]) == (0, [False], None)
        code, out, _ = cli("snapshots", "prune", "demo")
        assert (code, kept in out, "last 1 of 1" in out) == (0, True, True)
        assert cli("snapshots", "prune", "demo", "--confirm", "other")[0] == 2
        assert cli("snapshots", "prune", "demo", "--confirm", "demo", "--dry-run")[0] == 2
        code, said = cli.json("snapshots", "prune", "demo", "--confirm", "demo")
        assert (code, said["error"]["kind"]) == (6, "no-daemon")

    def test_a_snapshot_that_is_not_sound_is_quarantined_and_latest_passes_over_it(self, cli: Cli) -> None:
        kept = cli.keep_snapshot()
        path = cli.root / "store" / manifest().key
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        code, said = cli.json("snapshots", "verify", kept)
        assert (code, said["ok"], "is quarantined" in said["error"]["message"]) == (7, False, True)
        code, out, _ = cli("snapshots", "ls")
        assert (code, "quarantined" in out) == (3, True)
        assert cli("snapshots", "show", "demo/latest")[0] == 2

    def test_how_far_a_snapshot_is_proved_is_told_beside_when(self, cli: Cli) -> None:
        kept = cli.keep_snapshot()
        assert "read back" in cli("snapshots", "ls")[1]
        assert "never of 2 d 0 h" in " ".join(cli.with_sandbox()()[1].split())
        mark = Mark(manifest().directory, Kind.RESTORED, datetime.now(UTC) - timedelta(hours=3), "ada", "prove-1")
        put(DirectoryStore(cli.root / "store"), mark)
        for words in (("snapshots", "ls"), ("snapshots", "show", kept)):
            assert "restored 3 h 0 min ago" in cli(*words)[1]
        (told,) = cli.json()[1]["clusters"]
        assert told["restore_proof"]["age_s"] // 60 == 180
        assert told["restore_proof"]["objective_s"] == 2 * 86400

    def test_the_host_key_of_a_sandbox_is_pinned_as_those_of_the_nodes_are(self, cli: Cli) -> None:
        code, said = cli.with_sandbox().json("hosts", "ls", "demo")
        assert (code, [each["host"] for each in said["hosts"]][-1]) == (6, "127.0.0.9")
        refused = cli("hosts", "trust", "sandbox", "--fingerprint", f"SHA256:{'A' * 43}")
        assert (refused[0], "127.0.0.9" in refused[2]) == (6, True)

    def test_a_restore_needs_a_sandbox_and_a_daemon(self, cli: Cli) -> None:
        kept = cli.keep_snapshot()
        for what in (kept, "demo"):
            code, said = cli.json("snapshots", "verify", what, "--restore")
            assert (code, "demo has no sandbox" in said["error"]["message"]) == (2, True)
        cli.with_sandbox()
        for what in (kept, "demo"):
            code, said = cli.json("snapshots", "verify", what, "--restore")
            assert (code, said["error"]["kind"]) == (6, "no-daemon")
            assert set(PROVE_FIELDS) < set(said)

    def test_all_of_a_cluster_is_verified_by_a_daemon(self, cli: Cli) -> None:
        code, said = cli.json("snapshots", "verify", "demo")
        assert (code, said["error"]["kind"]) == (6, "no-daemon")

    def test_a_copy_is_looked_at_by_the_name_of_its_store(self, cli: Cli) -> None:
        kept = cli.keep_snapshot()
        (cli.root / "store").rename(cli.root / "second")
        text = cli.config.read_text().replace("backup: {store: here}", "backup: {store: here, copies: [second]}")
        cli.config.write_text(text.replace("stores:\n", f"stores:\n  second: {{directory: {cli.root}/second}}\n"))
        assert cli.json("snapshots", "ls", "demo")[1]["snapshots"] == []
        assert cli.json("snapshots", "ls", "demo", "--store", "second")[1]["snapshots"][0]["snapshot"] == kept
        code, said = cli.json("plan", "restore", "demo", "--store", "second")
        assert (code, said["snapshot"]) == (4, kept)
        assert cli.json("snapshots", "verify", kept, "--store", "second")[0] == 7  # what is kept here is not sound
        code, _, err = cli("snapshots", "ls", "demo", "--store", "third")
        assert (code, "its stores: here, second" in err) == (2, True)

    def test_up_says_why_the_daemon_did_not_come_up(self, cli: Cli) -> None:
        cli.config.write_text(cli.config.read_text() + "temporal: {binary: /nosuch/temporal}\n")
        code, _, err = cli("up", "--detach")
        assert (code, "/nosuch/temporal" in err) == (6, True)

    def test_down_is_right_when_nothing_runs(self, cli: Cli) -> None:
        assert cli.json("down")[0] == 0

    def test_operations_are_listed_from_their_records(self, cli: Cli) -> None:
        cli.keep_trail("restore-1", *TRAIL)
        code, said = cli.json("operations", "ls")
        assert (code, said["operations"][0]["operation"], said["daemon"]) == (0, "restore-1", False)
        assert "restore-1" in cli("operations", "show", "restore-1")[1]

    def test_who_has_to_approve_an_operation_reads_all_of_its_plan(self, cli: Cli) -> None:
        cli.keep_trail("restore-1", *TRAIL)
        whole = plan("restore-1", people=2)
        (cli.root / "state" / "operations" / "restore-1" / "plan.json").write_text(plan_text(whole))
        _, said, _ = cli("operations", "show", "restore-1")
        for part in (whole.chosen.digest(), "what happens on each host", "no way back from here", "and anybody else"):
            assert part in said

    def test_of_a_replacement_that_is_the_member_and_the_quorum(self, cli: Cli) -> None:
        cli.keep_trail("replace-member-1", *TRAIL)
        whole = replace(replacing(), quorum=("now: 2 of 3 with a vote are up",))
        (cli.root / "state" / "operations" / "replace-member-1" / "plan.json").write_text(plan_text(whole))
        _, said, _ = cli("operations", "show", "replace-member-1")
        for part in (
            whole.chosen.digest(),
            "REPLACE MEMBER a of demo",
            "2 of 3 with a vote",
            "no way back from here",
        ):
            assert part in said

    def test_of_a_freeze_that_awaits_an_approval_what_stops_is_told(self, cli: Cli) -> None:
        cli.keep_trail("freeze-1", *TRAIL)
        whole = plan("freeze-1", people=2)
        frozen = replace(whole, chosen=replace(whole.chosen, runbook="freeze", snapshot=NOTHING))
        (cli.root / "state" / "operations" / "freeze-1" / "plan.json").write_text(plan_text(frozen))
        assert "FREEZE demo" in cli("operations", "show", "freeze-1")[1]

    def test_an_operation_that_restores_nothing_is_told_as_what_it_is(self, cli: Cli) -> None:
        cli.keep_trail("freeze-1", *TRAIL)
        whole = plan("freeze-1")
        frozen = replace(whole, chosen=replace(whole.chosen, runbook="freeze", snapshot=NOTHING))
        here = cli.root / "state" / "operations" / "freeze-1"
        (here / "plan.json").write_text(plan_text(frozen))
        (here / "outcome.json").write_text('{"outcome": "frozen"}')
        assert "\nfreeze of demo, digest" in cli("operations", "show", "freeze-1")[1]


class TestReplaceMember:
    def test_a_refusal_and_a_plan_have_every_field_of_the_contract(self, cli: Cli) -> None:
        code, said = cli.json("replace-member", "demo", "a", "--confirm", "demo")
        assert (code, said["outcome"], said["member"], said["steps"]) == (4, "refused", "a", [])
        assert set(REPLACE_FIELDS) < set(said)
        assert {each["id"] for each in said["refusals"]} >= {"no-quorum", "node-unreachable"}
        code, said = cli.json("plan", "replace-member", "demo", "a")
        assert code == 4
        assert set(REPLACE_PLAN_FIELDS) <= set(said)

    def test_a_plan_for_people_shows_the_quorum_step_by_step(self, cli: Cli) -> None:
        code, out, _ = cli("plan", "replace-member", "demo", "a")
        assert code == 4
        assert "the quorum:\n  now: " in out
        assert "once it is removed: " in out
        assert "REFUSED no-quorum" in out


class TestRestore:
    def test_without_a_terminal_it_names_the_flag(self, cli: Cli) -> None:
        code, said = cli.json("restore", "demo")
        assert (code, "--confirm demo" in said["error"]["message"]) == (2, True)

    def test_a_refusal_has_every_field_of_the_contract(self, cli: Cli) -> None:
        kept = cli.keep_snapshot()
        code, said = cli.json("restore", "demo", "--confirm", "demo")
        assert (code, said["outcome"], said["snapshot"], said["revision"]) == (4, "refused", kept, 41)
        assert set(RESTORE_FIELDS) < set(said)
        assert (said["error"]["kind"], said["steps"]) == ("refused", [])
        assert said["error"]["message"].startswith("majority-unreachable: ")

    def test_a_plan_has_every_field_of_the_contract_and_the_same_digest_twice(self, cli: Cli) -> None:
        cli.keep_snapshot()
        (code, first), (_, second) = cli.json("plan", "restore", "demo"), cli.json("plan", "restore", "demo")
        assert (code, first["digest"]) == (4, second["digest"])
        assert set(PLAN_FIELDS) <= set(first)
        assert [refusal["id"] for refusal in first["refusals"]] == ["majority-unreachable"]

    def test_a_plan_for_people_says_what_is_lost_and_why_it_is_refused(self, cli: Cli) -> None:
        cli.keep_snapshot()
        code, out, _ = cli("plan", "restore", "demo")
        assert code == 4
        assert "what will be lost:\n  every write after 2026-11-21 10:45:00Z" in out
        assert "it cannot be overridden: majority-unreachable" in out

    def test_a_gate_that_does_not_exist_is_answered_with_those_that_do(self, cli: Cli) -> None:
        code, said = cli.json("plan", "restore", "demo", "--override-gate", "nosuch", "--reason", "x")
        assert (code, all(gate in said["error"]["message"] for gate in IDS)) == (2, True)

    def test_an_override_needs_a_reason(self, cli: Cli) -> None:
        code, _, err = cli("plan", "restore", "demo", "--override-gate", "lineage", "--reason", " ")
        assert (code, "--reason" in err) == (2, True)


class TestAudit:
    def test_a_whole_trail_is_verified_and_shown(self, cli: Cli) -> None:
        cli.keep_trail("restore-1", *TRAIL)
        code, said = cli.json("audit", "verify", "restore-1")
        assert (code, said["records"], said["sealed"], said["broken"]) == (0, 3, False, [])
        out = cli("audit", "show", "restore-1")[1]
        assert [word for word in ("kim", "fence", "1.2 s", "systemctl stop etcd") if word not in out] == []

    def test_a_changed_record_is_exit_7_and_named(self, cli: Cli) -> None:
        path = cli.keep_trail("restore-1", *TRAIL)
        path.write_text(path.read_text().replace("kim", "lee"))
        code, said = cli.json("audit", "verify", "restore-1")
        assert (code, said["error"]["kind"]) == (7, "corrupt")
        assert "one.jsonl line 2" in said["broken"][0]

    def test_a_trail_that_is_not_here_is_read_from_the_store(self, cli: Cli) -> None:
        path = cli.keep_trail("restore-1", *TRAIL)
        there = cli.root / "store" / "demo" / "operations" / "restore-1" / "audit"
        there.mkdir(parents=True)
        path.rename(there / path.name)
        path.parent.rmdir()
        path.parent.parent.rmdir()
        code, out, _ = cli("audit", "verify", "restore-1")
        assert (code, "file://" in out) == (0, True)


class TestConfig:
    def test_a_right_one_is_said_to_be_right(self, cli: Cli) -> None:
        assert cli("config", "validate")[0] == 0
        assert cli.json("config", "validate")[1]["clusters"] == ["demo"]

    def test_the_schema_describes_the_file(self, cli: Cli) -> None:
        code, out, _ = cli("config", "schema")
        assert (code, "clusters" in json.loads(out)["properties"]) == (0, True)

    def test_what_is_shown_holds_no_password_within_a_url(self, cli: Cli) -> None:
        cli.config.write_text(
            cli.config.read_text().replace("http://127.0.0.1:11", "http://kim:hunter2@127.0.0.1:11")
        )
        code, out, _ = cli("config", "show")
        assert (code, "hunter2" in out, "***@127.0.0.1:11" in out) == (0, False, True)


def test_help_imports_nothing_heavy() -> None:
    heavy = ("temporalio", "botocore", "grpc", "paramiko", "rich", "pydantic", "yaml", "cryptography")
    program = (
        "import sys; from worker.__main__ import answer; code = answer(['--help']);"
        f" found = [name for name in {heavy} if name in sys.modules];"
        " sys.exit(f'imported {found}' if found else code)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "inspect" in ran.stdout


def test_a_defect_is_one_line_and_a_traceback_only_on_demand(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("worker.settings.load", lambda _: 1 / 0)
    words = ["--config", str(cli.config), "inspect", "demo"]
    assert answer(words) == 1
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("QUORATE_DEBUG", "1")
    assert answer(words) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_operation_id_sorts_by_time_and_is_safe_in_a_path() -> None:
    ids = [new_id("restore") for _ in range(3)]
    assert len({*ids}) == 3
    assert all(set(each.removeprefix("restore-")) <= set(ULID) and len(each) == 34 for each in ids)
    assert ids[0][:15] <= ids[2][:15]


def test_the_program_exits_with_the_code_of_its_error(tmp_path: Path) -> None:
    environment = {**os.environ, "QUORATE_CONFIG": str(tmp_path / "nosuch.yaml")}
    ran = subprocess.run(
        [sys.executable, "-m", "worker", "inspect", "demo"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: ")


def test_what_a_backup_does_is_not_loaded_before_it_has_begun(cli: Cli) -> None:
    """Everybody waits for what is, and nobody for what watches it."""
    words = ["--config", str(cli.config), "backup", "demo"]
    late = "{'quorate.backup', 'quorate.operation', 'quorate.plan'}"
    program = (
        "import sys; from worker.__main__ import answer; code = answer(" + repr(words) + ");"
        f" print(code, 'worker.operations' in sys.modules, {late} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{NoDaemon.exit_code} True set()"


class TestLocalCatalogue:
    def many(self, cli: Cli) -> list[str]:
        return [cli.keep_snapshot(manifest(revision)) for revision in range(41, 41 + 501)]

    def test_thousands_are_shown_as_they_were_compared_and_it_is_said_when(self, cli: Cli) -> None:
        ids = self.many(cli)
        code, out, _ = cli("snapshots", "ls")
        assert (code, "compared with the store" in out) == (0, False)
        (cli.root / "store" / ids[0].replace("demo/", "demo/c1/") / MANIFEST).unlink()
        code, out, _ = cli("snapshots", "ls", "demo", "--all")
        assert (code, out.count("20261121T104500Z")) == (0, 501)
        assert re.search(r"demo: as it was compared with the store \S+ s ago; `--fresh` compares now", out)
        code, out, _ = cli("snapshots", "ls", "--fresh", "--all")
        assert (code, out.count("20261121T104500Z"), "ago; `--fresh`" in out) == (0, 500, False)

    def test_nothing_but_the_settings_is_loaded_for_it(self, cli: Cli) -> None:
        self.many(cli)
        cli("snapshots", "ls")
        words = ["--config", str(cli.config), "snapshots", "ls"]
        heavy = "{'botocore', 'grpc', 'paramiko', 'temporalio', 'worker.wiring'}"
        program = (
            f"import sys; from worker.__main__ import answer; answer({words}); print({heavy} & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "set()"

    def test_the_first_screen_says_how_old_it_is(self, cli: Cli) -> None:
        self.many(cli)
        cli("snapshots", "ls")
        _, out, _ = cli()
        assert re.search(r"demo: backups as they were compared with the store \S+ s ago", out)

    def test_one_that_is_damaged_is_made_anew_and_that_is_said(self, cli: Cli) -> None:
        self.many(cli)
        cli("snapshots", "ls")
        (cli.root / "state" / "catalogue.db").write_bytes(b"no database" * 1000)
        code, out, _ = cli("snapshots", "ls", "--all")
        assert (code, out.count("20261121T104500Z")) == (0, 501)
        assert "is made anew from the store" in out
        assert "made anew" not in cli("snapshots", "ls")[1]

    def test_rebuilding_reads_all_of_it_again(self, cli: Cli) -> None:
        id_ = cli.keep_snapshot()
        cli("snapshots", "ls")
        with sqlite3.connect(cli.root / "state" / "catalogue.db") as database:
            database.execute("UPDATE manifests SET trust = 'of before'")
        code, data = cli.json("snapshots", "ls", "--rebuild")
        assert (code, [each["snapshot"] for each in data["snapshots"]]) == (0, [id_])
        assert list(data["compared_at"]) == ["demo"]
        with sqlite3.connect(cli.root / "state" / "catalogue.db") as database:
            assert database.execute("SELECT trust FROM manifests").fetchall() == [("",)]

    def test_without_a_place_to_remember_it_the_store_is_read(self, cli: Cli) -> None:
        id_ = cli.keep_snapshot()
        (cli.root / "state").rmdir()
        (cli.root / "state").write_text("a file")
        code, out, _ = cli("snapshots", "ls")
        assert (code, id_ in out, "the local catalogue" in out) == (0, True, True)


def test_a_restore_is_named_before_the_backup_that_runs_beside_it() -> None:
    def running(operation: str, cluster: str = "demo") -> Found:
        kind = operation.split("-", maxsplit=1)[0]
        return Found(operation, cluster, kind, "ada", "w", "r", 0.0, "running")

    beside = (running("restore-1"), running("backup-1"), running("prune-1"), running("verify-1", "other"))
    for order in (beside, beside[::-1]):
        assert foremost(order) == {"demo": "restore-1", "other": "verify-1"}
