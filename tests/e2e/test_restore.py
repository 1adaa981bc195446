"""Backup, wreck, restore, proof: on real nodes, with the commands that people type."""

import base64
import contextlib
import itertools
import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import pytest
import urllib3

from deploy.lab.https import Identity
from deploy.lab.lab import Lab, digest, load, node_exec, wreck
from deploy.lab.spec import Etcd
from tests.e2e.drafting import drafted, fingerprints, ours
from tests.e2e.product import Product, left, on_node, until
from tests.e2e.returning import Member, called_in_vain, returned

pytestmark = pytest.mark.lab
TLS = ("ca", "cert", "key")
HEALTHY = ("--override-gate", "quorum-healthy", "--reason", "it is a test")


def revision(product: Product) -> int:
    """The highest that any member serves."""
    answer = json.loads(product.run("inspect", product.cluster, "-o", "json").stdout)
    return max(member["revision"] or 0 for member in answer["members"])


def put(product: Product, key: str, node: int = 0) -> None:
    exit_code, said = node_exec(product.lab, product.lab.nodes[node].name, etcdctl("put", key, "x"))
    assert exit_code == 0, said


def get(product: Product, key: str) -> str:
    _, said = node_exec(product.lab, product.lab.nodes[0].name, etcdctl("get", key, "--print-value-only"))
    return said.strip()


def etcdctl(*words: str) -> list[str]:
    tls = [
        f"--{flag}=/etc/etcd/pki/{name}"
        for flag, name in (("cacert", "ca.crt"), ("cert", "server.crt"), ("key", "server.key"))
    ]
    return ["etcdctl", "--endpoints=https://127.0.0.1:2379", *tls, *words]


def test_quorum_is_lost_and_everything_in_the_backup_comes_back(bare: Product, tmp_path: Path) -> None:
    load(bare.lab, 8)
    before = digest(bare.lab)
    backup = bare.backup()
    put(bare, "after-the-backup")
    highest = revision(bare)
    wreck(bare.lab, "quorum-loss")
    drawn = drafted(bare.lab, tmp_path, *ours(bare.lab))  # somebody may hear of Quorate only now
    assert (drawn.code, drawn.differing(bare.lab)) == (3, set())
    inspected = bare.json("inspect", bare.cluster, exit_code=3)
    assert any("restore" in (finding.get("next") or "") for finding in inspected["findings"])
    result = bare.restore()
    assert (result["outcome"], result["snapshot"]) == ("restored", backup["snapshot"])
    assert digest(bare.lab) == before
    assert get(bare, "after-the-backup") == ""
    assert [(each["kind"], each["gone"], each["names"]) for each in result["differences"]] == [
        ("after-the-backup", 1, ["-after-the-backup"])
    ]  # told by the one member that was left
    assert result["served_revision"] > highest
    for node in range(3):
        put(bare, f"/through/{node}", node)
    assert bare.json("inspect", bare.cluster)["findings"] == []
    assert bare.run("audit", "verify", result["operation"]).returncode == 0


def test_one_snapshot_restored_twice_never_serves_a_revision_twice(bare: Product) -> None:
    snapshot = bare.backup()["snapshot"]
    served = []
    for _ in range(2):
        result = bare.restore("--snapshot", snapshot, *HEALTHY)
        put(bare, "/more")
        served += [result["served_revision"], revision(bare)]
    assert served == sorted(served)
    assert len(set(served)) == 4


def test_nothing_of_a_restore_is_undone_when_the_power_fails_everywhere(bare: Product) -> None:
    bare.backup()
    bare.restore(*HEALTHY)
    all_powered_off_and_on(bare)


def all_powered_off_and_on(product: Product) -> None:
    """Whatever stands after a restore stands by itself: the same members, data and units, and nothing is barred."""
    content, stood = digest(product.lab), standing(product)
    for kind in ("stop-node", "start-node"):
        for node in product.lab.nodes:
            wreck(product.lab, kind, node.name)
    until(lambda: standing(product) == stood, 90)
    assert digest(product.lab) == content


def standing(product: Product) -> list[tuple[object, ...]]:
    """Every member as `inspect` tells it, and what lies on its node."""
    told = json.loads(product.run("inspect", product.cluster, "-o", "json").stdout)
    fields = ("name", "healthy", "cluster_id", "member_id", "members", "node")
    return [
        (
            *(member.get(name) for name in fields),
            left(product, node),
            node_exec(product.lab, node.name, ["sh", "-c", "ls /var/lib/etcd; nft list tables"]),
        )
        for member, node in zip(told["members"], product.lab.nodes, strict=True)
    ]


