"""Looking at a whole cluster, every node and member at once; nothing is changed by it."""

import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import urlsplit

from activities.clusters.catalogued import Catalogued
from activities.streams.compression import unpacked
from quorate import lay
from quorate.backups.catalogue import Manifest, Shelf, find, parse, read
from quorate.backups.provenance import doubted, why_not
from quorate.backups.toolbox import KeptTool
from quorate.backups.toolbox import find as find_tool
from quorate.clusters.cluster import ClusterSeen, Lineage, Silence
from quorate.clusters.reach import needs_dials, targets
from quorate.command import Node, node_of
from quorate.database.wal import Reach, last_segment, reach
from quorate.errors import BadInput, QuorateError, Refusal, Unreachable
from quorate.findings.case import Case
from quorate.findings.ways import ways
from quorate.inventory import Cluster
from quorate.members.etcd import EtcdSeen, EtcdTarget, quorum, target
from quorate.nodes.certificates import Certificate, plain
from quorate.nodes.image import tool_of
from quorate.nodes.seen import Look, NodeSeen
from quorate.nodes.servers import asked
from quorate.operation import RestoreRequest
from quorate.plan import Plan
from quorate.ports import Certificates, Cipher, Etcds, Hosts, Signatures, Store, Stores
from quorate.prove import proved_at
from quorate.records import lineages
from quorate.restore import log_of, look_of, plan
from quorate.restoring.former import former
from quorate.restoring.shares import ports
from quorate.settings.machines import Member
from quorate.settings.stores import Store as StoreSettings

T = TypeVar("T")
PARALLEL = 32
OPENED_BYTES = 1 << 17
ELECTION_S = 5.0  # a timeout of one to two seconds, and a second vote where the first was split
POLL_S = 0.2


def unclocked(_cluster: str) -> int:
    """Where no daemon keeps a revision clock."""
    return 0


LOOKED_AT = 200  # backups; of thousands a look at a cluster needs the newest that count


@dataclass(frozen=True, slots=True)
class Stock:
    """What a cluster has in a store; `compared` is when, 0 where it was just now."""

    shelf: Shelf = field(default_factory=lambda: Shelf((), {}))
    links: tuple[Lineage, ...] = ()
    doubted: Mapping[str, str] = field(default_factory=dict)
    compared: float = 0.0
    older: int = 0  # that a look had no need of


@dataclass(frozen=True, slots=True)
class Patience:
    """How long whoever is asked may take, where a person waits; None for as long as it takes."""

    read_s: float | None = None  # a read through members none of whom knows of a leader
    node_s: float | None = None  # a node, or a member, until it has said everything; to connect has a time of its own
    store_s: float | None = None  # the store, where it was read to its end before
    closer_s: float | None = None  # the second look, where the first leaves questions


