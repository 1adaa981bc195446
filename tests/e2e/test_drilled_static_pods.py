"""A member of kubeadm's shape is drilled and replaced: etcd is a static pod, and its program is in an image."""

from collections.abc import Iterator

import pytest

from deploy.lab.lab import wreck
from deploy.lab.supervised import supervised
from tests.e2e.conftest import lab, product
from tests.e2e.product import Product, on_node
from tests.e2e.test_drilled_control_plane import held
from tests.e2e.test_replace_member import replace, whole, writing

pytestmark = [pytest.mark.lab, pytest.mark.kubeadm]
MANIFEST = "/etc/kubernetes/manifests/etcd.yaml"


@pytest.fixture(scope="module")
def kubeadm() -> Iterator[Product]:
    for made in lab("rs", members=3, etcd="3.6", control_plane="static-pods"):
        for quorate in product(made):
            quorate.backup()
            yield quorate


def test_a_static_pod_is_replaced_by_the_program_of_its_own_image(kubeadm: Product) -> None:
    """Its manifest comes back byte for byte, and every API server is ready."""
    made = kubeadm.lab
    node = made.nodes[1]
    number = made.nodes.index(node)
    manifest = on_node(made, f"sha256sum {MANIFEST}", number)
    with writing(made, node) as writer:
        wreck(made, "wipe", node.name)
        result = replace(kubeadm, node.name)
    whole(kubeadm, result, node, supervised(made.spec).data_dir)
    assert writer.lost(node) == []
    assert on_node(made, f"sha256sum {MANIFEST}", number) == manifest
    assert kubeadm.json("inspect", made.name)["findings"] == []


@pytest.mark.parametrize(
    "scenario",
    [
        "quorum-loss",
        *(
            pytest.param(each, marks=pytest.mark.long)
            for each in ("leader-failover", "network-partition", "member-loss", "data-loss")
        ),
    ],
)
def test_a_scenario_is_held_and_the_manifests_are_as_before(kubeadm: Product, scenario: str) -> None:
    """Whatever supervises etcd: a manifest is moved away and comes back byte for byte."""
    before = manifests(kubeadm)
    held(kubeadm, scenario)
    assert manifests(kubeadm) == before
    assert kubeadm.json("inspect", kubeadm.cluster)["findings"] == []


def manifests(quorate: Product) -> list[str]:
    """Their sums by node; those that were moved away are none."""
    asked = "cd /etc/kubernetes/manifests && sha256sum *"
    return [on_node(quorate.lab, asked, number) for number in range(len(quorate.lab.nodes))]
