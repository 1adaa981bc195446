"""Every way to log in to a real node: a jump host, an agent, a certificate; and only to the one that was pinned."""

import json
import os
import shutil
import socket
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import paramiko
import pytest

from activities.adapters.secrets import LocalSecrets
from activities.adapters.ssh import SshHosts, silent
from deploy.lab.lab import Lab, LabSpec, down, node_exec, up
from quorate.command import Node, jump_of, node_of
from quorate.errors import Denied, HostKeyChanged, HostKeyUnknown, Unreachable
from quorate.settings.machines import Jump
from tests.e2e.product import Product, until
from worker.settings import load

pytestmark = pytest.mark.lab
RESTART = "systemctl reset-failed ssh; systemctl restart ssh"  # more than five in ten seconds are refused otherwise


@dataclass
class Place:
    """Two nodes of a lab; the first is also the jump host."""

    lab: Lab
    first: Node
    second: Node

    def on(self, number: int, *argv: str) -> str:
        exit_code, output = node_exec(self.lab, self.lab.nodes[number - 1], argv)
        assert exit_code == 0, output
        return output

    def behind(self, node: Node | None = None, **jump: object) -> Node:
        there = Jump(host=self.first.host, **jump)  # type: ignore[arg-type]
        return changed(node or self.second, jump=there)


def changed(node: Node, **fields: object) -> Node:
    return replace(node, ssh=node.ssh.model_copy(update=fields))


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    name = f"acc{os.getpid()}"
    try:
        lab = up(LabSpec(name, members=3, control_plane="none"), print)
        cluster = load(Path(lab.config)).cluster(name)
        first, second = (node_of(name, cluster, member) for member in cluster.members[:2])
        yield Place(lab, first, second)
    finally:
        down(name, print)


@contextmanager
def connected(agent: str = "") -> Iterator[SshHosts]:
    hosts = SshHosts(LocalSecrets({}), agent=agent)
    try:
        yield hosts
    finally:
        hosts.close()


@pytest.fixture
def hosts() -> Iterator[SshHosts]:
    with connected() as there:
        yield there


def run(hosts: SshHosts, node: Node, line: str, purpose: str = "commands") -> str:
    exit_code, output = hosts.run(node, purpose, line, (), silent, 20)
    assert exit_code == 0, output
    return output.strip()


def seen_from(hosts: SshHosts, node: Node) -> str:
    """Whose address sshd sees."""
    return run(hosts, node, "echo $SSH_CONNECTION").split()[0]


