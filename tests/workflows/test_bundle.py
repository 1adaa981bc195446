"""What a snapshot does not hold is beside it: encrypted, proved, copied, and nowhere else."""

import asyncio
import io
import json
import subprocess
import tarfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import zstandard
from pydantic import TypeAdapter
from pyrage import decrypt, x25519
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.adapters.directory import DirectoryStore
from activities.adapters.x509 import X509
from activities.backups.bundling import Bundling
from activities.backups.copying import copied
from activities.backups.unbundling import pulled, unsound
from activities.recording.boundary import Boundary
from activities.recording.recorded import RecordedFiles, RecordedHosts, RecordedStores
from deploy.lab.pki import authority
from quorate.backup import BackupProgress, BackupResult, BackupTask, ReadBack
from quorate.backups.bundle import (
    Bundled,
    FileSeen,
    by_node,
    fitting,
    flags_of,
    listed,
    listing,
    needed,
)
from quorate.backups.catalogue import Manifest, parse
from quorate.backups.request import NO_RECIPIENTS, BundleRequest, request, told
from quorate.converge import Ran
from quorate.errors import BadInput, Corrupt, Denied
from quorate.inventories.reading import parse as parsed
from quorate.nodes.packed import packing, unpacked
from quorate.nodes.seen import Look, NodeSeen, UnitSeen
from quorate.settings.policies import UNENCRYPTED
from tests.factory import INVENTORY
from tests.fakes.machine import FakeHosts, Machine, Unit
from tests.fakes.store import MemoryStore, MemoryStores
from tests.worker.test_cli import Cli
from tests.workflows.test_backup import AGE, Bench, Notebook, a_cluster, sealed
from workflows.backup import Backup
from workflows.patience import STREAMS_QUEUE

pytestmark = pytest.mark.slow

CA, OTHER = authority("etcd-ca"), authority("another")
SERVER = CA.sign("a", hosts=("127.0.0.1",))
SECRET = "the key that opens every Secret"
FILES = {
    "/etc/systemd/system/etcd.service": "[Service]\nExecStart=/usr/bin/etcd",
    "/etc/default/etcd.service": "ETCD_NAME=a",
    "/etc/etcd/server.crt": SERVER.cert.decode(),
    "/etc/etcd/server.key": SERVER.key.decode(),
    "/etc/etcd/ca.crt": CA.pair.cert.decode(),
    "/etc/etcd/root.pem": CA.pair.key.decode(),  # a CA key that is not called one
    "/etc/kubernetes/pki/ca.key": OTHER.pair.key.decode(),
    "/etc/kubernetes/pki/enc.yaml": SECRET,
    "/etc/kubernetes/scheduler.conf": "users:\n- user:\n    client-key: /opt/keys/scheduler.key\n",
    "/opt/keys/scheduler.key": "of the scheduler",
    "/etc/passwd-": "of nobody's business",
}
ARGV = ("/usr/bin/etcd", "--cert-file=/etc/etcd/server.crt", "--key-file=/etc/etcd/server.key",
        "--trusted-ca-file=/etc/etcd/ca.crt,/etc/etcd/root.pem", "--data-dir=/var/lib/etcd/default")  # fmt: skip


def machines(**more: str) -> dict[str, Machine]:
    files = {**FILES, **{f"/{name}": text for name, text in more.items()}}
    return {n: Machine(n, dict(files), units={"etcd.service": Unit(argv=ARGV)}) for n in "abc"}


@dataclass
class Heard(Notebook):
    """With what was kept of every answer."""

    kept: list[str] = field(default_factory=list)

    def outcome(self, seq: int, ran: Ran | BaseException) -> None:
        self.kept.append(str(ran))
        super().outcome(seq, ran)


WANTED = BundleRequest(
    look=Look(units=("etcd.service",)), units=("etcd.service",), directories=("/var/lib/etcd/default",),
    inventory="apiVersion: quorate/v1\n",
)  # fmt: skip


