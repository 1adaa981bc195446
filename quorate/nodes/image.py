"""The restore tool out of etcd's own image: kubeadm puts none on a node, and a dead cluster no pod for it."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from quorate.command import Command
from quorate.converge import Left
from quorate.errors import Refusal
from quorate.members.etcd import minor, numbers
from quorate.nodes.room import MIB, RESERVE_BYTES, room_for
from quorate.nodes.seen import Look, NodeSeen, UnitSeen
from quorate.nodes.stored import StoredTool
from quorate.settings.machines import EtcdSettings

ETCD = "etcd"
PROGRAMS = "/usr/local/bin"  # where etcd's own images and kubeadm's have them
PROGRAM_BYTES = 32 * MIB  # more than any: etcd 3.6 has 26 MiB, the tools have 17 to 20
_VERSION = re.compile(r":v?(\d+\.\d+\.\d+)[^/]*$")

# The mount is seen by nobody else and ends with the shell, however that ends; `ctr` takes up its own half-made one.
_COPY = (
    'part="$1"; image="$2"; shift 2; ctr --namespace k8s.io images mount "$image" "$0" >/dev/null || exit; '
    'cp -- "$@" "$part"; c=$?; ctr --namespace k8s.io images unmount --rm "$0" >/dev/null; exit $c'
)


@dataclass(frozen=True, slots=True)
class Tool:
    """What a node restores with: a program that is there, or one that is still in `image`."""

    path: str
    version: str = ""  # "" = there is none
    image: str = ""
    stored: StoredTool | None = None  # else still in the store

    @property
    def program(self) -> str:
        """What it is called in the image: before 3.5 there was only etcdctl."""
        return "etcdctl" if numbers(self.version) < (3, 5, 0) else "etcdutl"


def tool_of(settings: EtcdSettings, node: NodeSeen) -> Tool:
    """The program of the inventory; else that of the image of etcd's static pod; else that of the store."""
    path = settings.restore_tool
    if version := node.tools.get(path, ""):
        return Tool(path, version)
    image = held(settings, node)
    if version_of(image):
        return Tool(path, version_of(image), image)
    return Tool(path, node.stored.version, stored=node.stored) if node.stored else Tool(path)


def held(settings: EtcdSettings, node: NodeSeen) -> str:
    """The image of etcd's static pod, where the node has it."""
    image = image_of(settings, node)
    return image if image in node.images else ""


def image_of(settings: EtcdSettings, node: NodeSeen) -> str:
    """What etcd's manifest names; nothing where etcd is no static pod."""
    manifest = node.units.get(settings.process, UnitSeen(settings.process)).manifest
    return manifest.image if manifest else ""


def version_of(image: str) -> str:
    """By its tag, `registry.k8s.io/etcd:3.6.6-0`; the program itself is asked before it restores anything."""
    found = _VERSION.search(image.partition("@")[0])
    return found[1] if found else ""


def lacking(settings: EtcdSettings, node: NodeSeen) -> str:
    """Why a node has no tool, in words."""
    image = image_of(settings, node)
    if not image:
        return f"no {settings.restore_tool}"
    if image not in node.images:
        return f"no {settings.restore_tool}, and containerd (`ctr --namespace k8s.io images ls`) has no {image}"
    return f"no {settings.restore_tool}, and the name {image} does not tell a version"


@dataclass(frozen=True, slots=True)
class Copied:
    """Programs of an image, beside what else an operation keeps on a node."""

    image: str
    programs: tuple[str, ...]
    home: str

    @property
    def folder(self) -> str:
        return f"{self.home}/tools"

    @property
    def part(self) -> str:
        return f"{self.folder}.part"

    @property
    def mount(self) -> str:
        return f"{self.home}/image"

    def path(self, program: str) -> str:
        """Where a program is that the inventory or a manifest calls by another path."""
        return f"{self.folder}/{PurePosixPath(program).name}"

    @property
    def tool(self) -> str:
        """Nothing where only etcd itself is copied."""
        return next((self.path(each) for each in self.programs if each != ETCD), "")

    def look(self) -> Look:
        return Look(paths=(self.folder, self.part, self.mount), tools=(self.tool,) if self.tool else ())

    def copy(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """All of them under the last name, and the tool has said its version; Refusal if it is not the image's."""
        if self.folder not in seen.paths:
            return self._copy()
        told, named = seen.tools.get(self.tool, ""), version_of(self.image)
        if self.tool and minor(told) != minor(named):
            says = f"is etcd {told}" if told else "does not run"
            raise Refusal(f"{self.tool}, copied out of {self.image}, {says}: by the image's name it is {named}")
        return ()

    def remove(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        left = tuple(path for path in (self.folder, self.part, self.mount) if path in seen.paths)
        return (Command(("rm", "-rf", *left)),) if left else ()

    def _copy(self) -> tuple[Command, ...]:
        inside = tuple(f"{self.mount}{PROGRAMS}/{program}" for program in self.programs)
        copy = ("unshare", "--mount", "sh", "-c", _COPY, self.mount, self.part, self.image, *inside)
        return (
            Command(("rm", "-rf", self.part)),
            room_for(len(self.programs) * PROGRAM_BYTES + RESERVE_BYTES, self.home, given=(f"!{self.folder}",)),
            Command(("mkdir", "-p", "-m", "0700", self.mount, self.part), given=(f"!{self.folder}",)),
            Command(copy, given=(self.part,)),
            Command(("sh", "-c", 'sync "$0"/*', self.part), given=(self.part,)),
            Command(("mv", "-T", self.part, self.folder), given=(self.part, f"!{self.folder}")),
            Command(("sync", self.home)),
        )
