"""A backup: which member, what is stored, and that a failure leaves nothing that counts."""

import hashlib
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter
from pyrage import x25519
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from activities.adapters.age import Age
from activities.adapters.directory import DirectoryStore
from activities.adapters.own_key import OwnKey
from activities.adapters.secrets import LocalSecrets
from activities.backups.snapshots import Snapshots, streamed
from activities.recording.boundary import Boundary
from activities.recording.recorded import RecordedEtcds, RecordedHosts, RecordedStores
from activities.streams.checksums import drain
from activities.streams.compression import compressed, expanded
from activities.streams.pipeline import ahead
from activities.streams.walking import Walking, learnt
from quorate.audit import Act
from quorate.backup import (
    STEPS,
    BackupProgress,
    BackupResult,
    BackupTask,
    Measured,
    wrong_clock,
)
from quorate.backups.catalogue import Live, Manifest, PagesSeen, load, shelf
from quorate.backups.choosing import choose, findings
from quorate.backups.request import BackupRequest, request
from quorate.command import Node
from quorate.converge import Ran
from quorate.database.content import Content
from quorate.database.pages import TOLD_MAX
from quorate.database.snapshot import PIECE_BYTES
from quorate.errors import BadInput, Corrupt, Denied, Failed, QuorateError, Refusal, Unreachable
from quorate.members.etcd import EtcdSeen, EtcdTarget, HashKV
from quorate.members.listing import LiveKeys
from quorate.nodes.seen import Look, NodeSeen
from quorate.ports import Disks, Etcds
from quorate.ports import Store as StorePort
from quorate.records import Entry
from quorate.settings.policies import Lock
from quorate.settings.stores import Store
from tests.factory import inventory
from tests.factory import node as node_named
from tests.fakes import database
from tests.fakes.etcd import CLUSTER, NAMES, FakeCluster, seen
from tests.fakes.machine import FakeHosts, Machine, Unit
from tests.fakes.store import MemoryStore, MemoryStores
from tests.fakes.uploads import MemoryUploads
from tests.real_etcd import ETCDS, MINORS, restored, running
from workflows.backup import Backup
from workflows.patience import STREAMS_QUEUE

pytestmark = pytest.mark.slow

SETTINGS = Store(directory="/unused")
AGE = Age(LocalSecrets({}))
KEY = OwnKey(Ed25519PrivateKey.generate())
HEALTHY = {name: seen(name) for name in NAMES}


class TestChoosing:
    def test_a_follower_is_taken_before_the_leader(self) -> None:
        assert choose(HEALTHY, 100) == "b"

    def test_the_leader_is_taken_when_no_other_will_do(self) -> None:
        assert choose({**HEALTHY, "b": "refused", "c": seen("c", learner=True)}, 100) == "a"

    def test_a_member_that_is_behind_is_not_taken(self) -> None:
        assert choose({**HEALTHY, "b": seen("b", revision=99)}, 100) == "c"

    @pytest.mark.parametrize(
        ("other", "reason"),
        [
            ("failed to connect", "a did not answer: failed to connect"),
            (seen("a", learner=True), "a is a learner"),
            (seen("a", leader=""), "a knows of no leader"),
            (seen("a", revision=99), "a is behind: at revision 99, the cluster at 100"),
            (seen("a", alarms=(("a", "CORRUPT"),)), "a has the alarm CORRUPT"),
            (seen("a", alarms=(("0", "CORRUPT"),)), "a has the alarm CORRUPT"),
        ],
    )
    def test_a_refusal_says_of_each_member_why_not(self, other: EtcdSeen | str, reason: str) -> None:
        with pytest.raises(Refusal, match=f"{reason}; b is a learner; c knows of no leader"):
            choose({"a": other, "b": seen("b", learner=True), "c": seen("c", leader="")}, 100)

    def test_the_one_that_is_wanted_is_taken_or_none(self) -> None:
        assert choose(HEALTHY, 100, "a") == "a"
        with pytest.raises(Refusal, match="no member can be backed up: c is a learner$"):
            choose({**HEALTHY, "c": seen("c", learner=True)}, 100, "c")

    def test_a_member_of_another_cluster_is_not_taken(self) -> None:
        assert choose({"a": HEALTHY["a"], "b": seen("b", cluster_id="c1"), "c": HEALTHY["c"]}, 100) == "c"

    def test_another_members_corruption_is_not_this_ones(self) -> None:
        alarms = (("b", "CORRUPT"),)
        assert choose({name: replace(each, alarms=alarms) for name, each in HEALTHY.items()}, 100) == "c"

    def test_a_full_database_can_be_backed_up_and_is_a_finding(self) -> None:
        full = {name: replace(each, alarms=(("b", "NOSPACE"),)) for name, each in HEALTHY.items()}
        assert choose(full, 100) == "b"
        assert findings(full) == ("member b has raised the alarm NOSPACE",)

    def test_a_silent_member_and_a_foreign_one_are_findings(self) -> None:
        assert findings({"a": HEALTHY["a"], "b": "refused", "c": seen("c", cluster_id="c1")}) == (
            "b did not answer: refused",
            f"the members belong to different clusters: {CLUSTER}, c1",
        )


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ((1000.0, 1010.0), ""),
        ((0.0, 0.0), ""),
        ((1000.0, 4700.0), ""),  # one of them is wrong, and it is not ours
        ((4605.0, 4700.0), "is 3600 s behind that of every node"),
        ((-2600.0, -2610.0), "is 3600 s ahead of that of every node"),
    ],
)
def test_a_clock_of_ours_that_no_node_agrees_with_is_a_finding(nodes: tuple[float, float], said: str) -> None:
    found = wrong_clock({**dict(zip("ab", map(NodeSeen, nodes), strict=True)), "c": "away"}, 1000.0, 1005.0)
    assert [said in each for each in found] == ([True] if said else [])


