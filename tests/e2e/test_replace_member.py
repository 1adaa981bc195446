"""A member is lost while a writer writes: it is replaced, the others serve all along, and nothing is lost."""

import dataclasses
import json
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from activities.adapters import etcd_rpc_pb2 as rpc
from activities.adapters.etcd import GrpcEtcds, called
from activities.adapters.secrets import LocalSecrets
from deploy.lab.lab import Lab, Node, digest, load, node_exec, wreck
from deploy.lab.pki import Authority, Pair
from deploy.lab.units import etcd_unit
from quorate.errors import QuorateError
from quorate.members.etcd import EtcdSeen, EtcdTarget
from tests.e2e.conftest import lab, product
from tests.e2e.product import QUORATE, Product, left, on_node, until

pytestmark = pytest.mark.lab
LIVE = "/var/lib/etcd/default"
SILENCE_S = (
    8.0  # an election, and a client that waits for its answer from who is gone; 5.04 s was seen with two labs at once
)
# Twenty bytes of the last file of its log; a start finds out by the checksums.
SPOIL = (
    "f=$(ls {live}/member/wal/*.wal | tail -1); printf 'this is no record at' | dd of=$f bs=1 seek=200 conv=notrunc"
)


@pytest.fixture(scope="module")
def bare_lab() -> Iterator[Lab]:
    """With a machine that is nobody's, which takes a member's place in the end."""
    yield from lab("r", members=3, etcd="3.6", control_plane="none", sandbox=True)


@pytest.fixture(scope="module")
def bare(bare_lab: Lab) -> Iterator[Product]:
    for quorate in product(bare_lab):
        load(bare_lab, 16)
        quorate.backup()
        yield quorate


def target(made: Lab, node: Node) -> EtcdTarget:
    pki = (f"file:{each}" for each in (made.etcd.ca, made.etcd.cert, made.etcd.key))
    return EtcdTarget(node.name, node.client_url, *pki)


def seen(made: Lab, node: Node) -> EtcdSeen:
    with GrpcEtcds(LocalSecrets({})).at(target(made, node)) as etcd:
        return etcd.look()


def hashes(made: Lab) -> set[int]:
    """Of all members at one revision."""
    revision = min(seen(made, node).revision for node in made.nodes)
    found = set()
    for node in made.nodes:
        with GrpcEtcds(LocalSecrets({})).at(target(made, node)) as etcd:
            found.add(etcd.hash_kv(revision).hash)
    return found


@dataclass
class Writer:
    """Writes through the members that stay, whichever answers, and remembers what was acknowledged."""

    made: Lab
    nodes: tuple[Node, ...]
    acknowledged: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)

    def write(self) -> None:
        last, number = time.monotonic(), 0
        while not self.over.is_set():
            node = self.nodes[number % len(self.nodes)]
            number += 1
            try:
                with GrpcEtcds(LocalSecrets({})).at(target(self.made, node)) as etcd:
                    etcd.put(f"/quorate-story/{number}", b"x")
            except QuorateError:
                continue
            self.acknowledged.append(f"/quorate-story/{number}")
            self.longest_s, last = max(self.longest_s, time.monotonic() - last), time.monotonic()

    def lost(self, node: Node) -> list[str]:
        """What that member does not hold of it."""
        with GrpcEtcds(LocalSecrets({})).at(target(self.made, node)) as etcd:
            there = {key.name for page in etcd.key_pages() for key in page}
        return [key for key in self.acknowledged if key not in there]


@contextmanager
def writing(made: Lab, spared: Node) -> Iterator[Writer]:
    writer = Writer(made, tuple(node for node in made.nodes if node != spared))
    thread = threading.Thread(target=writer.write)
    thread.start()
    try:
        until(lambda: len(writer.acknowledged) > 3)
        yield writer
    finally:
        writer.over.set()
        thread.join()


def replace(quorate: Product, *more: str, exit_code: int = 0) -> dict[str, Any]:
    words = ("replace-member", quorate.cluster, *more, "--confirm", quorate.cluster)
    return quorate.json(*words, exit_code=exit_code)


