"""Who a machine says it is, as the SSH adapter finds out."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from activities.adapters.secrets import LocalSecrets
from activities.adapters.ssh import SshHosts, silent
from quorate.command import Node
from quorate.errors import HostKeyChanged, HostKeyUnknown, Unreachable
from quorate.nodes.known_hosts import HostKey
from quorate.settings.machines import Jump, Ssh
from tests.fakes.sshd import Sshd, sshd

RSA = paramiko.RSAKey.generate(2048)
ECDSA, ANOTHER = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()


def shown(key: paramiko.PKey) -> HostKey:
    return HostKey(key.get_name(), key.get_base64())


@pytest.fixture
def hosts() -> SshHosts:
    return SshHosts(LocalSecrets({}))


def node(root: Path, at: Sshd, *pinned: paramiko.PKey) -> Node:
    private = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    (root / "id").write_bytes(private)
    lines = [f"[127.0.0.1]:{at.port} {key.get_name()} {key.get_base64()}\n" for key in pinned]
    (root / "known_hosts").write_text("".join(lines))
    ssh = Ssh(user="quorate", identity=f"file:{root}/id", known_hosts=f"{root}/known_hosts", port=at.port)
    return Node("a", "127.0.0.1", ssh, "/var/lib/quorate", "demo")


def test_every_key_that_a_machine_shows_is_told_without_a_login(hosts: SshHosts) -> None:
    with sshd(RSA, ECDSA) as there:
        assert hosts.shown("127.0.0.1", there.port) == (shown(ECDSA), shown(RSA))
        assert there.logins == []


def test_a_port_that_nobody_listens_on_shows_nothing(hosts: SshHosts) -> None:
    with sshd(RSA) as there:
        pass
    with pytest.raises(Unreachable, match=f"127.0.0.1:{there.port} does not answer"):
        hosts.shown("127.0.0.1", there.port)


@pytest.mark.parametrize("pinned", [ANOTHER, RSA])
def test_another_key_than_the_pinned_is_refused_with_both_and_the_way_forward(
    hosts: SshHosts, tmp_path: Path, pinned: paramiko.PKey
) -> None:
    with sshd(ECDSA) as there:
        before = (at := node(tmp_path, there, pinned)) and (tmp_path / "known_hosts").read_bytes()
        with pytest.raises(HostKeyChanged) as error:
            hosts.run(at, "commands", "true", (), silent, 5)
        assert there.logins == []
    assert shown(ECDSA).fingerprint in str(error.value)
    assert shown(pinned).fingerprint in str(error.value)
    assert error.value.next.startswith("quorate hosts trust a --fingerprint SHA256:…")
    assert (tmp_path / "known_hosts").read_bytes() == before


def test_a_machine_that_is_not_pinned_is_refused_and_not_learned(hosts: SshHosts, tmp_path: Path) -> None:
    with sshd(ECDSA) as there:
        at = node(tmp_path, there)
        with pytest.raises(HostKeyUnknown, match="nothing is pinned") as error:
            hosts.run(at, "commands", "true", (), silent, 5)
        assert there.logins == []
    assert shown(ECDSA).fingerprint in str(error.value)
    assert (tmp_path / "known_hosts").read_text() == ""


def test_a_revoked_key_is_refused_although_it_is_pinned(hosts: SshHosts, tmp_path: Path) -> None:
    with sshd(ECDSA) as there:
        at = node(tmp_path, there, ECDSA)
        with (tmp_path / "known_hosts").open("a") as file:
            file.write(f"@revoked * {ECDSA.get_name()} {ECDSA.get_base64()}\n")
        with pytest.raises(HostKeyChanged, match="@revoked"):
            hosts.run(at, "commands", "true", (), silent, 5)
        assert there.logins == []


def test_of_several_keys_the_one_that_is_pinned_is_asked_for(hosts: SshHosts, tmp_path: Path) -> None:
    """Else a right host would look like a changed one; this one then refuses the login."""
    with sshd(RSA, ECDSA) as there:
        with pytest.raises(Unreachable, match="refuses quorate"):
            hosts.run(node(tmp_path, there, RSA), "commands", "true", (), silent, 5)
        assert there.logins == ["quorate"]


@pytest.mark.slow
def test_nodes_wait_for_a_dead_jump_host_once_and_not_one_after_another(hosts: SshHosts, tmp_path: Path) -> None:
    """It takes connections and says nothing, as a machine does whose disk hangs."""
    with socket.create_server(("127.0.0.1", 0)) as dead, sshd(ECDSA) as there:
        at = node(tmp_path, there, ECDSA)
        jump = Jump(host="127.0.0.1", port=dead.getsockname()[1])
        ssh = at.ssh.model_copy(update={"jump": jump, "connect_timeout_s": 2.0})
        together = threading.Barrier(4)

        def told(name: str) -> str:
            together.wait()
            with pytest.raises(Unreachable) as error:
                hosts.run(
                    replace(at, name=name, host=f"127.0.0.{ord(name)}", ssh=ssh), "commands", "true", (), silent, 5
                )
            return str(error.value)

        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(told, "wxyz"))
        dead.setblocking(False)
        assert len(list(accepted(dead))) == 1
    assert all("jump host 127.0.0.1" in each for each in said)


def accepted(server: socket.socket) -> Iterator[socket.socket]:
    with suppress(BlockingIOError):
        while True:
            yield server.accept()[0]
