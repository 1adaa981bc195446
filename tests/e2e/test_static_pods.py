"""A control plane as kubeadm makes it: static pods under a real kubelet, wrecked and restored."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab.https import Caller
from deploy.lab.lab import Lab, digest, load, node_exec, wreck
from deploy.lab.pod_images import wanted
from deploy.lab.ready import api_identity
from tests.e2e.conftest import lab, product
from tests.e2e.drafting import drafted, fingerprints, ours
from tests.e2e.durability import lost, pod_moments, returning, told, traced
from tests.e2e.product import Product, until
from tests.e2e.standing import cancelled_in, found

pytestmark = [pytest.mark.lab, pytest.mark.kubeadm]
MANIFESTS = "/etc/kubernetes/manifests"


@pytest.fixture(scope="module")
def kubeadm_lab() -> Iterator[Lab]:
    yield from lab("s", members=3, etcd="3.6", control_plane="static-pods")


@pytest.fixture(scope="module")
def kubeadm(kubeadm_lab: Lab) -> Iterator[Product]:
    yield from product(kubeadm_lab)


def shown(made: Lab, *argv: str) -> dict[str, str]:
    """What a command prints on every node."""
    return {node.name: node_exec(made, node.name, argv)[1] for node in made.nodes}


def pod_of(made: Lab, name: str) -> None:
    """Straight onto the first node, of an image that is there, tolerating whatever a control plane's node repels."""
    pause = next(image for image in wanted(made.spec) if image.name == "pause").reference
    spec = {
        "nodeName": made.nodes[0].name,
        "containers": [{"name": name, "image": pause, "imagePullPolicy": "Never"}],
        "tolerations": [{"operator": "Exists"}],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
    }
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    Caller(made.nodes[0].api_url, api_identity(made)).call("POST", "/api/v1/namespaces/default/pods", body)


def runs(made: Lab, name: str) -> bool:
    return bool(node_exec(made, made.nodes[0].name, ["crictl", "ps", "-q", "--name", f"^{name}$"])[1].strip())


def test_init_writes_the_labs_own_inventory_and_fetches_what_opens_the_cluster(
    kubeadm: Product, tmp_path: Path
) -> None:
    made = kubeadm.lab
    mine = drafted(made, tmp_path / "mine", *ours(made))
    assert (mine.code, mine.differing(made), mine.said["findings"]) == (0, set(), [])
    fetched = drafted(made, tmp_path / "fetched", *fingerprints(made), "--fetch-pki", str(tmp_path / "pki"))
    assert (fetched.code, len(fetched.said["copied"])) == (0, 4)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "pki").iterdir()} == {0o600}
    assert (fetched.config.parent / "known_hosts").read_text() == (made.folder / "ssh/known_hosts").read_text()
    found = Product(made, fetched.config).json("inspect", made.name, exit_code=3)
    assert [each["id"] for each in found["findings"]] == ["no-backup"]


def test_quorum_is_lost_and_the_very_same_manifests_bring_it_back(kubeadm: Product, tmp_path: Path) -> None:
    load(kubeadm.lab, 8)
    before = digest(kubeadm.lab)
    manifests = shown(kubeadm.lab, "sh", "-c", f"cd {MANIFESTS} && sha256sum *")
    snapshot = kubeadm.backup()["snapshot"]
    pod_of(kubeadm.lab, "phantom")
    until(lambda: runs(kubeadm.lab, "phantom"))
    wreck(kubeadm.lab, "quorum-loss")
    drawn = drafted(kubeadm.lab, tmp_path, *ours(kubeadm.lab))  # somebody may hear of Quorate only now
    assert (drawn.code, drawn.differing(kubeadm.lab)) == (3, set())
    with traced(kubeadm.lab):
        result = kubeadm.restore()
    assert (result["outcome"], result["snapshot"]) == ("restored", snapshot)
    proved_durable(kubeadm.lab)
    assert digest(kubeadm.lab) == before
    assert shown(kubeadm.lab, "sh", "-c", f"cd {MANIFESTS} && sha256sum *") == manifests
    assert kubeadm.json("inspect", kubeadm.cluster)["findings"] == []
    assert kubeadm.run("audit", "verify", result["operation"]).returncode == 0
    until(lambda: not runs(kubeadm.lab, "phantom"))  # younger than the snapshot: nobody knows it any more
    assert {step["id"] for step in result["steps"]} >= {"equip", "unequip"}  # kubeadm puts no restore tool on a node
    assert left(kubeadm.lab) == ""


