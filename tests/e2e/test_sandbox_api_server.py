"""An API server is started on the etcd in the sandbox: it reads what the cluster encrypted, and reaches nobody."""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from deploy.lab.lab import Lab, node_exec
from tests.e2e.conftest import lab, product
from tests.e2e.product import Product, until
from tests.e2e.test_backups import objects
from tests.e2e.test_control_plane import FILE, SECRETS, THEN, UNIT, api, everywhere, restarted, with_keys
from tests.e2e.test_sandbox import acted, listed, proofs, proving

pytestmark = pytest.mark.lab
WORD = "xyzzy"
WAITING = {"runs sh", "runs openssl", "runs timeout", "runs bash"}  # for an answer
FOUND = r"""
ps -eo args= | grep -E '[e]tcd|[k]ube-|[q]uorate-sandbox' | grep -v sshd || true
systemctl list-units --all --plain --no-legend 'quorate*' | cut -d' ' -f1
find /proc/[0-9]*/ns/net -printf '%l\n' 2>/dev/null | sort -u | wc -l
find /var/lib /tmp /root /home -path /var/lib/systemd -prune -o -type f ! -name released ! -name lock -print | sort
"""
# Of what runs in etcd's network: its programs, where it gets to, and who gets to it; of its files, those for others.
WITHIN = r"""
p=$(pidof kube-apiserver) && e=$(pidof etcd) || exit 0
for port in 2379 2380 6443; do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && echo "open $port"; done
own=$(readlink /proc/$e/ns/net)
[ "$(readlink /proc/$p/ns/net)" = "$own" ] || echo "elsewhere"
for each in $(grep -l . /proc/[0-9]*/comm); do
  d=${each%/comm}; [ "$(readlink $d/ns/net)" != "$own" ] || echo "runs $(cat $each)"
done
for to in SANDBOX/22 NODE/6443 NODE/2379; do
  said=$(LC_ALL=C nsenter --net=/proc/$p/ns/net bash -c "exec 3<>/dev/tcp/$to" 2>&1) && echo "reached $to" ||
    echo "tried ${said##*: }"
done
find /var/lib/quorate/sandbox/data -maxdepth 1 -type d -perm /077 -printf 'readable %p\n'
find /var/lib/quorate/sandbox/data/*/api -type f ! -name '*.crt' -perm /077 -printf 'readable %p\n'
ls -R /var/lib/quorate/sandbox/data | grep -c encryption-provider-config | sed 's/^/keys /'
echo ready
"""


@pytest.fixture(scope="module")
def encrypted_lab() -> Iterator[Lab]:
    """One member with a control plane, and a machine that is nobody's."""
    yield from lab("k", members=1, etcd="3.6", control_plane="systemd", sandbox=True)


@pytest.fixture(scope="module")
def encrypted(encrypted_lab: Lab) -> Iterator[Product]:
    """Its Secrets are encrypted at rest, and there is one."""
    for quorate in product(encrypted_lab):
        with_keys(quorate, THEN)
        everywhere(
            quorate, rf"sed -i 's|--allow-privileged=true|& \\\n    --encryption-provider-config={FILE}|' {UNIT}"
        )
        restarted(quorate)
        secret = {"metadata": {"name": "kept"}, "stringData": {"word": WORD}}
        api(quorate).call("POST", SECRETS, {"apiVersion": "v1", "kind": "Secret", **secret})
        yield quorate


def there(quorate: Product) -> list[str]:
    return seen(quorate, FOUND)


def seen(quorate: Product, script: str) -> list[str]:
    assert quorate.lab.sandbox
    code, said = node_exec(quorate.lab, quorate.lab.sandbox.name, ["bash", "-c", script])
    assert code == 0, said
    return said.splitlines()


def counted(quorate: Product, snapshot: str) -> dict[str, int]:
    """The live keys by prefix, as the manifest has them."""
    (stored,) = [each for each in objects(quorate.lab, "manifest.json") if snapshot.split("/")[1] in str(each)]
    return {prefix: each["keys"] for prefix, each in json.loads(stored.read_text())["live"].items()}


def test_it_is_ready_and_reads_every_namespace_and_what_was_encrypted_and_nothing_is_left(encrypted: Product) -> None:
    before = there(encrypted)
    snapshot = encrypted.backup()["snapshot"]
    result = encrypted.json("snapshots", "verify", encrypted.cluster, "--restore")
    assert (result["outcome"], result["unserved"], result["findings"], result["notes"]) == ("proved", "", [], [])
    live, facts = counted(encrypted, snapshot), result["facts"]
    assert (facts["namespaces"], facts["secrets"]) == (str(live["/registry/namespaces"]), "1")
    assert facts["keys"] == encrypted.lab.nodes[0].name
    assert 0 < float(facts["readyz_s"]) < 120
    assert facts["way_out"].endswith("Network is unreachable")
    assert there(encrypted) == before
    assert encrypted.run("audit", "verify", result["operation"]).returncode == 0
    assert listed(encrypted, snapshot)["restored_at"]
    acts = [act for _, act in encrypted.acts(result["operation"])]
    (hashed,), (begun,) = ([n for n, act in enumerate(acts) if word in act] for word in ("hashkv", "--etcd-servers"))
    assert hashed < begun, "it writes, so it comes after what was compared"
    record = b"".join(path.read_bytes() for path in encrypted.state.rglob("*") if path.is_file())
    assert result["operation"].encode() in record
    key = b64encode(THEN.ljust(32, ".").encode())
    assert [each for each in (WORD.encode(), key, b"BEGIN RSA", b"BEGIN PRIVATE") if each in record] == []


