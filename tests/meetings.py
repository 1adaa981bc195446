"""Nodes as `quorate init` meets them, from what they print."""

import base64
from dataclasses import dataclass, field, replace

import yaml

from quorate.clusters.cluster import Silence
from quorate.inventories.meeting import NOT_ASKED, Credential, Met
from quorate.members.etcd import EtcdSeen, MemberSeen
from quorate.nodes.seen import PathSeen, parse
from tests.factory import etcd_seen

PKI = "/etc/etcd/pki"
FOLDER = "/etc/kubernetes/manifests"


def address(name: str) -> str:
    return f"10.0.0.{ord(name) - 96}"


def peer(name: str) -> str:
    return f"https://{address(name)}:2380"


def client(name: str) -> str:
    return f"https://{address(name)}:2379"


def flags(name: str, names: str = "abc", **changes: str) -> dict[str, str]:
    said = {
        "name": name,
        "data-dir": "/var/lib/etcd/default",
        "advertise-client-urls": client(name),
        "initial-advertise-peer-urls": peer(name),
        "initial-cluster": ",".join(f"{each}={peer(each)}" for each in names),
        "trusted-ca-file": f"{PKI}/ca.crt",
        "cert-file": f"{PKI}/server.crt",
        "key-file": f"{PKI}/server.key",
    }
    return {**said, **{key.replace("_", "-"): value for key, value in changes.items()}}


def argv(program: str, told: dict[str, str]) -> tuple[str, ...]:
    return (f"/usr/local/bin/{program}", *(f"--{key}={value}" for key, value in told.items() if value))


@dataclass(frozen=True)
class Kept:
    """A program, told something, kept by a unit or a manifest."""

    program: str
    told: dict[str, str] = field(default_factory=dict)
    unit: str = ""
    runs: bool = True
    pid: int = 7
    cgroup: str = ""
    image: str = "etcd"

    @property
    def lines(self) -> str:
        words = argv(self.program, self.told)
        cgroup = self.cgroup or (f"0::/system.slice/{self.unit}" if self.unit else "1:cpu:/kubepods/burstable/pod1/c")
        joined = "\x1f".join(words)
        out = f"program\t{self.program}\t{self.pid}\t/var/lib\t{cgroup}\t{joined}\n" if self.runs else ""
        if self.runs and self.program == "etcd":
            out += f"argv\t{self.pid}\t{joined}\n"
        if not self.unit:
            return out + manifest(self.program, words, image=self.image)
        state = "active" if self.runs else "inactive"
        return out + (
            f"\nId={self.unit}\nLoadState=loaded\nActiveState={state}\nMainPID={self.pid if self.runs else 0}\n"
            f"ExecStart={{ path={words[0]} ; argv[]={' '.join(words)} ; ignore_errors=no }}\n\n"
        )


def manifest(program: str, words: tuple[str, ...], suffix: str = "", image: str = "etcd") -> str:
    spec = {
        "containers": [
            {
                "name": program,
                "image": image,
                "command": list(words),
                "volumeMounts": [{"name": "data", "mountPath": "/var/lib/etcd"}],
            }
        ],
        "volumes": [{"name": "data", "hostPath": {"path": "/srv/etcd"}}],
    }
    text = base64.b64encode(yaml.safe_dump({"kind": "Pod", "spec": spec}).encode()).decode()
    path = f"{FOLDER}/{program}.yaml" if not suffix else f"/etc/kubernetes/{program}.yaml{suffix}"
    running = f"pod\t{FOLDER}/{program}.yaml\t{'' if suffix else 'there'}\t{'parked' if suffix else ''}\n"
    return f"manifest\t{FOLDER}\t{path}\t{text}\n{running}"


TOOLS = (
    "tool\t/usr/local/bin/etcdutl\tetcdutl version: 3.6.14\ntool\t/usr/local/bin/etcdctl\tetcdctl version: 3.6.14\n"
)


def output(*kept: Kept, tools: str = TOOLS, more: str = "") -> str:
    """Units come last: `systemctl show` has blocks."""
    return tools + more + "".join(each.lines for each in kept)


def met(
    name: str,
    *kept: Kept,
    answers: str = "",
    expected: str = "",
    tools: str = TOOLS,
    more: str = "",
    files: tuple[str, ...] = (),
) -> Met:
    """`answers`: the members that its etcd lists; without any it does not run."""
    default = (Kept("etcd", flags(name), "etcd.service", runs=bool(answers)),)
    there = replace(
        parse(output(*(kept or default), tools=tools, more=more)),
        paths={path: PathSeen("regular file", "root:root", "600", "1", 9) for path in files},
    )
    etcd: EtcdSeen | Silence = listed(name, answers) if answers else NOT_ASKED
    credential = Credential(address(name), f"{PKI}/ca.crt", f"{PKI}/server.crt", f"{PKI}/server.key", "etcd itself")
    return Met(address(name), there, etcd, credential if answers else None, expected)


def silent(name: str) -> Met:
    return Met(address(name), Silence(f"{address(name)} does not answer"), expected=name)


def listed(name: str, names: str) -> EtcdSeen:
    members = tuple(MemberSeen(f"{ord(n):x}", n, (peer(n),), (client(n),)) for n in names)
    return replace(etcd_seen(), member_id=f"{ord(name):x}", members=members)
