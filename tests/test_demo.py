"""What the demo and the bench decide, without a lab."""

import pytest

from deploy.bench.__main__ import ALL, parser, shapes
from deploy.bench.measuring import Shape
from deploy.bench.prober import Probes
from deploy.bench.rows import HEAD, Row, compared, table
from deploy.bench.usual import stages
from deploy.demo.telling import StoryError, Teller


def test_a_check_that_fails_says_what_was_expected_and_found():
    with pytest.raises(StoryError, match="keys: expected 800, found 799"):
        Teller().check("keys", 800, 799)


def test_an_equal_revision_is_not_above():
    teller = Teller()
    teller.above("revision", 7, 8)
    with pytest.raises(StoryError):
        teller.above("revision", 8, 8)
    assert teller.checks == 1


def test_an_outage_is_the_longest_time_between_two_successes_of_its_kind(tmp_path):
    (tmp_path / "probes").write_text("etcd 1.0\napi 1.0\netcd 1.1\napi 9.0\netcd 3.6\netcd 3.7\n")
    probes = Probes(tmp_path)
    assert probes.outage_s() == pytest.approx(2.5)
    assert probes.outage_s("api") == pytest.approx(8.0)
    assert probes.first_after(1.05) == pytest.approx(0.05)


def test_the_moments_of_the_script_become_durations():
    assert stages("1.0 fetch\n3.5 copy\n4.0 done\n") == "fetch 2.5, copy 0.5"


def test_a_missed_target_is_said():
    assert compared("whole", 1.0, 3.0, 2.0).cells[-1] == "NO"
    assert compared("whole", None, 3.0, 2.0).cells[-1] == "-"
    assert Row("ssh", 5, " ms", 5.0).cells[-1] == "yes"


def test_the_table_is_markdown_of_one_width():
    lines = table([HEAD, Row("ssh", 5, " ms", 1.0).cells]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].startswith("|--")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], ALL),
        (["--mib", "100", "700"], (Shape(100), Shape(700))),
        (["--control-plane"], (Shape(700, "systemd"),)),
        (["--mib", "20", "--control-plane", "static-pods"], (Shape(20, "static-pods"),)),
        (["--only", "ssh"], (Shape(100),)),
    ],
)
def test_what_is_asked_for_is_measured(words, wanted):
    assert shapes(parser().parse_args(words)) == wanted


def test_labs_of_two_shapes_have_two_names():
    assert len({shape.spec.name for shape in ALL}) == len(ALL)
