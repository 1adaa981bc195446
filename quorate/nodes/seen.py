"""What is seen on a node: one script, one round trip, one value."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from quorate.nodes import effective, hardware, mention, pods, programs, signs
from quorate.nodes.mention import Mention
from quorate.nodes.programs import Manifest, ProgramsSeen
from quorate.nodes.signs import Ask, Signs
from quorate.nodes.stored import StoredTool

UNIT_PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,MainPID,User,Group,DropInPaths,NeedDaemonReload,"
    "AssertResult,AssertTimestampMonotonic,ExecStart,Result,Job,UnitFileState"
)
PROPERTIES = frozenset(UNIT_PROPERTIES.split(","))


@dataclass(frozen=True, slots=True)
class Look:
    """What to look at; a survey looks at more than a step does."""

    paths: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()  # small files whose content matters
    spaces: tuple[str, ...] = ()  # how much room is left where these paths are
    tools: tuple[str, ...] = ()  # what they answer to `version`
    tables: bool = False  # firewall tables
    pods: tuple[str, ...] = ()  # manifests of static pods
    programs: bool = False  # who keeps etcd and the control plane, whatever it is called
    signs: Ask | None = None  # of what may keep etcd down
    dials: tuple[str, ...] = ()  # `host:port`, whether they answer this node
    directories: tuple[str, ...] = ()  # where they really lie, and whether they can be renamed
    mentions: tuple[Mention, ...] = ()
    crons: bool = False  # what is done to backups beside us
    running: bool = False  # of `programs` what runs, and the manifests

    def __or__(self, other: "Look") -> "Look":
        return Look(
            paths=once(self.paths + other.paths),
            units=once(self.units + other.units),
            texts=once(self.texts + other.texts),
            spaces=once(self.spaces + other.spaces),
            tools=once(self.tools + other.tools),
            tables=self.tables or other.tables,
            pods=once(self.pods + other.pods),
            programs=self.programs or other.programs,
            signs=self.signs or other.signs,
            dials=once(self.dials + other.dials),
            directories=once(self.directories + other.directories),
            mentions=tuple(dict.fromkeys(self.mentions + other.mentions)),
            crons=self.crons or other.crons,
            running=self.running or other.running,
        )


def kept_by(process: str) -> Look:
    """At what keeps a program, as the inventory calls that: the manifest of a static pod, a path, or a unit."""
    return Look(pods=(process,)) if process.startswith("/") else Look(units=(process,))


def once(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class PathSeen:
    kind: str  # "directory", "regular file", …, as stat(1) says it
    owner: str  # user:group
    mode: str
    device: str
    size_bytes: int
    inode: str = ""


@dataclass(frozen=True, slots=True)
class DirectorySeen:
    """A directory as it lies on the disk; what is mounted cannot be renamed."""

    real: str  # without symbolic links
    mounted: bool = False
    member_mounted: bool = False  # the `member` in it


@dataclass(frozen=True, slots=True)
class UnitSeen:
    unit: str
    load: str = "not-found"
    state: str = "inactive"
    sub: str = "dead"
    pid: int = 0
    user: str = ""
    group: str = ""
    drop_ins: tuple[str, ...] = ()
    stale: bool = False  # files on disk are newer than what systemd has loaded
    assert_failed: bool = False
    argv: tuple[str, ...] = ()  # of the process if it runs, else of the unit
    result: str = "success"
    queued: bool = False  # systemd has a job for it that it has not begun
    told: dict[str, str] | None = None  # by all that tells it; None where only the command line was seen
    manifest: Manifest | None = None  # of a static pod, where it was read
    file_state: str = "enabled"  # any other than this may be forgotten by systemd whenever it does not run

    @property
    def owner(self) -> str:
        return f"{self.user or 'root'}:{self.group or self.user or 'root'}"

    @property
    def flags(self) -> dict[str, str]:
        """What it really uses, wherever that is written."""
        return effective.words(self.argv) if self.told is None else self.told

    @property
    def gone(self) -> bool:
        return self.state in {"inactive", "failed"} and self.pid == 0


@dataclass(frozen=True, slots=True)
class NodeSeen:
    now: float = 0.0
    machine: str = ""
    boot: str = ""
    claim: str = ""  # "operation turn attempt step verb"
    paths: dict[str, PathSeen] = field(default_factory=dict)
    units: dict[str, UnitSeen] = field(default_factory=dict)  # static pods too, by manifest
    texts: dict[str, str] = field(default_factory=dict)
    spaces: dict[str, int] = field(default_factory=dict)  # bytes
    devices: dict[str, str] = field(default_factory=dict)  # that these are on
    tools: dict[str, str] = field(default_factory=dict)
    listening: frozenset[int] = frozenset()  # looked at where units are
    tables: frozenset[str] = frozenset()
    programs: ProgramsSeen = field(default_factory=ProgramsSeen)
    signs: Signs = field(default_factory=Signs)
    dials: dict[str, str] = field(default_factory=dict)  # open | refused | silent | unreachable | untried
    directories: dict[str, DirectorySeen] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)  # bytes in what earlier operations have left beside them
    mentions: frozenset[Mention] = frozenset()  # of those that were looked for
    images: frozenset[str] = frozenset()  # of containerd, where a survey looks for static pods
    architecture: str = ""  # as `uname -m` says it; looked at where spaces are
    cpus: int = 0  # looked at where spaces are
    memory_bytes: int = 0
    habits: tuple[tuple[str, str], ...] = ()  # (file, words) of what is done to backups beside us
    stored: StoredTool | None = None  # what the store has for a node that has no restore tool

    @property
    def holder(self) -> str:
        """The operation that has claimed it, or nothing."""
        return next(iter(self.claim.split()), "")

    def lies(self, path: str) -> DirectorySeen:
        """Where a directory really lies; as it is called where nobody has looked."""
        return self.directories.get(path, DirectorySeen(path))

    def has(self, *paths: str) -> tuple[bool, ...]:
        return tuple(path in self.paths for path in paths)


_STAT = r"stat --printf 'path\t%n\t%F\t%U:%G\t%a\t%d\t%s\t%u:%g\t%i\n'"


def script(look: Look) -> str:
    """POSIX shell that prints what is seen: `key TAB value` a line, or as a tool says it.

    Few forks and no pipes: it is run while etcd starts, and each costs the node 2 ms.
    """
    return "\n".join([_BEGIN, *_files(look), *_processes(look), *_surroundings(look), "true"])


_BEGIN = r"""export LC_ALL=C
read -r x </etc/machine-id; printf 'machine\t%s\n' "$x"
read -r x </proc/sys/kernel/random/boot_id; printf 'boot\t%s\n' "$x" """


def _files(look: Look) -> Iterator[str]:
    if paths := dict.fromkeys((*look.paths, *look.texts)):
        yield f"{_STAT} -- {shlex.join(paths)} 2>/dev/null"
    yield from (_directory(path) for path in look.directories)
    for path in map(shlex.quote, look.texts):
        yield rf"[ -f {path} ] && {{ printf 'text\t%s\t' {path}; head -c 2048 {path} | tr '\n\t' '  '; echo; }}"


def _processes(look: Look) -> Iterator[str]:
    if look.units or look.pods:
        yield _LISTENING
    if look.pods:
        yield pods.script(look.pods)
    if look.units:
        yield f"systemctl show --property={UNIT_PROPERTIES} -- {shlex.join(look.units)}"


def _surroundings(look: Look) -> Iterator[str]:
    """What costs more, and mostly a survey asks."""
    if look.spaces:
        yield r"printf 'now\t'; date +%s.%N; printf 'architecture\t'; uname -m"
        yield hardware.MACHINE
    if look.crons:
        yield hardware.CRONS
    yield from (_space(path) for path in look.spaces)
    yield from (_tool(path) for path in look.tools)
    yield from map(mention.script, look.mentions)
    if look.tables:
        yield "nft list tables 2>/dev/null"
    if look.programs:
        yield from (programs.script(UNIT_PROPERTIES), pods.IMAGES)
    elif look.running:
        yield programs.running()
    if look.signs:
        yield signs.script(look.signs)
    if look.dials:
        yield signs.dials(look.dials)
    if look.spaces:
        yield from (effective.script(look.units) if look.units or look.pods else "", pods.texts(look.pods))
        yield pods.IMAGES if look.pods and not look.programs else ""


# Without `ss`, or with one that fails, the kernel's tables tell the same, four times as slowly (10 ms, measured).
_LISTENING = r"""ss -Hltn 2>/dev/null ||
awk '$4=="0A"{split($2,a,":");print "listen\t" a[length(a)]}' /proc/net/tcp /proc/net/tcp6"""


def _directory(path: str) -> str:
    """With owner and mode of what would be renamed: itself, or the `member` of a mount point."""
    quoted = shlex.quote(path)
    return rf"""d=$(readlink -m -- {quoted})
