"""A report as one HTML page that stands alone: no script, nothing from elsewhere, and a policy that keeps it so."""

import base64
import hashlib
from collections.abc import Callable, Iterator

from quorate.reports.course import clock, people, probe
from quorate.reports.elements import SIGNS, facts, heading, nothing
from quorate.reports.evidence import checks, deviations, findings, provenance, resources
from quorate.reports.markup import Safe, join, tag
from quorate.reports.report import Figure, Report
from quorate.reports.setting import audit, compared, log, mapping, sign_off
from quorate.reports.spoken import interval, moment, span
from quorate.reports.style import STYLE
from quorate.reports.waterfall import patterns


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
