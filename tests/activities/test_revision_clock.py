"""The revision clock: what it keeps, and between which two moments a loss lies."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.adapters.sqlite import SqliteTicks
from activities.clusters.clock import RevisionClock
from activities.clusters.surveys import Surveyor
from quorate.clusters.cluster import Silence
from quorate.errors import Failed
from quorate.members.revision_clock import DENSE_S, EVERY_S, FORGET_S, SPARSE_S, Loss, Tick, loss, superfluous, ticks
from tests.activities.test_surveys import Scene
from tests.factory import inventory
from tests.fakes.etcd import CLUSTER, FakeCluster, seen

pytestmark = pytest.mark.slow

DAY = 86400.0


def tick(heard: float, revision: int, cluster_id: str = "c1", *, led: bool = True) -> Tick:
    return Tick(heard - 1, heard, cluster_id, revision, led)


class TestTicks:
    def test_the_highest_revision_of_each_cluster_id_is_kept(self) -> None:
        said = [seen("a", revision=7), seen("b", revision=9), seen("c", revision=3, cluster_id="other", leader="")]
        assert ticks(said, 1.0, 2.0) == (Tick(1.0, 2.0, CLUSTER, 9, led=True), Tick(1.0, 2.0, "other", 3, led=False))

    def test_nobody_who_answers_is_no_tick(self) -> None:
        assert ticks([], 1.0, 2.0) == ()


class TestLoss:
    def test_it_lies_between_the_two_looks_that_saw_the_first_write_come(self) -> None:
        known = [tick(10, 5), tick(20, 5), tick(30, 6), tick(40, 8), tick(100, 9)]
        assert loss(known, "c1", 5, since=0.0, now=101.0) == Loss(100 - 30, 101 - 19)

    def test_where_nothing_was_written_since_it_may_be_nothing(self) -> None:
        assert loss([tick(10, 5), tick(100, 5)], "c1", 5, since=0.0, now=103.0) == Loss(0.0, 103 - 99)

    def test_without_a_clock_it_is_at_most_the_age_of_the_backup(self) -> None:
        assert loss([], "c1", 5, since=40.0, now=100.0) == Loss(0.0, 60.0)

    def test_a_look_that_the_leader_had_no_part_in_proves_no_absence_of_writes(self) -> None:
        known = [tick(10, 5), tick(50, 5, led=False), tick(60, 6)]
        assert loss(known, "c1", 5, since=0.0, now=60.0) == Loss(0.0, 60 - 9)

    def test_of_a_cluster_that_is_down_the_time_since_is_no_loss_for_certain(self) -> None:
        known = [tick(10, 5), tick(20, 6), tick(30, 7)]
        assert loss(known, "c1", 5, since=0.0, now=1000.0) == Loss(10.0, 991.0)

    def test_another_cluster_of_that_name_says_nothing(self) -> None:
        assert loss([tick(10, 10**9, "c2")], "c1", 5, since=5.0, now=20.0) == Loss(0.0, 15.0)

    def test_a_clock_that_was_set_back_makes_no_loss_negative(self) -> None:
        known = [tick(50, 5), tick(20, 6), tick(60, 7)]
        found = loss(known, "c1", 5, since=0.0, now=10.0)
        assert 0.0 <= found.least_s <= found.most_s

    @given(st.lists(st.integers(1, 400), min_size=1, max_size=60), st.integers(1, 60), st.integers(3, 30))
    def test_the_true_loss_is_never_outside(self, gaps: list[int], revision: int, every: int) -> None:
        """Writes at known times, looked at every so often: the time of the first one that is lost lies within."""
        commits = [float(sum(gaps[: number + 1])) for number in range(len(gaps))]
        now = commits[-1] + every + 1
        looks = [float(at) for at in range(0, int(now), every)]
        known = [tick(at + 1, sum(each <= at for each in commits)) for at in looks]
        lost = commits[revision:]
        found = loss(known, "c1", revision, since=0.0, now=now)
        truth = now - lost[0] if lost else 0.0
        assert found.least_s <= truth <= found.most_s
        assert not lost or found.most_s - found.least_s <= 3 * every + 2


class TestThinning:
    def test_it_never_grows_without_bound(self) -> None:
        """More than a year of ticks, thinned now and then as the daemon does."""
        known: list[Tick] = []
        for day in range(400):
            known += [tick(day * DAY + n * 1000, day * 1000 + n) for n in range(86)]
            if day % 5 != 4:
                continue
            gone = set(superfluous(known, (day + 1) * DAY))
            known = [each for each in known if each not in gone]
        assert len(known) <= 92 * 87
        assert len(known) <= DENSE_S / EVERY_S + FORGET_S / SPARSE_S + 1

    def test_a_day_stays_as_it_was_heard(self) -> None:
        known = [tick(n * EVERY_S, n) for n in range(8640)]
        assert superfluous(known, 8640 * EVERY_S) == ()

    def test_older_than_a_day_the_last_of_each_span_stays(self) -> None:
        known = [tick(n * EVERY_S, n) for n in range(90)]
        gone = superfluous(known, 2 * DAY)
        assert [each.revision for each in known if each not in gone] == [29, 59, 89]

    def test_the_highest_of_a_cluster_id_stays_for_ever(self) -> None:
        known = [tick(1, 5), tick(2, 9), tick(3, 7), tick(4, 2, "c2")]
        gone = superfluous(known, 1000 * DAY)
        assert [each for each in known if each not in gone] == [tick(2, 9), tick(4, 2, "c2")]


class TestFile:
    def test_what_was_added_is_there_for_another_process(self, tmp_path: Path) -> None:
        here, there = SqliteTicks(tmp_path / "clock.db"), SqliteTicks(tmp_path / "clock.db")
        here.add("demo", (tick(10, 5), tick(10, 7, "c2")))
        here.add("other", (tick(11, 99),))
        here.add("demo", (tick(20, 6, led=False),))
        assert there.since("demo", 15) == (tick(20, 6, led=False),)
        assert len(there.since("demo", 0)) == 3
        assert (there.highest("demo"), there.highest("nobody")) == (7, 0)

    def test_thinning_forgets_what_is_superfluous_and_nothing_else(self, tmp_path: Path) -> None:
        file = SqliteTicks(tmp_path / "clock.db")
        file.add("demo", tuple(tick(n * EVERY_S, n) for n in range(90)))
        file.add("other", (tick(1, 1), tick(2, 2)))
        file.thin("demo", 2 * DAY)
        assert [each.revision for each in file.since("demo", 0)] == [29, 59, 89]
        assert len(file.since("other", 0)) == 2

    def test_asking_makes_no_file(self, tmp_path: Path) -> None:
        file = SqliteTicks(tmp_path / "clock.db")
        file.thin("demo", 0)
        assert (file.since("demo", 0), file.highest("demo"), list(tmp_path.iterdir())) == ((), 0, [])

    @pytest.mark.parametrize("use", [lambda file: file.highest("demo"), lambda file: file.add("demo", (tick(1, 1),))])
    def test_a_damaged_file_is_named(self, tmp_path: Path, use: Callable[[SqliteTicks], object]) -> None:
        (tmp_path / "clock.db").write_bytes(b"no database at all" * 100)
        with pytest.raises(Failed, match="clock.db"):
            use(SqliteTicks(tmp_path / "clock.db"))


class TestLook:
    def test_it_is_on_record_who_answered_and_how_far_they_are(self, tmp_path: Path) -> None:
        cluster = FakeCluster(revision=41, silent={"b"})
        file = SqliteTicks(tmp_path / "clock.db")
        times = iter((100.0, 101.5))
        heard = RevisionClock(cluster, file, lambda: next(times)).tick("demo", inventory(tmp_path).clusters["demo"])
        assert file.since("demo", 0) == (Tick(100.0, 101.5, CLUSTER, 41, led=True),)
        assert [name for name, each in heard.items() if isinstance(each, Silence)] == ["b"]

    def test_where_nobody_answers_nothing_is_recorded(self, tmp_path: Path) -> None:
        cluster = FakeCluster(silent={"a", "b", "c"})
        file = SqliteTicks(tmp_path / "clock.db")
        RevisionClock(cluster, file, lambda: 1.0).tick("demo", inventory(tmp_path).clusters["demo"])
        assert not file.path.exists()


class TestHighWater:
    def surveyor(self, scene: Scene, clocked: Callable[[str], int]) -> Surveyor:
        whole = scene.surveyor()
        return replace(whole, clocked=clocked)

    def test_a_restore_goes_above_what_only_the_clock_has_seen(self, tmp_path: Path) -> None:
        file = SqliteTicks(tmp_path / "clock.db")
        file.add("demo", (tick(1, 3 * 10**9, "an id of before"),))
        whole, scene = inventory(tmp_path), Scene(tmp_path)
        seen = self.surveyor(scene, file.highest).survey("demo", whole.clusters["demo"], whole.stores["here"])
        assert seen.high_water() == 3 * 10**9

    def test_a_damaged_clock_keeps_nobody_from_restoring(self, tmp_path: Path) -> None:
        (tmp_path / "clock.db").write_bytes(b"no database at all" * 100)
        whole, scene = inventory(tmp_path), Scene(tmp_path)
        clocked = SqliteTicks(tmp_path / "clock.db").highest
        seen = self.surveyor(scene, clocked).survey("demo", whole.clusters["demo"], whole.stores["here"])
        assert seen.high_water() == max(each.revision for each in seen.manifests)
