"""The kit: everything that a machine without anything needs, nothing that is a secret, and the same every time."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

import pytest
import zstandard

from quorate.backups.kit import CONTENTS, Content, Kit, Today, differences, harmless, references
from quorate.backups.toolbox import KeptTool
from quorate.errors import BadInput, Corrupt
from quorate.inventories.reading import parse
from tests.factory import INVENTORY
from tests.manifests import AT
from worker.kit import export, opened
from worker.settings import load
from worker.wheels import wheel
from worker.wiring import Wiring

pytestmark = pytest.mark.server  # slow: each packs all that is installed
DAY_S = 86400.0
PINNED = "node-a ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5RVM0Ty3lKnZLJ0qhEJhWNFYV0c5Fq4VxJ2Qm8ZL1c\n"


def run(*words: str) -> tuple[int, dict[str, object]]:
    argv = [sys.executable, "-P", "-m", "worker", *words, "-o", "json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


class Site:
    def __init__(self, root: Path) -> None:
        self.root, self.config = root, root / "quorate.yaml"
        self.config.write_text(INVENTORY.format(state=root / "state", store=root / "store"))
        (root / "state").mkdir()
        (root / "state" / "known_hosts").write_text(PINNED)
        (root / "state" / "id").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n")
        self.keep_tool("3.6.14")

    @property
    def wiring(self) -> Wiring:
        return Wiring(load(self.config), chain="test")

    def keep_tool(self, version: str) -> bytes:
        program = f"etcdutl {version}".encode()
        packed = zstandard.compress(program)
        tool = KeptTool(
            key=f"tools/{version}-x86_64/etcdutl.backup-1-1.zst",
            program="etcdutl",
            version=version,
            architecture="x86_64",
            size_bytes=len(program),
            sha256=hashlib.sha256(program).hexdigest(),
            stored_bytes=len(packed),
            stored_sha256=hashlib.sha256(packed).hexdigest(),
            cluster="demo",
            node="a",
            path="/usr/bin/etcdutl",
            operation="backup-1",
            created_at=AT,
        )
        (self.root / "store" / tool.key).parent.mkdir(parents=True)
        (self.root / "store" / tool.key).write_bytes(packed)
        (self.root / "store" / tool.manifest_key).write_bytes(tool.encode())
        return program


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """One kit for all of them: to make it takes seconds."""
    site = Site(tmp_path_factory.mktemp("kit"))
    export(site.wiring, site.root / "kit.zip", AT)
    return site


def inside(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, target: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    files = inside(path)
    change(files)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target


class TestExport:
    def test_everything_is_in_it(self, site: Site) -> None:
        found = inside(site.root / "kit.zip")
        assert found["quorate.yaml"] == site.config.read_bytes()
        assert found[f"files{site.root}/state/known_hosts"] == PINNED.encode()
        assert found["tools/3.6.14-x86_64/etcdutl"] == b"etcdutl 3.6.14"
        assert {"runbooks/restore.md", "runbooks/alerts/QuorateSnapshotTooOld.md", "README.md"} <= found.keys()
        brought = {name.split("-")[0] for name in found if name.startswith("wheels/")}
        assert {"wheels/quorate", "wheels/botocore", "wheels/temporalio", "wheels/pydantic_core"} <= brought
        assert "wheels/pytest" not in brought

    def test_the_same_is_the_same_bytes(self, site: Site, tmp_path: Path) -> None:
        export(site.wiring, tmp_path / "kit.zip", AT)
        assert (tmp_path / "kit.zip").read_bytes() == (site.root / "kit.zip").read_bytes()

    def test_nobody_else_can_read_it_and_nothing_is_left_beside_it(self, site: Site) -> None:
        assert (site.root / "kit.zip").stat().st_mode & 0o777 == 0o600
        assert not list(site.root.glob(".kit.zip*"))

    def test_no_secret_is_in_it_and_what_to_bring_is_named(self, site: Site) -> None:
        found = inside(site.root / "kit.zip")
        mine = {name: data for name, data in found.items() if not name.startswith("wheels/")}
        assert not [name for name, data in mine.items() if b"PRIVATE KEY" in data or b"secret\n" in data]
        assert f"`clusters.demo.ssh.identity`: `file:{site.root}/state/id`" in found["README.md"].decode()

    def test_what_holds_a_key_is_never_taken_along(self, tmp_path: Path) -> None:
        site = Site(tmp_path)
        (tmp_path / "state" / "known_hosts").write_text(PINNED + "-----BEGIN OPENSSH PRIVATE KEY-----\n")
        with pytest.raises(BadInput, match="known_hosts holds a private key: no kit was written"):
            export(site.wiring, tmp_path / "kit.zip", AT)
        assert not (tmp_path / "kit.zip").exists()

    @pytest.mark.parametrize("secret", [b"AGE-SECRET-KEY-1Q", b"AGE-PLUGIN-X-1Q", b"-----BEGIN PRIVATE KEY-----"])
    def test_every_kind_of_key_is_known(self, secret: bytes) -> None:
        with pytest.raises(BadInput):
            harmless("quorate.yaml", b"a: b\n" + secret)

    def test_nothing_is_written_over(self, site: Site) -> None:
        before = (site.root / "kit.zip").read_bytes()
        with pytest.raises(BadInput, match="is there already"):
            export(site.wiring, site.root / "kit.zip", AT)
        assert (site.root / "kit.zip").read_bytes() == before

    def test_without_known_hosts_and_tools_it_is_made_and_that_is_said(self, tmp_path: Path) -> None:
        site = Site(tmp_path)
        (tmp_path / "state" / "known_hosts").unlink()
        (tmp_path / "store" / "tools/3.6.14-x86_64/etcdutl.backup-1-1.zst").write_bytes(zstandard.compress(b"other"))
        code, said = run("--config", str(site.config), "kit", "export", str(tmp_path / "kit.zip"))
        assert code == 3
        assert [str(each).split(":")[0] for each in said["findings"]] == [  # type: ignore[attr-defined]
            f"without {tmp_path}/state/known_hosts",
            "without the tools of the store of demo",
            "no restore tool is in it",
        ]


class TestDamage:
    @pytest.mark.parametrize("name", ["quorate.yaml", "README.md", "tools/3.6.14-x86_64/etcdutl"])
    def test_what_was_changed_is_named(self, site: Site, tmp_path: Path, name: str) -> None:
        path = rewritten(site.root / "kit.zip", tmp_path / "k", lambda files: files.update({name: b"x"}))
        with pytest.raises(Corrupt, match=f"not as it was written: {name}"):
            opened(path)

    def test_so_is_what_is_gone_and_what_was_put_in(self, site: Site, tmp_path: Path) -> None:
        gone = rewritten(site.root / "kit.zip", tmp_path / "1", lambda files: files.pop("quorate.yaml"))
        more = rewritten(site.root / "kit.zip", tmp_path / "2", lambda files: files.update({"wheels/evil.whl": b""}))
        for path, name in ((gone, "quorate.yaml"), (more, "wheels/evil.whl")):
            with pytest.raises(Corrupt, match=name):
                opened(path)

    def test_half_of_one_is_none(self, site: Site, tmp_path: Path) -> None:
        (tmp_path / "k").write_bytes((site.root / "kit.zip").read_bytes()[:100_000])
        with pytest.raises(Corrupt, match="is no kit"):
            opened(tmp_path / "k")
        with pytest.raises(BadInput, match="is not there"):
            opened(tmp_path / "nothing")

    def test_a_flipped_bit_ends_with_seven(self, site: Site, tmp_path: Path) -> None:
        path = rewritten(site.root / "kit.zip", tmp_path / "k", lambda files: files.update({CONTENTS: b"{}"}))
        code, said = run("--config", str(site.config), "kit", "check", str(path))
        assert (code, said["error"]["kind"]) == (7, "corrupt")  # type: ignore[index]


def test_check_says_what_is_otherwise_now(tmp_path: Path) -> None:
    site, kit = Site(tmp_path), str(tmp_path / "kit.zip")
    export(site.wiring, Path(kit), datetime.now(UTC))
    assert run("--config", str(site.config), "kit", "check", kit)[1]["findings"] == []
    site.config.write_text(site.config.read_text() + "# another line\n")
    (tmp_path / "state" / "known_hosts").write_text("")
    site.keep_tool("3.6.15")
    code, said = run("--config", str(site.config), "kit", "check", kit)
    assert (code, said["findings"]) == (
        3,
        [
            f"files{tmp_path}/state/known_hosts has changed",
            "quorate.yaml has changed",
            "tools/3.6.15-x86_64/etcdutl is not in it",
        ],
    )


ONE, OTHER = Content(size_bytes=1, sha256="1" * 64), Content(size_bytes=1, sha256="2" * 64)


def told(kit: dict[str, Content], now: dict[str, Content], tools: frozenset[str] | None = frozenset()) -> list[str]:
    made = Kit(made_at=AT, version="1", python="3.11", clusters=("demo",), bring={}, contents=kit)
    return list(differences(made, Today(AT + timedelta(days=31), "2", "3.12", now, tools), 30 * DAY_S))


def test_differences_are_told_one_by_one() -> None:
    here = {"wheels/a.whl": ONE, "wheels/b.whl": OTHER, "quorate.yaml": ONE, "README.md": ONE}
    now = {"wheels/c.whl": ONE, "wheels/b.whl": ONE, "quorate.yaml": ONE}
    assert told(here, now) == [
        "it is 31 days old, 30 may be",
        "it brings Quorate 1, here is 2",
        "its wheels are for 3.11, here is 3.12",
        "wheels/a.whl is not here any more",
        "wheels/b.whl has changed",
        "wheels/c.whl is not in it",
    ]
    assert told({}, {}, None)[-1] == "which tools the stores have is not known"


def test_every_reference_is_named_by_its_place(tmp_path: Path) -> None:
    text = INVENTORY.format(state=tmp_path, store=tmp_path / "store")
    text = text.replace("{store: here}", "{store: here, identities: ['file:/etc/age.key', 'env:ESCROW']}")
    assert references(parse(text, "quorate.yaml")) == {
        "clusters.demo.backup.identities.0": "file:/etc/age.key",
        "clusters.demo.backup.identities.1": "env:ESCROW",
        "clusters.demo.ssh.identity": f"file:{tmp_path}/id",
    }


def test_a_library_that_was_changed_since_it_was_installed_is_not_packed(tmp_path: Path) -> None:
    home = tmp_path / "thing-1.dist-info"
    home.mkdir()
    (tmp_path / "thing.py").write_text("as installed")
    (home / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1\n")
    (home / "WHEEL").write_text("Wheel-Version: 1.0\nTag: py3-none-any\n")
    (home / "RECORD").write_text("thing.py,sha256=9dBMZ7gU-pKNWdHHZJP8bJp3bP-5k0GG8vTZQ7lWcBs,12\n")
    with pytest.raises(Corrupt, match=r"thing\.py of thing is not as it was installed"):
        wheel(metadata.PathDistribution(home))


def test_a_wheel_is_named_by_all_that_it_fits() -> None:
    name, data = wheel(metadata.distribution("cryptography"))
    assert name.startswith(f"cryptography-{metadata.version('cryptography')}-cp")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert any(each.endswith(".so") for each in archive.namelist())


def test_a_blank_environment_is_made_from_it_without_a_registry(site: Site, tmp_path: Path) -> None:
    """As its README says, and what was installed from it makes the same kit again."""
    home, venv = tmp_path / "kit", tmp_path / "venv" / "bin"
    with zipfile.ZipFile(site.root / "kit.zip") as archive:
        archive.extractall(home)
    away = {**os.environ, "PIP_INDEX_URL": "http://127.0.0.1:1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    away.pop("PYTHONPATH", None)

    def typed(*argv: str) -> str:
        done = subprocess.run(argv, cwd=home, env=away, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    typed(sys.executable, "-m", "venv", str(venv.parent))
    typed(str(venv / "pip"), "install", "-q", "--no-index", "--find-links", "wheels", "quorate")
    assert "No broken requirements" in typed(str(venv / "pip"), "check")
    assert "clusters: demo" in typed(str(venv / "quorate"), "--config", "quorate.yaml", "config", "validate")
    said = typed(
        str(venv / "quorate"),
        "--config",
        "quorate.yaml",
        "kit",
        "check",
        str(site.root / "kit.zip"),
        "--older-than",
        "100000d",
        "-o",
        "json",
    )
    assert json.loads(said)["findings"] == []
