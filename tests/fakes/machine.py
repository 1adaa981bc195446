"""Machines of memory: they refuse what real ones refuse."""

import gzip
import io
import re
import shlex
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from zlib import crc32

from quorate.command import Command, Node, Ticket
from quorate.converge import Done, Ran, Tick
from quorate.errors import Busy, CommandFailed, Superseded, Unreachable
from quorate.nodes.seen import Look, NodeSeen, PathSeen, UnitSeen
from quorate.nodes.supervisor import FENCE_DIR
from quorate.ports import Host

RESTORE = "snapshot restore"


@dataclass
class Unit:
    """As systemd knows it: `loaded` drop-ins are those of the last daemon-reload."""

    state: str = "active"
    ports: tuple[int, ...] = ()
    loaded: tuple[str, ...] = ()
    assert_failed: bool = False
    hangs: bool = False  # in its stop, until it is killed
    argv: tuple[str, ...] = ()


@dataclass
class Machine:
    """One node; `breaks` and `stalls` name a part of the command that fails or freezes."""

    name: str
    files: dict[str, str] = field(default_factory=dict)  # path → content; directories have None-like ""
    directories: set[str] = field(default_factory=set)
    units: dict[str, Unit] = field(default_factory=dict)
    tables: set[str] = field(default_factory=set)
    claim: tuple[str, int, int] | None = None
    at: str = ""  # the step and verb of the claim
    released: tuple[str, int, int] | None = None
    breaks: str = ""
    stalls: str = ""
    away: bool = False
    free_bytes: int = 10**12
    tools: dict[str, str] = field(default_factory=lambda: {"/usr/local/bin/etcdutl": "3.6.14"})
    images: dict[str, dict[str, str]] = field(default_factory=dict)  # program → what it answers to `version`
    mounts: set[str] = field(default_factory=set)  # directories that nobody can rename
    dies_at: int = -1  # the connection breaks before this command, once
    thaw: threading.Event = field(default_factory=threading.Event)
    frozen: threading.Event = field(default_factory=threading.Event)
    ran: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def exists(self, path: str) -> bool:
        return path in self.files or path in self.directories or any(below(name, path) for name in self.files)

    def live(self) -> str:
        """What the member would serve: the content of its live db."""
        return self.files.get("/var/lib/etcd/default/member/snap/db", "nothing")


@dataclass
class FakeHosts:
    machines: dict[str, Machine]

    def survey(self, node: Node, look: Look) -> NodeSeen:
        return seen(self._machine(node), look)

    def at(self, node: Node, look: Look, ticket: Ticket) -> Host:
        return FakeHost(self._machine(node), node, look, ticket)

    def read(self, node: Node, command: Command) -> Iterator[bytes]:
        """What `cat` prints, or the newest of the files below a word of the command, packed as the node would."""
        there = self._machine(node)
        found = [
            text for path, text in sorted(there.files.items()) if any(below(path, word) for word in command.argv)
        ]
        if command.argv[0] == "sha256sum":
            yield from summed(there, command.argv[2:])
        elif answer := bundled(there, command):
            yield from answer
        elif "/released" in str(command):
            yield " ".join(map(str, there.released or ())).encode()
        elif command.argv[0] != "cat":
            yield gzip.compress(found[-1].encode("latin-1") if found else b"")
        elif found:
            yield found[-1].encode("latin-1")
        else:
            raise CommandFailed(f"{node.name}: `{command}` exited 1: no such file")

    def tried(self, node: Node, words: tuple[str, ...], program: Iterable[bytes]) -> str:
        """A program of memory is what it says to `version`."""
        self._machine(node)
        said = b"".join(program).decode("latin-1")
        if words != ("version",) or not said:
            raise CommandFailed(f"{node.name}: what was sent does not run")
        return f"etcdutl version: {said}\n"

    def _machine(self, node: Node) -> Machine:
        machine = self.machines[node.name]
        if machine.away:
            raise Unreachable(f"{node.name} does not answer")
        return machine


