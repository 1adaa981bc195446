"""The same etcd on a copy of a stopped member's data: it alone can replay a log, and the original is not touched.

It hears nobody but its own node, on ports of its own, with the certificates of the member; `--force-new-cluster`
makes it a cluster of one, so it never looks for its peers. The database alone would not do: of a member that was
killed it lacks acknowledged writes (etcd.md, 3.3).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from quorate.command import Command
from quorate.converge import Await, Left
from quorate.errors import BadInput, CommandFailed, Refusal
from quorate.inventory import Cluster
from quorate.nodes.durable import parent
from quorate.nodes.image import ETCD, held
from quorate.nodes.room import room_to_copy
from quorate.nodes.seen import DirectorySeen, Look, NodeSeen, UnitSeen
from quorate.settings.machines import Member

CLIENT_PORT, PEER_PORT = 12379, 12380
POLL_S = 0.2
TLS = ("cert-file", "key-file", "trusted-ca-file", "client-cert-auth")
SECTION = "client-transport-security"  # where a configuration file has the same


@dataclass(frozen=True, slots=True)
class Scratch:
    """What runs, on a copy of which data; `process` is the member's own, which must not run."""

    process: str
    binary: str  # a path; or ETCD, as it is copied out of its image
    name: str
    user: str
    data_dir: str
    wal_dir: str = ""  # where it is not inside the data directory
    tls: tuple[str, ...] = ()
    beside: str = ""  # on its filesystem the copy is made: where the data directory is a mount point or a link
    member: str = ""  # what is copied, where that is not in the data directory: nobody runs on it

    @property
    def source(self) -> str:
        return self.member or f"{self.data_dir}/member"

    @property
    def port(self) -> int:
        return CLIENT_PORT

    def copy(self, operation: str) -> str:
        return f"{self.beside or self.data_dir}.quorate-{operation}-copy"

    def unit(self, operation: str) -> str:
        return f"quorate-scratch-{operation}.service"

    def argv(self, operation: str) -> tuple[str, ...]:
        client = f"{'https' if self.tls else 'http'}://127.0.0.1:{CLIENT_PORT}"
        peer = f"http://127.0.0.1:{PEER_PORT}"
        return (
            self.binary,
            f"--name={self.name}",
            f"--data-dir={self.copy(operation)}",
            "--force-new-cluster",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            *self.tls,
        )


