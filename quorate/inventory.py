"""The inventory: which clusters there are, how they are reached, where their backups go."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from quorate.errors import BadInput
from quorate.settings.drilling import Drills, permitted
from quorate.settings.fields import Duration, Name, Path, Strict
from quorate.settings.machines import Component, EtcdSettings, Kubernetes, Member, Sandbox, Ssh
from quorate.settings.people import Approval, Assigned, Objectives
from quorate.settings.policies import Backup
from quorate.settings.service import Metrics, Notify, Temporal
from quorate.settings.stores import Store
from quorate.sshsig import public_key


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
