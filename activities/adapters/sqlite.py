"""The revision clock in a file that the daemon writes and commands read."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from quorate.errors import Failed
from quorate.members.revision_clock import Tick, superfluous

WAIT_S = 2.0  # for another process that just writes
TABLE = """
CREATE TABLE IF NOT EXISTS ticks (
    cluster TEXT NOT NULL, heard REAL NOT NULL, asked REAL NOT NULL,
    cluster_id TEXT NOT NULL, revision INTEGER NOT NULL, led INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS by_time ON ticks (cluster, heard);
"""
COLUMNS = "asked, heard, cluster_id, revision, led"


@dataclass(frozen=True, slots=True)
class SqliteTicks:
    """A file that is not there is empty; only who adds to it makes it."""

    path: Path

    def add(self, cluster: str, ticks: tuple[Tick, ...]) -> None:
        with self._opened() as database:
            database.executescript(TABLE)
            database.executemany(
                "INSERT INTO ticks (cluster, asked, heard, cluster_id, revision, led) VALUES (?, ?, ?, ?, ?, ?)",
                [(cluster, each.asked, each.heard, each.cluster_id, each.revision, each.led) for each in ticks],
            )

    def since(self, cluster: str, at: float) -> tuple[Tick, ...]:
        """Oldest first."""
        if not self.path.exists():
            return ()
        with self._opened() as database:
            return read(database, "cluster = ? AND heard >= ?", (cluster, at))

    def highest(self, cluster: str) -> int:
        """Of any cluster id that it has had; 0 where none is known."""
        if not self.path.exists():
            return 0
        with self._opened() as database:
            row = database.execute("SELECT max(revision) FROM ticks WHERE cluster = ?", (cluster,)).fetchone()
            return int(row[0] or 0)

    def last(self, cluster: str) -> Tick | None:
        if not self.path.exists():
            return None
        with self._opened() as database:
            found = read(
                database, "cluster = ? AND heard = (SELECT max(heard) FROM ticks WHERE cluster = ?)", (cluster,) * 2
            )
            return max(found, key=lambda tick: tick.revision, default=None)

    def thin(self, cluster: str, now: float) -> None:
        if not self.path.exists():
            return
        with self._opened() as database:
            old = read(database, "cluster = ?", (cluster,))
            gone = [(cluster, tick.heard, tick.cluster_id) for tick in superfluous(old, now)]
            database.executemany("DELETE FROM ticks WHERE cluster = ? AND heard = ? AND cluster_id = ?", gone)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """One transaction; another thread has another connection."""
        try:
            with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as database, database:
                yield database
        except sqlite3.Error as error:
            raise Failed(f"the revision clock, {self.path}: {error}") from error


def read(database: sqlite3.Connection, where: str, values: tuple[object, ...]) -> tuple[Tick, ...]:
    rows = database.execute(f"SELECT {COLUMNS} FROM ticks WHERE {where} ORDER BY heard", values)  # noqa: S608 - our words
    return tuple(Tick(asked, heard, id_, revision, bool(led)) for asked, heard, id_, revision, led in rows)