class TestJump:
    def test_commands_bulk_and_tunnels_come_from_the_jump_host(self, place: Place, hosts: SshHosts) -> None:
        node = place.behind()
        assert seen_from(hosts, place.second) != place.first.host
        assert seen_from(hosts, node) == place.first.host
        exit_code, output = hosts.run(node, "bulk", "wc -c", (b"x" * 300_000 for _ in range(20)), silent, 20)
        assert (exit_code, output.strip()) == (0, "6000000")
        with hosts.tunnel(node, "127.0.0.1", 22) as address:
            host, _, port = address.partition(":")
            with socket.create_connection((host, int(port)), 5) as there:
                assert there.recv(8) == b"SSH-2.0-"

    def test_all_nodes_behind_it_share_one_connection_to_it(self, place: Place, hosts: SshHosts) -> None:
        def peers() -> set[str]:
            """Who is connected to the jump host's sshd, but for the jump host itself."""
            lines = place.on(1, "ss", "-Htn", "state", "established", "( sport = :22 )").splitlines()
            return {peer for line in lines if place.first.host not in (peer := line.split()[-1])}

        before = peers()
        for node in (place.behind(place.first), place.behind()):
            run(hosts, node, "true")
            run(hosts, node, "true", "bulk")
        assert len(peers() - before) == 1

    def test_a_jump_host_that_dies_breaks_what_ran_and_is_connected_to_again(
        self, place: Place, hosts: SshHosts
    ) -> None:
        node, told = place.behind(), []

        def sleeping() -> None:
            try:
                run(hosts, node, "sleep 60")
            except Unreachable as error:
                told.append(str(error))

        waiting = threading.Thread(target=sleeping)
        waiting.start()
        until(lambda: "sleep 60" in place.on(2, "ps", "-eo", "args"), 20)
        place.on(1, "pkill", "-KILL", "-u", "quorate", "sshd")
        waiting.join(20)
        assert told and place.second.name in told[0]
        assert seen_from(hosts, node) == place.first.host

    def test_it_is_pinned_as_strictly_as_a_node(self, place: Place, hosts: SshHosts, tmp_path: Path) -> None:
        (tmp_path / "none").touch()
        with pytest.raises(HostKeyUnknown, match=f"jump host {place.first.host} shows ssh-ed25519 SHA256") as error:
            run(hosts, place.behind(known_hosts=str(tmp_path / "none")), "true")
        assert error.value.next.startswith(f"quorate hosts trust {place.first.host} --fingerprint")

    def test_a_node_behind_it_is_pinned_all_the_same(self, place: Place, hosts: SshHosts, tmp_path: Path) -> None:
        known = Path(place.first.ssh.known_hosts).read_text().splitlines()
        (tmp_path / "first").write_text(
            next(line for line in known if line.startswith(f"{place.first.host} ")) + "\n"
        )
        node = changed(place.behind(known_hosts=place.first.ssh.known_hosts), known_hosts=str(tmp_path / "first"))
        with pytest.raises(HostKeyUnknown, match=rf"{place.second.name} \({place.second.host}\) shows"):
            run(hosts, node, "true")

    def test_it_is_named_when_it_refuses_us(self, place: Place, hosts: SshHosts, tmp_path: Path) -> None:
        keygen(tmp_path / "stranger")
        with pytest.raises(Denied, match=f"jump host {place.first.host} refuses quorate"):
            run(hosts, place.behind(identity=f"file:{tmp_path}/stranger"), "true")

    def test_it_is_named_when_it_does_not_answer(self, place: Place, hosts: SshHosts) -> None:
        with pytest.raises(
            Unreachable, match=rf"{place.second.name}: jump host {place.first.host} .* does not answer"
        ):
            run(hosts, place.behind(port=2222), "true")

    def test_a_node_that_it_cannot_reach_is_told_apart(self, place: Place, hosts: SshHosts) -> None:
        node = changed(place.behind(), port=2222)
        with pytest.raises(Unreachable, match=f"jump host {place.first.host} answers, but cannot reach"):
            run(hosts, node, "true")
        assert seen_from(hosts, place.behind()) == place.first.host

    def test_so_is_one_whose_packets_are_lost(self, place: Place, hosts: SshHosts) -> None:
        node = changed(place.behind(), connect_timeout_s=1.0, port=2223)
        place.on(2, "nft", "add table inet lost")
        place.on(2, "nft", "add chain inet lost in { type filter hook input priority 0; }")
        place.on(2, "nft", "add rule inet lost in tcp dport 2223 drop")
        try:
            with pytest.raises(Unreachable, match="answers, but has not reached .*2223 within 1 s"):
                run(hosts, node, "true")
        finally:
            place.on(2, "nft", "delete table inet lost")

    def test_one_that_may_not_forward_says_so(self, place: Place, hosts: SshHosts) -> None:
        with configured(place, 1, "AllowTcpForwarding no"), pytest.raises(Denied, match="does not forward") as error:
            run(hosts, place.behind(), "true")
        assert "AllowTcpForwarding" in error.value.next

    def test_host_keys_are_seen_through_it(self, place: Place, hosts: SshHosts) -> None:
        (key,) = hosts.shown(place.second.host, 22, jump_of(place.behind()))
        assert key.base64 in Path(place.second.ssh.known_hosts).read_text()


