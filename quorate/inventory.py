"""The inventory: which clusters there are, how they are reached, where their backups go."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from quorate.cron import checked, parsed
from quorate.errors import BadInput
from quorate.sshsig import Signer, public_key

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds(value: object) -> object:
    """`15m`, `30s`, `2h`, `7d` as seconds; a bare number is seconds already."""
    if isinstance(value, str) and value[:-1].isdigit() and value[-1:] in UNITS_S:
        return float(value[:-1]) * UNITS_S[value[-1]]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError("expected a duration such as 30s, 15m, 2h or 7d")


def written(seconds_: float) -> str:
    """As a person writes it: 90s, 15m, 2h."""
    unit, size = next(((unit, size) for unit, size in reversed(UNITS_S.items()) if seconds_ % size == 0), ("s", 1))
    return f"{seconds_ / size:g}{unit}"


def url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not parts.port or parts.path.strip("/"):
        raise ValueError("expected http(s)://host:port")
    return value


def listening(value: str) -> str:
    parts = urlsplit(f"//{value}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or port is None or parts.netloc != value or "@" in value:
        raise ValueError("expected host:port, such as 127.0.0.1:9642 or [::1]:9642")
    return value


def absolute(value: str) -> str:
    """A path that no shell and no `..` can turn into another one."""
    path = PurePosixPath(value)
    if not path.is_absolute() or ".." in path.parts or str(path) != value:
        raise ValueError("expected an absolute path without .. or a trailing slash")
    return value


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
Unit = Annotated[str, Field(pattern=r"^[A-Za-z0-9@_.-]{1,200}\.service$")]
Path = Annotated[str, AfterValidator(absolute)]
Url = Annotated[str, AfterValidator(url)]
Duration = Annotated[float, BeforeValidator(seconds)]
Reference = Annotated[
    str,
    Field(
        pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+)$",
        description="env:NAME or file:/absolute/path, never the secret itself",
    ),
]
Identity = Annotated[
    str,
    Field(
        pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/.+|agent|agent:SHA256:[A-Za-z0-9+/]{43})$",
        description="env:NAME, file:/absolute/path, agent (any key of the SSH agent) or agent:SHA256:… (that one)",
    ),
]
Recipient = Annotated[
    str,
    Field(
        pattern=r"^(age1[0-9a-z]+|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( .*)?)$",
        description="age1… (age's own, or of a plugin) or an SSH public key (ssh-ed25519 …, ssh-rsa …)",
    ),
]
Host = Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]{1,253}$")]
User = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
LockMode = Literal["compliance", "governance"]
Role = Literal["kube-apiserver", "kube-controller-manager", "kube-scheduler"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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


class Retention(Strict):
    """Which backups are kept: those that any of these names; without one all are.

    `last` so many; of each of so many hours, days, weeks (ISO), months and years in UTC the last one; and all of the
    time before the newest that `keep_within` spans. The newest `min_verified` stay whatever the rest says.
    """

    last: int = Field(default=0, ge=0)
    hourly: int = Field(default=0, ge=0)
    daily: int = Field(default=0, ge=0)
    weekly: int = Field(default=0, ge=0)
    monthly: int = Field(default=0, ge=0)
    yearly: int = Field(default=0, ge=0)
    keep_within: Duration = 0.0
    min_verified: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def check_some(self) -> Self:
        rules = ("last", "hourly", "daily", "weekly", "monthly", "yearly", "keep_within")
        if not any(getattr(self, rule) for rule in rules):
            raise ValueError(f"expected at least one of {', '.join(rules)}")
        return self


class Lock(Strict):
    """How long the store itself refuses to give a backup up, from when it was taken (S3 Object Lock)."""

    keep: Duration = Field(gt=0)
    mode: LockMode = "compliance"


SHORTEST_S = 10.0  # Temporal catches up on nothing shorter


def switched(value: object) -> object:
    """`on` is a schedule with nothing said, `off` is none; YAML reads both as truth values."""
    if value is True or value == "on":
        return {}
    return None if value is False or value == "off" else value


class Schedule(Strict):
    """When the daemon takes backups by itself: by `cron` in `time_zone`, or each `every`; each up to `jitter` later.

    With neither it is each `every` of the policy. `on` says no more than that, `off` is no schedule.
    """

    cron: Annotated[str, AfterValidator(checked)] | None = None
    every: Annotated[Duration, Field(ge=SHORTEST_S)] | None = None
    jitter: Annotated[Duration, Field(ge=0)] = 0.0
    time_zone: str = Field(default="UTC", pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$")

    @model_validator(mode="after")
    def check_one(self) -> Self:
        if self.cron and self.every:
            raise ValueError("expected cron or every, not both")
        if self.cron is None and self.time_zone != "UTC":
            raise ValueError("expected a time_zone only with cron: an interval is the same in every zone")
        return self


Switch = Schedule | Literal["on", "off"] | bool | None


UNENCRYPTED = "private keys may lie there for all to read"


class Bundle(Strict):
    """What a backup takes of the nodes beside the snapshot, for a node that is blank: certificates, keys, settings.

    The keys of authorities (`ca.key`) are part of it only where `ca_keys` says so; `paths` are files or directories
    beyond those that processes and units name. Where backups have no recipients there is none, unless `unencrypted`
    says that in so many words.
    """

    ca_keys: bool = False
    paths: tuple[Path, ...] = ()
    unencrypted: Literal["private keys may lie there for all to read"] | None = None


BundleSwitch = Bundle | Literal["on", "off"] | bool | None


PRESETS: Mapping[str, Mapping[str, object]] = {
    "daily-7": {
        "schedule": {"every": "24h", "jitter": "10m"},
        "retention": {"keep_within": "7d", "daily": 7},
        "verify_within": "1d",
    }
}


class Backup(Strict):
    """Where to and how often, and which other stores get a copy.

    What leaves is encrypted for all `recipients`, and `identities` are what opens it.

    A backup with fewer keys than the one before, by more than `shrink_percent`, is suspect. Up to `compare_mib` of
    database every member hashes its data, which blocks its writes for about a second a GiB. A member sends no faster
    than `rate_mib_s`. Of a cluster that cannot vouch for a snapshot (no quorum, every member behind or CORRUPT) there
    is none, or `when_sick` says that one counts as degraded. What was not proved for `verify_within` is fetched and
    compared by the next `verify`; where none was restored in the sandbox for `restore_within`, the newest is then.
    Without a `schedule` nothing is taken by itself; `every` alone says when one is late. A `preset` fills in what is
    left out: `daily-7` is a backup a day, proved again every day, kept for seven.
    """

    preset: Literal["daily-7"] | None = None
    store: str
    copies: tuple[str, ...] = ()
    every: Duration = 3600.0
    schedule: Annotated[Schedule | None, BeforeValidator(switched, json_schema_input_type=Switch)] = None
    shrink_percent: int = Field(default=50, ge=0, le=100)
    when_sick: Literal["refuse", "degraded"] = "refuse"
    compare_mib: int = Field(default=1024, ge=0)
    rate_mib_s: int | None = Field(default=None, ge=1)
    recipients: tuple[Recipient, ...] = ()
    identities: tuple[Reference, ...] = ()
    lock: Lock | None = None
    bundle: Annotated[Bundle | None, BeforeValidator(switched, json_schema_input_type=BundleSwitch)] = Bundle()
    retention: Retention | None = None
    verify_within: Duration = 7 * 86400.0
    restore_within: Annotated[Duration, Field(gt=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def preset_values(cls, given: object) -> object:
        if isinstance(given, dict) and isinstance(preset := given.get("preset"), str):
            return {**PRESETS.get(preset, {}), **given}
        return given

    @model_validator(mode="after")
    def check_recipients(self) -> Self:
        if twice := sorted({each for each in self.recipients if self.recipients.count(each) > 1}):
            raise ValueError(f"a recipient is named twice: {', '.join(twice)}")
        if self.recipients and self.bundle and self.bundle.unencrypted:
            raise ValueError("expected bundle.unencrypted only without recipients: with them it is encrypted")
        if twice := sorted({each for each in self.stores if self.stores.count(each) > 1}):
            raise ValueError(f"a store is named twice: {', '.join(twice)}")
        return self

    @property
    def stores(self) -> tuple[str, ...]:
        """By name, the one that is written first in front."""
        return (self.store, *self.copies)

    @model_validator(mode="after")
    def check_schedule(self) -> Self:
        if self.schedule and self.expected_s < SHORTEST_S:
            raise ValueError(f"expected every of at least {SHORTEST_S:.0f}s where backups are scheduled")
        if self.schedule and self.schedule.jitter >= self.expected_s:
            raise ValueError(f"expected schedule.jitter below the interval, which is {self.expected_s:.0f}s")
        return self

    @property
    def expected_s(self) -> float:
        """From one backup to the next, at most."""
        if self.schedule and self.schedule.cron:
            return parsed(self.schedule.cron).longest_s
        return (self.schedule.every if self.schedule else None) or self.every


class Objectives(Strict):
    """`restore_proof` is how old the last proof may be that a backup of the cluster can be restored."""

    rto: Duration
    rpo: Duration
    restore_proof: Duration | None = None


class Assigned(Strict):
    """Whose the findings of a report are, a person or a team, and within how long each is to be closed."""

    owner: str = Field(min_length=1, max_length=64)
    within: Duration | None = None


def named(value: object) -> object:
    """A bare name is an approver who is believed without a signature."""
    return {"name": value} if isinstance(value, str) else value


class Approver(Strict):
    name: str = Field(min_length=1, max_length=64)
    ssh_key: Annotated[str, AfterValidator(public_key)] | None = None


class Approval(Strict):
    """Two people: the one who asks, and another one who runs `quorate approve`.

    Where keys are listed that one signs; a name may stand with several keys.
    """

    people: Literal[1, 2] = 1
    approvers: tuple[Annotated[Approver, BeforeValidator(named, json_schema_input_type=str | Approver)], ...] = ()
    expires: Duration = 1800.0

    @model_validator(mode="after")
    def check_keys(self) -> Self:
        keys = [each.ssh_key for each in self.approvers if each.ssh_key]
        if keys and (without := [each.name for each in self.approvers if not each.ssh_key]):
            raise ValueError(f"expected an ssh_key for every approver or for none; none has {', '.join(without)}")
        if twice := sorted({each.name for each in self.approvers if each.ssh_key and keys.count(each.ssh_key) > 1}):
            raise ValueError(f"one key cannot stand for two approvers: {', '.join(twice)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.name for each in self.approvers))

    @property
    def signers(self) -> tuple[Signer, ...]:
        return tuple(Signer(each.name, each.ssh_key) for each in self.approvers if each.ssh_key)


class DrillPolicy(Strict):
    """How old the last one that passed may be, and when the daemon holds one by itself.

    `file` is a scenario of one's own; without it, it is the one that comes with Quorate under that name.
    """

    within: Annotated[Duration, Field(gt=0)]
    schedule: Schedule | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def check_schedule(self) -> Self:
        if self.schedule and not (self.schedule.cron or self.schedule.every):
            raise ValueError("expected cron or every in schedule")
        return self


def lasting(value: object) -> object:
    """A bare duration is how old the last one may be."""
    return value if isinstance(value, dict | DrillPolicy) else {"within": value}


class Drills(Strict):
    """Whether faults may be laid there, and by scenario how often it has to be drilled."""

    allowed: bool = False
    scenarios: dict[Name, Annotated[DrillPolicy, BeforeValidator(lasting)]] = {}


def permitted(value: object) -> object:
    """`allowed` says no more than that."""
    return {"allowed": True} if value == "allowed" else value


class Cluster(Strict):
    environment: Literal["production", "staging"] = "production"
    ssh: Ssh
    etcd: EtcdSettings
    members: tuple[Member, ...] = Field(min_length=1, max_length=9)
    control_plane: tuple[Component, ...] = ()
    kubernetes: Kubernetes | None = None
    backup: Backup
    objectives: Objectives | None = None
    findings: Assigned | None = None
    approval: Approval = Approval()
    trust: tuple[Annotated[str, AfterValidator(public_key)], ...] = ()  # whose signature of a manifest counts
    lock_dir: Path = "/var/lib/quorate"
    keep: Duration = 30 * 86400.0  # what `quorate tidy` leaves alone
    sandbox: Sandbox | None = None
    drills: Annotated[
        Drills | None, BeforeValidator(permitted, json_schema_input_type=Drills | Literal["allowed"] | None)
    ] = None

    @model_validator(mode="after")
    def check_names(self) -> Self:
        for what, values in (
            ("name", [m.name for m in self.members]),
            ("host", [m.host for m in self.members]),
            ("peer URL", [u for m in self.members for u in m.peer_urls]),
            ("client URL", [u for m in self.members for u in m.client_urls]),
        ):
            if twice := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"two members have the {what} {', '.join(twice)}")
        if self.control_plane and self.kubernetes is None:
            raise ValueError("a cluster with a control_plane needs kubernetes (kubeconfig, api_urls)")
        if self.backup.restore_within and self.sandbox is None:
            raise ValueError("backup.restore_within needs a sandbox, where the backup is restored")
        return self


class S3(Strict):
    """`ca` is the file of an authority that the system does not know; `expected_owner` the account of the bucket.

    With a `role` the keys do no more than take that role on, at the `endpoint` if there is one.
    """

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    prefix: str = Field(default="quorate", pattern=r"^[A-Za-z0-9._/-]+$")
    endpoint: str | None = None
    region: str = "us-east-1"
    path_style: bool = False
    access_key: Reference | None = None
    secret_key: Reference | None = None
    ca: Path | None = None
    role: str | None = Field(default=None, pattern=r"^arn:[a-z0-9-]+:iam::[0-9]*:role/[A-Za-z0-9+=,.@_/-]+$")
    expected_owner: str | None = Field(default=None, pattern=r"^[0-9]{12}$")


class Store(Strict):
    """Where backups lie: one of `s3` and `directory`."""

    s3: S3 | None = None
    directory: Path | None = None

    @model_validator(mode="after")
    def check_one(self) -> Self:
        if (self.s3 is None) == (self.directory is None):
            raise ValueError("expected exactly one of s3, directory")
        return self

    @property
    def url(self) -> str:
        """As people write it, `s3://bucket/prefix` or `file:///directory`."""
        if self.s3:
            return f"s3://{self.s3.bucket}/{self.s3.prefix}"
        return f"file://{self.directory}"

    @property
    def place(self) -> str:
        """The one and only: what is remembered of it is true of no other."""
        return f"{self.url} at {self.s3.endpoint or self.s3.region}" if self.s3 else self.url


class TemporalTls(Strict):
    ca: Reference | None = None
    cert: Reference | None = None
    key: Reference | None = None

    @model_validator(mode="after")
    def check_pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("expected both of cert, key or neither")
        return self


class Temporal(Strict):
    """Without an address `quorate up` starts a server of its own, on loopback."""

    address: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]+:[0-9]{1,5}$")
    namespace: str = Field(default="default", pattern=r"^[A-Za-z0-9._-]+$")
    tls: TemporalTls | None = None
    binary: Path | None = None


class Metrics(Strict):
    """Where `/metrics` is served, as host:port; port 0 is any that is free. Whoever reaches it reads the figures."""

    listen: Annotated[str, AfterValidator(listening)]

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class Webhook(Strict):
    """Who is told of what failed: any receiver of JSON, Slack, or PagerDuty by its routing key."""

    form: Literal["json", "slack", "pagerduty"] = "json"
    url: Reference | None = None
    key: Reference | None = None

    @model_validator(mode="after")
    def check_form(self) -> Self:
        if self.form == "pagerduty" and not self.key:
            raise ValueError("form pagerduty needs key, the reference of a routing key; url is its own if left out")
        if self.form != "pagerduty" and (self.key or not self.url):
            raise ValueError(f"form {self.form} needs url, the reference of an address, and no key")
        return self


class Notify(Strict):
    """`deadman` is an address that is called every minute while the daemon is well."""

    deadman: Reference | None = None
    webhooks: tuple[Webhook, ...] = ()


class Inventory(Strict):
    apiVersion: Literal["quorate/v1"]  # noqa: N815 - the field's name in the file
    state_dir: Path
    temporal: Temporal = Temporal()
    metrics: Metrics | None = None
    notify: Notify = Notify()
    stores: dict[Name, Store] = Field(min_length=1)
    clusters: dict[Name, Cluster] = Field(min_length=1)

    def cluster(self, name: str) -> Cluster:
        """BadInput names those that there are."""
        if name not in self.clusters:
            raise BadInput(f"there is no cluster {name}; known: {', '.join(sorted(self.clusters))}")
        return self.clusters[name]

    @model_validator(mode="after")
    def check_stores(self) -> Self:
        for name, cluster in self.clusters.items():
            known = ", ".join(sorted(self.stores))
            for store in cluster.backup.stores:
                if store not in self.stores:
                    raise ValueError(f"clusters.{name}.backup names the store {store!r}; stores that exist: {known}")
            store = cluster.backup.store
            if cluster.backup.lock and not self.stores[store].s3:
                raise ValueError(f"clusters.{name}.backup.lock needs a store that can lock: {store} is a directory")
        return self

    @model_validator(mode="after")
    def check_sandboxes(self) -> Self:
        """What is started there must never be taken for a member, nor take anything from one."""
        hosts = {
            host: name for name, cluster in self.clusters.items() for each in cluster.members for host in each.hosts
        }
        for name, cluster in self.clusters.items():
            if cluster.sandbox and (owner := hosts.get(cluster.sandbox.host)):
                raise ValueError(f"clusters.{name}.sandbox.host is a member's, of {owner}: {cluster.sandbox.host}")
        return self