def test_a_request_carries_references_and_no_secret(tmp_path: Path) -> None:
    made = request(inventory(tmp_path), "demo", "backup-1", "ada")
    assert made.targets[0] == EtcdTarget("a", "http://127.0.0.1:11")
    assert [target.name for target in made.targets] == ["a", "b", "c"]
    assert made.store.url == f"file://{tmp_path}/store"
    with pytest.raises(BadInput, match="demo has no member z; members: a, b, c"):
        request(inventory(tmp_path), "demo", "backup-1", "ada", member="z")
    with pytest.raises(BadInput, match="there is no cluster nope; known: demo"):
        request(inventory(tmp_path), "nope", "backup-1", "ada")


@dataclass
class Notebook:
    """A journal that remembers."""

    acts: list[str] = field(default_factory=list)

    def intent(self, act: Act) -> int:
        self.acts.append(f"{act.step} {act.place}: {' '.join(act.argv)}")
        return len(self.acts)

    def outcome(self, seq: int, ran: Ran | BaseException) -> None:
        self.acts[seq - 1] += f" -> {type(ran).__name__}"


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds


def a_cluster() -> FakeCluster:
    cluster = FakeCluster()
    for number in range(500):
        cluster.add(f"/registry/pods/{number % 40}", b"v" * 900)
    cluster.add("/elsewhere", b"x")
    return cluster


def machines() -> dict[str, Machine]:
    argv = ("/usr/bin/etcd", "--quota-backend-bytes", "8589934592", "--auth-token=jwt,priv-key=/k")
    return {name: Machine(name, units={"etcd.service": Unit(argv=argv)}) for name in NAMES}


@dataclass
class Bench:
    """The activities of a backup, one after another, on fakes or on the real thing."""

    cluster: Etcds = field(default_factory=a_cluster)
    store: StorePort = field(default_factory=MemoryStore)
    members: tuple[EtcdTarget, ...] = tuple(EtcdTarget(name, f"https://{name}:2379") for name in NAMES)
    machines: dict[str, Machine] = field(default_factory=machines)
    name: str = "prod"
    notes: Notebook = field(default_factory=Notebook)
    clock: Clock = field(default_factory=Clock)
    beats: list[str] = field(default_factory=list)
    environment: ActivityEnvironment = field(default_factory=ActivityEnvironment)
    recipients: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    accepted: str = ""
    compare_bytes: int = 1 << 30
    rate_bytes_s: int = 0
    lock: Lock | None = None
    when_sick: str = "refuse"
    uploads: MemoryUploads = field(default_factory=MemoryUploads)
    disks: Disks | None = None

    @property
    def snapshots(self) -> Snapshots:
        etcds = RecordedEtcds(self.cluster, self.journal, self.clock)
        stores = RecordedStores(MemoryStores(self.store), self.journal, self.clock)
        hosts = RecordedHosts(FakeHosts(self.machines), self.journal, self.clock)
        beats = self.beats.append
        return Snapshots(etcds, stores, hosts, AGE, KEY, self.uploads, self.clock, beats, self.disks)

    def journal(self, _: str) -> Notebook:
        return self.notes

    def request(self) -> BackupRequest:
        nodes = tuple(node_named(name) for name in self.machines)
        made = BackupRequest(
            "backup-1", self.name, self.members, SETTINGS, "ada", nodes, Look(units=("etcd.service",))
        )
        return replace(
            made,
            recipients=self.recipients,
            identities=self.identities,
            shrink_percent=50,
            compare_bytes=self.compare_bytes,
            rate_bytes_s=self.rate_bytes_s,
            accepted=self.accepted,
            lock=self.lock,
            when_sick=self.when_sick,
        )

    def chosen(self) -> BackupTask:
        task = BackupTask(self.request(), "choose", 1)
        return replace(task, choice=self.environment.run(self.snapshots.choose, task))

    def streamed(self) -> BackupTask:
        task = replace(self.chosen(), turn=2, step="stream")
        return replace(task, streamed=self.environment.run(self.snapshots.stream, task))

    def read_back(self) -> BackupTask:
        task = replace(self.streamed(), turn=3, step="read-back")
        return replace(task, read_back=self.environment.run(self.snapshots.read_back, task))

    def publish(self, task: BackupTask) -> BackupResult:
        return self.environment.run(self.snapshots.publish, replace(task, turn=4, step="publish"))

    def carry_out(self) -> BackupResult:
        return self.publish(self.read_back())

    def manifest(self) -> Manifest:
        (only,) = load(self.store, self.name)
        return only


