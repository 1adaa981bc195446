"""What is written is what is read, and every decision is on the line that is said."""

import yaml
from hypothesis import given
from hypothesis import strategies as st

from quorate.inventories.writing import MARK, Decision, Entry, decisions, text

ENTRIES = (
    Entry("a", "x", source="--a"),
    Entry("b", fields=(Entry("c", 1, decide="how many"), Entry("d", ("1:2", "y"))), decide="all of it"),
    Entry("e", items=((Entry("f", "g"), Entry("h", True, decide="this?")), (Entry("f", "1h"),))),
)


def test_fields_items_and_comments_are_yaml() -> None:
    assert text(ENTRIES) == (
        "a: x  # --a\n"
        "b:  # DECIDE: all of it\n"
        "  c: 1  # DECIDE: how many\n"
        '  d: ["1:2", "y"]\n'
        "e:\n"
        "  - f: g\n"
        "    h: true  # DECIDE: this?\n"
        "  - f: 1h\n"
    )


def test_a_decision_names_its_line_and_its_field() -> None:
    assert decisions(ENTRIES) == (
        Decision(2, "b", "all of it"),
        Decision(3, "b.c", "how many"),
        Decision(7, "e.0.h", "this?"),
    )
    lines = text(ENTRIES).splitlines()
    assert all(MARK in lines[each.line - 1] for each in decisions(ENTRIES))


@given(st.text() | st.sampled_from(["yes", "1:30", "0x1f", "1e3", "null", "~", "2026-11-28", "a #b", "a: b", "-"]))
def test_every_value_is_read_back_as_it_was(value: str) -> None:
    assert yaml.safe_load(text((Entry("key", value), Entry("keys", (value, value))))) == {
        "key": value,
        "keys": [value, value],
    }
