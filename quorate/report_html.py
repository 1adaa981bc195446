"""A report as one HTML page that stands alone: no script, nothing from elsewhere, and a policy that keeps it so."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator

from quorate.controls import HEADINGS
from quorate.markup import Safe, join, tag
from quorate.report import Figure, Finding, Judgement, Report, Row
from quorate.report_style import STYLE
from quorate.spoken import interval, moment, span
from quorate.told import noun
from quorate.waterfall import box, gathered, patterns, probed, shares, sparkline, squeezed, waterfall

SIGNS = {
    Judgement.PASSED: ("✓", "good"),
    Judgement.FINDINGS: ("!", "warn"),
    Judgement.FAILED: ("✕", "bad"),
    Judgement.STOPPED: ("■", "bad"),
    Judgement.NOTHING: ("=", "warn"),
    Judgement.OPEN: ("…", "warn"),
}
BLANK = tag("span", class_="blank")


def page(report: Report) -> str:
    """A pure function of the report: what is sealed is put in behind it."""
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{report.title}: {report.verdict.judgement}"),
        tag("style", Safe(STYLE)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', *body(report)), lang='en')}\n"


def body(report: Report) -> Iterator[Safe]:
    yield patterns()
    yield top(report)
    yield opening(report)
    for section in SECTIONS:
        yield from section(report)


def heading(key: str) -> Safe:
    return tag("h2", HEADINGS[key], id=key)


def top(report: Report) -> Safe:
    made = f"made {moment(report.made_at)}"
    return tag(
        "header",
        tag("div", tag("p", "Quorate · recovery report", class_="kicker"), tag("h1", report.title)),
        tag("p", tag("code", report.operation), tag("br"), made),
        class_="top",
    )


def opening(report: Report) -> Safe:
    sign, kind = SIGNS[report.verdict.judgement]
    counted = len(report.findings)
    findings = f" {counted} finding{'' if counted == 1 else 's'} below." if counted else ""
    verdict = tag(
        "div",
        tag("span", f"Verdict, outcome “{report.verdict.outcome}”", class_="label"),
        tag("span", tag("span", sign, class_="sign", aria_hidden="true"), report.verdict.judgement, class_="word"),
        tag("p", f"{report.verdict.sentence} {tally(report)}{findings}"),
        class_=f"verdict {kind}",
    )
    return tag(
        "section", verdict, figure(report.rto, "Recovery time"), figure(report.rpo, "Data lost"), class_="opening"
    )


def tally(report: Report) -> str:
    """Of the checks, whatever there is of each."""
    results = [each.passed for each in report.checks]
    counted = ((True, "passed"), (False, "failed"), (None, "not known"))
    said = [f"{results.count(result)} {word}" for result, word in counted if result in results]
    return f"Checks: {', '.join(said)}." if said else "Nothing was checked."


def figure(each: Figure, name: str) -> Safe:
    value = achieved(each) if each.known else "not measured"
    return tag(
        "div",
        tag("span", f"{name} ({each.name})", class_="label"),
        tag("span", value, class_="number" if each.known else "number none"),
        tag("p", *against(each), class_="against"),
        tag("p", each.how, class_="how"),
    )


def achieved(each: Figure) -> Safe:
    """Lines break between two times, never in one."""
    ends = interval(each.least_s, each.most_s).split(" to ")
    return join(*(tag("span", end, class_="nowrap") for end in ends), by=" to ")


def against(each: Figure) -> Iterator[Safe | str]:
    if each.objective_s is None:
        yield "no objective is set"
        return
    yield f"objective {span(each.objective_s)}: "
    if not each.known:
        yield tag("span", "NOT JUDGED", class_="word")
    elif each.met is None:
        yield tag("span", "? CANNOT BE TOLD", class_="word is-warn")
    else:
        yield tag("span", "✓ MET" if each.met else "✕ MISSED", class_=f"word {'is-good' if each.met else 'is-bad'}")


def identity(report: Report) -> Iterator[Safe]:
    yield heading("scope")
    yield facts((each.label, each.value) for each in report.scope)


def scenario(report: Report) -> Iterator[Safe]:
    yield heading("scenario")
    yield facts((each.label, each.value) for each in report.scenario) if report.scenario else nothing("none")


def clock(report: Report) -> Iterator[Safe]:
    yield heading("clock")
    yield tag(
        "p", "One definition for every report; a time that was not observed is not filled in.", class_="soft lead"
    )
    began = next((mark.at for mark in report.clock if mark.at is not None), None)
    rows = [
        (
            tag("th", mark.name.replace("_", " "), scope="row", class_="nowrap"),
            tag("td", mark.definition),
            tag(
                "td",
                tag("span", moment(mark.at), class_="nowrap") if mark.at else tag("span", mark.why, class_="none"),
            ),
            tag("td", f"+{span(mark.at - began)}" if mark.at is not None and began is not None else "", class_="num"),
        )
        for mark in report.clock
    ]
    yield table(("Reading", "Means", "At", "After the first"), rows)


def people(report: Report) -> Iterator[Safe]:
    yield heading("people")
    if report.people_s is not None and report.machine_s is not None:
        yield shares(report.people_s, report.machine_s)
    elif report.people_s is not None or report.machine_s is not None:
        known = f"People: {span(report.people_s)}. Machines: {span(report.machine_s)}. "
        yield tag("p", known, "A dash is what the record does not hold.", class_="soft")
    if report.people:
        yield from listed(f"{each.name} {each.part}".strip() for each in report.people)
    else:
        yield nothing("Nobody is named in the record.")
    yield from listed(report.time_notes)
    if report.bars:
        yield tag("h3", "Phases and steps")
        yield tag("p", *(legend(kind, said) for kind, said in LEGEND), class_="legend")
        if squeezed(report.bars):
            yield waterfall(gathered(report.bars))
            yield tag("h3", "The steps, on a scale of their own")
            yield waterfall([bar for bar in report.bars if bar.who == "machine"])
        else:
            yield waterfall(report.bars)


LEGEND = (("people", "hatched: people"), ("machine", "solid: machines"), ("failed", "crossed: failed, or out"))


def legend(kind: str, said: str) -> Safe:
    sample = tag("svg", box(0, 0, 26, 13, kind), viewBox="0 0 26 13", aria_hidden="true")
    return tag("span", sample, said)


def probe(report: Report) -> Iterator[Safe]:
    yield tag("h2", "What a client saw", id="probe")
    if report.probe is None:
        yield nothing(f"{report.unprobed[:1].upper()}{report.unprobed[1:]}: what clients saw is not known.")
        return
    said = "A probe wrote and read as any client does; what it could not do is the outage."
    ran = span(report.probe.ended - report.probe.began)
    yield tag("p", f"{said} It ran for {ran}", *unwatched(report), ".", class_="lead")
    yield probed(report.probe, report.clock)
    rows = [
        (
            tag("th", f"{each.surface} {each.verb}s", scope="row"),
            tag("td", each.made, class_="num"),
            tag("td", each.failed, class_="num"),
            tag("td", span(report.probe.longest_s(each.surface, each.verb)), class_="num"),
        )
        for each in report.probe.tries
    ]
    yield table(("Through", "Tries", "Failed", "Longest gap"), rows, (1, 2, 3))
    if report.probe.lost:
        yield tag("p", tag("span", "✕ LOST", class_="word is-bad"), f" {', '.join(report.probe.lost)}")
    else:
        yield tag("p", "Every write that was acknowledged to it was there afterwards.")


def unwatched(report: Report) -> Iterator[str]:
    if report.probe and (spans := report.probe.unwatched):
        yield f"; for {span(sum(end - begin for begin, end in spans))} of that nobody watched, for it was down itself"


def provenance(report: Report) -> Iterator[Safe]:
    yield heading("provenance")
    if report.unproven:
        yield tag("p", report.unproven, class_="soft")
    if report.provenance:
        yield facts((each.label, each.value) for each in report.provenance)
    elif not report.unproven:
        yield nothing(f"A {noun(report.kind)} is about no single snapshot.")


def checks(report: Report) -> Iterator[Safe]:
    yield heading("checks")
    if not report.checks:
        yield nothing("None is on record.")
        return
    rows = [
        (
            tag("th", each.id, scope="row"),
            tag("td", each.expected),
            tag("td", each.observed),
            tag("td", result(each.passed)),
        )
        for each in report.checks
    ]
    yield table(("Check", "Expected", "Observed", "Result"), rows)


def result(passed: bool | None) -> Safe:  # noqa: FBT001 - the check's own
    if passed is None:
        return tag("span", "? NOT KNOWN", class_="word is-warn")
    return tag("span", "✓ PASSED" if passed else "✕ FAILED", class_=f"word {'is-good' if passed else 'is-bad'}")


def deviations(report: Report) -> Iterator[Safe]:
    yield heading("deviations")
    rows = [
        (tag("td", each.what), tag("td", each.reason or tag("span", "no reason is on record", class_="none")))
        for each in report.deviations
    ]
    yield table(("Deviation", "Reason"), rows) if rows else nothing("Nothing was overridden and nothing left out.")
    if report.decisions:
        yield tag("h3", "Decisions of people")
        yield from listed(report.decisions)


def resources(report: Report) -> Iterator[Safe]:
    yield tag("h2", "Made and removed", id="resources")
    if not report.resources:
        yield nothing(report.unlisted or "Nothing is on record.")
        return
    left = [each for each in report.resources if not each.destroyed and not each.kind.startswith("kept")]
    yield tag("p", f"{len(report.resources)} made, {len(left)} left behind.", class_="lead")
    rows = [
        (
            tag("td", each.kind, class_="nowrap"),
            tag("td", each.place),
            tag("td", tag("code", each.name)),
            tag("td", moment(each.made)[11:], class_="nowrap"),
            tag("td", became(each.kind, each.destroyed, each.removal)),
        )
        for each in report.resources
    ]
    yield table(("Kind", "Place", "Name", "Made", "Removed"), rows)


def became(kind: str, destroyed: float, removal: str) -> Safe:
    if destroyed:
        return tag("span", moment(destroyed)[11:], class_="nowrap")
    if kind.startswith("kept"):
        return join("kept on purpose", f"; {removal}" if removal else "")
    return join(tag("span", "✕ LEFT BEHIND", class_="word is-bad"), f" {removal}" if removal else "")


def findings(report: Report) -> Iterator[Safe]:
    yield heading("findings")
    if report.retest_due:
        yield tag(
            "p", "Retest due by ", tag("span", report.retest_due, class_="word"), ": what failed is tried again."
        )
    rows = [finding(number, each, report) for number, each in enumerate(report.findings, 1)]
    yield table(("", "Finding", "Owner", "Due"), rows) if rows else nothing("None.")
    if report.notes:
        yield tag("h3", "Notes")
        yield from listed(report.notes)


def finding(number: int, each: Finding, report: Report) -> tuple[Safe, ...]:
    due = each.due or report.retest_due
    return (
        tag("td", number, class_="num"),
        tag("td", each.what),
        tag("td", each.owner or BLANK),
        tag("td", due or BLANK, class_="nowrap"),
    )


def compared(report: Report) -> Iterator[Safe]:
    yield heading("compared")
    if not report.compared:
        yield nothing(f"No {noun(report.kind)} of this cluster is on record before this one.")
        return
    rows = (*reversed(report.compared), own_row(report))
    if report.kind in {"restore", "drill"}:
        yield sparkline(rows, "Recovery time", [row.rto_s for row in rows])
    yield sparkline(rows, "Duration", [row.duration_s for row in rows])
    yield table(
        (f"{report.kind}-…", "When", "Verdict", "RTO", "RPO", "Took"),
        [compared_row(row, report) for row in reversed(rows)],
        (3, 4, 5),
    )


def own_row(report: Report) -> Row:
    began = next((mark.at for mark in report.clock if mark.name == "declared" and mark.at), 0.0)
    figures = (report.rto.most_s, report.rpo.least_s, report.rpo.most_s, report.duration_s)
    verdict = report.verdict
    return Row(report.operation, report.kind, began, verdict.outcome, verdict.judgement, *figures)


def compared_row(row: Row, report: Report) -> tuple[Safe, ...]:
    number = row.operation.rpartition("-")[2]
    name = "this one" if row.operation == report.operation else tag("code", number, class_="id")
    return (
        tag("td", name, class_="nowrap"),
        tag("td", moment(row.began)[:16], class_="nowrap"),
        tag("td", judged(row), class_="nowrap"),
        tag("td", span(row.rto_s), class_="num"),
        tag("td", interval(row.rpo_least_s, row.rpo_most_s) if row.rpo_most_s is not None else "-", class_="num"),
        tag("td", span(row.duration_s), class_="num"),
    )


def judged(row: Row) -> Safe:
    sign, kind = SIGNS[row.judgement]
    return tag("span", f"{sign} {row.judgement.lower()}", class_=f"word is-{kind}")


def mapping(report: Report) -> Iterator[Safe]:
    yield tag("h2", "Which requirement this speaks to", id="controls")
    yield tag(
        "p", "What each asks is said in our words; the frameworks' text, and your auditor, decide.", class_="soft"
    )
    rows = [
        (
            tag("th", each.id, scope="row", class_="nowrap"),
            tag("td", each.asks),
            tag("td", each.evidence or tag("span", each.why_not, class_="none")),
            tag("td", ", ".join(each.parts) if each.parts else tag("span", "not covered", class_="word")),
        )
        for each in report.controls
    ]
    yield table(("Requirement", "Asks that", "Evidence", "Where in this report"), rows)


def log(report: Report) -> Iterator[Safe]:
    yield heading("log")
    if not report.log:
        yield nothing("No act is on record.")
        return
    odd = sum(entry.exit != "0" for entry in report.log)
    rows = [
        (
            tag("td", entry.at[11:], class_="nowrap mono"),
            tag("td", entry.actor),
            tag("td", entry.place),
            tag("td", entry.step, class_="nowrap"),
            tag("td", tag("code", entry.command), *([tag("br"), entry.said] if entry.said else [])),
            tag("td", entry.exit, class_="num"),
            tag("td", span(entry.took_s), class_="num"),
        )
        for entry in report.log
    ]
    yield tag(
        "details",
        tag("summary", f"{len(report.log)} act{'' if len(report.log) == 1 else 's'}, {odd} without exit code 0"),
        table(("Time", "By", "Place", "Step", "Command", "Exit", "Took"), rows, (5, 6), "log"),
    )
    yield tag("p", "Folded; what is open when it is printed is printed. Secrets are masked.", class_="soft")


def audit(report: Report) -> Iterator[Safe]:
    yield heading("audit")
    state = "sealed" if report.trail.sealed else "not sealed: the operation may not be over"
    whole = "no record is changed, missing or reordered" if not report.trail.broken else "it is NOT WHOLE"
    if report.trail.chains:
        yield tag("p", f"{report.trail.records} records, {state}; {whole}.")
        rows = [
            (
                tag("td", tag("code", each.name)),
                tag("td", f"{each.first} to {each.last}", class_="nowrap"),
                tag("td", tag("code", each.head)),
            )
            for each in report.trail.chains
        ]
        yield table(("Chain", "Records", "Head (sha256)"), rows)
    else:
        yield nothing("There is no audit trail of this operation.")
    yield from listed(report.trail.broken)
    yield tag(
        "p",
        "This file is sealed: the document behind this page, and the page itself, are under one signature. ",
        tag("code", f"quorate report verify FILE --key {report.sealed_by or 'KEY'}"),
        " finds any change of it, and needs nothing else.",
    )
    made = f"Made by {report.made_by or 'nobody named'} with quorate {report.version} at {moment(report.made_at)}."
    yield tag("p", f"{made} Times are UTC. Format {report.format}.", class_="soft")


def sign_off(report: Report) -> Iterator[Safe]:
    yield tag("h2", HEADINGS["signoff"], id="signoff")
    parts = ("Carried out by", "Reviewed by", "Accepted by")
    names = (", ".join(dict.fromkeys(each.name for each in report.people if each.part)), "", "")
    yield tag(
        "div",
        *(
            tag("div", f"{part}{f' ({name})' if name else ''}", tag("br"), "Name, date, signature")
            for part, name in zip(parts, names, strict=True)
        ),
        class_="sign-off",
    )


SECTIONS: tuple[Callable[[Report], Iterator[Safe]], ...] = (
    identity,
    scenario,
    people,
    clock,
    probe,
    checks,
    findings,
    deviations,
    provenance,
    resources,
    compared,
    mapping,
    audit,
    sign_off,
    log,
)


def facts(rows: Iterable[tuple[str, str]]) -> Safe:
    return tag(
        "table",
        tag("tbody", *(tag("tr", tag("th", label, scope="row"), tag("td", value)) for label, value in rows)),
        class_="facts",
    )


def table(
    names: tuple[str, ...], rows: Iterable[Iterable[Safe]], numbers: tuple[int, ...] = (), kind: str = ""
) -> Safe:
    head = [tag("th", name, scope="col", class_="num" if at in numbers else None) for at, name in enumerate(names)]
    lines = (tag("tr", *row) for row in rows)
    return tag("table", tag("thead", tag("tr", *head)), tag("tbody", *lines), class_=kind or None)


def listed(said: Iterable[str]) -> Iterator[Safe]:
    if lines := [tag("li", each) for each in said]:
        yield tag("ul", *lines)


def nothing(said: str) -> Safe:
    return tag("p", said, class_="none")
