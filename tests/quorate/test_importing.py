"""What others have saved becomes a backup when it is whole, and is refused by name when it is not."""

import gzip
import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from quorate.backups.catalogue import parse
from tests.worker.test_cli import Cli
from tests.workflows.test_backup import a_cluster, sent

pytestmark = pytest.mark.slow

SNAPSHOT = sent(a_cluster())
WHOSE = ("--cluster-id", "abc123", "--etcd-version", "3.6.14")


def zipped(data: bytes) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("etcd-snapshot-server-1", data)
    return whole.getvalue()


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    return Cli(tmp_path, capsys)


def lay(cli: Cli, data: bytes) -> str:
    file = cli.root / "snapshot.db"
    file.write_bytes(data)
    return str(file)


def stored(cli: Cli) -> list[str]:
    return [path.name for path in (cli.root / "store").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "packed", [bytes, zstandard.compress, gzip.compress, zipped], ids=["plain", "zstd", "gzip", "zip of k3s"]
)
def test_what_is_whole_becomes_a_backup_that_says_who_vouches_for_it(
    cli: Cli, packed: Callable[[bytes], bytes]
) -> None:
    file = lay(cli, packed(SNAPSHOT))
    code, said = cli.json("snapshots", "import", file, "demo", *WHOSE, "--at", "2026-11-20T08:00:00Z", "--as", "ada")
    assert (code, said["outcome"], said["size_bytes"]) == (3, "degraded", len(SNAPSHOT))
    assert said["snapshot"].startswith("demo/20261120T080000Z-")
    assert "imported by ada" in said["findings"][0]
    shown = cli.json("snapshots", "show", said["snapshot"])[1]
    assert (shown["cluster_id"], shown["source"]["name"], shown["keys"]) == ("abc123", "imported", {})
    assert shown["content"]["records"] > 0
    assert cli.json("snapshots", "verify", said["snapshot"])[0] == 0
    out = cli.root / "again.db"
    assert cli("snapshots", "pull", said["snapshot"], str(out))[0] == 0
    assert out.read_bytes() == SNAPSHOT
    assert cli.json("audit", "show", said["operation"])[0] == 0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (SNAPSHOT[:-32], "not a database and 32 bytes of sha256"),
        (SNAPSHOT[:-1] + bytes([SNAPSHOT[-1] ^ 1]), "its trailer says"),
        (SNAPSHOT[: len(SNAPSHOT) // 2 // 512 * 512 + 32], "its meta page says"),
        (b"", "the snapshot is empty"),
        (b"apiVersion: v1 and not a database at all" * 300, "this is not a bbolt file"),
        (gzip.compress(SNAPSHOT)[:-400], "cannot be unpacked"),
    ],
    ids=["no trailer", "flipped", "cut short", "empty", "something else", "packed and cut short"],
)
def test_what_is_not_whole_is_refused_by_name_and_nothing_is_stored(cli: Cli, data: bytes, said: str) -> None:
    file = lay(cli, data)
    code, answer = cli.json("snapshots", "import", file, "demo", *WHOSE)
    assert (code, answer["error"]["kind"]) == (7, "corrupt")
    assert said in answer["error"]["message"]
    assert file in answer["error"]["message"]
    assert stored(cli) == []


def test_whose_it_is_has_to_be_said_where_no_member_can(cli: Cli) -> None:
    file = lay(cli, SNAPSHOT)
    code, answer = cli.json("snapshots", "import", file, "demo")
    assert (code, "--cluster-id" in answer["error"]["message"]) == (2, True)
    code, answer = cli.json("snapshots", "import", file, "demo", "--cluster-id", "abc")
    assert (code, "--etcd-version" in answer["error"]["message"]) == (2, True)


@pytest.mark.parametrize(
    "words",
    [("--at", "yesterday"), ("--at", "2199-01-01T00:00:00Z"), ("--cluster-id", "not hex")],
)
def test_what_makes_no_sense_is_told_and_nothing_is_stored(cli: Cli, words: tuple[str, str]) -> None:
    file = lay(cli, SNAPSHOT)
    code, answer = cli.json("snapshots", "import", file, "demo", *WHOSE, *words)
    assert (code, words[0] in answer["error"]["message"]) == (2, True)
    assert stored(cli) == []


def test_a_file_that_is_not_there_is_told(cli: Cli) -> None:
    assert cli("snapshots", "import", str(cli.root / "nosuch"), "demo", *WHOSE)[0] == 2


def test_one_that_is_older_never_becomes_the_newest(cli: Cli) -> None:
    kept = cli.keep_snapshot()
    file = lay(cli, SNAPSHOT)
    cli("snapshots", "import", file, "demo", *WHOSE, "--at", "2026-01-01T00:00:00Z")
    assert cli.json("snapshots", "show", "demo/latest")[1]["id"] == kept


def test_without_a_time_the_file_tells_it(cli: Cli) -> None:
    file = lay(cli, SNAPSHOT)
    written = datetime.fromtimestamp(Path(file).stat().st_mtime, UTC)
    assert f"demo/{written:%Y%m%dT%H%M%SZ}-" in cli.json("snapshots", "import", file, "demo", *WHOSE)[1]["snapshot"]


def test_its_manifest_is_one_of_ours(cli: Cli) -> None:
    cli("snapshots", "import", lay(cli, SNAPSHOT), "demo", *WHOSE)
    path = next((cli.root / "store").rglob("manifest.json"))
    made = parse(path.read_bytes(), str(path.relative_to(cli.root / "store")))
    assert (made.version, made.signature != "") == ("3.6.14", True)
