"""What only looks like lost quorum, made on real nodes: it is told first, and without it the cluster is back."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.lab.lab import Lab, node_exec
from deploy.lab.pki import authority
from tests.e2e.conftest import product
from tests.e2e.product import Product, until

pytestmark = pytest.mark.lab
TOOL = "/usr/local/bin/etcdutl"
DATA, PKI = "/var/lib/etcd/default", "/etc/etcd/pki"
UNIT = "$(systemctl show -p FragmentPath --value etcd.service)"
RESTART = "systemctl reset-failed etcd; systemctl daemon-reload; systemctl restart etcd"
SHUT = "table inet t { chain in { type filter hook input priority 0; tcp dport 2380 drop; }; }"


@pytest.fixture(scope="module")
def alone(alone_lab: Lab) -> Iterator[Product]:
    for quorate in product(alone_lab):
        quorate.backup()
        yield quorate


def on_node(made: Lab, script: str, number: int = 0) -> str:
    code, said = node_exec(made, made.nodes[number].name, ["sh", "-c", script])
    assert code == 0, said
    return said


def expired() -> str:
    """A certificate that ended yesterday, in the place of the one that etcd shows to clients."""
    pair = authority("of yesterday").sign("etcd", until=datetime.now(UTC) - timedelta(days=1))
    files = {"crt": pair.cert, "key": pair.key}
    laid = [f"echo {base64.b64encode(text).decode()} | base64 -d >{PKI}/server.{end}" for end, text in files.items()]
    return "; ".join([f"cp -a {PKI} {PKI}.before", *laid, RESTART])


def checked(alone: Product, exit_code: int = 0) -> dict[str, Any]:
    """What doctor says of the restore tool."""
    checks = alone.json("doctor", alone.cluster, exit_code=exit_code)["checks"]
    found: dict[str, Any] = next(check for check in checks if check["id"] == "restore-tool")
    return found


def test_a_node_that_lost_its_restore_tool_is_restored_with_what_a_backup_has_kept(alone: Product) -> None:
    made, healthy = alone.lab, ("--override-gate", "quorum-healthy", "--reason", "it is a test")
    assert alone.backup()["notes"] == []
    on_node(made, f"mv {TOOL} {TOOL}.away")
    try:
        there = checked(alone)
        assert (there["ok"], "out of the store runs here" in there["said"]) == (True, True)
        result = alone.restore(*healthy)
        assert result["outcome"] == "restored"
        assert "equip" in {step["id"] for step in result["steps"]}
        assert on_node(made, "find /var/lib/quorate /var/lib/quorate-try* -name 'etcdutl*' 2>/dev/null || true") == ""
        alone.backup()  # of the cluster that was restored
        with damaged(made):
            assert "is not what was stored" in checked(alone, exit_code=3)["said"]
            undone = alone.restore(*healthy, exit_code=9)
            assert (undone["outcome"], undone["error"]["kind"]) == ("undone", "corrupt")
    finally:
        on_node(made, f"mv {TOOL}.away {TOOL}")
    assert checked(alone)["ok"]


@contextmanager
def damaged(made: Lab) -> Iterator[None]:
    """One byte of the tool in the store is another."""
    (packed,) = (made.folder / "s3").rglob("etcdutl.backup-*.zst")
    whole = packed.read_bytes()
    packed.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        yield
    finally:
        packed.write_bytes(whole)


BACK = f"rm -rf {PKI}; mv {PKI}.before {PKI}; {RESTART}"
ADDRESS = f"sed -i 's|listen-peer-urls=https://[0-9.]*|listen-peer-urls=https://10.99.99.99|' {UNIT}"


@pytest.mark.parametrize(
    ("wreck", "repair", "said"),
    [
        (f"systemctl stop etcd; chown -R root:root {DATA}; {RESTART} || true", "", "belongs to root:root"),
        (expired(), BACK, f"the certificate {PKI}/server.crt expired 1.0 days ago"),
        (
            f"cp {UNIT} /root/before; {ADDRESS}; {RESTART} || true",
            f"cp /root/before {UNIT}; {RESTART}",
            "no interface has 10.99.99.99; it has ",
        ),
    ],
    ids=["owner", "certificate", "address"],
)
def test_a_cause_is_told_first_refuses_a_restore_and_is_all_that_was_wrong(
    alone: Product, wreck: str, repair: str, said: str
) -> None:
    made = alone.lab
    on_node(made, wreck)
    try:
        first = alone.json("inspect", alone.cluster, exit_code=3)["findings"][0]
        refusals = alone.json("plan", "restore", alone.cluster, exit_code=4)["refusals"]
    finally:
        command = repair or first["next"].partition(" sudo ")[2].partition("  #")[0]
        on_node(made, f"{command}; {RESTART}")
    assert first["id"] == "cause-not-removed"
    assert said in first["message"]
    assert said in next(gate["evidence"] for gate in refusals if gate["id"] == "cause-not-removed")
    until(lambda: alone.run("inspect", alone.cluster).returncode == 0)


def test_a_firewall_between_members_that_all_run_is_told_and_where_it_is(bare: Product) -> None:
    names = [node.name for node in bare.lab.nodes]
    for number in range(3):
        on_node(bare.lab, f"nft '{SHUT}'", number)
    try:
        inspected = bare.json("inspect", bare.cluster, exit_code=3)  # its reads wait for longer than an election
    finally:
        for number in range(3):
            on_node(bare.lab, "nft delete table inet t", number)
    assert not inspected["quorum"]["holds"]
    told = {each["message"] for each in inspected["findings"] if each["id"] == "cause-not-removed"}
    assert len(told) == 3
    for name in names:
        mine = next(each for each in told if each.startswith(f"{name}: it listens at "))
        assert all(f"{other} gets no answer" in mine for other in names if other != name)
        assert ":2379" not in mine
    until(lambda: bare.run("inspect", bare.cluster).returncode == 0)


def test_nodes_that_are_said_to_be_off_and_serve_are_found_out_by_the_one_that_is_left(bare: Product) -> None:
    others = [node.name for node in bare.lab.nodes[1:]]
    said = [word for name in others for word in ("--powered-off", f"{name}=it looks dark")]
    for number in (1, 2):
        on_node(bare.lab, "systemctl stop ssh", number)
    try:
        plan = bare.json("plan", "restore", bare.cluster, *said, exit_code=4)
    finally:
        for number in (1, 2):
            on_node(bare.lab, "systemctl start ssh", number)
    refused = {gate["id"]: gate for gate in plan["refusals"]}
    assert not refused["majority-unreachable"]["overridable"]
    for name in others:
        assert f"{name} is said to be off, but its etcd answers" in refused["majority-unreachable"]["evidence"]
        assert f"so {name} is not off" in refused["majority-unreachable"]["evidence"]
    assert plan["powered_off"] == [f"{name}=it looks dark" for name in others]