def bundled(machine: Machine, command: Command) -> tuple[bytes, ...]:
    """What a node answers to whoever gathers its bundle; nothing to anybody else."""
    if command.argv[0] == "systemctl":
        blocks = [
            f"Id={name}\nFragmentPath=/etc/systemd/system/{name}\nUser=etcd\nEnvironmentFiles=/etc/default/{name}"
            for name in command.argv[4:]
            if f"/etc/systemd/system/{name}" in machine.files
        ]
        return ("\n\n".join(blocks).encode() + b"\n",)
    if command.argv[3:4] == ("tar",):
        return (tarred(machine, command.argv[4:]),)
    if "find -L" in str(command):
        asked = [word for word in shlex.split(command.argv[2]) if word.startswith("/")]
        found = [path for path in machine.files if any(below(path, word) for word in asked)]
        lines = [f"file\t{path}\troot\troot\t{len(machine.files[path])}" for path in found]
        return ("\n".join([*lines, "passwd\tetcd:x:999:998::/:/sbin/nologin", "group\tetcd:x:998:", ""]).encode(),)
    return ()


def summed(machine: Machine, paths: tuple[str, ...]) -> Iterator[bytes]:
    for path in paths:
        if path not in machine.files:
            raise CommandFailed(f"{machine.name}: sha256sum exited 1: {path}: no such file")
        yield f"{sha256(machine.files[path].encode('latin-1')).hexdigest()}  {path}\n".encode()


def tarred(machine: Machine, names: tuple[str, ...]) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.mode, info.uname, info.gname = 0o600, "root", "root"
            data = machine.files.get(f"/{name}", "").encode("latin-1")
            info.size, info.type = len(data), tarfile.REGTYPE if f"/{name}" in machine.files else tarfile.DIRTYPE
            tar.addfile(info, io.BytesIO(data))
    return whole.getvalue()


@dataclass
class FakeHost:
    machine: Machine
    node: Node
    looks: Look
    ticket: Ticket

    def look(self) -> NodeSeen:
        with self.machine.lock:
            self._admit(acting=False)
            return seen(self.machine, self.looks, f"{self.node.lock_dir}/{self.node.cluster}")

    def do(self, acts: tuple[Command, ...], tick: Tick) -> Done[NodeSeen]:
        ran: list[Ran] = []
        for act in acts:
            ran.append(self._run(act, act.stdin))
            if ran[-1].exit != 0:
                break
        return Done(tuple(ran), seen(self.machine, self.looks, f"{self.node.lock_dir}/{self.node.cluster}"))

    def send(self, command: Command, chunks: Iterable[bytes], tick: Tick) -> Ran:
        return self._run(command, b"".join(chunks).decode("latin-1"))

    def _run(self, act: Command, stdin: str) -> Ran:
        self._stall(str(act))
        with self.machine.lock:
            if not self._admit(acting=True) or not all(self._given(path) for path in act.given):
                return Ran(str(act), None)
            machine = self.machine
            if len(machine.ran) == machine.dies_at:
                machine.dies_at = -1
                raise Unreachable(f"{machine.name}: the connection broke")
            if machine.breaks and machine.breaks in str(act):
                return Ran(str(act), 1, "it is broken")
            code = perform(machine, act.argv, stdin)
            machine.ran.append(str(act))
            return Ran(str(act), code, "" if not code else f"{act.argv[0]} refuses")

    def _stall(self, act: str) -> None:
        """A connection that freezes once, before the command gets through."""
        if self.machine.stalls and self.machine.stalls in act:
            self.machine.stalls = ""
            self.machine.frozen.set()
            self.machine.thaw.wait(30)

    def _admit(self, *, acting: bool) -> bool:
        machine, mine = self.machine, (self.ticket.operation, self.ticket.turn, self.ticket.attempt)
        over = machine.claim is None and machine.released is not None and machine.released[0] == mine[0]
        holder = machine.released if over else machine.claim
        if holder and holder[0] != mine[0]:
            raise Busy(f"{machine.name} belongs to operation {holder[0]}")
        if holder and holder[1:] > mine[1:]:
            raise Superseded(f"{machine.name}: a later attempt has taken over")
        if not acting and not over:
            if machine.claim != mine:
                machine.at = f"{self.ticket.step} {self.ticket.verb}"
            machine.claim = mine
        return not over and machine.claim is not None

    def _given(self, path: str) -> bool:
        there = claim_aware(self.machine, self.node, path.removeprefix("!"))
        return there != path.startswith("!")


def claim_aware(machine: Machine, node: Node, path: str) -> bool:
    if path == f"{node.lock_dir}/{node.cluster}/claim":
        return machine.claim is not None
    return machine.exists(path)


