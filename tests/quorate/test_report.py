"""Reports: what is in them, what is said not to be known, and that nothing from outside becomes markup."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from quorate.drill import EXIT, Lost
from quorate.gauges import ENDS
from quorate.measure import DEFINITIONS, Check, Resource, Verdict
from quorate.plan import Plan
from quorate.records import adapter
from quorate.reports.achieved import judgement, row
from quorate.reports.controls import HEADINGS
from quorate.reports.markdown import markdown
from quorate.reports.page import page
from quorate.reports.report import REPORT, Deviation, Judgement, Report, encoded
from quorate.reports.reporting import reported
from quorate.reports.style import STYLE
from quorate.reports.told import Told
from quorate.reports.trend import before, trends
from quorate.reports.waterfall import LEFT, WIDTH
from tests.reports import GOLDEN, HOSTILE, MADE, RECORDS, REPORTS, drill, file_of, from_record, of_drill


class Seen(HTMLParser):
    """What a browser would make of it: elements, attributes, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile() -> Report:
    """Everything that can come from outside says the same bad thing."""

    def everywhere(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {name: everywhere(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [everywhere(each, key) for each in value]
        fixed = {"judgement", "who", "format", "surface", "verb"}
        return HOSTILE if isinstance(value, str) and key not in fixed else value

    return REPORT.validate_python(everywhere(json.loads(encoded(of_drill(drill())))))


@pytest.mark.parametrize("name", sorted(REPORTS))
@pytest.mark.parametrize("form", ["html", "md"])
def test_a_report_of_a_recorded_operation_is_as_it_was(name: str, form: str) -> None:
    """Written anew by `python -m tests.reports`; read the difference first."""
    assert file_of(REPORTS[name](), form) == (GOLDEN / f"{name}.{form}").read_text()


def test_restores_and_backups_of_a_real_lab_are_among_the_golden_files() -> None:
    assert {name.partition("-")[0] for name in RECORDS} >= {"restore", "backup"}


class TestPage:
    @pytest.mark.parametrize("name", sorted(REPORTS))
    def test_it_runs_no_script_and_fetches_nothing(self, name: str) -> None:
        text = page(REPORTS[name]())
        seen = Seen(text)
        assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(seen.tags)
        assert not [key for key, _ in seen.attributes if key.startswith("on") or key in {"src", "href", "style"}]
        policy = next(value for key, value in seen.attributes if key == "content" and "default-src" in (value or ""))
        assert policy and policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "@import" not in STYLE and "url(" not in STYLE

    @pytest.mark.parametrize("name", sorted(REPORTS))
    def test_it_opens_with_the_verdict_and_two_numbers(self, name: str) -> None:
        report = REPORTS[name]()
        text = Seen(page(report)).text.split("Identity and scope")[0]
        for word in (report.verdict.judgement.value, "Recovery time (RTO)", "Data lost (RPO)", "objective"):
            assert word in text

    @pytest.mark.parametrize("name", sorted(REPORTS))
    def test_every_part_is_there_and_every_definition_of_the_clock(self, name: str) -> None:
        text = Seen(page(REPORTS[name]())).text
        for said in (*HEADINGS.values(), *DEFINITIONS.values()):
            assert said in text

    def test_what_came_from_outside_is_text_and_nothing_else(self) -> None:
        report = hostile()
        plain, bad = Seen(page(of_drill(drill()))), Seen(page(report))
        assert set(bad.tags) <= set(plain.tags)
        assert {key for key, _ in bad.attributes} <= {key for key, _ in plain.attributes}
        assert "<script" not in page(report) and "<img" not in page(report)
        assert "alert(1)" in bad.text

    def test_what_would_turn_a_line_around_or_hide_in_it_is_shown_by_its_number(self) -> None:
        for rendered in (page(hostile()), markdown(hostile())):
            assert "\u202e" not in rendered
        assert "\\u202e" in page(hostile())

    def test_what_came_from_outside_is_no_markdown_either(self) -> None:
        text = markdown(hostile())
        assert "<script" not in text.replace("\\<", "") and "-->" not in text
        assert text.count("\n# ") + text.startswith("# ") == 1

    def test_a_seal_in_what_came_from_outside_does_not_end_the_seal(self) -> None:
        assert file_of(hostile(), "html").count("</template>") == 1
        assert file_of(hostile(), "md").count("-->") == 1

    def test_states_are_words_and_not_colours(self) -> None:
        text = Seen(page(of_drill(drill(Verdict.FAILED)))).text
        for word in ("FAILED", "PASSED", "NOT KNOWN", "LEFT BEHIND", "NOT JUDGED", "hatched: people", "(people)"):
            assert word in text

    def test_secrets_of_an_argv_stay_masked(self) -> None:
        for form in ("html", "md", "json"):
            assert "hunter2" not in file_of(of_drill(drill()), form)
        assert "--password=***" in page(of_drill(drill()))


class TestFigures:
    def test_an_interval_around_the_objective_cannot_be_told(self) -> None:
        result = drill()
        assert of_drill(result).rpo.met is None
        assert of_drill(replace(result, lost=Lost(1.0, 899.0))).rpo.met is True
        assert of_drill(replace(result, lost=Lost(901.0, 999.0))).rpo.met is False
        assert of_drill(replace(result, lost=Lost())).rpo.known is False

    def test_a_missed_objective_is_a_finding(self) -> None:
        report = of_drill(replace(drill(), rto_objective_s=60.0))
        assert report.rto.met is False
        assert "the RTO objective was missed" in [each.what for each in report.findings]

    def test_without_a_first_write_there_is_no_recovery_time(self) -> None:
        report = of_drill(drill(Verdict.FAILED))
        assert report.rto.known is False
        assert "not measured" in page(report)

    def test_what_failed_is_due_again_after_thirty_days_and_its_owner_is_a_field_to_fill_in(self) -> None:
        report = of_drill(drill(Verdict.FAILED))
        assert report.retest_due == "2026-12-29"
        assert all(not each.owner for each in report.findings)
        assert 'class="blank"' in page(report)

    def test_whose_the_findings_are_and_by_when_is_what_the_inventory_says(self) -> None:
        report = of_drill(drill(), owner="platform", close_within_s=10 * 86400.0)
        assert report.findings
        assert {(each.owner, each.due) for each in report.findings} == {("platform", "2026-12-09")}
        assert 'class="blank"' not in page(report)

    def test_a_finding_is_not_due_later_than_what_failed_is_tried_again(self) -> None:
        report = of_drill(drill(Verdict.FAILED), owner="platform", close_within_s=90 * 86400.0)
        assert {each.due for each in report.findings} == {report.retest_due} == {"2026-12-29"}

    @pytest.mark.parametrize("kind", sorted(ENDS))
    def test_every_way_to_end_has_a_judgement(self, kind: str) -> None:
        ends = {str(end): judgement(str(end), ()) for end in ENDS[kind]}
        assert Judgement.OPEN not in ends.values()
        assert Judgement.PASSED in ends.values()

    @pytest.mark.parametrize("verdict", list(Verdict))
    def test_a_drill_is_judged_as_it_judged_itself(self, verdict: Verdict) -> None:
        passed = {Judgement.PASSED, Judgement.FINDINGS}
        assert (of_drill(drill(verdict)).verdict.judgement in passed) == (EXIT[verdict] in {0, 3})

    @pytest.mark.parametrize(("kind", "end"), [(kind, str(end)) for kind in sorted(ENDS) for end in ENDS[kind]])
    @pytest.mark.parametrize("steps", [{}, {"steps": [], "snapshot": "", "revision": 0}])
    def test_every_way_to_end_has_a_report_also_with_next_to_nothing_on_record(
        self, kind: str, end: str, steps: dict[str, object]
    ) -> None:
        outcome = {"operation": f"{kind}-01M8MSCKZVJH3PRT401ETVQR8Q", "outcome": end, **steps}
        if kind in {"backup", "verify", "prune", "prove", "drill"}:
            outcome = {key: value for key, value in outcome.items() if key != "steps"}
        report = reported(Told(str(outcome["operation"]), "prod", outcome, {}), MADE, "kim", "0")
        assert report.verdict.sentence in Seen(page(report)).text
        assert report.verdict.judgement.value in markdown(report)
        assert report.verdict.judgement is judgement(end, report.findings)

    def test_without_an_outcome_it_is_not_over(self) -> None:
        report = reported(Told("backup-01M8MSCKZVJH3PRT401ETVQR8Q", "prod", {}, {}), MADE, "kim", "0")
        assert report.verdict.judgement is Judgement.OPEN
        assert "no outcome" in page(report)


class TestParts:
    def test_what_could_not_be_removed_is_a_finding_with_its_command(self) -> None:
        found = [each.what for each in of_drill(drill()).findings]
        assert any("remove it with: nft delete table inet quorate_drill" in each for each in found)
        gone = replace(drill(), resources=(Resource("fault", "a", "b", 1.0, 2.0),))
        assert not [each for each in of_drill(gone).findings if "left behind" in each.what]

    def test_what_a_drill_says_itself_is_told_once(self) -> None:
        left = Resource("fault", "node-1", "etcd.service is stopped", 1.0, removal="ssh node-1 systemctl start etcd")
        wrong = Check("write-gap", "at most 10 s", "50.00 s", passed=False)
        own = (f"{wrong.id}: {wrong.observed}", f"{left.kind} on {left.place} is still there; {left.removal}")
        made = replace(drill(Verdict.FAILED), resources=(left,), checks=(wrong,), findings=own)
        assert [each.what for each in of_drill(made).findings if "objective" not in each.what] == list(own)
        silent = [each.what for each in of_drill(replace(made, findings=())).findings]
        assert any(each.startswith("check write-gap") for each in silent)
        assert any(each.startswith("left behind: fault") for each in silent)

    def test_a_control_is_covered_only_by_what_this_report_shows(self) -> None:
        covered = {each.id: bool(each.evidence) for each in of_drill(drill()).controls}
        assert covered["SOC 2 A1.3"] and covered["ISO 27001 A.5.30"] and not covered["DORA art. 12"]
        sandboxed = {
            each.id: bool(each.evidence) for each in of_drill(replace(drill(), scenario="restore-sandbox")).controls
        }
        assert sandboxed["DORA art. 12"]
        failed = {each.id: bool(each.evidence) for each in of_drill(drill(Verdict.FAILED)).controls}
        assert not failed["PCI DSS 12.10.2"] and not failed["ISO 27001 A.5.30"]
        without = {each.id: each.why_not for each in of_drill(replace(drill(), rto_objective_s=None)).controls}
        assert "no objective" in without["ISO 27001 A.5.30"]

    @pytest.mark.parametrize("name", sorted(REPORTS))
    def test_a_trail_that_is_whole_is_said_to_be(self, name: str) -> None:
        trail = REPORTS[name]().trail
        assert trail.sealed and not trail.broken and trail.records

    def test_a_restore_says_what_its_record_cannot_know(self) -> None:
        report = from_record(next(name for name in RECORDS if name.startswith("restore")))
        known = {mark.name: mark.at for mark in report.clock}
        assert all(known[name] for name in ("declared", "approved", "started", "first_write", "handed_back"))
        assert not any(known[name] for name in ("detected", "quorum", "readyz", "workload"))
        assert all(mark.why for mark in report.clock if mark.at is None)
        assert report.people_s and report.people_s > 9 and report.machine_s and report.machine_s < report.people_s

    def test_a_broken_trail_is_a_finding_and_a_failed_check(self) -> None:
        chains = {"a.jsonl": ['{"event":"begin","seq":0}', '{"event":"seal","seq":1}']}
        report = reported(
            Told("backup-01M8MSCKZVJH3PRT401ETVQR8Q", "prod", {"outcome": "verified"}, chains), MADE, "", ""
        )
        assert next(each for each in report.checks if each.id == "audit-trail").passed is False
        assert report.trail.broken[0] in [each.what for each in report.findings]
        assert report.verdict.judgement is Judgement.FINDINGS

    def test_deviations_say_their_reason_or_that_there_is_none(self) -> None:
        report = replace(of_drill(drill()), deviations=(Deviation("gate a was overridden", "INC-1"), Deviation("b")))
        text = Seen(page(report)).text
        assert "INC-1" in text and "no reason is on record" in text


class TestHeld:
    """The recorded restore, as it would lie there had it stopped when etcd was to be started."""

    def report(self) -> Report:
        name = next(name for name in RECORDS if name.startswith("restore"))
        home = GOLDEN / name
        outcome = json.loads((home / "outcome.json").read_text())
        before = ("claim", "stage", "compare", "list", "bar", "fence", "swap")
        steps = [each for each in outcome["steps"] if each["id"] in before]
        failed = {
            "id": "start",
            "host": "report-1",
            "state": "failed",
            "started": steps[-1]["started"] + 1,
            "duration_s": 9.0,
        }
        error = {"kind": "failed", "message": "report-1: etcd did not start", "next": "", "exit_code": 10}
        more = {
            "outcome": "held",
            "steps": [*steps, failed],
            "error": error,
            "cluster_id": "",
            "served_revision": None,
        }
        (trail,) = home.glob("audit/*.jsonl")
        lines = trail.read_text().splitlines()
        cut = next(number for number, line in enumerate(lines) if '"step":"start"' in line)
        plan = adapter(Plan).validate_json((home / "plan.json").read_bytes())
        told = Told(name, "report", {**outcome, **more}, {trail.name: lines[:cut]}, plan, rto_s=900.0)
        return reported(told, MADE, "kim", "0")

    def test_claims_and_bars_are_left_behind_with_the_way_on(self) -> None:
        report = self.report()
        left = [each for each in report.resources if not each.destroyed and not each.kind.startswith("kept")]
        assert {(each.kind, each.place) for each in left} == {
            (kind, f"report-{number}")
            for kind in ("claim on the node", "bar against a start")
            for number in (1, 2, 3)
        }
        assert all(each.removal == "quorate adopt report" for each in left)
        assert sum("left behind" in each.what for each in report.findings) == len(left)

    def test_it_failed_and_says_where_and_what_was_not_reached(self) -> None:
        report = self.report()
        assert report.verdict.judgement is Judgement.FAILED
        assert "report-1: etcd did not start" in [each.what for each in report.findings]
        assert [bar.state for bar in report.bars if bar.label == "Start etcd"] == ["failed"]
        seen = {each.id: each.passed for each in report.checks}
        assert (seen["content-equal"], seen["etcd-verified"], seen["revision-above"]) == (True, None, None)

    def test_nothing_is_measured_that_was_not_reached(self) -> None:
        report = self.report()
        assert report.rto.most_s is None and report.rto.met is None
        known = {mark.name: mark.at for mark in report.clock}
        assert known["approved"] and not known["first_write"] and not known["handed_back"]
        assert report.retest_due and not report.trail.sealed


class TestTrend:
    def rows(self) -> list[object]:
        took = enumerate((60.0, 10.0, 20.0, 30.0, 40.0, 50.0))
        outcome = {"outcome": "verified", "snapshot": "prod/x-1"}
        return [
            row(f"backup-01M8{'ABCDEF'[n]}00000DCB6VAJHDC2KCNV2", {**outcome, "duration_s": t}, {}) for n, t in took
        ]

    def test_the_newest_stand_first_with_the_median_of_all_and_of_the_last_five(self) -> None:
        (backups,) = trends(self.rows())  # type: ignore[arg-type]
        assert [each.duration_s for each in backups.rows] == [50.0, 40.0, 30.0, 20.0, 10.0, 60.0]
        assert (backups.median_duration_s, backups.last_duration_s, backups.median_rto_s) == (35.0, 30.0, None)

    def test_the_longest_time_from_one_that_passed_to_the_next_is_told(self) -> None:
        rows = self.rows()
        failed = replace(rows[2], judgement=Judgement.FAILED)  # type: ignore[type-var]
        (backups,) = trends([rows[0], rows[1], failed, *rows[3:]])  # type: ignore[list-item]
        apart = rows[3].began - rows[1].began  # type: ignore[attr-defined]
        assert (backups.longest_gap_s, backups.passed) == (pytest.approx(apart), 5)
        assert trends(rows[:1])[0].longest_gap_s is None  # type: ignore[arg-type]

    def test_a_report_is_compared_with_five_that_were_before_it(self) -> None:
        rows = self.rows()
        last = rows[-1]
        found = before(rows, "backup", last.began, last.operation)  # type: ignore[arg-type,attr-defined]
        assert [each.duration_s for each in found] == [40.0, 30.0, 20.0, 10.0, 60.0]


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_nothing_that_is_written_in_a_drawing_is_cut_off_at_its_edge(name: str) -> None:
    """A small letter is at most six wide on average; where it ends is counted from where it is anchored."""
    found = re.findall(r'<text x="(-?[\d.]+)"[^>]*?(?: text-anchor="(\w+)")?>([^<]*)', page(REPORTS[name]()))
    assert len(found) > 5
    for x, anchor, said in found:
        begins = float(x) - len(said) * 6 * {"": 0, "middle": 0.5, "end": 1}[anchor]
        assert begins > -1 and begins + len(said) * 6 < WIDTH + 1, said


def test_a_waterfall_fits_its_drawing() -> None:
    seen = Seen(page(of_drill(drill())))
    numbers = [float(value or 0) for key, value in seen.attributes if key in {"x1", "x2"}]
    assert numbers and max(numbers) <= WIDTH and min(numbers) >= LEFT - 1
