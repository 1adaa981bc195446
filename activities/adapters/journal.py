"""The audit trail as files: one chain a process and operation, every record on disk before the act."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from quorate.audit import GENESIS, Act, canonical, chained, masked
from quorate.converge import Ran
from quorate.errors import Failed


def heads(directory: Path) -> dict[str, str]:
    """The last hash of every chain of an operation; a torn last line is not a record."""
    return {path.name: _head(path) for path in sorted(directory.glob("*.jsonl"))}


def _head(path: Path) -> str:
    last = GENESIS
    for line in path.read_text(errors="replace").splitlines():
        try:
            last = json.loads(line)["hash"]
        except (ValueError, KeyError, TypeError):
            break
    return last


@dataclass(slots=True)
class FileJournal:
    """One chain; its first record names the heads of the chains it follows."""

    directory: Path
    chain: str
    now: Callable[[], float]
    file: FileIO | None = None
    size_bytes: int = 0  # of the records that are whole
    seq: int = 0
    last: str = GENESIS
    lock: threading.Lock = field(default_factory=threading.Lock)

    def intent(self, act: Act) -> int:
        return self._write({"event": "intent", **asdict(act), "argv": masked(act.argv)})

    def outcome(self, seq: int, ran: Ran | BaseException) -> None:
        said: dict[str, Any] = {"event": "outcome", "of": seq}
        if isinstance(ran, BaseException):
            self._write({**said, "error": f"{type(ran).__name__}: {ran}"[:4096]})
        else:
            self._write({**said, "exit": ran.exit, "tail": ran.tail[-4096:], "duration_s": round(ran.duration_s, 3)})

    def seal(self) -> None:
        """Names the head of every chain, so a missing one is noticed."""
        with self.lock:
            self._append({"event": "seal", "heads": heads(self.directory)})

    def _write(self, record: dict[str, Any]) -> int:
        with self.lock:
            return self._append(record)

    def _append(self, record: dict[str, Any]) -> int:
        try:
            if self.file is None:
                self._begin()
            return self._line(record)
        except OSError as error:
            raise Failed(f"the audit trail cannot be written ({error}), so nothing is done") from error

    def _begin(self) -> None:
        """Where its first record cannot be written there is no chain, and the next act begins it."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        follows, path = heads(self.directory), self.directory / f"{self.chain}.jsonl"
        self.file = FileIO(path, "xb")
        try:
            self._line({"event": "begin", "chain": self.chain, "follows": follows})
        except OSError:
            self.file.close()
            self.file = None
            path.unlink()
            raise

    def _line(self, record: dict[str, Any]) -> int:
        seq = self.seq
        at = datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="milliseconds")
        linked = chained({**record, "seq": seq, "time": at}, self.last)
        self._whole(canonical(linked).encode() + b"\n")
        self.seq, self.last = seq + 1, linked["hash"]
        return seq

    def _whole(self, line: bytes) -> None:
        """On disk, or not there at all: what a full disk has taken of it would break the chain behind it."""
        assert self.file is not None
        try:
            left = memoryview(line)
            while left:
                left = left[self.file.write(left) :]
            os.fsync(self.file.fileno())
        except OSError:
            self.file.truncate(self.size_bytes)
            self.file.seek(self.size_bytes)
            raise
        self.size_bytes += len(line)


@dataclass(slots=True)
class FileJournals:
    """Every operation's journal of this process, below `root/<operation>/audit/`."""

    root: Path
    chain: str
    now: Callable[[], float]
    open: dict[str, FileJournal] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def at(self, operation: str) -> FileJournal:
        with self.lock:
            if operation not in self.open:
                self.open[operation] = FileJournal(self.root / operation / "audit", self.chain, self.now)
            return self.open[operation]