class Scene:
    def __init__(self, wanted: BundleRequest = WANTED, key: x25519.Identity | None = None, **bench: Any) -> None:
        self.key, self.notes = key or x25519.Identity.generate(), Heard()
        bench = {"recipients": (str(self.key.to_public()),), "machines": machines(), "store": MemoryStore(), **bench}
        self.bench = Bench(a_cluster(), notes=self.notes, **bench)
        self.wanted, self.store = wanted, self.bench.store

    @property
    def bundling(self) -> Bundling:
        bench = self.bench
        hosts, stores = (
            FakeHosts(bench.machines),
            RecordedStores(MemoryStores(bench.store), bench.journal, bench.clock),
        )
        files = RecordedFiles(hosts, bench.journal, bench.clock)
        recorded = RecordedHosts(hosts, bench.journal, bench.clock)
        return Bundling(recorded, files, stores, AGE, X509(), bench.clock, lambda _: None)

    def bundled(self) -> BackupTask:
        task = self.bench.read_back()
        task = replace(task, request=replace(task.request, bundle=self.wanted), turn=4, step="bundle")
        return replace(task, bundled=self.bench.environment.run(self.bundling.bundle, task))

    def published(self) -> Manifest:
        task = self.bundled()
        self.result = self.bench.environment.run(self.bench.snapshots.publish, replace(task, turn=5, step="publish"))
        return self.bench.manifest()

    def opened(self, kept: Manifest) -> dict[str, bytes]:
        """As `age -d | zstd -d | tar x` does it."""
        assert kept.bundle
        whole = b"".join(self.store.get(kept.bundle.key))
        clear = decrypt(whole, [self.key]) if kept.encryption else whole
        return unpacked_of(zstandard.ZstdDecompressor().decompressobj().decompress(clear))


