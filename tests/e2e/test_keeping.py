"""Backups kept by a real daemon in a real S3 store and a directory: copied, locked, verified and pruned."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from pyrage import x25519

from deploy.lab import s3 as lab_s3
from deploy.lab.binaries import VERSITYGW, make
from tests.e2e.product import Product, alone, until
from tests.real_etcd import Cluster, made

pytestmark = pytest.mark.server
LOCK_S = 40  # longer than two backups and a prune take on a busy machine


class House:
    """One member of etcd, a daemon, a bucket that locks, and a directory for copies."""

    def __init__(self, product: Product, server: lab_s3.S3, etcd: Cluster) -> None:
        self.product, self.server, self.etcd = product, server, etcd
        self.bucket = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            region_name="us-east-1",
        )

    def json(self, *words: str, exit_code: int = 0) -> dict[str, Any]:
        return self.product.json(*words, exit_code=exit_code)

    def policy(self, **fields: object) -> None:
        text = yaml.safe_load(self.product.config.read_text())
        text["clusters"]["demo"]["backup"] |= fields
        self.product.config.write_text(yaml.safe_dump(text))

    def backup(self) -> dict[str, Any]:
        return self.product.backup()

    def versions(self, snapshot: str) -> list[tuple[str, str]]:
        name = snapshot.partition("/")[2]
        answer = self.bucket.list_object_versions(Bucket=self.server.bucket, Prefix="quorate/demo/")
        every = [*answer.get("Versions", []), *answer.get("DeleteMarkers", [])]
        return [(each["Key"], each["VersionId"]) for each in every if f"/{name}/" in each["Key"]]

    @property
    def copies(self) -> Path:
        return self.product.config.parent / "store"


@pytest.fixture
def house(tmp_path: Path, temporal_binary: Path) -> Iterator[House]:
    make(VERSITYGW, print)
    server = lab_s3.start(tmp_path / "s3", f"keeping-{os.getpid()}")
    etcd = made("3.6", tmp_path / "etcd", ("a",), tls=False, data=None)
    etcd.start()
    product = alone(tmp_path / "demo", etcd.first.target.url, {"binary": str(temporal_binary)})
    house = House(product, server, etcd)
    inventory = yaml.safe_load(product.config.read_text())
    for name in ("access_key", "secret_key"):
        (tmp_path / name).write_text(getattr(server, name))
    inventory["stores"]["offsite"] = {
        "s3": {
            "bucket": server.bucket,
            "endpoint": server.endpoint,
            "path_style": True,
            "access_key": f"file:{tmp_path / 'access_key'}",
            "secret_key": f"file:{tmp_path / 'secret_key'}",
        }
    }
    key = x25519.Identity.generate()
    (tmp_path / "age.key").write_text(f"{key}\n")
    inventory["clusters"]["demo"]["backup"] = {
        "store": "offsite",
        "copies": ["here"],
        "recipients": [str(key.to_public())],
        "identities": [f"file:{tmp_path / 'age.key'}"],
        "retention": {"last": 1, "min_verified": 1},
        "bundle": "off",  # there is no machine below this etcd
    }
    product.config.write_text(yaml.safe_dump(inventory))
    try:
        product.up()
        yield house
    finally:
        product.down()
        etcd.kill()
        lab_s3.stop(tmp_path / "s3")


def test_a_backup_is_copied_verified_in_both_stores_and_pruned_from_each_by_itself(house: House) -> None:
    first, second = house.backup(), later(house)
    assert (first["outcome"], second["outcome"]) == ("verified", "verified")
    for store in ((), ("--store", "here")):
        listed = [each["snapshot"] for each in house.json("snapshots", "ls", "demo", *store)["snapshots"]]
        assert listed == [second["snapshot"], first["snapshot"]]
        house.policy(verify_within="0s")
        verified = house.json("snapshots", "verify", "demo", *store)
        assert (verified["outcome"], len(verified["verified"])) == ("sound", 2)
    shown = house.json("snapshots", "prune", "demo")
    assert [row["snapshot"] for row in shown["backups"] if row["remove"]] == [first["snapshot"]]
    pruned = house.json("snapshots", "prune", "demo", "--confirm", "demo")
    assert (pruned["outcome"], pruned["removed"]) == ("pruned", [first["snapshot"]])
    assert house.versions(first["snapshot"]) == []
    assert len(house.versions(second["snapshot"])) == 3  # the snapshot, its manifest, a mark; no marker
    assert len(house.json("snapshots", "ls", "demo", "--store", "here")["snapshots"]) == 2
    house.json("snapshots", "prune", "demo", "--store", "here", "--confirm", "demo")
    assert [path.name for path in house.copies.glob("demo/*/2*Z-*")] == [second["snapshot"].partition("/")[2]]
    assert house.json("audit", "verify", pruned["operation"])


def test_what_is_locked_stays_until_the_lock_ends_whoever_asks(house: House) -> None:
    house.policy(lock={"keep": f"{LOCK_S}s", "mode": "compliance"}, copies=[])
    first, taken = house.backup(), time.monotonic()
    locked = house.versions(first["snapshot"])
    for key, version in locked:
        with pytest.raises(ClientError, match="AccessDenied|locked|Locked"):
            house.bucket.delete_object(Bucket=house.server.bucket, Key=key, VersionId=version)
    later(house)
    pruned = house.json("snapshots", "prune", "demo", "--confirm", "demo")
    assert (pruned["removed"], time.monotonic() - taken < LOCK_S) == ([], True)
    assert "under a lock until" in pruned["notes"][0]
    assert sorted(house.versions(first["snapshot"])) == sorted(locked)
    checks = house.product.run("doctor", "demo").stdout
    assert any(" lock " in line and "could not be removed" in line for line in checks.splitlines())
    until(lambda: time.monotonic() - taken > LOCK_S + 2, LOCK_S + 5, 0.5)
    assert house.json("snapshots", "prune", "demo", "--confirm", "demo")["removed"] == [first["snapshot"]]
    assert house.versions(first["snapshot"]) == []


def test_what_somebody_deletes_by_name_is_told_and_comes_to_no_harm(house: House) -> None:
    first, second = house.backup(), later(house)
    manifest = next(key for key, _ in house.versions(second["snapshot"]) if key.endswith("manifest.json"))
    house.bucket.delete_object(Bucket=house.server.bucket, Key=manifest)
    said = house.json("snapshots", "prune", "demo", exit_code=3)
    assert "hidden by a delete marker" in said["findings"][0]
    pruned = house.json("snapshots", "prune", "demo", "--confirm", "demo", exit_code=3)
    assert (pruned["outcome"], pruned["removed"]) == ("incomplete", [])
    assert house.json("snapshots", "show", "demo/latest")["id"] == first["snapshot"]
    assert house.json("snapshots", "show", "demo/latest", "--store", "here")["id"] == second["snapshot"]


def test_a_copy_that_rots_is_set_aside_there_and_nowhere_else(house: House) -> None:
    first, second = house.backup(), later(house)
    file = next(house.copies.glob(f"demo/*/{second['snapshot'].partition('/')[2]}/*.age"))
    data = file.read_bytes()
    file.write_bytes(data[:-50] + bytes([data[-50] ^ 1]) + data[-49:])
    house.policy(verify_within="0s")
    found = house.json("snapshots", "verify", "demo", "--store", "here", exit_code=3)
    assert (found["quarantined"], found["newest"]) == ([second["snapshot"]], first["snapshot"])
    assert house.json("snapshots", "verify", "demo")["newest"] == second["snapshot"]
    assert house.json("snapshots", "show", "demo/latest", "--store", "here")["id"] == first["snapshot"]


def test_a_store_that_is_away_costs_the_copy_and_not_the_backup(house: House) -> None:
    house.policy(store="here", copies=["offsite"])
    lab_s3.stop(house.product.config.parent.parent / "s3")
    done = house.json("backup", "demo", exit_code=3)
    assert done["outcome"] == "degraded"
    assert "it is not copied to offsite" in done["findings"][-1]
    assert house.json("snapshots", "verify", done["snapshot"])["ok"]


def later(house: House) -> dict[str, Any]:
    """In a second of its own, which is its name."""
    with house.etcd.first.at() as etcd:
        etcd.put("key", str(time.time()).encode())
    began = int(time.time())
    until(lambda: int(time.time()) > began + 1, 5)
    return house.backup()
