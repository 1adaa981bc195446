"""From a backup to the plan that restores it, on machines and members of memory."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from activities.adapters.signatures import SshSignatures
from activities.adapters.x509 import X509
from activities.clusters.catalogued import Catalogued
from activities.clusters.surveys import LOOKED_AT, Patience, Surveyor, too_few_run
from quorate.backups.catalogue import home_of, latest
from quorate.backups.marks import Kind, Mark, put
from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.command import Node
from quorate.errors import Denied, QuorateError, Unreachable
from quorate.members.etcd import EtcdSeen, EtcdTarget
from quorate.nodes.seen import Look, NodeSeen, UnitSeen
from quorate.operation import Outcome, RestoreRequest, RestoreResult
from quorate.plan import Gate, Plan
from quorate.ports import Etcd, Store
from quorate.records import result_text
from quorate.settings.machines import Jump
from quorate.settings.stores import Store as StoreSettings
from tests.factory import SNAPSHOT_BYTES, inventory
from tests.fakes.etcd import FakeCluster
from tests.fakes.machine import FakeHosts, Unit
from tests.fakes.memory import PlainMemory, unremembered
from tests.fakes.store import MemoryStore, MemoryStores
from tests.manifests import AT, manifest
from tests.workflows.test_backup import AGE, Bench, a_cluster

pytestmark = pytest.mark.slow

FULL = ("/usr/bin/etcd", "--quota-backend-bytes=8589934592", "--initial-cluster-state=new")
HALF = ("/usr/bin/etcd", "--quota-backend-bytes=4294967296", "--initial-cluster-state=existing")


@dataclass
class Scene:
    """One cluster, backed up."""

    root: Path
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.bench = Bench(a_cluster(), self.store, name="demo")
        self.runs(FULL)
        self.bench.carry_out()

    def runs(self, argv: tuple[str, ...], *names: str) -> None:
        for name in names or self.bench.machines:
            self.bench.machines[name].units["etcd.service"] = Unit(argv=argv)

    def surveyor(self, hosts: FakeHosts | None = None) -> Surveyor:
        there = hosts or FakeHosts(self.bench.machines)
        looks = (there, self.bench.cluster, MemoryStores(self.store), X509(), AGE, SshSignatures())
        return Surveyor(*looks, unremembered)

    def plan(self, *overrides: str, snapshot: str = "latest") -> Plan:
        whole = inventory(self.root)
        overrides = ("quorum-healthy", *overrides)
        return self.surveyor().plan(
            RestoreRequest(
                "restore-1", "demo", whole.clusters["demo"], whole.stores["here"], snapshot, "ann", overrides
            )
        )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_member_that_runs_as_it_did_at_the_backup_shuts_no_gate(scene: Scene) -> None:
    assert scene.plan().refusals == ()


def test_a_flag_that_was_changed_since_refuses_until_somebody_says_why(scene: Scene) -> None:
    scene.runs(HALF, "b")
    evidence = "b: --quota-backend-bytes is 4294967296, at the backup it was 8589934592"
    assert scene.plan().refusals == (Gate("config-differs", evidence),)
    assert scene.plan("config-differs").refusals == ()


def test_flags_that_were_not_recorded_are_not_compared(scene: Scene) -> None:
    scene.bench.machines["b"].away = True
    scene.bench.clock.now += 60
    scene.bench.carry_out()
    scene.bench.machines["b"].away = False
    scene.runs(HALF, "b")
    assert scene.plan().refusals == ()


@dataclass
class Watched(FakeHosts):
    looks: list[tuple[str, Look]] = field(default_factory=list)

    def survey(self, node: Node, look: Look) -> NodeSeen:
        self.looks.append((node.name, look))
        return FakeHosts.survey(self, node, look)


@pytest.mark.parametrize(("silent", "dialled"), [((), {}), (("a", "b", "c"), {"a": "bc", "c": "ab"})])
def test_nodes_dial_one_another_only_where_nobody_serves_a_read(
    scene: Scene, silent: tuple[str, ...], dialled: dict[str, str]
) -> None:
    """A connection that says nothing leaves a line in the log of a member that works."""
    scene.bench.cluster.silent = set(silent)
    scene.bench.machines["b"].away = True
    hosts, whole = Watched(scene.bench.machines), inventory(scene.root)
    scene.surveyor(hosts).survey("demo", whole.clusters["demo"], whole.stores["here"])
    ports = {
        "a": ("127.0.0.1:1", "127.0.0.1:11"),
        "b": ("127.0.0.2:1", "127.0.0.2:11"),
        "c": ("127.0.0.3:1", "127.0.0.3:11"),
    }
    found = {name: look.dials for name, look in hosts.looks if look.dials}
    assert found == {name: tuple(at for other in others for at in ports[other]) for name, others in dialled.items()}


def test_through_a_jump_host_our_own_address_is_known_all_the_same(scene: Scene) -> None:
    """A node sees the jump host; where etcd is reached directly it sees us too."""
    whole = inventory(scene.root)
    plain = whole.clusters["demo"]
    surveyor = scene.surveyor()
    jumping = plain.model_copy(update={"ssh": plain.ssh.model_copy(update={"jump": Jump(host="10.0.0.8")})})
    found = {each: surveyor.survey("demo", each, whole.stores["here"]).us for each in (plain, jumping)}
    assert (found[plain], "127.0.0.1" in found[jumping]) == (frozenset(), True)


def test_why_a_member_serves_no_read_is_known(scene: Scene) -> None:
    scene.bench.cluster.silent = {"b"}
    whole = inventory(scene.root)
    seen = scene.surveyor().survey("demo", whole.clusters["demo"], whole.stores["here"])
    assert sorted(seen.reads) == ["a", "c"]
    assert seen.unread == {"b": "b: failed to connect"}


def test_where_too_few_members_can_be_running_no_read_is_waited_for(scene: Scene) -> None:
    """One answers and knows of no leader; the others have ended, as their own nodes say."""
    whole, waiting = inventory(scene.root), threading.Event()
    cluster = scene.bench.cluster
    cluster.leader, cluster.silent = "", {"b", "c"}
    surveyor = scene.surveyor()
    object.__setattr__(surveyor, "_read", lambda _: waiting.wait(20))
    for name in ("b", "c"):
        scene.bench.machines[name].units["etcd.service"] = Unit(state="failed", argv=FULL)
    began = time.monotonic()
    try:
        seen = surveyor.survey("demo", whole.clusters["demo"], whole.stores["here"])
    finally:
        waiting.set()
    assert time.monotonic() - began < 10
    assert not seen.has_quorum
    assert seen.unread["a"] == "fewer members run than a quorum has"


@dataclass
class Electing:
    """A cluster whose leader has just died; it votes when it has been asked so often for a read."""

    cluster: FakeCluster
    refusals: int
    kind: type[QuorateError] = Unreachable

    @contextmanager
    def at(self, target: EtcdTarget) -> Iterator[Etcd]:
        with self.cluster.at(target) as etcd:
            yield Elected(self, etcd)


@dataclass
class Elected:
    electing: Electing
    etcd: Etcd

    def look(self) -> EtcdSeen:
        return self.etcd.look()

    def linearizable_revision(self) -> int:
        if self.electing.refusals:
            self.electing.refusals -= 1
            raise self.electing.kind("etcdserver: leader changed")
        self.electing.cluster.leader = "b"
        return self.etcd.linearizable_revision()


@pytest.mark.parametrize(("refusals", "leader"), [(6, "b"), (9999, "")])
def test_an_election_is_waited_for_before_a_quorum_is_called_lost(
    scene: Scene, refusals: int, leader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader was killed a moment ago: the others answer, and know of nobody who leads."""
    monkeypatch.setattr("activities.clusters.surveys.ELECTION_S", 1.0)
    whole, cluster = inventory(scene.root), scene.bench.cluster
    cluster.leader, cluster.silent = "", {"a"}
    surveyor = replace(scene.surveyor(), etcds=Electing(cluster, refusals))
    seen = surveyor.survey("demo", whole.clusters["demo"], whole.stores["here"])
    assert seen.has_quorum is bool(leader)
    assert set(seen.reads) <= {"b", "c"}
    assert {each.leader for each in seen.answering.values()} == {cluster.id_of(leader)}