def unpacked_of(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as whole:
        return {each.name: whole.extractfile(each).read() for each in whole if each.isreg()}  # type: ignore[union-attr]


@pytest.fixture
def key() -> x25519.Identity:
    return x25519.Identity.generate()


def test_what_another_unit_is_told_is_not_etcds() -> None:
    units = {
        "etcd.service": UnitSeen("etcd.service", argv=("etcd", "--name=a")),
        "kube-apiserver.service": UnitSeen("kube-apiserver.service", argv=("kube-apiserver", "--secure-port=6443")),
    }
    assert flags_of(NodeSeen(units=units), "etcd.service") == {"etcd": {"name": "a"}}


class TestTaken:
    def test_it_holds_what_units_flags_and_settings_name_of_every_node(self) -> None:
        scene = Scene()
        kept = scene.published()
        files = scene.opened(kept)
        for name in "abc":
            for path in set(FILES) - {"/etc/etcd/root.pem", "/etc/kubernetes/pki/ca.key", "/etc/passwd-"}:
                assert files[f"{name}/rootfs{path}"].decode() == FILES[path]
            about = json.loads(files[f"{name}/node.json"])
            assert about["flags"]["etcd"]["data-dir"] == "/var/lib/etcd/default"
            assert about["users"] == ["etcd:x:999:998::/:/sbin/nologin"]
            assert about["files"]["/etc/etcd/server.key"]["mode"] == "600"
            assert "/var/lib/etcd/default" in about["files"]
        assert files["quorate.yaml"] == b"apiVersion: quorate/v1\n"
        assert (kept.outcome, kept.findings, scene.result.notes) == ("degraded", kept.findings, ())
        assert kept.bundle
        assert by_node(kept.bundle.files)["b"] == tuple(
            sorted(set(FILES) - {"/etc/etcd/root.pem", "/etc/kubernetes/pki/ca.key", "/etc/passwd-"})
        )

    def test_keys_of_authorities_are_left_out_whatever_they_are_called(self) -> None:
        scene = Scene()
        files = scene.opened(scene.published())
        for pair in (CA.pair, OTHER.pair):
            assert pair.key not in b"".join(files.values())
        assert SERVER.key in files.values()

    def test_unless_somebody_wants_them(self) -> None:
        scene = Scene(replace(WANTED, ca_keys=True))
        files = scene.opened(scene.published())
        assert {CA.pair.key, OTHER.pair.key} <= set(files.values())

    def test_no_content_is_on_record_and_that_it_was_read_is(self) -> None:
        scene = Scene()
        scene.published()
        said = "".join((*scene.notes.acts, *scene.notes.kept))
        for secret in (SECRET, SERVER.key.decode(), "of the scheduler"):
            assert secret not in said
        assert any("tar" in act and "etc/etcd/server.key" in act for act in scene.notes.acts)

    def test_a_node_that_is_away_is_a_finding_and_the_others_are_in_it(self, tmp_path: Path, key) -> None:
        (tmp_path / "key").write_text(str(key))
        scene = Scene(key=key, identities=(f"file:{tmp_path}/key",))
        scene.bench.machines["b"].away = True
        kept = scene.published()
        assert (kept.outcome, kept.findings) == ("degraded", ("the bundle lacks b: b does not answer",))
        assert {name.partition("/")[0] for name in scene.opened(kept)} == {"a", "c", "quorate.yaml"}
        assert kept.counts

    def test_with_all_away_there_is_none_and_the_snapshot_is_there(self) -> None:
        scene = Scene()
        for each in scene.bench.machines.values():
            each.away = True
        kept = scene.published()
        assert kept.bundle is None
        assert "the bundle was not taken: a: a does not answer; b: " in kept.findings[0]

    def test_a_store_that_refuses_it_costs_the_bundle_and_not_the_snapshot(self) -> None:
        refusing = MemoryStore(refuses=lambda key, _: Denied("no room") if "bundle" in key else None)
        kept = Scene(store=refusing).published()
        assert (kept.bundle, kept.findings[0]) == (None, "the bundle was not taken: no room")

    def test_one_that_comes_back_differently_is_not_named(self) -> None:
        store = MemoryStore(gives_back=lambda key, data: data[:-1] + b"?" if "bundle" in key else data)
        kept = Scene(store=store).published()
        assert kept.bundle is None
        assert "gave back something else" in kept.findings[0]

    def test_what_an_attempt_that_died_has_left_is_not_taken_for_it(self) -> None:
        scene = Scene()
        scene.bench.environment.info = replace(scene.bench.environment.info, attempt=2)
        kept = scene.published()
        assert kept.bundle and kept.bundle.key.endswith("/bundle-2.tar.zst.age")

    def test_a_file_that_is_too_large_is_left_out_and_said(self) -> None:
        scene = Scene(machines=machines(**{"etc/kubernetes/pki/image": "x" * (600 << 10)}))
        assert any(
            "leaves out of a, for their size: /etc/kubernetes/pki/image" in f for f in scene.published().findings
        )

    def test_it_is_locked_with_the_snapshot_and_goes_with_it(self) -> None:
        scene = Scene()
        kept = scene.published()
        assert kept.bundle
        assert kept.keys_stored == (kept.key, kept.bundle.key, kept.manifest_key)
        assert {each.rpartition("/")[0] for each in kept.keys_stored} == {kept.directory}  # which prune removes whole
        assert kept.held_bytes == kept.stored_bytes + kept.bundle.stored_bytes


class TestWanted:
    def policy(self, root: Path, backup: str) -> BackupTask:
        text = INVENTORY.format(state=root / "state", store=root / "store").replace("{store: here}", backup)
        return BackupTask(request(parsed(text, "quorate.yaml"), "demo", "backup-1", "ada"), "", 0)

    def test_without_recipients_there_is_none_and_a_note_says_why(self, tmp_path: Path) -> None:
        wanted = self.policy(tmp_path, "{store: here}").request.bundle
        assert wanted and wanted.why_not == NO_RECIPIENTS
        scene = Scene(BundleRequest(NO_RECIPIENTS), recipients=())
        task = scene.bench.read_back()
        task = replace(task, request=replace(task.request, bundle=wanted))
        result = scene.bench.publish(task)
        assert (result.outcome, result.notes) == ("verified", (NO_RECIPIENTS,))

    def test_unless_it_is_said_in_so_many_words(self, tmp_path: Path) -> None:
        said = self.policy(tmp_path, f"{{store: here, bundle: {{unencrypted: {UNENCRYPTED}}}}}").request.bundle
        assert said and not said.why_not
        scene = Scene(replace(said, inventory=""), recipients=())
        kept = scene.published()
        assert kept.bundle and kept.bundle.key.endswith("/bundle.tar.zst")
        assert scene.opened(kept)["a/rootfs/etc/etcd/server.key"] == SERVER.key
        with pytest.raises(BadInput, match="unencrypted.*all to read"):
            self.policy(tmp_path, "{store: here, bundle: {unencrypted: yes}}")

    def test_with_recipients_it_is_on_and_can_be_switched_off(self, tmp_path: Path) -> None:
        to = f"recipients: [{x25519.Identity.generate().to_public()}]"
        wanted = self.policy(tmp_path, f"{{store: here, {to}}}").request.bundle
        assert wanted and (wanted.why_not, wanted.ca_keys) == ("", False)
        assert wanted.units == ("etcd.service", "kubelet.service")
        assert self.policy(tmp_path, f"{{store: here, {to}, bundle: off}}").request.bundle is None
        with pytest.raises(BadInput, match="only without recipients"):
            self.policy(tmp_path, f"{{store: here, {to}, bundle: {{unencrypted: {UNENCRYPTED}}}}}")

    def test_the_inventory_in_it_is_one(self, tmp_path: Path) -> None:
        whole = parsed(INVENTORY.format(state=tmp_path / "state", store=tmp_path / "store"), "quorate.yaml")
        assert parsed(told(whole, "demo", whole.cluster("demo")), "quorate.yaml") == whole

    def test_the_largest_is_a_payload_below_128_kib(self) -> None:
        files = {f"/etc/kubernetes/{'n' * 60}{number}": tuple("abcdefghi") for number in range(200)}
        task = replace(Scene().bundled(), bundled=Bundled("k", 1, "0" * 64, 1, "0" * 64, files))
        assert len(TypeAdapter(BackupTask).dump_json(task)) < 128 << 10

    def test_what_the_system_or_quorate_makes_is_not_part_of_it(self) -> None:
        assert not any(map(needed, ("/run/x", "/proc/1", "relative", "/etc/x.d/00-quorate-fence.conf", "/a/../b")))
        assert needed("/etc/systemd/system/etcd.service.d/10-limits.conf")
        mine = ("lay-01M8N58ZW10TC3QFWM2V7S7MVJ", "drill-01M8N565H7DW4MEE0SBS0D6RVD")
        assert not any(needed(f"/etc/kubernetes/pki/sa.key.quorate-{operation}") for operation in mine)

    def test_no_node_has_more_than_so_many_bytes(self) -> None:
        files = tuple(FileSeen(f"/f{number:02}", "root", "root", 400 << 10) for number in range(20))
        fit, why = fitting(files)
        assert (len(fit), len(why)) == (10, 10)


class TestCommands:
    """On this machine, by its own find and tar."""

    def run(self, argv: tuple[str, ...]) -> bytes:
        return subprocess.run(argv, capture_output=True, check=True).stdout

    def test_what_is_listed_and_packed_is_what_lies_there(self, tmp_path: Path) -> None:
        tree = tmp_path / "pki"
        (tree / "deep").mkdir(parents=True)
        (tree / "deep" / "a.crt").write_text("a")
        (tmp_path / "real.key").write_text("secret")
        (tmp_path / "real.key").chmod(0o640)
        (tmp_path / "link.key").symlink_to("real.key")
        (tmp_path / "a.conf").write_text("c")
        wanted = (str(tmp_path / "link.key"), str(tmp_path / "missing"), str(tmp_path))  # the last is no file
        files, users, groups = listed(self.run(listing(wanted, (str(tree),), str(tmp_path)).argv).decode())
        names = [each.path.removeprefix(f"{tmp_path}/") for each in files]
        assert names == ["a.conf", "link.key", "pki/deep/a.crt"]
        assert users["root"].startswith("root:x:0:0:") and "root" in groups
        gone = str(tmp_path / "gone meanwhile")
        packed = unpacked(self.run(packing([*(each.path for each in files), gone], [str(tree)]).argv))
        found = {each.path: each for each in packed}
        assert found[str(tmp_path / "link.key")].data == b"secret"
        assert found[str(tmp_path / "link.key")].mode == 0o640
        assert found[str(tree)].data is None
        assert str(tmp_path / "real.key") not in found and gone not in found

    def test_a_key_of_an_authority_is_known_by_its_certificate(self) -> None:
        assert X509().signs(CA.pair.key, (SERVER.cert, CA.pair.cert))
        assert not X509().signs(SERVER.key, (SERVER.cert, CA.pair.cert))
        assert not X509().signs(b"-----BEGIN PRIVATE KEY-----\nx", (CA.pair.cert,))
        assert not X509().signs(CA.pair.key, (b"no certificate",))


class TestKept:
    def test_a_copy_has_it_too(self, tmp_path: Path) -> None:
        scene, second = Scene(), DirectoryStore(str(tmp_path))
        kept = scene.published()
        assert copied(scene.store, second, kept, lambda _: None) == ()
        assert not unsound(second, AGE, kept, ())

    def test_a_bundle_that_is_lost_keeps_no_snapshot_from_being_copied(self, tmp_path: Path) -> None:
        scene, second = Scene(), DirectoryStore(str(tmp_path))
        kept = scene.published()
        assert kept.bundle
        scene.store.remove(kept.bundle.key)
        (why,) = copied(scene.store, second, kept, lambda _: None)
        assert "its bundle is not copied (get " in why
        assert [each.key for each in second.ls("")] == [kept.manifest_key, kept.key]

    def test_its_hash_is_proved_again_with_or_without_the_key(self, tmp_path: Path, key) -> None:
        (tmp_path / "key").write_text(str(key))
        scene = Scene(key=key)
        kept, mine = scene.published(), (f"file:{tmp_path}/key",)
        assert kept.bundle and isinstance(scene.store, MemoryStore)
        assert unsound(scene.store, AGE, kept, ()) == unsound(scene.store, AGE, kept, mine) == ""
        whole = scene.store.objects[kept.bundle.key]
        scene.store.objects[kept.bundle.key] = whole[:-1] + bytes([whole[-1] ^ 1])
        assert "its manifest says" in unsound(scene.store, AGE, kept, ())
        assert unsound(scene.store, AGE, kept, mine)
        with pytest.raises(Exception, match="not what was stored|cannot be"):
            b"".join(pulled(scene.store, AGE, kept, mine))
        assert scene.bench.manifest() == kept  # the snapshot is none the worse

    def test_a_manifest_without_one_is_as_it_was_written(self) -> None:
        before = Bench()
        before.carry_out()
        kept = before.manifest()
        assert b"bundle" not in kept.encode()
        assert parse(kept.encode(), kept.manifest_key) == kept

    def test_a_bundle_that_lies_elsewhere_is_not_believed(self) -> None:
        kept = Scene().published()
        data = kept.model_dump()
        data["bundle"]["key"] = "prod/another/bundle.tar.zst.age"
        with pytest.raises(ValueError, match="its bundle lies elsewhere"):
            Manifest.model_validate(data)

    def test_two_of_the_same_nodes_are_the_same_bytes(self) -> None:
        one, two = Scene().bundled().bundled, Scene().bundled().bundled
        assert one and two and one.sha256 == two.sha256


class TestCommandLine:
    def test_it_is_shown_verified_and_pulled_when_somebody_asks(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], key
    ) -> None:
        cli = Cli(tmp_path, capsys)
        (tmp_path / "key").write_text(str(key))
        policy = f"{{store: here, recipients: [{key.to_public()}], identities: ['file:{tmp_path}/key']}}"
        cli.config.write_text(cli.config.read_text().replace("{store: here}", policy))
        store = DirectoryStore(str(tmp_path / "store"))
        kept = Scene(key=key, store=store, name="demo", identities=(f"file:{tmp_path}/key",)).published()
        assert kept.bundle and kept.outcome == "verified"
        code, said, _ = cli("snapshots", "show", kept.id)
        assert (code, "of b, 8 files:" in said, "  /etc/etcd/server.key" in said, SECRET in said) == (
            0,
            True,
            True,
            False,
        )
        assert cli("snapshots", "verify", kept.id)[0] == 0
        out = tmp_path / "bundle.tar"
        code, fields = cli.json("snapshots", "pull", kept.id, "--bundle", str(out))
        assert (code, fields["bundle"], fields["file"]) == (0, str(out), None)
        assert out.stat().st_mode & 0o777 == 0o600
        assert unpacked_of(out.read_bytes())["c/rootfs/etc/kubernetes/pki/enc.yaml"].decode() == SECRET
        assert cli("snapshots", "pull", kept.id)[0] == 2
        assert cli("snapshots", "pull", kept.id, "--bundle", str(out))[0] == 2  # never over another
        file = tmp_path / "store" / kept.bundle.key
        file.write_bytes(file.read_bytes()[:-1])
        code, _, err = cli("snapshots", "verify", kept.id)
        assert (code != 0, "is sound, its bundle is not" in err) == (True, True)
        assert not cli.json("snapshots", "ls", "demo")[1]["snapshots"][0]["quarantined_at"]