def test_while_it_runs_it_reaches_nobody_and_nobody_reaches_it(encrypted: Product) -> None:
    encrypted.backup()
    known, looks = proofs(encrypted), list[list[str]]()
    assert encrypted.lab.sandbox
    script = WITHIN.replace("SANDBOX", encrypted.lab.sandbox.address).replace("NODE", encrypted.lab.nodes[0].address)
    with proving(encrypted, encrypted.cluster) as waiting:
        until(lambda: acted(encrypted, known, "--etcd-servers"))
        while waiting.poll() is None:
            looks.append(seen(encrypted, script))
        assert waiting.returncode == 0, waiting.communicate()
    whole = [each for each in looks if "ready" in each and each.count("tried Network is unreachable") == 3]
    assert whole, f"it was never looked at while it ran: {looks}"
    for look in whole:
        assert {each for each in look if each.startswith("runs ")} <= {"runs etcd", "runs kube-apiserver", *WAITING}
        wrong = ("open", "elsewhere", "reached", "readable")
        assert [each for each in look if each.startswith(wrong)] == []
    assert any("keys 1" in each for each in whole)


@pytest.mark.parametrize("act", ["/api/encryption-provider-config", "--etcd-servers", "limit=500"])
def test_a_daemon_that_is_killed_meanwhile_leaves_nothing_and_proves_it_all_the_same(
    encrypted: Product, act: str
) -> None:
    before = there(encrypted)
    snapshot = encrypted.backup()["snapshot"]
    known = proofs(encrypted)
    with proving(encrypted, snapshot) as waiting:
        until(lambda: acted(encrypted, known, act))
        encrypted.kill("daemon")
        until(lambda: encrypted.run("up", "--detach").returncode == 0, poll_s=0.5)
        answer, said = waiting.communicate(timeout=300)
    assert waiting.returncode == 0, answer + said
    result = json.loads(answer)
    assert (result["outcome"], result["unserved"], result["facts"]["secrets"]) == ("proved", "", "1")
    assert there(encrypted) == before
    assert encrypted.run("audit", "verify", result["operation"]).returncode == 0


def test_without_a_bundle_it_is_told_which_secrets_it_cannot_read_and_the_backup_counts(encrypted: Product) -> None:
    before = there(encrypted)
    with changed(encrypted.lab, "backup", bundle="off"):
        snapshot = encrypted.backup()["snapshot"]
        result = encrypted.json("snapshots", "verify", snapshot, "--restore", exit_code=3)
    assert (result["outcome"], result["facts"]["keys"]) == ("degraded", "its own")
    assert result["notes"] == ["the backup has no bundle: the API server had keys of its own"]
    (finding,) = result["findings"]
    assert "its secrets cannot be read: it answers 500" in finding
    assert there(encrypted) == before
    row = listed(encrypted, snapshot)
    assert (row["quarantined_at"], bool(row["restored_at"])) == (None, True)


def test_a_drill_has_it_too_and_its_report_says_when_it_was_ready(encrypted: Product) -> None:
    encrypted.backup()
    before = there(encrypted)
    result = encrypted.json("drill", "start", "restore-sandbox", encrypted.cluster)
    (served,) = [each for each in result["checks"] if each["id"] == "api-served"]
    assert (result["outcome"], served["passed"]) == ("passed", True)
    assert result["clock"]["quorum"] < result["clock"]["readyz"] < result["clock"]["handed_back"]
    report = encrypted.run("report", result["operation"], "-f", "md").stdout
    assert "API server ready" in report
    assert served["observed"] in report
    assert there(encrypted) == before


def test_a_program_that_is_no_api_server_fails_the_drill_and_not_the_backup(encrypted: Product) -> None:
    snapshot, before = encrypted.backup()["snapshot"], there(encrypted)
    with changed(encrypted.lab, "sandbox", api_server="/usr/bin/true"):
        result = encrypted.json("drill", "start", "restore-sandbox", encrypted.cluster, exit_code=10)
    passed = {each["id"]: each["passed"] for each in result["checks"]}
    assert (passed["backup-proved"], passed["api-served"]) == (True, False)
    assert there(encrypted) == before
    assert listed(encrypted, snapshot)["quarantined_at"] is None


@contextmanager
def changed(made: Lab, section: str, **fields: str) -> Iterator[None]:
    """The inventory says so meanwhile."""
    config = Path(made.config)
    before = config.read_text()
    inventory = yaml.safe_load(before)
    inventory["clusters"][made.name][section].update(fields)
    config.write_text(yaml.safe_dump(inventory))
    try:
        yield
    finally:
        config.write_text(before)
