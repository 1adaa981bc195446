"""Authentication enabled in etcd: everything goes with a password, and that of the snapshot is tried beforehand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.x509 import load_pem_x509_certificate
from cryptography.x509.oid import NameOID

from deploy.lab.lab import Lab, node_exec
from tests.e2e.product import Product, left, on_node
from tests.e2e.test_restore import etcdctl

pytestmark = pytest.mark.lab
HEALTHY = ("--override-gate", "quorum-healthy", "--reason", "it is a test")
FIRST, SECOND = "first-password", "second-password"
FILES = {FIRST: "then.secret", SECOND: "now.secret"}


@pytest.fixture(scope="module")
def authed(bare_lab: Lab) -> Iterator[Product]:
    """A password is asked for, and the inventory knows it."""
    for words in (("user", "add", f"root:{FIRST}"), ("auth", "enable")):
        typed(bare_lab, *words)
    with_password(bare_lab, FIRST)
    quorate = Product(bare_lab, Path(bare_lab.config))
    try:
        quorate.up()
        typed(bare_lab, "put", "key", "kept", password=FIRST)
        assert quorate.backup()["outcome"] == "verified"
        yield quorate
    finally:
        quorate.down()


def typed(made: Lab, *words: str, password: str = "") -> str:
    login = (f"--user=root:{password}",) if password else ()
    code, said = node_exec(made, made.nodes[0].name, etcdctl(*login, *words))
    assert code == 0, said
    return said.strip()


def with_password(made: Lab, password: str | None) -> None:
    """In the inventory from now on."""
    config = Path(made.config)
    inventory: dict[str, Any] = yaml.safe_load(config.read_text())
    etcd = inventory["clusters"][made.name]["etcd"]
    etcd.pop("auth", None)
    if password:
        file = config.with_name(FILES[password])
        file.write_text(password)
        etcd["auth"] = {"user": "root", "password": f"file:{file}"}
    config.write_text(yaml.safe_dump(inventory))


def value(made: Lab, password: str) -> str:
    return typed(made, "get", "key", "--print-value-only", password=password)


def test_it_is_backed_up_lost_and_restored_with_its_users(authed: Product) -> None:
    made = authed.lab
    typed(made, "put", "key", "later", password=FIRST)
    for node in (0, 1, 2):
        on_node(made, "systemctl stop etcd; rm -rf /var/lib/etcd/default/*", node)
    plan = authed.json("plan", "restore", authed.cluster)
    steps = [step["id"] for step in plan["steps"]]
    assert steps[2:6] == ["compare", "rehearse", "log-in", "strike"]
    result = authed.restore()
    assert (result["outcome"], value(made, FIRST)) == ("restored", "kept")
    code, said = node_exec(made, made.nodes[0].name, etcdctl("get", "key"))
    assert (code == 0, "user name is empty" in said or "permission denied" in said) == (False, True)
    assert authed.json("inspect", authed.cluster)["findings"] == []
    assert [left(authed, node) for node in made.nodes] == [[], [], []]
    assert on_node(made, "ls -d /var/lib/etcd/default.*-copy* 2>/dev/null || true") == ""
    assert FIRST not in "".join(path.read_text() for path in authed.state.rglob("*.json*"))


def test_a_password_that_is_not_as_of_the_snapshot_is_found_out_before_anything_is_stopped(authed: Product) -> None:
    made = authed.lab
    change_password(made)
    with_password(made, SECOND)
    running = [on_node(made, "pidof etcd", node) for node in (0, 1, 2)]
    undone = authed.restore(*HEALTHY, exit_code=9)
    assert (undone["outcome"], undone["error"]["kind"]) == ("undone", "refused")
    assert "does not know us" in undone["error"]["message"]
    assert "etcd.auth" in undone["error"]["next"]
    assert [on_node(made, "pidof etcd", node) for node in (0, 1, 2)] == running
    assert [left(authed, node) for node in made.nodes] == [[], [], []]


def change_password(made: Lab) -> None:
    """Of the cluster, unless that has been done."""
    first = made.nodes[0].name
    if node_exec(made, first, etcdctl(f"--user=root:{SECOND}", "get", "key"))[0]:
        changing = etcdctl(f"--user=root:{FIRST}", "user", "passwd", "root", "--interactive=false")
        code, said = node_exec(made, first, ["sh", "-c", f"printf '{SECOND}\\n' | {' '.join(changing)}"])
        assert code == 0, said


def test_members_that_refuse_us_are_not_taken_for_dead_ones(authed: Product) -> None:
    """The password of the inventory is as of the snapshot; the cluster has another one by now."""
    made = authed.lab
    change_password(made)
    with_password(made, FIRST)
    refused = authed.json("plan", "restore", authed.cluster, exit_code=4)
    assert [gate["id"] for gate in refused["refusals"]] == ["auth-unproved"]
    assert "refused us, so whether the cluster serves is not known" in refused["refusals"][0]["evidence"]
    result = authed.restore("--override-gate", "auth-unproved", "--reason", "its password was changed since")
    assert (result["outcome"], value(made, FIRST)) == ("restored", "kept")


def test_a_certificate_that_names_a_user_needs_no_password(authed: Product) -> None:
    """Nor does a member without a leader, which cannot tell who a password is of."""
    made = authed.lab
    mine = load_pem_x509_certificate((made.folder / "pki" / "client.crt").read_bytes())
    name = str(mine.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    for words in (("user", "add", name, "--no-password"), ("user", "grant-role", name, "root")):
        typed(made, *words, password=FIRST)
    with_password(made, None)
    try:
        assert authed.backup()["outcome"] == "verified"
        typed(made, "put", "key", "lost", password=FIRST)
        for node in (0, 1):
            on_node(made, "systemctl stop etcd; rm -rf /var/lib/etcd/default/*", node)
        told = authed.json("inspect", authed.cluster, exit_code=3)["members"]
        assert ["member_id" in each for each in told] == [False, False, True]
        steps = [step["id"] for step in authed.json("plan", "restore", authed.cluster)["steps"]]
        assert steps[2:6] == ["compare", "rehearse", "log-in", "strike"]
        result = authed.restore()
        assert (result["outcome"], value(made, FIRST)) == ("restored", "kept")
        typed(made, "user", "delete", name, password=FIRST)
    finally:
        with_password(made, FIRST)


def test_without_a_password_the_reason_is_told(authed: Product) -> None:
    with_password(authed.lab, None)
    failed = authed.run("backup", authed.cluster)
    assert failed.returncode != 0
    assert "permission denied" in failed.stderr or "user name is empty" in failed.stderr
    with_password(authed.lab, FIRST)
