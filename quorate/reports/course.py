"""How it went, on a report's page: by whom, by the clock, and as a client of the cluster saw it."""

from collections.abc import Iterator

from quorate.reports.elements import heading, listed, nothing, table
from quorate.reports.markup import Safe, tag
from quorate.reports.report import Report
from quorate.reports.spoken import moment, span
from quorate.reports.waterfall import box, gathered, probed, shares, squeezed, waterfall


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
