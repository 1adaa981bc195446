"""What is no sound snapshot of this cluster is refused by its name, by a verification and by a restore."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import zstandard
from temporalio.testing import ActivityEnvironment

from activities.adapters.signatures import SshSignatures
from activities.backups.verifying import Verifying
from activities.recording.recorded import RecordedStores
from quorate.backups.catalogue import Manifest, load
from quorate.errors import BadInput
from quorate.restore import RestoreRequest
from quorate.verify import VerifyRequest, VerifyResult, VerifyTask
from tests.activities.test_surveys import Scene, scene
from tests.factory import inventory
from tests.fakes.store import MemoryStores
from tests.workflows.test_backup import AGE, KEY, SETTINGS, Bench, Notebook, a_cluster

__all__ = ["scene"]
Change = Callable[[Scene, Manifest], None]


def newest(scene: Scene) -> Manifest:
    """A second backup, whose fate it is."""
    scene.bench.clock.sleep(60)
    scene.bench.carry_out()
    return load(scene.store, "demo")[-1]


def verified(scene: Scene, *trust: str) -> VerifyResult:
    clock = replace(scene.bench.clock, now=scene.bench.clock.now + 86400)
    stores = RecordedStores(MemoryStores(scene.store), lambda _: Notebook(), clock)
    verifying, environment = Verifying(stores, AGE, SshSignatures(), clock), ActivityEnvironment()
    task = VerifyTask(VerifyRequest("verify-1", "demo", SETTINGS, "ada", trust=trust), "choose", 1)
    task = replace(task, due=environment.run(verifying.due, task), step="verify", turn=2)
    return environment.run(verifying.verify, task)


def cut(scene: Scene, manifest: Manifest) -> None:
    scene.store.objects[manifest.key] = scene.store.objects[manifest.key][:-9]


def empty(scene: Scene, manifest: Manifest) -> None:
    scene.store.objects[manifest.key] = b""


def part(scene: Scene, manifest: Manifest) -> None:
    """Of what a dead attempt has left under another name."""
    scene.store.objects[f"{manifest.key}.part"] = scene.store.objects.pop(manifest.key)


def anothers(scene: Scene, manifest: Manifest) -> None:
    """Put where ours would be."""
    other = Bench(a_cluster(), scene.store, name="other")
    other.carry_out()
    (theirs,) = [key for key in scene.store.objects if key.startswith("other/") and key.endswith("manifest.json")]
    scene.store.objects[manifest.manifest_key] = scene.store.objects[theirs]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut, "should have"),
        (empty, "should have .* found nothing"),
        (part, "should have .* found nothing"),
        (anothers, "is the manifest of other/"),
    ],
    ids=["cut short", "empty", "part", "another cluster's"],
)
def test_what_its_manifest_does_not_fit_is_told_by_verify_and_unknown_to_a_restore(
    scene: Scene, change: Change, said: str
) -> None:
    manifest = newest(scene)
    change(scene, manifest)
    result = verified(scene)
    assert result.outcome == "unsound"
    (finding,) = result.findings
    assert manifest.directory in finding
    assert re.search(said, finding)
    with pytest.raises(BadInput, match=f"there is no snapshot {manifest.id}"):
        scene.plan(snapshot=manifest.id)
    assert scene.plan().chosen.snapshot.id != manifest.id


def test_one_with_a_flipped_bit_is_quarantined_by_verify_and_refused_by_a_restore(scene: Scene) -> None:
    manifest = newest(scene)
    data = scene.store.objects[manifest.key]
    scene.store.objects[manifest.key] = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
    result = verified(scene)
    assert result.quarantined == (manifest.id,)
    assert manifest.id in result.findings[0]
    refusals = [each.id for each in scene.plan(snapshot=manifest.id).refusals]
    assert "quarantined" in refusals
    assert scene.plan().chosen.snapshot.id != manifest.id


def test_one_without_a_trailer_is_quarantined_though_its_manifest_says_nothing_else(scene: Scene) -> None:
    """As etcdutl takes it with --skip-hash-check: nothing says any more that it is what etcd sent."""
    manifest = newest(scene)
    whole = zstandard.ZstdDecompressor().decompressobj().decompress(scene.store.objects[manifest.key])
    bare = whole[:-32]
    packed = zstandard.ZstdCompressor().compress(bare)
    said = {"size_bytes": len(bare), "sha256": hashlib.sha256(bare).hexdigest()}
    said |= {"stored_bytes": len(packed), "stored_sha256": hashlib.sha256(packed).hexdigest()}
    scene.store.objects[manifest.key] = packed
    scene.store.objects[manifest.manifest_key] = manifest.model_copy(update=said).encode()
    result = verified(scene)
    assert result.quarantined == (manifest.id,)
    assert "not a database and 32 bytes of sha256" in result.findings[0]
    assert "quarantined" in [each.id for each in scene.plan(snapshot=manifest.id).refusals]
    assert scene.plan().chosen.snapshot.id != manifest.id


def test_one_that_nobody_signed_is_named_by_verify_and_shuts_a_gate_of_a_restore(scene: Scene) -> None:
    manifest = newest(scene)
    bare = manifest.model_copy(update={"signature": ""})
    scene.store.objects[manifest.manifest_key] = bare.encode()
    result = verified(scene, KEY.public_key)
    assert (result.outcome, manifest.id in result.verified, len(result.verified)) == ("sound", False, 1)
    assert result.notes == (f"{manifest.id} was not verified: its manifest is not signed",)
    whole = inventory(scene.root)
    settings = whole.clusters["demo"].model_copy(update={"trust": (KEY.public_key,)})
    for snapshot, gates in ((manifest.id, ["manifest-unsigned"]), ("latest", [])):
        request = RestoreRequest(
            "restore-1", "demo", settings, whole.stores["here"], snapshot, "ann", ("quorum-healthy",)
        )
        assert [gate.id for gate in scene.surveyor().plan(request).refusals] == gates
