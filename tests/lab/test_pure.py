"""The parts of the lab that need no engine."""

from __future__ import annotations

import io
import random
import tarfile
import zlib
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pyrage
import pytest
import yaml
from cryptography import x509
from pyrage import x25519

from deploy.lab import age, binaries, image, spec
from deploy.lab.addresses import POOL, address, routes, subnet
from deploy.lab.digest import fold
from deploy.lab.errors import LabError
from deploy.lab.kubeconfig import kubeconfig
from deploy.lab.load import key, value
from deploy.lab.machine import NodeFile, packed, tmpfs
from deploy.lab.node_files import Trust, node_files
from deploy.lab.pki import authority, signing_pair
from deploy.lab.pod_images import wanted
from deploy.lab.quorate_yaml import quorate_yaml
from deploy.lab.ready import STATIC_PODS
from deploy.lab.spec import S3, Etcd, Lab, LabSpec, Node, load_lab
from deploy.lab.ssh import ssh_key, write_known_hosts
from deploy.lab.units import apiserver_unit, etcd_unit
from quorate.inventories.reading import parse
from quorate.nodes import pods

SHAPE = LabSpec("demo")
POD_SHAPE = replace(SHAPE, control_plane="static-pods")
NODES = tuple(Node(f"demo-{n}", f"172.30.7.1{n}", f"quorate-demo-{n}") for n in (1, 2, 3))
SAMPLES = Path(__file__).parent / "samples"
RECIPIENTS = ("age1ours", "age1escrow")
STORE = S3("http://127.0.0.1:9000", "quorate-demo", "access", "5ec3e7")


class TestLoad:
    def test_the_same_seed_and_index_give_the_same_bytes(self) -> None:
        assert value(1, 7) == value(1, 7)
        assert len({value(1, 7), value(1, 8), value(2, 7)}) == 3

    def test_it_packs_three_to_four_times_like_objects_do(self) -> None:
        text = value(1, 0)
        assert 3 <= len(text) / len(zlib.compress(text)) <= 4

    def test_a_value_has_the_size_asked_for(self) -> None:
        assert {len(value(1, 0, size)) for size in (1, 1000, 131072)} == {1, 1000, 131072}

    def test_its_bytes_are_frozen(self) -> None:
        """Digests that people wrote down compare against it."""
        assert key(3) == b"/quorate-load/00000003"
        assert f"{zlib.crc32(value(1, 3)):08x}" == "ea7df183"


class TestDigest:
    def test_the_order_does_not_matter(self) -> None:
        pairs = [(key(at), value(1, at, 100)) for at in range(20)]
        shuffled = random.Random(1).sample(pairs, len(pairs))
        assert fold(iter(pairs)) == fold(iter(shuffled))

    def test_equal_pairs_do_not_cancel_out(self) -> None:
        assert fold(iter([(b"a", b"b"), (b"a", b"b")]))[1] != fold(iter([]))[1]

    def test_key_and_value_are_told_apart(self) -> None:
        assert fold(iter([(b"ab", b"c")])) != fold(iter([(b"a", b"bc")]))


class TestAddresses:
    def test_a_lab_gets_the_same_subnet_every_time(self) -> None:
        assert subnet("demo", []) == subnet("demo", [])
        assert subnet("demo", []).subnet_of(POOL)

    def test_a_taken_one_is_passed_over(self) -> None:
        first = subnet("demo", [])
        assert not subnet("demo", [first]).overlaps(first)

    def test_a_full_pool_says_what_to_do(self) -> None:
        with pytest.raises(LabError, match=r"deploy\.lab ls"):
            subnet("demo", [POOL])

    def test_nodes_count_from_eleven(self) -> None:
        assert address(IPv4Network("172.30.7.0/24"), 1) == "172.30.7.11"

    def test_the_hosts_routes_are_read_backwards(self) -> None:
        table = (
            "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"
            "eth0 00000000 0100000A 0003 0 0 0 00000000 0 0 0\n"
            "br0 00071EAC 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
        )
        assert routes(table) == [IPv4Network("172.30.7.0/24")]


