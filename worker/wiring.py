"""The composition root: the only place that knows every adapter."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from activities.adapters.age import Age
from activities.adapters.directory import DirectoryStore
from activities.adapters.etcd import GrpcEtcds
from activities.adapters.etcd_metrics import EtcdMetrics
from activities.adapters.journal import FileJournals
from activities.adapters.known_hosts import KnownHostsFiles
from activities.adapters.kubernetes import KubeApis
from activities.adapters.own_key import OwnKey, own_key
from activities.adapters.s3 import S3Stores
from activities.adapters.secrets import LocalSecrets
from activities.adapters.signatures import SshSignatures
from activities.adapters.sqlite import SqliteTicks
from activities.adapters.ssh import SshHosts
from activities.adapters.uploads import FileUploads
from activities.adapters.webhooks import HttpWebhooks
from activities.adapters.x509 import X509
from activities.approvals import Approvals
from activities.bundling import Bundling
from activities.catalogued import Catalogued
from activities.clock import RevisionClock
from activities.copying import Copying
from activities.discovery import Borrowed, Discovery
from activities.due import Outset
from activities.forwarded import ForwardedEtcds
from activities.importing import Importing
from activities.kubernetes import Kubernetes
from activities.ledger import Ledger
from activities.listings import Listings
from activities.members import Members
from activities.nodes import VERBS, Nodes
from activities.noticed import NoticedStore
from activities.planning import Planning
from activities.pruning import Pruning
from activities.recorded import Pen, RecordedEtcds, RecordedFiles, RecordedHosts, RecordedStores
from activities.remains import Remains
from activities.sandbox import SandboxWork
from activities.snapshots import Snapshots
from activities.surveys import Surveyor
from activities.taking import Taking
from activities.trust import Trust
from activities.verifying import Verifying
from quorate.command import Node, Ticket
from quorate.inventory import Store as StoreSettings
from quorate.ports import Memory, Secrets, Store
from worker.credentials import Credentials
from worker.remembering import memory
from worker.settings import Settings
from worker.temporal import in_order
from workflows.backup import Backup
from workflows.due import BackupDue
from workflows.freeze import Freeze
from workflows.prove import Prove
from workflows.prune import Prune
from workflows.restore import Restore
from workflows.thaw import Thaw
from workflows.tidy import Tidy
from workflows.verify import Verify

WORKFLOWS = (Restore, Backup, BackupDue, Freeze, Thaw, Tidy, Prune, Verify, Prove)
Activities = list[Callable[..., Any]]
T = TypeVar("T")
SIGNING = "signing.key"  # in the state directory


@dataclass(frozen=True, slots=True)
class AnyStores:
    """The adapter that a store's settings ask for."""

    s3: S3Stores
    memory: Memory

    def at(self, settings: StoreSettings) -> Store:
        return NoticedStore(self._at(settings), self.memory, settings.place)

    def _at(self, settings: StoreSettings) -> Store:
        if settings.s3:
            return self.s3.at(settings.s3)
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
        return ssh_hosts(self.secrets)

    @cached_property
    def etcds(self) -> ForwardedEtcds:
        return ForwardedEtcds(GrpcEtcds(self.secrets), self.hosts)

    @cached_property
    def signatures(self) -> SshSignatures:
        return SshSignatures()

    @cached_property
    def signing(self) -> OwnKey:
        """Made with the first daemon."""
        return own_key(self.settings.state / SIGNING)

    @cached_property
    def cipher(self) -> Age:
        return Age(self.secrets)

    @cached_property
    def stores(self) -> AnyStores:
        return AnyStores(S3Stores(self.secrets), self.memory)

    @cached_property
    def memory(self) -> Memory:
        return memory(self.settings)

    def catalogued(self, settings: StoreSettings, cluster: str) -> Catalogued:
        return Catalogued(self.memory, settings.place, cluster)

    @cached_property
    def uploads(self) -> FileUploads:
        return FileUploads(self.settings.state / "uploads")

    @cached_property
    def surveyor(self) -> Surveyor:
        looks = (self.hosts, self.etcds, self.stores, X509(), self.cipher, self.signatures)
        return Surveyor(*looks, self.catalogued, self.ticks.highest)

    @cached_property
    def ticks(self) -> SqliteTicks:
        """Apart from Temporal's: it is a figure, and may be lost."""
        return SqliteTicks(self.settings.state / "clock.db")

    @cached_property
    def clock(self) -> RevisionClock:
        return RevisionClock(self.etcds, self.ticks, time.time)

    @cached_property
    def credentials(self) -> Credentials:
        return Credentials(self.secrets, X509())

    @cached_property
    def webhooks(self) -> HttpWebhooks:
        return HttpWebhooks()

    @cached_property
    def planning(self) -> Planning:
        return Planning(self.surveyor, self.hosts, time)

    @cached_property
    def remains(self) -> Remains:
        return Remains(self.hosts)

    @cached_property
    def journals(self) -> FileJournals:
        return FileJournals(self.settings.operations, self.chain, time.time)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.settings.operations, self.journals.at, self.stores)

    @cached_property
    def trust(self) -> Trust:
        return Trust(self.hosts, KnownHostsFiles(), self.journals.at, time)

    @cached_property
    def pruning(self) -> Pruning:
        stores = RecordedStores(self.stores, self.journals.at, time)
        return Pruning(stores, self.signatures, self.settings.operations)

    @cached_property
    def verifying(self) -> Verifying:
        return Verifying(RecordedStores(self.stores, self.journals.at, time), self.cipher, self.signatures)

    def sandbox(self) -> SandboxWork:
        hosts = RecordedHosts(self.hosts, self.journals.at, time)
        stores = RecordedStores(self.stores, self.journals.at, time)
        return SandboxWork(hosts, stores, self.cipher, self.signatures)

    @cached_property
    def importing(self) -> Importing:
        hosts = RecordedHosts(self.hosts, self.journals.at, time)
        etcds = RecordedEtcds(self.etcds, self.journals.at, time)
        stores = RecordedStores(self.stores, self.journals.at, time)
        return Importing(Snapshots(etcds, stores, hosts, self.cipher, self.signing, self.uploads))

    def marking(self, cluster: str, store: str, ticket: Ticket) -> Store:
        """A store of the cluster, with everything that is done to it on record as what this operation does."""
        return RecordedStores(self.stores, self.journals.at, time).at(self.settings.store(cluster, store), ticket)

    def record(self, ticket: Ticket, place: str, argv: tuple[str, ...], act: Callable[[], T]) -> T:
        """An act of a command in its own process that an auditor will ask about."""
        return Pen(self.journals.at(ticket.operation), ticket, place, time).called(argv, act)

    def steps(self) -> Activities:
        """What runs on the queue of steps."""
        hosts = RecordedHosts(self.hosts, self.journals.at, time)
        etcds = RecordedEtcds(self.etcds, self.journals.at, time)
        stores = RecordedStores(self.stores, self.journals.at, time)
        nodes = Nodes(hosts, stores, self.cipher, time)
        members = Members(hosts, etcds, self.hosts, time)
        snapshots = Snapshots(etcds, stores, hosts, self.cipher, self.signing, self.uploads)
        taking = Taking(etcds, self.hosts, snapshots, time)
        listings = Listings(etcds, stores, self.cipher, time)
        kubernetes = Kubernetes(KubeApis(self.secrets), self.journals.at, time, tunnels=self.hosts)
        approvals = Approvals(self.signatures, self.journals.at, time)
        return [
            self.surveyor.plan_restore,
            approvals.check,
            approvals.break_glass,
            self.planning.plan_freeze,
            self.planning.plan_thaw,
            self.planning.plan_tidy,
            *(getattr(nodes, verb) for verb in VERBS),
            members.same,
            members.verify,
            taking.take,
            taking.log_in,
            listings.before,
            listings.differ,
            kubernetes.verify,
            Outset(in_order).situation,
            self.ledger.write,
            self.ledger.seal,
        ]

    def streams(self) -> Activities:
        """What runs on the queue of bulk streams."""
        hosts = RecordedHosts(self.hosts, self.journals.at, time)
        etcds = RecordedEtcds(self.etcds, self.journals.at, time)
        stores = RecordedStores(self.stores, self.journals.at, time)
        files, disks = RecordedFiles(self.hosts, self.journals.at, time), EtcdMetrics(self.secrets)
        snapshots = Snapshots(etcds, stores, hosts, self.cipher, self.signing, self.uploads, disks=disks)
        pruning, sandbox = self.pruning, self.sandbox()
        return [
            snapshots.choose,
            snapshots.stream,
            snapshots.read_back,
            snapshots.publish,
            Bundling(hosts, files, stores, self.cipher, X509()).bundle,
            Copying(stores, self.uploads).copy,
            pruning.judge,
            pruning.prune,
            self.verifying.due,
            self.verifying.verify,
            sandbox.choose,
            sandbox.claim,
            sandbox.restore,
            sandbox.read,
            sandbox.start,
            sandbox.clear,
            sandbox.remove,
            sandbox.mark,
            self.ledger.seal,
        ]


