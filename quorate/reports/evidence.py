"""What a report's page rests on: the snapshot, the checks, what was made, what was overridden, what was found."""

from collections.abc import Iterator

from quorate.reports.elements import BLANK, facts, heading, listed, nothing, table
from quorate.reports.markup import Safe, join, tag
from quorate.reports.report import Finding, Report
from quorate.reports.spoken import moment
from quorate.reports.told import noun


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
