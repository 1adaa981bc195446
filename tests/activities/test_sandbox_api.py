"""An API server in the sandbox is told what the cluster's was, reaches nobody, and is believed by what it answers."""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

import pytest
from temporalio.testing import ActivityEnvironment

from activities.drills.sandbox_api import ApiServing
from activities.recording.recorded import RecordedHosts, RecordedStores
from quorate.backups.catalogue import Live, Manifest
from quorate.command import Command, Node
from quorate.converge import Await
from quorate.database.content import REST
from quorate.drills.sandbox_api import (
    ENCRYPTION,
    KEY,
    SIGNING,
    Answer,
    ApiServer,
    Keys,
    answered,
    keys_of,
    miscounted,
    page_of,
    told,
    version_told,
    wanted,
)
from quorate.errors import CommandFailed
from quorate.inventories.reading import parse
from quorate.nodes.packed import Packed
from quorate.nodes.seen import NodeSeen, UnitSeen
from quorate.prove import Chosen, ProveTask, Served
from quorate.reports.checking import of_proof
from quorate.reports.told import Told
from tests.factory import INVENTORY
from tests.fakes.machine import FakeHosts, Machine
from tests.fakes.store import MemoryStore, MemoryStores
from tests.quorate.test_catalogue import made
from tests.quorate.test_sandbox import TRIAL
from tests.workflows.test_backup import Notebook
from tests.workflows.test_prove import ON_TOP

API = ApiServer(TRIAL, "/usr/local/bin/kube-apiserver")
FLAGS = {
    ENCRYPTION: "/etc/kubernetes/encryption.yaml",
    KEY: "/etc/kubernetes/pki/sa.pub",
    SIGNING: "/etc/kubernetes/pki/sa.key",
    "service-account-issuer": "https://issuer",
    "client-ca-file": "/etc/kubernetes/pki/ca.crt",
}


def packed(path: str, data: bytes) -> Packed:
    return Packed(path, 0o600, "root", "root", 0, 0, 0, data)


def bundle(flags: dict[str, str], *laid: str, node: str = "b") -> list[Packed]:
    about = {"flags": {"etcd": {}, **({"kube-apiserver": flags} if flags else {})}}
    files = (packed(f"/{node}/rootfs{flags[each]}", each.encode()) for each in laid)
    return [packed(f"/{node}/node.json", json.dumps(about).encode()), *files]


def seen(state: str) -> NodeSeen:
    pid = 0 if state in {"inactive", "failed"} else 7
    return NodeSeen(units={TRIAL.api_unit: UnitSeen(TRIAL.api_unit, "loaded", state, pid=pid)})


def started(keys: Keys) -> tuple[str, ...]:
    (act,) = API.start(keys, seen("inactive"))  # type: ignore[misc]
    return act.argv


class TestKeys:
    def test_they_are_of_the_first_node_that_an_api_server_ran_on_and_no_others_than_it_needs(self) -> None:
        found = keys_of([*bundle({}, node="a"), *bundle(FLAGS, ENCRYPTION, KEY, SIGNING, "client-ca-file")])
        assert (found.node, found.note) == ("b", "")
        assert found.files == {ENCRYPTION: ENCRYPTION.encode(), KEY: KEY.encode(), SIGNING: SIGNING.encode()}
        assert found.words == {"service-account-issuer": "https://issuer"}

    def test_what_a_flag_names_and_the_bundle_lacks_is_told(self) -> None:
        found = keys_of(bundle(FLAGS, KEY, SIGNING))
        assert found.note == f"the bundle of b lacks {FLAGS[ENCRYPTION]} (--{ENCRYPTION})"
        assert ENCRYPTION not in found.files

    def test_where_no_api_server_ran_on_a_node_there_are_none(self) -> None:
        assert keys_of(bundle({})).note == "the bundle is of no node that an API server ran on"