class TestSpec:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"members": 2},
            {"etcd": "3.3"},
            {"control_plane": "pods"},
            {"control_plane": "static-pods", "etcd": "3.4"},
            {"name": "Demo"},
            {"name": "../x"},
            {"name": ""},
        ],
    )
    def test_what_no_lab_can_be_is_refused(self, wrong: dict) -> None:
        with pytest.raises(LabError):
            LabSpec(**({"name": "demo"} | wrong))

    def test_a_lab_is_read_back_as_it_was_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(spec, "HOME", tmp_path)
        SHAPE.folder.mkdir()
        config = str(SHAPE.folder / "quorate.yaml")
        lab = Lab(config, NODES, Etcd(tuple(n.client_url for n in NODES), "ca", "cert", "key"), STORE, None)
        SHAPE.save()
        lab.save()
        assert load_lab("demo") == lab
        assert lab.spec == SHAPE
        assert (SHAPE.folder / "lab.json").stat().st_mode & 0o077 == 0

    def test_a_node_goes_by_name_or_number(self) -> None:
        lab = Lab("/x/demo/quorate.yaml", NODES, Etcd((), "", "", ""), STORE, None)
        assert lab.node("2") == lab.node("demo-2") == NODES[1]
        with pytest.raises(LabError, match="demo-1, demo-2, demo-3"):
            lab.node("4")


class TestConfig:
    def test_every_file_it_names_is_absolute(self) -> None:
        text = quorate_yaml(SHAPE, NODES, STORE, RECIPIENTS)
        named = [line.split("file:")[1] for line in text.splitlines() if "file:" in line]
        assert len(named) == 8
        assert all(name.startswith("/") for name in named)
        assert STORE.secret_key not in text

    def test_backups_are_encrypted_for_two_and_opened_by_one(self) -> None:
        backup = yaml.safe_load(quorate_yaml(SHAPE, NODES, STORE, RECIPIENTS))["clusters"]["demo"]["backup"]
        assert backup["recipients"] == list(RECIPIENTS)
        assert backup["identities"] == [f"file:{SHAPE.folder / 'age.key'}"]

    def test_without_a_control_plane_nothing_speaks_of_one(self) -> None:
        cluster = yaml.safe_load(quorate_yaml(replace(SHAPE, control_plane="none"), NODES, STORE, RECIPIENTS))[
            "clusters"
        ]["demo"]
        assert not {"control_plane", "kubernetes"} & set(cluster)

    def test_api_servers_elsewhere_are_named_and_nothing_of_theirs_is_kept_by_a_node(self) -> None:
        external, outside = replace(SHAPE, control_plane="external"), (Node("demo-4", "172.30.7.14", "x"),)
        cluster = yaml.safe_load(quorate_yaml(external, NODES, STORE, RECIPIENTS, outside))["clusters"]["demo"]
        assert (external.outside, "control_plane" in cluster) == (1, False)
        assert cluster["kubernetes"]["api_urls"] == ["https://172.30.7.14:6443"]

    def test_a_sandbox_is_no_member_and_is_there_only_when_asked_for(self) -> None:
        asked, attic = replace(SHAPE, sandbox=True), Node("demo-4", "172.30.7.14", "x")
        text = quorate_yaml(asked, NODES, STORE, RECIPIENTS, (), attic)
        assert (asked.machines, SHAPE.machines) == (4, 3)
        assert yaml.safe_load(text)["clusters"]["demo"]["sandbox"]["host"] == "172.30.7.14"
        sandbox = parse(text, "quorate.yaml").clusters["demo"].sandbox
        assert sandbox
        assert sandbox.restore_tool == "/usr/local/bin/etcdutl"
        assert parse(quorate_yaml(SHAPE, NODES, STORE, RECIPIENTS), "q.yaml").clusters["demo"].sandbox is None

    def test_the_keys_of_a_cluster_come_in_the_products_order(self) -> None:
        text = yaml.safe_load(quorate_yaml(SHAPE, NODES, STORE, RECIPIENTS))
        assert list(text) == ["apiVersion", "state_dir", "temporal", "clusters", "stores", "metrics"]
        assert list(text["clusters"]["demo"]) == [
            "environment", "ssh", "etcd", "members", "control_plane", "kubernetes", "backup", "objectives", "drills",
        ]  # fmt: skip

    def test_etcd_3_4_restores_with_etcdctl(self) -> None:
        text = yaml.safe_load(quorate_yaml(replace(SHAPE, etcd="3.4"), NODES, STORE, RECIPIENTS))
        assert text["clusters"]["demo"]["etcd"]["restore_tool"] == "/usr/local/bin/etcdctl"


