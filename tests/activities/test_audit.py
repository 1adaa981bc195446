import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from activities.adapters.journal import FileJournals
from quorate.audit import Act, broken, masked, sealed
from quorate.converge import Ran
from quorate.errors import Failed


def trail(tmp_path: Path, chains: tuple[str, ...] = ("one", "two"), *, seal: bool = True) -> Path:
    for chain in chains:
        journal = FileJournals(tmp_path, chain, lambda: 0.0).at("op")
        for step in ("claim", "stage", "swap"):
            seq = journal.intent(Act("op", step, "a", ("mv", "x"), "ann", 1, 1))
            journal.outcome(seq, Ran("mv x", 0, "done"))
    if seal:
        journal.seal()
    return tmp_path / "op" / "audit"


def read(directory: Path) -> dict[str, list[str]]:
    return {path.name: path.read_text().splitlines() for path in directory.glob("*.jsonl")}


@contextmanager
def room(size_bytes: int) -> Iterator[None]:
    """No file of ours can grow beyond that: what is written is taken as far as it goes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("fits", [0, 40, 500, 900])
def test_of_a_record_that_the_disk_has_no_room_for_nothing_is_left_and_the_chain_goes_on(
    tmp_path: Path, fits: int
) -> None:
    journal = FileJournals(tmp_path, "one", lambda: 0.0).at("op")
    act = Act("op", "swap", "a", ("mv", "x"), "ann", 1, 1)

    def many() -> None:
        for _ in range(9):
            journal.intent(act)

    with room(fits), pytest.raises(Failed, match="the audit trail cannot be written"):
        many()
    for _ in range(2):
        journal.outcome(journal.intent(act), Ran("mv x", 0, "done"))
    journal.seal()
    chains = read(tmp_path / "op" / "audit")
    assert broken(chains) == ()
    assert sealed(chains["one.jsonl"])


def test_an_untouched_trail_is_whole(tmp_path: Path) -> None:
    chains = read(trail(tmp_path))
    assert broken(chains) == ()
    assert sealed(chains["two.jsonl"])


@pytest.mark.parametrize("line", range(1, 7))
@pytest.mark.parametrize("chain", ["one.jsonl", "two.jsonl"])
def test_a_changed_record_is_found(tmp_path: Path, chain: str, line: int) -> None:
    chains = read(trail(tmp_path))
    record = json.loads(chains[chain][line])
    chains[chain][line] = json.dumps({**record, "time": "2020-01-01"}, sort_keys=True, separators=(",", ":"))
    assert broken(chains)


@pytest.mark.parametrize("line", range(7))
def test_a_missing_record_is_found_wherever_it_was(tmp_path: Path, line: int) -> None:
    chains = read(trail(tmp_path))
    del chains["one.jsonl"][line]
    assert broken(chains)


def test_reordered_records_are_found(tmp_path: Path) -> None:
    chains = read(trail(tmp_path))
    lines = chains["one.jsonl"]
    lines[2], lines[3] = lines[3], lines[2]
    assert broken(chains)


def test_a_missing_chain_is_found(tmp_path: Path) -> None:
    chains = read(trail(tmp_path))
    del chains["one.jsonl"]
    assert "chain one.jsonl is missing" in broken(chains)[0]


def test_a_cut_off_tail_of_an_open_trail_is_said_to_be_one(tmp_path: Path) -> None:
    chains = read(trail(tmp_path, ("one",), seal=False))
    chains["one.jsonl"][-1] = chains["one.jsonl"][-1][:20]
    assert "may be cut off" in broken(chains)[0]


def test_secrets_that_got_into_an_argv_do_not_get_into_the_trail() -> None:
    assert masked(("x", "--password=hunter2", "token: abc")) == ["x", "--password=***", "token: ***"]


def test_a_second_daemon_starts_a_chain_of_its_own(tmp_path: Path) -> None:
    directory = trail(tmp_path)
    first = json.loads((directory / "two.jsonl").read_text().splitlines()[0])
    assert list(first["follows"]) == ["one.jsonl"]