def seen(machine: Machine, look: Look, home: str = "/var/lib/quorate/demo") -> NodeSeen:
    wanted = {*look.paths, *look.texts}
    paths = {path: path_seen(machine, path) for path in wanted if machine.exists(path)}
    if machine.claim and f"{home}/claim" in wanted:
        paths[f"{home}/claim"] = PathSeen("regular file", "root:root", "600", "1", 10)
    listening = {port for unit in machine.units.values() if unit.state == "active" for port in unit.ports}
    return NodeSeen(
        machine=f"machine-{machine.name}",
        architecture="x86_64" if look.spaces else "",
        claim=" ".join([*map(str, machine.claim), machine.at]) if machine.claim else "",
        paths=paths,
        units={name: unit_seen(machine, name) for name in (*look.units, *look.pods)},
        texts={path: machine.files[path] for path in look.texts if path in machine.files},
        spaces=dict.fromkeys(look.spaces, machine.free_bytes),
        tools={path: says for path in look.tools if (says := (machine.files | machine.tools).get(path))},
        listening=frozenset(listening if look.units or look.pods else ()),
        tables=frozenset(machine.tables if look.tables else ()),
        mentions=frozenset(each for each in look.mentions if each.text in machine.files.get(each.where, "")),
    )


def path_seen(machine: Machine, path: str) -> PathSeen:
    kind = "directory" if path in machine.directories else "regular file"
    return PathSeen(kind, "etcd:etcd", "700", "1", len(machine.files.get(path, "")), inode(machine, path))


def inode(machine: Machine, path: str) -> str:
    """Told by what is in it, for a rename changes nothing of that either."""
    within = sorted(f"{name[len(path) :]}={text}" for name, text in machine.files.items() if below(name, path))
    return str(crc32(";".join(within).encode()))


def unit_seen(machine: Machine, name: str) -> UnitSeen:
    if name not in machine.units:
        return UnitSeen(name)
    unit = machine.units[name]
    there = tuple(sorted(path for path in machine.files if path.startswith(f"/etc/systemd/system/{name}.d/")))
    pid = 0 if unit.state in {"inactive", "failed"} else 42
    stale = there != unit.loaded
    return UnitSeen(
        name, "loaded", unit.state, "", pid, "etcd", "etcd", unit.loaded, stale, unit.assert_failed, unit.argv
    )


def perform(machine: Machine, argv: tuple[str, ...], stdin: str) -> int:
    verb: dict[str, Callable[[Machine, tuple[str, ...], str], int]] = {
        "install": install, "rm": remove, "mv": move, "sync": sync, "chown": sync, "chmod": sync,
        "systemctl": systemctl, "rmdir": rmdir, "chcon": sync,
        "cp": copy, "mkdir": make, "systemd-run": transient, "sh": shell, "journalctl": journal, "/usr/sbin/nft": nft,
        "unshare": take_out, "sed": edit, "tar": unpack, "ln": link,
    }  # fmt: skip
    if argv[1:] == ("--version",):
        return 0
    if argv[1:3] == ("snapshot", "restore"):
        return restore(machine, argv)
    return verb[argv[0]](machine, argv, stdin)


def install(machine: Machine, argv: tuple[str, ...], stdin: str) -> int:
    if "-d" in argv:
        machine.directories.add(argv[-1])
    else:
        machine.files[argv[-1]] = stdin
    return 0


def remove(machine: Machine, argv: tuple[str, ...], _: str) -> int:
    for path in argv[2:]:
        machine.files = {name: text for name, text in machine.files.items() if not below(name, path)}
        machine.directories = {name for name in machine.directories if not below(name, path)}
    return 0


def rmdir(machine: Machine, argv: tuple[str, ...], _: str) -> int:
    path = argv[-1]
    if any(below(name, path) and name != path for name in (*machine.files, *machine.directories)):
        return 0 if "--ignore-fail-on-non-empty" in argv else 1
    machine.directories.remove(path)
    return 0


def move(machine: Machine, argv: tuple[str, ...], _: str) -> int:
    source, target = argv[2:]
    if source.endswith("/claim"):
        machine.released, machine.claim = machine.claim, None
        return 0
    if not machine.exists(source) or target in machine.directories or {source, target} & machine.mounts:
        return 1
    machine.files = {renamed(name, source, target): text for name, text in machine.files.items()}
    machine.directories = {renamed(name, source, target) for name in machine.directories}
    return 0


