"""The inventory that nodes tell: everything that could be read, its source, and a mark where a person decides."""

from dataclasses import replace

import pytest

from quorate.errors import Refusal
from quorate.inventories.draft import Draft, Given, Value, draft, kubeconfig_value, tls_copies, tls_values
from quorate.inventories.meeting import Met
from quorate.inventories.reading import parse
from quorate.inventories.writing import decisions, text
from quorate.inventory import Cluster
from quorate.nodes.programs import API, ETCD
from quorate.settings.machines import Ssh
from tests.factory import SSH
from tests.meetings import FOLDER, TOOLS, Kept, client, flags, met, peer, silent

BACKUP = ("backup.every", "backup.schedule", "backup.recipients", "backup.identities")
ALWAYS = {"temporal", "stores.offsite", "environment", *BACKUP, "objectives", "approval"}
BEHIND = Ssh.model_validate({**SSH.model_dump(), "jump": {"host": "bastion", "port": 2222}})
CONTROL = (API, "kube-controller-manager", "kube-scheduler")


def drafted(first: Met, *others: Met, ssh: Ssh = SSH, name: Value | None = None, api_url: str = "") -> Draft:
    """The first was named by a person, each other was visited for the member that should be there."""
    nodes = (first, *(replace(each, expected=each.expected or each.name) for each in others))
    given = Given(
        cluster=name or Value("prod"),
        state_dir="/q/state",
        store="/q/backups",
        ssh=ssh,
        tls=tls_values(nodes, "/q/pki", fetched=False),
        kubeconfig=kubeconfig_value(nodes, "/q/pki", fetched=False),
        api_url=api_url,
    )
    return draft(given, nodes)


def read(found: Draft) -> Cluster:
    return parse(text(found.entries), "quorate.yaml").clusters["prod"]


def marks(found: Draft) -> set[str]:
    """Without those that every inventory has."""
    return {each.field.removeprefix("clusters.prod.") for each in decisions(found.entries)} - ALWAYS


def three(*control: str, unit: str = "etcd.service", answers: str = "abc") -> tuple[Met, ...]:
    return tuple(
        met(
            name,
            Kept(ETCD, flags(name), unit, runs=bool(answers)),
            *(Kept(role, {"secure-port": "6443"}, f"{role}.service", pid=9 + n) for n, role in enumerate(control)),
            answers=answers,
        )
        for name in "abc"
    )


def test_api_servers_elsewhere_are_written_where_a_kubeconfig_leads_to_them_and_marked() -> None:
    assert read(drafted(*three())).kubernetes is None
    found = drafted(*three(), api_url="https://10.1.0.1:6443")
    assert read(found).control_plane == ()
    assert read(found).kubernetes.api_urls == ("https://10.1.0.1:6443",)  # type: ignore[union-attr]
    assert "kubernetes.api_urls" in marks(found)


def test_a_healthy_cluster_is_whole_and_only_decisions_are_left() -> None:
    found = drafted(*three(*CONTROL))
    cluster = read(found)
    assert [(each.name, each.host, each.peer_urls, each.client_urls) for each in cluster.members] == [
        (name, peer(name)[8:-5], (peer(name),), (client(name),)) for name in "abc"
    ]
    assert (cluster.etcd.unit, cluster.etcd.data_dir) == ("etcd.service", "/var/lib/etcd/default")
    assert [(each.role, each.unit) for each in cluster.control_plane] == [
        (role, f"{role}.service") for role in CONTROL
    ]
    assert cluster.kubernetes is not None
    assert cluster.kubernetes.api_urls == tuple(f"https://10.0.0.{n}:6443" for n in (1, 2, 3))
    assert marks(found) == {"etcd.tls.ca", "etcd.tls.cert", "etcd.tls.key", "kubernetes.kubeconfig"}
    assert found.findings == ()


def test_a_decision_says_what_to_put_where() -> None:
    said = {each.field.rpartition(".")[2]: each.what for each in decisions(drafted(*three()).entries)}
    assert said["key"] == "put here 10.0.0.1:/etc/etcd/pki/server.key, which etcd itself uses"


def test_a_name_that_nobody_gave_is_to_be_decided() -> None:
    found = drafted(*three(), name=Value("prod", decide="what it is called"))
    assert "clusters.prod" in {each.field for each in decisions(found.entries)}


def test_etcd_alone_without_tls_needs_no_files() -> None:
    there = met("a", Kept(ETCD, {**flags("a"), "advertise-client-urls": "http://10.0.0.1:2379"}, "kv.service"))
    found = drafted(there)
    cluster = read(found)
    assert (cluster.etcd.tls, cluster.etcd.unit, cluster.control_plane, cluster.kubernetes) == (
        None,
        "kv.service",
        (),
        None,
    )
    assert tls_copies((there,)) == ()


def test_static_pods_are_called_by_their_manifests_and_data_lies_where_the_node_has_it() -> None:
    there = met("a", Kept(ETCD, flags("a", "a", data_dir="/var/lib/etcd/x")), Kept(API, pid=8), answers="a")
    cluster = read(drafted(there))
    assert (cluster.etcd.manifest, cluster.etcd.data_dir) == (f"{FOLDER}/etcd.yaml", "/srv/etcd/x")
    assert [each.manifest for each in cluster.control_plane] == [f"{FOLDER}/kube-apiserver.yaml"]