@pytest.mark.parametrize(("alarms", "kind"), [((("a", "CORRUPT"),), Unreachable), ((), Denied)])
def test_where_something_else_keeps_everybody_from_reading_no_election_is_waited_for(
    scene: Scene, alarms: tuple[tuple[str, str], ...], kind: type[QuorateError]
) -> None:
    whole, cluster = inventory(scene.root), scene.bench.cluster
    cluster.alarms = alarms
    surveyor = replace(scene.surveyor(), etcds=(electing := Electing(cluster, 9999, kind)))
    seen = surveyor.survey("demo", whole.clusters["demo"], whole.stores["here"])
    assert not seen.has_quorum
    assert 9999 - electing.refusals == len(cluster.names)


@pytest.mark.parametrize(
    ("states", "away", "few"),
    [
        (("active", "failed", "failed"), "", True),
        (("active", "active", "failed"), "", False),
        (("failed", "failed", "failed"), "", True),
        (("failed", "failed", "failed"), "b", True),
        (("active", "failed", "failed"), "b", False),  # b may run where nobody can look
        (("failed", "activating", "activating"), "", False),
    ],
)
def test_a_member_that_nobody_saw_ended_may_be_running(
    states: tuple[str, ...], away: str, few: bool, tmp_path: Path
) -> None:
    units = {
        name: UnitSeen("etcd.service", "loaded", state, pid=int(state == "active"))
        for name, state in zip("abc", states, strict=True)
    }
    nodes: dict[str, NodeSeen | Silence] = {
        name: Silence("no route") if name == away else NodeSeen(units={"etcd.service": unit})
        for name, unit in units.items()
    }
    heard: dict[str, EtcdSeen | Silence] = dict.fromkeys("abc", Silence("refused"))
    assert too_few_run(inventory(tmp_path).clusters["demo"], nodes, heard) is few


