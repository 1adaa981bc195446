"""A Temporal server that is not ours: its address, its namespace, TLS with certificates on both sides."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from deploy.lab.pki import authority
from deploy.lab.process import wait
from deploy.lab.s3 import free_port
from tests.e2e.product import Product, alone
from tests.real_etcd import running
from tests.tls_front import tls_front
from worker.embedded import ATTRIBUTES, listens

pytestmark = pytest.mark.server
NAMESPACE = "quorate"


@dataclass(frozen=True)
class Remote:
    """A dev server that somebody else runs, behind TLS."""

    binary: Path
    port: int
    front: int
    pki: Path

    @property
    def settings(self) -> dict[str, Any]:
        files = {key: f"file:{self.pki / name}" for key, name in TLS.items()}
        return {"address": f"127.0.0.1:{self.front}", "namespace": NAMESPACE, "tls": files}

    def operator(self, *words: str) -> None:
        argv = [str(self.binary), "operator", *words, "--address", f"127.0.0.1:{self.port}"]
        subprocess.run([*argv, "--namespace", NAMESPACE], check=True, capture_output=True, timeout=30)

    async def client(self) -> Client:
        return await Client.connect(f"127.0.0.1:{self.port}", namespace=NAMESPACE)

    async def described(self) -> tuple[str, set[str]]:
        """What of it Quorate could have changed: how long runs are kept, which attributes there are."""
        client = await self.client()
        kept = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
        attributes = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=NAMESPACE)
        )
        return str(kept.config), set(attributes.custom_attributes)

    async def runs(self) -> list[str]:
        client = await self.client()
        return [each.id async for each in client.list_workflows()]


TLS = {"ca": "ca.crt", "cert": "client.crt", "key": "client.key"}


@pytest.fixture(scope="module")
def remote(temporal_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    pki, port = tmp_path_factory.mktemp("pki"), free_port()
    ca = authority("temporal-ca")
    ca.pair.write(pki, "ca")
    ca.sign("server", hosts=("127.0.0.1",)).write(pki, "server")
    ca.sign("client").write(pki, "client")
    authority("other-ca").pair.write(pki, "other")
    argv = [str(temporal_binary), "server", "start-dev", "--headless", "--port", str(port), "--namespace", NAMESPACE]
    with subprocess.Popen([*argv, "--log-level", "error"], stdout=subprocess.DEVNULL) as server:
        try:
            assert wait(lambda: listens(port), 20)
            with tls_front(port, pki) as front:
                yield Remote(temporal_binary, port, front, pki)
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running("3.6", tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster.first.target.url


@pytest.fixture
def quorate(remote: Remote, etcd: str, tmp_path: Path) -> Iterator[Product]:
    made = alone(tmp_path / "demo", etcd, remote.settings)
    yield made
    made.down()


def log(product: Product) -> str:
    return (product.state / "daemon.log").read_text()


async def test_a_backup_runs_through_it_and_nothing_of_it_is_changed(remote: Remote, quorate: Product) -> None:
    before = await remote.described()
    alone = quorate.json("backup", "demo", exit_code=6)
    assert (alone["error"]["kind"], await remote.runs()) == ("no-daemon", [])
    quorate.up()
    assert quorate.backup()["outcome"] == "verified"
    assert "keeps closed runs shorter than advised" in log(quorate)
    assert all(name in log(quorate) for name in ATTRIBUTES)
    assert await remote.described() == before
    assert not (quorate.state / "temporal.json").exists()
    quorate.down()
    assert len(await remote.runs()) == 1


async def test_its_runs_carry_the_attributes_that_it_has(remote: Remote, quorate: Product) -> None:
    for name in ATTRIBUTES[:2]:
        remote.operator("search-attribute", "create", "--name", name, "--type", "Keyword")
    try:
        quorate.up()
        operation = quorate.backup()["operation"]
        client = await remote.client()
        seen = await client.get_workflow_handle("quorate/demo/backup").describe()
        carried = {pair.key.name: pair.value for pair in seen.typed_search_attributes}
        assert [carried.get(name) for name in ATTRIBUTES] == ["demo", "backup", None]
        assert (await seen.memo())["operation"] == operation
        assert f"'missing': ['{ATTRIBUTES[2]}']" in log(quorate).replace('"', "'")
    finally:
        for name in ATTRIBUTES[:2]:
            remote.operator("search-attribute", "remove", "--name", name, "--yes")


@pytest.mark.parametrize(
    ("wrong", "said", "following"),
    [
        ({"tls": {"ca": "other.crt"}}, "not signed by temporal.tls.ca", "up --detach"),
        ({"tls": {"cert": None, "key": None}}, "may want another client certificate", "up --detach"),
        ({"namespace": "nosuch"}, "has no namespace nosuch", "temporal operator namespace create"),
        ({"address": None}, "nothing listens there", "up --detach"),
    ],
    ids=["a wrong CA", "no client certificate", "no such namespace", "nobody there"],
)
async def test_what_keeps_it_away_is_said_in_a_moment(
    remote: Remote, etcd: str, tmp_path: Path, wrong: dict[str, Any], said: str, following: str
) -> None:
    before = await remote.runs()
    quorate = alone(tmp_path / "demo", etcd, spoilt(remote, wrong))
    for words, exit_code in ((("backup", "demo"), 6), (("up", "--detach"), 6), (("doctor",), 6)):
        began = time.monotonic()
        done = quorate.json(*words, exit_code=exit_code)
        assert time.monotonic() - began < 25  # of which starting Python is most on a busy machine
        errors = [done["error"]] if "error" in done else [each for each in done["checks"] if each["id"] == "temporal"]
        assert said in str(errors)
        assert following in str(errors)
    assert "was not running" in quorate.run("down").stdout
    assert "Traceback" not in log(quorate)
    assert await remote.runs() == before


def spoilt(remote: Remote, wrong: dict[str, Any]) -> dict[str, Any]:
    settings = {**remote.settings, **{key: value for key, value in wrong.items() if key != "tls"}}
    if "address" in wrong:
        settings["address"] = f"127.0.0.1:{free_port()}"
    if "tls" in wrong:
        files = {key: value and f"file:{remote.pki / value}" for key, value in wrong["tls"].items()}
        settings["tls"] = {**remote.settings["tls"], **files}
    return settings
