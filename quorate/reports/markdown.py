"""A report as Markdown, for a ticket: the same parts, without the drawings."""

import re
from collections.abc import Iterable, Iterator

from quorate.reports.controls import HEADINGS
from quorate.reports.markup import visible
from quorate.reports.report import Figure, Report
from quorate.reports.spoken import interval, moment, span

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")
NONE = "_none_"


def markdown(report: Report) -> str:
    return "\n".join(lines(report)) + "\n\n"


def lines(report: Report) -> Iterator[str]:
    verdict = report.verdict
    yield f"# {plain(report.title)}: {verdict.judgement}"
    yield f"\n{plain(verdict.sentence)} Outcome `{code(verdict.outcome)}`, operation `{code(report.operation)}`.\n"
    yield from table(("", "Achieved", "Objective", "", "How"), [figure(each) for each in (report.rto, report.rpo)])
    yield from part("scope", [(each.label, each.value) for each in report.scope])
    yield from part("scenario", [(each.label, each.value) for each in report.scenario])
    yield f"\n## {HEADINGS['clock']}\n"
    readings = [(mark.name, mark.definition, moment(mark.at) if mark.at else mark.why) for mark in report.clock]
    yield from table(("Reading", "Means", "At"), readings)
    yield f"\n## {HEADINGS['people']}\n"
    yield f"People {span(report.people_s)}, machines {span(report.machine_s)}.\n"
    yield from table(("Who", "Part"), [(each.name, each.part) for each in report.people])
    yield from listed(report.time_notes)
    steps = [
        (bar.label, bar.who, moment(bar.since)[11:], span(bar.until - bar.since), bar.state) for bar in report.bars
    ]
    yield from table(("Step", "Who", "Began", "Took", "State"), steps)
    yield from probe(report)
    yield f"\n## {HEADINGS['checks']}\n"
    seen = [(each.id, each.expected, each.observed, RESULT[each.passed]) for each in report.checks]
    yield from table(("Check", "Expected", "Observed", "Result"), seen)
    yield from part("provenance", [(each.label, each.value) for each in report.provenance], report.unproven)
    yield f"\n## {HEADINGS['findings']}\n"
    if report.retest_due:
        yield f"Retest due by **{plain(report.retest_due)}**.\n"
    found = [
        (each.what, each.owner or "______", each.due or report.retest_due or "______") for each in report.findings
    ]
    yield from table(("Finding", "Owner", "Due"), found)
    yield from listed(report.notes)
    yield f"\n## {HEADINGS['deviations']}\n"
    yield from table(("Deviation", "Reason"), [(each.what, each.reason) for each in report.deviations])
    yield from listed(report.decisions)
    yield "\n## Made and removed\n"
    made = [
        (each.kind, each.place, each.name, moment(each.destroyed) if each.destroyed else each.removal)
        for each in report.resources
    ]
    yield from table(("Kind", "Place", "Name", "Removed"), made)
    yield f"\n## {HEADINGS['compared']}\n"
    before = [
        (row.operation, moment(row.began), row.judgement, span(row.rto_s), span(row.duration_s))
        for row in report.compared
    ]
    yield from table(("Operation", "When", "Verdict", "RTO", "Took"), before)
    yield "\n## Which requirement this speaks to\n"
    mapped = [
        (each.id, each.asks, each.evidence or each.why_not, ", ".join(each.parts) or "not covered")
        for each in report.controls
    ]
    yield from table(("Requirement", "Asks that", "Evidence", "Where"), mapped)
    yield f"\n## {HEADINGS['audit']}\n"
    chains = [(each.name, f"{each.first} to {each.last}", each.head) for each in report.trail.chains]
    yield from table(("Chain", "Records", "Head"), chains)
    yield from listed(report.trail.broken)
    yield f"\nSealed by `{code(report.sealed_by)}`; `quorate report verify FILE --key KEY` finds any change of it."
    yield "The step log is in the forms `html` and `json`, and under this seal."


RESULT = {True: "PASSED", False: "FAILED", None: "NOT KNOWN"}


def figure(each: Figure) -> tuple[str, ...]:
    met = {True: "MET", False: "MISSED", None: "NOT JUDGED"}[each.met] if each.objective_s is not None else ""
    objective = span(each.objective_s) if each.objective_s is not None else "none is set"
    achieved = interval(each.least_s, each.most_s) if each.known else "not measured"
    return each.name, achieved, objective, met, each.how


def probe(report: Report) -> Iterator[str]:
    yield "\n## What a client saw\n"
    if report.probe is None:
        yield f"{plain(report.unprobed)}\n"
        return
    rows = [
        (
            f"{each.surface} {each.verb}s",
            str(each.made),
            str(each.failed),
            span(report.probe.longest_s(each.surface, each.verb)),
        )
        for each in report.probe.tries
    ]
    yield from table(("Through", "Tries", "Failed", "Longest gap"), rows)


def part(key: str, rows: list[tuple[str, str]], note: str = "") -> Iterator[str]:
    yield f"\n## {HEADINGS[key]}\n"
    if note:
        yield f"{plain(note)}\n"
    yield from table(("", ""), rows)


def table(names: tuple[str, ...], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    cells = [f"| {' | '.join(map(plain, row))} |" for row in rows]
    if not cells:
        yield NONE
        return
    yield ""
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    yield from cells


def listed(said: Iterable[str]) -> Iterator[str]:
    found = [f"- {plain(each)}" for each in said]
    if found:
        yield ""
        yield from found


def plain(text: str) -> str:
    """Nothing from outside is markup, and none of it ends a line."""
    return SPECIAL.sub(r"\\\1", " ".join(visible(str(text)).split())).replace("&", "&amp;")


def code(text: str) -> str:
    """Between backticks: none of it ends them, and none of it is a tag."""
    return " ".join(re.sub(r"[`<>]", "'", visible(text)).split())
