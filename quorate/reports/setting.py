"""What stands beside one operation on a report's page: the ones before it, the requirements, the trail, the names."""

from collections.abc import Iterator

from quorate.reports.controls import HEADINGS
from quorate.reports.elements import SIGNS, heading, listed, nothing, table
from quorate.reports.markup import Safe, tag
from quorate.reports.report import Report, Row
from quorate.reports.spoken import interval, moment, span
from quorate.reports.told import noun
from quorate.reports.waterfall import sparkline


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
