"""What the members say of a snapshot's revision, asked while the store is busy with the snapshot."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from activities.backups.agreement import Comparison, Snapshot
from activities.backups.census import census
from activities.recording.recorded import RecordedEtcds
from quorate.backup import REGISTRY, BackupTask, Measured, Streamed, asked
from quorate.command import Ticket
from quorate.converge import Clock, Tick
from quorate.database.snapshot import Facts
from quorate.errors import QuorateError
from quorate.members.etcd import HashKV
from quorate.ports import Etcd


@dataclass(frozen=True, slots=True)
class Measuring:
    etcds: RecordedEtcds
    clock: Clock

    def of(self, task: BackupTask, ticket: Ticket, put: Snapshot, tick: Tick) -> Measured:
        """Keys and hashes as of the snapshot; what cannot be had costs a finding and no backup.

        Keys are read from the source while the others make their hashes: of those there is one at a time.
        """
        choice = task.choice
        assert choice is not None, "measured before it was chosen"
        try:
            with self.etcds.at(choice.target, ticket) as etcd, ThreadPoolExecutor(1, "compare") as pool:
                keys, hash_kv, found = numbers(etcd, put.revision)
                comparing = pool.submit(Comparison(self.etcds, self.clock).of, task, ticket, put, hash_kv, tick)
                counted = census(etcd, put.revision, keys.get("", 0), put.size_bytes, self.clock, tick)
                alike = comparing.result()
        except QuorateError as error:
            return Measured(findings=(unmeasured(put.revision, error),))
        return Measured(
            keys=keys,
            hash_kv=hash_kv,
            live=counted.live,
            findings=(*found, *alike.findings),
            notes=(*alike.notes, *counted.notes),
        )


@dataclass(slots=True)
class Early:
    """Members that are asked as soon as it is known what was sent, while the store puts together what it got."""

    ask: Callable[[Facts], Measured]
    pool: ThreadPoolExecutor
    answer: Future[Measured] | None = None

    def known(self, facts: Facts) -> None:
        self.answer = self.pool.submit(self.ask, facts)

    def told(self, put: Streamed) -> Streamed:
        """With what they said; where that was nothing, they are asked once more beside the way back."""
        said = self.answer.result() if self.answer else Measured()
        return asked(put, said) if said.keys else put


def numbers(etcd: Etcd, revision: int) -> tuple[dict[str, int], HashKV | None, tuple[str, ...]]:
    """A cluster that compacts faster than we ask has none."""
    keys: dict[str, int] = {}
    hash_kv = None
    try:
        keys = {prefix: etcd.count(prefix, revision) for prefix in ("", REGISTRY)}
        hash_kv = etcd.hash_kv(revision)
    except QuorateError as error:
        return keys, hash_kv, (unmeasured(revision, error),)
    return keys, hash_kv, ()


def unmeasured(revision: int, error: QuorateError) -> str:
    return f"not all was measured at revision {revision}: {error}"
