"""A backup is proved where no cluster runs: what was started from it holds what it should, and nothing is left."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from activities.adapters.own_key import own_key
from deploy.lab.age import OURS
from deploy.lab.lab import Lab, load, node_exec
from quorate.backups.catalogue import parse
from quorate.backups.provenance import signed
from tests.e2e.conftest import lab, product
from tests.e2e.product import QUORATE, Product, on_node, until
from tests.e2e.standing import slow
from tests.e2e.test_auth import FIRST, typed, with_password
from tests.e2e.test_backups import checked, instead, objects

pytestmark = pytest.mark.lab
# What is on the machine: every process but ours that looks, units, and files but the lock's and the claims' own.
FOUND = r"""
ps -eo args= | grep -E '[e]tcd|[q]uorate-sandbox' | grep -v sshd || true
systemctl list-units --all --plain --no-legend 'quorate*' | cut -d' ' -f1
find /var/lib /tmp /root /home -path /var/lib/systemd -prune -o -type f ! -name released ! -name lock -print | sort
"""


@pytest.fixture(scope="module")
def apart_lab() -> Iterator[Lab]:
    """One member, and a machine that is nobody's."""
    for made in lab("s", members=1, etcd="3.6", control_plane="none", sandbox=True):
        load(made, 20)
        yield made


@pytest.fixture(scope="module")
def apart(apart_lab: Lab) -> Iterator[Product]:
    yield from product(apart_lab)


def there(quorate: Product) -> list[str]:
    assert quorate.lab.sandbox
    code, said = node_exec(quorate.lab, quorate.lab.sandbox.name, ["sh", "-ec", FOUND])
    assert code == 0, said
    return said.splitlines()


