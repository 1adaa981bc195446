"""What lies in the store is looked at again by whoever wants to be sure, and taken out by whoever needs it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from activities.streams.fetched import fetched, looked_through
from quorate.backups.catalogue import PagesSeen
from quorate.errors import BadInput, Corrupt, Denied, QuorateError
from tests.activities.test_encrypted import Key
from tests.fakes.store import MemoryStore
from tests.workflows.test_backup import AGE, Bench, a_cluster, sent
from worker.cli.fetching import written


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return Key(tmp_path)


@pytest.fixture(params=["plain", "encrypted"])
def bench(request: pytest.FixtureRequest, key: Key) -> Bench:
    made = Bench(a_cluster(), MemoryStore())
    if request.param == "encrypted":
        made = replace(made, recipients=(key.recipient,), identities=(key.reference,))
    made.carry_out()
    return made


def taken(bench: Bench) -> bytes:
    return b"".join(fetched(bench.store, AGE, bench.manifest(), bench.identities))


def test_it_is_what_etcd_sent(bench: Bench) -> None:
    assert taken(bench) == sent(bench.cluster)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [lambda is_: is_[:-5] + bytes([is_[-5] ^ 1]) + is_[-4:], lambda is_: is_[:99] + is_[100:]]
)
def test_a_changed_byte_is_found_before_the_last_piece_is_given_away(
    bench: Bench, change: Callable[[bytes], bytes]
) -> None:
    assert isinstance(bench.store, MemoryStore)
    manifest, objects, got = bench.manifest(), bench.store.objects, list[bytes]()
    objects[manifest.key] = change(objects[manifest.key])
    with pytest.raises(QuorateError):
        got.extend(fetched(bench.store, AGE, manifest, bench.identities))
    assert sum(map(len, got)) < manifest.size_bytes


def test_another_snapshot_under_its_name_is_told_by_the_manifest(bench: Bench) -> None:
    lies = bench.manifest().model_copy(update={"revision": 1})
    with pytest.raises(Corrupt, match="its manifest says .* at 1 with"):
        b"".join(fetched(bench.store, AGE, lies, bench.identities))


def looked(bench: Bench, **differently: object) -> None:
    manifest = bench.manifest()
    assert manifest.content
    content = manifest.content.model_copy(update=differently)
    looked_through(bench.store, AGE, manifest.model_copy(update={"content": content}), bench.identities)


def test_its_content_is_what_its_manifest_says(bench: Bench) -> None:
    looked(bench)
    for lie in ({"digest": "0" * 64}, {"records": 1}, {"prefixes": {}}):
        with pytest.raises(Corrupt, match=f"{bench.manifest().id} holds 501 records with the content digest"):
            looked(bench, **lie)


def test_its_pages_are_as_many_as_its_manifest_says(bench: Bench) -> None:
    lies = bench.manifest().model_copy(update={"pages": PagesSeen(used=1, free=0, torn=0)})
    with pytest.raises(Corrupt, match=r"pages are in use, free and torn, its manifest says \(1, 0, 0\)"):
        looked_through(bench.store, AGE, lies, bench.identities)


def test_of_one_from_before_content_was_known_only_the_hashes_are_compared(bench: Bench) -> None:
    before = bench.manifest().model_copy(update={"content": None})
    looked_through(bench.store, AGE, before, bench.identities)
    with pytest.raises(Corrupt, match="its manifest says"):
        looked_through(bench.store, AGE, before.model_copy(update={"revision": 1}), bench.identities)


def test_without_a_key_an_encrypted_one_stays_closed(key: Key) -> None:
    made = Bench(a_cluster(), MemoryStore(), recipients=(key.recipient,))
    made.carry_out()
    with pytest.raises(Denied):
        taken(made)


class TestAFile:
    def test_it_appears_whole_and_for_its_owner_alone(self, tmp_path: Path) -> None:
        written(tmp_path / "db", iter((b"one ", b"two")))
        assert (tmp_path / "db").read_bytes() == b"one two"
        assert (tmp_path / "db").stat().st_mode & 0o777 == 0o600
        assert [path.name for path in tmp_path.iterdir()] == ["db"]

    def test_nothing_is_left_of_one_that_broke_off(self, tmp_path: Path) -> None:
        def broken() -> Iterator[bytes]:
            yield b"one"
            raise Corrupt("not what it was")

        with pytest.raises(Corrupt):
            written(tmp_path / "db", broken())
        assert list(tmp_path.iterdir()) == []

    def test_it_is_never_written_over_another(self, tmp_path: Path) -> None:
        (tmp_path / "db").write_bytes(b"mine")
        with pytest.raises(BadInput, match="is there already"):
            written(tmp_path / "db", iter((b"one",)))
        with pytest.raises(BadInput, match="cannot be written: No such file"):
            written(tmp_path / "nowhere" / "db", iter((b"one",)))
        assert (tmp_path / "db").read_bytes() == b"mine"
