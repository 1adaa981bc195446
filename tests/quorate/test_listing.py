"""What a restore has taken away and brought back, by kind."""

import pytest

from quorate.members.listing import (
    KINDS_MAX,
    NAMES_MAX,
    Difference,
    Key,
    differences,
    kind_of,
    lines,
    parsed,
    shortened,
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/registry/pods/default/web-0", "pods"),
        ("/registry/namespaces/default", "namespaces"),
        ("/registry/services/endpoints/default/web", "services"),
        ("/registry/batch.io/jobs/default/a", "batch.io/jobs"),
        ("/registry/cilium.io/ciliumendpoints/default/web-0", "cilium.io/ciliumendpoints"),
        ("/registry/health.k8s.io", "health.k8s.io"),
        ("cilium/state/x", "cilium"),
        ("/vault/core", "/vault"),
        ("key", "key"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_kind_of_a_key(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_a_key_is_gone_has_come_back_or_is_older_and_what_is_equal_is_not_told() -> None:
    before = {"/registry/pods/a/new": 9, "/registry/pods/a/changed": 8, "/registry/pods/a/same": 2, "k": 7}
    after = {"/registry/pods/a/changed": 3, "/registry/pods/a/same": 2, "/registry/secrets/a/deleted": 4}
    names = ("-/registry/pods/a/new", "</registry/pods/a/changed")
    assert differences(before, after) == (
        Difference("pods", 1, 0, 1, names),
        Difference("k", 1, 0, 0, ("-k",)),
        Difference("secrets", 0, 1, 0, ("+/registry/secrets/a/deleted",)),
    )
    assert differences(before, before) == ()


def test_a_few_names_of_each_way_are_told_and_all_are_counted() -> None:
    (found,) = differences({f"k/{number:02}": 1 for number in range(30)}, {})
    assert (found.gone, found.names) == (30, tuple(f"-k/{number:02}" for number in range(NAMES_MAX)))


def test_more_kinds_than_fit_are_one() -> None:
    found = differences({f"kind{number}/x": 1 for number in range(KINDS_MAX + 5)}, {})
    assert len(found) == KINDS_MAX + 5
    short = shortened(found)
    assert (short[:-1], short[-1]) == (found[:KINDS_MAX], Difference("5 more kinds", 5, 0, 0))


def test_a_listing_is_read_as_it_was_written_whatever_a_key_is_called() -> None:
    keys = [Key("a\n[1]", 3), Key("ä\\x00", 4), Key("", 1)]
    assert parsed(b"".join(lines(keys))) == {"a\n[1]": 3, "ä\\x00": 4, "": 1}
    assert parsed(b"") == {}
