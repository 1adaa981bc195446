"""The composition root: the only place that knows every adapter; what a look does not need is loaded when asked."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from activities.adapters.age import Age
from activities.adapters.directory import DirectoryStore
from activities.adapters.etcd import GrpcEtcds
from activities.adapters.journal import FileJournals
from activities.adapters.own_key import OwnKey, own_key
from activities.adapters.secrets import LocalSecrets
from activities.adapters.signatures import SshSignatures
from activities.adapters.sqlite import SqliteTicks
from activities.adapters.ssh import SshHosts
from activities.adapters.uploads import FileUploads
from activities.adapters.x509 import X509
from activities.backups.noticed import NoticedStore
from activities.clusters.catalogued import Catalogued
from activities.clusters.forwarded import ForwardedEtcds
from activities.clusters.surveys import Surveyor
from activities.recording.recorded import Pen, RecordedEtcds, RecordedFiles, RecordedHosts, RecordedStores
from quorate.backups.catalogue import Shelf
from quorate.command import Node, Ticket
from quorate.ports import Memory, Secrets, Store
from quorate.settings.stores import Store as StoreSettings
from worker.credentials import Credentials
from worker.remembering import memory
from worker.settings import Settings

if TYPE_CHECKING:
    from activities.adapters.etcd_metrics import EtcdMetrics
    from activities.adapters.kubernetes import KubeApis
    from activities.adapters.s3 import S3Stores
    from activities.adapters.webhooks import HttpWebhooks
    from activities.backups.importing import Importing
    from activities.backups.pruning import Pruning
    from activities.backups.verifying import Verifying
    from activities.clusters.clock import RevisionClock
    from activities.clusters.discovery import Borrowed, Discovery
    from activities.clusters.planning import Planning
    from activities.clusters.remains import Remains
    from activities.clusters.trust import Trust
    from activities.clusters.vitals import Watcher
    from activities.recording.ledger import Ledger

T = TypeVar("T")
SIGNING = "signing.key"  # in the state directory
PROMPT_S = 1.0


@dataclass(frozen=True)
class AnyStores:
    """The adapter that a store's settings ask for."""

    secrets: Secrets
    memory: Memory

    @cached_property
    def s3(self) -> "S3Stores":
        from activities.adapters.s3 import S3Stores

        return S3Stores(self.secrets)

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
    def prompt_etcds(self) -> ForwardedEtcds:
        """For a probe: who has not answered in a second has not answered."""
        return ForwardedEtcds(GrpcEtcds(self.secrets, look_s=PROMPT_S, call_s=PROMPT_S), self.hosts)

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
        return AnyStores(self.secrets, self.memory)

    @cached_property
    def memory(self) -> Memory:
        return memory(self.settings)

    def catalogued(self, settings: StoreSettings, cluster: str) -> Catalogued:
        return Catalogued(self.memory, settings.place, cluster)

    def shelf(self, store: Store, settings: StoreSettings, cluster: str) -> Shelf:
        """Listed in that store now; of its manifests only what is new is read."""
        return self.catalogued(settings, cluster).look(store)

    @cached_property
    def uploads(self) -> FileUploads:
        return FileUploads(self.settings.state / "uploads")

    @cached_property
    def surveyor(self) -> Surveyor:
        looks = (self.hosts, self.etcds, self.stores, self.certificates, self.cipher, self.signatures)
        return Surveyor(*looks, self.catalogued, self.ticks.highest)

    @cached_property
    def ticks(self) -> SqliteTicks:
        """Apart from Temporal's: it is a figure, and may be lost."""
        return SqliteTicks(self.settings.state / "clock.db")

    @cached_property
    def clock(self) -> "RevisionClock":
        from activities.clusters.clock import RevisionClock

        return RevisionClock(self.etcds, self.ticks, time.time)

    @cached_property
    def certificates(self) -> X509:
        return X509()

    @cached_property
    def disks(self) -> "EtcdMetrics":
        from activities.adapters.etcd_metrics import EtcdMetrics

        return EtcdMetrics(self.secrets)

    @cached_property
    def watcher(self) -> "Watcher":
        from activities.clusters.vitals import Watcher

        return Watcher(self.etcds, self.disks, self.kube_apis, self.hosts)

    @cached_property
    def kube_apis(self) -> "KubeApis":
        from activities.adapters.kubernetes import KubeApis

        return KubeApis(self.secrets)

    @cached_property
    def prompt_apis(self) -> "KubeApis":
        from activities.adapters.kubernetes import PROMPT, KubeApis

        return KubeApis(self.secrets, PROMPT)

    @cached_property
    def credentials(self) -> Credentials:
        return Credentials(self.secrets, self.certificates)

    @cached_property
    def webhooks(self) -> "HttpWebhooks":
        from activities.adapters.webhooks import HttpWebhooks

        return HttpWebhooks()

    @cached_property
    def planning(self) -> "Planning":
        from activities.clusters.planning import Planning

        return Planning(self.surveyor, self.hosts, time)

    @cached_property
    def remains(self) -> "Remains":
        from activities.clusters.remains import Remains

        return Remains(self.hosts)

    @cached_property
    def journals(self) -> FileJournals:
        return FileJournals(self.settings.operations, self.chain, time.time)

    @cached_property
    def ledger(self) -> "Ledger":
        from activities.recording.ledger import Ledger

        return Ledger(self.settings.operations, self.journals.at, self.stores)

    @cached_property
    def trust(self) -> "Trust":
        from activities.adapters.known_hosts import KnownHostsFiles
        from activities.clusters.trust import Trust

        return Trust(self.hosts, KnownHostsFiles(), self.journals.at, time)

    @cached_property
    def pruning(self) -> "Pruning":
        from activities.backups.pruning import Pruning

        stores = RecordedStores(self.stores, self.journals.at, time)
        return Pruning(stores, self.signatures, self.settings.operations, shelf=self.shelf)

    @cached_property
    def verifying(self) -> "Verifying":
        from activities.backups.verifying import Verifying

        stores = RecordedStores(self.stores, self.journals.at, time)
        return Verifying(stores, self.cipher, self.signatures, shelf=self.shelf)

    @cached_property
    def importing(self) -> "Importing":
        from activities.backups.importing import Importing
        from activities.backups.snapshots import Snapshots

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


def signatures() -> SshSignatures:
    """For whoever proves a signature without an inventory."""
    return SshSignatures()


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
    def borrowed(self) -> "Borrowed":
        from activities.clusters.discovery import Borrowed

        files = RecordedFiles(self.hosts, self.journals.at, time)
        return Borrowed(files, self.ticket, self.node, LocalSecrets(os.environ))

    @property
    def ticket(self) -> Ticket:
        return Ticket(self.operation, 1, 1, "init", self.actor)

    @property
    def discovery(self) -> "Discovery":
        from activities.clusters.discovery import Discovery

        return Discovery(self.hosts, GrpcEtcds(self.borrowed), self.hosts, self.node, self.own)

    def record(self, place: str, argv: tuple[str, ...], act: Callable[[], T]) -> T:
        """An act on this side that an auditor will ask about."""
        return Pen(self.journals.at(self.operation), self.ticket, place, time).called(argv, act)
