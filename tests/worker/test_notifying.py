"""Who is told of what failed: once, however often we start, and nobody waits for it."""

import logging
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from activities.adapters.webhooks import HttpWebhooks
from quorate.errors import BadInput, Denied, Failed, QuorateError, Unreachable
from quorate.inventories.reading import parse
from quorate.measure import Verdict
from quorate.notices import TOLD, Notice, of_hold
from quorate.operation import Hold
from quorate.plan import Choice
from tests.exporting import Exporter, Site
from tests.factory import INVENTORY
from tests.hooks import Hook, hooked
from tests.reports import drill
from worker.cli.options import new_id
from worker.notifying import GIVEN_UP_S, Outbox, Switch

SECRET = "T000-B000-hush"


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hooked() as made:
        yield made


def told(root: Path, hook: Hook, form: str = "json", more: str = "") -> Site:
    """A site whose webhook is this one; its address is a secret in a file."""
    (root / "url").write_text(f"{hook.url}/{SECRET}\n")
    (root / "key").write_text("routing-key\n")
    key = f", key: file:{root}/key" if form == "pagerduty" else ""
    webhook = f"{{form: {form}, url: file:{root}/url{key}}}"
    return Site(root, f"notify: {{deadman: file:{root}/url, webhooks: [{webhook}{more}]}}\n")


def send(exporter: Exporter, number: int = 0) -> None:
    exporter.eyes.records()
    exporter.eyes.tell(exporter.eyes.receivers[number])


def again(exporter: Exporter) -> None:
    """Without having waited as long as it would."""
    exporter.eyes.receivers[0].quiet_until = 0.0
    send(exporter)


class TestWhatIsTold:
    @pytest.mark.parametrize("outcome", sorted(TOLD))
    def test_what_somebody_should_know_is(self, tmp_path: Path, hook: Hook, outcome: str) -> None:
        site = told(tmp_path, hook)
        exporter, operation = site.exporter(), new_id("backup")
        site.record(operation, {"outcome": outcome, "findings": ["b was silent", "c was too"], "snapshot": "demo/s"})
        send(exporter)
        ((method, path, said),) = hook.calls
        assert (method, path) == ("POST", f"/{SECRET}")
        assert said["format"] == "quorate/notice/v1"
        assert (said["cluster"], said["kind"], said["outcome"]) == ("demo", "backup", outcome)
        assert (said["operation"], said["why"], said["snapshot"]) == (operation, "b was silent; c was too", "demo/s")
        assert said["severity"] in {"critical", "warning"}

    @pytest.mark.parametrize("verdict", list(Verdict))
    def test_a_drill_is_told_like_a_backup_with_what_it_expected_and_saw(
        self, tmp_path: Path, hook: Hook, verdict: Verdict
    ) -> None:
        site = told(tmp_path, hook)
        exporter, operation, held = site.exporter(), new_id("drill"), drill(verdict)
        site.record(operation, asdict(held))
        send(exporter)
        if verdict is Verdict.PASSED:
            assert hook.calls == []
            return
        (said,) = hook.bodies
        assert (said["kind"], said["outcome"], said["operation"]) == ("drill", verdict, operation)
        assert said["why"] == "; ".join(held.findings)
        assert said["severity"] == ("critical" if verdict is Verdict.FAILED else "warning")

    @pytest.mark.parametrize("outcome", ["verified", "restored", "refused", "frozen"])
    def test_what_went_well_or_was_refused_to_somebody_is_not(self, tmp_path: Path, hook: Hook, outcome: str) -> None:
        site = told(tmp_path, hook)
        exporter = site.exporter()
        site.record(new_id("restore"), {"outcome": outcome})
        send(exporter)
        assert hook.calls == []

    def test_a_hold_is_told_while_it_waits(self, tmp_path: Path, hook: Hook) -> None:
        exporter = told(tmp_path, hook).exporter()
        hold = Hold(2, "start", "b: etcd.service is failed", (Choice.RETRY,), since=time.time())
        exporter.eyes.holds = (of_hold("demo", "restore", "restore-1", hold),)
        send(exporter)
        send(exporter)
        (said,) = hook.bodies
        assert said["title"] == "demo: restore is held and waits for a person"
        assert said["why"] == "step start: b: etcd.service is failed"
        assert said["next"] == "quorate watch restore-1"

    def test_slack_reads_a_text_without_markup_of_ours(self, tmp_path: Path, hook: Hook) -> None:
        site = told(tmp_path, hook, "slack")
        exporter, operation = site.exporter(), new_id("backup")
        site.record(operation, {"outcome": "failed", "error": {"message": "<b> & more"}})
        send(exporter)
        text = f"*demo: backup failed* (critical)\n&lt;b&gt; &amp; more\n`quorate operations show {operation}`"
        assert hook.bodies == [{"text": text}]

    def test_pagerduty_gets_one_incident_an_operation(self, tmp_path: Path, hook: Hook) -> None:
        site = told(tmp_path, hook, "pagerduty")
        exporter, operation = site.exporter(), new_id("restore")
        home = site.record(operation, {"outcome": "held"})
        (home / "outcome-9.json").write_text('{"outcome": "undone"}')
        send(exporter)
        assert [said["payload"]["severity"] for said in hook.bodies] == ["critical", "warning"]
        assert {said["dedup_key"] for said in hook.bodies} == {operation}
        assert {(said["routing_key"], said["event_action"]) for said in hook.bodies} == {("routing-key", "trigger")}


