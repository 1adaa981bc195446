"""What we encrypt opens with the `age` that everybody has, and the other way round."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pyrage import x25519

from activities.adapters.age import Age
from activities.adapters.secrets import LocalSecrets
from deploy.lab.binaries import AGE, make
from quorate.errors import BadInput, Corrupt, Denied, Unreachable

TEXT = os.urandom(1 << 16) * 5 + b"the end"
AGAIN = b"".join


@pytest.fixture(scope="module")
def tools() -> Iterator[Path]:
    """In PATH while the tests run, as a plugin has to be."""
    make(AGE, print)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{AGE.folder}:{before}"
    yield AGE.folder
    os.environ["PATH"] = before


@pytest.fixture
def age() -> Age:
    return Age(LocalSecrets({}))


def key(folder: Path, name: str = "age.key") -> tuple[str, str]:
    """A new identity: its recipient, and the reference of its file."""
    made, file = x25519.Identity.generate(), folder / name
    file.write_text(f"# created: today\n\n{made}\n")
    return str(made.to_public()), f"file:{file}"


def pieces(text: bytes, size: int = 70_001) -> Iterator[bytes]:
    yield from (text[at : at + size] for at in range(0, len(text), size))


def ssh_key(folder: Path) -> tuple[str, str]:
    made, file = Ed25519PrivateKey.generate(), folder / "id_ed25519"
    file.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(), f"file:{file}"


def post_quantum(folder: Path) -> tuple[str, str]:
    native, file = folder / "pq.native", folder / "pq.key"
    said = done("age-keygen", "-pq", "-o", str(native)).stderr.decode()
    done("age-plugin-pq", "-identity", "-o", str(file), str(native))
    return said.split()[-1], f"file:{file}"


KINDS = {"age": key, "ssh": ssh_key, "post-quantum": post_quantum}
MIXED = {"ssh": "age"}  # age mixes no post-quantum recipient with one that is not


def done(*argv: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(argv, input=given, capture_output=True, check=True)


@pytest.mark.server
@pytest.mark.parametrize("kind", KINDS)
def test_every_recipient_opens_it_with_the_usual_program_and_we_open_what_that_makes(
    age: Age, tools: Path, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "other").mkdir()
    mine, other = KINDS[kind](tmp_path), KINDS[MIXED.get(kind, kind)](tmp_path / "other")
    ours = AGAIN(age.encrypted(pieces(TEXT), (mine[0], other[0])))
    for _, reference in (mine, other):
        assert AGAIN(age.decrypted(pieces(ours), (reference,), "it")) == TEXT
        assert done("age", "-d", "-i", reference.removeprefix("file:"), given=ours).stdout == TEXT
    theirs = done("age", "-r", mine[0], given=TEXT).stdout
    assert AGAIN(age.decrypted(pieces(theirs), (other[1], mine[1]), "it")) == TEXT


def test_nothing_leaves_for_a_recipient_that_cannot_be_used(age: Age, tmp_path: Path) -> None:
    mine, _ = key(tmp_path)
    for wrong in (mine[:-1], "age1nobodyhasthisplugin1qqqsyqcyq5rqwzqf0r6hy6", "ssh-ed25519 AAAA", ""):
        with pytest.raises((BadInput, Denied)):
            age.encrypted(iter(()), (mine, wrong))
    with pytest.raises(BadInput, match="nobody"):
        age.encrypted(iter(()), ())


def test_an_identity_that_does_not_fit_is_told_from_bytes_that_were_changed(age: Age, tmp_path: Path) -> None:
    (mine, own), (_, other) = key(tmp_path), key(tmp_path, "other.key")
    whole = AGAIN(age.encrypted(pieces(TEXT), (mine,)))
    with pytest.raises(Denied, match="none of the identities opens it"):
        AGAIN(age.decrypted(pieces(whole), (other,), "it"))
    with pytest.raises(Denied, match="no identity is given"):
        age.decrypted(pieces(whole), (), "it")
    changed = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
    for wrong in (changed, whole[:100_000], whole[:-23], b"", b"no age at all"):
        with pytest.raises(Corrupt, match="its bytes are not what was encrypted"):
            AGAIN(age.decrypted(pieces(wrong), (own,), "it"))


def test_an_identity_file_that_cannot_be_used_is_named_and_never_quoted(age: Age, tmp_path: Path) -> None:
    file = tmp_path / "age.key"
    for text, said in (
        ("AGE-SECRET-KEY-1NOTOURS\n", "cannot be used"),
        ("AGE-SECRET-KEY-PQ-1NOTOURS\n", "post-quantum"),
        ("hunter2\n", "no identity of age"),
        ("AGE-PLUGIN-NOBODYHASIT-1QQQSYQCYQ5RQWZQFPH2KZD\n", "cannot be used"),
        ("# nothing\n", "no identity is given"),
    ):
        file.write_text(text)
        with pytest.raises((BadInput, Denied), match=said) as raised:
            age.decrypted(iter(()), (f"file:{file}",), "it")
        assert "NOTOURS" not in str(raised.value)
        assert "hunter2" not in str(raised.value)
    with pytest.raises(Denied, match="No such file"):
        age.decrypted(iter(()), (f"file:{tmp_path}/none",), "it")


def test_what_breaks_on_the_way_in_breaks_on_the_way_out(age: Age, tmp_path: Path) -> None:
    mine, own = key(tmp_path)

    def broken(whole: bytes) -> Iterator[bytes]:
        yield whole[:100_000]
        raise Unreachable("the member went away")

    with pytest.raises(Unreachable, match="went away"):
        AGAIN(age.encrypted(broken(TEXT), (mine,)))
    with pytest.raises(Unreachable, match="went away"):
        AGAIN(age.decrypted(broken(AGAIN(age.encrypted(pieces(TEXT), (mine,)))), (own,), "it"))


def test_who_stops_taking_stops_it(age: Age, tmp_path: Path) -> None:
    mine, _ = key(tmp_path)
    given: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            given.append(1)
            yield b"x" * 65536

    taken = age.encrypted(endless(), (mine,))
    next(taken)
    taken.close()
    seen = len(given)
    assert seen < 64
