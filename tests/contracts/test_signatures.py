"""What every prover of SSH signatures promises: ours, and the real ssh-keygen."""

import base64
import hashlib
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from activities.adapters.signatures import SshSignatures
from quorate.errors import NotApproved
from quorate.ports import Signatures
from quorate.sshsig import ALGORITHMS, BEGIN, END, MAGIC, fingerprint, packed, parsed, public_key
from worker.signing import signed

pytestmark = pytest.mark.slow

MESSAGE = b"quorate-approve v1\ncluster demo\n"
NAMESPACE = "quorate-approve"
KEYS = {
    "ssh-ed25519": ("-t", "ed25519"),
    "ecdsa-sha2-nistp256": ("-t", "ecdsa", "-b", "256"),
    "ecdsa-sha2-nistp384": ("-t", "ecdsa", "-b", "384"),
    "ecdsa-sha2-nistp521": ("-t", "ecdsa", "-b", "521"),
    "ssh-rsa": ("-t", "rsa", "-b", "2048"),
}
APPLICATION = b"ssh:"


@dataclass(frozen=True)
class Keygen:
    """The real one: `ssh-keygen -Y verify`."""

    folder: Path

    def prove(self, armored: str, key: str, message: bytes) -> None:
        (self.folder / "signature").write_text(armored)
        (self.folder / "allowed").write_text(f"bob {key}\n")
        argv = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "bob", "-n", NAMESPACE, "-s", "signature"]
        done = subprocess.run(argv, cwd=self.folder, input=message, capture_output=True, check=False)
        if done.returncode:
            raise NotApproved(done.stderr.decode())


@dataclass(frozen=True)
class Ours:
    port: Signatures

    def prove(self, armored: str, key: str, message: bytes) -> None:
        signature = parsed(armored)
        if (signature.namespace, signature.key) != (NAMESPACE, key):
            raise NotApproved("of another purpose or by another key")
        self.port.prove(signature, message)


@dataclass(frozen=True)
class Token:
    """A security key made of software: it signs what a real one signs, since none can be plugged in here."""

    kind: str
    touched: int = 1

    def sign(self) -> tuple[str, str]:
        """The public key, and the armored signature."""
        data = MAGIC + b"".join(map(packed, (NAMESPACE.encode(), b"", b"sha512", hashlib.sha512(MESSAGE).digest())))
        rest = bytes([self.touched]) + (7).to_bytes(4)
        whole = hashlib.sha256(APPLICATION).digest() + rest + hashlib.sha256(data).digest()
        fields, raw = (self.edwards if "ed25519" in self.kind else self.elliptic)(whole)
        blob = b"".join(map(packed, (self.kind.encode(), *fields, APPLICATION)))
        signature = packed(self.kind.encode()) + packed(raw) + rest
        parts = (blob, NAMESPACE.encode(), b"", b"sha512", signature)
        return f"{self.kind} {base64.b64encode(blob).decode()}", armored(b"".join(map(packed, parts)))

    def edwards(self, data: bytes) -> tuple[tuple[bytes, ...], bytes]:
        key = ed25519.Ed25519PrivateKey.generate()
        return (key.public_key().public_bytes_raw(),), key.sign(data)

    def elliptic(self, data: bytes) -> tuple[tuple[bytes, ...], bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.PublicFormat.UncompressedPoint
        point = key.public_key().public_bytes(serialization.Encoding.X962, form)
        numbers = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return (b"nistp256", point), b"".join(packed(mpint(number)) for number in numbers)


def mpint(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1)


def armored(parts: bytes) -> str:
    return f"{BEGIN}\n{base64.encodebytes(MAGIC + (1).to_bytes(4) + parts).decode()}{END}\n"


def made(folder: Path, kind: str) -> tuple[Path, str]:
    path = folder / kind
    argv = ["ssh-keygen", "-q", "-N", "", "-C", "bob@laptop", *KEYS[kind], "-f", str(path)]
    subprocess.run(argv, check=True)
    return path, public_key(path.with_suffix(".pub").read_text())


@pytest.fixture(params=["ours", "ssh-keygen"])
def prover(request: pytest.FixtureRequest, tmp_path: Path) -> Ours | Keygen:
    return Ours(SshSignatures()) if request.param == "ours" else Keygen(tmp_path)


@pytest.mark.parametrize("kind", KEYS)
def test_what_ssh_keygen_signs_is_proved_for_that_message_purpose_and_key_alone(
    kind: str, prover: Ours | Keygen, tmp_path: Path
) -> None:
    path, key = made(tmp_path, kind)
    text = signed(MESSAGE.decode(), path)
    prover.prove(text, key, MESSAGE)
    with pytest.raises(NotApproved):
        prover.prove(text, key, MESSAGE + b"\n")
    with pytest.raises(NotApproved):
        prover.prove(text, made(tmp_path, next(each for each in KEYS if each != kind))[1], MESSAGE)
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(path)]
    other = subprocess.run(argv, input=MESSAGE, capture_output=True, check=True).stdout.decode()
    with pytest.raises(NotApproved):
        prover.prove(other, key, MESSAGE)


