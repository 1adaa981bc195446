"""What a snapshot does not hold, and a blank node needs: which files of a node it is, and how they are packed."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from quorate.backups.request import BundleRequest
from quorate.command import Command
from quorate.nodes.effective import words
from quorate.nodes.packed import END, Packed, member
from quorate.nodes.seen import NodeSeen

FORMAT = "quorate/bundle/v1"
FILE_BYTES_MAX = 512 << 10  # of one file: certificates and manifests are a hundredth of it
NODE_BYTES_MAX = 4 << 20
NODE_FILES_MAX = 200  # each by its path in the manifest too

PKI = ("/etc/kubernetes/pki", "/var/lib/kubelet/pki")
SETTINGS = (
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
    "/etc/default/kubelet",
    "/etc/sysconfig/kubelet",
)
# What a flag or a file may name and no blank node needs: data, logs, sockets, what the system makes itself.
ELSEWHERE = ("/proc/", "/sys/", "/dev/", "/run/", "/var/run/", "/var/log/", "/var/lib/quorate/", "/usr/bin/")
OURS = re.compile(r"/\d\d-quorate-[a-z-]+\.conf$|\.quorate-fenced$|\.quorate-(?:lay|drill)-\w+$")
AUTHORITY = re.compile(r"(^|[/.-])ca(-key\.pem|\.key)$")
SIGNING = re.compile(r"^cluster-signing-.*key-file$")
UNIT = "Id,FragmentPath,DropInPaths,EnvironmentFiles,User,Group,UnitFileState"


@dataclass(frozen=True, slots=True)
class Bundled:
    """As it lies in the store; without a key there is none. `files` are the nodes that have it, by its path."""

    key: str = ""
    size_bytes: int = 0
    sha256: str = ""
    stored_bytes: int = 0
    stored_sha256: str = ""
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileSeen:
    path: str
    owner: str
    group: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """All of one node."""

    node: str
    about: Mapping[str, Any]  # `node.json`
    packed: tuple[Packed, ...]
    lays: str = ""  # `lay.sh`
    findings: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(each.path for each in self.packed if each.data is not None)


def units_command(request: BundleRequest, seen: NodeSeen) -> Command:
    """The files of every unit of ours, whatever it is called there."""
    found = (each.unit for each in seen.programs.processes if each.unit and not each.in_pod)
    names = dict.fromkeys((*request.units, *found))
    return Command(("systemctl", "show", f"--property={UNIT}", "--", *names))


def units_of(output: str) -> dict[str, dict[str, str]]:
    """By unit, those that there are."""
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in output.split("\n\n")]
    return {block["Id"]: block for block in blocks if block.get("FragmentPath")}


def unit_paths(units: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for block in units.values():
        yield block["FragmentPath"]
        yield from block.get("DropInPaths", "").split()
        yield from re.findall(r"(/\S+)", block.get("EnvironmentFiles", ""))


def flags_of(seen: NodeSeen, etcd: str) -> dict[str, dict[str, str]]:
    """What each program is told, a path as it is called on the node; `etcd` is the unit or the manifest of etcd."""
    out: dict[str, dict[str, str]] = {}
    if unit := seen.units.get(etcd):
        flags = unit.flags
        at = unit.manifest.on_host if unit.manifest else str
        out["etcd"] = {name: at(value) if value.startswith("/") else value for name, value in flags.items()}
    for process in seen.programs.processes:
        if not process.in_pod:
            out.setdefault(process.program, {}).update(words(process.argv))
    for pod in seen.programs.manifests:
        flags = words(pod.argv)
        placed = {name: pod.on_host(value) if value.startswith("/") else value for name, value in flags.items()}
        out.setdefault(pod.program, {}).update(placed)
    return out


def named_in(flags: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Every path that a flag tells."""
    for told_ in flags.values():
        for value in told_.values():
            yield from (word for word in value.split(",") if word.startswith("/"))


def signing_keys(flags: Mapping[str, Mapping[str, str]]) -> frozenset[str]:
    """The keys with which certificates are signed, as the controller manager is told them."""
    return frozenset(value for told_ in flags.values() for name, value in told_.items() if SIGNING.match(name))


