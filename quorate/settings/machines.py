"""How machines are reached, and what runs on them."""

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from quorate.settings.fields import (
    Duration,
    Host,
    Identity,
    Name,
    Path,
    Port,
    Reference,
    Role,
    Strict,
    Unit,
    Url,
    User,
)


class Jump(Strict):
    """The one machine behind which the nodes are; what is left out is as for them."""

    host: Host
    port: Port = 22
    user: User | None = None
    identity: Identity | None = None
    certificate: Reference | None = None
    known_hosts: Path | None = None


class Ssh(Strict):
    """How nodes are reached; the account needs password-less sudo unless it is root.

    `certificate` is what an authority has signed for the key of `identity` (`id-cert.pub`). With `forward`
    etcd and the API servers are reached through SSH as well, as their own nodes reach them.
    """

    user: User
    identity: Identity
    certificate: Reference | None = None
    known_hosts: Path
    port: Port = 22
    sudo: bool = True
    connect_timeout_s: Duration = 5.0
    jump: Jump | None = None
    forward: bool = False


class Tls(Strict):
    ca: Reference
    cert: Reference
    key: Reference


class Auth(Strict):
    """Who we are where authentication is enabled in etcd: a user that has the role `root`."""

    user: str = Field(min_length=1, max_length=255)
    password: Reference


class EtcdSettings(Strict):
    """How etcd runs on a node, a unit or a static pod; `restore_tool` is etcdutl, or etcdctl before 3.5."""

    unit: Unit | None = None
    manifest: Path | None = None
    data_dir: Path
    wal_dir: Path | None = None  # only where etcd is told one
    restore_tool: Path = "/usr/local/bin/etcdutl"
    tls: Tls | None = None
    auth: Auth | None = None
    grace_s: Duration = 0.1

    @model_validator(mode="after")
    def check_one(self) -> Self:
        if self.manifest and self.unit:
            raise ValueError("expected unit or manifest, not both")
        if self.wal_dir and f"{self.data_dir}/".startswith(f"{self.wal_dir}/"):
            raise ValueError("expected a wal_dir that is not the data_dir and does not hold it")
        return self

    @property
    def process(self) -> str:
        """What it is called on a node: its unit, or the manifest of its static pod."""
        return self.manifest or self.unit or "etcd.service"

    @property
    def directories(self) -> tuple[str, ...]:
        return (self.data_dir, self.wal_dir) if self.wal_dir else (self.data_dir,)


class Member(Strict):
    name: Name
    host: Host
    peer_urls: tuple[Url, ...] = Field(min_length=1)
    client_urls: tuple[Url, ...] = Field(min_length=1)

    @property
    def hosts(self) -> tuple[str, ...]:
        """By which it is reached, as names or addresses."""
        urls = (urlsplit(each).hostname for each in self.peer_urls + self.client_urls)
        return tuple(dict.fromkeys((self.host, *filter(None, urls))))


class Sandbox(Strict):
    """A machine of no cluster, where an etcd is started from a backup to prove it; nothing of it stays there.

    Without `ssh` it is reached as the members are. `etcd` and `restore_tool` are its programs: etcd has to be of the
    backup's minor version, and of the tool the store may have one. `data_dir` needs room for three times a snapshot.
    Where `api_server` names a kube-apiserver, one is started on that etcd after it, and read through.
    """

    name: Name = "sandbox"
    host: Host
    ssh: Ssh | None = None
    data_dir: Path = "/var/lib/quorate/sandbox/data"
    etcd: Path = "/usr/local/bin/etcd"
    restore_tool: Path = "/usr/local/bin/etcdutl"
    api_server: Path | None = None


class Component(Strict):
    """One process of the control plane that runs on every member's node."""

    role: Role
    unit: Unit | None = None
    manifest: Path | None = None
    grace_s: Duration = 2.0

    @model_validator(mode="after")
    def check_one(self) -> Self:
        if (self.unit is None) == (self.manifest is None):
            raise ValueError("expected exactly one of unit, manifest")
        return self

    @property
    def process(self) -> str:
        """What it is called on a node: its unit, or the manifest of its static pod."""
        return self.unit or self.manifest or ""


class Kubernetes(Strict):
    kubeconfig: Reference
    api_urls: tuple[Url, ...] = Field(min_length=1)
