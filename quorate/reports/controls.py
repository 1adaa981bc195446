"""What auditors ask for, and which part of a report speaks to it: never more than that report shows.

What each asks is said in our words; the frameworks' own text is what counts.
"""

from dataclasses import replace

from quorate.reports.report import Control, Judgement, Report
from quorate.reports.told import noun

BROUGHT_BACK = ("restore", "drill")
RECOVERS = (*BROUGHT_BACK, "replace-member")
TESTED = (*BROUGHT_BACK, "prove")
GOOD = (Judgement.PASSED, Judgement.FINDINGS)
HEADINGS = {
    "scope": "Identity and scope",
    "scenario": "Scenario",
    "clock": "The clock",
    "people": "People and machines",
    "provenance": "The snapshot",
    "checks": "Checks",
    "log": "Step log",
    "deviations": "Deviations and decisions",
    "findings": "Findings",
    "compared": "Beside the last five",
    "audit": "Audit trail and seal",
    "signoff": "Sign-off",
}


def controls(report: Report) -> tuple[Control, ...]:
    return tuple(rule(report) for rule in (_a12, _a13, _cc75, _a530, _a813, _dora11, _dora12, _pci))


def judged(control: Control, evidence: str, why_not: str, *parts: str) -> Control:
    """Covered by these parts where nothing speaks against it."""
    if why_not:
        return replace(control, why_not=why_not)
    return replace(control, evidence=evidence, parts=tuple(HEADINGS[each] for each in parts))


def _a12(report: Report) -> Control:
    asks = Control("SOC 2 A1.2", "backups and what recovers them are designed, operated and watched over")
    why_not = "" if report.provenance else "this report is about no backup"
    evidence = "one sample: which backup, how it is encrypted and sealed, and how those before it went"
    return judged(asks, evidence, why_not, "provenance", "compared")


def _a13(report: Report) -> Control:
    asks = Control("SOC 2 A1.3", "recovery procedures are tested, and what was learnt is followed up")
    why_not = "" if report.kind in TESTED else f"a {noun(report.kind)} tests no recovery"
    evidence = "a recovery that was carried out, checked, and its findings with who follows them up"
    return judged(asks, evidence, why_not, "scenario", "checks", "findings")


def _cc75(report: Report) -> Control:
    asks = Control("SOC 2 CC7.5", "incidents are recovered from, and the recovery is rehearsed and improved")
    why_not = "" if report.kind in RECOVERS else f"a {noun(report.kind)} recovers nothing"
    evidence = "what was done, by whom and when, and what is left to do"
    return judged(asks, evidence, why_not, "people", "log", "findings")


def _a530(report: Report) -> Control:
    asks = Control("ISO 27001 A.5.30", "readiness is planned and tested against objectives for continuity")
    why_not = ""
    if report.kind not in BROUGHT_BACK:
        why_not = f"a {noun(report.kind)} is not measured against a recovery time"
    elif report.rto.objective_s is None:
        why_not = "no objective is set: `objectives` of the inventory"
    elif not report.rto.known:
        why_not = "the recovery time was not measured"
    return judged(asks, "what was achieved beside what was wanted, and by which clock", why_not, "clock", "compared")


def _a813(report: Report) -> Control:
    asks = Control("ISO 27001 A.8.13", "backups are kept, and tested regularly")
    why_not = "" if _snapshot_checks(report) else "no check of this report is about a backup"
    return judged(asks, "the backup, and what was checked of it", why_not, "provenance", "checks", "compared")


def _dora11(report: Report) -> Control:
    asks = Control("DORA art. 11", "response and recovery are tested, and records of what was done are at hand")
    why_not = ""
    if report.kind not in RECOVERS:
        why_not = f"a {noun(report.kind)} is neither response nor recovery"
    elif not report.trail.sealed or report.trail.broken:
        why_not = "the audit trail is not whole, or not sealed"
    return judged(asks, "every act with time, place and who, in a sealed trail", why_not, "log", "audit")


def _dora12(report: Report) -> Control:
    asks = Control("DORA art. 12", "restores are tested apart from the source, with several checks afterwards")
    why_not = ""
    if not apart(report):
        why_not = "nothing was restored on systems apart from the source"
    elif len([each for each in report.checks if each.passed]) < 2:
        why_not = "fewer than two checks of what was restored have passed"
    return judged(asks, "where it was restored, and what was compared there", why_not, "scenario", "checks")


def _pci(report: Report) -> Control:
    asks = Control("PCI DSS 12.10.2", "the response plan, backups included, is tested every twelve months")
    why_not = ""
    if report.kind not in BROUGHT_BACK:
        why_not = f"a {noun(report.kind)} follows no response plan"
    elif report.verdict.judgement not in GOOD:
        why_not = "it did not pass; the retest would be the evidence"
    return judged(
        asks,
        "the day on which it was carried out, its result, and who signs it",
        why_not,
        "scope",
        "checks",
        "signoff",
    )


def apart(report: Report) -> bool:
    """A proof is always in the sandbox; a drill where its scenario says so."""
    return report.kind == "prove" or any(fact.value == "restore-sandbox" for fact in report.scenario)


def _snapshot_checks(report: Report) -> bool:
    return bool(report.provenance and report.checks) and report.kind in {*TESTED, "backup", "verify"}
