"""`quorate hosts`: a changed key is refused, looked at, and trusted only by its fingerprint; all of it on record."""

import stat
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from quorate.nodes.known_hosts import HostKey, name_of, pins
from tests.fakes.sshd import Sshd, sshd
from tests.worker.test_cli import Capture, Cli

pytestmark = pytest.mark.slow

FIRST, SECOND = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
NOBODYS = "SHA256:" + "x" * 43


def shown(key: paramiko.PKey) -> HostKey:
    return HostKey(key.get_name(), key.get_base64())


@pytest.fixture
def machine() -> Iterator[Sshd]:
    """Member a; b and c do not answer."""
    with sshd(FIRST) as there:
        yield there


@pytest.fixture
def cli(tmp_path: Path, capsys: Capture, machine: Sshd) -> Cli:
    made = Cli(tmp_path, capsys)
    text = made.config.read_text()
    made.config.write_text(text.replace("/known_hosts}", f"/known_hosts, port: {machine.port}}}"))
    return made


@pytest.fixture
def file(cli: Cli, machine: Sshd) -> Path:
    path = cli.root / "state" / "known_hosts"
    other = f"# b\n[127.0.0.2]:{machine.port} {SECOND.get_name()} {SECOND.get_base64()}\n"
    path.write_text(f"{other}{name_of('127.0.0.1', machine.port)} {FIRST.get_name()} {FIRST.get_base64()}\n")
    path.chmod(0o640)
    return path


def operations(cli: Cli) -> list[str]:
    home = cli.root / "state" / "operations"
    return sorted(path.name for path in home.iterdir()) if home.exists() else []


def test_a_key_that_is_the_pinned_one_is_equal(cli: Cli, file: Path) -> None:
    code, said = cli.json("hosts", "ls")
    a, b, c = said["hosts"]
    assert a["equal"]
    assert a["keys"] == [
        {
            "type": FIRST.get_name(),
            "pinned": [shown(FIRST).fingerprint],
            "shown": shown(FIRST).fingerprint,
            "standing": "equal",
        }
    ]
    assert "does not answer" in b["said"]
    assert "does not answer" in c["said"]
    assert (code, said["equal"]) == (6, False)


@pytest.mark.parametrize("pinned", [True, False])
def test_a_difference_is_a_finding(cli: Cli, file: Path, machine: Sshd, pinned: bool) -> None:
    machine.keys = [SECOND]
    if not pinned:
        file.unlink()
    code, out, _ = cli("hosts", "ls", "demo")
    assert code == 3
    assert shown(SECOND).fingerprint in out
    assert (shown(FIRST).fingerprint in out) is pinned
    assert "quorate --config" in out
    assert "hosts trust a --fingerprint SHA256:…" in out


def test_a_fingerprint_that_the_machine_does_not_show_changes_nothing(cli: Cli, file: Path, machine: Sshd) -> None:
    machine.keys, before = [SECOND], file.read_bytes()
    code, said = cli.json("hosts", "trust", "a", "--fingerprint", NOBODYS)
    assert (code, said["error"]["kind"]) == (4, "refused")
    for fingerprint in (NOBODYS, shown(FIRST).fingerprint, shown(SECOND).fingerprint):
        assert fingerprint in said["error"]["message"]
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir() if path.name.startswith("known_hosts")] == ["known_hosts"]
    assert operations(cli) == []