def listing(files: Iterable[str], trees: Iterable[str] = (), confs: str = "") -> Command:
    """Which of them there are, with owner and size; and whose names the node knows."""
    stat = r"-exec stat -L --printf 'file\t%n\t%U\t%G\t%s\n' {} +"
    wanted, below = sorted({*filter(needed, files)}), sorted({*trees})
    lines = [
        f"find -L {shlex.join(wanted)} -maxdepth 0 -type f {stat} 2>/dev/null" if wanted else "",
        f"find -L {shlex.join(below)} -maxdepth 5 -type f {stat} 2>/dev/null" if below else "",
        f"find -L {shlex.quote(confs)} -maxdepth 1 -type f -name '*.conf' {stat} 2>/dev/null" if confs else "",
        r"[ -L /lib ] && printf 'merged\t/usr\n'",
        r"sed 's/^/passwd\t/' /etc/passwd; sed 's/^/group\t/' /etc/group",
    ]
    return Command(("sh", "-c", "export LC_ALL=C\n" + "\n".join(filter(None, lines))))


def needed(path: str) -> bool:
    return path.startswith("/") and not path.startswith(ELSEWHERE) and not OURS.search(path) and ".." not in path


def listed(output: str) -> tuple[tuple[FileSeen, ...], dict[str, str], dict[str, str]]:
    """Files, and the lines of passwd(5) and group(5) by their names."""
    rows = [line.split("\t") for line in output.splitlines()]
    merged = ["merged", "/usr"] in rows
    found = ((placed(r[1], merged=merged), r) for r in rows if r[0] == "file" and len(r) == 5)
    files = {path: FileSeen(path, r[2], r[3], int(r[4])) for path, r in found}
    users, groups = (
        {row[1].partition(":")[0]: row[1] for row in rows if row[0] == kind and len(row) == 2}
        for kind in ("passwd", "group")
    )
    return tuple(files[path] for path in sorted(files) if needed(path)), users, groups


def placed(path: str, *, merged: bool) -> str:
    """Where it lies if /lib and its like lead into /usr: a tar with a directory /lib would put that in its place."""
    return re.sub(r"^/(lib(?:32|64|x32)?|s?bin)/", r"/usr/\1/", path) if merged else path


def fitting(files: tuple[FileSeen, ...]) -> tuple[tuple[FileSeen, ...], tuple[str, ...]]:
    """Those that are taken, and why others are not: nobody meant a disk image."""
    out, why, total = list[FileSeen](), list[str](), 0
    for each in files:
        total += each.size_bytes
        if each.size_bytes > FILE_BYTES_MAX or total > NODE_BYTES_MAX or len(out) >= NODE_FILES_MAX:
            why.append(f"{each.path} ({each.size_bytes} bytes)")
            total -= each.size_bytes
        else:
            out.append(each)
    return tuple(out), tuple(why)


def authority(path: str, signing: frozenset[str]) -> bool:
    """Whether it is the key of an authority, by its name or by what it is used for."""
    return path in signing or bool(AUTHORITY.search(path))


_REFERENCE = re.compile(r"""^[\s-]*(?:[\w.-]+:\s*)["']?(/[^\s"'{}]+)["']?\s*$""", re.MULTILINE)


def mentioned(packed: Iterable[Packed]) -> frozenset[str]:
    """Paths that the settings among them name: a kubeconfig's key, an authority of a kubelet."""
    texts = (each.data for each in packed if each.data and each.path.endswith((".conf", ".yaml", ".yml", ".json")))
    return frozenset(path for text in texts for path in _REFERENCE.findall(text.decode(errors="replace")))


def tar(inventory: str, nodes: Iterable[Gathered]) -> Iterator[bytes]:
    """`quorate.yaml`, then below each node's name `node.json`, `lay.sh` and `rootfs/…`; twice is the same."""
    yield from member("quorate.yaml", inventory.encode())
    for each in sorted(nodes, key=lambda one: one.node):
        about = json.dumps(each.about, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
        yield from member(f"{each.node}/node.json", about)
        yield from member(f"{each.node}/lay.sh", each.lays.encode())
        for one in sorted(each.packed, key=lambda one: one.path):
            yield from member(f"{each.node}/rootfs{one.path}", one.data, one)
    yield END


def by_path(nodes: Iterable[Gathered]) -> dict[str, tuple[str, ...]]:
    out: dict[str, tuple[str, ...]] = {}
    for each in sorted(nodes, key=lambda one: one.node):
        for path in each.files:
            out[path] = (*out.get(path, ()), each.node)
    return dict(sorted(out.items()))


def by_node(files: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """The other way round, for people."""
    out: dict[str, tuple[str, ...]] = {}
    for path, nodes in files.items():
        for node in nodes:
            out[node] = (*out.get(node, ()), path)
    return dict(sorted(out.items()))