class TestStart:
    def test_it_joins_the_network_of_that_etcd_and_listens_on_loopback_alone(self) -> None:
        argv = started(Keys())
        assert {f"--property=JoinsNamespaceOf={TRIAL.unit}", "--property=PrivateNetwork=yes"} <= set(argv)
        assert f"--property=BindsTo={TRIAL.unit}" in argv
        assert {"--bind-address=127.0.0.1", "--etcd-servers=http://127.0.0.1:2379"} <= set(argv)

    def test_it_has_the_clusters_keys_where_there_are_any_and_else_its_own(self) -> None:
        own, clusters = started(Keys()), started(keys_of(bundle(FLAGS, ENCRYPTION, KEY, SIGNING)))
        assert f"--{SIGNING}={API.certificates}/apiserver.key" in own
        assert f"--{KEY}={API.certificates}/apiserver.key" in own
        assert not any(word.startswith(f"--{ENCRYPTION}") for word in own)
        assert {f"--{flag}={API.home}/{flag}" for flag in (ENCRYPTION, KEY, SIGNING)} <= set(clusters)
        assert "--service-account-issuer=https://issuer" in clusters

    def test_it_is_waited_for_and_a_failure_is_told(self) -> None:
        assert API.start(Keys(), seen("active")) == ()
        assert isinstance(API.start(Keys(), seen("activating")), Await)
        with pytest.raises(CommandFailed, match="does not run on what was restored"):
            API.start(Keys(), seen("failed"))

    def test_no_key_is_a_word_of_a_command(self) -> None:
        keys = Keys("b", {ENCRYPTION: b"secret: xyzzy"})
        laid = API.lay(keys)
        assert laid[-1].stdin == "secret: xyzzy"
        assert "xyzzy" not in str([act.argv for act in laid]) + str(started(keys))
        assert {act.given for act in laid} == {(TRIAL.data,)}


class TestAnswers:
    def test_what_it_says_is_told_apart_from_how_long_it_has_run(self) -> None:
        said = b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nok\nup 5000000 8.25\n"
        assert answered(said) == Answer(200, b"ok", 3.25)

    @pytest.mark.parametrize("said", [b"", b"quorate-sandbox-prove-1-api.service does not run\n"])
    def test_no_answer_is_one_too(self, said: bytes) -> None:
        assert answered(said).status == 0
        assert told(answered(said)).startswith("it does not answer")

    def test_pages_tell_revisions_and_where_the_next_begins(self) -> None:
        items = [{"metadata": {"resourceVersion": "7"}}, {"metadata": {"resourceVersion": "9"}}]
        body = json.dumps({"metadata": {"continue": "x"}, "items": items}).encode()
        page = page_of(Answer(200, body))
        assert (page.revisions, page.more) == ((7, 9), "x")
        assert "&continue=x" in API.page("secrets", "x").argv[-2]

    def test_a_page_that_is_refused_is_told_in_the_servers_words(self) -> None:
        body = b'{"kind":"Status","message":"unable to transform key \\"/registry/secrets/a/b\\""}'
        with pytest.raises(CommandFailed, match="it answers 500: unable to transform key"):
            page_of(Answer(500, body))

    def test_of_what_is_not_ready_only_that_is_told(self) -> None:
        body = b"[+]ping ok\n[-]informer-sync failed: reason withheld\n[-]etcd failed: x\nreadyz check failed\n"
        assert told(Answer(500, body)) == "it answers 500: informer-sync, etcd"

    def test_its_version_is_its_own_word(self) -> None:
        assert version_told("Kubernetes v1.34.2\n") == "v1.34.2"
        assert version_told("etcd Version: 3.6") == ""


class TestCounted:
    def test_as_many_as_the_manifest_has_counted(self) -> None:
        live = {"/registry/namespaces": Live(keys=4, leased=0)}
        assert [wanted(live, kind) for kind in ("namespaces", "secrets")] == [4, 0]
        assert miscounted("namespaces", 4, 4) == ""
        assert miscounted("namespaces", 3, 4) == "it tells 3 namespaces, the manifest has counted 4"

    def test_what_was_counted_with_others_is_not_known(self) -> None:
        live = {"/registry/pods": Live(keys=9, leased=0), REST: Live(keys=5, leased=0)}
        assert (wanted(live, "secrets"), wanted({}, "namespaces")) == (None, None)
        assert miscounted("secrets", 3, None) == ""


