"""The composition root: the only place that knows every adapter."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from activities.adapters.directory import DirectoryStore
from activities.adapters.etcd import GrpcEtcds
from activities.adapters.journal import FileJournals
from activities.adapters.kubernetes import KubeApis
from activities.adapters.s3 import S3Store
from activities.adapters.secrets import LocalSecrets
from activities.adapters.signatures import SshSignatures
from activities.adapters.ssh import SshHosts
from activities.approvals import Approvals
from activities.kubernetes import Kubernetes
from activities.ledger import Ledger
from activities.members import Members
from activities.nodes import VERBS, Nodes
from activities.recorded import RecordedEtcds, RecordedHosts, RecordedStores
from activities.snapshots import Snapshots
from activities.surveys import Surveyor
from activities.taking import Taking
from quorate.inventory import Store as StoreSettings
from quorate.ports import Secrets, Store
from worker.settings import Settings
from workflows.backup import Backup
from workflows.restore import Restore

WORKFLOWS = (Restore, Backup)
Activities = list[Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class AnyStores:
    """The adapter that a store's settings ask for."""

    secrets: Secrets

    def at(self, settings: StoreSettings) -> Store:
        if settings.s3:
            return S3Store.of(settings.s3, self.secrets)
        assert settings.directory is not None
        return DirectoryStore(settings.directory)


@dataclass(frozen=True)
class Wiring:
    """Everything one process works with; `chain` names its audit chains."""

    settings: Settings
    chain: str

    @cached_property
    def secrets(self) -> Secrets:
        return LocalSecrets(os.environ)

    @cached_property
    def hosts(self) -> SshHosts:
        return SshHosts(self.secrets)

    @cached_property
    def etcds(self) -> GrpcEtcds:
        return GrpcEtcds(self.secrets)

    @cached_property
    def stores(self) -> AnyStores:
        return AnyStores(self.secrets)

    @cached_property
    def surveyor(self) -> Surveyor:
        return Surveyor(self.hosts, self.etcds, self.stores)

    @cached_property
    def journals(self) -> FileJournals:
        return FileJournals(self.settings.operations, self.chain, time.time)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.settings.operations, self.journals.at, self.stores)

    def steps(self) -> Activities:
        """What runs on the queue of steps."""
        hosts = RecordedHosts(self.hosts, self.journals.at, time)
        etcds = RecordedEtcds(self.etcds, self.journals.at, time)
        stores = RecordedStores(self.stores, self.journals.at, time)
        nodes = Nodes(hosts, stores, time)
        members = Members(hosts, etcds, self.hosts, time)
        taking = Taking(etcds, self.hosts, Snapshots(etcds, stores, hosts), time)
        kubernetes = Kubernetes(KubeApis(self.secrets), self.journals.at, time)
        approvals = Approvals(SshSignatures(), self.journals.at, time)
        return [
            self.surveyor.plan_restore,
            approvals.check,
            approvals.break_glass,
            *(getattr(nodes, verb) for verb in VERBS),
            members.same,
            members.verify,
            taking.take,
            kubernetes.verify,
            self.ledger.write,
            self.ledger.seal,
        ]

    def streams(self) -> Activities:
        """What runs on the queue of bulk streams."""
        hosts = RecordedHosts(self.hosts, self.journals.at, time)
        etcds = RecordedEtcds(self.etcds, self.journals.at, time)
        stores = RecordedStores(self.stores, self.journals.at, time)
        snapshots = Snapshots(etcds, stores, hosts)
        return [snapshots.choose, snapshots.stream, snapshots.read_back, snapshots.publish, self.ledger.seal]