def sent(cluster: FakeCluster, name: str = "b") -> bytes:
    with cluster.at(EtcdTarget(name, "")) as etcd:
        return b"".join(etcd.snapshot())


class TestSteps:
    def test_a_backup_is_verified_and_its_manifest_says_how(self) -> None:
        cluster, store = a_cluster(), MemoryStore()
        bench = Bench(cluster, store)
        result = bench.carry_out()
        manifest, whole = bench.manifest(), sent(cluster)
        assert result.outcome == manifest.outcome == "verified"
        assert result.snapshot == manifest.id == "prod/20270115T080000Z-502"
        assert manifest.key == f"prod/{CLUSTER}/20270115T080000Z-502/snapshot.db.zst"
        assert (manifest.revision, manifest.size_bytes) == (cluster.revision, len(whole))
        assert manifest.sha256 == hashlib.sha256(whole).hexdigest()
        assert manifest.db_sha256 == whole[-32:].hex()
        assert manifest.stored_sha256 == hashlib.sha256(store.objects[manifest.key]).hexdigest()
        assert manifest.stored_bytes == len(store.objects[manifest.key])
        assert manifest.source.name == "b"
        assert manifest.keys == {"": 41, "/registry/": 40}
        assert manifest.live == {"": Live(keys=1, leased=0), "/registry/pods": Live(keys=40, leased=0)}
        assert manifest.content
        assert (manifest.content.records, manifest.content.prefixes) == (501, {"": 1, "/registry/pods": 500})
        assert manifest.pages == PagesSeen(used=(len(whole) - 32) // database.PAGE, free=0, torn=0)
        assert manifest.hash_kv
        assert manifest.hash_kv.revision == manifest.revision
        assert [member.name for member in manifest.members] == ["a", "b", "c"]
        assert (manifest.operation, manifest.actor) == ("backup-1", "ada")

    def test_it_records_the_flags_that_every_member_runs_with_and_no_secret(self) -> None:
        bench = Bench()
        result = bench.carry_out()
        flags = {"quota-backend-bytes": "8589934592", "auth-token": "***"}
        assert bench.manifest().flags == dict.fromkeys(NAMES, flags)
        assert result.notes == ()

    def test_a_node_that_does_not_answer_is_a_note_and_the_backup_as_good(self) -> None:
        bench = Bench()
        bench.machines["b"].away = True
        bench.machines["c"].units["etcd.service"] = Unit("failed", argv=("/usr/bin/etcd", "$ETCD_OPTS"))
        result = bench.carry_out()
        assert (result.outcome, result.findings) == ("verified", ())
        assert list(bench.manifest().flags) == ["a"]
        assert result.notes == (
            "the flags of b are not recorded: b does not answer",
            "the flags of c are not recorded: it does not run, and its unit does not say them all",
        )

    def test_a_node_that_hangs_holds_up_no_backup(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bench, thaw = Bench(), threading.Event()
        looked = FakeHosts.survey

        def survey(hosts: FakeHosts, node: Node, look: Look) -> NodeSeen:
            if node.name == "b":
                thaw.wait(30)
            return looked(hosts, node, look)

        monkeypatch.setattr(FakeHosts, "survey", survey)
        began = time.monotonic()
        result = bench.carry_out()
        took_s = time.monotonic() - began
        thaw.set()
        assert took_s < 5
        assert result.notes == ("the flags of b are not recorded: its node did not answer in time",)

    def test_a_request_of_an_earlier_version_records_none(self) -> None:
        bench = Bench(machines={})
        assert bench.carry_out().outcome == "verified"
        assert bench.manifest().flags == {}

    @pytest.mark.parametrize("rate_bytes_s", [0, 1000])
    def test_a_member_sends_no_faster_than_it_may(self, rate_bytes_s: int) -> None:
        bench = Bench(rate_bytes_s=rate_bytes_s)
        began = bench.clock.now
        size_bytes = bench.carry_out().size_bytes
        assert bench.clock.now - began == pytest.approx(size_bytes / rate_bytes_s if rate_bytes_s else 0)

    def test_zstd_alone_gives_the_bytes_that_etcd_sent(self) -> None:
        cluster, store = a_cluster(), MemoryStore()
        bench = Bench(cluster, store)
        bench.carry_out()
        stored = store.objects[bench.manifest().key]
        assert zstandard.ZstdDecompressor().decompressobj().decompress(stored) == sent(cluster)

    def test_every_act_is_on_record_before_the_manifest_is_there(self) -> None:
        bench = Bench()
        bench.carry_out()
        where = f"prod/{CLUSTER}/20270115T080000Z-502"
        asked, rest = ([act for act in bench.notes.acts if ("hashkv" in act) is wanted] for wanted in (True, False))
        assert asked == [f"stream {name}: etcd hashkv 502 -> Ran" for name in "bca"]  # while the store finishes
        assert rest == [
            "stream b: etcd snapshot -> Ran",
            f"stream file:///unused: store put {where}/snapshot.db.zst -> Ran",
            f"read-back file:///unused: store get {where}/snapshot.db.zst -> Ran",
            f"publish file:///unused: store put {where}/manifest.json -> Ran",
        ]

    def test_a_member_that_catches_up_is_waited_for(self) -> None:
        cluster = a_cluster()
        cluster.behind = dict.fromkeys(NAMES, 1)
        bench = Bench(cluster)

        def sleep(seconds: float) -> None:
            bench.clock.now += seconds
            cluster.behind = {"b": 1}

        bench.clock.sleep = sleep  # type: ignore[method-assign]
        assert bench.chosen().choice.target.name == "c"  # type: ignore[union-attr]

    def test_a_cluster_whose_members_stay_behind_is_refused(self) -> None:
        cluster = a_cluster()
        cluster.behind = dict.fromkeys(NAMES, 1)
        with pytest.raises(Refusal, match="c is behind: at revision 501, the cluster at 502"):
            Bench(cluster).chosen()

    def test_without_quorum_there_is_no_backup(self) -> None:
        cluster = a_cluster()
        cluster.leader = ""
        with pytest.raises(Unreachable, match="no member of prod answers a linearizable read"):
            Bench(cluster).chosen()

    def test_a_stream_stops_when_the_leader_changes(self) -> None:
        cluster = a_cluster()
        bench = Bench(cluster)

        def slow(blobs: Iterator[bytes]) -> Iterator[bytes]:
            for blob in blobs:
                yield blob
                bench.clock.now += 2
                cluster.leader = "b"

        cluster.sends = slow
        with pytest.raises(Unreachable, match="the leader was a in term 2 and is b in term 2 while b was sending"):
            bench.streamed()
        assert isinstance(bench.store, MemoryStore)
        assert bench.store.objects == {}

    def test_a_sick_cluster_is_backed_up_where_the_policy_says_so(self) -> None:
        """Without quorum, of the member that knows most; nobody vouches for it, and it says so."""
        cluster = a_cluster()
        cluster.leader, cluster.behind, cluster.silent = "", {"a": 5, "b": 0}, {"c"}
        result = replace(Bench(cluster), when_sick="degraded").carry_out()
        assert (result.outcome, result.member) == ("degraded", "b")
        assert result.findings[0].startswith("taken although no member of prod answers a linearizable read")
        assert "c did not answer" in " ".join(result.findings)

    def test_of_a_sick_cluster_the_member_that_is_not_corrupt_comes_first(self) -> None:
        cluster = a_cluster()
        cluster.leader, cluster.behind = "", {"c": 3}
        cluster.alarms = ((cluster.id_of("a"), "CORRUPT"), (cluster.id_of("b"), "CORRUPT"))
        assert replace(Bench(cluster), when_sick="degraded").carry_out().member == "c"

    def test_a_cluster_that_is_well_does_not_notice_the_policy(self) -> None:
        assert replace(Bench(), when_sick="degraded").carry_out() == Bench().carry_out()

    def test_where_nobody_answers_there_is_nothing_to_take(self) -> None:
        cluster = a_cluster()
        cluster.silent = set(NAMES)
        with pytest.raises(Refusal, match="sick as the cluster is: a did not answer"):
            replace(Bench(cluster), when_sick="degraded").chosen()

    def test_a_silent_member_is_passed_over_and_degrades_the_backup(self) -> None:
        cluster = a_cluster()
        cluster.silent = {"b"}
        bench = Bench(cluster)
        result = bench.carry_out()
        assert (result.outcome, result.member) == ("degraded", "c")
        assert result.findings == ("b did not answer: b: failed to connect",)

    def test_a_hash_that_cannot_be_had_degrades_the_backup(self) -> None:
        cluster = a_cluster()

        def compacted(_: HashKV) -> HashKV:
            raise Failed("required revision has been compacted")

        cluster.hashing = compacted
        bench = Bench(cluster)
        result = bench.carry_out()
        assert result.outcome == "degraded"
        assert "compacted" in result.findings[0]
        assert bench.manifest().hash_kv is None


def cut(blobs: Iterator[bytes]) -> Iterator[bytes]:
    yield next(blobs)


def broken(blobs: Iterator[bytes]) -> Iterator[bytes]:
    yield next(blobs)
    raise Unreachable("snapshot of b: connection reset")


def flipped(blobs: Iterator[bytes]) -> Iterator[bytes]:
    first = bytearray(next(blobs))
    first[20_000] ^= 1
    yield bytes(first)
    yield from blobs


def wrong_trailer(blobs: Iterator[bytes]) -> Iterator[bytes]:
    *most, _ = blobs
    yield from (*most, bytes(32))


def no_trailer(blobs: Iterator[bytes]) -> Iterator[bytes]:
    *most, _ = blobs
    yield from most


def older(_: Iterator[bytes]) -> Iterator[bytes]:
    return database.blobs(database.of_revisions(2, 400))


def junk(_: Iterator[bytes]) -> Iterator[bytes]:
    yield b"not a database"


class TestFailures:
    @pytest.mark.parametrize(
        ("sends", "kind"),
        [
            (cut, Corrupt),
            (broken, Unreachable),
            (flipped, Corrupt),
            (wrong_trailer, Corrupt),
            (no_trailer, Corrupt),
            (older, Corrupt),
            (junk, Corrupt),
            (lambda _: iter(()), Corrupt),
        ],
        ids=lambda each: getattr(each, "__name__", ""),
    )
    def test_a_snapshot_that_is_not_sound_is_never_stored(
        self, sends: Callable[[Iterator[bytes]], Iterator[bytes]], kind: type[QuorateError]
    ) -> None:
        cluster, store = a_cluster(), MemoryStore()
        cluster.sends = sends
        with pytest.raises(kind):
            Bench(cluster, store).carry_out()
        assert store.objects == {}

    def test_a_store_that_refuses_a_part_leaves_no_manifest(self) -> None:
        store = MemoryStore(refuses=lambda _, size_bytes: Denied("no space") if size_bytes > 100 else None)
        with pytest.raises(Denied):
            Bench(store=store).carry_out()
        assert store.objects == {}

    @pytest.mark.parametrize(
        "gives_back",
        [
            lambda _, data: data[:-1],
            lambda _, data: data[:100],
            lambda _, data: b"",
            lambda _, data: data + b"x",
            lambda _, data: data + data,
            lambda _, data: data[:50] + bytes((data[50] ^ 1,)) + data[51:],
            lambda _, data: zstandard.compress(b"something else"),
        ],
    )
    def test_a_store_that_gives_back_something_else_leaves_no_manifest(
        self, gives_back: Callable[[str, bytes], bytes]
    ) -> None:
        store = MemoryStore(gives_back=gives_back)
        with pytest.raises(Corrupt):
            Bench(store=store).carry_out()
        store.gives_back = lambda _, data: data
        assert shelf(store, "prod").manifests == ()
        assert not any(key.endswith("manifest.json") for key in store.objects)

    def test_an_attempt_that_died_after_its_last_byte_is_not_in_the_way(self) -> None:
        bench = Bench()
        bench.streamed()  # its answer was lost with the worker
        bench.clock.now += 6
        bench.carry_out()
        assert bench.manifest().id == "prod/20270115T080006Z-502"

    def test_two_attempts_in_one_second_are_told_apart_by_trying_again(self) -> None:
        bench = Bench()
        bench.streamed()
        with pytest.raises(Failed, match="another attempt began in the same second") as caught:
            bench.streamed()
        assert caught.value.retryable

    def test_what_a_killed_attempt_left_half_done_is_swept_by_the_next(self) -> None:
        other = "other/c1/x/snapshot.db.zst"
        store = MemoryStore(half_done={f"prod/{CLUSTER}/x/snapshot.db.zst": b"", other: b""})
        Bench(store=store).streamed()
        assert list(store.half_done) == [other]

    def test_what_another_machine_is_storing_is_left_alone_and_said(self) -> None:
        key = f"prod/{CLUSTER}/x/snapshot.db.zst"
        bench = Bench()
        store = MemoryStore(half_done={key: b""}, began=bench.clock.now - 3)
        result = replace(bench, store=store).carry_out()
        assert list(store.half_done) == [key]
        assert result.outcome == "degraded"
        assert f"another machine is storing {key}, and last did 3 s ago" in result.findings[0]

    def test_what_another_machine_has_not_moved_for_an_hour_is_dead(self) -> None:
        bench = Bench()
        store = MemoryStore(half_done={f"prod/{CLUSTER}/x/snapshot.db.zst": b""}, began=bench.clock.now - 3601)
        assert replace(bench, store=store).carry_out().outcome == "verified"
        assert store.half_done == {}

    def test_what_this_machine_has_left_is_ended_at_once_and_what_it_is_storing_is_not(self) -> None:
        dead, alive = (f"prod/{CLUSTER}/{name}/snapshot.db.zst" for name in ("dead", "alive"))
        bench = Bench()
        store = MemoryStore(half_done={dead: b"", alive: b""}, began=bench.clock.now)
        bench = replace(bench, store=store)
        bench.uploads.noted.add((SETTINGS.url, dead))
        with bench.uploads.storing(SETTINGS.url, alive):
            assert bench.carry_out().outcome == "verified"
        assert list(store.half_done) == [alive]
        assert bench.uploads.noted == set()

    def test_publishing_again_is_publishing(self) -> None:
        bench = Bench()
        task = bench.read_back()
        assert bench.publish(task) == bench.publish(task)

    def test_another_manifest_under_the_same_key_is_not_overwritten(self) -> None:
        store = MemoryStore()
        bench = Bench(store=store)
        task = bench.read_back()
        first = bench.publish(task)
        with pytest.raises(QuorateError, match="it is there already"):
            bench.publish(replace(task, request=replace(task.request, operation="backup-2")))
        assert bench.manifest().operation == first.operation

    def test_a_cancelled_backup_stops_and_leaves_nothing(self) -> None:
        cluster, store = a_cluster(), MemoryStore()

        def endless(blobs: Iterator[bytes]) -> Iterator[bytes]:
            yield next(blobs)
            while True:
                time.sleep(0.01)
                yield bytes(4096)

        cluster.sends = endless
        bench = Bench(cluster, store)
        task = replace(bench.chosen(), turn=2, step="stream")
        threading.Timer(0.2, bench.environment.cancel).start()
        with pytest.raises(CancelledError):
            bench.environment.run(bench.snapshots.stream, task)
        assert store.objects == {}
        assert bench.beats


class TestContent:
    def test_a_page_in_use_that_is_damaged_is_named_and_there_is_no_manifest(self) -> None:
        """Sound for all that etcd says of it, which sums up what it reads from its own disk."""
        bench = Bench(FakeCluster(revision=100, sends=damaged))
        with pytest.raises(Corrupt, match="page 3 of the database, which is in use, is damaged: its keys are out of"):
            bench.carry_out()
        assert load(bench.store, "prod") == ()

    def test_pages_that_were_not_told_are_learnt_by_one_more_reading(self) -> None:
        told, learnt = Bench(), Bench()
        told.carry_out()
        task = learnt.streamed()
        task = replace(task, streamed=replace(streamed(task), uses=""), turn=3, step="read-back")
        found = learnt.environment.run(learnt.snapshots.read_back, task)
        learnt.publish(replace(task, read_back=found))
        assert learnt.manifest().content == told.manifest().content
        assert learnt.manifest().pages == told.manifest().pages
        assert [sum("store get" in act for act in each.notes.acts) for each in (told, learnt)] == [1, 2]

    def test_the_largest_that_is_handed_on_is_a_payload_below_128_kib(self) -> None:
        names = tuple("abcdefg")
        flags = {"name": "/usr/bin/etcd", "initial-cluster": ",".join(f"{n}=https://{n}:2380" for n in names)}
        task = Bench(
            FakeCluster(names=names),
            members=tuple(EtcdTarget(name, f"https://{name}:2379") for name in names),
            machines={name: Machine(name, units={"etcd.service": Unit(argv=("/usr/bin/etcd",))}) for name in names},
        ).read_back()
        assert task.choice
        known = replace(task.choice, flags=dict.fromkeys(names, flags | {f"flag-{n}": "x" * 40 for n in range(40)}))
        live = {f"/registry/{'n' * 60}{number}": LiveKeys(1 << 40, 1 << 40) for number in range(41)}
        assert streamed(task).keys
        put = replace(streamed(task), uses="x" * TOLD_MAX)
        full = replace(task, choice=known, streamed=replace(put, live=live))
        assert task.read_back
        members = Measured(put.keys, put.hash_kv, live)
        late = replace(full, streamed=replace(put, keys={}), read_back=replace(task.read_back, measured=members))
        assert [len(TypeAdapter(BackupTask).dump_json(each)) < 128 << 10 for each in (full, late)] == [True, True]

    def test_what_nobody_could_open_has_no_content(self) -> None:
        bench = Bench(recipients=(str(x25519.Identity.generate().to_public()),))
        bench.carry_out()
        assert (bench.manifest().content, bench.manifest().pages) == (None, None)
        assert bench.manifest().live

    def test_leased_keys_are_counted_apart(self) -> None:
        cluster = a_cluster()
        cluster.leased = {"/registry/pods/3", "/registry/pods/4"}
        bench = Bench(cluster)
        bench.carry_out()
        assert bench.manifest().live["/registry/pods"] == Live(keys=40, leased=2)


def damaged(_: Iterator[bytes]) -> Iterator[bytes]:
    rows = [(database.key(revision), b"value") for revision in (*range(2, 90), 1, *range(90, 101))]
    return database.blobs(database.snapshot(database.database([rows])))


class TestPipeline:
    def test_reading_ahead_changes_nothing_and_keeps_order(self) -> None:
        with ahead(iter([b"a", b"b", b"c"]), 1, ignore) as items:
            assert list(items) == [b"a", b"b", b"c"]

    def test_an_error_of_the_source_is_raised_where_it_is_read(self) -> None:
        def failing() -> Iterator[bytes]:
            yield b"a"
            raise Corrupt("bad")

        with ahead(failing(), 1, ignore) as items, pytest.raises(Corrupt):
            list(items)

    def test_a_reader_ends_when_nobody_reads_on(self) -> None:
        before = threading.active_count()
        with ahead((b"x" for _ in range(10_000)), 1, ignore) as items:
            next(items)
        assert threading.active_count() == before

    def test_what_expands_enormously_is_expanded_in_small_pieces(self) -> None:
        packed = b"".join(compressed(bytes(1 << 20) for _ in range(64)))
        assert len(packed) < 10_000
        sizes = [len(piece) for piece in expanded(iter([packed]), "x")]
        assert (sum(sizes), max(sizes)) == (64 << 20, PIECE_BYTES)

    def test_what_is_not_compressed_is_corrupt(self) -> None:
        with pytest.raises(Corrupt, match="x cannot be decompressed"):
            list(expanded(iter([b"plain text, and plenty of it"]), "x"))


def ignore(_: str) -> None:
    return


@contextmanager
def workers(temporal: WorkflowEnvironment, bench: Bench) -> Iterator[tuple[Worker, Worker]]:
    snapshots = bench.snapshots
    with ThreadPoolExecutor(4) as pool:
        yield (
            Worker(temporal.client, task_queue="backup-tests", workflows=[Backup], max_cached_workflows=0),
            Worker(
                temporal.client,
                task_queue=STREAMS_QUEUE,
                activities=[snapshots.choose, snapshots.stream, snapshots.read_back, snapshots.publish, sealed],
                activity_executor=pool,
                interceptors=[Boundary()],
            ),
        )


@activity.defn(name="ledger.seal")
def sealed(entry: Entry) -> None:
    """The record is the ledger's business."""


@pytest.mark.server
class TestWorkflow:
    async def test_it_takes_every_step_and_answers_for_scripts(self, temporal: WorkflowEnvironment) -> None:
        bench = Bench()
        with workers(temporal, bench) as (flows, streams):
            async with flows, streams:
                handle = await self.begin(temporal, bench)
                result = await handle.result()
                progress = await handle.query(Backup.progress)
        assert result.outcome == "verified"
        assert result.snapshot == bench.manifest().id
        assert progress == BackupProgress("backup-1", "publish", "Publish the manifest", 5, 6)

    async def test_a_failure_reaches_the_client_as_its_kind(self, temporal: WorkflowEnvironment) -> None:
        cluster = a_cluster()
        cluster.sends = wrong_trailer
        bench = Bench(cluster)
        with workers(temporal, bench) as (flows, streams):
            async with flows, streams:
                handle = await self.begin(temporal, bench)
                with pytest.raises(WorkflowFailureError) as caught:
                    await handle.result()
        error = caught.value.cause
        assert isinstance(error, ApplicationError)
        assert (error.type, error.details[0]) == ("corrupt", 7)
        assert "its trailer says" in error.message
        assert load(bench.store, "prod") == ()

    async def test_a_stream_that_broke_is_tried_again_as_a_whole(self, temporal: WorkflowEnvironment) -> None:
        cluster = a_cluster()

        def broken_once(blobs: Iterator[bytes]) -> Iterator[bytes]:
            cluster.sends = lambda all_: all_
            return broken(blobs)

        cluster.sends = broken_once
        bench = Bench(cluster)
        with workers(temporal, bench) as (flows, streams):
            async with flows, streams:
                assert (await (await self.begin(temporal, bench)).result()).outcome == "verified"
        assert [act for act in bench.notes.acts if "etcd snapshot" in act] == ["stream b: etcd snapshot -> Ran"] * 2

    async def begin(self, temporal: WorkflowEnvironment, bench: Bench) -> WorkflowHandle[Backup, BackupResult]:
        return await temporal.client.start_workflow(
            Backup.run, bench.request(), id=f"quorate/{uuid4()}/backup", task_queue="backup-tests"
        )


@pytest.mark.server
@pytest.mark.parametrize("minor", MINORS)
def test_a_real_backup_restores_to_the_revision_of_its_manifest(minor: str, tmp_path: Path) -> None:
    store = DirectoryStore(str(tmp_path / "store"))
    with running(minor, tmp_path, ("a", "b", "c")) as cluster:
        bench = Bench(ETCDS, store, tuple(member.target for member in cluster.members))
        with cluster.first.at() as etcd:
            for number in range(300):
                etcd.put(f"/registry/{number % 70}", b"v" * number * 10)
            etcd.compact(etcd.delete("/registry/1"))
            revision = etcd.put("/registry/2", b"at a compacted revision 3.4 would not hash")
        result = bench.carry_out()
    assert (result.outcome, result.revision) == ("verified", revision)
    assert result.snapshot.endswith(f"-{revision}")
    assert bench.manifest().keys == {"": 69, "/registry/": 69}
    whole, manifest = b"".join(expanded(store.get(result.key), "x")), bench.manifest()
    (tmp_path / "snapshot.db").write_bytes(whole)
    assert manifest.content
    assert manifest.content.prefixes == {"/registry": manifest.content.records}
    with restored(minor, tmp_path / "snapshot.db", tmp_path) as etcd:
        assert etcd.linearizable_revision() == manifest.revision
        assert content_of(tuple(etcd.snapshot())).digest == manifest.content.digest
        etcd.put("/registry/1", b"one more")
        assert content_of(tuple(etcd.snapshot())).digest != manifest.content.digest


def content_of(blobs: tuple[bytes, ...]) -> Content:
    walking = Walking(learnt(blobs, 0))
    drain(walking.of(blobs))
    return walking.walked().content


@pytest.mark.server
def test_memory_does_not_grow_with_the_database() -> None:
    """Measured in processes of their own: the most that was ever resident, above what it was before."""
    small, large = (grown_mib(size_mib) for size_mib in (64, 512))
    assert large < 64
    assert large - small < 24


def grown_mib(size_mib: int) -> int:
    program = f"from tests.workflows.test_backup import measure; measure({size_mib})"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return int(answer.stdout.split()[-1])


def measure(size_mib: int) -> None:
    """A whole backup with a made-up database of that size, into a directory."""
    cluster = a_cluster()
    cluster.sends = lambda _: database.large(size_mib)
    cluster.revision, cluster.history = 100, []
    with TemporaryDirectory() as folder:
        bench = Bench(cluster, DirectoryStore(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert bench.carry_out().size_bytes > size_mib << 20
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)  # noqa: T201


class TestRunbook:
    text = (Path(__file__).parents[2] / "runbooks" / "backup.md").read_text()

    def test_its_headings_are_the_steps(self) -> None:
        assert re.findall(r"^## \d+\. (.+)$", self.text, re.MULTILINE) == [step.title for step in STEPS]

    def test_it_opens_with_when_and_what_is_lost(self) -> None:
        bold = re.findall(r"^\*\*(.+?)\.?\*\*", self.text, re.MULTILINE)
        assert bold[:4] == ["When", "Not when", "You lose", "You keep"]