def test_the_key_that_was_compared_is_pinned_and_the_old_file_kept(cli: Cli, file: Path, machine: Sshd) -> None:
    machine.keys, before = [SECOND], file.read_text()
    code, said = cli.json(
        "hosts", "trust", "a", "--fingerprint", shown(SECOND).fingerprint, "--reason", "reinstalled", "--as", "kim"
    )
    assert (code, said["changed"], said["was"]) == (0, True, [shown(FIRST).fingerprint])
    name = name_of("127.0.0.1", machine.port)
    assert pins(file.read_text(), name).keys == (shown(SECOND),)
    assert file.read_text().splitlines()[:2] == before.splitlines()[:2]
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert Path(said["kept"]).read_text() == before
    assert cli("hosts", "ls")[0] == 6  # a is equal, b and c are silent

    operation = said["operation"]
    code, verified = cli.json("audit", "verify", operation)
    assert (code, verified["sealed"], verified["broken"]) == (0, True, [])
    code, out, _ = cli("audit", "show", operation)
    for word in ("kim", shown(SECOND).fingerprint[:20], "trust"):
        assert word in out
    _, records = cli.json("audit", "show", operation)
    intent = next(each for each in records["records"] if each["event"] == "intent")
    assert intent["argv"][-2:] == ["because", "reinstalled"]
    assert shown(FIRST).fingerprint in intent["argv"]
    assert operation in cli("operations", "ls")[1]
    assert f"quorate audit verify {operation}" in cli("operations", "show", operation)[1].replace(
        f"--config {cli.config} ", ""
    )
    assert cli("watch", operation)[0] == 2


def test_a_trail_that_was_changed_afterwards_is_found(cli: Cli, file: Path, machine: Sshd) -> None:
    machine.keys = [SECOND]
    _, said = cli.json("hosts", "trust", "a", "--fingerprint", shown(SECOND).fingerprint)
    (chain,) = (cli.root / "state" / "operations" / said["operation"] / "audit").iterdir()
    chain.write_text(chain.read_text().replace(shown(FIRST).fingerprint, NOBODYS))
    assert cli("audit", "verify", said["operation"])[0] == 7


def test_what_is_pinned_already_is_not_pinned_again(cli: Cli, file: Path) -> None:
    code, said = cli.json("hosts", "trust", "a", "--fingerprint", shown(FIRST).fingerprint)
    assert (code, said["changed"], said["operation"], operations(cli)) == (0, False, None, [])


def test_a_machine_is_pinned_for_the_first_time_in_a_file_that_was_not_there(cli: Cli, machine: Sshd) -> None:
    code, said = cli.json("hosts", "trust", "a", "--fingerprint", shown(FIRST).fingerprint)
    assert (code, said["was"], said["kept"]) == (0, [], None)
    assert (cli.root / "state" / "known_hosts").read_text() == (
        f"{name_of('127.0.0.1', machine.port)} {FIRST.get_name()} {FIRST.get_base64()}\n"
    )


def test_a_link_goes_on_pointing_at_the_file(cli: Cli, file: Path, machine: Sshd) -> None:
    machine.keys = [SECOND]
    real = cli.root / "pinned"
    file.rename(real)
    file.symlink_to(real)
    assert cli("hosts", "trust", "a", "--fingerprint", shown(SECOND).fingerprint)[0] == 0
    assert file.is_symlink()
    assert shown(SECOND).base64 in real.read_text()


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (("nosuch", "--fingerprint", NOBODYS), 2, "bad-input"),
        (("a", "--fingerprint", "MD5:00:11"), 2, "bad-input"),
        (("a", "--fingerprint", NOBODYS, "--cluster", "nosuch"), 2, "bad-input"),
        (("b", "--fingerprint", NOBODYS), 6, "unreachable"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(
    cli: Cli, file: Path, words: tuple[str, ...], code: int, kind: str
) -> None:
    before = file.read_bytes()
    found, said = cli.json("hosts", "trust", *words)
    assert (found, said["error"]["kind"]) == (code, kind)
    assert (file.read_bytes(), operations(cli)) == (before, [])


def test_a_file_that_cannot_be_written_is_as_it_was_and_the_attempt_is_on_record(
    cli: Cli, file: Path, machine: Sshd
) -> None:
    """The name under which the old one would be kept is so long that no filesystem takes it."""
    machine.keys = [SECOND]
    long = file.rename(file.with_name("k" * 250))
    cli.config.write_text(cli.config.read_text().replace(f"{file}", f"{long}"))
    before = long.read_bytes()
    code, said = cli.json("hosts", "trust", "a", "--fingerprint", shown(SECOND).fingerprint)
    assert (code, said["error"]["kind"]) == (6, "denied")
    assert long.read_bytes() == before
    (operation,) = operations(cli)
    assert cli.json("audit", "verify", operation)[1]["sealed"]
    assert "failed" in cli("operations", "ls")[1]
