"""A member's etcd, run once on an empty directory beside the live data, until the cluster has taken it in.

An etcd without a log asks its flags who is in the cluster, and one with a log does not: so flags that are right for
this one start go to a transient unit, and the operator's own unit or manifest is never edited. It hears its peers
where the member will hear them, and clients on loopback alone: nobody is served from half a database.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from quorate.command import Command
from quorate.converge import Await, Left
from quorate.errors import BadInput, CommandFailed, Refusal
from quorate.inventory import Cluster
from quorate.nodes.durable import parent
from quorate.nodes.image import ETCD, held
from quorate.nodes.node import DataDir
from quorate.nodes.room import room_for, staging_bytes
from quorate.nodes.scratch import CLIENT_PORT, client_tls, on_host
from quorate.nodes.seen import Look, NodeSeen, UnitSeen
from quorate.nodes.swapped import Looks
from quorate.settings.machines import Member

POLL_S = 0.2
CARRIED = (
    "listen-peer-urls",
    "advertise-client-urls",
    "quota-backend-bytes",
    "heartbeat-interval",
    "election-timeout",
    "cipher-suites",
    "tls-min-version",
    "tls-max-version",
)
PEER_TLS = ("cert-file", "key-file", "trusted-ca-file", "client-cert-auth", "allowed-cn", "allowed-hostname")
SECTION = "peer-transport-security"  # where a configuration file has the same
SPELT = {"allowed-cn": "peer-cert-allowed-cn", "allowed-hostname": "peer-cert-allowed-hostname"}


@dataclass(frozen=True, slots=True)
class Joiner:
    """What runs, as whom, and what it is told; `process` is the member's own, which must not run."""

    process: str
    binary: str  # a path; or ETCD, as it is copied out of its image
    user: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Joining:
    """One joining of one operation; what it leaves gets the name of what is staged."""

    joiner: Joiner
    operation: str
    data: DataDir
    db: Looks
    wal: Looks | None
    size_bytes: int  # of the database that the others send

    @property
    def unit(self) -> str:
        return f"quorate-join-{self.operation}.service"

    def look(self) -> Look:
        process = self.joiner.process
        pods, units = ((process,), ()) if process.startswith("/") else ((), (process,))
        return self.data.look() | Look(units=(self.unit, *units), pods=pods)

    def join(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Run it until it has published itself through the others, stop it, give what it holds its name."""
        data, unit = self.data, seen.units.get(self.unit, UnitSeen(self.unit))
        if data.kept in seen.paths or all(seen.has(*(each.staged for each in data.swapped))):
            return ()
        if not seen.units.get(self.joiner.process, UnitSeen(self.joiner.process)).gone:
            raise Refusal(f"{self.joiner.process} runs: it would write where a new member is to begin")
        if data.wal and data.wal.staged in seen.paths:
            return data.finished(self.db, self.wal, seen)
        if unit.state == "failed":
            raise CommandFailed(f"{self.joiner.binary} could not join the cluster on an empty directory")
        if unit.gone:
            return (*self._rooms(), *self._empty(seen), self._run())
        if unit.state != "active":
            return Await("etcd joins the cluster and takes over its data", POLL_S)
        return Command(("systemctl", "stop", self.unit)), *data.finished(self.db, self.wal, seen)

    def checks(self) -> tuple[Command, ...]:
        """Before anything is stopped: there is room for a database and its log, and a program that runs."""
        return (*self._rooms(), Command((self.joiner.binary, "--version")))

    def forget(self, seen: NodeSeen) -> tuple[Command, ...]:
        """What an attempt that failed has left in systemd, so that the next can begin."""
        failed = seen.units.get(self.unit, UnitSeen(self.unit)).state == "failed"
        return (Command(("systemctl", "reset-failed", self.unit)),) if failed else ()

    def journal(self) -> Command:
        return Command(("journalctl", "--no-pager", "-o", "cat", "-n", "6", "-u", self.unit))

    def _rooms(self) -> Iterator[Command]:
        needed = staging_bytes(self.size_bytes, arrived=True)
        yield from (room_for(needed, parent(each.live), given=(f"!{each.staged}",)) for each in self.data.swapped)

    def _empty(self, seen: NodeSeen) -> Iterator[Command]:
        """Directories of its own; one that an attempt has begun on is gone on with, for its log knows the rest."""
        for each, looks in zip(self.data.swapped, (self.wal, self.db) if self.wal else (self.db,), strict=True):
            if each.part not in seen.paths and looks:
                user, _, group = looks.owner.partition(":")
                make = ("install", "-d", "-m", "0700", "-o", user, "-g", group, each.part)
                yield Command(make, given=(f"!{each.staged}",))

    def _run(self) -> Command:
        """Not waited for, and without a limit of systemd's own: a large database takes its time."""
        log = self.data.wal_part()
        where = (f"--data-dir={self.data.part}", *((f"--wal-dir={log}",) if log else ()))
        properties = ("--property=Type=notify", "--property=TimeoutStartSec=infinity")
        run = ("systemd-run", "--quiet", "--no-block", f"--unit={self.unit}", *properties)
        user = (f"--uid={self.joiner.user}",) if self.joiner.user else ()
        return Command((*run, *user, self.joiner.binary, *where, *self.joiner.flags), given=(self.data.part,))


def joiner_of(settings: Cluster, member: Member, node: NodeSeen, others: Mapping[str, tuple[str, ...]]) -> Joiner:
    """By what unit or manifest says; BadInput where its program is neither on the node nor in an image there.

    `others` are the peer URLs of who is in the cluster, by name.
    """
    unit = node.units.get(settings.etcd.process, UnitSeen(settings.etcd.process))
    binary = ETCD if held(settings.etcd, node) else unit.argv[0] if unit.argv and not settings.etcd.manifest else ""
    program = PurePosixPath(binary)
    if binary != ETCD and not (program.is_absolute() and program.name.startswith(ETCD)):  # no wrapper is told flags
        raise BadInput(
            f"the etcd of {member.name} is not a program on the node ({settings.etcd.process}), and no image there "
            "has it: nothing could join"
        )
    told = {name: on_host(unit, value) for name, value in unit.flags.items()}
    return Joiner(settings.etcd.process, binary, unit.user, tuple(flags(member, told, others)))


def flags(member: Member, told: Mapping[str, str], others: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """The member's own, but for what only a first start is told, and for whom it hears."""
    tls = client_tls(told)
    clients = f"{'https' if tls else 'http'}://127.0.0.1:{CLIENT_PORT}"
    own = {"listen-peer-urls": member.peer_urls, "advertise-client-urls": member.client_urls}
    known = {name: told.get(name) or ",".join(own.get(name, ())) for name in CARRIED}
    everybody = {**others, member.name: member.peer_urls}
    yield f"--name={member.name}"
    yield f"--initial-cluster={','.join(f'{name}={url}' for name, urls in everybody.items() for url in urls)}"
    yield "--initial-cluster-state=existing"
    yield f"--initial-advertise-peer-urls={','.join(member.peer_urls)}"
    yield f"--listen-client-urls={clients}"
    yield from (f"--{name}={value}" for name, value in known.items() if value)
    yield from tls
    yield from peer_tls(told)


def peer_tls(told: Mapping[str, str]) -> Iterator[str]:
    """The member's own certificate for its peers, wherever it was told of it."""
    for name in PEER_TLS:
        flag = SPELT.get(name, f"peer-{name}")
        if value := told.get(flag) or told.get(f"{SECTION}.{name}", ""):
            yield f"--{flag}={value}"