class TestOnce:
    def test_a_restart_neither_forgets_nor_repeats(self, tmp_path: Path, hook: Hook) -> None:
        site = told(tmp_path, hook)
        first, second = new_id("backup"), new_id("backup")
        exporter = site.exporter()
        site.record(first, {"outcome": "failed"})
        send(exporter)
        site.record(second, {"outcome": "failed"})
        send(site.exporter())
        assert [said["operation"] for said in hook.bodies] == [first, second]

    def test_what_was_before_a_receiver_was_named_is_not_told(self, tmp_path: Path, hook: Hook) -> None:
        site = told(tmp_path, hook)
        site.record(new_id("backup"), {"outcome": "failed"})
        send(site.exporter())
        assert hook.calls == []

    def test_each_receiver_is_told_by_itself(self, tmp_path: Path, hook: Hook) -> None:
        site = told(tmp_path, hook, more=f", {{form: slack, url: file:{tmp_path}/url}}")
        exporter = site.exporter()
        site.record(new_id("backup"), {"outcome": "failed"})
        send(exporter)
        send(exporter, 1)
        assert [set(said) == {"text"} for said in hook.bodies] == [False, True]

    def test_a_day_later_nobody_is_told_any_more(self, tmp_path: Path) -> None:
        outbox, now = Outbox(tmp_path / "notices.json"), 10**9
        outbox.waiting("x", (), now)
        notice = Notice("o/1", now + 1, "demo", "o", "backup", "failed")
        assert outbox.waiting("x", (notice,), now + GIVEN_UP_S) == (notice,)
        assert outbox.waiting("x", (notice,), now + GIVEN_UP_S + 2) == ()

    def test_what_is_remembered_does_not_grow_for_ever(self, tmp_path: Path) -> None:
        outbox = Outbox(tmp_path / "notices.json")
        for day in range(100):
            outbox.tell("x", Notice(f"o/{day}", day * 86400.0, "demo", "o", "backup", "failed"), day * 86400.0)
        assert outbox.path.read_text().count("o/") <= 8