@dataclass(frozen=True)
class Surveyor:
    hosts: Hosts
    etcds: Etcds
    stores: Stores
    certificates: Certificates
    cipher: Cipher
    signatures: Signatures
    catalogued: Callable[[StoreSettings, str], Catalogued]
    clocked: Callable[[str], int] = unclocked  # the highest revision on the revision clock, by cluster
    within_s: float = 0.0  # how old what is remembered of a store may be; 0 for nothing but the store itself
    patience: Patience = Patience()

    def survey(self, name: str, cluster: Cluster, store: StoreSettings) -> ClusterSeen:
        """Everybody is asked in parallel, and nobody's silence hides the others' answers."""
        began = time.monotonic()
        readers, pool = ThreadPoolExecutor(PARALLEL), ThreadPoolExecutor(PARALLEL)  # reads wait where nobody leads
        reads = {m.name: readers.submit(answer, self._read, target(cluster, m)) for m in cluster.members}
        nodes = {m.name: pool.submit(answer, self._node, name, cluster, m) for m in cluster.members}
        etcd = {m.name: pool.submit(answer, self._etcd, target(cluster, m)) for m in cluster.members}
        stored = pool.submit(answer, self._stored, name, cluster, store)
        heard = said(etcd, began, self.patience.node_s)
        seen = said(nodes, began, self.patience.node_s)
        if too_few_run(cluster, seen, heard):
            read = said(reads, began, 0.0, "fewer members run than a quorum has")
        else:
            read = said(reads, began, self.patience.node_s if led(heard) else self.patience.read_s)
        read_before = not stored.done() and self.catalogued(store, name).recalls
        known = said({name: stored}, began, self.patience.store_s if read_before else None)[name]
        clocked = answer(self.clocked, name)
        stock = Stock() if isinstance(known, Silence) else known
        for each in (readers, pool):
            each.shutdown(wait=False)
        whole = ClusterSeen(
            nodes=seen,
            etcd=heard,
            reads={member: each for member, each in read.items() if isinstance(each, int)},
            unread={member: each.reason for member, each in read.items() if isinstance(each, Silence)},
            manifests=stock.shelf.manifests,
            doubted=dict(stock.doubted),
            quarantined=dict(stock.shelf.quarantined),
            proved=proved_at(stock.shelf),
            lineages=stock.links,
            compared=stock.compared,
            older=stock.older,
            clocked=clocked if isinstance(clocked, int) else 0,  # a clock that is damaged keeps nobody from restoring
            store=known.reason if isinstance(known, Silence) else "",
            us=ways_out(cluster) if cluster.ssh.jump and not cluster.ssh.forward else frozenset(),
            certificates={member: self._read_certificates(each) for member, each in seen.items()},
        )
        if perhaps_electing(whole, read):
            whole = self._elected(cluster, whole)
        return self._tooled(cluster, store, self._closer(name, cluster, whole))

    def plan(self, request: RestoreRequest) -> Plan:
        """Survey, then decide; the same in the command line's process and in the worker."""
        seen = self.survey(request.cluster, request.settings, request.store)
        if request.from_kept:
            seen = self._formerly(request, seen)
        if request.without:
            seen = self._listed(request, seen)
        if not (request.from_member or request.from_kept):
            seen = self._sealed(request, self._afresh(request, seen))
        case = Case(request.cluster, request.settings, seen, datetime.now(UTC))
        return replace(plan(request, seen), ways=ways(case))

    def bundled(self, request: RestoreRequest) -> tuple[ClusterSeen, Manifest]:
        """Everybody, and the backup whose bundle has the node, as it lies in the store now; Refusal if none opens."""
        seen = self.survey(request.cluster, request.settings, request.store)
        named = replace(request, snapshot=lay.origin(request, seen).id)
        seen = self._afresh(named, seen)
        manifest = lay.origin(named, seen)
        if manifest.bundle and manifest.encryption:
            store, identities = self.stores.at(request.store), request.settings.backup.identities
            if why := self._unopened(store, manifest.bundle.key, identities):
                raise Refusal(
                    f"the bundle of {manifest.id} cannot be opened: {why}; nothing was changed",
                    next=f"quorate keys ls {request.cluster}",
                )
        return seen, manifest

    def _afresh(self, request: RestoreRequest, seen: ClusterSeen) -> ClusterSeen:
        """With the manifest that is asked for as it lies in the store now: nothing that is remembered is restored."""
        try:
            known = find(seen.manifests, request.snapshot, request.cluster, seen.related(), seen.discounted)
        except BadInput:
            return seen
        there = parse(read(self.stores.at(request.store), known.manifest_key), known.manifest_key)
        if there == known:
            return seen
        rest = {id_: why for id_, why in seen.doubted.items() if id_ != known.id}
        return replace(
            seen,
            manifests=tuple(there if each is known else each for each in seen.manifests),
            doubted={**rest, **doubted((there,), request.settings.trust, self.signatures)},
        )

    def _sealed(self, request: RestoreRequest, seen: ClusterSeen) -> ClusterSeen:
        """With why the snapshot that is asked for cannot be opened; its first piece is, to find out."""
        with suppress(BadInput):
            wanted = find(seen.manifests, request.snapshot, request.cluster, seen.related(), seen.discounted)
            if wanted.encryption:
                why = self._unopened(self.stores.at(request.store), wanted.key, request.settings.backup.identities)
                return replace(seen, sealed={wanted.id: why} if why else {})
        return seen

    def _unopened(self, store: Store, key: str, identities: tuple[str, ...]) -> str:
        try:
            pieces = self.cipher.decrypted(beginning(store.get(key)), identities, key)
            next(pieces, b"")
        except QuorateError as error:
            return str(error)
        return ""

    def _formerly(self, request: RestoreRequest, seen: ClusterSeen) -> ClusterSeen:
        """With the logs that an earlier operation has kept in the place of those that are live."""
        nodes = {m.name: node_of(request.cluster, request.settings, m) for m in request.settings.members}
        logs = {
            name: found.wal
            for name, node in seen.reachable.items()
            if (found := former(request.settings, node, request.from_kept))
        }
        return replace(seen, disks=everywhere(logs, lambda name: self._reach(nodes[name], logs[name])))

    def _listed(self, request: RestoreRequest, seen: ClusterSeen) -> ClusterSeen:
        """With the files of API servers that name who is gone."""
        gone = tuple(member for member in request.settings.members if member.name in request.without)
        look = Look(mentions=asked(request.settings, gone))
        nodes = {m.name: node_of(request.cluster, request.settings, m) for m in request.settings.members}
        found = everywhere(seen.reachable, lambda name: self.hosts.survey(nodes[name], look))
        listed = {
            name: replace(node, mentions=again.mentions) if isinstance(again := found[name], NodeSeen) else again
            for name, node in seen.reachable.items()
        }
        return replace(seen, nodes={**seen.nodes, **listed})

    def _tooled(self, cluster: Cluster, store: StoreSettings, seen: ClusterSeen) -> ClusterSeen:
        """With what the store has for the nodes that have no restore tool."""
        bare = {name: node for name, node in seen.reachable.items() if not tool_of(cluster.etcd, node).version}
        version = running(seen)
        if not bare or not version or seen.store:
            return seen
        shelf = self.stores.at(store)
        kept = everywhere({node.architecture for node in bare.values()}, lambda arch: find_tool(shelf, version, arch))
        found = {
            name: replace(node, stored=tool.stored)
            for name, node in bare.items()
            if isinstance(tool := kept[node.architecture], KeptTool)
        }
        return replace(seen, nodes={**seen.nodes, **found})

    def _elected(self, cluster: Cluster, seen: ClusterSeen) -> ClusterSeen:
        """Reads are asked for until one is served: an election is over in a moment."""
        asked = {member.name: target(cluster, member) for member in cluster.members if member.name in seen.answering}
        until, read = time.monotonic() + (self.patience.closer_s or ELECTION_S), dict[str, int]()
        while not read and (left_s := until - time.monotonic()) > 0:
            found = everywhere(asked, lambda name: self._read(asked[name]), left_s)
            read = {name: each for name, each in found.items() if isinstance(each, int)}
            time.sleep(0 if read else POLL_S)  # a member may refuse at once
        if not read:
            return seen
        heard = everywhere(asked, lambda name: self._etcd(asked[name]), self.patience.node_s)
        unread = {name: why for name, why in seen.unread.items() if name not in read}
        return replace(seen, etcd={**seen.etcd, **heard}, reads=read, unread=unread)

    def _closer(self, name: str, cluster: Cluster, seen: ClusterSeen) -> ClusterSeen:
        """A second look where the first leaves questions: whose log goes furthest, who reaches whom."""
        with ThreadPoolExecutor(2) as pool:
            disks = None if seen.has_quorum else pool.submit(self._disks, name, cluster, seen)
            dials = pool.submit(self._dialled, name, cluster, seen) if needs_dials(seen) else None
        return replace(seen, disks=disks.result() if disks else {}, dials=dials.result() if dials else {})

    def _disks(self, name: str, cluster: Cluster, seen: ClusterSeen) -> dict[str, Reach | Silence]:
        """Where there is no quorum, who holds most is told by the logs."""
        nodes = {m.name: node_of(name, cluster, m) for m in cluster.members}
        logs = {member: log for member, node in seen.reachable.items() if (log := log_of(cluster, node))}
        return everywhere(logs, lambda member: self._reach(nodes[member], logs[member]), self.patience.closer_s)

    def _reach(self, node: Node, log: str) -> Reach:
        return reach(unpacked(self.hosts.read(node, last_segment(log)), f"the log of {node.name}"))

    def _dialled(self, name: str, cluster: Cluster, seen: ClusterSeen) -> dict[str, dict[str, str]]:
        """Whether nodes reach one another; where all is well no member hears of a survey."""
        members = {member.name: member for member in cluster.members if member.name in seen.reachable}
        found = everywhere(members, lambda each: self._dial(name, cluster, members[each]), self.patience.closer_s)
        return {member: each for member, each in found.items() if isinstance(each, dict)}

    def _dial(self, name: str, cluster: Cluster, member: Member) -> dict[str, str]:
        return self.hosts.survey(node_of(name, cluster, member), Look(dials=targets(cluster, member))).dials

    def _read_certificates(self, node: NodeSeen | Silence) -> dict[str, tuple[Certificate, ...]]:
        pems = {} if isinstance(node, Silence) else node.signs.pems
        return {path: tuple(filter(None, map(self.certificates.read, each))) for path, each in pems.items()}

    def _node(self, name: str, cluster: Cluster, member: Member) -> NodeSeen:
        return self.hosts.survey(node_of(name, cluster, member), look_of(cluster))

    def _etcd(self, member: EtcdTarget) -> EtcdSeen:
        with self.etcds.at(member) as etcd:
            return etcd.look()

    def _read(self, member: EtcdTarget) -> int:
        with self.etcds.at(member) as etcd:
            return etcd.linearizable_revision()

    def _stored(self, name: str, cluster: Cluster, settings: StoreSettings) -> Stock:
        catalogued = self.catalogued(settings, name)
        known = catalogued.glance(self.within_s, LOOKED_AT) if self.within_s else None
        if known:
            doubts = self._doubted(catalogued, known.shelf, cluster)
            if any(each.counts for each in known.shelf.sound(doubts)):
                links = lineages(self.stores.at(settings), name) if known.restores else ()
                return Stock(known.shelf, links, doubts, known.compared, known.older)
        store = self.stores.at(settings)
        shelf = catalogued.look(store)
        return Stock(shelf, lineages(store, name), self._doubted(catalogued, shelf, cluster))

    def _doubted(self, catalogued: Catalogued, shelf: Shelf, cluster: Cluster) -> Mapping[str, str]:
        trust = cluster.trust
        return catalogued.doubted(shelf, trust, lambda each: why_not(each, trust, self.signatures))


