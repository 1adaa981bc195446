"""Bad days of a real S3 server: no manifest without a sound object, no upload left open, the next run good."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from activities.adapters.s3 import S3Store
from deploy.lab import s3 as lab_s3
from quorate.backup import BackupResult
from quorate.backups.catalogue import load
from quorate.errors import QuorateError
from tests.contracts.test_store import s3_store
from tests.fakes import database
from tests.fakes.etcd import FakeCluster
from tests.faulty_s3 import Asked, Fault, Faults, Weather, weather
from tests.workflows.test_backup import Bench, Clock, a_cluster

pytestmark = pytest.mark.server
MIB = 24  # three parts of 5 MiB: half of it is compressed away


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab_s3.S3]:
    from deploy.lab.binaries import VERSITYGW, make

    make(VERSITYGW, print)
    folder = tmp_path_factory.mktemp("s3")
    server = lab_s3.start(folder, "weather")
    yield server
    lab_s3.stop(folder)


@dataclass
class Day:
    """A backup through the weather, and the same store in fair weather to look at it."""

    bench: Bench
    weather: Weather
    fair: S3Store

    def fails(self, faults: Faults) -> QuorateError:
        """And leaves nothing that counts, nor anything that is under way."""
        self.weather.faults = faults
        with pytest.raises(QuorateError) as caught:
            self.bench.carry_out()
        assert any(faults(each) for each in self.weather.asked), "the weather was fair"
        assert load(self.fair, "prod") == ()
        return caught.value

    def then_is_good(self, before: int = 0) -> None:
        """A minute later, in fair weather; whatever the dead attempt could not end is ended by it."""
        self.weather.faults = lambda _: None
        later = replace(self.bench, clock=replace(self.bench.clock, now=self.bench.clock.now + 60))
        assert later.carry_out().outcome == "verified"
        made = load(self.fair, "prod")[-1]
        assert len(load(self.fair, "prod")) == before + 1
        assert sum(len(chunk) for chunk in self.fair.get(made.key)) == made.stored_bytes
        assert self.left_open() == []

    def left_open(self) -> list[str]:
        answer = self.fair.client.list_multipart_uploads(
            Bucket=self.fair.settings.bucket, Prefix=self.fair.settings.prefix
        )
        return [row["Key"] for row in answer.get("Uploads", [])]


@pytest.fixture
def day(s3_server: lab_s3.S3, tmp_path: Path) -> Iterator[Day]:
    with weather(s3_server.endpoint) as (endpoint, now):
        prefix = f"days/{tmp_path.name}"
        through = s3_store(replace(s3_server, endpoint=endpoint), prefix)
        yield Day(Bench(large(), through), now, s3_store(s3_server, prefix))


def large() -> FakeCluster:
    cluster = a_cluster()
    cluster.sends = lambda _: database.large(MIB)
    cluster.revision, cluster.history = 100, []
    return cluster


def always(verb: str, *words: str, fault: Fault) -> Faults:
    return lambda asked: fault if asked.is_(verb, *words) else None


def once(verb: str, *words: str, fault: Fault) -> Faults:
    return lambda asked: fault if asked.is_(verb, *words) and asked.number == 1 else None


def from_the(number: int, verb: str, *words: str, fault: Fault) -> Faults:
    return lambda asked: fault if asked.is_(verb, *words) and asked.number >= number else None


AWAY = Fault(reset=True)
BUSY = Fault(status=503, code="SlowDown")
BROKEN = Fault(status=500, code="InternalError")
EXPIRED = Fault(status=403, code="ExpiredToken")
AMIDST = 700  # pieces of 32 KiB: the first parts are in the store by then
PART, BEGIN, END = ("PUT", "partNumber"), ("POST", "uploads"), ("POST", "uploadId")
OBJECT = ("GET", "snapshot.db")


def everything(fault: Fault) -> Faults:
    return lambda _: fault


class TestItPasses:
    """What a store gets over by itself is tried again without anybody noticing."""

    @pytest.mark.parametrize("fault", [AWAY, BUSY, BROKEN], ids=["reset", "slow down", "internal error"])
    @pytest.mark.parametrize("at", [PART, BEGIN, OBJECT], ids=["part", "begin", "read-back"])
    def test_a_fault_that_passes_costs_nothing(self, day: Day, at: tuple[str, str], fault: Fault) -> None:
        day.weather.faults = once(*at, fault=fault)
        assert day.bench.carry_out().outcome == "verified"
        assert any(day.weather.faults(each) for each in day.weather.asked)
        assert day.left_open() == []

    def test_a_slow_store_is_waited_for(self, day: Day) -> None:
        day.weather.faults = once(*PART, fault=Fault(slow_s=6))
        assert day.bench.carry_out().outcome == "verified"


class TestItDoesNot:
    @pytest.mark.parametrize("fault", [AWAY, BUSY, BROKEN], ids=["away", "slow down", "internal error"])
    def test_before_anything_was_stored(self, day: Day, fault: Fault) -> None:
        assert day.fails(everything(fault)).retryable
        assert day.fair.ls("") == ()
        day.then_is_good()

    @pytest.mark.parametrize("fault", [AWAY, BUSY], ids=["away", "slow down"])
    def test_in_the_middle_of_the_stream(self, day: Day, fault: Fault) -> None:
        assert day.fails(from_the(2, *PART, fault=fault)).retryable
        assert day.left_open() == []
        day.then_is_good()

    def test_in_the_middle_and_it_cannot_even_be_told_to_forget(self, day: Day) -> None:
        """The upload stays open, until the next run finds it."""

        def gone(asked: Asked) -> Fault | None:
            ending = asked.is_("DELETE", "uploadId")
            return AWAY if ending or (asked.is_(*PART) and asked.number > 1) else None

        day.fails(gone)
        assert len(day.left_open()) == 1
        day.then_is_good()

    def test_when_it_is_read_back(self, day: Day) -> None:
        assert day.fails(always(*OBJECT, fault=AWAY)).retryable
        day.then_is_good()

    def test_when_the_manifest_is_written(self, day: Day) -> None:
        assert day.fails(always("PUT", "manifest.json", fault=BUSY)).retryable
        day.then_is_good()

    def test_credentials_that_expire_in_the_middle_are_told_and_not_tried_for_ever(self, day: Day) -> None:
        error = day.fails(from_the(2, *PART, fault=EXPIRED))
        assert (error.kind, error.retryable, "ExpiredToken" in str(error)) == ("denied", False, True)
        day.then_is_good()

    def test_a_part_that_was_lost_is_noticed_when_they_are_put_together(self, day: Day) -> None:
        day.fails(once(*PART, fault=Fault(lose=True)))
        assert [stored.key for stored in day.fair.ls("") if "snapshot" in stored.key] == []
        day.then_is_good()

    def test_a_part_that_was_damaged_on_its_way_is_refused_by_its_checksum(self, day: Day) -> None:
        day.fails(always(*PART, fault=Fault(spoil=True)))
        assert day.left_open() == []
        day.then_is_good()

    def test_an_answer_that_ends_too_early_is_no_backup(self, day: Day) -> None:
        assert day.fails(always(*OBJECT, fault=Fault(cut=True))).retryable
        day.then_is_good()

    def test_the_end_of_an_upload_that_is_answered_with_an_error_leaves_nothing_that_counts(self, day: Day) -> None:
        day.fails(always(*END, fault=BROKEN))
        assert day.left_open() == []
        day.then_is_good()


class TestTwoDaemons:
    """Each with a state directory of its own, and neither knows of the other but by the store."""

    def test_neither_ends_what_the_other_stores_and_the_one_that_sees_it_says_so(self, day: Day) -> None:
        second = Bench(large(), day.fair, clock=Clock(time.time()))  # the clock of the store
        found: list[BackupResult] = []

        def meanwhile(_: Iterator[bytes]) -> Iterator[bytes]:
            for number, piece in enumerate(database.large(MIB)):
                if number == AMIDST:
                    found.append(second.carry_out())
                yield piece

        cluster = day.bench.cluster
        assert isinstance(cluster, FakeCluster)
        cluster.sends = meanwhile
        assert day.bench.carry_out().outcome == "verified"
        (other,) = found
        assert other.outcome == "degraded"
        assert ["another machine is storing prod/" in each for each in other.findings] == [True]
        assert {each.outcome for each in load(day.fair, "prod")} == {"verified", "degraded"}
        assert day.left_open() == []
        cluster.sends = lambda _: database.large(MIB)
        day.then_is_good(before=2)