class TestThousandsOfBackups:
    """A look at a cluster, such as the first screen, reads the newest of what is remembered."""

    MANY = 1100

    def looked(self, scene: Scene, *, within_s: float) -> ClusterSeen:
        whole = inventory(scene.root)
        surveyor = replace(scene.surveyor(), catalogued=lambda at, name: Catalogued(self.memory, at.place, name))
        return replace(surveyor, within_s=within_s).survey("demo", whole.clusters["demo"], whole.stores["here"])

    @pytest.fixture
    def full(self, tmp_path: Path) -> Scene:
        self.memory = PlainMemory()
        scene = Scene(tmp_path)
        for each in map(manifest, range(41, 41 + self.MANY)):
            scene.store.objects |= {each.key: SNAPSHOT_BYTES, each.manifest_key: each.encode()}
        return scene

    def test_the_newest_are_enough_and_those_before_are_counted(self, full: Scene) -> None:
        whole = self.looked(full, within_s=0)
        assert (len(whole.manifests), whole.older) == (self.MANY + 1, 0)
        found = self.looked(full, within_s=150)
        assert (len(found.manifests), found.older) == (LOOKED_AT, self.MANY + 1 - LOOKED_AT)
        assert found.counting[-1] == whole.counting[-1]
        assert found.compared

    def test_the_store_is_asked_for_restores_where_one_was_on_record_when_it_was_compared(self, full: Scene) -> None:
        self.looked(full, within_s=0)
        done = RestoreResult(
            "restore-1", Outcome.RESTORED, "demo/x-41", 41, cluster_id="c2", previous_cluster_id="c0"
        )
        full.store.objects["demo/operations/restore-1/outcome.json"] = result_text(done).encode()
        assert self.looked(full, within_s=150).lineages == ()
        whole = self.looked(full, within_s=0)
        assert [each.operation for each in whole.lineages] == ["restore-1"]
        assert self.looked(full, within_s=150).lineages == whole.lineages

    def test_where_none_of_them_counts_all_are_looked_at(self, full: Scene) -> None:
        for each in latest(full.store.ls("demo/"), LOOKED_AT):
            put(full.store, Mark(home_of(each.key), Kind.QUARANTINED, AT, "ada", "verify-1", "damaged"))
        whole = self.looked(full, within_s=0)
        found = self.looked(full, within_s=150)
        assert (found.manifests, found.older) == (whole.manifests, 0)
        assert len(found.counting) == self.MANY + 1 - LOOKED_AT


@dataclass
class Hanging(FakeHosts):
    """Some of its machines let nobody in, and refuse nobody."""

    hanging: tuple[str, ...] = ()
    over: threading.Event = field(default_factory=threading.Event)

    def survey(self, node: Node, look: Look) -> NodeSeen:
        if node.name in self.hanging:
            self.over.wait(30)
        return FakeHosts.survey(self, node, look)


def test_nobody_who_is_silent_is_waited_for_longer_than_somebody_has_patience(scene: Scene) -> None:
    """Two of three nodes hang, and their members with them; what the third says is told all the same."""
    whole, hosts = inventory(scene.root), Hanging(scene.bench.machines, ("b", "c"))
    scene.bench.cluster.silent, scene.bench.cluster.leader = {"b", "c"}, ""
    surveyor = replace(scene.surveyor(hosts), patience=Patience(0.5, 1.0, 1.0, 0.5))
    object.__setattr__(surveyor, "_read", lambda _: hosts.over.wait(30))
    began = time.monotonic()
    try:
        seen = surveyor.survey("demo", whole.clusters["demo"], whole.stores["here"])
        took_s = time.monotonic() - began
    finally:
        hosts.over.set()
    assert took_s < 10
    assert list(seen.reachable) == ["a"]
    assert seen.unreachable["b"] == Silence("no answer within 1 s")
    assert seen.unread["a"] == "no answer within 0.5 s"
    assert not seen.has_quorum
    assert seen.manifests


class Away(MemoryStores):
    """It refuses nobody, and says nothing."""

    def at(self, settings: StoreSettings) -> Store:
        time.sleep(5)
        raise Unreachable("the store does not answer")


@pytest.mark.parametrize("before", [True, False])
def test_a_store_that_is_away_is_waited_for_only_where_it_may_have_much_to_tell(scene: Scene, before: bool) -> None:
    """Whoever reads ten thousand manifests for the first time is not cut off; whoever has read them needs the new."""
    whole, memory = inventory(scene.root), PlainMemory()
    cluster, store = whole.clusters["demo"], whole.stores["here"]
    surveyor = replace(
        scene.surveyor(),
        catalogued=lambda settings, name: Catalogued(memory, settings.place, name),
        patience=Patience(0.5, 1.0, 0.5, 0.5),
    )
    if before:
        assert surveyor.survey("demo", cluster, store).store == ""
    away = replace(surveyor, stores=Away(scene.store))
    said = away.survey("demo", cluster, store).store
    assert said == ("no answer within 0.5 s" if before else "the store does not answer")
