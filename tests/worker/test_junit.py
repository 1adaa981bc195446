"""What a CI server reads of `doctor`, whatever a machine has said."""

from xml.etree import ElementTree as ET

from worker.cli.doctor import Check
from worker.cli.junit import junit


def test_what_xml_cannot_hold_is_replaced_and_what_it_can_is_read_back() -> None:
    said = 'it said "<no>" & \x00\x1b[31mred\ud800'
    checks = (Check("ssh", "a", False, said, "ssh a 'x && y'", True), Check("clock", "a", True, "0 s"))
    root = ET.fromstring(junit(checks, lambda text: text).encode())
    first, second = root.iter("testcase")
    failure = first.find("failure")
    assert failure is not None
    assert failure.get("message") == 'it said "<no>" & \ufffd\ufffd[31mred\ufffd'
    assert failure.text == "next: ssh a 'x && y'"
    assert failure.get("type") == "unreachable"
    assert second.find("failure") is None
    assert second.findtext("system-out") == "0 s"
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