@pytest.mark.parametrize("hashed", ["sha256", "sha512"])
def test_both_hashes_are_read(hashed: str, prover: Ours | Keygen, tmp_path: Path) -> None:
    path, key = made(tmp_path, "ssh-ed25519")
    argv = ["ssh-keygen", "-q", "-Y", "sign", "-O", f"hashalg={hashed}", "-n", NAMESPACE, "-f", str(path)]
    text = subprocess.run(argv, input=MESSAGE, capture_output=True, check=True).stdout.decode()
    assert parsed(text).hashed == hashed
    prover.prove(text, key, MESSAGE)


@pytest.mark.parametrize("kind", [each for each in ALGORITHMS if each.startswith("sk-")])
def test_a_security_key_is_believed(kind: str, prover: Ours | Keygen) -> None:
    key, text = Token(kind).sign()
    prover.prove(text, key, MESSAGE)
    with pytest.raises(NotApproved):
        prover.prove(text, key, b"")


def test_a_signature_over_sha_1_is_not_believed(prover: Ours | Keygen, tmp_path: Path) -> None:
    path, key = made(tmp_path, "ssh-rsa")
    text = signed(MESSAGE.decode(), path)
    for new in (b"\0\0\0\x07ssh-rsa", b"\0\0\0\x0crsa-sha2-256"):
        data = base64.b64decode("".join(text.split("\n")[1:-2]))
        old = b"\0\0\0\x0crsa-sha2-512"
        length = data.index(old) - 4
        inner = int.from_bytes(data[length : length + 4]) + len(new) - len(old)
        changed = data[:length] + inner.to_bytes(4) + data[length + 4 :].replace(old, new)
        with pytest.raises(NotApproved):
            prover.prove(armored(changed[10:]), key, MESSAGE)


def test_fingerprints_are_those_that_ssh_keygen_prints(tmp_path: Path) -> None:
    for kind in KEYS:
        path, key = made(tmp_path, kind)
        said = subprocess.run(["ssh-keygen", "-lf", str(path)], capture_output=True, text=True, check=True).stdout
        assert said.split()[1] == fingerprint(key)


class TestOursAlone:
    """What need not be asked of ssh-keygen a hundred times."""

    key, text = Token("sk-ecdsa-sha2-nistp256@openssh.com").sign()
    data = base64.b64decode("".join(text.removeprefix(BEGIN).removesuffix(f"{END}\n").split()))

    @given(st.integers(0, 10**6), st.integers(1, 255))
    def test_no_changed_byte_is_believed(self, at: int, bits: int) -> None:
        changed = bytearray(self.data)
        changed[at % len(changed)] ^= bits
        text = f"{BEGIN}\n{base64.b64encode(changed).decode()}\n{END}"
        with pytest.raises(NotApproved):
            Ours(SshSignatures()).prove(text, self.key, MESSAGE)

    @given(st.integers(0, 10**6))
    def test_nor_one_that_was_cut_off(self, at: int) -> None:
        text = f"{BEGIN}\n{base64.b64encode(self.data[: at % len(self.data)]).decode()}\n{END}"
        with pytest.raises(NotApproved):
            Ours(SshSignatures()).prove(text, self.key, MESSAGE)

    @pytest.mark.parametrize(
        "text", ["", "yes", BEGIN, f"{BEGIN}\n{END}", f"{BEGIN}\n!\n{END}", f"{BEGIN}\nü\n{END}"]
    )
    def test_nor_something_else(self, text: str) -> None:
        with pytest.raises(NotApproved):
            parsed(text)

    def test_nor_a_security_key_that_nobody_touched(self) -> None:
        """Where ssh-keygen leaves that to whoever asks it."""
        key, text = Token("sk-ssh-ed25519@openssh.com", touched=0).sign()
        with pytest.raises(NotApproved, match="not touched"):
            Ours(SshSignatures()).prove(text, key, MESSAGE)

    def test_a_signature_whose_numbers_make_no_sense_is_one_that_does_not_match(self) -> None:
        signature = parsed(self.text)
        for raw in (b"", packed(b"\1"), packed(b"") * 2, packed(b"\xff" * 99) * 2, packed(b"\1") * 3):
            with pytest.raises(NotApproved):
                SshSignatures().prove(replace(signature, raw=raw), MESSAGE)