def steps_of(scene: Scene) -> tuple[Callable[..., Any], ...]:
    """But for the bundle's."""
    snapshots = scene.bench.snapshots
    return snapshots.choose, snapshots.stream, snapshots.read_back, snapshots.publish, sealed


@asynccontextmanager
async def begun(
    client: Client, scene: Scene, steps: Iterable[Callable[..., Any]] = ()
) -> AsyncIterator[WorkflowHandle[Backup, BackupResult]]:
    """A backup, with its workers."""
    queue, activities = f"bundle-{uuid4()}", tuple(steps) or (*steps_of(scene), scene.bundling.bundle)
    with ThreadPoolExecutor(4) as pool:
        flows = Worker(client, task_queue=queue, workflows=[Backup])
        streams = Worker(
            client, task_queue=STREAMS_QUEUE, activities=activities, activity_executor=pool, interceptors=[Boundary()]
        )
        async with flows, streams:
            wanted = replace(scene.bench.request(), bundle=scene.wanted)
            yield await client.start_workflow(Backup.run, wanted, id=queue, task_queue=queue)


@pytest.mark.server
class TestWorkflow:
    async def taken(self, temporal: WorkflowEnvironment, scene: Scene, *, broken: bool = False) -> Any:
        bundling = scene.bundling
        if broken:
            object.__setattr__(bundling, "clock", None)  # whatever goes wrong in it
        async with begun(temporal.client, scene, (*steps_of(scene), bundling.bundle)) as handle:
            return await handle.result()

    async def test_a_backup_takes_it_before_its_manifest(self, temporal: WorkflowEnvironment) -> None:
        scene = Scene()
        await self.taken(temporal, scene)
        assert scene.bench.manifest().bundle
        puts = [
            act.split()[4].rpartition("/")[2]
            for act in scene.notes.acts
            if " store put " in act or "store put" in act
        ]
        assert puts == ["snapshot.db.zst.age", "bundle.tar.zst.age", "manifest.json"]

    async def test_one_that_breaks_in_every_attempt_is_a_finding(self, temporal: WorkflowEnvironment) -> None:
        scene = Scene()
        result = await self.taken(temporal, scene, broken=True)
        assert result.outcome == "degraded"
        assert result.findings[0].startswith("the bundle was not taken: ")

    async def test_it_is_taken_while_the_snapshot_is_read_back(self, temporal: WorkflowEnvironment) -> None:
        beside = Beside()
        result = await beside.ended(temporal, Scene())
        assert not isinstance(result, BaseException)
        assert beside.met
        assert beside.seen == BackupProgress("backup-1", "read-back", "Read it back and compare", 3)

    async def test_a_snapshot_that_is_not_proved_ends_it_and_has_no_manifest(
        self, temporal: WorkflowEnvironment
    ) -> None:
        beside = Beside(fails=True)
        error = await beside.ended(temporal, Scene())
        assert isinstance(error, WorkflowFailureError)
        assert isinstance(error.cause, ApplicationError)
        assert error.cause.type == "corrupt"
        assert beside.cancelled
        assert not beside.published


