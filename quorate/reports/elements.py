"""What the sections of a report's page are made of."""

from collections.abc import Iterable, Iterator

from quorate.reports.controls import HEADINGS
from quorate.reports.markup import Safe, tag
from quorate.reports.report import Judgement

SIGNS = {
    Judgement.PASSED: ("✓", "good"),
    Judgement.FINDINGS: ("!", "warn"),
    Judgement.FAILED: ("✕", "bad"),
    Judgement.STOPPED: ("■", "bad"),
    Judgement.NOTHING: ("=", "warn"),
    Judgement.OPEN: ("…", "warn"),
}


BLANK = tag("span", class_="blank")


def heading(key: str) -> Safe:
    return tag("h2", HEADINGS[key], id=key)


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