def test_with_etcd_dead_everywhere_the_members_are_to_be_confirmed() -> None:
    found = drafted(*three(answers=""))
    assert [each.client_urls for each in read(found).members] == [(client(name),) for name in "abc"]
    assert {"members", "etcd.tls.key"} <= marks(found)
    assert found.findings[-1].startswith("etcd answers nowhere")
    assert "not proven" in next(each.what for each in decisions(found.entries) if each.field.endswith("tls.key"))


def test_a_node_that_does_not_answer_is_written_as_it_is_known_and_marked() -> None:
    found = drafted(met("a", answers="abc"), met("b", answers="abc"), silent("c"))
    assert read(found).members[2].host == "10.0.0.3"
    assert "members.2.host" in marks(found)
    assert found.findings == ("c (10.0.0.3) could not be looked at: 10.0.0.3 does not answer",)


def test_where_nothing_is_known_of_a_member_but_its_peer_url_its_client_url_is_a_guess_and_says_so() -> None:
    found = drafted(met("a"), silent("b"), silent("c"))
    assert read(found).members[1].client_urls == (client("b"),)
    assert {"members.1.client_urls", "members.1.host"} <= marks(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unit": "kv.service"}, "what runs etcd: etcd.service on a, b; kv.service on c"),
        ({"told": flags("c", data_dir="/data")}, "data_dir: /data on c; /var/lib/etcd/default on a, b"),
        ({"told": flags("c", advertise_client_urls="http://10.0.0.3:2379")}, "scheme .* http on c; https on a, b"),
    ],
)
def test_nodes_that_are_not_alike_are_refused_with_what_differs(change: dict[str, object], said: str) -> None:
    kept = replace(Kept(ETCD, flags("c"), "etcd.service"), **change)  # type: ignore[arg-type]
    with pytest.raises(Refusal, match=said):
        drafted(*three()[:2], met("c", kept, answers="abc"))


def test_a_control_plane_on_some_nodes_only_is_refused() -> None:
    with pytest.raises(Refusal, match="kube-scheduler: none on c; kube-scheduler.service on a, b"):
        drafted(*three("kube-scheduler")[:2], three()[2])