@pytest.mark.long
def test_what_a_frozen_member_holds_is_replayed_by_the_etcd_of_its_image(kubeadm: Product) -> None:
    """The others are gone; nothing of its pod runs, and no program of etcd lies on the node."""
    made = kubeadm.lab
    load(made, 8)
    before = digest(made)
    wreck(made, "quorum-loss")
    survivor = next(n.name for n in made.nodes if node_exec(made, n.name, ["pidof", "etcd"])[0] == 0)
    assert kubeadm.json("freeze", made.name, "--confirm", made.name)["outcome"] == "frozen"
    plan = kubeadm.json("plan", "restore", made.name, "--from-member", survivor)
    copied = {each["member"]: each["copied"] for each in plan["hosts"]}
    assert copied == {node.name: ["etcdutl", *(["etcd"] if node.name == survivor else [])] for node in made.nodes}
    result = kubeadm.restore("--from-member", survivor)
    assert (result["outcome"], digest(made)) == ("restored", before)
    assert kubeadm.json("inspect", made.name)["findings"] == []
    assert left(made) == ""


@pytest.mark.long
def test_a_cancel_gives_the_manifests_back_and_takes_the_tools_away(kubeadm: Product) -> None:
    nodes = kubeadm.lab.nodes
    kubeadm.backup()
    before = [found(kubeadm, node) for node in nodes]
    moves = ("mv", f"-T {MANIFESTS}/kube-apiserver.yaml *")
    healthy = ("--override-gate", "quorum-healthy", "--reason", "it is a test")
    cancelled_in(kubeadm, "fence-api", nodes[0], *moves, *healthy)
    for node in nodes:
        Caller(node.api_url, api_identity(kubeadm.lab)).call("GET", "/readyz")
    assert [found(kubeadm, node) for node in nodes] == before
    assert left(kubeadm.lab) == ""


def proved_durable(made: Lab) -> None:
    """Whenever a pod is stopped, its manifest comes back, or all is over."""
    seen = list(pod_moments(told(made), f"{MANIFESTS}/etcd.yaml"))
    assert [each.verb for each in seen if each.verb != "stop"] == ["start", "end"]
    for each in seen:
        gone = {path for path in lost(made, each) if not path.endswith("/kubelet-restarted")}  # at worst once more
        assert gone == set(), each.verb
    assert returning(told(made)) == set()


def left(made: Lab) -> str:
    """What a restore should have taken away again, on whichever node."""
    copies = f"ls -d /var/lib/quorate/{made.name}/*/tools* /var/lib/quorate/{made.name}/*/image /var/lib/etcd*-copy*"
    ours = "ctr --namespace k8s.io snapshots ls; ctr --namespace k8s.io leases ls; nft list tables; mount"
    script = f"ls -d /etc/kubernetes/*quorate*; {copies}; ({ours}) | grep quorate; true"
    return "".join(shown(made, "sh", "-c", f"({script}) 2>/dev/null").values())


KEPT = """cd /etc/kubernetes; find . -type f -o -type d | sort | while read -r f; do stat -c '%n %U:%G %a' "$f"; done
find . -type f -exec sha256sum {} + | sort -k2"""


def test_a_lost_control_plane_comes_back_out_of_the_bundle_and_no_kubelet_makes_an_empty_directory(
    kubeadm: Product,
) -> None:
    """The kubelet makes whatever a static pod mounts; then files and a manifest are lost that no drill takes."""
    made = kubeadm.lab
    kubeadm.backup()
    before = shown(made, "sh", "-c", KEPT)
    result = kubeadm.json("drill", "start", "control-plane-loss", made.name, "--confirm", made.name)
    assert (result["outcome"], result["findings"]) == ("passed", [])
    assert shown(made, "sh", "-c", KEPT) == before
    node = made.nodes[2].name
    lost = (
        f"rm -r /etc/kubernetes/pki/etcd {MANIFESTS}/kube-scheduler.yaml; rm /etc/kubernetes/pki/front-proxy-client.*"
    )
    assert node_exec(made, node, ["sh", "-ec", lost])[0] == 0
    kept_keys = node_exec(made, made.nodes[1].name, ["sh", "-c", "ls /etc/kubernetes/pki/etcd"])[1].split()
    assert kubeadm.json("lay", made.name, "--node", node, "--confirm", made.name)["outcome"] == "laid"
    now = shown(made, "sh", "-c", KEPT)
    away = [line for line in before[node].splitlines() if line not in now[node].splitlines()]
    assert "ca.key" in kept_keys
    assert all("./pki/etcd/ca.key" in line for line in away), (
        away
    )  # of which no bundle has any, unless it is asked to
    until(lambda: "kube-scheduler" in node_exec(made, node, ["crictl", "ps"])[1], deadline_s=60, poll_s=0.5)
