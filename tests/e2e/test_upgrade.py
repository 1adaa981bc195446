"""Quorate is replaced by another version: under a daemon that runs, and between two daemons."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.product import Product, alone
from tests.real_etcd import Cluster, made

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own, which commands and daemons of the test are of."""
    home = tmp_path / "installed"
    for package in ("quorate", "activities", "workflows", "worker"):
        shutil.copytree(ROOT / package, home / package)
    monkeypatch.setenv("PYTHONPATH", str(home))
    return home


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Cluster]:
    """Not started yet."""
    cluster = made("3.6", tmp_path / "etcd", ("a",), tls=False, data=None)
    yield cluster
    cluster.kill()


@pytest.fixture
def quorate(tmp_path: Path, temporal_binary: Path, etcd: Cluster) -> Iterator[Product]:
    product = alone(tmp_path / "demo", etcd.first.target.url, {"binary": str(temporal_binary)})
    yield product
    product.down()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_daemon_goes_on_with_the_code_that_it_began_with(
    installed: Path, quorate: Product, etcd: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    etcd.start()
    quorate.up()
    assert quorate.backup()["outcome"] == "verified"
    for path in [*installed.glob("workflows/*.py"), *installed.glob("quorate/**/*.py")]:
        path.write_text("raise RuntimeError('half of an upgrade')")
    monkeypatch.delenv("PYTHONPATH")
    assert quorate.backup()["outcome"] == "verified"


def test_a_version_that_cannot_go_on_with_what_is_open_does_not_start(
    installed: Path, quorate: Product, etcd: Cluster
) -> None:
    quorate.up()
    quorate.json("backup", "demo", "--wait-timeout", "0.5", exit_code=8)
    (open_one,) = [each for each in quorate.json("operations", "ls")["operations"] if each["state"] == "running"]
    quorate.down()
    edit(installed / "quorate/backup.py", '"backup.choose"', '"backup.elect"')
    refused = quorate.json("up", "--detach", exit_code=4)["error"]
    assert refused["kind"] == "other-version"
    assert (
        f"cannot go on with {open_one['operation']} on demo, which another build of Quorate 0." in refused["message"]
    )
    assert "'backup.choose' does not match" in refused["message"]
    assert "{" not in refused["message"]
    assert "up --detach  # with Quorate 0." in refused["next"]
    assert "was not running" in quorate.run("down").stdout
    edit(installed / "quorate/backup.py", '"backup.elect"', '"backup.choose"')
    etcd.start()
    quorate.up()
    assert quorate.run("watch", open_one["operation"]).returncode == 0