def test_a_quick_command_never_costs_the_connection(
    place: Place, hosts: SshHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when this thread is held up between paramiko's making of the message and its sending."""

    def late(channel: paramiko.Channel) -> None:
        with channel.lock:
            message = channel._send_eof()
        until(lambda: channel.closed, 10)
        channel.transport._send_user_message(message)

    monkeypatch.setattr(paramiko.Channel, "shutdown_write", late)
    run(hosts, place.second, "true")
    before = hosts.transport(place.second, "commands")
    for _ in range(3):
        run(hosts, place.second, "true")
    assert hosts.transport(place.second, "commands") is before


@contextmanager
def configured(place: Place, number: int, *lines: str) -> Iterator[None]:
    """sshd of a node with more settings, for a while; they come before all others."""
    path = f"/etc/ssh/sshd_config.d/00-{uuid.uuid4().hex}.conf"
    text = "\\n".join(lines)
    place.on(number, "sh", "-c", f"printf '{text}\\n' > {path}; {RESTART}")
    try:
        yield
    finally:
        place.on(number, "sh", "-c", f"rm {path}; {RESTART}")


def keygen(path: Path, passphrase: str = "", kind: str = "ed25519") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", path], check=True)
    return path


def fingerprint(path: Path) -> str:
    said = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True)
    return said.stdout.split()[1]


@contextmanager
def agent(root: Path, *keys: Path) -> Iterator[str]:
    """A real one, with these keys."""
    path = str(root / "agent")
    running = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        until(Path(path).exists, 5)
        for key in keys:
            subprocess.run(["ssh-add", "-q", key], check=True, env={"SSH_AUTH_SOCK": path}, stderr=subprocess.DEVNULL)
        yield path
    finally:
        running.terminate()
        running.wait()


def ours(place: Place) -> Path:
    return Path(place.first.ssh.identity.removeprefix("file:"))


class TestAgent:
    def test_any_of_its_keys_opens(self, place: Place, tmp_path: Path) -> None:
        with agent(tmp_path, keygen(tmp_path / "other"), ours(place)) as path, connected(path) as hosts:
            assert run(hosts, changed(place.first, identity="agent"), "id -un") == "quorate"

    def test_one_is_picked_by_its_fingerprint(self, place: Place, tmp_path: Path) -> None:
        other = keygen(tmp_path / "other", kind="rsa")
        with agent(tmp_path, other, ours(place)) as path:
            with connected(path) as hosts:
                node = changed(place.first, identity=f"agent:{fingerprint(ours(place))}")
                assert run(hosts, node, "id -un") == "quorate"
            with connected(path) as hosts, pytest.raises(Denied, match="refuses quorate with agent:SHA256"):
                run(hosts, changed(place.first, identity=f"agent:{fingerprint(other)}"), "true")

    def test_too_many_of_them_are_cut_off_and_one_has_to_be_picked(self, place: Place, tmp_path: Path) -> None:
        """sshd hangs up after six."""
        others = [keygen(tmp_path / str(number)) for number in range(7)]
        with agent(tmp_path, *others, ours(place)) as path:
            with connected(path) as hosts, pytest.raises(Denied, match=r"pick one with `identity: agent:SHA256"):
                run(hosts, changed(place.first, identity="agent"), "true")
            with connected(path) as hosts:
                picked = changed(place.first, identity=f"agent:{fingerprint(ours(place))}")
                assert run(hosts, picked, "id -un") == "quorate"

    def test_a_key_it_does_not_have_is_named_beside_those_it_has(self, place: Place, tmp_path: Path) -> None:
        other = keygen(tmp_path / "other")
        with agent(tmp_path, ours(place)) as path, connected(path) as hosts, pytest.raises(Denied) as error:
            run(hosts, changed(place.first, identity=f"agent:{fingerprint(other)}"), "true")
        assert fingerprint(other) in str(error.value)
        assert fingerprint(ours(place)) in str(error.value)

    def test_the_jump_host_and_the_node_are_opened_by_one_agent(self, place: Place, tmp_path: Path) -> None:
        with agent(tmp_path, ours(place)) as path, connected(path) as hosts:
            assert seen_from(hosts, changed(place.behind(), identity="agent")) == place.first.host

    @pytest.mark.parametrize("path", ["", "/nosuch"])
    def test_without_one_it_is_said_what_to_do(self, place: Place, path: str) -> None:
        with connected(path) as hosts, pytest.raises(Denied, match="SSH") as error:
            run(hosts, changed(place.first, identity="agent"), "true")
        assert "ssh-add" in error.value.next

    def test_a_key_with_a_passphrase_is_for_the_agent(self, place: Place, hosts: SshHosts, tmp_path: Path) -> None:
        locked = keygen(tmp_path / "locked", "hunter2")
        with pytest.raises(Denied, match="is encrypted") as error:
            run(hosts, changed(place.first, identity=f"file:{locked}"), "true")
        assert f"ssh-add {locked}" in error.value.next


