"""What a power cut could still take of a node's files, told by the system calls of whatever came in by SSH.

The page cache outlives a container, so no lab can lose it: what counts is which calls were made, and in which order.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from deploy.lab.lab import Lab
from quorate.nodes.durable import parent
from quorate.nodes.pods import parked
from quorate.nodes.supervisor import FENCE_DIR
from tests.e2e.product import on_node

FOLDER = "/run/trace"
MAKES = ("mkdir", "mkdirat", "creat", "link", "linkat", "symlink", "symlinkat")
BY_PATH = ("openat", "chmod", "fchmodat", "chown", "lchown", "fchownat", *MAKES)
RENAMES = ("rename", "renameat", "renameat2")
REMOVES = ("unlink", "unlinkat", "rmdir")
WRITES = ("write", "pwrite64", "writev", "ftruncate", "fallocate", "fchmod", "fchown")
BY_FILE = ("fchdir", "fsync", "fdatasync", "syncfs", *WRITES)
CALLS = ("execve", "chdir", "sync", *RENAMES, *REMOVES, *BY_PATH, *BY_FILE)
LINE = re.compile(r"(?P<time>[\d.]+) (?P<name>\w+)\((?P<rest>.*)\) += (?P<result>-?\d+|\?)")
NAMED = re.compile(r'(?:(?:\d+|AT_FDCWD)<(?P<at>[^>]*)>, )?"(?P<path>(?:[^"\\]|\\.)*)"')
OPENED = re.compile(r"\d+<(?P<path>/[^>]*)>")


@dataclass(frozen=True)
class Call:
    """One system call that succeeded; `names` are the paths that it is about, of an `execve` its words."""

    time: float
    name: str
    names: tuple[str, ...]
    creates: bool = False


def parsed(text: str) -> tuple[Call, ...]:
    """Of all processes in one order; a file a process, as `tail -n +1` prints several."""
    return tuple(sorted((each for told in text.split("==> ") for each in of_one(told)), key=lambda each: each.time))


def of_one(text: str) -> Iterator[Call]:
    """What failed did nothing; where a process is decides what its relative paths mean."""
    place = "/"
    for found in filter(None, map(LINE.match, text.splitlines())):
        name, rest = found["name"], found["rest"]
        if found["result"].startswith("-"):
            continue
        names = tuple(named(name, rest, place))
        if name in ("chdir", "fchdir"):
            place = names[0]
        else:
            yield Call(float(found["time"]), name, names, name in MAKES or "O_CREAT" in rest)


def named(name: str, rest: str, place: str) -> Iterator[str]:
    if name in BY_FILE:
        yield from (each["path"] for each in [OPENED.match(rest)] if each)
    elif name == "execve":
        yield from (each["path"] for each in NAMED.finditer(rest))
    else:
        yield from (f"{each['at'] or place}/{each['path']}" for each in NAMED.finditer(rest))


@dataclass
class Disk:
    """What is not on the disk as it is now: of a file its content, of a directory the names in it."""

    volatile: set[str] = field(default_factory=set)
    forgetful: set[str] = field(default_factory=set)  # directories in which a removed name would come back

    def apply(self, call: Call) -> None:
        names = tuple(map(plain, call.names))
        if call.name in ("fsync", "fdatasync"):
            self.volatile -= set(names)
            self.forgetful -= set(names)
        elif call.name in ("sync", "syncfs"):
            self.volatile.clear()
            self.forgetful.clear()
        elif call.name in RENAMES:
            self._rename(*names)
        elif call.name in REMOVES:
            self.volatile -= set(names)
            self.forgetful |= set(map(parent, names))
        elif call.creates:
            self.volatile |= {names[-1], parent(names[-1])}
        elif call.name not in ("openat", "execve"):
            self.volatile |= set(names)

    def _rename(self, source: str, target: str) -> None:
        """What was volatile below is so under its new name."""
        moved = {path for path in self.volatile if f"{path}/".startswith(f"{source}/")}
        self.volatile -= moved
        self.volatile |= {target + path[len(source) :] for path in moved} | {parent(source), parent(target)}


def plain(path: str) -> str:
    """The last absolute path in it, for what follows a directory may be absolute itself."""
    whole = path[path.rindex("//") + 1 :] if "//" in path else path
    return whole.replace("/./", "/").removesuffix("/.")


@dataclass(frozen=True)
class Moment:
    """What a unit is told, and what a power cut would take right then."""

    verb: str
    volatile: frozenset[str]


def moments(calls: tuple[Call, ...], unit: str) -> Iterator[Moment]:
    disk = Disk()
    for each in calls:
        disk.apply(each)
        if each.name == "execve" and each.names[1] == "systemctl" and unit in each.names:
            yield Moment(each.names[2], frozenset(disk.volatile))


def pod_moments(calls: tuple[Call, ...], manifest: str) -> Iterator[Moment]:
    """The same of static pods, by what a kubelet sees of one; the last is when all is over."""
    disk = Disk()
    for each in calls:
        if each.name in RENAMES and plain(each.names[0]) == parked(manifest):
            yield Moment("start", frozenset(disk.volatile))
        disk.apply(each)
        if each.name == "execve" and each.names[1:3] == ("crictl", "stop"):
            yield Moment("stop", frozenset(disk.volatile))
    yield Moment("end", frozenset(disk.volatile))


def returning(calls: tuple[Call, ...]) -> set[str]:
    """The directories below /etc, and that of the bars, in which at the end a power cut would undo a removal."""
    disk = Disk()
    for each in calls:
        disk.apply(each)
    return {path for path in disk.forgetful if path.startswith(("/etc", FENCE_DIR))}


def lost(made: Lab, moment: Moment) -> set[str]:
    """What a power cut would take then, but for the turn of the claim and its release."""
    ours = f"/var/lib/quorate/{made.name}"
    counted = {path for path in moment.volatile if path.startswith(("/var/lib", "/etc", "/srv"))}
    released = {path for path in counted if path.endswith("/released")}
    return counted - {ours, f"{ours}/claim", f"{ours}/lock", *released, *map(parent, released)}


@contextmanager
def traced(made: Lab, number: int = 0) -> Iterator[None]:
    """Everything that sshd runs, until the block is left."""
    strace = f"strace -ff -y -ttt -qq -s 200 -e trace={','.join(CALLS)} -o {FOLDER}/of"
    begin = f"""
rm -rf {FOLDER}; mkdir {FOLDER}
systemd-run --quiet --unit=trace {strace} -p $(pgrep -d, sshd)
for pid in $(pgrep sshd); do until grep -q '^TracerPid:.[1-9]' /proc/$pid/status; do sleep 0.05; done; done"""
    on_node(made, begin, number)
    try:
        yield
    finally:
        on_node(made, "systemctl stop trace", number)


def told(made: Lab, number: int = 0) -> tuple[Call, ...]:
    return parsed(on_node(made, f"tail -n +1 {FOLDER}/of.*", number))
