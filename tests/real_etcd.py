"""Real etcd members on loopback, and a real restore of a snapshot."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from activities.adapters.etcd import GrpcEtcds
from deploy.lab import engine, image
from deploy.lab.binaries import ETCD, make
from deploy.lab.parts import debian_etcd_folder, make_debian_etcd
from deploy.lab.pki import authority
from deploy.lab.process import wait
from deploy.lab.s3 import free_port
from quorate.errors import QuorateError
from quorate.members.etcd import EtcdTarget
from quorate.ports import Etcd

MINORS = ("3.4", "3.5", "3.6")
START_S = 20


class Files:
    """References are paths; "" is nothing."""

    def resolve(self, reference: str) -> bytes:
        return Path(reference.removeprefix("file:")).read_bytes()


ETCDS = GrpcEtcds(Files())


def programs(minor: str) -> Path:
    if minor in ETCD:
        make(ETCD[minor], print)
        return ETCD[minor].folder
    if not (debian_etcd_folder() / "etcdctl").is_file():
        client = engine.connect(print)
        make_debian_etcd(client, image.node_image(client, print), print)
    return debian_etcd_folder()


@dataclass
class Member:
    name: str
    target: EtcdTarget
    argv: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def at(self) -> contextlib.AbstractContextManager[Etcd]:
        return ETCDS.at(self.target)

    def serves(self) -> bool:
        try:
            with self.at() as etcd:
                return etcd.linearizable_revision() > 0
        except QuorateError:
            return False


@dataclass
class Cluster:
    minor: str
    members: list[Member] = field(default_factory=list)

    @property
    def first(self) -> Member:
        return self.members[0]

    def start(self) -> None:
        for member in self.members:
            member.start()
        for member in self.members:
            assert wait(member.serves, START_S), member.log.read_text()[-2000:]

    def kill(self) -> None:
        for member in self.members:
            member.kill()


@contextlib.contextmanager
def running(
    minor: str, folder: Path, names: tuple[str, ...] = ("a",), *, tls: bool = False, data: Path | None = None
) -> Iterator[Cluster]:
    cluster = made(minor, folder, names, tls=tls, data=data)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


def made(minor: str, folder: Path, names: tuple[str, ...], *, tls: bool, data: Path | None) -> Cluster:
    folder.mkdir(parents=True, exist_ok=True)
    scheme = "https" if tls else "http"
    ports = {name: (free_port(), free_port()) for name in names}
    initial = ",".join(f"{name}=http://127.0.0.1:{peer}" for name, (_, peer) in ports.items())
    security = certificates(folder) if tls else []
    cluster = Cluster(minor)
    for name, (client, peer) in ports.items():
        url = f"{scheme}://127.0.0.1:{client}"
        argv = [str(programs(minor) / "etcd"), "--name", name, "--data-dir", str(data or folder / name)]
        argv += ["--listen-client-urls", url, "--advertise-client-urls", url]
        argv += ["--listen-peer-urls", f"http://127.0.0.1:{peer}"]
        argv += ["--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", initial, *security]
        argv += ["--heartbeat-interval", "50", "--election-timeout", "500"]
        pki = [f"file:{folder}/{each}" for each in ("ca.crt", "client.crt", "client.key")] if tls else []
        cluster.members.append(Member(name, EtcdTarget(name, url, *pki), argv, folder / f"{name}.log"))
    return cluster


def certificates(folder: Path) -> list[str]:
    ca = authority("etcd-ca")
    (folder / "ca.crt").write_bytes(ca.pair.cert)
    ca.sign("server", hosts=("127.0.0.1",)).write(folder, "server")
    ca.sign("client").write(folder, "client")
    flags = {"trusted-ca-file": "ca.crt", "cert-file": "server.crt", "key-file": "server.key"}
    return ["--client-cert-auth", *(f"--{flag}={folder}/{name}" for flag, name in flags.items())]


@contextlib.contextmanager
def restored(minor: str, snapshot: Path, folder: Path) -> Iterator[Etcd]:
    """A member that etcd's own tool restored from the file, without a bump."""
    tool = programs(minor) / ("etcdctl" if minor == "3.4" else "etcdutl")
    data = folder / "restored"
    argv = [str(tool), "snapshot", "restore", str(snapshot), "--data-dir", str(data), "--name", "a"]
    argv += ["--initial-cluster", "a=http://127.0.0.1:1", "--initial-advertise-peer-urls", "http://127.0.0.1:1"]
    subprocess.run(argv, check=True, capture_output=True, env={"ETCDCTL_API": "3"})
    with running(minor, folder / "run", data=data) as cluster, cluster.first.at() as etcd:
        yield etcd


def restored_revision(minor: str, snapshot: Path, folder: Path) -> int:
    with restored(minor, snapshot, folder) as etcd:
        return etcd.linearizable_revision()
