"""What `doctor` found as JUnit XML, which every CI server shows: one test case a check."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from worker.cli.doctor import Check

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0, however it is written


def junit(checks: Sequence["Check"], command: Callable[[str], str]) -> str:
    """A check that does not hold is a failure: what was found as its message, the remedy as its text."""
    failed = sum(not each.ok for each in checks)
    counts = {"name": "quorate doctor", "tests": str(len(checks)), "failures": str(failed)}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {**counts, "errors": "0", "skipped": "0"})
    for check in checks:
        case = ET.SubElement(suite, "testcase", {"classname": f"doctor.{check.id}", "name": clean(check.about)})
        if check.ok:
            ET.SubElement(case, "system-out").text = clean(check.said)
            continue
        kind = "unreachable" if check.unreachable else check.id
        failure = ET.SubElement(case, "failure", {"type": kind, "message": clean(check.said)})
        failure.text = clean(f"next: {command(check.next)}") if check.next else ""
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode")


def clean(text: str) -> str:
    return FORBIDDEN.sub("\ufffd", text)
