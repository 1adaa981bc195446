"""The members' own hashes of all keys, asked one after the other."""

from dataclasses import dataclass

from activities.recording.recorded import RecordedEtcds
from quorate.backup import BackupTask, Streamed
from quorate.command import Ticket
from quorate.converge import Clock, Tick
from quorate.database.snapshot import Facts
from quorate.errors import QuorateError
from quorate.members.agreement import Agreement, compared
from quorate.members.etcd import HashKV

Snapshot = Facts | Streamed
COMPARE_S = 10.0  # for all of them: nobody is to wait for a hash at night


@dataclass(frozen=True, slots=True)
class Comparison:
    etcds: RecordedEtcds
    clock: Clock

    def of(self, task: BackupTask, ticket: Ticket, put: Snapshot, mine: HashKV | None, tick: Tick) -> Agreement:
        """Of those that the choice names with the source, at the revision of its snapshot."""
        choice, most_bytes = task.choice, task.request.compare_bytes
        if not choice or not choice.others or mine is None:
            return Agreement()
        if put.size_bytes > most_bytes:
            allowed = f"{most_bytes >> 20} MiB are compared at most (backup.compare_mib)"
            return Agreement(notes=(f"the members were not compared: {put.size_bytes >> 20} MiB, {allowed}",))
        said: dict[str, HashKV | str] = {}
        limit = self.clock.monotonic() + COMPARE_S
        for name in choice.others:
            tick(f"comparing {name}")
            late = self.clock.monotonic() > limit
            said[name] = f"{COMPARE_S:.0f} s were over" if late else self._hash(task, ticket, name, put.revision)
        return compared(choice.target.name, mine, said)

    def _hash(self, task: BackupTask, ticket: Ticket, name: str, revision: int) -> HashKV | str:
        target = next(each for each in task.request.targets if each.name == name)
        try:
            with self.etcds.at(target, ticket) as etcd:
                return etcd.hash_kv(revision)
        except QuorateError as error:
            return str(error)
