"""Plans as a worker makes them; those of freezes and leftovers need more of a node than a survey tells."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from temporalio import activity

from activities.clusters.surveys import PARALLEL, Surveyor, answer
from activities.streams.pipeline import beaten
from quorate import freeze, lay, replace_member, thaw, tidy
from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.command import Node, node_of
from quorate.converge import Clock
from quorate.errors import Refusal
from quorate.inventory import Cluster
from quorate.members.etcd import EtcdTarget, HashKV, target
from quorate.nodes.kept import Kept, listing, lives_of, parse
from quorate.nodes.note import Note
from quorate.operation import RestoreRequest
from quorate.plan import Plan
from quorate.ports import Hosts
from quorate.tidy import Judged

Planner = Callable[[RestoreRequest, ClusterSeen, dict[str, str]], Plan]


@dataclass(frozen=True)
class Planning:
    """Survey, then decide; the same in the command line's process and in the worker."""

    surveyor: Surveyor
    hosts: Hosts
    clock: Clock

    @activity.defn(name="plan.restore")
    def plan_restore(self, request: RestoreRequest) -> Plan:
        """Beaten meanwhile: a member without a quorum lets its reader wait for longer than a heartbeat may."""
        return beaten(lambda _tick: self.surveyor.plan(request), activity.heartbeat)

    def freeze(self, request: RestoreRequest) -> Plan:
        return self._planned(request, freeze.plan)

    def thaw(self, request: RestoreRequest) -> Plan:
        return self._planned(request, thaw.plan)

    @activity.defn(name="plan.freeze")
    def plan_freeze(self, request: RestoreRequest) -> Plan:
        return beaten(lambda _tick: self.freeze(request), activity.heartbeat)

    @activity.defn(name="plan.thaw")
    def plan_thaw(self, request: RestoreRequest) -> Plan:
        return beaten(lambda _tick: self.thaw(request), activity.heartbeat)

    def tidy(self, request: RestoreRequest) -> tuple[Plan | None, tuple[Judged, ...]]:
        """Everything that is kept, and the plan to remove what may go; none where that is nothing."""
        seen = self.surveyor.survey(request.cluster, request.settings, request.store)
        rows = tidy.judged(request, seen, self._kept(request.cluster, request.settings), self.clock.time())
        return (tidy.plan(request, seen, rows) if any(not row.stays for row in rows) else None), rows

    @activity.defn(name="plan.tidy")
    def plan_tidy(self, request: RestoreRequest) -> Plan:
        plan, _ = beaten(lambda _tick: self.tidy(request), activity.heartbeat)
        if plan is None:
            raise Refusal(f"nothing that is kept on {request.cluster} may be removed any more")
        return plan

    def replace_member(self, request: RestoreRequest) -> Plan:
        seen = self.surveyor.survey(request.cluster, request.settings, request.store)
        return replace_member.plan(request, seen, self._hashes(request, seen))

    @activity.defn(name="plan.replace-member")
    def plan_replace_member(self, request: RestoreRequest) -> Plan:
        return beaten(lambda _tick: self.replace_member(request), activity.heartbeat)

    def lay(self, request: RestoreRequest) -> Plan:
        """Refusal where the bundle cannot be opened: its first piece is, to find out."""
        node = lay.node_for(request)
        seen, manifest = self.surveyor.bundled(request)
        return lay.plan(request, seen, manifest, self.hosts.survey(node, lay.look_of(request, manifest)))

    @activity.defn(name="plan.lay")
    def plan_lay(self, request: RestoreRequest) -> Plan:
        return beaten(lambda _tick: self.lay(request), activity.heartbeat)

    def _hashes(self, request: RestoreRequest, seen: ClusterSeen) -> dict[str, HashKV | str]:
        """Of everybody who answers, at a revision that all of them have: each hash blocks its member's writes."""
        members = {m.name: m for m in request.settings.members if m.name in seen.answering}
        revision = min((each.revision for each in seen.answering.values()), default=0)
        said = {name: answer(self._hash, target(request.settings, m), revision) for name, m in members.items()}
        return {name: each.reason if isinstance(each, Silence) else each for name, each in said.items()}

    def _hash(self, member: EtcdTarget, revision: int) -> HashKV:
        with self.surveyor.etcds.at(member) as etcd:
            return etcd.hash_kv(revision)

    def _kept(self, name: str, cluster: Cluster) -> tuple[Kept, ...]:
        """Of every node that answers."""
        lives = lives_of(cluster.etcd.data_dir)
        with ThreadPoolExecutor(PARALLEL) as pool:
            asked = {
                m.name: pool.submit(answer, self._listed, node_of(name, cluster, m), lives) for m in cluster.members
            }
        return tuple(
            each
            for member, future in asked.items()
            if isinstance(printed := future.result(), str)
            for each in parse(member, printed, lives)
        )

    def _listed(self, node: Node, lives: tuple[str, ...]) -> str:
        return b"".join(self.hosts.read(node, listing(lives))).decode()

    def _planned(self, request: RestoreRequest, planner: Planner) -> Plan:
        seen = self.surveyor.survey(request.cluster, request.settings, request.store)
        return planner(request, seen, self._notes(request.cluster, request.settings))

    def _notes(self, name: str, cluster: Cluster) -> dict[str, str]:
        """Of every node that answers."""
        with ThreadPoolExecutor(PARALLEL) as pool:
            asked = {
                m.name: pool.submit(answer, self._note, node_of(name, cluster, m), name) for m in cluster.members
            }
        return {member: said for member, each in asked.items() if isinstance(said := each.result(), str)}

    def _note(self, node: Node, cluster: str) -> str:
        note = Note(node.lock_dir, cluster)
        return self.hosts.survey(node, note.look()).texts.get(note.file, "")
