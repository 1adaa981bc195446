"""Encrypted before it leaves, opened when it is read back, and closed wherever a key is not usable."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import zstandard
from pyrage import decrypt, x25519

from activities.clusters.surveys import OPENED_BYTES, beginning
from quorate.backup import UNOPENED
from quorate.backups.catalogue import Manifest, load, parse
from quorate.errors import BadInput, Corrupt, Denied
from quorate.inventories.reading import parse as parsed
from quorate.operation import RestoreRequest
from quorate.plan import Plan
from tests.activities.test_surveys import Scene
from tests.factory import INVENTORY, inventory
from tests.fakes.store import MemoryStore
from tests.manifests import manifest as made
from tests.workflows.test_backup import Bench, a_cluster, sent


@dataclass
class Key:
    """In a file, as it lies where the daemon runs."""

    folder: Path
    name: str = "age.key"
    identity: x25519.Identity = field(default_factory=x25519.Identity.generate)

    def __post_init__(self) -> None:
        (self.folder / self.name).write_text(f"{self.identity}\n")

    @property
    def recipient(self) -> str:
        return str(self.identity.to_public())

    @property
    def reference(self) -> str:
        return f"file:{self.folder / self.name}"


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return Key(tmp_path)


@pytest.fixture
def other(tmp_path: Path) -> Key:
    return Key(tmp_path, "other.key")


def bench(*recipients: str, opens: tuple[str, ...]) -> Bench:
    return Bench(a_cluster(), MemoryStore(), recipients=recipients, identities=opens)


def stored(at: Bench) -> MemoryStore:
    assert isinstance(at.store, MemoryStore)
    return at.store


def test_each_recipient_alone_gets_the_bytes_that_etcd_sent(key: Key, other: Key) -> None:
    at = bench(key.recipient, other.recipient, opens=(key.reference,))
    result, manifest = at.carry_out(), at.manifest()
    assert (result.outcome, manifest.outcome) == ("verified", "verified")
    assert manifest.key.endswith("/snapshot.db.zst.age")
    assert manifest.encryption
    assert manifest.encryption.recipients == (key.recipient, other.recipient)
    whole = stored(at).objects[manifest.key]
    for each in (key, other):
        packed = decrypt(whole, [each.identity])
        assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == sent(at.cluster)  # type: ignore[arg-type]


def test_a_recipient_that_cannot_be_used_means_no_backup_and_nobody_was_asked_for_one(key: Key) -> None:
    at = bench(key.recipient, "age1typo", opens=(key.reference,))
    with pytest.raises(BadInput, match="age1typo cannot be used"):
        at.streamed()
    assert stored(at).objects == {}
    assert not [act for act in at.notes.acts if "snapshot" in act]


def test_what_none_of_our_identities_opens_gets_no_manifest(key: Key, other: Key) -> None:
    at = bench(key.recipient, opens=(other.reference,))
    with pytest.raises(Denied, match="none of the identities opens it"):
        at.read_back()
    assert load(at.store, at.name) == ()


def test_bytes_that_the_store_has_changed_get_no_manifest(key: Key) -> None:
    at = bench(key.recipient, opens=(key.reference,))
    task = at.streamed()
    objects = stored(at).objects
    (name,) = [each for each in objects if each.endswith(".age")]
    objects[name] = objects[name][:-9] + bytes([objects[name][-9] ^ 1]) + objects[name][-8:]
    with pytest.raises(Corrupt):
        at.environment.run(at.snapshots.read_back, replace(task, turn=3, step="read-back"))


def test_without_an_identity_it_is_degraded_and_says_that_nobody_tried_to_open_it(key: Key) -> None:
    at = bench(key.recipient, opens=())
    result, manifest = at.carry_out(), at.manifest()
    assert (result.outcome, result.findings) == ("degraded", (UNOPENED,))
    assert not manifest.verification.decrypted


def test_a_manifest_from_before_there_was_encryption_is_as_it_was_written() -> None:
    before = made(41)
    text = before.encode()
    assert (b"encryption" in text, b"decrypted" in text) == (False, False)
    assert parse(text, before.manifest_key) == before


def test_a_manifest_names_the_object_that_it_is_about(key: Key) -> None:
    at = bench(key.recipient, opens=(key.reference,))
    at.carry_out()
    manifest = at.manifest()
    with pytest.raises(ValueError, match="do not belong together"):
        Manifest.model_validate({**manifest.model_dump(), "key": manifest.key.removesuffix(".age")})


class TestTheGate:
    @pytest.fixture
    def scene(self, tmp_path: Path, key: Key) -> Scene:
        """The newest backup is encrypted."""
        found = Scene(tmp_path)
        found.bench.recipients, found.bench.identities = (key.recipient,), (key.reference,)
        found.bench.clock.sleep(60)
        found.bench.carry_out()
        return found

    def plan(self, scene: Scene, *identities: str, snapshot: str = "latest") -> Plan:
        whole = inventory(scene.root)
        settings = whole.clusters["demo"]
        policy = settings.backup.model_copy(update={"identities": identities})
        return scene.surveyor().plan(
            RestoreRequest(
                "restore-1",
                "demo",
                settings.model_copy(update={"backup": policy}),
                whole.stores["here"],
                snapshot,
                "ann",
                ("quorum-healthy",),
            )
        )

    def test_a_snapshot_that_we_can_open_is_planned_with_what_opens_it(self, scene: Scene, key: Key) -> None:
        plan = self.plan(scene, key.reference)
        assert plan.refusals == ()
        assert plan.chosen.snapshot.recipients == (key.recipient,)
        assert plan.chosen.snapshot.identities == (key.reference,)

    def test_one_that_we_cannot_open_is_refused_before_anything_is_stopped(self, scene: Scene, other: Key) -> None:
        for identities, said in (
            ((other.reference,), "none of the identities opens it"),
            ((), "no identity is given"),
            (("file:/nowhere/age.key",), "No such file"),
        ):
            (gate,) = self.plan(scene, *identities).refusals
            assert (gate.id, gate.overridable, said in gate.evidence) == ("sealed", False, True)

    def test_an_earlier_one_that_lies_there_open_can_still_be_restored(self, scene: Scene) -> None:
        earlier = load(scene.store, "demo")[0]
        plan = self.plan(scene, snapshot=earlier.id)
        assert "sealed" not in {gate.id for gate in plan.refusals}
        assert (plan.chosen.snapshot.recipients, plan.chosen.snapshot.identities) == ((), ())


def test_of_a_large_one_only_the_beginning_is_fetched() -> None:
    taken: list[int] = []

    def chunks():  # type: ignore[no-untyped-def]
        for number in range(100):
            taken.append(number)
            yield bytes(OPENED_BYTES // 4)

    assert len(list(beginning(chunks()))) == 4
    assert len(taken) == 4


@pytest.mark.parametrize(
    ("backup", "said"),
    [
        ("recipients: [AGE-SECRET-KEY-1ABC]", "age1"),
        ("recipients: [age1abc, age1abc]", "named twice: age1abc"),
        ("identities: [/etc/age.key]", "file:/absolute/path"),
    ],
)
def test_what_cannot_be_a_key_is_told_with_its_line(tmp_path: Path, backup: str, said: str) -> None:
    text = INVENTORY.format(state=tmp_path, store=tmp_path).replace("{store: here}", f"{{store: here, {backup}}}")
    with pytest.raises(BadInput) as raised:
        parsed(text, "quorate.yaml")
    assert said in str(raised.value)
    assert "quorate.yaml:13: " in str(raised.value)
    assert "SECRET" not in str(raised.value)
