"""Walking through a cluster that nobody has described yet: one node leads to the others."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from activities.clusters.surveys import PARALLEL, answer
from activities.clusters.tunnels import Tunnels
from activities.recording.recorded import RecordedFiles
from quorate.clusters.cluster import Silence
from quorate.command import Node, Ticket
from quorate.inventories.meeting import (
    FIRST_LOOK,
    Credential,
    Met,
    clients_of,
    credentials_of,
    runs,
    second_look,
    to_visit,
)
from quorate.members.etcd import EtcdSeen, EtcdTarget
from quorate.ports import Etcds, Hosts, Secrets

Trust = Callable[[tuple[str, ...]], None]  # before anybody logs in to these hosts; raises where one is not trusted
Files = tuple[str, str, str]  # references to a CA, a certificate and its key
NODE = "node:"


@dataclass(frozen=True, slots=True)
class Borrowed:
    """References into files of nodes, `node:HOST:/path`: read when first needed, on record, kept in memory only."""

    files: RecordedFiles
    ticket: Ticket
    node: Callable[[str], Node]
    own: Secrets
    held: dict[str, bytes] = field(default_factory=dict)

    def resolve(self, reference: str) -> bytes:
        if not reference.startswith(NODE):
            return self.own.resolve(reference)
        if reference not in self.held:
            host, _, path = reference.removeprefix(NODE).partition(":/")
            self.held[reference] = self.files.read(self.node(host), f"/{path}", self.ticket)
        return self.held[reference]


def reference(host: str, path: str) -> str:
    return f"{NODE}{host}:{path}"


@dataclass(frozen=True, slots=True)
class Discovery:
    """`own` are the operator's own references to a client certificate; without them those of nodes are tried."""

    hosts: Hosts
    etcds: Etcds
    tunnels: Tunnels
    node: Callable[[str], Node]
    own: Files | None = None

    def walk(self, first: str, elsewhere: Mapping[str, str], trust: Trust) -> tuple[Met, ...]:
        """Everybody whom somebody knows. The first has to answer; of the others a silence is kept."""
        trust((first,))
        met: tuple[Met, ...] = (self._introduced(first, ""),)
        while waiting := to_visit(met, elsewhere):
            trust(tuple(waiting.values()))
            opened = next((each.credential for each in met if each.credential), None)
            with ThreadPoolExecutor(PARALLEL) as pool:
                asked = [pool.submit(self._met, host, member, opened) for member, host in waiting.items()]
            met += tuple(each.result() for each in asked)
        return met

    def _met(self, host: str, expected: str, opened: Credential | None) -> Met:
        found = answer(self._introduced, host, expected, opened)
        return Met(host, found, expected=expected) if isinstance(found, Silence) else found

    def _introduced(self, host: str, expected: str, opened: Credential | None = None) -> Met:
        node = self.node(host)
        met = Met(host, self.hosts.survey(node, FIRST_LOOK), expected=expected)
        met = replace(met, seen=self.hosts.survey(node, second_look(met)))
        return self._asked(node, met, opened)

    def _asked(self, node: Node, met: Met, opened: Credential | None) -> Met:
        """With the member's own list, the files that opened it, and whether it answers us as it answers its node."""
        if not runs(met):
            return replace(met, etcd=Silence("it does not run"))
        url = clients_of(met)[0]
        said: EtcdSeen | Silence = Silence("no file on the node opens it")
        for credential, files in self._files(met, url, opened):
            said = answer(self._through, node, url, files)
            if isinstance(said, EtcdSeen):
                direct = isinstance(answer(self._look, node, url, files), EtcdSeen)
                return replace(met, etcd=said, credential=credential, direct=direct)
        return replace(met, etcd=said)

    def _files(self, met: Met, url: str, opened: Credential | None) -> Iterator[tuple[Credential | None, Files]]:
        """What to show to it; what has opened another member comes first."""
        if urlsplit(url).scheme == "http" or self.own:
            yield None, self.own or ("", "", "")
            return
        for each in (*([opened] if opened else ()), *credentials_of(met)):
            ca, cert, key = (reference(each.host, path) for path in each.files)
            yield each, (ca, cert, key)

    def _through(self, node: Node, url: str, files: Files) -> EtcdSeen:
        """As the node itself reaches it: the client port may be open to nobody else."""
        parts = urlsplit(url)
        with self.tunnels.tunnel(node, parts.hostname or "", parts.port or 0) as dial:
            return self._look(node, url, files, dial)

    def _look(self, node: Node, url: str, files: Files, dial: str = "") -> EtcdSeen:
        ca, cert, key = files
        with self.etcds.at(EtcdTarget(node.name, url, ca, cert, key, dial)) as etcd:
            return etcd.look()
