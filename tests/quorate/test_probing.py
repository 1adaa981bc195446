"""A gap begins with the first try that failed and ends with the next that went through; nobody else says so."""

from quorate.drills.probing import Log, resumed
from quorate.measure import Gap, Tries

WRITE, READ = ("etcd", "write"), ("etcd", "read")


def test_a_gap_is_from_the_beginning_of_the_first_failure_to_the_end_of_the_next_success() -> None:
    log = Log(100.0)
    log.tried(WRITE, 100.0, 100.1)
    log.tried(WRITE, 101.0, 102.0, "no leader")
    log.tried(WRITE, 102.0, 103.0, "refused")
    log.tried(WRITE, 103.0, 103.2)
    probed = log.probed(110.0)
    assert probed.gaps == (Gap("etcd", "write", 101.0, 103.2, "no leader"),)
    assert probed.tries == (Tries("etcd", "write", 4, 2, 0.2),)
    assert probed.longest_s("etcd", "write") == 103.2 - 101.0


def test_who_waited_for_long_was_not_served_meanwhile() -> None:
    log = Log(100.0)
    log.tried(READ, 100.0, 101.5)
    assert log.probed(102.0).gaps == (Gap("etcd", "read", 100.0, 101.5, "it went through after 1.5 s"),)


def test_a_gap_that_is_open_lasts_to_the_end_and_nothing_has_come_back() -> None:
    log = Log(100.0)
    log.tried(WRITE, 101.0, 102.0, "away")
    probed = log.probed(108.0)
    assert probed.gaps[0].until is None
    assert probed.longest_s("etcd", "write") == 7.0
    assert probed.back(100.0, "etcd", "write") is None


def test_it_came_back_when_the_last_gap_since_then_ended() -> None:
    log = Log(100.0)
    for since, why in ((101.0, "a"), (102.0, ""), (103.0, "b"), (104.0, "")):
        log.tried(WRITE, since, since + 0.1, why)
    probed = log.probed(110.0)
    assert probed.back(100.0, "etcd", "write") == 104.1
    assert probed.back(105.0, "etcd", "write") == 105.0
    assert probed.back(100.0, "apiserver", "write") is None


def test_acknowledged_writes_that_are_gone_are_named_once() -> None:
    log = Log(100.0, acknowledged=12, revision=50)
    log.read(12, 50)
    log.read(9, 41)
    log.read(9, 41)
    assert log.probed(101.0).lost == ("writes 10 to 12 were acknowledged and are gone",)
    log.wrote(10, 44)
    log.read(0, 0)
    assert log.probed(102.0).lost[1:] == ("writes 1 to 10 were acknowledged and are gone",)


def test_a_write_that_is_carried_out_late_takes_none_away() -> None:
    """The cut that kept it back is lifted: it is newer by its revision, whatever its number."""
    log = Log(100.0)
    log.wrote(12, 50)
    log.read(4, 51)
    assert log.probed(101.0).lost == ()
    assert log.acknowledged == 12


def test_whoever_goes_on_has_all_of_it_and_says_when_nobody_watched() -> None:
    log = Log(100.0, acknowledged=3, revision=8)
    log.tried(WRITE, 100.0, 100.1)
    log.tried(WRITE, 101.0, 102.0, "away")
    log.tried(READ, 102.0, 102.2)
    after = resumed(log.note(103.0), 110.0)
    after.tried(WRITE, 110.0, 110.1)
    probed = after.probed(111.0)
    assert probed.unwatched == ((103.0, 110.0),)
    assert probed.gaps == (Gap("etcd", "write", 101.0, 110.1, "away"),)
    assert (probed.began, after.acknowledged, after.revision) == (100.0, 3, 8)
    assert {(each.verb, each.made, each.failed) for each in probed.tries} == {("write", 3, 1), ("read", 1, 0)}