class TestTrouble:
    def test_it_is_tried_again_until_somebody_answers(self, tmp_path: Path, hook: Hook) -> None:
        site = told(tmp_path, hook)
        exporter = site.exporter()
        site.record(new_id("backup"), {"outcome": "failed"})
        name = exporter.eyes.receivers[0].name
        hook.status = 503
        with pytest.raises(Unreachable, match=f"webhook {name}: it answered 503"):
            send(exporter)
        assert exporter.figure("quorate_notices_waiting", receiver=name) == 1
        with pytest.raises(Unreachable):
            send(exporter)
        assert len(hook.calls) == 1, "it was not left alone meanwhile"
        hook.status = 200
        again(exporter)
        assert exporter.figure("quorate_notices_waiting", receiver=name) == 0
        assert len(hook.calls) == 2

    def test_it_is_left_alone_for_longer_each_time_but_never_for_long(self, tmp_path: Path, hook: Hook) -> None:
        site = told(tmp_path, hook)
        exporter = site.exporter()
        site.record(new_id("backup"), {"outcome": "failed"})
        hook.status, waits = 500, []
        for _ in range(8):
            with pytest.raises(Unreachable):
                again(exporter)
            waits.append(round(exporter.eyes.receivers[0].quiet_until - time.monotonic()))
        assert waits == [10, 20, 40, 80, 160, 300, 300, 300]

    def test_what_is_refused_keeps_nothing_else_waiting(self, tmp_path: Path, hook: Hook) -> None:
        site = told(tmp_path, hook)
        exporter = site.exporter()
        for _ in range(2):
            site.record(new_id("backup"), {"outcome": "failed"})
        hook.status = 400
        with pytest.raises(Denied):
            send(exporter)
        assert len(hook.calls) == 2

    def test_a_redirect_is_not_followed(self, hook: Hook) -> None:
        hook.status = 302
        with pytest.raises(Denied, match="it answered 302"):
            HttpWebhooks().call("a webhook", hook.url, b"{}")
        assert len(hook.calls) == 1

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:1/{}", "http://[::1/{}", "ftp://host/{}", "{}", "http://host.invalid/{}"]
    )
    def test_no_error_and_no_log_tells_the_address(
        self, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)  # as the daemon's is
        with pytest.raises(QuorateError, match="a webhook") as error:
            HttpWebhooks().call("a webhook", url.format(SECRET), b"{}")
        assert SECRET not in "".join(traceback.format_exception(error.value)) + caplog.text

    def test_the_state_directory_holds_no_address(self, tmp_path: Path, hook: Hook) -> None:
        site = told(tmp_path, hook)
        exporter = site.exporter()
        site.record(new_id("backup"), {"outcome": "failed"})
        send(exporter)
        assert len(hook.calls) == 1
        written = "".join(path.read_text() for path in (tmp_path / "state").rglob("*.json"))
        assert SECRET not in written
        assert SECRET not in exporter.text


class TestDeadMan:
    def test_it_is_called_while_temporal_answers(self, tmp_path: Path, hook: Hook) -> None:
        eyes = told(tmp_path, hook).exporter().eyes
        (ping,) = [look for what, look, _ in eyes.looks if what == "dead man's switch"]
        ping()
        assert hook.calls == [("GET", f"/{SECRET}", None)]
        eyes.answered -= 100.0
        with pytest.raises(Failed, match="has not answered for 100 s"):
            ping()
        assert len(hook.calls) == 1

    def test_one_that_does_not_answer_is_an_error_without_its_address(self, tmp_path: Path, hook: Hook) -> None:
        eyes = told(tmp_path, hook).exporter().eyes
        hook.status = 404
        switch = Switch(f"file:{tmp_path}/url", eyes.wiring.webhooks, eyes.wiring.secrets, lambda: 0.0)
        with pytest.raises(Denied) as error:
            switch.ping()
        assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("notify", "said"),
    [
        ("{webhooks: [{form: slack}]}", "needs url"),
        ("{webhooks: [{form: pagerduty, url: 'file:/u'}]}", "needs key"),
        ("{webhooks: [{form: json, url: 'file:/u', key: 'file:/k'}]}", "no key"),
        ("{deadman: 'https://host/secret'}", "file:/absolute/path"),
    ],
)
def test_an_address_is_a_reference_and_a_form_has_what_it_needs(tmp_path: Path, notify: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse(INVENTORY.format(state=tmp_path, store=tmp_path) + f"notify: {notify}\n", "quorate.yaml")
