"""What is remembered of stores: in memory, and in the file that the daemon and commands share."""

import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from activities.adapters.sqlite_memory import SqliteMemory
from quorate.errors import Failed
from quorate.ports import Memory, Noted, Remembered, Stored
from tests.fakes.memory import PlainMemory

ONE, TWO = Stored("prod/1/manifest.json", 3, "e1"), Stored("prod/2/manifest.json", 3, "e2")
PLACE = ("s3://b/p at here", "prod")


@pytest.fixture(params=["plain", "sqlite"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Memory:
    return PlainMemory() if request.param == "plain" else SqliteMemory(tmp_path / "catalogue.db")


def etags(found: Remembered) -> list[str]:
    return [each.etag for each in found.listing]


def test_of_what_was_never_seen_nothing_is_remembered(memory: Memory) -> None:
    assert memory.recall(*PLACE) == Remembered()
    assert memory.writes(*PLACE) == 0
    memory.forget(*PLACE)


def test_what_was_kept_is_recalled_for_that_place_and_cluster_alone(memory: Memory) -> None:
    memory.keep(*PLACE, (ONE, TWO), [Noted(ONE, b"one")], 7.0, 0)
    found = memory.recall(*PLACE)
    assert (found.listing, found.compared, found.noted) == ((ONE, TWO), 7.0, {ONE.key: Noted(ONE, b"one")})
    assert etags(found) == ["e1", "e2"]
    assert found.noted[ONE.key].stored.etag == "e1"
    assert memory.recall("elsewhere", "prod") == memory.recall(PLACE[0], "other") == Remembered()


def test_the_newest_alone_can_be_recalled(memory: Memory) -> None:
    """By the time in its name, whatever id its cluster had."""
    keys = ("prod/c1/20260102T000000Z-7", "prod/c1/20260104T000000Z-9", "prod/c0/20260103T000000Z-1")
    all_of_them = tuple(Stored(f"{each}/manifest.json", 3, "e") for each in sorted(keys))
    memory.keep(*PLACE, all_of_them, [Noted(each, b"one") for each in all_of_them], 7.0, 0)
    found = memory.recall(*PLACE, last=2)
    assert {each.rpartition("/")[0] for each in found.noted} == set(keys[1:])
    assert {each.key for each in found.listing} == found.noted.keys()
    assert (found.objects, found.older, found.compared) == (3, 1, 7.0)
    assert len(memory.recall(*PLACE, last=9).noted) == len(memory.recall(*PLACE).noted) == 3


def test_what_is_not_listed_any_more_is_forgotten_and_what_is_stays(memory: Memory) -> None:
    memory.keep(*PLACE, (ONE, TWO), [Noted(ONE, b"one"), Noted(TWO, b"two")], 7.0, 0)
    memory.keep(*PLACE, (TWO,), [], 8.0, 0)
    found = memory.recall(*PLACE)
    assert (list(found.noted), found.listing, found.compared) == ([TWO.key], (TWO,), 8.0)


def test_what_was_read_again_takes_the_place_of_what_was_known(memory: Memory) -> None:
    memory.keep(*PLACE, (ONE,), [Noted(ONE, b"one")], 7.0, 0)
    other = Stored(ONE.key, 3, "e9")
    memory.keep(*PLACE, (other,), [Noted(other, b"eno")], 8.0, 0)
    assert memory.recall(*PLACE).noted[ONE.key].text == b"eno"
    assert etags(memory.recall(*PLACE)) == ["e9"]


def test_a_write_makes_it_old_and_so_does_one_during_the_comparison(memory: Memory) -> None:
    memory.keep(*PLACE, (ONE,), [], 7.0, memory.writes(*PLACE))
    memory.wrote(*PLACE)
    assert memory.recall(*PLACE).compared == 0
    before = memory.writes(*PLACE)
    memory.wrote(*PLACE)
    memory.keep(*PLACE, (ONE,), [], 8.0, before)
    assert memory.recall(*PLACE).compared == 0
    memory.keep(*PLACE, (ONE,), [], 9.0, memory.writes(*PLACE))
    assert memory.recall(*PLACE).compared == 9.0


def test_a_verdict_is_kept_with_whom_it_is_of(memory: Memory) -> None:
    memory.keep(*PLACE, (ONE, TWO), [Noted(ONE, b"one"), Noted(TWO, b"two")], 7.0, 0)
    memory.judge(*PLACE, "t1", {ONE.key: "not signed"})
    found = memory.recall(*PLACE).noted
    assert [(each.trust, each.doubt) for each in found.values()] == [("t1", "not signed"), ("", "")]


def test_what_is_forgotten_is_not_fresh_and_what_is_written_meanwhile_still_counts(memory: Memory) -> None:
    memory.keep(*PLACE, (ONE,), [Noted(ONE, b"one")], 7.0, 0)
    memory.forget(*PLACE)
    assert memory.recall(*PLACE) == Remembered()


@pytest.fixture
def file(tmp_path: Path) -> SqliteMemory:
    memory = SqliteMemory(tmp_path / "catalogue.db")
    memory.keep(*PLACE, (ONE,), [Noted(ONE, b"one")], 7.0, 0)
    return memory


def test_nobody_else_can_read_the_file(file: SqliteMemory) -> None:
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", [b"no database at all" * 400, b""])
def test_a_damaged_file_is_made_anew(file: SqliteMemory, damage: bytes) -> None:
    file.path.write_bytes(damage)
    found = file.recall(*PLACE)
    assert (found.listing, found.noted) == ((), {})
    assert "catalogue.db" in found.said
    assert not file.path.exists()
    file.keep(*PLACE, (ONE,), [Noted(ONE, b"one")], 7.0, 0)
    assert file.recall(*PLACE).compared == 7.0


def test_one_of_another_version_is_made_anew_too(file: SqliteMemory) -> None:
    with sqlite3.connect(file.path) as database:
        database.execute("PRAGMA user_version = 99")
    assert "of another version" in file.recall(*PLACE).said
    assert file.recall(*PLACE) == Remembered()


def test_a_manifest_that_was_changed_in_the_file_is_not_recalled(file: SqliteMemory) -> None:
    with sqlite3.connect(file.path) as database:
        database.execute("UPDATE manifests SET text = ?", (b"eno",))
    assert file.recall(*PLACE).noted == {}


def test_a_file_that_cannot_be_written_to_is_still_read(file: SqliteMemory) -> None:
    file.path.chmod(0o400)
    file.path.parent.chmod(0o500)
    try:
        assert file.recall(*PLACE).compared == 7.0
        if os.geteuid():
            with pytest.raises(Failed, match=r"catalogue\.db"):
                file.wrote(*PLACE)
    finally:
        file.path.parent.chmod(0o700)


def test_where_no_file_can_be_made_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"catalogue\.db"):
        SqliteMemory(tmp_path / "nowhere" / "catalogue.db").wrote(*PLACE)


def test_many_write_at_once_and_nothing_is_lost(file: SqliteMemory) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: SqliteMemory(file.path).wrote(*PLACE), range(40)))
    assert file.writes(*PLACE) == 40