@pytest.mark.parametrize(("unserved", "passed"), [("", True), ("it answers 500", False)])
def test_the_report_of_a_proof_has_it_among_its_checks(unserved: str, passed: bool) -> None:
    outcome = {"outcome": "proved", "unserved": unserved, "facts": {"readyz_s": "3.10", "namespaces": "4"}}
    *_, served = of_proof(Told("prove-1", "demo", outcome, {}))
    assert (served.id, served.passed) == ("api-served", passed)
    assert "api-served" not in [each.id for each in of_proof(Told("prove-1", "demo", {"outcome": "proved"}, {}))]


@dataclass
class Speaking(FakeHosts):
    """An API server of memory: what it answers to a path, in the order in which it is asked."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)

    def read(self, node: Node, command: Command) -> Iterator[bytes]:
        kind = command.argv[-2].partition("?")[0].rpartition("/")[2]
        answer = self.answers[kind].pop(0)
        yield b"HTTP/1.0 %d X\r\nA: b\r\n\r\n%s\nup 1000000 3.5\n" % (answer.status, answer.body)


def page(*revisions: int, more: str = "") -> Answer:
    items = [{"metadata": {"resourceVersion": str(each)}} for each in revisions]
    return Answer(200, json.dumps({"metadata": {"continue": more}, "items": items}).encode())


def asked(manifest: Manifest, verb: str, **answers: list[Answer]) -> Served:
    """What comes of a step where the backup was made at revision 100."""
    store, notebook = MemoryStore(), Notebook()
    store.objects[manifest.manifest_key] = manifest.encode()
    hosts = Speaking({"attic": Machine("attic", claim=("prove-1", 1, 1))}, answers)
    work = ApiServing(
        RecordedHosts(hosts, lambda _: notebook, time),
        RecordedStores(MemoryStores(store), lambda _: notebook, time),
        None,  # type: ignore[arg-type]
        tick=lambda _: None,
    )
    chosen = Chosen(manifest.id, manifest.manifest_key, sha256(manifest.encode()).hexdigest())
    told_: Served = ActivityEnvironment().run(getattr(work, verb), ProveTask(ON_TOP, verb, 7, chosen))
    return told_


class TestAsked:
    LIVE = {"/registry/namespaces": Live(keys=4, leased=0), "/registry/secrets": Live(keys=3, leased=0)}  # noqa: RUF012

    def test_what_it_has_written_itself_is_younger_and_counts_for_nothing(self) -> None:
        pages = [page(1, 2, more="x"), page(100, 101)]
        found = asked(
            made().model_copy(update={"live": self.LIVE}), "ask", namespaces=[page(1, 2, 3, 4)], secrets=pages
        )
        assert (found.wrong, found.facts) == ("", {"namespaces": "4", "secrets": "3"})

    def test_another_number_than_the_manifests_is_wrong(self) -> None:
        found = asked(made().model_copy(update={"live": self.LIVE}), "ask", namespaces=[page(1, 2, 3, 101)])
        assert found.wrong == "it tells 3 namespaces, the manifest has counted 4"

    def test_where_the_manifest_has_not_counted_them_a_note_says_so(self) -> None:
        found = asked(made(), "ask", namespaces=[page(1)], secrets=[page()])
        assert (found.wrong, len(found.notes)) == ("", 2)

    def test_what_it_cannot_decrypt_is_told_in_its_own_words(self) -> None:
        refused = Answer(500, b'{"message": "unable to transform key"}')
        found = asked(made(), "ask", namespaces=[page(1)], secrets=[refused])
        assert found.wrong == "its secrets cannot be read: it answers 500: unable to transform key"

    def test_where_clients_of_etcd_have_to_log_in_none_is_started(self) -> None:
        found = asked(made().model_copy(update={"auth": True}), "serve")
        assert found.wrong.startswith("clients have to log in")


def test_its_scripts_are_ones() -> None:
    for command in (*API.lay(Keys()), API.get("/readyz"), API.outward("h", 22)):
        assert subprocess.run(["sh", "-n", "-c", command.argv[2]], check=False).returncode == 0


def test_the_inventory_names_the_program() -> None:
    text = (
        INVENTORY.format(state="/state", store="/store") + "    sandbox: {host: h, api_server: /opt/kube-apiserver}\n"
    )
    sandbox = parse(text, "q.yaml").clusters["demo"].sandbox
    assert sandbox
    assert sandbox.api_server == "/opt/kube-apiserver"