class TestAge:
    def test_each_key_is_for_its_owner_alone_and_opens_what_is_for_its_recipient(self, tmp_path: Path) -> None:
        made = age.recipients(tmp_path)
        assert len(set(made)) == 2
        for name, recipient in zip(("age.key", "escrow.key"), made, strict=True):
            assert (tmp_path / name).stat().st_mode & 0o077 == 0
            identity = x25519.Identity.from_str((tmp_path / name).read_text().splitlines()[-1])
            sealed = pyrage.encrypt(b"kept", [x25519.Recipient.from_str(recipient)])
            assert pyrage.decrypt(sealed, [identity]) == b"kept"

    def test_a_key_that_is_there_is_kept(self, tmp_path: Path) -> None:
        assert age.recipients(tmp_path) == age.recipients(tmp_path)


class TestUnits:
    def test_etcd_listens_with_mutual_tls_on_both_sides(self) -> None:
        unit = etcd_unit(SHAPE, NODES[0], NODES)
        for flag in (
            "--listen-client-urls=https://172.30.7.11:2379,https://127.0.0.1:2379",
            "--client-cert-auth=true",
            "--peer-client-cert-auth=true",
            "--initial-cluster-token=quorate-lab-demo",
            "--quota-backend-bytes=8589934592",
        ):
            assert flag in unit
        assert "http://" not in unit

    def test_an_api_server_asks_its_own_etcd_first(self) -> None:
        assert f"--etcd-servers={NODES[1].client_url},{NODES[0].client_url}" in apiserver_unit(NODES[1], NODES)


def files(shape: LabSpec, number: int) -> dict[str, NodeFile]:
    trust = Trust(authority("e"), authority("k"), authority("f"), signing_pair(), ssh_key())
    return {file.path: file for file in node_files(shape, number, NODES, trust, ssh_key())}


class TestNodeFiles:
    def files(self, number: int) -> dict[str, NodeFile]:
        return files(SHAPE, number)

    def test_units_are_in_etc_on_odd_nodes_and_in_usr_lib_on_even_ones(self) -> None:
        assert "/etc/systemd/system/etcd.service" in self.files(1)
        assert "/usr/lib/systemd/system/etcd.service" in self.files(2)

    def test_no_private_key_is_readable_by_others(self) -> None:
        secret = [file for file in self.files(1).values() if b"PRIVATE KEY" in file.content]
        assert len(secret) == 7
        assert all(file.mode == 0o600 for file in secret)

    def test_the_servers_certificate_names_every_way_to_reach_it(self) -> None:
        cert = x509.load_pem_x509_certificate(self.files(1)["/etc/etcd/pki/server.crt"].content)
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert set(names.get_values_for_type(x509.DNSName)) == {"demo-1", "localhost"}
        assert {str(ip) for ip in names.get_values_for_type(x509.IPAddress)} == {"172.30.7.11", "127.0.0.1"}

    def test_owners_and_links_survive_the_packing(self) -> None:
        files = [NodeFile("/a", b"x", 0o600, "etcd"), NodeFile("/b", target="/a")]
        with tarfile.open(fileobj=io.BytesIO(packed(files))) as archive:
            first, second = archive.getmembers()
        assert (first.name, first.uid, first.mode) == ("a", 800, 0o600)
        assert (second.issym(), second.linkname) == (True, "/a")

    def test_only_a_bounded_data_filesystem_is_a_tmpfs(self) -> None:
        assert "/var/lib/etcd" not in tmpfs(SHAPE)
        assert tmpfs(replace(SHAPE, data_tmpfs_mib=64))["/var/lib/etcd"].startswith("size=64m,")