m=; mountpoint -q -- "$d" && m=.; mountpoint -q -- "$d/member" && m="$m member"
printf 'directory\t%s\t%s\t%s\n' {quoted} "$d" "$m"
{_STAT} -- "$d" "$d/member" 2>/dev/null
for k in "$d".before-* "$d".quorate-* "$d/member".before-* "$d/member".quorate-*; do
  [ -d "$k" ] && printf 'kept\t%s\t%s\n' "$k" "$(du -sB1 -- "$k" | cut -f1)"
done"""


def _space(path: str) -> str:
    """Of the nearest directory that exists: a wiped data directory still has a filesystem."""
    quoted = shlex.quote(path)
    return rf"""p=$(readlink -m -- {quoted}); while [ ! -d "$p" ]; do p=$(dirname "$p"); done
printf 'space\t%s\t%s\t' {quoted} "$(stat -c %d -- "$p")"; df -PB1 -- "$p" | awk 'END{{print $4}}'"""


def _tool(path: str) -> str:
    quoted = shlex.quote(path)
    return rf"[ -x {quoted} ] && {{ printf 'tool\t%s\t' {quoted}; {quoted} version 2>/dev/null | head -n 1; }}"


def parse(output: str) -> NodeSeen:
    """What the script printed, as a value; lines it does not know are left alone."""
    lines = output.splitlines()
    rows = [line.split("\t") for line in lines]
    only = {row[0]: row[1] for row in rows if len(row) == 2}
    return NodeSeen(
        now=float(only.get("now", 0)),
        machine=only.get("machine", ""),
        boot=only.get("boot", ""),
        architecture=only.get("architecture", ""),
        claim=only.get("claim", ""),
        cpus=int(only.get("cpus", "0") or 0),
        memory_bytes=1024 * int(only.get("memory", "0") or 0),
        habits=hardware.habits(rows),
        paths={r[1]: _path(*r[2:]) for r in rows if r[0] == "path" and len(r) == 9},
        units={**_units(lines, Told.of(rows)), **_pods(rows)},
        texts={r[1]: r[2].strip() for r in rows if r[0] == "text" and len(r) == 3},
        spaces={r[1]: int(r[3]) for r in rows if r[0] == "space" and len(r) == 4 and r[3].isdigit()},
        devices={r[1]: r[2] for r in rows if r[0] == "space" and len(r) == 4},
        tools={r[1]: r[2].split(":")[-1].strip() for r in rows if r[0] == "tool" and len(r) == 3},
        listening=frozenset(_ports(lines)),
        tables=frozenset(line.removeprefix("table ") for line in lines if line.startswith("table ")),
        programs=programs.parse(rows),
        signs=signs.parse(lines, rows),
        dials=signs.dialled(rows),
        kept={r[1]: int(r[2]) for r in rows if r[0] == "kept" and len(r) == 3 and r[2].isdigit()},
        directories={r[1]: _lying(*r[2:]) for r in rows if r[0] == "directory" and len(r) == 4},
        mentions=mention.parse(rows),
        images=frozenset(r[1] for r in rows if r[0] == "image" and len(r) == 2),
    )


def _path(kind: str, names: str, mode: str, device: str, size_bytes: str, ids: str, inode: str) -> PathSeen:
    """An owner without a name goes by its number."""
    owner = ":".join(
        number if name == "UNKNOWN" else name for name, number in zip(names.split(":"), ids.split(":"), strict=True)
    )
    return PathSeen(kind, owner, mode, device, int(size_bytes), inode)


def _lying(real: str, mounts: str) -> DirectorySeen:
    return DirectorySeen(real, "." in mounts.split(), "member" in mounts.split())


def _ports(lines: list[str]) -> Iterator[int]:
    """Of `LISTEN 0 4096 *:2379 *:*`, as ss(8) says it, or of a kernel's hexadecimal."""
    for line in lines:
        if line.startswith("LISTEN "):
            yield int(line.split()[3].rpartition(":")[2])
        elif line.startswith("listen\t"):
            yield int(line.removeprefix("listen\t"), 16)