def test_a_node_that_is_not_the_member_it_should_be_is_refused_with_the_way_to_say_where_that_is() -> None:
    with pytest.raises(Refusal, match="10.0.0.3 should be member b, and its etcd is called c") as refused:
        drafted(met("a", answers="abc"), met("c", answers="abc", expected="b"))
    assert "--host b=ADDRESS" in refused.value.next


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (met("a", Kept(API, unit="api.service")), "10.0.0.1: there is no process of etcd"),
        (met("x"), "its etcd is called x, and the members are a, b, c"),
    ],
)
def test_a_first_node_that_is_no_member_is_refused(first: Met, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        drafted(first, met("b", answers="abc", expected="b"))


def test_a_node_without_etcd_is_marked_as_one_that_tells_nothing() -> None:
    """Its machine was replaced: it is still a member."""
    found = drafted(met("a", answers="abc"), met("b", answers="abc", expected="b"), replace(bare(), expected="c"))
    assert "members.2.host" in marks(found)
    assert found.findings[0].startswith("c (10.0.0.3) could not be looked at: there is no process of etcd")


def bare() -> Met:
    return met("c", Kept(API, unit="api.service", runs=False))


def test_one_that_left_long_ago_is_left_out_although_a_dead_member_was_begun_with_it() -> None:
    found = drafted(met("a"), met("b", answers="ab", expected="b"), silent("c"))
    assert [each.name for each in read(found).members] == ["a", "b"]
    assert all("10.0.0.3" not in finding for finding in found.findings)


def test_a_learner_is_marked() -> None:
    there = met("a", answers="ab")
    members = tuple(replace(each, learner=each.name == "b") for each in there.members)
    learning = replace(there, etcd=replace(there.etcd, members=members))  # type: ignore[type-var]
    assert "members.1.name" in marks(drafted(learning, silent("b")))


def test_a_log_in_a_directory_of_its_own_is_told() -> None:
    there = met("a", Kept(ETCD, flags("a", "a", wal_dir="/wal/etcd"), "etcd.service"), answers="a")
    assert "      wal_dir: /wal/etcd  # --wal-dir\n" in text(drafted(there).entries)
    assert "wal_dir" not in text(drafted(*three()).entries)


class TestDataDir:
    def test_a_relative_one_belongs_to_the_directory_of_its_process(self) -> None:
        there = met("a", Kept(ETCD, flags("a", "a", data_dir="a.etcd"), "etcd.service"), answers="a")
        assert read(drafted(there)).etcd.data_dir == "/var/lib/a.etcd"

    def test_etcds_own_default_too(self) -> None:
        there = met("a", Kept(ETCD, flags("a", "a", data_dir=""), "etcd.service"), answers="a")
        assert read(drafted(there)).etcd.data_dir == "/var/lib/a.etcd"

    def test_without_a_process_nobody_knows_it(self) -> None:
        there = met("a", Kept(ETCD, flags("a", "a", data_dir="a.etcd"), "etcd.service", runs=False))
        with pytest.raises(Refusal, match="relative to a process that does not run"):
            drafted(there)

    def test_a_unit_whose_variables_nobody_has_filled_in_tells_nothing(self) -> None:
        unit = "\nId=etcd.service\nLoadState=loaded\nActiveState=inactive\nMainPID=0\n"
        words = "/e/etcd --name=a --initial-cluster=a=https://10.0.0.1:2380 $OPTS"
        unit += f"ExecStart={{ path=/e/etcd ; argv[]={words} ; x }}\n\n"
        with pytest.raises(Refusal, match=r"cannot be read from etcd.service, and no etcd runs"):
            drafted(met("a", Kept(API, unit="api.service"), more=unit))


@pytest.mark.parametrize(
    ("tools", "version", "tool"),
    [
        (TOOLS, "3.6.14", "/usr/local/bin/etcdutl"),
        (TOOLS, "", "/usr/local/bin/etcdutl"),
        ("tool\t/usr/bin/etcdctl\tetcdctl version: 3.4.23\n", "3.4.23", "/usr/bin/etcdctl"),
        ("tool\t/usr/bin/etcdctl\tetcdctl version: 3.5.30\n", "", "/usr/bin/etcdctl"),
        ("tool\t/usr/bin/etcdutl\tetcdutl version: 3.5.30\n" + TOOLS, "3.6.14", "/usr/local/bin/etcdutl"),
        ("tool\t/usr/bin/etcdctl\tetcdctl version: 3.6.14\n", "3.6.14", ""),
        ("tool\t/usr/bin/etcdutl\tetcdutl version: 3.5.30\n", "3.6.14", ""),
        ("tool\t/usr/bin/etcdutl\t\n", "3.6.14", ""),
        ("", "3.6.14", ""),
    ],
)
def test_the_tool_is_one_that_can_restore_what_runs(tools: str, version: str, tool: str) -> None:
    """Where none can, the usual place and a mark."""
    kept = Kept(ETCD, flags("a", "a"), "etcd.service", runs=bool(version))
    there = met("a", kept, answers="a" if version else "", tools=tools)
    if version:
        there = replace(there, etcd=replace(there.etcd, version=version))  # type: ignore[type-var]
    found = drafted(there)
    assert read(found).etcd.restore_tool == (tool or "/usr/local/bin/etcdutl")
    assert ("etcd.restore_tool" in marks(found)) == (not tool)


def test_where_a_kubelet_runs_etcd_from_an_image_the_tool_is_in_it() -> None:
    kept, image = Kept(ETCD, flags("a", "a"), runs=False, image="r/etcd:3.6.14-0"), "image\tr/etcd:3.6.14-0\n"
    assert "etcd.restore_tool" not in marks(drafted(met("a", kept, tools="", more=image)))
    assert "etcd.restore_tool" in marks(drafted(met("a", kept, tools="")))


def test_what_is_fetched_is_no_decision_but_what_was_not_proven_is() -> None:
    proven, doubted = (tls_values(nodes, "/q/pki", fetched=True)[2] for nodes in (three(), three(answers="")))
    assert (proven.value, proven.source, proven.decide) == (
        "file:/q/pki/client.key",
        "copied from 10.0.0.1:/etc/etcd/pki/server.key, which etcd itself uses",
        "",
    )
    assert "not proven" in doubted.decide


def test_a_kubeconfig_is_taken_where_kubeadm_puts_it() -> None:
    there = met("a", Kept(ETCD, flags("a", "a")), Kept(API, pid=8), files=("/etc/kubernetes/admin.conf",))
    assert kubeconfig_value((there,), "/q", fetched=True).source == "copied from 10.0.0.1:/etc/kubernetes/admin.conf"
    assert kubeconfig_value(three(API), "/q", fetched=True).decide


def test_the_way_through_a_jump_host_is_said() -> None:
    assert read(drafted(*three(), ssh=BEHIND)).ssh == BEHIND


def test_behind_a_jump_host_with_etcd_dead_it_is_reached_through_ssh_until_somebody_knows_better() -> None:
    found = drafted(*three(answers=""), ssh=BEHIND)
    assert read(found).ssh.forward
    assert "ssh.forward" in marks(found)
    assert "ssh.forward" not in marks(drafted(*three(answers="")))


def test_a_member_that_answers_its_own_node_only_is_reached_through_ssh() -> None:
    a, *others = three()
    found = drafted(a, replace(others[0], direct=False), others[1])
    assert read(found).ssh.forward
    assert "from here etcd does not answer on b, through its node it does" in text(found.entries)
    assert not read(drafted(*three())).ssh.forward


def test_ssh_is_said_only_where_it_is_not_usual() -> None:
    root = Ssh(user="root", identity="file:/id", known_hosts="/k", port=2222, sudo=False)
    found = drafted(*three(), ssh=root)
    assert read(found).ssh == root
    assert "connect_timeout_s" not in text(found.entries)