def beginning(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Enough to tell whether a key fits: the header of many recipients and the first 64 KiB."""
    passed = 0
    for chunk in chunks:
        yield chunk
        passed += len(chunk)
        if passed >= OPENED_BYTES:
            return


def too_few_run(
    cluster: Cluster, nodes: Mapping[str, NodeSeen | Silence], heard: Mapping[str, EtcdSeen | Silence]
) -> bool:
    """Whether no read can succeed: of fewer members than a quorum has it is possible that they run."""
    perhaps = [m for m in cluster.members if isinstance(heard[m.name], EtcdSeen) or not stopped(m, cluster, nodes)]
    return len(perhaps) < quorum(len(cluster.members))


def perhaps_electing(seen: ClusterSeen, read: Mapping[str, int | Silence]) -> bool:
    """Whether a majority answers and nothing but a leader is missing: no read is refused for another reason."""
    voters = {name: each for name, each in seen.answering.items() if not each.learner}
    corrupt = any(kind == "CORRUPT" for each in voters.values() for _, kind in each.alarms)
    refused = any(isinstance(each, Silence) and each.kind != Unreachable.kind for each in read.values())
    return not (seen.has_quorum or corrupt or refused) and len(voters) >= seen.quorum


def led(heard: Mapping[str, EtcdSeen | Silence]) -> bool:
    """Whether anybody knows of a leader: without one a read waits for an election, and then in vain."""
    return any(isinstance(each, EtcdSeen) and each.leader for each in heard.values())


def stopped(member: Member, cluster: Cluster, nodes: Mapping[str, NodeSeen | Silence]) -> bool:
    """As its own node says: its unit has ended, and nobody listens where it would."""
    node = nodes[member.name]
    if not isinstance(node, NodeSeen) or node.listening & set(ports(member.client_urls)):
        return False
    unit = node.units.get(cluster.etcd.process)
    return unit is not None and unit.load == "loaded" and unit.gone


def running(seen: ClusterSeen) -> str:
    """The version of etcd; where nobody answers, that of the newest backup."""
    known = [each.version for each in seen.answering.values()]
    return known[0] if known else seen.manifests[-1].source.version if seen.manifests else ""


def everywhere(
    names: Iterable[str], ask: Callable[[str], T], within_s: float | None = None
) -> dict[str, T | Silence]:
    """Everybody's answer, asked at once."""
    pool = ThreadPoolExecutor(PARALLEL)
    asked = {name: pool.submit(answer, ask, name) for name in names}
    pool.shutdown(wait=False)
    return said(asked, time.monotonic(), within_s)


def said(
    asked: Mapping[str, "Future[T | Silence]"], began: float, within_s: float | None, instead: str = ""
) -> dict[str, T | Silence]:
    """What they have answered by then; who has not is silent, and is waited for no longer."""
    wait(asked.values(), None if within_s is None else max(0.0, began + within_s - time.monotonic()))
    late = Silence(instead or f"no answer within {within_s or 0:g} s")
    return {name: each.result() if each.done() else late for name, each in asked.items()}


def answer(ask: Callable[..., T], *about: object) -> T | Silence:
    try:
        return ask(*about)
    except QuorateError as error:
        return Silence(str(error), error.kind)


def ways_out(cluster: Cluster) -> frozenset[str]:
    """Our addresses on the way to the members: through a jump host a node sees only that one. Nothing is sent."""
    return frozenset(filter(None, (way_out(url) for member in cluster.members for url in member.client_urls[:1])))


def way_out(url: str) -> str:
    parts = urlsplit(url)
    try:
        kind, *_, there = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(kind, socket.SOCK_DGRAM) as way:
            way.connect(there)
            return plain(str(way.getsockname()[0]))
    except OSError:
        return ""