@dataclass(frozen=True, slots=True)
class Told:
    """What processes and units are told, by pid or by name."""

    argv: dict[str, tuple[str, ...]]
    environment: dict[str, dict[str, str]]
    files: dict[str, dict[str, str] | None]

    @classmethod
    def of(cls, rows: list[list[str]]) -> "Told":
        argv = {r[1]: tuple(r[2].rstrip("\x1f").split("\x1f")) for r in rows if r[0] == "argv" and len(r) == 3}
        return cls(argv, effective.environments(rows), effective.files(rows))

    def flags(self, who: str, argv: tuple[str, ...]) -> dict[str, str]:
        return effective.flags(argv, self.environment.get(who, {}), self.files.get(who), read=who in self.files)


def _pods(rows: list[list[str]]) -> dict[str, UnitSeen]:
    """A static pod as a unit that is called by its manifest."""
    told, written = Told.of(rows), {each.path: each for each in programs.parse(rows).manifests}
    return {manifest: _pod(manifest, pod, told, written) for manifest, pod in pods.parse(rows).items()}


def _pod(manifest: str, pod: pods.PodSeen, told: Told, written: dict[str, Manifest]) -> UnitSeen:
    """Of several etcds on a node nobody could say which is the pod's; without a process its manifest tells."""
    mine = pod.running and len(told.argv) == 1 and pods.container(manifest) == "etcd"
    (pid, argv) = next(iter(told.argv.items())) if mine else ("", ())
    if not pod.running and manifest in written:
        argv = written[manifest].argv
    return UnitSeen(
        unit=manifest,
        load="loaded" if pod.there or pod.parked else "not-found",
        state=pod.state,
        sub="running" if pod.running else "dead",
        assert_failed=pod.parked and not pod.there,
        argv=argv,
        told=told.flags(pid, argv) if argv else None,
        manifest=written.get(manifest),
    )


