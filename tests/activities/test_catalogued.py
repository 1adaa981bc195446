"""The catalogue as it is remembered: the same as the store's, and never better."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from activities.adapters.directory import DirectoryStore
from activities.adapters.own_key import own_key
from activities.adapters.signatures import SshSignatures
from activities.adapters.sqlite_memory import SqliteMemory
from activities.backups.noticed import NoticedStore
from activities.clusters.catalogued import FRESH_S, PAGE, Catalogued, Glance
from quorate.backups.catalogue import Manifest, shelf
from quorate.backups.marks import Kind, Mark, put
from quorate.backups.provenance import signed, why_not
from quorate.errors import Failed, Missing, Unreachable
from quorate.ports import Noted, Remembered, Stored
from tests.fakes.memory import PlainMemory
from tests.fakes.store import MemoryStore
from tests.quorate.test_catalogue import AT, made, stored

pytestmark = pytest.mark.slow

MANY = 501  # each is two objects: more than one page


@dataclass
class Counted(MemoryStore):
    """Knows what was asked of it."""

    got: list[str] = field(default_factory=list)
    listed: int = 0

    def get(self, key: str) -> Iterable[bytes]:  # type: ignore[override]
        self.got.append(key)
        return super().get(key)

    def ls(self, prefix: str) -> tuple[Stored, ...]:
        self.listed += 1
        return super().ls(prefix)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    store: Counted
    memory: PlainMemory = field(default_factory=PlainMemory)
    clock: Clock = field(default_factory=Clock)

    def catalogued(self) -> Catalogued:
        """As another process has it."""
        return Catalogued(self.memory, "here", "prod", self.clock)

    @property
    def noticed(self) -> NoticedStore:
        return NoticedStore(self.store, self.memory, "here")


def bench(*manifests: Manifest) -> Bench:
    return Bench(Counted(stored(*manifests).objects))


def many() -> Bench:
    return bench(*(made(minutes) for minutes in range(MANY)))


def test_what_is_looked_at_is_what_lies_in_the_store() -> None:
    here = bench(made(), made(1), made(2))
    here.store.objects[made(1).manifest_key] = b"{}"
    del here.store.objects[made(2).key]
    put(here.store, Mark(made().directory, Kind.VERIFIED, datetime.now(UTC), "ada", "verify-1"))
    for _ in range(2):
        assert here.catalogued().look(here.store) == shelf(here.store, "prod")


def test_no_manifest_is_read_twice_whoever_looks() -> None:
    here = bench(made(), made(1))
    here.catalogued().look(here.store)
    here.store.got.clear()
    again = here.catalogued()
    assert again.look(here.store).manifests == (made(), made(1))
    assert again.look(here.store).manifests == (made(), made(1))
    assert here.store.got == []


def test_one_that_was_replaced_in_the_store_is_read_again() -> None:
    """Nobody of ours writes a manifest twice; somebody else may."""
    here = bench(made())
    looking = here.catalogued()
    looking.look(here.store)
    other = made().model_copy(update={"actor": "eve"})
    here.store.objects[made().manifest_key] = other.encode()
    assert looking.look(here.store).manifests == (other,)
    assert here.catalogued().look(here.store).manifests == (other,)


def test_one_that_has_gone_is_forgotten() -> None:
    here = bench(made(), made(1))
    here.catalogued().look(here.store)
    here.store.remove(made().manifest_key)
    assert here.catalogued().look(here.store).manifests == (made(1),)
    assert list(here.memory.recall("here", "prod").noted) == [made(1).manifest_key]


def test_one_that_goes_between_the_listing_and_the_reading_is_not_there() -> None:
    @dataclass
    class Going(Counted):
        def get(self, key: str) -> Iterable[bytes]:
            if key == made().manifest_key:
                raise Missing(key)
            return super().get(key)

    here = Bench(Going(stored(made(), made(1)).objects))
    found = here.catalogued().look(here.store)
    assert (found.manifests, found.damaged, found.strays) == ((made(1),), {}, {})


def test_a_store_that_is_away_is_an_error_and_forgets_nothing() -> None:
    here = many()
    here.catalogued().look(here.store)

    @dataclass
    class Away(Counted):
        def ls(self, prefix: str) -> tuple[Stored, ...]:
            raise Unreachable("away")

    with pytest.raises(Unreachable):
        here.catalogued().look(Away())
    assert here.catalogued().glance() is not None


def test_what_fits_one_listing_is_compared_every_time() -> None:
    here = bench(made(), made(1))
    here.catalogued().look(here.store)
    assert len(here.memory.recall("here", "prod").listing) <= PAGE
    assert here.catalogued().glance() is None


def test_thousands_are_shown_without_the_store_as_long_as_they_are_fresh() -> None:
    here = many()
    here.catalogued().look(here.store)
    asked = here.store.listed
    here.clock.now += FRESH_S
    assert here.catalogued().glance() == Glance(shelf(MemoryStore(here.store.objects), "prod"), 1000.0)
    assert here.store.listed == asked
    here.clock.now += 1
    assert here.catalogued().glance() is None


def test_the_newest_of_thousands_are_shown_alone_and_those_before_are_counted() -> None:
    here = many()
    put(here.noticed, Mark(made(1).directory, Kind.PROTECTED, AT, "ada", "protect-1"))
    whole = here.catalogued().look(here.store)
    found = here.catalogued().glance(last=2)
    assert found
    assert found.shelf.manifests == whole.manifests[-2:]
    assert found.older == len(whole.manifests) - 2 > 0
    assert (found.shelf.marks, found.shelf.strays) == (whole.marks, {})
    assert here.catalogued().doubted(found.shelf, ("k",), lambda _: "nobody's") == dict.fromkeys(
        [each.id for each in found.shelf.manifests], "nobody's"
    )


def test_a_restore_on_record_is_known_and_one_that_is_recorded_here_makes_it_old() -> None:
    here = many()
    here.catalogued().look(here.store)
    before = here.catalogued().glance(last=2)
    here.noticed.put("prod/operations/restore-1/plan.json", [b"{}"], lambda _: None)
    assert here.catalogued().glance()
    here.noticed.put("prod/operations/restore-1/outcome.json", [b"{}"], lambda _: None)
    assert here.catalogued().glance() is None
    here.noticed.put("prod/operations/restore-1/outcome-7.json", [b"{}"], lambda _: None)
    here.noticed.put("prod/operations/backup-1/outcome.json", [b"{}"], lambda _: None)
    here.catalogued().look(here.store)
    after = here.catalogued().glance(last=2)
    assert before
    assert after
    assert (before.restores, after.restores) == (0, 2)


def test_a_clock_that_was_set_back_makes_nothing_fresh() -> None:
    here = many()
    here.catalogued().look(here.store)
    here.clock.now -= 60
    assert here.catalogued().glance() is None


def test_what_this_machine_writes_makes_it_old() -> None:
    here = many()
    here.catalogued().look(here.store)
    here.noticed.put("tools/etcdutl", [b"x"], lambda _: None)
    assert here.catalogued().glance()
    put(here.noticed, Mark(made().directory, Kind.PROTECTED, AT, "ada", "protect-1"))
    assert here.catalogued().glance() is None
    here.catalogued().look(here.store)
    assert here.catalogued().glance()
    here.noticed.remove(made().manifest_key)
    assert here.catalogued().glance() is None


def test_where_one_is_not_believed_the_store_is_asked_why() -> None:
    here = many()
    here.store.objects[made().manifest_key] = b"{}"
    here.catalogued().look(here.store)
    assert here.catalogued().glance() is None


@dataclass
class Broken:
    """A disk that is full, a file that is locked."""

    def fail(self, *_: object) -> None:
        raise Failed("the local catalogue: disk I/O error")

    recall = writes = keep = judge = wrote = forget = fail


def test_a_memory_that_fails_keeps_nobody_from_the_store() -> None:
    here = bench(made())
    looking = Catalogued(Broken(), "here", "prod")  # type: ignore[arg-type]
    looking.forget()
    found = looking.look(here.store)
    assert found.manifests == (made(),)
    assert looking.doubted(found, ("key",), lambda _: "not signed") == {made().id: "not signed"}
    assert "disk I/O error" in looking.said
    NoticedStore(here.store, Broken(), "here").put("prod/c1/20261121T104500Z-1/x", [b""], lambda _: None)  # type: ignore[arg-type]


class TestTrust:
    def test_a_signature_is_proved_once_for_the_same_keys(self, tmp_path: Path) -> None:
        key, other = own_key(tmp_path / "one"), own_key(tmp_path / "two")
        here = bench(signed(made(), key), made(1))
        proved: list[str] = []

        def doubted(trust: tuple[str, ...]) -> Mapping[str, str]:
            proved.clear()
            looking = here.catalogued()

            def why(manifest: Manifest) -> str:
                proved.append(manifest.id)
                return why_not(manifest, trust, SshSignatures())

            return looking.doubted(looking.look(here.store), trust, why)

        assert doubted((key.public_key,)) == {made(1).id: "its manifest is not signed"}
        assert len(proved) == 2
        assert doubted((key.public_key,)) == {made(1).id: "its manifest is not signed"}
        assert proved == []
        assert set(doubted((other.public_key,))) == {made().id, made(1).id}
        assert len(proved) == 2
        assert doubted(()) == {}

    def test_a_manifest_that_is_another_now_is_proved_again(self, tmp_path: Path) -> None:
        """What was said of the one before says nothing of it."""
        key = own_key(tmp_path / "one")
        here = bench(signed(made(), key))

        def doubted() -> Mapping[str, str]:
            looking = here.catalogued()
            trust = (key.public_key,)
            return looking.doubted(
                looking.look(here.store), trust, lambda each: why_not(each, trust, SshSignatures())
            )

        assert doubted() == {}
        here.store.objects[made().manifest_key] = made().encode()
        assert doubted() == {made().id: "its manifest is not signed"}


def test_a_file_that_was_made_by_hand_vouches_for_no_other_bytes(tmp_path: Path) -> None:
    """Who can write to the state directory can sign as well; but a flipped bit is nobody's signature."""
    memory, store = SqliteMemory(tmp_path / "catalogue.db"), DirectoryStore(str(tmp_path / "store"))
    store.put(made().key, [b"compressed"], lambda _: None)
    store.put(made().manifest_key, [made().encode()], lambda _: None)
    found = store.ls("prod/")
    stranger = Noted(next(each for each in found if each.key == made().manifest_key), made(1).encode(), "t", "")
    memory.keep("here", "prod", found, [stranger], 1.0, 0)
    assert Catalogued(memory, "here", "prod").look(store).manifests == (made(),)
    assert Remembered() == memory.recall("elsewhere", "prod")
