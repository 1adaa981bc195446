"""How far a log goes, told from its bytes; tests/contracts/test_etcd.py compares it with a real member."""

import pytest

from quorate.database.wal import Reach, reach


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def message(*numbers: tuple[int, int | bytes]) -> bytes:
    return b"".join(
        varint(field << 3 | 2) + varint(len(value)) + value
        if isinstance(value, bytes)
        else varint(field << 3) + varint(value)
        for field, value in numbers
    )


def framed(kind: int, data: bytes) -> bytes:
    body = message((1, kind), (2, 0xDEADBEEF), (3, data))
    padding = -len(body) % 8
    length = len(body) | (0x80 | padding) << 56 if padding else len(body)
    return length.to_bytes(8, "little") + body + bytes(padding)


OWNER = framed(1, message((1, 0xA1), (2, 0xC1)))


def state(term: int, commit: int) -> bytes:
    return framed(3, message((1, term), (2, 0xA1), (3, commit)))


def entry(term: int, index: int, data: bytes = b"x" * 300) -> bytes:
    return framed(2, message((1, 0), (2, term), (3, index), (4, data)))


LOG = OWNER + state(2, 7) + b"".join(entry(2, index) for index in range(8, 12)) + state(3, 9)


def test_it_tells_whose_it_is_and_how_far_it_goes() -> None:
    assert reach([LOG + bytes(4096)]) == Reach("c1", "a1", term=2, index=11, commit=9)
    assert reach([LOG]).uncommitted == 2


def test_an_entry_that_replaced_others_is_the_last() -> None:
    assert reach([LOG + entry(3, 9)]).order == (3, 9)


def test_a_file_that_has_just_begun_knows_its_state() -> None:
    assert reach([OWNER + state(4, 100)]) == Reach("c1", "a1", term=4, index=100, commit=100)


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_the_pieces_it_comes_in_do_not_matter(size: int) -> None:
    assert reach(LOG[at : at + size] for at in range(0, len(LOG), size)) == reach([LOG])


@pytest.mark.parametrize("lost", [1, 8, 100, len(entry(2, 9))])
def test_half_a_record_at_the_end_is_none(lost: int) -> None:
    whole = OWNER + state(2, 7) + entry(2, 8) + entry(2, 9)
    assert reach([whole[:-lost]]).order == (2, 8)


def test_a_log_that_is_none_says_nothing() -> None:
    assert reach([]) == reach([b"\xff" * 64]) == reach([bytes(64)]) == Reach()