def _units(lines: list[str], told: Told) -> dict[str, UnitSeen]:
    """`systemctl show` prints a block a unit, with an empty line between."""
    blocks: list[dict[str, str]] = [{}]
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and key in PROPERTIES:
            blocks[-1][key] = value
        elif not line:
            blocks.append({})
    return {block["Id"]: _unit(block, told) for block in blocks if "Id" in block}


def _unit(block: dict[str, str], told: Told) -> UnitSeen:
    pid = int(block.get("MainPID", "0") or 0)
    argv = told.argv.get(str(pid)) or _exec_start(block.get("ExecStart", ""))
    return UnitSeen(
        unit=block["Id"],
        load=block.get("LoadState", ""),
        state=block.get("ActiveState", ""),
        sub=block.get("SubState", ""),
        pid=pid,
        user=block.get("User", ""),
        group=block.get("Group", ""),
        drop_ins=tuple(block.get("DropInPaths", "").split()),
        stale=block.get("NeedDaemonReload") == "yes",
        assert_failed=block.get("AssertResult") == "no" and block.get("AssertTimestampMonotonic", "0") != "0",
        argv=argv,
        told=told.flags(str(pid) if pid else block["Id"], argv),
        result=block.get("Result", ""),
        queued=block.get("Job", "0") not in {"", "0"},
        file_state=block.get("UnitFileState", "enabled"),
    )


def _exec_start(value: str) -> tuple[str, ...]:
    """`{ path=/usr/bin/etcd ; argv[]=/usr/bin/etcd --name x ; … }`, as systemctl prints it."""
    _, _, rest = value.partition("argv[]=")
    return tuple(rest.split(" ; ")[0].split())
