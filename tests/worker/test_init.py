"""`quorate init` without a cluster: what makes no sense, what nobody has confirmed; nothing is ever written over."""

import json
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from quorate.errors import BadInput
from quorate.nodes.known_hosts import HostKey
from tests.fakes.sshd import Sshd, sshd
from tests.worker.test_cli import Capture
from worker.__main__ import answer
from worker.introduction import create

pytestmark = pytest.mark.slow

KEY = paramiko.ECDSAKey.generate()
FINGERPRINT = HostKey(KEY.get_name(), KEY.get_base64()).fingerprint


@pytest.fixture
def machine() -> Iterator[Sshd]:
    with sshd(KEY) as there:
        yield there


class Init:
    """`quorate init kim@127.0.0.1`, writing into a directory of its own."""

    def __init__(self, home: Path, capture: Capture) -> None:
        self.home, self.capture = home, capture
        (home / "id").write_text("x")

    def __call__(self, *words: str, where: str = "kim@127.0.0.1") -> tuple[int, str, str]:
        code = answer(
            ["init", where, "--identity", str(self.home / "id"), "--out", str(self.home / "quorate.yaml"), *words]
        )
        said = self.capture.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.out, said.err

    @property
    def left(self) -> list[str]:
        return sorted(path.name for path in self.home.iterdir() if path.name != "id")


@pytest.fixture
def init(tmp_path: Path, capsys: Capture) -> Init:
    return Init(tmp_path, capsys)


@pytest.mark.parametrize(
    ("words", "where", "said"),
    [
        ((), "127.0.0.1", "USER@HOST"),
        ((), "@127.0.0.1", "USER@HOST"),
        ((), "Kim!@127.0.0.1", "user"),
        (("--identity", "/nosuch"), "kim@127.0.0.1", "/nosuch"),
        (("--ca", "/etc/hostname"), "kim@127.0.0.1", "belong together"),
        (("--kubeconfig", "/nosuch"), "kim@127.0.0.1", "/nosuch"),
        (("--host", "b"), "kim@127.0.0.1", "MEMBER=ADDRESS"),
        (("--port", "70000"), "kim@127.0.0.1", "port"),
        (("--jump", "kim@"), "kim@127.0.0.1", "jump.host"),
        (("--jump", "bastion:x"), "kim@127.0.0.1", "jump.port"),
        (("--identity", "agent:x"), "kim@127.0.0.1", "identity"),
        (("--certificate", "/nosuch"), "kim@127.0.0.1", "/nosuch"),
        (("--out", "/nosuch/quorate.yaml"), "kim@127.0.0.1", "/nosuch"),
        (("--cluster", "Not A Name"), "kim@127.0.0.1", "Not A Name"),
    ],
)
def test_what_makes_no_sense_is_exit_2_and_leaves_nothing(
    init: Init, words: tuple[str, ...], where: str, said: str
) -> None:
    code, out, err = init(*words, where=where)
    assert (code, out, said in err, init.left) == (2, "", True, [])


@pytest.mark.parametrize("taken", ["quorate.yaml", "pki/client.key"])
def test_a_file_that_is_there_is_never_written_over(init: Init, taken: str) -> None:
    (init.home / "pki").mkdir()
    (init.home / taken).write_text("mine")
    code, _, err = init("--fetch-pki", str(init.home / "pki"))
    assert (code, str(init.home / taken) in err, (init.home / taken).read_text()) == (2, True, "mine")


def test_a_known_hosts_that_is_none_is_said_and_left_as_it_is(init: Init) -> None:
    (init.home / "known_hosts").write_text("127.0.0.1 ssh-ed25519 !!!\n")
    code, _, err = init()
    assert (code, str(init.home / "known_hosts") in err, init.left) == (2, True, ["known_hosts"])


def test_a_file_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    create(tmp_path / "a", b"one", 0o600)
    with pytest.raises(BadInput, match="a: File exists"):
        create(tmp_path / "a", b"two", 0o600)
    assert [(path.name, path.read_bytes(), path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [
        ("a", b"one", 0o600)
    ]


def test_without_a_terminal_a_host_key_needs_its_fingerprint_and_is_shown(init: Init, machine: Sshd) -> None:
    code, _, err = init("--port", str(machine.port))
    assert (code, init.left, machine.logins) == (2, [], [])
    assert f"--fingerprint {FINGERPRINT}" in err


def test_a_script_gets_the_same_as_one_object(init: Init, machine: Sshd) -> None:
    code, out, _ = init("--port", str(machine.port), "-o", "json")
    assert (code, FINGERPRINT in json.loads(out)["error"]["next"]) == (2, True)


def test_another_fingerprint_is_no_confirmation(init: Init, machine: Sshd) -> None:
    code, _, _ = init("--port", str(machine.port), "--fingerprint", "SHA256:" + "x" * 43)
    assert (code, init.left, machine.logins) == (2, [], [])


@pytest.mark.parametrize("typed", ["n", "", "fine"])
def test_whoever_does_not_say_yes_at_a_terminal_has_not_confirmed(
    init: Init, machine: Sshd, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: typed)
    code, _, err = init("--port", str(machine.port))
    assert (code, FINGERPRINT in err, init.left, machine.logins) == (5, True, [], [])


def test_a_host_that_lets_nobody_in_leaves_its_pinned_key_and_a_sealed_record(init: Init, machine: Sshd) -> None:
    (init.home / "id").write_text(private())
    code, _, err = init("--port", str(machine.port), "--fingerprint", FINGERPRINT, "--as", "kim")
    assert (code, "kim" in err, init.left) == (6, True, ["known_hosts", "state"])
    assert (init.home / "known_hosts").read_text() == (
        f"[127.0.0.1]:{machine.port} {KEY.get_name()} {KEY.get_base64()}\n"
    )
    (record,) = (init.home / "state" / "operations").iterdir()
    (trail,) = (record / "audit").iterdir()
    events = [json.loads(line) for line in trail.read_text().splitlines()]
    assert [each["event"] for each in events] == ["begin", "intent", "outcome", "seal"]
    assert events[1]["argv"] == ["pin", KEY.get_name(), FINGERPRINT]
    assert json.loads((record / "outcome.json").read_text())["outcome"] == "failed"


def test_a_pinned_key_is_not_asked_about_and_a_changed_one_refused(init: Init, machine: Sshd) -> None:
    (init.home / "id").write_text(private())
    other = paramiko.ECDSAKey.generate()
    name = f"[127.0.0.1]:{machine.port}"
    (init.home / "known_hosts").write_text(f"{name} {other.get_name()} {other.get_base64()}\n")
    code, _, err = init("--port", str(machine.port), "--fingerprint", FINGERPRINT)
    assert (code, "nothing was sent to it" in err, machine.logins) == (6, True, [])


def test_the_jump_host_is_the_first_to_be_confirmed(init: Init, machine: Sshd) -> None:
    code, _, err = init("--jump", f"lee@127.0.0.1:{machine.port}", where="kim@10.255.255.1")
    assert (code, f"127.0.0.1 shows {KEY.get_name()}" in err, init.left) == (2, True, [])


def test_a_member_that_does_not_answer_says_what_to_try(init: Init) -> None:
    code, _, err = init("--port", "1")
    assert (code, "another member" in err, init.left) == (6, True, [])


def private() -> str:
    import io

    text = io.StringIO()
    KEY.write_private_key(text)
    return text.getvalue()
