"""The operation's own record and its audit trail, kept here and, where it answers, in the store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from temporalio import activity

from activities.streams.pipeline import beaten
from quorate.errors import AlreadyThere, Failed, QuorateError, Unreachable
from quorate.ports import Store, Stores
from quorate.records import CLUSTER, Entry, home


class Sealable(Protocol):
    def seal(self) -> None: ...


@contextmanager
def written(operation: str, root: Path) -> Iterator[None]:
    """Unreachable, which is tried until it can be: no operation is over before it is on record that it is."""
    try:
        yield
    except (OSError, Failed) as error:
        raise Unreachable(
            f"the record of {operation} cannot be written ({error}): it is tried until it can be",
            next=f"df -h {root}  # make room; the operation ends by itself then",
        ) from error


@dataclass(frozen=True)
class Ledger:
    """`root` holds a directory an operation; the store gets the same files, create-only."""

    root: Path
    journals: Callable[[str], Sealable]
    stores: Stores

    @activity.defn(name="ledger.write")
    def write(self, entry: Entry) -> None:
        self._write(entry)
        self._copy(entry, (entry.name,))

    @activity.defn(name="ledger.seal")
    def seal(self, entry: Entry) -> None:
        """The outcome, then the seal, then everything into the store; without the store: say so, go on."""
        self._write(entry)
        with written(entry.operation, self.root):
            self.journals(entry.operation).seal()
        audit = sorted(path.name for path in (self.root / entry.operation / "audit").glob("*.jsonl"))
        self._copy(entry, (*(f"audit/{name}" for name in audit), entry.name))

    def _write(self, entry: Entry) -> None:
        """With whose it is, which not every outcome says."""
        with written(entry.operation, self.root):
            for name, text in ((CLUSTER, entry.cluster), (entry.name, entry.text)):
                self._replace(entry.operation, name, text)

    def _replace(self, operation: str, name: str, text: str) -> None:
        path = self.root / operation / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = path.with_suffix(".part")
        part.write_text(text)
        part.rename(path)

    def _copy(self, entry: Entry, names: tuple[str, ...]) -> None:
        """Beaten meanwhile: a store that is away takes longer to say so than a heartbeat may."""
        beaten(lambda _tick: self._put_all(entry, names), activity.heartbeat)

    def _put_all(self, entry: Entry, names: tuple[str, ...]) -> None:
        try:
            store = self.stores.at(entry.store)
            for name in names:
                self._put(store, entry, name)
        except QuorateError as error:
            activity.logger.warning("the record of %s stays here only: %s", entry.operation, error)

    def _put(self, store: Store, entry: Entry, name: str) -> None:
        data = (self.root / entry.operation / name).read_bytes()
        try:
            store.put(f"{home(entry.cluster, entry.operation)}/{name}", (data,), lambda _: None)
        except AlreadyThere:
            activity.logger.info("%s of %s is in the store already", name, entry.operation)