def begun(quorate: Product, *more: str) -> "subprocess.Popen[str]":
    argv = [str(QUORATE), "--config", str(quorate.config), "replace-member", quorate.cluster, *more]
    argv += ["--confirm", quorate.cluster, "-o", "json"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def operations(quorate: Product) -> set[str]:
    return {path.name for path in (quorate.state / "operations").glob("replace-member-*")}


def recorded(quorate: Product, known: set[str], step: str) -> bool:
    """Whether the new operation has begun to act in that step."""
    new = operations(quorate) - known
    trail = quorate.trail(next(iter(new))) if new else []
    return any(each["event"] == "intent" and each["step"] == step and each["argv"] != ["look"] for each in trail)


def whole(quorate: Product, result: dict[str, Any], node: Node, live: str = LIVE) -> None:
    """And what was there before is kept."""
    joined(quorate, result, node)
    made = quorate.lab
    assert on_node(made, f"ls -d {live}.before-{result['operation']}", made.nodes.index(node))


def joined(quorate: Product, result: dict[str, Any], node: Node) -> None:
    """One cluster of three that vote and hold the same, and nothing of ours left."""
    made = quorate.lab
    assert (result["outcome"], result["member"]) == ("replaced", node.name)
    rows = seen(made, node).members
    assert len(rows) == len(made.nodes)
    assert not any(row.learner for row in rows)
    assert len(hashes(made)) == 1
    assert [left(quorate, each) for each in made.nodes] == [[], [], []]
    assert quorate.run("audit", "verify", result["operation"]).returncode == 0
    assert "quorum-lost" not in {each["id"] for each in quorate.json("inspect", made.name)["findings"]}


def test_one_that_was_killed_and_wiped_comes_back_while_the_others_serve(bare: Product) -> None:
    made = bare.lab
    node = made.nodes[2]
    former = seen(made, node).member_id
    with writing(made, node) as writer:
        wreck(made, "wipe", node.name)
        lost = next(
            each for each in bare.json("inspect", made.name, exit_code=3)["findings"] if each["id"] == "member-lost"
        )
        assert lost["next"].endswith(f"replace-member {made.name} {node.name}")
        plan = bare.json("plan", "replace-member", made.name, node.name)
        assert (plan["member"], plan["refusals"], len(plan["quorum"])) == (node.name, [], 5)
        writer.longest_s = 0.0  # until here it was the wreck's
        result = replace(bare, node.name)
    whole(bare, result, node)
    assert seen(made, node).member_id != former
    assert writer.lost(node) == []
    assert writer.longest_s < SILENCE_S


def test_a_damaged_log_is_told_and_the_data_that_it_belongs_to_is_kept(bare: Product) -> None:
    """The leader, too: a majority elects another."""
    made = bare.lab
    node = next(each for each in made.nodes if seen(made, each).leads)
    number = made.nodes.index(node)
    db = f"{LIVE}/member/snap/db"
    with writing(made, node) as writer:
        wreck(made, "stop", node.name)
        on_node(made, SPOIL.format(live=LIVE), number)
        on_node(made, "systemctl reset-failed etcd; ! timeout 30 systemctl start etcd", number)
        before = on_node(made, f"sha256sum < {db}", number)
        found = bare.json("inspect", made.name, exit_code=3)["findings"]
        assert next(each for each in found if each["id"] == "member-lost")["next"].endswith(node.name)
        assert "crc mismatch" in str(found)
        writer.longest_s = 0.0
        result = replace(bare, node.name)
    whole(bare, result, node)
    assert writer.longest_s < SILENCE_S
    assert writer.lost(node) == []
    kept = f"{LIVE}.before-{result['operation']}/member/snap/db"
    assert on_node(made, f"sha256sum < {kept}", number) == before


@pytest.mark.parametrize(("victims", "step"), [(("daemon",), "join"), (("temporal", "daemon"), "add")])
def test_it_goes_on_after_the_removal_whatever_of_ours_is_killed(
    bare: Product, victims: tuple[str, ...], step: str
) -> None:
    made = bare.lab
    node = made.nodes[1]
    wreck(made, "wipe", node.name)
    known = operations(bare)
    with begun(bare, node.name) as waiting:
        until(lambda: recorded(bare, known, step))
        for victim in victims:
            bare.kill(victim)
        until(lambda: bare.run("up", "--detach").returncode == 0, poll_s=0.5)
        answer, said = waiting.communicate(timeout=200)
    assert waiting.returncode == 0, answer + said
    result = json.loads(answer)
    whole(bare, result, node)
    acts = [act for _, act in bare.acts(result["operation"])]
    assert sum(act.startswith("etcd member add") for act in acts) <= 1
    assert sum(act.startswith("etcd member remove") for act in acts) <= 1


def test_what_fails_behind_the_removal_is_held_in_etcds_own_words_and_gone_on_with(bare: Product) -> None:
    made, node = bare.lab, bare.lab.nodes[2]
    number = made.nodes.index(node)
    wreck(made, "wipe", node.name)
    key = "/etc/etcd/pki/peer.key"
    mode = on_node(made, f"stat -c %a {key}; chmod 000 {key}", number)
    held = replace(bare, node.name, exit_code=10)
    assert (held["outcome"], held["where"]) == ("held", [f"on {node.name} the data from before is in {LIVE}"])
    assert held["error"]["message"].startswith(f"held at step join: {node.name}")
    assert f"open {key}: permission denied" in held["error"]["message"]
    assert "rollback" not in held["error"]["next"]
    rows = seen(made, made.nodes[0]).members
    assert [row.learner for row in rows].count(True) == 1
    assert bare.json("cancel", held["operation"], exit_code=4)["error"]["message"].endswith("goes on or is held")
    on_node(made, f"chmod {mode} {key}", number)
    bare.json("retry", held["operation"])
    whole(bare, bare.json("watch", held["operation"]), node)
    assert len(seen(made, node).members) == len(rows)


def test_a_member_that_is_well_is_left_alone_and_replaced_when_somebody_says_why(bare: Product) -> None:
    made, node = bare.lab, bare.lab.nodes[0]
    before, rows = digest(made), seen(made, node).members
    refused = replace(bare, node.name, exit_code=4)
    assert [each["id"] for each in refused["refusals"]] == ["member-healthy"]
    assert seen(made, node).members == rows
    override = ("--override-gate", "member-healthy", "--reason", "its disk is failing")
    whole(bare, replace(bare, node.name, *override), node)
    assert digest(made) == before


def test_the_odd_one_out_is_found_by_its_hash(bare: Product) -> None:
    made, node = bare.lab, bare.lab.nodes[2]
    wreck(made, "corrupt", node.name)
    until(lambda: answers(made, node))
    assert len(hashes(made)) == 2
    whole(bare, replace(bare, "--odd-one-out"), node)
    none = bare.json("plan", "replace-member", made.name, "--odd-one-out", exit_code=2)
    assert "no single member is the odd one out" in none["error"]["message"]


def test_one_that_is_corrupt_is_replaced_though_nobody_reads_under_its_alarm(bare: Product) -> None:
    made, node = bare.lab, bare.lab.nodes[0]
    wreck(made, "corrupt", node.name)
    until(lambda: answers(made, node))
    raised(made, node)
    findings = {each["id"]: each for each in bare.json("inspect", made.name, exit_code=3)["findings"]}
    assert findings["corrupt"]["next"].endswith(f"plan replace-member {made.name} {node.name}")
    assert "quorum-lost" not in findings
    with GrpcEtcds(LocalSecrets({})).at(target(made, made.nodes[1])) as etcd, pytest.raises(QuorateError):
        etcd.put("/quorate-story/refused", b"x")
    other = replace(bare, made.nodes[1].name, exit_code=4)
    assert "corrupt" in {each["id"] for each in other["refusals"]}
    whole(bare, replace(bare, node.name), node)
    assert seen(made, node).alarms == ()


def raised(made: Lab, node: Node) -> None:
    """As a member's own check would."""
    pems = (Path(each).read_bytes() for each in (made.etcd.ca, made.etcd.key, made.etcd.cert))
    member = int(seen(made, node).member_id, 16)
    request = rpc.AlarmRequest(action=rpc.AlarmRequest.ACTIVATE, memberID=member, alarm=rpc.CORRUPT)
    with grpc.secure_channel(f"{node.address}:2379", grpc.ssl_channel_credentials(*pems)) as channel:
        called(channel, "Maintenance/Alarm", request, rpc.AlarmResponse, 5.0)


def answers(made: Lab, node: Node) -> bool:
    try:
        return bool(seen(made, node).leader)
    except QuorateError:
        return False


def test_nobody_is_removed_whom_the_quorum_needs(bare: Product) -> None:
    """With one down, any other is needed; with two down there is no quorum at all."""
    made, (first, second, third) = bare.lab, bare.lab.nodes
    wreck(made, "stop", third.name)
    override = ("--override-gate", "member-healthy", "--reason", "it is a test")
    refused = replace(bare, first.name, *override, exit_code=4)
    assert "quorum-at-risk" in {each["id"] for each in refused["refusals"]}
    wreck(made, "stop", second.name)
    refused = replace(bare, third.name, exit_code=4)
    assert "no-quorum" in {each["id"] for each in refused["refusals"]}
    assert len(seen(made, first).members) == 3
    for node in (second, third):
        wreck(made, "start", node.name)
    until(lambda: all(answers(made, node) for node in made.nodes))
    assert [left(bare, each) for each in made.nodes] == [[], [], []]


def test_a_member_that_comes_back_at_other_urls_takes_the_place_of_the_one_of_its_name(bare: Product) -> None:
    """As the inventory has it; what follows has to know of them."""
    made, node = bare.lab, bare.lab.nodes[1]
    wreck(made, "wipe", node.name)
    peer = f"https://{node.address}:2390"
    unit = on_node(made, "systemctl show -p FragmentPath --value etcd", made.nodes.index(node))
    edit = f"sed -i 's#peer-urls=[^ ]*#peer-urls={peer}#' {unit} && systemctl daemon-reload"
    on_node(made, edit, made.nodes.index(node))
    inventory = yaml.safe_load(bare.config.read_text())
    member = next(each for each in inventory["clusters"][made.name]["members"] if each["name"] == node.name)
    member["peer_urls"] = [peer]
    bare.config.write_text(yaml.safe_dump(inventory))
    plan = bare.json("plan", "replace-member", made.name, node.name)
    assert f"{node.peer_url} was not fenced" in str(plan)
    whole(bare, replace(bare, node.name), node)
    assert {row.peer_urls for row in seen(made, node).members if row.name == node.name} == {(peer,)}


def test_a_member_whose_machine_is_gone_comes_back_on_another_machine(bare: Product) -> None:
    """A certificate for the old address is told before anything is done; the old machine may come back any time.

    Nobody has enabled the unit yet: of such a one systemd keeps nothing that it could be asked for.
    """
    made, node, spare = bare.lab, bare.lab.nodes[2], bare.lab.sandbox
    assert spare
    moved = Node(node.name, spare.address, spare.container)
    there = Product(dataclasses.replace(made, nodes=(*made.nodes[:2], moved), sandbox=None), bare.config)
    wreck(made, "stop-node", node.name)
    inventory = yaml.safe_load(bare.config.read_text())
    del inventory["clusters"][made.name]["sandbox"]
    members = inventory["clusters"][made.name]["members"]
    urls = {"host": moved.address, "peer_urls": [moved.peer_url], "client_urls": [moved.client_url]}
    members[2] = members[2] | urls
    bare.config.write_text(yaml.safe_dump(inventory))
    furnish(there.lab, moved, node.address)
    refused = bare.json("plan", "replace-member", made.name, node.name, exit_code=4)
    assert [each["id"] for each in refused["refusals"]] == ["certificate"]
    furnish(there.lab, moved, moved.address)
    plan = bare.json("plan", "replace-member", made.name, node.name)
    assert f"{node.peer_url} was not fenced" in str(plan)
    assert f"etcd.service is not enabled on {node.name}" in str(plan)
    with writing(there.lab, moved) as writer:
        result = replace(bare, node.name)
    joined(there, result, moved)
    assert writer.lost(moved) == []
    assert {row.peer_urls for row in seen(made, moved).members if row.name == node.name} == {(moved.peer_url,)}
    wreck(made, "start-node", node.name)
    until(lambda: gone_for_good(made, node), deadline_s=120, poll_s=0.5)
    joined(there, result, moved)


def furnish(made: Lab, node: Node, address: str) -> None:
    """A new machine as an operator would prepare it, with certificates for that address."""
    pki = Path(made.etcd.ca).parent
    pair = Pair((pki / "ca.crt").read_bytes(), (pki / "ca.key").read_bytes())
    key = serialization.load_pem_private_key(pair.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signs = Authority(x509.load_pem_x509_certificate(pair.cert).subject, key, pair).sign
    files = {"/etc/etcd/pki/ca.crt": pair.cert, "/etc/systemd/system/etcd.service": unit(made, node)}
    for name in ("server", "peer"):
        signed = signs(node.name, hosts=(node.name, address, "127.0.0.1", "localhost"))
        files |= {f"/etc/etcd/pki/{name}.crt": signed.cert, f"/etc/etcd/pki/{name}.key": signed.key}
    laid = [f"echo {b64encode(text).decode()} | base64 -d > {path}" for path, text in files.items()]
    folders = "install -d /etc/etcd/pki; install -d -o etcd -g etcd -m 700 /var/lib/etcd"
    owned = "chown etcd /etc/etcd/pki/*.key; chmod 600 /etc/etcd/pki/*.key; systemctl daemon-reload"
    on_node(made, "; ".join((folders, *laid, owned)), made.nodes.index(node))


def unit(made: Lab, node: Node) -> bytes:
    return etcd_unit(made.spec, node, made.nodes).encode()


def gone_for_good(made: Lab, node: Node) -> bool:
    """Whether the etcd there has come up, heard that it is removed, and ended."""
    ask = "journalctl -b -u etcd --no-pager | grep -q 'permanently removed' && ! systemctl -q is-active etcd"
    return node_exec(made, node, ["sh", "-c", ask])[0] == 0
