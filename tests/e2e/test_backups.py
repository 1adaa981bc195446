"""A cluster whose backups are encrypted: opened with nothing of ours, restored, and closed without the key."""

import base64
import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.lab.age import ESCROW, OURS
from deploy.lab.binaries import AGE, make
from deploy.lab.lab import Lab, node_exec
from deploy.lab.load import load
from tests.e2e.conftest import product
from tests.e2e.product import Product, left, on_node, until
from tests.e2e.test_killed_backups import begun, has_begun, operations
from tests.e2e.test_restore import etcdctl

pytestmark = pytest.mark.lab
HEALTHY = ("--override-gate", "quorum-healthy", "--reason", "it is a test")
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOmX4mmf6I+vSqJkxg1QRyTwU49gx4g4kif2s0r5PhgQ"


@pytest.fixture(scope="module")
def sealed(alone_lab: Lab) -> Iterator[Product]:
    """For two recipients, of which one lies where the daemon runs and one in a safe."""
    make(AGE, print)
    yield from product(alone_lab)


def policy(made: Lab, **fields: object) -> dict[str, Any]:
    """In the inventory from now on; what was there before."""
    config = Path(made.config)
    inventory = yaml.safe_load(config.read_text())
    before = inventory["clusters"][made.name]["backup"]
    inventory["clusters"][made.name]["backup"] = {**before, **fields}
    config.write_text(yaml.safe_dump(inventory))
    return dict(before)


@contextmanager
def instead(made: Lab, **fields: object) -> Iterator[None]:
    before = policy(made, **fields)
    try:
        yield
    finally:
        policy(made, **before)


def value(made: Lab) -> str:
    code, said = node_exec(made, made.nodes[0].name, etcdctl("get", "key", "--print-value-only"))
    assert code == 0, said
    return said.strip()


def put(made: Lab, text: str) -> None:
    code, said = node_exec(made, made.nodes[0].name, etcdctl("put", "key", text))
    assert code == 0, said


def objects(made: Lab, ends: str) -> set[Path]:
    return set((made.folder / "s3" / "data").glob(f"**/{ends}"))


@contextmanager
def flipped(file: Path) -> Iterator[None]:
    """One bit of it, as a store may do."""
    whole = file.read_bytes()
    file.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    try:
        yield
    finally:
        file.write_bytes(whole)


def test_age_and_zstd_give_the_very_bytes_that_etcd_sent_and_etcdutl_restores_them(sealed: Product) -> None:
    made = sealed.lab
    put(made, "kept")
    before = objects(made, "snapshot*.age")
    backup = sealed.backup()
    assert (backup["outcome"], backup["key"].endswith("/snapshot.db.zst.age")) == ("verified", True)
    (stored,) = objects(made, "snapshot*.age") - before
    for name in (OURS, ESCROW):
        opened = [AGE.path("age"), "-d", "-i", made.folder / name, stored]
        packed = subprocess.run(opened, capture_output=True, check=True).stdout
        script = f"echo {base64.b64encode(packed).decode()} | base64 -d | zstd -qdc >/tmp/{name}.db"
        assert on_node(made, f"{script}; sha256sum /tmp/{name}.db").split()[0] == backup["sha256"]
    pulled, latest = made.folder / "pulled.db", f"{sealed.cluster}/latest"
    said = sealed.json("snapshots", "pull", backup["snapshot"], str(pulled))
    assert (said["ok"], said["encrypted"], said["sha256"]) == (True, True, backup["sha256"])
    assert hashlib.sha256(pulled.read_bytes()).hexdigest() == backup["sha256"]
    with flipped(stored):
        assert sealed.json("snapshots", "verify", backup["snapshot"], exit_code=7)["ok"] is False
        assert sealed.json("snapshots", "verify", latest, exit_code=2)["error"]["kind"] == "bad-input"
    assert sealed.json("snapshots", "verify", backup["snapshot"])["ok"]  # which ends its quarantine
    assert sealed.json("snapshots", "verify", latest)["ok"]
    on_node(
        made,
        f"etcdutl snapshot restore /tmp/{OURS}.db --data-dir /tmp/restored; test -f /tmp/restored/member/snap/db",
    )


def test_it_is_restored_and_no_identity_is_on_record_anywhere(sealed: Product) -> None:
    made = sealed.lab
    put(made, "kept")
    sealed.backup()
    put(made, "later")
    result = sealed.restore(*HEALTHY)
    assert (result["outcome"], value(made)) == ("restored", "kept")
    assert left(sealed, made.nodes[0]) == []
    secret = (made.folder / OURS).read_text().split()[-1]
    assert secret not in "".join(path.read_text() for path in sealed.state.rglob("*.json*"))


def test_a_members_own_data_is_encrypted_too_on_its_way_through_the_store(sealed: Product) -> None:
    made = sealed.lab
    put(made, "only the member has it")
    before = objects(made, "snapshot*.zst*")
    result = sealed.restore("--from-member", made.nodes[0].name, *HEALTHY)
    assert (result["outcome"], value(made)) == ("restored", "only the member has it")
    taken = {path.name for path in objects(made, "snapshot*.zst*") - before if path.name.startswith("snapshot")}
    assert taken == {"snapshot.db.zst.age"}