@dataclass
class Authority:
    key: Path

    def signed(self, key: Path, *options: str) -> str:
        """A reference to the certificate that it makes for a key."""
        argv = ["ssh-keygen", "-q", "-s", self.key, "-I", "quorate", *options, f"{key}.pub"]
        subprocess.run(argv, check=True)
        return f"file:{key}-cert.pub"


@pytest.fixture(scope="module")
def authority(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """Whose signature the second node takes for a login."""
    key = keygen(tmp_path_factory.mktemp("ca") / "ca")
    public = Path(f"{key}.pub").read_text().strip()
    place.on(2, "sh", "-c", f"echo '{public}' > /etc/ssh/user-ca.pub")
    with configured(place, 2, "TrustedUserCAKeys /etc/ssh/user-ca.pub"):
        yield Authority(key)


class TestCertificate:
    @pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
    def test_a_key_that_nobody_knows_opens_with_one(
        self, place: Place, authority: Authority, hosts: SshHosts, tmp_path: Path, kind: str
    ) -> None:
        key = keygen(tmp_path / "id", kind=kind)
        node = changed(place.second, identity=f"file:{key}")
        with pytest.raises(Denied, match="refuses quorate"):
            run(hosts, node, "true")
        signed = authority.signed(key, "-n", "quorate", "-V", "+1h")
        assert run(hosts, changed(node, certificate=signed), "id -un") == "quorate"

    def test_the_agent_signs_for_one_that_lies_in_a_file(
        self, place: Place, authority: Authority, tmp_path: Path
    ) -> None:
        key = keygen(tmp_path / "id")
        with agent(tmp_path, key) as path, connected(path) as hosts:
            signed = authority.signed(key, "-n", "quorate")
            node = changed(place.second, identity="agent", certificate=signed)
            assert run(hosts, node, "id -un") == "quorate"

    def test_the_agent_may_hold_it_itself(self, place: Place, authority: Authority, tmp_path: Path) -> None:
        key = keygen(tmp_path / "id")
        authority.signed(key, "-n", "quorate")
        with agent(tmp_path, key) as path, connected(path) as hosts:
            assert run(hosts, changed(place.second, identity="agent"), "id -un") == "quorate"

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            (("-n", "quorate", "-V", "-2h:-1h"), "has expired at"),
            (("-n", "quorate", "-V", "+1h:+2h"), "is valid only from"),
            (("-n", "root,kim"), "is for root, kim, not for quorate"),
            (("-h", "-n", "quorate"), "is a certificate of a host"),
        ],
    )
    def test_one_that_would_be_refused_is_told_why(
        self,
        place: Place,
        authority: Authority,
        hosts: SshHosts,
        tmp_path: Path,
        options: tuple[str, ...],
        why: str,
    ) -> None:
        key = keygen(tmp_path / "id")
        node = changed(place.second, identity=f"file:{key}", certificate=authority.signed(key, *options))
        with pytest.raises(Denied, match=why):
            run(hosts, node, "true")

    def test_one_of_another_key_is_told_with_both(
        self, place: Place, authority: Authority, hosts: SshHosts, tmp_path: Path
    ) -> None:
        key, other = keygen(tmp_path / "id"), keygen(tmp_path / "other")
        node = changed(place.second, identity=f"file:{key}", certificate=authority.signed(other, "-n", "quorate"))
        with pytest.raises(Denied) as error:
            run(hosts, node, "true")
        assert fingerprint(key) in str(error.value)
        assert fingerprint(other) in str(error.value)


