"""Meeting a cluster: what one node says of itself, and of who else belongs to it."""

import pytest

from quorate.errors import Refusal
from quorate.inventories.meeting import (
    Met,
    clients_of,
    credentials_of,
    flags_of,
    keeper_of,
    roster,
    second_look,
    to_visit,
)
from quorate.nodes.programs import API, ETCD
from tests.meetings import FOLDER, Kept, address, flags, manifest, met, peer, silent


@pytest.mark.parametrize(
    ("kept", "keeper"),
    [
        ((Kept(ETCD, unit="etcd.service"),), "etcd.service"),
        ((Kept(ETCD, unit="kv.service"),), "kv.service"),
        ((Kept(ETCD, unit="kv.service", runs=False),), "kv.service"),
        ((Kept(ETCD, unit="kv.service"), Kept(ETCD, unit="etcd.service", runs=False)), "kv.service"),
        ((Kept(ETCD),), f"{FOLDER}/etcd.yaml"),
        ((Kept(ETCD, runs=False),), f"{FOLDER}/etcd.yaml"),
        ((Kept(ETCD, runs=False), Kept(ETCD, unit="etcd.service", runs=False)), f"{FOLDER}/etcd.yaml"),
        ((Kept(API, unit="kube-apiserver.service"),), ""),
    ],
)
def test_what_runs_it_is_found_whatever_it_is_called(kept: tuple[Kept, ...], keeper: str) -> None:
    assert keeper_of(met("a", *kept), ETCD) == keeper


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ((Kept(ETCD, unit="a.service"), Kept(ETCD, unit="b.service", pid=8)), "a.service and by b.service"),
        ((Kept(ETCD, unit="a.service", runs=False), Kept(ETCD, unit="b.service", runs=False)), "a.service and by b"),
        ((Kept(ETCD, unit="a.service"), Kept(ETCD, pid=8)), f"{FOLDER}/etcd.yaml and by a.service"),
        ((Kept(ETCD, unit="x.service", cgroup="0::/system.slice/docker-4f1c.scope"),), "docker-4f1c.scope"),
        ((Kept(ETCD, unit="x.service", cgroup="0::/user.slice/user-0.slice/session-3.scope"),), "session-3.scope"),
    ],
)
def test_what_nobody_could_tell_apart_is_refused_with_its_names(kept: tuple[Kept, ...], said: str) -> None:
    with pytest.raises(Refusal, match=said):
        keeper_of(met("a", *kept), ETCD)


def test_the_second_look_is_the_surveys_own_at_what_was_found() -> None:
    look = second_look(met("a", Kept(ETCD, unit="kv.service"), Kept(API, pid=8)))
    assert (look.units, look.pods, bool(look.spaces)) == (("kv.service",), (f"{FOLDER}/kube-apiserver.yaml",), True)


def test_a_dead_static_pod_is_told_what_its_manifest_says() -> None:
    """Also one that is parked: an incident may be a fence that somebody else left."""
    words = ("etcd", "--name=b", "--data-dir=/var/lib/etcd")
    there = met("a", Kept(ETCD, unit="unused", runs=False), more=manifest(ETCD, words, ".quorate-fenced"))
    assert (there.name, there.flags["data-dir"]) == ("b", "/var/lib/etcd")


def test_a_control_plane_that_runs_is_told_by_its_command_line_and_not_by_its_unit() -> None:
    running = Kept(API, {"secure-port": "7443"}, "api.service").lines.replace("argv[]=", "argv[]=/bin/api $ARGS ; x")
    assert flags_of(met("a", more=running), API) == {"secure-port": "7443"}


@pytest.mark.parametrize(
    ("changes", "urls"),
    [
        ({}, ("https://10.0.0.1:2379",)),
        ({"advertise_client_urls": "https://a:2379/,https://b:2379"}, ("https://a:2379", "https://b:2379")),
        (
            {"advertise_client_urls": "http://localhost:2379", "listen_client_urls": "http://0.0.0.0:2379"},
            ("http://10.0.0.1:2379",),
        ),
        ({"advertise_client_urls": "", "listen_client_urls": "http://127.0.0.1:2379"}, ("http://localhost:2379",)),
        ({"advertise_client_urls": "https://127.0.0.1:2379,https://a:2379"}, ("https://a:2379",)),
    ],
)
def test_client_urls_are_those_that_others_can_use(changes: dict[str, str], urls: tuple[str, ...]) -> None:
    assert clients_of(met("a", Kept(ETCD, flags("a", **changes), "etcd.service"))) == urls