def copy(machine: Machine, argv: tuple[str, ...], _: str) -> int:
    source, target = argv[-2:]
    if not any(below(name, source) for name in (*machine.files, *machine.directories)) or machine.exists(target):
        return 1
    machine.files |= {renamed(n, source, target): text for n, text in machine.files.items() if below(n, source)}
    machine.directories |= {renamed(name, source, target) for name in machine.directories if below(name, source)}
    return 0


def make(machine: Machine, argv: tuple[str, ...], _: str) -> int:
    """`mkdir` without -p refuses what is there."""
    new = [word for word in argv[1:] if word.startswith("/")]
    if "-p" not in argv and any(machine.exists(path) for path in new):
        return 1
    machine.directories |= set(new)
    return 0


def take_out(machine: Machine, argv: tuple[str, ...], _: str) -> int:
    """`unshare --mount sh -c SCRIPT MOUNT INTO IMAGE FILE...`: it refuses an image, or a file, that is not there."""
    mount, into, image, *files = argv[5:]
    inside = machine.images.get(image, {})
    wanted = [file.rpartition("/")[2] for file in files]
    if not {mount, into} <= machine.directories or not set(wanted) <= set(inside):
        return 1
    machine.files |= {f"{into}/{program}": inside[program] for program in wanted}
    return 0


def unpack(machine: Machine, argv: tuple[str, ...], stdin: str) -> int:
    """`tar -C / -x`: what is there under the name of a file gives way."""
    with tarfile.open(fileobj=io.BytesIO(stdin.encode("latin-1"))) as tar:
        for each in tar:
            found = tar.extractfile(each)
            if found is None:
                machine.directories.add(f"/{each.name}")
            else:
                machine.files[f"/{each.name}"] = found.read().decode("latin-1")
    return 0


def link(machine: Machine, argv: tuple[str, ...], _: str) -> int:
    """`ln -T` refuses a name that is taken."""
    source, target = argv[2:]
    if machine.exists(target) or source not in machine.files:
        return 1
    machine.files[target] = machine.files[source]
    return 0


def edit(machine: Machine, argv: tuple[str, ...], _: str) -> int:
    """`sed -i` with the two edits that take one of several out of a list."""
    *_, program, file = argv
    for url in re.findall(r"s#(http[^#]*),##g", program):
        text = url.replace("\\", "")
        machine.files[file] = machine.files[file].replace(f",{text}", "").replace(f"{text},", "")
    return 0


def transient(machine: Machine, argv: tuple[str, ...], _: str) -> int:
    """A unit that listens where its program is told to; what joins a cluster begins in an empty directory."""
    name = next(word for word in argv if word.startswith("--unit=")).partition("=")[2]
    if name in machine.units:
        return 1
    if "--initial-cluster-state=existing" in argv:
        data = next(word for word in argv if word.startswith("--data-dir=")).partition("=")[2]
        machine.directories.add(f"{data}/member")
        machine.files[f"{data}/member/snap/db"] = "what the others send"
        if log := next((word.partition("=")[2] for word in argv if word.startswith("--wal-dir=")), ""):
            machine.files[f"{log}/0.wal"] = "the log of a new member"
    ports = tuple(int(word.rpartition(":")[2]) for word in argv if word.startswith("--listen-"))
    machine.units[name] = Unit(ports=ports)
    return 0


def sync(machine: Machine, argv: tuple[str, ...], _: str) -> int:
    paths = [word for word in argv[1:] if word.startswith("/")]
    there = {"/var/lib", "/var/lib/etcd", FENCE_DIR}  # as are the directories of drop-ins, once there was one
    known = [path for path in paths if not path.endswith(("/claim", ".d")) and path not in there]
    names = (*machine.files, *machine.directories)
    return 0 if all(any(below(name, path) for name in names) for path in known) else 1


def systemctl(machine: Machine, argv: tuple[str, ...], _: str) -> int:
    if argv[1] == "daemon-reload":
        for name, unit in machine.units.items():
            unit.loaded = tuple(sorted(p for p in machine.files if p.startswith(f"/etc/systemd/system/{name}.d/")))
        return 0
    unit = machine.units[argv[-1]]
    match argv[1]:
        case "stop" if argv[-1].startswith(("quorate-scratch-", "quorate-join-")):
            del machine.units[argv[-1]]  # a transient unit that ends well is forgotten
        case "stop" if unit.state in {"active", "activating"}:
            unit.state = "deactivating" if unit.hangs else "inactive"
        case "kill":
            unit.state = "failed"
        case "try-restart":
            return 0
        case "reset-failed":
            unit.state = "inactive"
        case "start":
            start(machine, argv[-1])
    return 0


