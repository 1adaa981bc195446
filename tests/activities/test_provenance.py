"""A manifest is signed, by a key that stays here; whose signature counts the inventory says."""

import re
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.adapters.own_key import OwnKey, own_key
from activities.adapters.signatures import SshSignatures
from quorate.backups.catalogue import LATEST, Manifest, find, load, parse
from quorate.backups.provenance import doubted, signed, why_not
from quorate.errors import BadInput, Denied
from quorate.operation import RestoreRequest
from quorate.plan import Plan
from quorate.sshsig import fingerprint, parsed
from tests.activities.test_surveys import Scene
from tests.factory import inventory
from tests.manifests import manifest
from tests.workflows.test_backup import KEY

ROOT = Path(__file__).parents[2]
SIGNATURES = SshSignatures()
OTHER = OwnKey(Ed25519PrivateKey.generate())


def why(found: Manifest, *trusted: OwnKey) -> str:
    return why_not(found, tuple(each.public_key for each in trusted), SIGNATURES)


def test_what_is_signed_is_believed_of_whoever_is_trusted() -> None:
    found = signed(manifest(), KEY)
    assert signed(manifest(), KEY).encode() == found.encode()
    assert parse(found.encode(), found.manifest_key) == found
    assert why(found, OTHER, KEY) == ""
    assert fingerprint(KEY.public_key) in why(found, OTHER)


def test_whatever_was_changed_or_comes_from_elsewhere_is_told() -> None:
    found = signed(manifest(), KEY)
    assert why(manifest(), KEY) == "its manifest is not signed"
    assert "does not match" in why(found.model_copy(update={"revision": 42}), KEY)
    assert "no SSH signature" in why(found.model_copy(update={"signature": "x"}), KEY)
    elsewhere = KEY.sign("quorate-approve", manifest().encode())
    assert "for 'quorate-approve'" in why(found.model_copy(update={"signature": elsewhere}), KEY)
    assert "does not match" in why(found.model_copy(update={"signature": signed(manifest(7), KEY).signature}), KEY)


def test_where_nobody_is_named_nobody_is_doubted() -> None:
    assert doubted((manifest(),), (), SIGNATURES) == {}
    assert list(doubted((manifest(),), (KEY.public_key,), SIGNATURES)) == [manifest().id]


def test_sed_and_ssh_keygen_prove_it_without_us(tmp_path: Path) -> None:
    """As runbooks/restore.md says under `manifest-unsigned`."""
    (tmp_path / "manifest.json").write_bytes(signed(manifest(), KEY).encode())
    (tmp_path / "trust").write_text(f"quorate {KEY.public_key}\n")
    lines = re.findall(r"^(?:sed|printf) .+$", (ROOT / "runbooks/restore.md").read_text(), re.MULTILINE)
    assert len(lines) == 2
    by_hand = ["bash", "-ec", "\n".join(lines)]
    done = subprocess.run(by_hand, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    changed = (tmp_path / "manifest.json").read_text().replace('"revision":41', '"revision":42')
    (tmp_path / "manifest.json").write_text(changed)
    assert subprocess.run(by_hand, cwd=tmp_path, capture_output=True, check=False).returncode


class TestTheKey:
    def test_it_is_made_once_for_its_owner_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "state" / "signing.key"
        assert own_key(path).public_key == own_key(path).public_key
        assert path.stat().st_mode & 0o777 == 0o600
        assert [each.name for each in path.parent.iterdir()] == ["signing.key"]
        assert parsed(own_key(path).sign("n", b"text")).key == own_key(path).public_key

    def test_one_that_cannot_be_used_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "signing.key"
        path.write_text("nonsense")
        with pytest.raises(Denied, match="signing.key, cannot be used"):
            own_key(path)


class TestTheGate:
    def plan(self, scene: Scene, *trusted: OwnKey, snapshot: str = LATEST) -> Plan:
        whole = inventory(scene.root)
        settings = whole.clusters["demo"].model_copy(update={"trust": tuple(each.public_key for each in trusted)})
        request = RestoreRequest(
            "restore-1", "demo", settings, whole.stores["here"], snapshot, "ann", ("quorum-healthy",)
        )
        return scene.surveyor().plan(request)

    def test_what_a_trusted_key_signed_is_the_latest(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        assert self.plan(scene, KEY).refusals == ()

    def test_what_nobody_vouches_for_is_not_and_by_its_name_needs_a_reason(self, tmp_path: Path) -> None:
        scene = Scene(tmp_path)
        (only,) = load(scene.store, "demo")
        with pytest.raises(BadInput, match="there is no snapshot latest"):
            self.plan(scene, OTHER)
        refused = self.plan(scene, OTHER, snapshot=only.id)
        assert [(gate.id, gate.overridable) for gate in refused.refusals] == [("manifest-unsigned", True)]
        assert find((only,), LATEST, "demo", ()) == only
