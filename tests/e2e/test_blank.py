"""Three nodes that have lost everything but the operating system come back from the store and the age key."""

import io
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
import zstandard

from activities.adapters.secrets import LocalSecrets
from activities.adapters.ssh import SshHosts, silent
from deploy.lab.age import OURS
from deploy.lab.binaries import AGE, make
from deploy.lab.digest import digest
from deploy.lab.lab import Lab
from deploy.lab.load import load
from quorate.command import nodes_of
from tests.e2e.conftest import lab
from tests.e2e.product import Product, left, on_node
from tests.e2e.test_backups import objects, policy
from tests.e2e.test_control_plane import answers
from worker.settings import load as settings

pytestmark = pytest.mark.lab
UNITS = "etcd kube-apiserver kube-controller-manager kube-scheduler"
# All but the programs, which come with the operating system; of those the restore tool goes too.
WIPE = f"""
systemctl kill -s KILL {UNITS}; systemctl disable --now {UNITS} || true
for u in {UNITS}; do rm -rf /etc/systemd/system/$u.service* /usr/lib/systemd/system/$u.service*; done
rm -rf /etc/etcd /etc/kubernetes /var/lib/etcd /var/lib/quorate /etc/tmpfiles.d/etcd.conf /usr/local/bin/etcdutl
systemctl daemon-reload; systemctl reset-failed || true
userdel etcd
! getent passwd etcd
"""


@pytest.fixture(scope="module")
def whole() -> Iterator[Product]:
    make(AGE, print)
    for made in lab("n", members=3, etcd="3.6", control_plane="systemd"):
        policy(made, bundle={"ca_keys": True})  # without that of Kubernetes no controller manager starts here
        product = Product(made, Path(made.config))
        product.up()
        try:
            yield product
        finally:
            product.down()


@dataclass
class Bundle:
    """As somebody has it who has the store and the key, and nothing of ours."""

    tar: bytes

    @classmethod
    def of(cls, made: Lab) -> "Bundle":
        (stored,) = objects(made, "bundle*.age")
        opened = subprocess.run(
            [AGE.path("age"), "-d", "-i", made.folder / OURS, stored], capture_output=True, check=True
        )
        return cls(zstandard.ZstdDecompressor().decompressobj().decompress(opened.stdout))

    def text(self, name: str) -> str:
        with tarfile.open(fileobj=io.BytesIO(self.tar)) as whole:
            found = whole.extractfile(name)
            assert found
            return found.read().decode()


def lay(product: Product, bundle: Bundle, *words: str) -> list[int]:
    """As the page says; how it ended on each node."""
    hosts, codes = SshHosts(LocalSecrets({})), []
    try:
        for node in nodes_of(product.cluster, settings(product.config).cluster(product.cluster)):
            there = (
                f"sudo sh -c 'umask 077; rm -rf /run/blank; mkdir /run/blank; tar -C /run/blank -xf - {node.name}'"
            )
            assert hosts.run(node, "bulk", there, (bundle.tar,), silent, 60)[0] == 0
            line = " ".join(("sudo sh", f"/run/blank/{node.name}/lay.sh", *words))
            codes.append(hosts.run(node, "commands", line, (), silent, 60)[0])
    finally:
        hosts.close()
    return codes


def test_a_cluster_comes_back_on_nodes_that_are_blank(whole: Product) -> None:
    made = whole.lab
    load(made, 4)
    before = digest(made)
    backup = whole.backup()
    assert (backup["outcome"], backup["findings"]) == ("verified", [])
    bundle = Bundle.of(made)
    assert lay(whole, bundle) == [4, 4, 4]  # etcd runs, with data
    whole.down()
    files = (
        "cd /; sha256sum etc/etcd/pki/* etc/kubernetes/*.conf etc/kubernetes/pki/*; stat -c '%n %U %a' etc/etcd/pki/*"
    )
    was = [on_node(made, files, number) for number in range(3)]
    for number in range(3):
        on_node(made, WIPE, number)
    blank = [on_node(made, "find /etc /usr/lib/systemd -newer /etc/machine-id | sort", n) for n in range(3)]

    assert lay(whole, bundle) == [0, 0, 0]
    assert lay(whole, bundle, "undo") == [0, 0, 0]
    assert [on_node(made, "find /etc /usr/lib/systemd -newer /etc/machine-id | sort", n) for n in range(3)] == blank
    assert [
        on_node(made, "! getent passwd etcd; ls -d /var/lib/etcd /etc/etcd 2>&1 || true", n).count("No such")
        for n in range(3)
    ] == [2, 2, 2]
    assert lay(whole, bundle) == [0, 0, 0]
    assert [on_node(made, files, number) for number in range(3)] == was

    home = made.folder / "rebuilt"
    home.mkdir()
    inventory = yaml.safe_load(bundle.text("quorate.yaml"))
    (home / "quorate.yaml").write_text(yaml.safe_dump({**inventory, "state_dir": str(home / "state")}))
    rebuilt = Product(made, home / "quorate.yaml")
    rebuilt.up()
    try:
        result = rebuilt.restore()
        assert (result["outcome"], result["snapshot"]) == ("restored", backup["snapshot"])
        assert digest(made) == before
        assert all(answers(rebuilt, number) for number in range(3))
        assert [left(rebuilt, node) for node in made.nodes] == [[], [], []]
        assert rebuilt.backup()["outcome"] == "verified"
    finally:
        rebuilt.down()
    secret = (made.folder / OURS).read_text().split()[-1]
    said = "".join(path.read_text() for state in (whole.state, rebuilt.state) for path in state.rglob("*.json*"))
    assert secret not in said and "PRIVATE KEY" not in said
