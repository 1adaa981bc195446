"""What a person may do to a restore that runs: cancel it, retry it, give it up."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.lab.lab import Node, digest, load, node_exec
from deploy.lab.wreck import do, wreck
from tests.e2e.product import Product, left, until
from tests.e2e.test_restore import etcdctl, put, revision

pytestmark = pytest.mark.lab
OVERRIDE = ("--override-gate", "quorum-healthy", "--reason", "it is a test")
ETCD, TOOL = "/usr/local/bin/etcd", "/usr/local/bin/etcdutl"
SLOW = f"""#!/bin/sh
case "$2" in restore) while [ -e /run/slow ]; do sleep 0.05; done;; esac
exec {TOOL}.real "$@"
"""


@pytest.fixture(scope="module")
def quorate(bare: Product) -> Product:
    load(bare.lab, 4)
    bare.backup()
    return bare


def ended(waiting: "subprocess.Popen[str]") -> tuple[int, dict[str, Any]]:
    said, trouble = waiting.communicate(timeout=120)
    assert "Traceback" not in trouble
    return waiting.returncode, json.loads(said)


def running(product: Product) -> str:
    """The operation that has the cluster, as soon as there is one."""
    found: list[str] = []

    def there() -> bool:
        listed = product.json("operations", "ls")["operations"]
        found[:] = [each["operation"] for each in listed if each["state"] == "running"]
        return bool(found)

    until(there)
    return found[0]


@contextmanager
def slow_staging(product: Product, node: Node) -> Iterator[None]:
    """The node's restore tool does not begin before the block is left."""
    do(
        product.lab,
        node,
        "sh",
        "-c",
        f"touch /run/slow; mv {TOOL} {TOOL}.real; echo '{SLOW}' > {TOOL}; chmod 755 {TOOL}",
    )
    try:
        yield
    finally:
        do(product.lab, node, "rm", "/run/slow")


@contextmanager
def no_etcd(product: Product, node: Node) -> Iterator[None]:
    """The program is gone from the node; the member that runs does not notice, the next start does."""
    do(product.lab, node, "mv", ETCD, f"{ETCD}.away")
    try:
        yield
    finally:
        do(product.lab, node, "mv", f"{ETCD}.away", ETCD)


def test_a_cancel_while_it_stages_leaves_everything_as_it_was(quorate: Product) -> None:
    before, node = digest(quorate.lab), quorate.lab.nodes[1]
    with quorate.begin_restore(*OVERRIDE) as waiting:
        with slow_staging(quorate, node):
            operation = running(quorate)
            until(
                lambda: any("snapshot restore" in " ".join(each.get("argv", ())) for each in quorate.trail(operation))
            )
            cancelled = quorate.json("cancel", operation, "--as", "kim")
        do(quorate.lab, node, "mv", f"{TOOL}.real", TOOL)
        code, result = ended(waiting)
    assert "once this step is over: Restore the snapshot beside" in cancelled["done"]
    assert (code, result["outcome"], result["error"]["kind"]) == (9, "undone", "cancelled")
    assert result["decisions"][-1] == "cancelled by kim"
    assert digest(quorate.lab) == before
    assert [left(quorate, each) for each in quorate.lab.nodes] == [[], [], []]
    assert quorate.run("audit", "verify", operation).returncode == 0
    again = quorate.json("cancel", operation, exit_code=4)
    assert again["error"]["message"] == f"{operation} is over"


def two_people(product: Product, **policy: object) -> Product:
    """The same cluster, on which one is not enough."""
    inventory = yaml.safe_load(product.config.read_text())
    inventory["clusters"][product.cluster]["approval"] = {"people": 2, **policy}
    config = product.config.with_name("two.yaml")
    config.write_text(yaml.safe_dump(inventory))
    return Product(product.lab, config)


def to_sign(product: Product, approve: tuple[str, ...]) -> str:
    """As soon as an approval is awaited."""
    said: list[str] = []

    def there() -> bool:
        done = product.run(*approve, "--print-message")
        said[:] = [done.stdout]
        return done.returncode == 0

    until(there, poll_s=0.2)
    return said[0]