def ssh_hosts(secrets: Secrets) -> SshHosts:
    """Without the library's own log lines: its failures arrive as our errors."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    return SshHosts(secrets, agent=os.environ.get("SSH_AUTH_SOCK", ""))


@dataclass(frozen=True)
class Introduction:
    """What `quorate init` works with: there is no inventory yet, so all of this comes from whoever asks."""

    operations: Path
    operation: str
    actor: str
    node: Callable[[str], Node]
    own: tuple[str, str, str] | None = None

    @cached_property
    def journals(self) -> FileJournals:
        return FileJournals(self.operations, "cli", time.time)

    @property
    def home(self) -> Path:
        return self.operations / self.operation

    @cached_property
    def hosts(self) -> SshHosts:
        return ssh_hosts(LocalSecrets(os.environ))

    @cached_property
    def borrowed(self) -> Borrowed:
        files = RecordedFiles(self.hosts, self.journals.at, time)
        return Borrowed(files, self.ticket, self.node, LocalSecrets(os.environ))

    @property
    def ticket(self) -> Ticket:
        return Ticket(self.operation, 1, 1, "init", self.actor)

    @property
    def discovery(self) -> Discovery:
        return Discovery(self.hosts, GrpcEtcds(self.borrowed), self.hosts, self.node, self.own)

    def record(self, place: str, argv: tuple[str, ...], act: Callable[[], T]) -> T:
        """An act on this side that an auditor will ask about."""
        return Pen(self.journals.at(self.operation), self.ticket, place, time).called(argv, act)
