"""The walk of a snapshot's pages while it comes out of a store."""

from collections.abc import Iterable, Iterator

from quorate.database.snapshot import Examination, joined
from quorate.database.walk import Walk, Walked
from quorate.errors import Corrupt


class Walking:
    """Damage is told at the end, when it is known whether these are the right bytes at all."""

    def __init__(self, uses: bytes) -> None:
        self._walk = Walk(uses)
        self._damage: Corrupt | None = None

    def of(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in joined(pieces):
            if self._damage is None:
                self._look(piece)
            yield piece

    def walked(self) -> Walked:
        if self._damage:
            raise self._damage
        return self._walk.end()

    def _look(self, piece: bytes) -> None:
        try:
            self._walk.feed(piece)
        except Corrupt as error:
            self._damage = error


def learnt(pieces: Iterable[bytes], revision: int) -> bytes:
    """What the pages of a snapshot are used for, from a reading of its own."""
    examination = Examination(revision)
    for piece in joined(pieces):
        examination.feed(piece)
    examination.facts()
    return examination.uses
