"""What a backup is asked for; a command that begins one loads this, and of what a backup does nothing."""

from dataclasses import dataclass, field

import yaml

from quorate.command import Node, node_of
from quorate.errors import BadInput
from quorate.inventory import Cluster, Inventory
from quorate.members.etcd import EtcdTarget, target
from quorate.nodes.programs import KUBELET
from quorate.nodes.seen import Look, kept_by
from quorate.settings.policies import UNENCRYPTED, Lock
from quorate.settings.stores import Store

NO_RECIPIENTS = (
    "there is no bundle beside it: backup.recipients is empty, and private keys are not stored for all to read"
    f" (say backup.bundle: off, or backup.bundle.unencrypted: {UNENCRYPTED!r})"
)


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """What is wanted of every node; `why_not` is why there is none, in words. References, no secrets."""

    why_not: str = ""
    look: Look = field(default_factory=Look)
    units: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()  # of etcd's data: their owner and mode, and nothing in them
    paths: tuple[str, ...] = ()
    ca_keys: bool = False
    inventory: str = ""

    @property
    def etcd(self) -> str:
        """The unit or the manifest that keeps it."""
        return next(iter((*self.look.units, *self.look.pods)), "")


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """All that a backup will ever read of the inventory: references, no secrets."""

    operation: str
    cluster: str
    targets: tuple[EtcdTarget, ...]
    store: Store
    actor: str = ""
    nodes: tuple[Node, ...] = ()
    look: Look = field(default_factory=Look)
    tool: str = ""  # the restore tool on the nodes; "" keeps none
    recipients: tuple[str, ...] = ()  # for whom it is encrypted; nobody can open it but them
    identities: tuple[str, ...] = ()  # references of what opens it again when it is read back
    shrink_percent: int = 100
    accepted: str = ""  # why it counts although the cluster has shrunk, in somebody's words
    member: str = ""  # that somebody wants it from
    compare_bytes: int = 0  # up to this size the members' data is compared
    lock: Lock | None = None
    copies: dict[str, Store] = field(default_factory=dict)  # by name
    when_sick: str = "refuse"  # or "degraded": where nobody can vouch for it, it is taken all the same
    rate_bytes_s: int = 0  # that a member sends at most; 0 is as fast as it can
    bundle: BundleRequest | None = None


def request(
    inventory: Inventory, cluster: str, operation: str, actor: str, *, accepted: str = "", member: str = ""
) -> BackupRequest:
    settings = inventory.cluster(cluster)
    if member and member not in (names := [each.name for each in settings.members]):
        raise BadInput(f"{cluster} has no member {member}; members: {', '.join(names)}")
    nodes = tuple(node_of(cluster, settings, member) for member in settings.members)
    store = inventory.stores[settings.backup.store]
    look, tool, policy = look_of(settings), settings.etcd.restore_tool, settings.backup
    return BackupRequest(
        operation=operation,
        cluster=cluster,
        targets=targets(settings),
        store=store,
        actor=actor,
        nodes=nodes,
        look=look,
        tool=tool,
        recipients=policy.recipients,
        identities=policy.identities,
        shrink_percent=policy.shrink_percent,
        accepted=accepted,
        member=member,
        compare_bytes=policy.compare_mib << 20,
        lock=policy.lock,
        when_sick=policy.when_sick,
        copies={name: inventory.stores[name] for name in policy.copies},
        rate_bytes_s=(policy.rate_mib_s or 0) << 20,
        bundle=bundle_of(inventory, cluster),
    )


def look_of(cluster: Cluster) -> Look:
    """For the command line of etcd, which only a look at a space brings along, and for the restore tool."""
    etcd = cluster.etcd
    return kept_by(etcd.process) | Look(spaces=(etcd.data_dir,), tools=(etcd.restore_tool,))


def targets(cluster: Cluster) -> tuple[EtcdTarget, ...]:
    return tuple(target(cluster, member) for member in cluster.members)


def bundle_of(inventory: Inventory, name: str) -> BundleRequest | None:
    """None where nobody wants one."""
    cluster = inventory.cluster(name)
    wanted, etcd = cluster.backup.bundle, cluster.etcd
    if wanted is None:
        return None
    if not cluster.backup.recipients and not wanted.unencrypted:
        return BundleRequest(NO_RECIPIENTS)
    processes = (etcd.process, *(each.process for each in cluster.control_plane))
    units = tuple(each for each in processes if each.endswith(".service"))
    return BundleRequest(
        look=kept_by(etcd.process) | Look(spaces=(etcd.data_dir,), running=True),
        units=(*units, KUBELET),
        manifests=tuple(each for each in processes if each not in units),
        directories=etcd.directories,
        paths=wanted.paths,
        ca_keys=wanted.ca_keys,
        inventory=told(inventory, name, cluster),
    )


def told(inventory: Inventory, name: str, cluster: Cluster) -> str:
    """The inventory of that one cluster: references, as it has them."""
    stores = {each: inventory.stores[each] for each in cluster.backup.stores}
    only = inventory.model_copy(update={"clusters": {name: cluster}, "stores": stores})
    return yaml.safe_dump(only.model_dump(mode="json", exclude_unset=True), sort_keys=False, width=110)