class TestCredentials:
    def found(self, *kept: Kept, files: tuple[str, ...] = ()) -> list[tuple[str, str]]:
        return [(each.cert, each.used_by) for each in credentials_of(met("a", *kept, files=files))]

    def test_those_of_an_api_server_come_first(self) -> None:
        api = {"etcd-cafile": "/k/ca.crt", "etcd-certfile": "/k/etcd.crt", "etcd-keyfile": "/k/etcd.key"}
        kept = (Kept(ETCD, flags("a"), "etcd.service"), Kept(API, api, "api.service", pid=8))
        assert self.found(*kept) == [("/k/etcd.crt", API), ("/etc/etcd/pki/server.crt", "etcd itself")]

    def test_kubeadms_are_taken_only_where_they_are(self) -> None:
        pki = "/etc/kubernetes/pki"
        files = tuple(f"{pki}/{n}" for n in ("etcd/ca.crt", "apiserver-etcd-client.crt", "apiserver-etcd-client.key"))
        assert (f"{pki}/apiserver-etcd-client.crt", "kubeadm") in self.found(files=files)
        assert all(used_by != "kubeadm" for _, used_by in self.found())

    def test_a_configuration_files_sections_tell_the_same(self) -> None:
        told = {
            "client-transport-security.trusted-ca-file": "/e/ca.crt",
            "client-transport-security.cert-file": "/e/c.crt",
            "client-transport-security.key-file": "/e/c.key",
            "peer-transport-security.cert-file": "/e/p.crt",
            "peer-transport-security.key-file": "/e/p.key",
        }
        found = self.found(Kept(ETCD, told, "etcd.service"))
        assert found == [("/e/c.crt", "etcd itself"), ("/e/p.crt", "etcd's peers")]

    def test_without_tls_there_are_none(self) -> None:
        assert self.found(Kept(ETCD, {"name": "a"}, "etcd.service")) == []


class TestRoster:
    def test_etcd_itself_is_believed_before_what_a_member_was_begun_with(self) -> None:
        stale = met("a", Kept(ETCD, flags("a", "ax"), "etcd.service", runs=False))
        found = roster((stale, met("b", answers="abc")))
        assert ([each.name for each in found.members], found.proven) == (["a", "b", "c"], True)

    def test_where_none_answers_it_is_all_that_any_was_begun_with(self) -> None:
        dead = tuple(
            met(n, Kept(ETCD, flags(n, names), "etcd.service", runs=False)) for n, names in (("a", "a"), ("b", "ab"))
        )
        found = roster(dead)
        assert ([each.name for each in found.members], found.proven) == (["a", "b"], False)

    def test_a_member_alone_was_begun_with_itself(self) -> None:
        alone = met("a", Kept(ETCD, flags("a", initial_cluster=""), "etcd.service", runs=False))
        assert [(each.name, each.peer_urls) for each in roster((alone,)).members] == [("a", (peer("a"),))]

    def test_members_that_do_not_agree_are_refused(self) -> None:
        with pytest.raises(Refusal, match="a and b do not agree"):
            roster((met("a", answers="abc"), met("b", answers="ab")))

    def test_a_member_without_a_name_is_called_as_it_was_begun(self) -> None:
        there = met("a", Kept(ETCD, flags("a"), "etcd.service"), answers="abc")
        assert "c" in [each.name for each in roster((without_name(there, "c"),)).members]

    def test_one_that_nobody_can_name_is_refused_with_what_to_do(self) -> None:
        there = met("a", Kept(ETCD, flags("a", "ab"), "etcd.service"), answers="abc")
        with pytest.raises(Refusal, match="has never started") as refused:
            roster((without_name(there, "c"),))
        assert refused.value.next.startswith("etcdctl member remove 63")


def without_name(there: Met, name: str) -> Met:
    from dataclasses import replace

    rows = tuple(replace(each, name="" if each.name == name else each.name) for each in there.members)
    return replace(there, etcd=replace(there.etcd, members=rows))  # type: ignore[type-var]


def test_whoever_was_not_met_is_visited_at_the_host_of_its_peer_url() -> None:
    assert to_visit((met("a", answers="abc"),), {}) == {"b": address("b"), "c": address("c")}
    assert to_visit((met("a", answers="abc"), silent("b")), {"c": "jump-c"}) == {"c": "jump-c"}
    assert list(to_visit((met("b", answers="cba"),), {})) == ["a", "c"]
    assert to_visit((met("a", answers="abc"), met("b", answers="abc"), met("c")), {}) == {}