def test_a_healthy_quorum_is_not_restored_over(bare: Product) -> None:
    before = digest(bare.lab)
    refused = bare.restore(exit_code=4)
    assert (refused["outcome"], refused["error"]["kind"]) == ("refused", "refused")
    assert "quorum-healthy" in refused["error"]["message"]
    assert digest(bare.lab) == before


def test_nobody_else_writes_before_the_restore_is_verified(bare: Product) -> None:
    """A client hammers every member all the time; between the swap and the admission nothing is acknowledged."""
    bare.backup()
    with Hammer.of(bare.lab.etcd) as hammer:
        result = bare.restore(*HEALTHY)
        until(lambda: bool(hammer.written) and hammer.written[-1] > time.time() - 1)
    trail = bare.trail(result["operation"])
    hammer.check(trail)


def at(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(record["time"]).timestamp()


class Hammer:
    """Posts to its URLs by turns until it is told to stop; `written` are the times of its answers."""

    def __init__(self, urls: tuple[str, ...], identity: Identity, body: dict[str, Any]) -> None:
        self.written: list[float] = []
        self.stop = threading.Event()
        self.urls, self.body = urls, json.dumps(body).encode()
        tls = {"ca_certs": identity.ca, "cert_file": identity.cert, "key_file": identity.key}
        self.pool = urllib3.PoolManager(**tls, retries=False, headers={"Content-Type": "application/json"})
        self.thread = threading.Thread(target=self.run)

    @classmethod
    def of(cls, etcd: Etcd) -> Self:
        """A client that writes through every member."""
        key = base64.b64encode(b"/hammer").decode()
        urls = tuple(f"{url}/v3/kv/put" for url in etcd.endpoints)
        return cls(urls, Identity(etcd.ca, etcd.cert, etcd.key), {"key": key, "value": key})

    def run(self) -> None:
        for url in itertools.cycle(self.urls):
            if self.stop.is_set():
                return
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                if self.pool.request("POST", url, body=self.body, timeout=0.5).status in (200, 201):
                    self.written.append(time.time())

    def check(self, trail: list[dict[str, Any]]) -> None:
        """It wrote before the data was swapped and after the clients were admitted, and not between."""
        swapped = max(at(record) for record in trail if record.get("step") == "swap")
        admitted = min(at(record) for record in trail if "/usr/sbin/nft" in record.get("argv", ()))
        assert [each for each in self.written if swapped < each < admitted] == []
        assert min(self.written) < swapped < admitted < max(self.written)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


def test_members_of_before_that_come_back_with_their_data_never_join(bare: Product) -> None:
    never_join(bare)


def never_join(product: Product) -> None:
    """One alone calls for votes in vain; a majority of them is the old cluster again, beside the restored one."""
    staying, second, third = members = tuple(Member(product.lab, number) for number in range(3))
    put(product, "/given-up")
    operation = product.restore(*HEALTHY)["operation"]
    put(product, "/restored")
    stood = staying.cluster_id, staying.members
    with returned(product.lab, 2, operation) as since:
        until(lambda: called_in_vain(third, (staying, second), since), poll_s=0.2)
        assert third.status == {}  # it waits for its own cluster, and serves nobody
        assert staying.puts("/meanwhile")
        assert [(each.cluster_id, each.members) for each in (staying, second)] == [stood, stood]
        assert not any(each.holds("/given-up") for each in (staying, second))
        with returned(product.lab, 1, operation):
            until(lambda: third.puts("/beside"), poll_s=0.2)
            assert second.cluster_id == third.cluster_id != stood[0]
            until(lambda: (staying.cluster_id, staying.leader) == (stood[0], 0), poll_s=0.2)
            assert (third.holds("/given-up"), third.holds("/restored")) == (True, False)
            found = product.json("inspect", product.cluster, exit_code=3)["findings"]
            assert found[0]["id"] == "mixed-ids"
    until(lambda: all(each.leader for each in members), poll_s=0.2)
    assert {(each.cluster_id, each.members) for each in members} == {stood}
    for each in members:
        assert each.holds("/restored")
        assert each.holds("/meanwhile")
        assert not each.holds("/given-up")
        assert not each.holds("/beside")


def test_a_plan_changes_nothing_and_has_one_digest(bare: Product) -> None:
    first, second = (bare.json("plan", "restore", bare.cluster, exit_code=4) for _ in range(2))
    assert first["digest"] == second["digest"]
    for node in bare.lab.nodes:
        assert node_exec(bare.lab, node.name, ["test", "-e", f"/var/lib/quorate/{bare.cluster}/claim"])[0] == 1


def test_inspect_works_with_no_daemon_at_all(bare: Product) -> None:
    bare.down()
    try:
        assert bare.json("inspect", bare.cluster)["findings"] == []
        assert bare.run("backup", bare.cluster, "-o", "json").returncode == 6
    finally:
        bare.up()


def test_init_finds_all_members_from_one_and_the_inventory_it_writes_works(bare: Product, tmp_path: Path) -> None:
    """With nothing but a key to log in with: host keys by their fingerprints, certificates from a node."""
    drawn = drafted(bare.lab, tmp_path, *fingerprints(bare.lab), "--fetch-pki", str(tmp_path / "pki"), host=1)
    files = {f"clusters.{bare.cluster}.{each}" for each in ("ssh.known_hosts", *(f"etcd.tls.{n}" for n in TLS))}
    assert (drawn.code, drawn.differing(bare.lab)) == (0, {*files, "state_dir"})
    found = Product(bare.lab, drawn.config).json("inspect", bare.cluster, exit_code=3)
    assert [each["id"] for each in found["findings"]] == ["no-backup"]


def test_etcd_of_earlier_minors_comes_back_too(old: Product, tmp_path: Path) -> None:
    """The tool of 3.4.23 cannot raise the revision: there canary writes do, and leave no key."""
    load(old.lab, 4)
    before = digest(old.lab)
    assert drafted(old.lab, tmp_path, *ours(old.lab)).differing(old.lab) == set()
    old.backup()
    put(old, "after-the-backup")
    highest = revision(old)
    wreck(old.lab, "quorum-loss")
    with toolless(old.lab, 2):
        result = old.restore()
    assert result["outcome"] == "restored"
    assert "equip" in {step["id"] for step in result["steps"]}
    assert digest(old.lab) == before
    assert result["served_revision"] > highest
    assert by_canary(old, result["operation"]) == (old.lab.spec.etcd == "3.4")
    assert old.run("audit", "verify", result["operation"]).returncode == 0


@contextlib.contextmanager
def toolless(made: Lab, number: int) -> Iterator[None]:
    """One node has no tool of its own, so it gets the one that a backup has kept."""
    on_node(made, "cd /usr/local/bin; mkdir away; mv etcdctl away; mv etcdutl away || true", number)
    try:
        yield
    finally:
        on_node(made, "cd /usr/local/bin; mv away/* .; rmdir away", number)


def test_a_revision_is_never_served_twice_with_an_old_tool_either(old: Product) -> None:
    """Nor does a watch of before go on in silence: what it asks for is compacted."""
    snapshot = old.backup()["snapshot"]
    before, served = digest(old.lab), [revision(old)]
    for _ in range(2):
        result = old.restore("--snapshot", snapshot, *HEALTHY)
        assert compacted(old, served[-1])
        assert digest(old.lab) == before
        put(old, "/more")
        served += [result["served_revision"], revision(old)]
    assert served == sorted(served)
    assert len(set(served)) == 5


@pytest.mark.long
def test_old_members_of_earlier_minors_never_join_either(old: Product) -> None:
    never_join(old)


def by_canary(product: Product, operation: str) -> bool:
    acts = [command for _, command in product.acts(operation)]
    passed = any(command.startswith("etcd put quorate/canary/") and " until " in command for command in acts)
    assert passed == any(command.startswith("etcd compact ") for command in acts)
    return passed


def compacted(product: Product, revision: int) -> bool:
    read = etcdctl("get", "/", f"--rev={revision}")
    return all("compacted" in node_exec(product.lab, node.name, read)[1] for node in product.lab.nodes)


def test_init_writes_the_labs_own_inventory_with_a_control_plane(whole: Product, tmp_path: Path) -> None:
    drawn = drafted(whole.lab, tmp_path, *ours(whole.lab))
    assert (drawn.code, drawn.differing(whole.lab), drawn.said["findings"]) == (0, set(), [])


def test_a_control_plane_works_on_the_restored_etcd(whole: Product) -> None:
    load(whole.lab, 4)
    before = digest(whole.lab)
    assert before.objects > 100
    whole.backup()
    wreck(whole.lab, "quorum-loss")
    result = whole.restore()
    assert result["outcome"] == "restored"
    assert result["api_outage_s"] > 0
    assert digest(whole.lab) == before
    assert {step["id"] for step in result["steps"]} >= {"fence-api", "start-api", "verify-api"}
    all_powered_off_and_on(whole)
