"""What a lab is: what was asked for, and what is there."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.lab.errors import LabError

HOME = Path(__file__).resolve().parents[2] / ".lab"

MEMBERS = (1, 3, 5)
ETCD = ("3.4", "3.5", "3.6")
CONTROL_PLANES = ("none", "systemd", "static-pods", "external")
NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
LABEL = "quorate-lab"


@dataclass(frozen=True, slots=True)
class LabSpec:
    """The shape of a lab; two of them differ in nothing but this."""

    name: str
    members: int = 3
    etcd: str = "3.6"
    control_plane: str = "systemd"
    data_tmpfs_mib: int | None = None  # a bounded data filesystem; it does not outlive a reboot
    sandbox: bool = False  # one more machine, where backups are proved

    def __post_init__(self) -> None:
        check_name(self.name)
        for value, allowed, what in (
            (self.members, MEMBERS, "members"),
            (self.etcd, ETCD, "etcd"),
            (self.control_plane, CONTROL_PLANES, "control plane"),
        ):
            if value not in allowed:
                raise LabError(f"{what} may be {', '.join(map(str, allowed))}; not {value}")
        if self.control_plane == "static-pods" and self.etcd == "3.4":
            raise LabError("static pods need etcd 3.5 or 3.6: kubeadm asks /livez of it, which 3.4 does not answer")

    @property
    def outside(self) -> int:
        """How many machines have a control plane and no etcd."""
        return 1 if self.control_plane == "external" else 0

    @property
    def machines(self) -> int:
        return self.members + self.outside + int(self.sandbox)

    @property
    def folder(self) -> Path:
        return HOME / self.name

    def save(self) -> None:
        """Comes first: what a lab is waited for depends on it."""
        (self.folder / "spec.json").write_text(json.dumps(asdict(self), indent=2) + "\n")


def check_name(name: str) -> None:
    """A name becomes a host name, a bucket and a folder."""
    if not NAME.fullmatch(name):
        raise LabError(f"a lab's name is lower-case letters, digits and dashes, at most 20; not {name!r}")


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the lab."""

    name: str
    address: str
    container: str

    @property
    def client_url(self) -> str:
        return f"https://{self.address}:2379"

    @property
    def peer_url(self) -> str:
        return f"https://{self.address}:2380"

    @property
    def api_url(self) -> str:
        return f"https://{self.address}:6443"


@dataclass(frozen=True, slots=True)
class Etcd:
    """How to reach etcd as its own client."""

    endpoints: tuple[str, ...]
    ca: str
    cert: str
    key: str


@dataclass(frozen=True, slots=True)
class S3:
    """The store outside the nodes."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that was brought up; `lab.json` holds exactly this."""

    config: str
    nodes: tuple[Node, ...]
    etcd: Etcd
    s3: S3
    kubeconfig: str | None
    outside: tuple[Node, ...] = ()  # with a control plane, and no etcd
    sandbox: Node | None = None  # with etcd's programs, and no cluster

    @property
    def machines(self) -> tuple[Node, ...]:
        return self.nodes + self.outside + ((self.sandbox,) if self.sandbox else ())

    @property
    def api_nodes(self) -> tuple[Node, ...]:
        """Where API servers run, if there are any."""
        return self.outside or self.nodes

    @property
    def folder(self) -> Path:
        return Path(self.config).parent

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def spec(self) -> LabSpec:
        """The shape it was asked for in."""
        return LabSpec(**json.loads((self.folder / "spec.json").read_text()))

    def node(self, name: str) -> Node:
        """A node by its name, or by its number."""
        for node in self.machines:
            if name in (node.name, node.name.removeprefix(f"{self.name}-")):
                return node
        raise LabError(f"lab {self.name} has no node {name}; it has {', '.join(node.name for node in self.machines)}")

    def save(self) -> None:
        """`lab.json` comes last: a lab without one is half-made."""
        written = self.folder / "lab.json"
        written.touch(mode=0o600)
        written.write_text(json.dumps(asdict(self), indent=2) + "\n")


def load_lab(name: str) -> Lab:
    """The lab of that name, whole."""
    check_name(name)
    path = HOME / name / "lab.json"
    if not path.is_file():
        raise LabError(f"there is no lab {name}: `make lab-up LAB={name}` makes it")
    said = json.loads(path.read_text())
    return Lab(
        said["config"],
        tuple(Node(**node) for node in said["nodes"]),
        Etcd(**{**said["etcd"], "endpoints": tuple(said["etcd"]["endpoints"])}),
        S3(**said["s3"]),
        said["kubeconfig"],
        tuple(Node(**node) for node in said.get("outside", ())),
        Node(**said["sandbox"]) if said.get("sandbox") else None,
    )
