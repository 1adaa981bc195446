"""What passes as a snapshot, and what is noticed while it passes."""

import hashlib
import random

import pytest

from quorate.database.snapshot import PIECE_BYTES, Examination, Facts, joined
from quorate.errors import Corrupt
from tests.fakes.database import PAGE, database, key, of_revisions, snapshot


def examined(whole: bytes, piece: int = PIECE_BYTES) -> Facts:
    examination = Examination()
    for each in joined((whole[at : at + 1000] for at in range(0, len(whole), 1000)), piece):
        examination.feed(each)
    return examination.facts()


def rows(first: int, last: int, size: int = 5) -> list[tuple[bytes, bytes]]:
    return [(key(revision), b"v" * size) for revision in range(first, last + 1)]


def test_a_sound_snapshot_says_its_size_its_hashes_and_its_revision() -> None:
    whole = of_revisions(2, 500)
    assert examined(whole) == Facts(
        size_bytes=len(whole),
        sha256=hashlib.sha256(whole).hexdigest(),
        db_sha256=hashlib.sha256(whole[:-32]).hexdigest(),
        revision=500,
    )


@pytest.mark.parametrize("cut", [1, 32, 33, 512, PAGE, PAGE + 32, 10 * PAGE])
def test_a_snapshot_that_was_cut_off_is_corrupt(cut: int) -> None:
    with pytest.raises(Corrupt):
        examined(of_revisions(2, 2000)[:-cut])


def test_a_snapshot_with_more_behind_it_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="its meta page says"):
        examined(of_revisions(2, 50) + bytes(PAGE))


def test_an_empty_snapshot_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="empty"):
        examined(b"")


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_anywhere_is_noticed(seed: int) -> None:
    whole = bytearray(of_revisions(2, 300))
    whole[random.Random(seed).randrange(len(whole))] ^= 1 << seed % 8
    with pytest.raises(Corrupt):
        examined(bytes(whole))


def test_a_wrong_trailer_is_told_with_both_hashes() -> None:
    whole = of_revisions(2, 50)
    with pytest.raises(Corrupt, match=f"is {whole[-32:].hex()}, its trailer says {'00' * 32}"):
        examined(whole[:-32] + bytes(32))


@pytest.mark.parametrize("junk", [b"5 byte", bytes(PAGE * 3 + 32), b"\xff" * (PAGE * 8 + 32)])
def test_what_is_no_database_is_corrupt_at_its_first_piece(junk: bytes) -> None:
    with pytest.raises(Corrupt, match="meta page"):
        Examination().feed(junk)


def test_free_pages_may_hold_later_revisions_and_do_not_count() -> None:
    """Etcd reuses free pages while it sends, so they may hold what was written after the snapshot began."""
    db = database([rows(2, 20), rows(21, 40)], free=[rows(41, 60), rows(900, 910)])
    assert examined(snapshot(db)).revision == 40


def test_an_empty_database_is_at_revision_one() -> None:
    assert examined(snapshot(database([[]]))).revision == 1


def test_a_tombstone_counts() -> None:
    assert examined(snapshot(database([[*rows(2, 9), (key(10, 0, tombstone=True), b"")]]))).revision == 10


@pytest.mark.parametrize("apart", [False, True])
def test_a_compaction_beyond_the_last_key_is_the_revision(apart: bool) -> None:
    assert examined(snapshot(database([rows(2, 9)], compacted=12, meta_apart=apart))).revision == 12
    assert examined(snapshot(database([rows(2, 9)], compacted=5, meta_apart=apart))).revision == 9


def test_the_buckets_may_be_spread_over_two_pages() -> None:
    assert examined(snapshot(database([rows(2, 9)], compacted=12, root_split=True))).revision == 12


@pytest.mark.parametrize("page_bytes", [4096, 16384, 65536])
def test_any_page_size_is_read(page_bytes: int) -> None:
    db = database([rows(2, 20), rows(21, 33)], page_bytes=page_bytes)
    assert examined(snapshot(db)).revision == 33


@pytest.mark.parametrize("size", [3000, 4096, 70_000, 1_500_000])
def test_a_last_key_behind_large_values_is_found_across_pieces(size: int) -> None:
    db = database([rows(2, 3, size), [(key(4), b"x" * size), (key(5), b"y" * size), (key(6), b"z")]])
    for piece in (64 << 10, 1 << 20):
        assert examined(snapshot(db), piece).revision == 6


@pytest.mark.parametrize("pad", range(0, 64, 4))
def test_a_key_that_straddles_two_pieces_is_read(pad: int) -> None:
    size = (64 << 10) - 2 * PAGE - 500 + pad
    db = database([[(key(2), b"x" * size), (key(3), b"y")]])
    assert examined(snapshot(db), 64 << 10).revision == 3


def test_pieces_are_of_one_size_and_lose_nothing() -> None:
    whole = bytes(range(256)) * 100
    pieces = list(joined([whole[:7], whole[7:20_000], b"", whole[20_000:]], 4096))
    assert b"".join(pieces) == whole
    assert {len(piece) for piece in pieces[:-1]} == {4096}