@pytest.fixture(scope="module")
def hosts_authority(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whose signature stands for the second node's key."""
    root = tmp_path_factory.mktemp("host-ca")
    (root / "host.pub").write_text(place.on(2, "cat", "/etc/ssh/ssh_host_ed25519_key.pub"))
    return Authority(keygen(root / "ca"))


class TestHostCertificate:
    @contextmanager
    def shown(self, place: Place, authority: Authority, *options: str) -> Iterator[Node]:
        """The second node shows a certificate; pinned is the authority alone, for every machine."""
        key = authority.key.with_name("host")
        signed = Path(authority.signed(key, "-h", *options).removeprefix("file:")).read_text().strip()
        known = key.with_name("known_hosts")
        known.write_text(f"@cert-authority * {Path(f'{authority.key}.pub').read_text()}")
        place.on(2, "sh", "-c", f"echo '{signed}' > /etc/ssh/host-cert.pub")
        with configured(place, 2, "HostCertificate /etc/ssh/host-cert.pub"):
            yield changed(place.second, known_hosts=str(known))

    def test_a_machine_that_a_pinned_authority_vouches_for_needs_no_pin(
        self, place: Place, hosts_authority: Authority, hosts: SshHosts
    ) -> None:
        with self.shown(place, hosts_authority, "-n", place.second.host, "-V", "+1h") as node:
            assert run(hosts, node, "id -un") == "quorate"
            found = hosts.authority(node)
            assert found and found.fingerprint == fingerprint(hosts_authority.key)
            assert hosts.authority(place.second) is None

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            (("-n", "another.lan"), "is for another.lan, not for"),
            ((), "is for nobody, not for"),
            (("-n", "HOST", "-V", "-2h:-1h"), "has expired at"),
        ],
    )
    def test_a_certificate_that_does_not_speak_for_it_is_no_pin(
        self, place: Place, hosts_authority: Authority, hosts: SshHosts, options: tuple[str, ...], why: str
    ) -> None:
        named = [place.second.host if each == "HOST" else each for each in options]
        with self.shown(place, hosts_authority, *named) as node, pytest.raises(HostKeyChanged, match=why):
            run(hosts, node, "true")

    def test_nor_is_one_of_another_authority_nor_none_at_all(
        self, place: Place, hosts_authority: Authority, hosts: SshHosts, tmp_path: Path
    ) -> None:
        (tmp_path / "host.pub").write_text(hosts_authority.key.with_name("host.pub").read_text())
        other = Authority(keygen(tmp_path / "ca"))
        known = tmp_path / "known"
        known.write_text(f"@cert-authority * {Path(f'{hosts_authority.key}.pub').read_text()}")
        strict = changed(place.second, known_hosts=str(known))
        with self.shown(place, other, "-n", place.second.host):
            with pytest.raises(HostKeyChanged, match="was signed by") as error:
                run(hosts, strict, "true")
            assert fingerprint(other.key) in str(error.value)
            assert run(hosts, place.second, "id -un") == "quorate"  # its own key is pinned there
        with pytest.raises(HostKeyUnknown, match="no certificate"):
            run(hosts, strict, "true")


@pytest.fixture
def quorate(place: Place, tmp_path: Path) -> Product:
    """The command line with the second node behind the first, and pins of its own."""
    known = shutil.copy(place.first.ssh.known_hosts, tmp_path / "known_hosts")
    text = Path(place.lab.config).read_text()
    text = text.replace(place.first.ssh.known_hosts, f"{known}\n      jump: {{host: {place.first.host}}}")
    config = tmp_path / "quorate.yaml"
    config.write_text(text.replace(f"{Path(place.lab.config).parent}/state", f"{tmp_path}/state"))
    return Product(place.lab, config)


