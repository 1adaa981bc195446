"""What the nodes of a cluster say of themselves, asked while a member sends: nobody waits for an SSH that is slow."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from activities.recording.recorded import RecordedHosts
from quorate.backup import NodesTold, running_flags, wrong_clock
from quorate.backups.request import BackupRequest
from quorate.backups.toolbox import offers
from quorate.command import Node
from quorate.converge import Clock
from quorate.errors import QuorateError
from quorate.nodes.seen import NodeSeen

NODES_S = 1.0  # that a node may take longer than the snapshot
Heard = tuple[NodeSeen, float]  # and when it had answered


@dataclass(frozen=True, slots=True)
class Asking:
    hosts: RecordedHosts
    clock: Clock

    def begun(self, request: BackupRequest) -> "Asked":
        """In threads that nobody waits for at the end: a node that hangs holds up no backup."""

        def heard(node: Node) -> Heard:
            return self.hosts.survey(node, request.look), self.clock.time()

        at, pool = self.clock.time(), ThreadPoolExecutor(len(request.nodes) or 1, "nodes")
        asked = {node.name: pool.submit(heard, node) for node in request.nodes}
        pool.shutdown(wait=False)
        return Asked(request, at, asked)


@dataclass(frozen=True, slots=True)
class Asked:
    request: BackupRequest
    at: float
    answers: Mapping[str, Future[Heard]]

    def told(self) -> NodesTold:
        """Whoever has not answered a moment after this is asked for has not answered."""
        wait(self.answers.values(), NODES_S)
        heard = {name: answer(future) for name, future in self.answers.items()}
        nodes = {name: each if isinstance(each, str) else each[0] for name, each in heard.items()}
        last = max((each[1] for each in heard.values() if not isinstance(each, str)), default=self.at)
        flags, notes = running_flags(nodes)
        return NodesTold(flags, offers(self.request.tool, nodes), wrong_clock(nodes, self.at, last), notes)


def answer(asked: Future[Heard]) -> Heard | str:
    try:
        return asked.result(0)
    except TimeoutError:
        return "its node did not answer in time"
    except QuorateError as error:
        return str(error)
