"""A control plane as kubeadm makes it: static pods under a real kubelet, wrecked and restored."""

from collections.abc import Iterator

import pytest

from deploy.lab.lab import Lab, digest, load, node_exec, wreck
from tests.e2e.conftest import lab, product
from tests.e2e.product import Product

pytestmark = pytest.mark.lab
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


def test_quorum_is_lost_and_the_very_same_manifests_bring_it_back(kubeadm: Product) -> None:
    load(kubeadm.lab, 8)
    before = digest(kubeadm.lab)
    manifests = shown(kubeadm.lab, "sh", "-c", f"cd {MANIFESTS} && sha256sum *")
    snapshot = kubeadm.backup()["snapshot"]
    wreck(kubeadm.lab, "quorum-loss")
    result = kubeadm.restore()
    assert (result["outcome"], result["snapshot"]) == ("restored", snapshot)
    assert digest(kubeadm.lab) == before
    assert shown(kubeadm.lab, "sh", "-c", f"cd {MANIFESTS} && sha256sum *") == manifests
    assert kubeadm.json("inspect", kubeadm.cluster)["findings"] == []
    assert kubeadm.run("audit", "verify", result["operation"]).returncode == 0
    left = shown(kubeadm.lab, "sh", "-c", "ls /etc/kubernetes | grep quorate; nft list tables | grep quorate; true")
    assert set(left.values()) == {""}