def test_a_machine_that_was_reinstalled_is_refused_until_a_person_has_compared_its_key(
    place: Place, quorate: Product
) -> None:
    name = place.second.name
    assert quorate.json("hosts", "ls")["equal"]
    old = place.on(2, "ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub").split()[1]
    make = "rm /etc/ssh/ssh_host_ed25519_key*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key"
    place.on(2, "sh", "-c", "mkdir /root/old; cp -p /etc/ssh/ssh_host_ed25519_key* /root/old")
    try:
        place.on(2, "sh", "-c", f"{make}; {RESTART}")
        new = place.on(2, "ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub").split()[1]

        refused = checks(quorate)["ssh", name]
        assert old in refused["said"] and new in refused["said"]
        told = quorate.json("hosts", "ls", place.lab.name, exit_code=3)["hosts"]
        assert [each["node"] for each in told if not each["equal"]] == [name]
        assert told[0]["node"] == "jump host"

        pinned = (quorate.config.parent / "known_hosts").read_bytes()
        quorate.json("hosts", "trust", name, "--fingerprint", old, exit_code=4)
        assert (quorate.config.parent / "known_hosts").read_bytes() == pinned

        trusted = quorate.json("hosts", "trust", name, "--fingerprint", new, "--reason", "reinstalled")
        assert trusted["was"] == [old]
        assert checks(quorate)["ssh", name]["ok"]
        assert quorate.json("hosts", "ls")["equal"]
        assert quorate.json("audit", "verify", trusted["operation"])["sealed"]
    finally:
        place.on(2, "sh", "-c", f"cp -p /root/old/* /etc/ssh/; rm -r /root/old; {RESTART}")


def test_doctor_says_that_it_is_the_jump_host_which_does_not_answer(place: Place, quorate: Product) -> None:
    text = quorate.config.read_text()
    quorate.config.write_text(text.replace(f"host: {place.first.host}}}", f"host: {place.first.host}, port: 2222}}"))
    found = checks(quorate, exit_code=6)
    jump = found["jump", f"{place.lab.name} {place.first.host}"]
    assert not jump["ok"]
    assert jump["next"] == f"ssh -p 2222 quorate@{place.first.host}"
    for node in (place.first, place.second):
        ssh = found["ssh", node.name]
        assert (ssh["ok"], ssh["next"]) == (False, jump["next"])


@contextmanager
def shut(place: Place, port: int) -> Iterator[None]:
    """Nobody but the nodes themselves reaches this port of theirs."""
    nodes = ", ".join(node.address for node in place.lab.nodes)
    rule = f"tcp dport {port} iifname != lo ip saddr != {{ {nodes} }} drop"
    lines = f"table inet shut {{ chain in {{ type filter hook input priority 0; {rule}; }}; }}"
    numbers = range(1, len(place.lab.nodes) + 1)
    try:
        for number in numbers:
            place.on(number, "sh", "-c", f"echo '{lines}' | nft -f -")
        yield
    finally:
        for number in numbers:
            place.on(number, "sh", "-c", "nft delete table inet shut || true")


def test_etcd_that_only_its_nodes_reach_is_looked_at_and_backed_up_through_ssh(
    place: Place, quorate: Product
) -> None:
    text = quorate.config.read_text()
    with shut(place, 2379):
        silent = quorate.json("inspect", place.lab.name, exit_code=3)
        assert [member["healthy"] for member in silent["members"]] == [False] * 3
        quorate.config.write_text(text.replace("      jump:", "      forward: true\n      jump:"))
        seen = quorate.json("inspect", place.lab.name, exit_code=3)  # there is no backup yet
        assert [member["healthy"] for member in seen["members"]] == [True] * 3
        quorate.up()
        try:
            assert quorate.backup()["outcome"] == "verified"
        finally:
            quorate.down()


def checks(quorate: Product, exit_code: int | None = None) -> dict[tuple[str, str], dict[str, object]]:
    """What doctor says, by kind and by what it is about."""
    done = quorate.run("doctor", "-o", "json")
    assert exit_code in {None, done.returncode}, done.stdout
    assert "Traceback" not in done.stderr
    return {(each["id"], each["about"]): each for each in json.loads(done.stdout)["checks"]}