def test_without_its_key_nothing_is_stopped_and_nothing_is_called_a_backup(sealed: Product) -> None:
    made = sealed.lab
    sealed.backup()
    assert checked(sealed)["ok"]
    with instead(made, identities=[f"file:{made.folder / 'nowhere.key'}"]):
        plan = sealed.json("plan", "restore", sealed.cluster, *HEALTHY, exit_code=4)
        assert [gate["id"] for gate in plan["refusals"]] == ["sealed"]
        assert "nowhere.key" in checked(sealed, exit_code=6)["said"]
        known = objects(made, "manifest.json")
        failed = sealed.run("backup", sealed.cluster)
        assert (failed.returncode, "nowhere.key" in failed.stderr) == (10, True)
        assert objects(made, "manifest.json") == known
    with instead(made, recipients=["age1typo"]):
        known = objects(made, "*")
        assert "age1typo" in sealed.json("backup", sealed.cluster, exit_code=10)["error"]["message"]
        assert {path for path in objects(made, "*") - known if "snapshot" in path.name} == set()
        assert not checked(sealed, exit_code=3)["ok"]


def test_a_cluster_that_came_up_empty_is_stored_as_suspect_and_never_the_latest(sealed: Product) -> None:
    made = sealed.lab
    put(made, "kept")
    good = sealed.backup()["snapshot"]
    on_node(made, "systemctl stop etcd; rm -rf /var/lib/etcd/default/*; systemctl start etcd")
    suspect = sealed.json("backup", sealed.cluster, exit_code=3)
    assert suspect["outcome"] == "suspect"
    assert any("0 keys" in each for each in suspect["findings"])
    assert "backup-suspect" in {each["id"] for each in sealed.json("inspect", made.name, exit_code=3)["findings"]}
    plan = sealed.json("plan", "restore", sealed.cluster, exit_code=4)
    assert plan["snapshot"] == good
    refused = sealed.json("plan", "restore", sealed.cluster, "--snapshot", suspect["snapshot"], exit_code=4)
    assert "suspect" in {gate["id"] for gate in refused["refusals"]}
    known = [word for gate in plan["refusals"] for word in ("--override-gate", gate["id"])]
    result = sealed.restore(*known, "--reason", "it is a test")
    assert (result["outcome"], value(made)) == ("restored", "kept")
    assert sealed.backup()["outcome"] == "verified"


def test_only_what_a_trusted_key_has_signed_counts(sealed: Product) -> None:
    made = sealed.lab
    snapshot = sealed.backup()["snapshot"]
    words = checked(sealed, id_="signing")["said"].removesuffix(";").split()
    ours = " ".join(words[words.index("ssh-ed25519") :][:2]).rstrip(";")
    with trusting(made, ours):
        assert checked(sealed, id_="signing")["ok"]
        assert sealed.json("snapshots", "verify", snapshot)["ok"]
        assert sealed.json("plan", "restore", sealed.cluster, *HEALTHY)["snapshot"] == snapshot
    with trusting(made, OTHER):
        assert not checked(sealed, exit_code=3, id_="signing")["ok"]
        assert sealed.json("snapshots", "verify", snapshot, exit_code=4)["error"]["kind"] == "refused"
        plan = sealed.json("plan", "restore", sealed.cluster, "--snapshot", snapshot, *HEALTHY, exit_code=4)
        assert [gate["id"] for gate in plan["refusals"]] == ["manifest-unsigned"]
        found = {each["id"] for each in sealed.json("inspect", made.name, exit_code=3)["findings"]}
        assert found == {"manifest-unsigned", "no-backup"}


def test_killed_while_it_is_read_back_and_bundled_both_are_done_again(sealed: Product) -> None:
    made, known = sealed.lab, operations(sealed)
    load(made, 64)  # takes longer to read back than one node to be asked
    before = objects(made, "manifest.json")
    running = begun(sealed)
    until(lambda: has_begun(sealed, known, "systemctl show"), 60, 0.005)
    for victim in ("daemon", "temporal"):
        sealed.kill(victim)
    sealed.up()
    out, err = running.communicate(timeout=180)
    result = json.loads(out)
    assert (running.returncode, result["outcome"]) == (0, "verified"), out + err
    trail = sealed.trail(result["operation"])
    tried = {(each["step"], each["attempt"]) for each in trail if each["event"] == "intent"}
    assert {("read-back", 2), ("bundle", 2)} <= tried
    (written,) = objects(made, "manifest.json") - before
    kept = json.loads(written.read_text())
    assert kept["operation"] == result["operation"]
    assert (written.parent / kept["bundle"]["key"].rpartition("/")[2]).is_file()
    assert sealed.json("snapshots", "verify", result["snapshot"])["ok"]
    assert sealed.json("audit", "verify", result["operation"])["sealed"]


@contextmanager
def trusting(made: Lab, *keys: str) -> Iterator[None]:
    """No other key's signature of a manifest counts meanwhile."""
    config = Path(made.config)
    before = config.read_text()
    inventory = yaml.safe_load(before)
    inventory["clusters"][made.name]["trust"] = list(keys)
    config.write_text(yaml.safe_dump(inventory))
    try:
        yield
    finally:
        config.write_text(before)


def checked(sealed: Product, exit_code: int = 0, id_: str = "encryption") -> dict[str, Any]:
    """What doctor says of the keys."""
    checks = sealed.json("doctor", sealed.cluster, exit_code=exit_code)["checks"]
    found: dict[str, Any] = next(check for check in checks if check["id"] == id_)
    return found
