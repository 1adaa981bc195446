"""What a database holds and which of its pages are sound, told while it passes a second time."""

import hashlib
import struct
from collections.abc import Iterator
from random import Random

import pytest

from quorate.database.bbolt import meta
from quorate.database.branches import Branches
from quorate.database.content import COUNTED_MAX, PREFIXES_MAX, REST, prefix_in, prefix_of
from quorate.database.pages import Pages, heard, told
from quorate.database.snapshot import PIECE_BYTES, joined
from quorate.database.walk import Walk, Walked
from quorate.errors import Corrupt
from tests.fakes.database import BRANCH, LEAF, PAGE, Element, database, inline, key, key_value, page
from tests.fakes.database import Pages as Made
from tests.fakes.database import meta as meta_page

ROWS = [(key(revision), key_value(b"/registry/pods/a/%d" % revision, b"v" * revision)) for revision in range(2, 300)]


def leaves(rows: list[Element], per_leaf: int) -> list[list[Element]]:
    return [rows[at : at + per_leaf] for at in range(0, len(rows), per_leaf)]


def by_hand(rows: list[Element]) -> str:
    hashes = (hashlib.sha256(len(name).to_bytes(8, "big") + name + value).digest() for name, value in rows)
    return f"{sum(int.from_bytes(each, 'big') for each in hashes) % 2**256:064x}"


def pieces(db: bytes, size: int) -> Iterator[bytes]:
    return joined(iter((db + bytes(32),)), size)


def walked(db: bytes, piece: int = PIECE_BYTES) -> Walked:
    first = Pages(meta(db))
    for each in pieces(db, piece):
        first.feed(each)
    walk = Walk(heard(told(first.end().uses)))
    for each in pieces(db, piece):
        walk.feed(each)
    return walk.end()


@pytest.mark.parametrize("per_leaf", [1, 7, 300])
def test_the_content_is_the_same_however_its_pages_lie(per_leaf: int) -> None:
    content = walked(database(leaves(ROWS, per_leaf))).content
    assert content.digest == by_hand(ROWS)
    assert content.records == len(ROWS)


def test_one_byte_one_record_or_one_key_more_is_another_content() -> None:
    changed = [*ROWS[:-1], (ROWS[-1][0], ROWS[-1][1][:-1] + b"w")]
    moved = [*ROWS[:-1], (key(300), ROWS[-1][1])]
    digests = {walked(database(leaves(rows, 20))).content.digest for rows in (ROWS, changed, moved, ROWS[:-1])}
    assert len(digests) == 4


@pytest.mark.parametrize("size", [3000, 4096, 70_000, 1_500_000])
@pytest.mark.parametrize("piece", [4 << 10, 64 << 10, 1 << 20])
def test_a_record_of_many_pages_is_one(size: int, piece: int) -> None:
    rows = [(key(revision), key_value(b"/a/b/c", bytes([revision]) * size)) for revision in range(2, 6)]
    found = walked(database(leaves(rows, 3)), piece)
    assert (found.content.digest, found.content.records) == (by_hand(rows), 4)
    assert found.free == 0


@pytest.mark.parametrize("page_bytes", [4096, 16384, 65536])
def test_any_page_size_is_walked(page_bytes: int) -> None:
    assert walked(database(leaves(ROWS, 20), page_bytes=page_bytes)).content.digest == by_hand(ROWS)


def test_what_follows_the_last_page_belongs_to_nobody() -> None:
    db = database(leaves(ROWS, 20))
    assert walked(db + bytes(1 << 16), 4096) == walked(db)


def test_a_bucket_that_lies_in_the_page_of_buckets_is_counted_too() -> None:
    pages = Made(PAGE)
    root = pages.leaf([(b"alarm", inline([])), (b"key", inline(ROWS[:3])), (b"meta", inline([]))], 1)
    db = database([[]])[: 3 * PAGE] + b"".join(pages.made)
    found = walked(remade(db, root, pages.next))
    assert (found.content.digest, found.content.records) == (by_hand(ROWS[:3]), 3)


def remade(db: bytes, root: int, pages: int) -> bytes:
    return meta_page(0, root, pages, 9) + meta_page(1, root, pages, 8) + db[2 * PAGE :]


