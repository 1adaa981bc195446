"""What is remembered of stores in a file that the daemon and commands share; one that is no use is made anew."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from quorate.backups.catalogue import of_latest, wanted
from quorate.errors import Failed
from quorate.ports import Noted, Remembered, Stored

WAIT_S = 5.0  # for another process that just writes
VERSION = 3
NEWEST = 1000  # manifests whose objects are kept apart, so that a look at them need not read all that is listed
PARAMETERS = 500  # of one statement
TABLES = f"""
CREATE TABLE IF NOT EXISTS places (
    place TEXT, cluster TEXT, listing TEXT NOT NULL DEFAULT '[]',
    newest TEXT NOT NULL DEFAULT '[]', older INTEGER NOT NULL DEFAULT 0, objects INTEGER NOT NULL DEFAULT 0,
    compared REAL NOT NULL DEFAULT 0,
    writes INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (place, cluster)
);
CREATE TABLE IF NOT EXISTS manifests (
    place TEXT, cluster TEXT, key TEXT, size_bytes INTEGER NOT NULL, etag TEXT NOT NULL, text BLOB NOT NULL,
    sha256 BLOB NOT NULL, trust TEXT NOT NULL, doubt TEXT NOT NULL, PRIMARY KEY (place, cluster, key)
);
PRAGMA user_version = {VERSION};
"""
ALL_NOTED = """
SELECT key, size_bytes, etag, text, sha256, trust, doubt FROM manifests WHERE place = ? AND cluster = ?
"""
ALL_LISTED = "SELECT listing, 0, objects, compared FROM places WHERE place = ? AND cluster = ?"
NEWEST_LISTED = "SELECT newest, older, objects, compared FROM places WHERE place = ? AND cluster = ?"
ENSURED = "INSERT OR IGNORE INTO places (place, cluster) VALUES (?, ?)"


@dataclass(frozen=True, slots=True)
class SqliteMemory:
    """Without a write-ahead log: a state directory that cannot be written to can still be read."""

    path: Path

    def recall(self, place: str, cluster: str, last: int = 0) -> Remembered:
        if not self.path.exists():
            return Remembered()
        try:
            with self._read() as database:
                return remembered(database, place, cluster, last)
        except Unusable as error:
            self._removed()
            return Remembered(said=f"{error}; it is made anew from the store")

    def writes(self, place: str, cluster: str) -> int:
        if not self.path.exists():
            return 0
        with self._read() as database:
            row = database.execute(
                "SELECT writes FROM places WHERE place = ? AND cluster = ?", (place, cluster)
            ).fetchone()
            return int(row[0]) if row else 0

    def keep(
        self, place: str, cluster: str, listing: tuple[Stored, ...], noted: Iterable[Noted], at: float, writes: int
    ) -> None:
        text = packed(listing)
        rows = [
            (place, cluster, *located(each.stored), each.text, sha256(each.text).digest(), each.trust, each.doubt)
            for each in noted
        ]
        with self._written() as database:
            database.execute(ENSURED, (place, cluster))
            database.executemany("INSERT OR REPLACE INTO manifests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            before, now = database.execute(
                "SELECT listing, writes FROM places WHERE place = ? AND cluster = ?", (place, cluster)
            ).fetchone()
            if before != text:
                there = {each.key for each in listing}
                keys = database.execute(
                    "SELECT key FROM manifests WHERE place = ? AND cluster = ?", (place, cluster)
                ).fetchall()
                gone = [(place, cluster, key) for (key,) in keys if key not in there]
                database.executemany("DELETE FROM manifests WHERE place = ? AND cluster = ? AND key = ?", gone)
                last, older = of_latest(listing, NEWEST)
                database.execute(
                    "UPDATE places SET listing = ?, newest = ?, older = ?, objects = ? "
                    "WHERE place = ? AND cluster = ?",
                    (text, packed(last), older, len(listing), place, cluster),
                )
            fresh = at if now == writes else 0.0
            database.execute(
                "UPDATE places SET compared = ? WHERE place = ? AND cluster = ?", (fresh, place, cluster)
            )

    def judge(self, place: str, cluster: str, trust: str, doubts: Mapping[str, str]) -> None:
        rows = [(trust, doubt, place, cluster, key) for key, doubt in doubts.items()]
        with self._written() as database:
            database.executemany(
                "UPDATE manifests SET trust = ?, doubt = ? WHERE place = ? AND cluster = ? AND key = ?", rows
            )

    def wrote(self, place: str, cluster: str) -> None:
        with self._written() as database:
            database.execute(ENSURED, (place, cluster))
            database.execute(
                "UPDATE places SET compared = 0, writes = writes + 1 WHERE place = ? AND cluster = ?",
                (place, cluster),
            )

    def forget(self, place: str, cluster: str) -> None:
        if not self.path.exists():
            return
        with self._written() as database:
            database.execute("DELETE FROM manifests WHERE place = ? AND cluster = ?", (place, cluster))
            database.execute(
                "UPDATE places SET listing = '[]', newest = '[]', older = 0, objects = 0, compared = 0 "
                "WHERE place = ? AND cluster = ?",
                (place, cluster),
            )

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._opened("ro") as database:
            if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                raise Unusable(f"the local catalogue, {self.path}, is of another version")
            yield database

    @contextmanager
    def _written(self) -> Iterator[sqlite3.Connection]:
        """One transaction; a file that is no use is made anew first."""
        try:
            with self._opened("rwc") as database:
                found = database.execute("PRAGMA user_version").fetchone()[0]
                if found not in {0, VERSION}:
                    raise Unusable(f"the local catalogue, {self.path}, is of another version")
                if not found:
                    database.executescript(TABLES)
                    database.execute("BEGIN IMMEDIATE")
                yield database
        except Unusable:
            self._removed()
            raise

    @contextmanager
    def _opened(self, mode: str) -> Iterator[sqlite3.Connection]:
        try:
            if mode != "ro" and not self.path.exists():
                with suppress(FileExistsError):
                    os.close(os.open(self.path, os.O_CREAT | os.O_EXCL, 0o600))
            uri = f"{self.path.absolute().as_uri()}?mode={mode}"
            with closing(sqlite3.connect(uri, timeout=WAIT_S, uri=True)) as database, database:
                yield database
        except sqlite3.OperationalError as error:  # locked, read-only, a full disk: the file may be whole
            raise Failed(f"the local catalogue, {self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise Unusable(f"the local catalogue, {self.path}, is damaged ({error})") from error
        except OSError as error:
            raise Failed(f"the local catalogue, {self.path}: {error.strerror}") from error

    def _removed(self) -> None:
        with suppress(OSError):
            self.path.unlink()


class Unusable(Failed):
    """It can only be made anew."""


def located(each: Stored) -> tuple[str, int, str]:
    return each.key, each.size_bytes, each.etag


def packed(listing: Iterable[Stored]) -> str:
    return json.dumps([located(each) for each in listing], separators=(",", ":"))


def unpacked(text: str) -> tuple[Stored, ...]:
    try:
        return tuple(Stored(key, size_bytes, etag) for key, size_bytes, etag in json.loads(text))
    except (ValueError, TypeError):
        return ()


def remembered(database: sqlite3.Connection, place: str, cluster: str, last: int) -> Remembered:
    """What does not bear its own hash is left out."""
    few = 0 < last <= NEWEST
    row = database.execute(NEWEST_LISTED if few else ALL_LISTED, (place, cluster)).fetchone()
    if row is None:
        return Remembered()
    listing, before = unpacked(row[0]), row[1]
    listing, older = of_latest(listing, last) if last else (listing, 0)
    keys = tuple(each.key for each in wanted(listing)) if last else ()
    noted = {
        key: Noted(Stored(key, size_bytes, etag), text, trust, doubt)
        for key, size_bytes, etag, text, proof, trust, doubt in noted_of(database, place, cluster, keys)
        if sha256(text).digest() == proof
    }
    return Remembered(listing, noted, row[3] if listing else 0.0, objects=row[2], older=before + older)


def noted_of(
    database: sqlite3.Connection, place: str, cluster: str, keys: tuple[str, ...]
) -> Iterator[tuple[str, int, str, bytes, bytes, str, str]]:
    """Of these keys, or of all."""
    if not keys:
        yield from database.execute(ALL_NOTED, (place, cluster))
    for at in range(0, len(keys), PARAMETERS):
        some = keys[at : at + PARAMETERS]
        yield from database.execute(f"{ALL_NOTED} AND key IN ({','.join('?' * len(some))})", (place, cluster, *some))