class TestStaticPods:
    def documents(self, number: int) -> dict[str, dict]:
        text = files(POD_SHAPE, number)["/etc/kubernetes/kubeadm.yaml"].content
        return {each["kind"]: each for each in yaml.safe_load_all(text)}

    def test_kubeadm_is_told_the_nodes_own_address_and_every_member(self) -> None:
        told = self.documents(2)
        local = told["ClusterConfiguration"]["etcd"]["local"]
        etcd = {each["name"]: each["value"] for each in local["extraArgs"]}
        assert told["InitConfiguration"]["localAPIEndpoint"]["advertiseAddress"] == NODES[1].address
        assert etcd["initial-cluster"].split(",") == [f"{node.name}={node.peer_url}" for node in NODES]

    def test_every_image_has_the_tag_that_kubeadm_asks_for(self) -> None:
        told = self.documents(1)["ClusterConfiguration"]
        tags = {each.name: each.reference for each in wanted(POD_SHAPE)}
        assert tags["etcd"] == f"{told['imageRepository']}/etcd:{told['etcd']['local']['imageTag']}"
        assert tags["kube-apiserver"] == f"{told['imageRepository']}/kube-apiserver:{told['kubernetesVersion']}"
        assert f'"{tags["pause"]}"' in (image.POD_CONTEXT / "containerd.toml").read_text()

    def test_kubeadm_signs_everything_but_the_authorities(self) -> None:
        placed = {path for path, file in files(POD_SHAPE, 1).items() if b"PRIVATE KEY" in file.content}
        assert {path.removeprefix("/etc/kubernetes/pki/") for path in placed if "pki" in path} == {
            "ca.key", "etcd/ca.key", "front-proxy-ca.key", "sa.key",
        }  # fmt: skip

    def test_no_unit_runs_etcd(self) -> None:
        assert not [path for path in files(POD_SHAPE, 1) if path.endswith(".service")]


class TestSamples:
    def test_quorate_reads_four_pods_from_what_crictl_printed_on_a_node(self) -> None:
        containers, sandboxes = ((SAMPLES / f"crictl-{name}.json").read_text() for name in ("ps", "pods"))
        rows = [["pod", f"/m/{name}.yaml", "there", ""] for name in STATIC_PODS]
        seen = pods.parse([*rows, ["containers", containers], ["sandboxes", sandboxes]])
        assert [seen[f"/m/{name}.yaml"].state for name in STATIC_PODS] == ["active"] * 4


class TestTrust:
    def test_a_signed_certificate_verifies_against_its_authority_only(self) -> None:
        ours, theirs = authority("ours"), authority("theirs")
        cert = x509.load_pem_x509_certificate(ours.sign("client").cert)
        cert.verify_directly_issued_by(x509.load_pem_x509_certificate(ours.pair.cert))
        with pytest.raises(ValueError, match="does not match"):
            cert.verify_directly_issued_by(x509.load_pem_x509_certificate(theirs.pair.cert))

    def test_a_kubeconfig_carries_everything_inside(self) -> None:
        ca = authority("k")
        said = yaml.safe_load(kubeconfig("https://172.30.7.11:6443", ca.pair.cert, ca.sign("admin"), "admin"))
        assert said["current-context"] == said["contexts"][0]["name"]
        assert "client-key-data" in said["users"][0]["user"]

    def test_known_hosts_pins_one_key_an_address(self, tmp_path: Path) -> None:
        write_known_hosts(tmp_path, {"172.30.7.11": ssh_key(), "172.30.7.12": ssh_key()})
        lines = (tmp_path / "known_hosts").read_text().splitlines()
        assert [line.split()[:2] for line in lines] == [
            ["172.30.7.11", "ssh-ed25519"],
            ["172.30.7.12", "ssh-ed25519"],
        ]


class TestBinaries:
    def test_etcd_requires_its_three_modules_at_one_version(self) -> None:
        text = binaries.go_mod(binaries.ETCD["3.6"], ())
        assert text.count("v3.6.14") == 3
        assert "replace" not in text

    def test_staged_modules_are_replaced_by_their_published_selves(self) -> None:
        text = binaries.go_mod(binaries.CONTROL_PLANE, ("k8s.io/api",))
        assert "replace k8s.io/api => k8s.io/api v0.34.2" in text

    def test_a_module_may_be_published_under_another_name_than_its_own(self) -> None:
        text = binaries.go_mod(binaries.CRICTL, ())
        assert "replace github.com/kubernetes-sigs/cri-tools => sigs.k8s.io/cri-tools v1.30.0" in text
