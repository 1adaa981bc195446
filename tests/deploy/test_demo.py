"""What the demo and the bench decide, without a lab."""

import pytest

from deploy.bench.__main__ import ALL, parser, shapes
from deploy.bench.measuring import Figures, Shape
from deploy.bench.prober import Probes
from deploy.bench.rows import HEAD, Row, compared, rows, table
from deploy.bench.spent import moments
from deploy.bench.usual import stages
from deploy.bench.waiting import Waits, typical_waits, waited
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
    (tmp_path / "probes").write_text("etcd 1.0 0\napi 1.0 0\netcd 1.1 0\napi 9.0 0\netcd 3.6 0\netcd 3.7 0\netc")
    probes = Probes(tmp_path)
    assert probes.outage_s() == pytest.approx(2.5)
    assert probes.outage_s("api") == pytest.approx(8.0)
    assert probes.first_after(1.05) == pytest.approx(0.05)


def test_a_write_counts_where_somebody_waited_for_it(tmp_path):
    (tmp_path / "probes").write_text("etcd 1.0 0.5\napi 2.0 0.1\netcd 2.0 0.1\netcd 9.0 6.5\netcd 9.1 0.1\n")
    waits_ms = Probes(tmp_path).waits_ms(1.5, 3.0)
    assert waits_ms == pytest.approx([100, 6500])
    assert waited(waits_ms).worst == pytest.approx(6500)


def test_of_several_rounds_the_median_of_each_figure_is_told():
    rounds = [{"before": Waits(*each)} for each in ((1, 9, 20), (2, 8, 30), (3, 7, 10))]
    assert typical_waits(rounds) == {"before": Waits(2, 8, 20)}


def test_the_moments_of_the_script_become_durations():
    assert stages("1.0 fetch\n3.5 copy\n4.0 done\n") == "fetch 2.5, copy 0.5"


def test_the_steps_of_a_backup_are_told_by_its_audit_trail():
    told = (("begin", "", 0), ("intent", "stream", 1), ("outcome", "", 6), ("intent", "stream", 6), ("seal", "", 9))
    records = [{"event": what, "step": step, "time": f"2026-11-29T16:20:0{at}.000+00:00"} for what, step, at in told]
    assert stages(moments(records)) == "stream 8.0"


def test_a_missed_target_is_said():
    assert compared("whole", 1.0, 3.0, 2.0).cells[-1] == "NO"
    assert compared("whole", None, 3.0, 2.0).cells[-1] == "-"
    assert Row("ssh", 5, " ms", 5.0).cells[-1] == "yes"


@pytest.mark.parametrize(("mib", "reached"), [(700, "NO"), (100, "-")])
def test_a_backup_has_to_beat_the_script_where_they_are_compared(mib, reached):
    figures = Figures(Shape(mib), backup_s=8.1, usual_backup_s=10.0, written_mib=0.5)
    backup, *_, written = rows(figures)
    assert (backup.cells[-2:], written.cells[-1]) == (("0.81 x", reached), "yes")


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
        (["--only", "memory", "--mib", "9"], (Shape(9, members=1),)),
    ],
)
def test_what_is_asked_for_is_measured(words, wanted):
    assert shapes(parser().parse_args(words)) == wanted


def test_labs_of_two_shapes_have_two_names():
    assert len({shape.spec.name for shape in ALL}) == len(ALL)