@dataclass(frozen=True, slots=True)
class Replay:
    """One scratch member of one operation; with a `tool` the database alone is restored for it, without a log."""

    scratch: Scratch
    operation: str
    tool: str = ""

    @property
    def copy(self) -> str:
        return self.scratch.copy(self.operation)

    @property
    def part(self) -> str:
        return f"{self.copy}.part"

    @property
    def unit(self) -> str:
        return self.scratch.unit(self.operation)

    def look(self) -> Look:
        process = self.scratch.process
        pods, units = ((process,), ()) if process.startswith("/") else ((), (process,))
        paths = (self.scratch.data_dir, self.scratch.source, self.copy, self.part)
        return Look(paths=paths, units=(self.unit, *units), pods=pods)

    def start(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Copy, then run: a copy that was cut off has another name, and is made anew."""
        running = not seen.units.get(self.scratch.process, UnitSeen(self.scratch.process)).gone
        if running and not self.scratch.member:
            raise Refusal(f"{self.scratch.process} runs: what it holds is streamed, not copied; plan again")
        unit = seen.units.get(self.unit, UnitSeen(self.unit))
        if self.copy not in seen.paths:
            return self._restore() if self.tool else self._copy()
        if unit.state == "failed":
            raise CommandFailed(f"{self.scratch.binary} does not run on a copy of {self.scratch.source}")
        if unit.gone:
            return (self._run(),)
        up = unit.state == "active" and self.scratch.port in seen.listening
        return () if up else Await(f"etcd replays the copy of {self.scratch.source}", POLL_S)

    def forget(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Stop it and remove the copy: only ever this operation's own names."""
        unit = seen.units.get(self.unit, UnitSeen(self.unit))
        left = tuple(path for path in (self.copy, self.part) if path in seen.paths)
        stop = () if unit.gone else (Command(("systemctl", "stop", self.unit)),)
        reset = (Command(("systemctl", "reset-failed", self.unit)),) if unit.state == "failed" else ()
        remove = (Command(("rm", "-rf", *left)),) if left else ()
        return (*stop, *reset, *remove)

    def journal(self) -> Command:
        return Command(("journalctl", "--no-pager", "-o", "cat", "-n", "6", "-u", self.unit))

    def _copy(self) -> tuple[Command, ...]:
        """Without symbolic links: one to the log, kept as one, would let etcd write into the original."""
        source, log = self.scratch.source, self.scratch.wal_dir
        member = f"{self.part}/member"
        logs = (Command(("cp", "-aL", "--reflink=auto", log, f"{member}/wal")),) if log else ()
        return (
            Command(("rm", "-rf", self.part)),
            room_to_copy(parent(self.part), source, *((log,) if log else ())),
            Command(("mkdir", "-m", "0700", self.part), given=(f"!{self.copy}",)),
            Command(("chown", f"--reference={source}", self.part)),
            Command(("cp", "-aL", "--reflink=auto", source, member), given=(source,)),
            *logs,
            Command(("mv", "-T", self.part, self.copy), given=(self.part, f"!{self.copy}")),
        )

    def _restore(self) -> tuple[Command, ...]:
        """Its hash is not checked, for only a snapshot has one; on a database without a log etcd serves nobody."""
        data, peer = self.scratch.data_dir, f"http://127.0.0.1:{PEER_PORT}"
        db = f"{data}/member/snap/db"
        as_new = (
            f"--name={self.scratch.name}",
            f"--initial-cluster={self.scratch.name}={peer}",
            f"--initial-advertise-peer-urls={peer}",
        )
        restore = (self.tool, "snapshot", "restore", db, "--skip-hash-check", *as_new, f"--data-dir={self.part}")
        return (
            Command(("rm", "-rf", self.part)),
            room_to_copy(parent(self.part), db),
            Command(restore, given=(db, f"!{self.copy}")),
            Command(("chown", "-R", f"--reference={data}", self.part)),
            Command(("mv", "-T", self.part, self.copy), given=(self.part, f"!{self.copy}")),
        )

    def _run(self) -> Command:
        """Not waited for: a start that takes long is polled for."""
        run = ("systemd-run", "--quiet", "--no-block", f"--unit={self.unit}", "--property=Type=notify")
        user = (f"--uid={self.scratch.user}",) if self.scratch.user else ()
        return Command((*run, *user, *self.scratch.argv(self.operation)), given=(self.copy,))


def scratch_of(settings: Cluster, member: Member, node: NodeSeen) -> Scratch:
    """From what unit or manifest says; BadInput where its program is neither on the node nor in an image there."""
    unit = node.units.get(settings.etcd.process, UnitSeen(settings.etcd.process))
    binary = ETCD if held(settings.etcd, node) else unit.argv[0] if unit.argv and not settings.etcd.manifest else ""
    if binary != ETCD and not PurePosixPath(binary).is_absolute():
        raise BadInput(
            f"{member.name} does not run and its etcd is not a program on the node ({settings.etcd.process}): its "
            "data cannot be replayed there; start it, then its data can be streamed even without a quorum"
        )
    flags = {name: on_host(unit, value) for name, value in unit.flags.items()}
    return Scratch(
        process=unit.unit,
        binary=binary,
        name=member.name,
        user=unit.user,
        data_dir=settings.etcd.data_dir,
        wal_dir=flags.get("wal-dir", ""),
        tls=client_tls(flags),
        beside=beside(settings.etcd.data_dir, node.directories.get(settings.etcd.data_dir)),
    )


def on_host(unit: UnitSeen, value: str) -> str:
    """A path of a pod's container as the node has it."""
    return unit.manifest.on_host(value) if unit.manifest and value.startswith("/") else value


def beside(data_dir: str, where: DirectorySeen | None) -> str:
    """What the copy lies beside, where that is not the data directory as the inventory names it."""
    if where is None or (where.real == data_dir and not where.mounted):
        return ""
    return f"{where.real}/member" if where.mounted else where.real


def client_tls(flags: Mapping[str, str]) -> tuple[str, ...]:
    """The member's own certificate for clients, as flags, wherever it was told of it."""
    known = {name: flags.get(name) or flags.get(f"{SECTION}.{name}", "") for name in TLS}
    return tuple(f"--{name}={value}" for name, value in known.items() if value) if known["cert-file"] else ()