@dataclass
class Beside:
    """A read-back that waits until the bundle is begun, and a bundle that, where that fails, waits for its cancel."""

    fails: bool = False
    bundling: threading.Event = field(default_factory=threading.Event)
    looked: threading.Event = field(default_factory=threading.Event)
    met: bool = False
    cancelled: bool = False
    published: bool = False
    seen: BackupProgress | None = None

    async def ended(self, temporal: WorkflowEnvironment, scene: Scene) -> Any:
        """The result, or why there is none."""
        snapshots = scene.bench.snapshots

        @activity.defn(name="snapshots.read_back", no_thread_cancel_exception=True)
        def read_back(task: BackupTask) -> ReadBack:
            self.met = self.bundling.wait(30)
            if self.fails:
                raise Corrupt("the store gave back something else")
            self.looked.wait(30)
            return snapshots.read_back(task)

        @activity.defn(name="snapshots.bundle", no_thread_cancel_exception=True)
        def bundle(_: BackupTask) -> Bundled:
            self.bundling.set()
            limit = time.monotonic() + 30
            while self.fails and not activity.is_cancelled() and time.monotonic() < limit:
                activity.heartbeat()
                time.sleep(0.05)
            self.cancelled = activity.is_cancelled()
            if self.cancelled:
                raise CancelledError("cancelled")
            return Bundled()

        @activity.defn(name="snapshots.publish", no_thread_cancel_exception=True)
        def publish(task: BackupTask) -> BackupResult:
            self.published = True
            return snapshots.publish(task)

        steps = (snapshots.choose, snapshots.stream, read_back, bundle, publish, sealed)
        async with begun(temporal.client, scene, steps) as handle:
            result = asyncio.ensure_future(handle.result())
            if not self.fails:
                assert await asyncio.to_thread(self.bundling.wait, 30)
                self.seen = await handle.query(Backup.progress)
                self.looked.set()
            await asyncio.wait([result])
            return result.exception() or result.result()
