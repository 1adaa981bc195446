"""A drill's steps: look, see that all is steady, lay a fault, watch while it lasts, lift it, judge."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from temporalio import activity

from activities.clusters.anyone import first
from activities.clusters.catalogued import Shelving, straight
from activities.clusters.forwarded import ForwardedApis
from activities.clusters.surveys import answer
from activities.recording.recorded import RecordedEtcds, RecordedHosts, RecordedStores
from activities.recording.tickets import ticket_of
from activities.streams.pipeline import beaten
from quorate.clusters.cluster import Silence
from quorate.command import Command, Ticket
from quorate.converge import Clock, Decide, Receipt, Tick, converge
from quorate.drill import DrillRequest, DrillTask, FaultTask, Lost, MemberState, Situation, Watched, WatchTask
from quorate.drills import steadiness, watching
from quorate.drills.fault import DRILL
from quorate.drills.scenario import Mistake
from quorate.drills.steadiness import Told
from quorate.drills.watching import Looked
from quorate.errors import QuorateError
from quorate.gauges import loss_of
from quorate.measure import Check
from quorate.members.etcd import EtcdSeen, EtcdTarget, HashKV
from quorate.members.verifying import leader_last
from quorate.nodes.clients import NFT
from quorate.nodes.node import Claim
from quorate.nodes.seen import Look, NodeSeen, kept_by
from quorate.ports import Etcd, Etcds, Ticks
from quorate.restoring.shares import ports, supervised

T = TypeVar("T")
POLL_S = 0.5
RELEASE_S = 30.0
LAY_S = 90.0
LIFT_S = 600.0  # a busy kubelet takes minutes to run again what was parked (at load 15, 90 s were too few)


@dataclass(frozen=True)
class Drilling:
    """`looking` and `apis` are prompt: whoever does not answer in about a second has not answered."""

    hosts: RecordedHosts
    etcds: RecordedEtcds
    looking: Etcds
    apis: ForwardedApis
    stores: RecordedStores
    ticks: Ticks
    clock: Clock = time
    shelf: Shelving = straight
    tick: Tick = activity.heartbeat

    @activity.defn(name="drill.look", no_thread_cancel_exception=True)
    def look(self, task: DrillTask) -> Situation:
        return beaten(lambda _: self._look(task.request), self.tick)

    @activity.defn(name="drill.steady", no_thread_cancel_exception=True)
    def steady(self, task: DrillTask) -> tuple[Check, ...]:
        """Looked at until all is as it should be, or the time is over: then as it was seen last."""
        ticket = ticket_of(task)
        return beaten(lambda tick: self._steady(task, ticket, tick), self.tick)

    @activity.defn(name="drill.lay", no_thread_cancel_exception=True)
    def lay(self, task: FaultTask) -> Receipt:
        return self._converged(task, task.laid.lay, LAY_S)

    @activity.defn(name="drill.watch", no_thread_cancel_exception=True)
    def watch(self, task: WatchTask) -> Watched:
        return beaten(lambda tick: self._watch(task, tick), self.tick)

    @activity.defn(name="drill.lift", no_thread_cancel_exception=True)
    def lift(self, task: FaultTask) -> Receipt:
        """Seen gone before the claim is given back."""
        claim = Claim(task.node.lock_dir, DRILL, task.holder)
        receipt = self._converged(task, task.laid.lift, LIFT_S)
        host = self.hosts.at(task.node, claim.look(), held(task))
        released = beaten(lambda tick: converge(host, claim.release, RELEASE_S, self.clock, tick), self.tick)
        return Receipt(
            (*receipt.ran, *released.receipt.ran), receipt.started, receipt.duration_s + released.receipt.duration_s
        )

    @activity.defn(name="drill.clean", no_thread_cancel_exception=True)
    def clean(self, task: DrillTask) -> None:
        """Through whichever member takes it."""
        ticket = ticket_of(task)
        beaten(lambda _: self._clean(task, ticket), self.tick)

    @activity.defn(name="drill.lost", no_thread_cancel_exception=True)
    def lost(self, task: DrillTask) -> Lost:
        """How much time's writes a restore of what was proved would have lost when the drill was declared."""
        ticket = ticket_of(task)
        return beaten(lambda _: self._lost(task, ticket), self.tick)

    def _converged(self, task: FaultTask, decide: Decide[NodeSeen, Command], budget_s: float) -> Receipt:
        host = self.hosts.at(task.node, task.laid.look(), held(task))
        return beaten(lambda tick: converge(host, decide, budget_s, self.clock, tick).receipt, self.tick)

    def _look(self, request: DrillRequest) -> Situation:
        settings = request.settings
        claims = tuple(Claim(settings.lock_dir, whose, "").file for whose in (request.cluster, DRILL))
        look = kept_by(settings.etcd.process)
        look |= Look(paths=(NFT,), texts=claims, directories=(settings.etcd.data_dir,))
        nodes = {each.name: each for each in request.nodes}
        seen = together(nodes, lambda name: self.hosts.survey(nodes[name], look))
        there = {name: each for name, each in seen.items() if isinstance(each, NodeSeen)}
        heard = self._members(request)
        listens = {each.name: ports(each.client_urls + each.peer_urls) for each in settings.members}
        return Situation(
            members=tuple(state(name, each) for name, each in heard.items()),
            processes={
                name: supervised("etcd", settings.etcd, listens[name], each, quorum=True)
                for name, each in there.items()
            },
            firewalls=tuple(name for name, each in there.items() if NFT in each.paths),
            mounted=tuple(name for name, each in there.items() if each.lies(settings.etcd.data_dir).mounted),
            holders={name: who for name, each in there.items() if (who := holder(each, claims))},
            silent={name: each.reason for name, each in seen.items() if isinstance(each, Silence)},
        )

    def _steady(self, task: DrillTask, ticket: Ticket, tick: Tick) -> tuple[Check, ...]:
        deadline = self.clock.monotonic() + task.patience_s
        while True:
            found = steadiness.checks(task.wanted, self._told(task, ticket), task.when)
            if all(each.passed is not False for each in found) or self.clock.monotonic() >= deadline:
                return found
            tick("; ".join(f"{each.id}: {each.observed}" for each in found if each.passed is False))
            self.clock.sleep(POLL_S)

    def _told(self, task: DrillTask, ticket: Ticket) -> Told:
        request = task.request
        members, reads = self._members(request), self._reads(request)
        hashes, uncompared = self._hashes(task, ticket, members) if "same-data" in task.wanted else ({}, "")
        return Told(members, reads, hashes, uncompared, self._apis(task))

    def _members(self, request: DrillRequest) -> dict[str, EtcdSeen | Silence]:
        targets = {each.name: each for each in request.targets}
        return together(targets, lambda name: self._ask(targets[name], lambda etcd: etcd.look()))

    def _reads(self, request: DrillRequest) -> dict[str, str]:
        targets = {each.name: each for each in request.targets}
        said = together(targets, lambda name: self._ask(targets[name], lambda etcd: etcd.linearizable_revision()))
        return {name: each.reason if isinstance(each, Silence) else "" for name, each in said.items()}

    def _ask(self, target: EtcdTarget, ask: Callable[[Etcd], T]) -> T:
        with self.looking.at(target) as etcd:
            return ask(etcd)

    def _hashes(
        self, task: DrillTask, ticket: Ticket, members: dict[str, EtcdSeen | Silence]
    ) -> tuple[dict[str, HashKV | str], str]:
        """One after another, the leader last: a hash blocks the writes of its member while it is made."""
        seen = {name: each for name, each in members.items() if isinstance(each, EtcdSeen)}
        if len(seen) < len(members):
            return {name: each.reason for name, each in members.items() if isinstance(each, Silence)}, ""
        most_mib = task.request.settings.backup.compare_mib
        if (size := max(each.db_bytes for each in seen.values())) > most_mib << 20:
            return {}, f"not compared: of {size >> 20} MiB; {most_mib} MiB are compared at most (backup.compare_mib)"
        revision = min(each.revision for each in seen.values())
        targets = {each.name: each for each in task.request.targets}
        return {name: self._hash(ticket, targets[name], revision) for name in leader_last(seen)}, ""

    def _hash(self, ticket: Ticket, target: EtcdTarget, revision: int) -> HashKV | str:
        try:
            with self.etcds.at(target, ticket) as etcd:
                return etcd.hash_kv(revision)
        except QuorateError as error:
            return str(error)

    def _apis(self, task: DrillTask) -> dict[str, str]:
        kubernetes = task.request.settings.kubernetes
        if kubernetes is None or "every-apiserver" not in task.wanted:
            return {}
        nodes = task.request.nodes

        def ready(url: str) -> None:
            with self.apis.at(kubernetes.kubeconfig, url, nodes) as api:
                api.ready()

        said = together(kubernetes.api_urls, ready)
        return {url: each.reason if isinstance(each, Silence) else "" for url, each in said.items()}

    def _watch(self, task: WatchTask, tick: Tick) -> Watched:
        looks: list[Looked] = []
        until = self.clock.monotonic() + task.hold_s
        while self.clock.monotonic() < until:
            looks.append(self._glance(task))
            if why := watching.stopped(looks, task.request.scenario.stop_when.writes_fail):
                return Watched(watching.checks(task.expect, task.victim, looks, task.when), why)
            tick(f"{len(looks)} looks, {until - self.clock.monotonic():.0f} s to go")
            self.clock.sleep(POLL_S)
        return Watched(watching.checks(task.expect, task.victim, looks, task.when))

    def _glance(self, task: WatchTask) -> Looked:
        at = self.clock.time()
        with ThreadPoolExecutor(4) as pool:
            members = pool.submit(self._members, task.request)
            reads = pool.submit(self._reads, task.request)
            refused = pool.submit(self._refused, task)
            wrote = pool.submit(self._wrote, task)
            return Looked(at, members.result(), reads.result(), refused.result(), wrote.result())

    def _refused(self, task: WatchTask) -> str | None:
        """A write of its own key: the probe's says what was acknowledged."""
        if "minority-refuses" not in task.expect:
            return None
        target = next(each for each in task.request.targets if each.name == task.victim)
        try:
            self._ask(target, lambda etcd: etcd.put(refused_key(task.request), b""))
        except QuorateError as error:
            return str(error)
        return ""

    def _wrote(self, task: WatchTask) -> str:
        """The victim is asked last: who hangs costs a second."""
        targets = sorted(task.request.targets, key=lambda each: each.name == task.victim)
        try:
            first(self.looking.at, targets, lambda etcd: etcd.put(watch_key(task.request), b""))
        except QuorateError as error:
            return str(error)
        return ""

    def _clean(self, task: DrillTask, ticket: Ticket) -> None:
        request = task.request

        def clean(etcd: Etcd) -> None:
            etcd.delete(request.probe_key)
            etcd.delete(refused_key(request))
            etcd.delete(watch_key(request))
            for mistake in written(request):
                etcd.delete_prefix(mistake.prefix)

        first(partial(self.etcds.at, ticket=ticket), request.targets, clean)

    def _lost(self, task: DrillTask, ticket: Ticket) -> Lost:
        request = task.request
        stock = self.shelf(self.stores.at(request.store, ticket), request.store, request.cluster)
        found = next((each for each in stock.manifests if each.id == task.snapshot), None)
        if found is None:
            return Lost()
        ticks = self.ticks.since(request.cluster, found.created_at.timestamp())
        loss = loss_of(found, ticks, task.declared)
        return Lost(loss.least_s, loss.most_s)