def proving(quorate: Product, what: str) -> "subprocess.Popen[str]":
    argv = [str(QUORATE), "--config", str(quorate.config), "snapshots", "verify", what, "--restore", "-o", "json"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def proofs(quorate: Product) -> set[str]:
    return {path.name for path in (quorate.state / "operations").glob("prove-*")}


def acted(quorate: Product, known: set[str], act: str) -> bool:
    """Whether the operation that is new has recorded that it is about to do this."""
    trails = (quorate.trail(operation) for operation in proofs(quorate) - known)
    return any(act in " ".join(each.get("argv", ())) for trail in trails for each in trail)


def listed(quorate: Product, snapshot: str) -> dict[str, Any]:
    rows = json.loads(quorate.run("snapshots", "ls", quorate.cluster, "-o", "json").stdout)["snapshots"]
    return next(dict(each) for each in rows if each["snapshot"] == snapshot)


def test_an_encrypted_backup_is_started_compared_and_marked_and_nothing_is_left(apart: Product) -> None:
    before = there(apart)
    snapshot = apart.backup()["snapshot"]
    assert listed(apart, snapshot)["restored_at"] is None
    result = apart.json("snapshots", "verify", apart.cluster, "--restore")
    assert (result["outcome"], result["snapshot"], result["findings"]) == ("proved", snapshot, [])
    assert result["restored_bytes"] > 20 << 20
    (stored,) = [path for path in objects(apart.lab, "manifest.json") if snapshot.split("/")[1] in str(path)]
    manifest = json.loads(stored.read_text())
    assert result["facts"]["content"] == manifest["content"]["digest"]
    assert result["facts"]["hash"] == str(manifest["hash_kv"]["hash"])
    assert listed(apart, snapshot)["restored_at"]
    assert there(apart) == before
    assert apart.run("audit", "verify", result["operation"]).returncode == 0
    secret = (apart.lab.folder / OURS).read_text().split()[-1]
    assert secret not in "".join(path.read_text() for path in apart.state.rglob("*.json*"))


def test_while_it_runs_nobody_on_that_machine_reaches_it(apart: Product) -> None:
    apart.backup()
    known, seen = proofs(apart), []
    assert apart.lab.sandbox
    name, ask = (
        apart.lab.sandbox.name,
        "for p in 2379 2380; do (exec 3<>/dev/tcp/127.0.0.1/$p) 2>&1 && echo open; done; true",
    )
    with proving(apart, apart.cluster) as waiting:
        until(lambda: acted(apart, known, "systemd-run"))
        while waiting.poll() is None:
            seen.append(node_exec(apart.lab, name, ["bash", "-c", f"{ask}; pidof etcd"])[1])
        assert waiting.returncode == 0, waiting.communicate()
    assert any(each.split()[-1:] and each.split()[-1].isdigit() for each in seen), (
        "it was never looked at while it ran"
    )
    assert [each for each in seen if "open" in each] == []


def test_what_does_not_hold_what_its_manifest_says_is_quarantined_and_the_next_good_one_named(apart: Product) -> None:
    before = there(apart)
    good, bad = apart.backup()["snapshot"], apart.backup()["snapshot"]
    spoil(apart, bad)
    result = apart.json("snapshots", "verify", bad, "--restore", exit_code=3)
    assert (result["outcome"], result["newest"]) == ("unsound", good)
    assert f"{bad} is quarantined" in result["findings"][0]
    assert "content digest" in result["findings"][0]
    assert listed(apart, bad)["quarantined_at"]
    restores = [each for _, each in apart.acts(result["operation"]) if "snapshot restore" in each]
    assert len(restores) == 2  # once may be the network's
    assert there(apart) == before
    assert apart.json("snapshots", "verify", apart.cluster, "--restore")["snapshot"] == good


def spoil(quorate: Product, snapshot: str) -> None:
    """Its manifest says that it holds something else, and is signed by our own key."""
    (path,) = [each for each in objects(quorate.lab, "manifest.json") if snapshot.split("/")[1] in str(each)]
    key = str(path.relative_to(next(each for each in path.parents if each.name == quorate.cluster).parent))
    manifest = parse(path.read_bytes(), key)
    assert manifest.content
    other = manifest.content.model_copy(update={"digest": manifest.content.digest[::-1]})
    changed = manifest.model_copy(update={"content": other, "signature": ""})
    path.write_bytes(signed(changed, own_key(Path(quorate.state / "signing.key"))).encode())


@pytest.mark.parametrize(
    "act",
    [
        pytest.param("arriving.part", marks=pytest.mark.long),
        "snapshot restore",
        "systemd-run",
        pytest.param("systemctl stop", marks=pytest.mark.long),
    ],
)
def test_a_daemon_that_is_killed_in_its_middle_changes_nothing_about_the_end(apart: Product, act: str) -> None:
    before = there(apart)
    snapshot = apart.backup()["snapshot"]
    known = proofs(apart)
    with proving(apart, snapshot) as waiting:
        until(lambda: acted(apart, known, act))
        apart.kill("daemon")
        until(lambda: apart.run("up", "--detach").returncode == 0, poll_s=0.5)
        answer, said = waiting.communicate(timeout=200)
    assert waiting.returncode == 0, answer + said
    result = json.loads(answer)
    assert (result["outcome"], result["snapshot"]) == ("proved", snapshot)
    assert there(apart) == before
    assert apart.run("audit", "verify", result["operation"]).returncode == 0


def test_one_that_is_cancelled_leaves_nothing_and_marks_nothing(apart: Product) -> None:
    before = there(apart)
    snapshot = apart.backup()["snapshot"]
    known = proofs(apart)
    assert apart.lab.sandbox
    with proving(apart, snapshot) as waiting:
        with slow(apart, apart.lab.sandbox, "mv", "-T *etcd.part *"):
            until(lambda: acted(apart, known, "etcd.part"))
            (operation,) = proofs(apart) - known
            apart.json("cancel", operation)
        answer, _ = waiting.communicate(timeout=200)
    assert (waiting.returncode, "cancelled" in json.loads(answer)["error"]["message"]) == (10, True), answer
    assert there(apart) == before
    assert listed(apart, snapshot)["restored_at"] is None


def on_sandbox(quorate: Product, script: str) -> str:
    return on_node(quorate.lab, script, len(quorate.lab.machines) - 1)


def test_the_restore_tool_comes_out_of_the_store_where_the_sandbox_has_none(apart: Product) -> None:
    snapshot, before = apart.backup()["snapshot"], there(apart)
    on_sandbox(apart, "mv /usr/local/bin/etcdutl /usr/local/bin/away")
    try:
        assert checked(apart, id_="sandbox")["said"].startswith("etcd 3.6, no restore tool: the store's is sent")
        result = apart.json("snapshots", "verify", snapshot, "--restore")
    finally:
        on_sandbox(apart, "mv /usr/local/bin/away /usr/local/bin/etcdutl")
    assert result["outcome"] == "proved"
    assert any(
        f"/{result['operation']}/etcdutl snapshot restore" in act for _, act in apart.acts(result["operation"])
    )
    assert there(apart) == before


def test_an_etcd_of_another_version_is_refused_before_anything_is_sent(apart: Product) -> None:
    snapshot, before = apart.backup()["snapshot"], there(apart)
    with etcd_of_the_sandbox(apart.lab, "/usr/bin/true"):
        refused = apart.json("snapshots", "verify", snapshot, "--restore", exit_code=4)
        assert "no etcd 3.6" in checked(apart, exit_code=3, id_="sandbox")["said"]
    assert "has no etcd 3.6, which the backup is of: /usr/bin/true does not run" in refused["error"]["message"]
    acts = [act for _, act in apart.acts(refused["operation"])]
    assert [act for act in acts if "arriving.part" in act] == []
    assert there(apart) == before
    assert listed(apart, snapshot)["restored_at"] is None


@contextmanager
def etcd_of_the_sandbox(made: Lab, path: str) -> Iterator[None]:
    config = Path(made.config)
    before = config.read_text()
    inventory = yaml.safe_load(before)
    inventory["clusters"][made.name]["sandbox"]["etcd"] = path
    config.write_text(yaml.safe_dump(inventory))
    try:
        yield
    finally:
        config.write_text(before)


@pytest.mark.parametrize("etcd", ["3.5", "3.4"])
def test_older_ones_are_proved_by_their_own_programs(etcd: str) -> None:
    for made in lab("q", members=1, etcd=etcd, control_plane="none", sandbox=True):
        load(made, 4)
        for quorate in product(made):
            before = there(quorate)
            snapshot = quorate.backup()["snapshot"]
            result = quorate.json("snapshots", "verify", quorate.cluster, "--restore")
            assert (result["outcome"], result["snapshot"], result["notes"]) == ("proved", snapshot, [])
            assert {"content", "hash"} <= set(result["facts"])
            assert there(quorate) == before


def test_leases_that_run_out_and_what_was_compacted_are_no_damage(apart: Product) -> None:
    made = apart.lab
    lease = typed(made, "lease", "grant", "3").split()[1]
    for number in range(3):
        typed(made, "put", "leased", str(number), f"--lease={lease}")
        typed(made, "put", "kept", str(number))
    revision = json.loads(typed(made, "get", "kept", "-w", "json"))["header"]["revision"]
    typed(made, "compact", str(revision - 1))
    apart.backup()
    result = apart.json("snapshots", "verify", apart.cluster, "--restore")
    assert (result["outcome"], result["notes"], "hash" in result["facts"]) == ("proved", [], True)


def test_the_schedule_proves_the_newest_where_that_is_due_and_not_again_so_soon(apart: Product) -> None:
    with instead(apart.lab, schedule={"every": "1h"}, restore_within="1s"):
        apart.down()
        apart.up()
        first = run(apart)
        assert (first["outcome"], first["findings"]) == ("verified", [])
        assert listed(apart, first["snapshot"])["restored_at"]
    with instead(apart.lab, schedule={"every": "1h"}, restore_within="1d"):
        apart.down()
        apart.up()
        second = run(apart)
        assert listed(apart, second["snapshot"])["restored_at"] is None
    (told,) = json.loads(apart.run("-o", "json").stdout)["clusters"]
    assert told["restore_proof"]["age_s"] < 600


def run(quorate: Product) -> dict[str, Any]:
    """One run of the schedule, to its end."""
    before = len(runs(quorate))
    assert quorate.run("schedule", "run-now", quorate.cluster).returncode in {0, 3}
    until(lambda: len(runs(quorate)) > before and runs(quorate)[0]["outcome"] != "running", 120, 0.5)
    return runs(quorate)[0]


def runs(quorate: Product) -> list[dict[str, Any]]:
    return list(json.loads(quorate.run("schedule", "history", quorate.cluster, "-o", "json").stdout)["runs"])


def test_while_another_operation_has_the_sandbox_it_is_waited_for_and_nothing_is_touched(apart: Product) -> None:
    snapshot, before, known = apart.backup()["snapshot"], there(apart), proofs(apart)
    claim = "/var/lib/quorate/sandbox/claim"
    on_sandbox(apart, f"echo 'prove-other 5 1 start' > {claim}")
    with proving(apart, snapshot) as waiting:
        until(lambda: acted(apart, known, "look"))
        assert on_sandbox(apart, f"cat {claim}; ls /var/lib/quorate/sandbox/data") == "prove-other 5 1 start"
        on_sandbox(apart, f"rm {claim}")
        answer, said = waiting.communicate(timeout=200)
    assert (waiting.returncode, json.loads(answer)["outcome"]) == (0, "proved"), answer + said
    assert there(apart) == before


def test_what_cannot_be_removed_is_a_finding_and_its_command_removes_it(apart: Product) -> None:
    snapshot, before, known = apart.backup()["snapshot"], there(apart), proofs(apart)
    assert apart.lab.sandbox
    with proving(apart, snapshot) as waiting:
        with slow(apart, apart.lab.sandbox, "mv", "-T *etcd.part *"):
            until(lambda: acted(apart, known, "etcd.part"))
            (operation,) = proofs(apart) - known
            stuck = f"/var/lib/quorate/sandbox/data/{operation}/stuck"
            on_sandbox(apart, f"mkdir {stuck}; mount -t tmpfs none {stuck}")
        answer, said = waiting.communicate(timeout=200)
    result = json.loads(answer)
    assert (waiting.returncode, result["outcome"]) == (3, "degraded"), answer + said
    (finding,) = result["findings"]
    assert listed(apart, snapshot)["restored_at"], "what was seen was seen"
    assert apart.lab.sandbox.address in finding
    on_sandbox(apart, f"umount {stuck}")
    on_sandbox(apart, finding.partition(" sudo ")[2])
    assert there(apart) == before
    assert apart.json("snapshots", "verify", snapshot, "--restore")["outcome"] == "proved"


def test_where_clients_have_to_log_in_it_is_asked_without(apart: Product) -> None:
    """The last one: the cluster stays as it is then."""
    for words in (("user", "add", f"root:{FIRST}"), ("auth", "enable")):
        typed(apart.lab, *words)
    with_password(apart.lab, FIRST)
    snapshot, before = apart.backup()["snapshot"], there(apart)
    result = apart.json("snapshots", "verify", snapshot, "--restore")
    assert (result["outcome"], "hash" in result["facts"]) == ("proved", True)
    assert there(apart) == before