class TestPages:
    def test_free_pages_are_counted_and_nothing_in_them_is(self) -> None:
        db = database(leaves(ROWS, 20), free=[ROWS[:5], ROWS[5:9]])
        found = walked(db)
        assert found.content.digest == by_hand(ROWS)
        assert (found.used + found.free, found.free, found.torn) == (len(db) // PAGE, 2, 0)

    def test_a_free_page_that_is_half_written_is_torn_and_harms_nobody(self) -> None:
        db = database(leaves(ROWS, 20), free=[ROWS[:5]])
        at = next(at for at in range(3 * PAGE, len(db), PAGE) if free(db, at))
        found = walked(changed(db, at + 16 + 16 * 4 + 12, struct.pack("<I", 1 << 20)))
        assert (found.content.digest, found.free, found.torn) == (by_hand(ROWS), 1, 1)

    def test_it_counts_what_a_database_without_a_free_page_has(self) -> None:
        db = database(leaves(ROWS, 20), root_split=True, meta_apart=True, compacted=5)
        assert (walked(db).used, walked(db).free) == (len(db) // PAGE, 0)

    @pytest.mark.parametrize(
        ("offset", "bytes_", "why"),
        [
            (0, struct.pack("<Q", 77), "it says that it is page 77"),
            (8, struct.pack("<H", 0x20), "its flags are 0x20"),
            (8, struct.pack("<H", BRANCH), "keys are out of order|points outside|its flags are 0x1"),
            (10, struct.pack("<H", 5000), "its elements do not fit into it"),
            (12, struct.pack("<I", 2), "2 pages behind it should be its own"),
            (16 + 4, struct.pack("<I", PAGE), "an element points outside of it"),
            (16 + 12, struct.pack("<I", PAGE), "an element points outside of it"),
            (16 + 16 * 20, bytes(7) + b"\xff", "its keys are out of order"),
        ],
    )
    def test_a_page_in_use_that_is_damaged_is_named(self, offset: int, bytes_: bytes, why: str) -> None:
        """The first leaf of the bucket `key` is page 3."""
        with pytest.raises(Corrupt, match=f"^page 3 of the database, which is in use, is damaged: ({why})"):
            walked(changed(database(leaves(ROWS, 20)), 3 * PAGE + offset, bytes_))

    def test_a_branch_whose_keys_are_out_of_order_is_named(self) -> None:
        db = database(leaves(ROWS, 20))
        at = next(at for at in range(3 * PAGE, len(db), PAGE) if struct.unpack_from("<H", db, at + 8)[0] == BRANCH)
        key_at = at + 16 + struct.unpack_from("<I", db, at + 16)[0]
        with pytest.raises(Corrupt, match=f"page {at // PAGE} .* its keys are out of order"):
            walked(changed(db, key_at, b"\xff"))

    def test_a_page_that_is_reached_twice_is_named(self) -> None:
        db = database(leaves(ROWS, 20))
        at = next(at for at in range(3 * PAGE, len(db), PAGE) if struct.unpack_from("<H", db, at + 8)[0] == BRANCH)
        with pytest.raises(Corrupt, match="page 3 of the database is used twice"):
            walked(changed(db, at + 16 + 16 + 8, struct.pack("<Q", 3)))

    def test_a_database_that_ends_too_early_is_corrupt(self) -> None:
        walk = Walk(bytes(100))
        walk.feed(database(leaves(ROWS, 20))[: 5 * PAGE])
        with pytest.raises(Corrupt, match="ends before its page 5 does"):
            walk.end()


def free(db: bytes, at: int) -> bool:
    return db[at : at + PAGE] == page(at // PAGE, LEAF, 5, db[at + 16 : at + PAGE])


def changed(db: bytes, at: int, to: bytes) -> bytes:
    return db[:at] + to + db[at + len(to) :]


class TestPrefixes:
    @pytest.mark.parametrize(
        ("name", "prefix"),
        [
            ("/registry/pods/default/web", "/registry/pods"),
            ("/registry/health", "/registry"),
            ("/quorate/canary/op", "/quorate/canary"),
            ("/flat", ""),
            ("compact_rev_key", ""),
            ("a/b/c", "a/b"),
            ("a/b", "a"),
            ("//x/y", "//x"),
            ("/" + "n" * 200 + "/pods/x", "/" + "n" * 200 + "/pods"),
            ("/registry/pods/" + "n" * 40_000, "/registry/pods"),
        ],
    )
    def test_a_key_lies_in_its_first_two_directories(self, name: str, prefix: str) -> None:
        record = key_value(name.encode(), b"/v/v/v")
        assert prefix_of(name) == prefix
        assert prefix_in(record, 0, len(record)).decode() == prefix

    @pytest.mark.parametrize("record", [b"", b"\x0a", b"junk/and/more", b"\x0a\x7fa/b", b"\x0a\xff"])
    def test_of_what_is_no_key_value_nothing_is_read_beyond_its_end(self, record: bytes) -> None:
        assert prefix_in(record + b"/x/y/z/" * 90, 0, len(record)) in {b"", b"a"}

    def test_records_are_counted_by_them(self) -> None:
        rows = [(key(2), key_value(b"/registry/pods/a", b"")), (key(3, 0, tombstone=True), key_value(b"flat", None))]
        assert walked(database([rows])).content.prefixes == {"": 1, "/registry/pods": 1}

    def test_those_that_hold_few_are_told_as_one(self) -> None:
        many = [b"/many/%04d/x" % number for number in range(COUNTED_MAX + 200)]
        rows = [(key(at), key_value(name, b"")) for at, name in enumerate([*[b"/much/x/y"] * 7, *many], 2)]
        prefixes = walked(database(leaves(rows, 40))).content.prefixes
        assert sum(prefixes.values()) == len(rows)
        assert len(prefixes) == PREFIXES_MAX + 1
        assert (prefixes["/much/x"], prefixes[REST]) == (7, len(many) - PREFIXES_MAX + 1)


class TestBranches:
    @pytest.mark.parametrize("count", [0, 1, 500])
    def test_what_was_put_in_comes_out(self, count: int) -> None:
        random = Random(count)
        wanted = [(number, random.sample(range(1 << 28), random.randrange(1, 200))) for number in range(count)]
        branches = Branches()
        for number, children in wanted:
            branches.add(number, children)
        found = [(each.number, each.last, list(each.children)) for each in branches]
        assert found == [(number, children[-1], sorted(children)) for number, children in wanted]


def test_pages_that_are_too_strewn_for_a_payload_are_not_told() -> None:
    assert told(bytes(Random(1).choices((0, 1), k=2_000_000))) == ""
    assert heard("") == b""
    assert heard(told(bytes(1000))) == bytes(1000)