def holder(seen: NodeSeen, claims: Iterable[str]) -> str:
    """Whose claim lies there: an operation's, or a drill's that could not lift its fault."""
    return next((text.split()[0] for file in claims if (text := seen.texts.get(file, "").strip())), "")


def held(task: FaultTask) -> Ticket:
    return replace(ticket_of(task), holder=task.holder)


def written(request: DrillRequest) -> tuple[Mistake, ...]:
    """Whose keys are the drill's own."""
    return tuple(each.mistake for each in request.scenario.stages if each.mistake and each.mistake.writes)


def refused_key(request: DrillRequest) -> str:
    return f"{request.probe_key}/refused"


def watch_key(request: DrillRequest) -> str:
    return f"{request.probe_key}/watch"


def state(name: str, said: EtcdSeen | Silence) -> MemberState:
    if isinstance(said, Silence):
        return MemberState(name, why=said.reason)
    return MemberState(name, said.leads, said.member_id, said.version)


def together(names: Iterable[str], ask: Callable[[str], T]) -> dict[str, T | Silence]:
    """All at once; nobody's silence hides the others' answers."""
    wanted = tuple(names)
    with ThreadPoolExecutor(max(1, len(wanted))) as pool:
        return dict(zip(wanted, pool.map(lambda name: answer(ask, name), wanted), strict=True))