def test_a_second_person_on_another_machine_approves_with_a_key(quorate: Product, tmp_path: Path) -> None:
    """The message travels one way and the signature the other; another key is denied meanwhile."""
    for name in ("kim", "lee"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    kim = {"name": "kim", "ssh_key": (tmp_path / "kim.pub").read_text().strip()}
    two, before = two_people(quorate, approvers=[kim]), digest(quorate.lab)
    with two.begin_restore(*OVERRIDE) as waiting:
        operation = running(two)
        until((two.state / "operations" / operation / "plan.json").exists)
        approve = ("approve", operation, "--digest", two.json("operations", "show", operation)["digest"])
        (tmp_path / "message").write_text(to_sign(two, approve))
        denied = two.json(*approve, "--key", str(tmp_path / "lee"), exit_code=5)
        sign = ["ssh-keygen", "-q", "-Y", "sign", "-n", "quorate-approve", "-f", "kim", "message"]
        subprocess.run(sign, cwd=tmp_path, check=True)
        approved = two.json(*approve, "--signature", str(tmp_path / "message.sig"))
        code, result = ended(waiting)
    assert "not among the keys of kim" in denied["error"]["message"]
    assert (code, result["outcome"], digest(quorate.lab)) == (0, "restored", before)
    assert approved["done"] == result["decisions"][1]
    assert approved["done"].startswith("approved by kim with the key SHA256:")
    said = [
        (each.get("exit"), each.get("tail", "")) for each in quorate.trail(operation) if each["event"] == "outcome"
    ]
    own, no, yes = said[:3]
    assert own == (0, result["decisions"][0])
    assert (no[0], no[1][:8]) == (5, "denied: ")
    assert yes == (0, approved["done"])
    assert quorate.run("audit", "verify", operation).returncode == 0


def test_a_cancel_while_it_waits_for_approval_has_changed_nothing(quorate: Product) -> None:
    two, before = two_people(quorate), digest(quorate.lab)
    with two.begin_restore(*OVERRIDE) as waiting:
        operation = running(two)
        cancelled = two.json("cancel", operation)
        code, result = ended(waiting)
    assert cancelled["done"].endswith("nothing was begun, nothing is changed")
    assert (code, result["outcome"], result["error"]["kind"]) == (5, "refused", "not-approved")
    assert digest(quorate.lab) == before
    assert [left(quorate, each) for each in quorate.lab.nodes] == [[], [], []]
    assert quorate.run("audit", "verify", operation).returncode == 0


def test_a_hold_refuses_a_cancel_and_takes_a_retry(quorate: Product) -> None:
    before, node = digest(quorate.lab), quorate.lab.nodes[1]
    with no_etcd(quorate, node):
        held = quorate.restore(*OVERRIDE, exit_code=10)
        operation = held["operation"]
        assert (held["outcome"], held["error"]["kind"]) == ("held", "held")
        assert f"held at step start: {node.name}" in held["error"]["message"]
        assert f"quorate --config {quorate.config} retry {operation}" in held["error"]["next"]
        refused = quorate.json("cancel", operation, exit_code=4)
        assert "nothing is undone any more" in refused["error"]["message"]
        assert quorate.json("watch", operation, exit_code=10)["where"] == held["where"]
    assert quorate.json("retry", operation, "--as", "kim")["done"] == "retry at step start by kim"
    result = quorate.json("watch", operation)
    assert (result["outcome"], result["decisions"][-1]) == ("restored", "retry at step start by kim")
    assert digest(quorate.lab) == before
    assert quorate.run("audit", "verify", operation).returncode == 0


def hashes(product: Product, revision: int) -> list[dict[str, Any]]:
    """What every member says of all keys at one revision."""
    ask = etcdctl("endpoint", "hashkv", f"--rev={revision}", "-w", "json")
    said = [json.loads(node_exec(product.lab, node.name, ask)[1])[0]["HashKV"] for node in product.lab.nodes]
    return [{key: each[key] for key in ("hash", "compact_revision")} for each in said]


def cluster_id(product: Product) -> str:
    members = node_exec(product.lab, product.lab.nodes[0].name, etcdctl("member", "list", "-w", "json"))[1]
    return str(json.loads(members)["header"]["cluster_id"])


def test_a_rollback_serves_exactly_what_was_served_before(quorate: Product) -> None:
    put(quorate, "/after-the-backup")
    at, node = revision(quorate), quorate.lab.nodes[1]
    before = (digest(quorate.lab), cluster_id(quorate), hashes(quorate, at))
    with no_etcd(quorate, node):
        held = quorate.restore(*OVERRIDE, exit_code=10)
    operation = held["operation"]
    assert f"rollback {operation}" in held["error"]["next"]
    refused = quorate.json("skip", operation, exit_code=4)
    assert "possible: retry, rollback, abort" in refused["error"]["message"]
    result = quorate.json("rollback", operation, "--as", "kim", exit_code=9)
    assert (result["outcome"], result["decisions"][-1]) == ("undone", "rollback at step start by kim")
    kept = f"/var/lib/etcd/default.quorate-{operation}-g1"
    assert [where.partition("the restored in ")[2] for where in result["where"]] == [kept]
    assert (digest(quorate.lab), cluster_id(quorate), hashes(quorate, at)) == before
    assert revision(quorate) >= at
    assert [left(quorate, each) for each in quorate.lab.nodes] == [[kept]] * 3
    assert quorate.run("audit", "verify", operation).returncode == 0
    assert quorate.json("watch", operation, exit_code=9) == result
    for each in quorate.lab.nodes:
        do(quorate.lab, each, "rm", "-r", kept)


def test_an_abort_leaves_bars_and_claims_and_says_where_the_data_is(quorate: Product) -> None:
    node = quorate.lab.nodes[1]
    with no_etcd(quorate, node):
        operation = quorate.restore(*OVERRIDE, exit_code=10)["operation"]
    try:
        aborted = quorate.json("abort", operation, "--as", "kim", exit_code=10)
        assert (aborted["outcome"], aborted["decisions"][-1]) == ("held", "abort at step start by kim")
        live, kept = "/var/lib/etcd/default", f"/var/lib/etcd/default.before-{operation}"
        assert [where.partition(" the data from before is in ")[2] for where in aborted["where"]] == [
            f"{kept}, the restored in {live}"
        ]
        for each in quorate.lab.nodes:
            do(quorate.lab, each, "test", "-d", live, "-a", "-d", kept)
            assert any(path.endswith("/claim") for path in left(quorate, each))
            assert any("00-quorate" in path for path in left(quorate, each))
        assert quorate.json("watch", operation, exit_code=10) == aborted
        shown = quorate.run("operations", "show", operation).stdout
        assert all(said in shown for said in ("abort at step start by kim", kept, "runbooks/restore.md"))
        assert quorate.run("audit", "verify", operation).returncode == 0
        assert quorate.json("retry", operation, exit_code=4)["error"]["kind"] == "refused"
        refused = quorate.restore(*OVERRIDE, exit_code=4)
        assert [gate["id"] for gate in refused["refusals"]] == ["claimed"]
        assert operation in refused["error"]["message"]
    finally:
        by_hand(quorate, operation)


def by_hand(product: Product, operation: str) -> None:
    """The rest of the page, so that the cluster serves again and is nobody's; a backup at once, as it says."""
    home = f"/var/lib/quorate/{product.cluster}"
    rest = (
        "nft delete table inet quorate",
        "rm -rf /var/lib/quorate/fence /etc/systemd/system/*/0?-quorate-*",
        "systemctl daemon-reload",
        "systemctl start --no-block etcd.service",
        f"mv -T {home}/claim {home}/{operation}/released",
    )
    for node in product.lab.nodes:
        do(product.lab, node, "sh", "-c", "; ".join(rest))
    until(lambda: product.run("backup", product.cluster).returncode == 0, poll_s=0.5)


def test_a_frozen_cluster_stays_so_through_reboot_and_rollback_until_it_is_thawed(quorate: Product) -> None:
    lab, name = quorate.lab, quorate.cluster
    put(quorate, "before-the-freeze")
    before = digest(lab)
    assert quorate.json("freeze", name, "--confirm", name, exit_code=4)["error"]["kind"] == "refused"
    result = quorate.json("freeze", name, "--confirm", name, *OVERRIDE)
    assert (result["outcome"], result["error"]) == ("frozen", None)
    assert {step["id"] for step in result["steps"]} == {"claim", "note", "bar", "fence", "release"}
    wreck(lab, "reboot", lab.nodes[0].name)
    until(lambda: all(fenced(quorate, node) for node in lab.nodes))
    first = quorate.json("inspect", name, exit_code=3)["findings"][0]
    assert (first["id"], first["next"].endswith(f"thaw {name}")) == ("frozen", True)

    with no_etcd(quorate, lab.nodes[1]):
        held = quorate.json("restore", name, "--confirm", name, exit_code=10)
        assert quorate.json("rollback", held["operation"], exit_code=9)["outcome"] == "undone"
    assert all(fenced(quorate, node) for node in lab.nodes)

    assert quorate.json("thaw", name, "--confirm", name)["outcome"] == "thawed"
    assert digest(lab) == before
    assert quorate.json("inspect", name)["findings"] == []
    assert quorate.run("audit", "verify", result["operation"]).returncode == 0

    kept = f"/var/lib/etcd/default.quorate-{held['operation']}-g1"
    assert [left(quorate, node) for node in lab.nodes] == [[kept]] * 3
    rows = {row["path"]: row for row in quorate.json("tidy", name, "--older-than", "1s")["kept"]}
    assert (rows[kept]["remove"], "no verified backup" in rows[kept]["reason"]) == (False, True)
    quorate.backup()
    assert quorate.json("tidy", name, "--older-than", "1s", "--confirm", name)["outcome"] == "tidied"
    assert [left(quorate, node) for node in lab.nodes] == [[]] * 3
    assert (digest(lab), quorate.json("inspect", name)["findings"]) == (before, [])


def fenced(product: Product, node: Node) -> bool:
    """It answers, and its etcd is down and refuses to start."""
    script = "systemctl is-system-running >/dev/null; ! pidof etcd && ! systemctl start etcd.service"
    return node_exec(product.lab, node.name, ["sh", "-c", script])[0] == 0