def nft(machine: Machine, argv: tuple[str, ...], _: str) -> int:
    if argv[1] == "-f":
        machine.tables |= set(re.findall(r"^table (\S+ \S+) {", machine.files[argv[2]], re.MULTILINE))
        return 0
    machine.tables.remove(" ".join(argv[-2:]))
    return 0


def journal(_machine: Machine, _argv: tuple[str, ...], _: str) -> int:
    return 0


def start(machine: Machine, name: str) -> int:
    """Systemd goes by the drop-ins it has loaded and the flags that are there now."""
    unit = machine.units[name]
    barred = any(machine.exists(flag(machine, drop_in)) for drop_in in unit.loaded)
    unit.assert_failed = barred
    if not barred:
        unit.state = "active"
        machine.tables |= {
            "inet quorate" for drop_in in unit.loaded if "clients" in drop_in and drop_in in machine.files
        }
    return int(barred)


def flag(machine: Machine, drop_in: str) -> str:
    return machine.files.get(drop_in, "").partition("AssertPathExists=!")[2].strip() or "/nowhere"


def shell(machine: Machine, argv: tuple[str, ...], stdin: str) -> int:
    script = argv[2]
    if script.startswith('"$@" && exec rm -rf "$0"'):
        return restore(machine, argv[4:]) or remove(machine, ("rm", "-rf", argv[3]), "")
    if script.startswith(("f=$((", "n=$(shift 2; du ")) and machine.free_bytes < int(argv[5]):
        return 28
    if " systemctl " in script:
        return supervise(machine, script)
    if script.endswith('exec > "$0" 9>&-; "$@" || { rm -f "$0"; exit 1; }'):
        machine.directories.add(argv[3].rpartition("/")[0])
        machine.files[argv[3]] = stdin
    if script.startswith('cp -a -- "$'):
        source, target = argv[3:] if '"$0" "$1.part"' in script else argv[:2:-1]
        machine.files[target] = machine.files[source]
    if "snapshot status" in script:
        machine.files[argv[6]] = '{"hash":%d}' % crc32(machine.files[argv[5]].encode())
    if script.startswith("stat -c %i "):
        machine.files[argv[4]] = "\n".join(inode(machine, path) for path in argv[5:])
    if "sha256sum" in script:
        return 0 if sha256(machine.files[argv[4]].encode("latin-1")).hexdigest() == argv[5] else 1
    if script.startswith("test "):
        return 0 if machine.files[argv[4]][-32:].encode("latin-1").hex() in script else 1
    return 0


def supervise(machine: Machine, script: str) -> int:
    if script.startswith("!"):
        return 0 if start(machine, script.rsplit(maxsplit=1)[-1]) else 1
    return patient(machine, script.split())


def patient(machine: Machine, words: list[str]) -> int:
    """`timeout 2 systemctl stop UNIT... || { kill them }`, or a start that is waited for."""
    units = words[4 : words.index("||")]
    if words[3] == "start":
        return max(start(machine, unit) for unit in units)
    for unit in units:
        systemctl(machine, ("systemctl", "stop", unit), "")
        if machine.units[unit].state == "deactivating":
            systemctl(machine, ("systemctl", "kill", unit), "")
    return 0


def restore(machine: Machine, argv: tuple[str, ...]) -> int:
    target = next(word for word in argv if word.startswith("--data-dir=")).partition("=")[2]
    if machine.exists(target):
        return 1
    machine.directories |= {target, f"{target}/member"}
    wal = next((word.partition("=")[2] for word in argv if word.startswith("--wal-dir=")), "")
    if wal and machine.exists(wal):
        return 1
    token = next(word for word in argv if word.startswith("--initial-cluster-token=")).partition("=")[2]
    if wal:
        machine.directories.add(wal)
        machine.files[f"{wal}/0.wal"] = f"the log of {token}"
    machine.files[f"{target}/member/snap/db"] = f"{token}:{machine.files[argv[3]][:-32]}"
    return 0


def below(name: str, path: str) -> bool:
    return name == path or name.startswith(f"{path}/")


def renamed(name: str, source: str, target: str) -> str:
    return target + name[len(source) :] if below(name, source) else name
