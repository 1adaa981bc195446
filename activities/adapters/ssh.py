"""Nodes over SSH (paramiko): pinned host keys, pooled connections, one channel a command."""

import select
import shlex
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from activities.adapters.identity import fingerprint, keys_of, public, shown_certificate, unvouched
from quorate.command import JUMP, Command, Node, Ticket, address, asked_for, jump_of
from quorate.converge import Done, Ran, Tick
from quorate.errors import CommandFailed, Denied, HostKeyChanged, HostKeyUnknown, QuorateError, Unreachable
from quorate.nodes import batch, guard
from quorate.nodes.durable import parent
from quorate.nodes.known_hosts import HostKey, Pins, name_of, pins
from quorate.nodes.seen import Look, NodeSeen, parse, script
from quorate.ports import Host, Secrets
from quorate.settings.machines import Ssh

CHUNK_BYTES = 256 * 1024  # measured: 32 MiB slices are five times slower (operations.md, 2.1)
NEVER_REKEY_BYTES = 2**40  # paramiko#822: its own rekey at 512 MiB drops pooled connections
TAIL_BYTES = 4096
CONNECT_S = 5.0
FORBIDDEN = 1  # SSH_OPEN_ADMINISTRATIVELY_PROHIBITED
Line = tuple[str, Ssh, str]  # host, how it is reached, purpose
KEY_TYPES = (  # one handshake each
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
CERTIFICATES = tuple(
    f"{kind}-cert-v01@openssh.com"
    for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512")
)
WEAK = {
    "ciphers": ["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"],
    "macs": ["hmac-sha1", "hmac-md5", "hmac-sha1-96", "hmac-md5-96"],
}


# Beside what a restore would keep there: a place that forbids programs to run would forbid them to it too.
TRY = (
    'd=$(mktemp -d "$1/quorate-try.XXXXXXXX") || exit; trap \'rm -rf "$d"\' EXIT; shift; '
    'cat >"$d/program" && chmod 0700 "$d/program" && "$d/program" "$@"'
)
TRY_S = 120.0


@dataclass(slots=True)
class SshHosts:
    """Every node, each over one connection for commands and one for bulk, opened when first needed."""

    secrets: Secrets
    command_deadline_s: float = 900.0
    agent: str = ""  # the socket of an SSH agent
    pool: dict[Line, paramiko.Transport] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    locks: dict[Line, threading.Lock] = field(default_factory=dict)
    failed: dict[Line, tuple[float, Exception]] = field(default_factory=dict)

    def survey(self, node: Node, look: Look) -> NodeSeen:
        line = sudo(node, "sh -c " + shlex.quote(_with_claim(node, look)))
        exit_code, output = self.run(node, "survey", line, (), silent, self.command_deadline_s)
        if exit_code:
            raise CommandFailed(f"{node.name}: looking at it exited {exit_code}: {tail(output)}")
        return parse(output)

    def at(self, node: Node, look: Look, ticket: Ticket) -> Host:
        return SshHost(self, node, look, ticket)

    def read(self, node: Node, command: Command) -> Iterator[bytes]:
        """Its standard output on the bulk connection; what it says on the other stream is for the error."""
        with mapped(node):
            channel = self.transport(node, "bulk").open_session(timeout=node.ssh.connect_timeout_s)
            try:
                channel.settimeout(node.ssh.connect_timeout_s)
                channel.exec_command(sudo(node, str(command)))
                while data := channel.recv(CHUNK_BYTES):
                    yield data
                if not channel.status_event.wait(10) or channel.exit_status:
                    said = tail(channel.recv_stderr(TAIL_BYTES).decode(errors="replace"))
                    raise CommandFailed(f"{node.name}: `{command}` exited {channel.exit_status}: {said}")
            finally:
                channel.close()

    def tried(self, node: Node, words: tuple[str, ...], program: Iterable[bytes]) -> str:
        line = sudo(node, f"sh -c {shlex.quote(TRY)} {shlex.join(('try', parent(node.lock_dir), *words))}")
        exit_code, output = self.run(node, "bulk", line, program, silent, TRY_S)
        if exit_code:
            raise CommandFailed(f"{node.name}: what was sent does not run: {tail(output)}")
        return output

    def run(
        self, node: Node, purpose: str, line: str, chunks: Iterable[bytes], tick: Tick, deadline_s: float
    ) -> tuple[int, str]:
        """Exit code and output (both streams) of one command line.

        Without input no end of it is sent: paramiko may send it after the close of a command that was quick, and
        sshd hangs up on a whole connection for that (`ieof packet referred to nonexistent channel`).
        """
        with mapped(node):
            transport = self.transport(node, purpose)
            channel = transport.open_session(timeout=node.ssh.connect_timeout_s)
            try:
                channel.set_combine_stderr(True)
                channel.settimeout(1.0)
                channel.exec_command(line if chunks else f"{line} </dev/null")
                return feed_and_read(channel, chunks, tick, time.monotonic() + deadline_s)
            finally:
                channel.close()

    def transport(self, node: Node, purpose: str) -> paramiko.Transport:
        """One for each purpose; the jump host has one, whoever is behind it."""
        key, asked = (node.host, node.ssh, purpose), time.monotonic()
        with self.lock:
            lock = self.locks.setdefault(key, threading.Lock())
        with lock:
            there = self.pool.get(key)
            if there and there.is_active():
                return there
            failed = self.failed.get(key)
            if failed and failed[0] > asked:  # while this one waited, so that a dead jump host is waited for once
                raise failed[1]
            try:
                there = self.pool[key] = self._connect(node)
            except Exception as error:
                self.failed[key] = time.monotonic(), error
                raise
            return there

    def reach(self, node: Node) -> str:
        """Logs in and does nothing; who did."""
        with mapped(node):
            self.transport(node, "jump" if node.name.startswith(JUMP) else "commands")
        return address(node)

    def close(self) -> None:
        for transport in self.pool.values():
            transport.close()
        self.pool.clear()

    @contextmanager
    def tunnel(self, node: Node, host: str, port: int) -> Iterator[str]:
        """`host:port` on loopback, which the node forwards to host and port as it reaches them.

        sshd turns Nagle's algorithm off with the first command of a connection (44 ms a call without, 2 with).
        """
        self.run(node, "commands", "true", (), silent, self.command_deadline_s)
        with mapped(node):
            transport = self.transport(node, "commands")  # a handshake of its own would be part of the outage
        server = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=accept, args=(server, transport, (host, port)), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()

    def _connect(self, node: Node) -> paramiko.Transport:
        transport, _ = self._greeted(node)
        try:
            with keys_of(node, self.secrets, self.agent) as keys:
                log_in(transport, node, keys)
        except BaseException:
            transport.close()
            raise
        transport.set_keepalive(5)
        if node.name.startswith(JUMP):
            undelay(transport)
        return transport

    def _greeted(self, node: Node) -> tuple[paramiko.Transport, HostKey | None]:
        """It is the machine that was pinned, or one that a pinned authority vouches for; nobody has logged in yet."""
        settings, known = node.ssh, pinned(node)
        transport = self._begun(node.host, settings.port, jump_of(node), settings.connect_timeout_s)
        try:
            prefer(transport, known)
            transport.start_client(timeout=settings.connect_timeout_s)
            return transport, check_host_key(node, known, transport.get_remote_server_key())
        except BaseException:
            transport.close()
            raise

    def authority(self, node: Node) -> HostKey | None:
        """Which pinned authority vouches for it; None where its own key is pinned, an error where neither is."""
        with mapped(node):
            transport, found = self._greeted(node)
            transport.close()
        return found

    def _begun(self, host: str, port: int, jump: Node | None, timeout_s: float) -> paramiko.Transport:
        """A connection on which nobody has said anything yet."""
        if jump:
            transport = paramiko.Transport(self._through(jump, host, port, timeout_s), disabled_algorithms=WEAK)
        else:
            raw = socket.create_connection((host, port), timeout_s)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15_000)
            transport = paramiko.Transport(raw, disabled_algorithms=WEAK)
        transport.banner_timeout = transport.auth_timeout = transport.channel_timeout = timeout_s
        options = transport.get_security_options()  # of those that authenticate by themselves, the quickest
        options.ciphers = tuple(sorted(options.ciphers, key=lambda cipher: "gcm" not in cipher))
        transport.packetizer.REKEY_BYTES = NEVER_REKEY_BYTES
        transport.packetizer.REKEY_PACKETS = NEVER_REKEY_BYTES
        return transport

    def _through(self, jump: Node, host: str, port: int, timeout_s: float) -> paramiko.Channel:
        """A channel to `host:port` as the jump host reaches it; errors tell the two hops apart."""
        with mapped(jump):
            transport = self.transport(jump, "jump")
        try:
            return transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=timeout_s)
        except paramiko.ChannelException as error:
            if error.code == FORBIDDEN:
                raise Denied(
                    f"{jump.name} does not forward to {host}:{port}: {error.text}",
                    next=f"allow it in the sshd_config of {jump.host}: AllowTcpForwarding, PermitOpen",
                ) from error
            raise Unreachable(f"{jump.name} answers, but cannot reach {host}:{port}: {error.text}") from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            if answers(transport):
                raise Unreachable(
                    f"{jump.name} answers, but has not reached {host}:{port} within {timeout_s:.0f} s"
                ) from error
            transport.close()
            raise Unreachable(f"{jump.name} does not answer any more: {error}") from error

    def shown(self, host: str, port: int = 22, jump: Node | None = None) -> tuple[HostKey, ...]:
        """Every host key that a machine shows, one a type, without logging in to it."""
        with ThreadPoolExecutor(len(KEY_TYPES)) as pool:
            asked = [pool.submit(self._shown, host, port, types, jump) for types in KEY_TYPES]
        found = tuple(key for each in asked if (key := each.result()))
        if not found:
            raise Unreachable(f"{host}:{port} shows no host key of a type that is known here")
        return found

    def _shown(self, host: str, port: int, types: tuple[str, ...], jump: Node | None) -> HostKey | None:
        """Of one of these types, where it has one; a handshake answers with one key only."""
        try:
            transport = self._begun(host, port, jump, CONNECT_S)
        except OSError as error:
            raise Unreachable(f"{host}:{port} does not answer: {error}") from error
        transport.get_security_options().key_types = types
        try:
            transport.start_client(timeout=CONNECT_S)
            key = transport.get_remote_server_key()
        except IncompatiblePeer:
            return None
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise Unreachable(f"{host}:{port} does not answer as sshd does: {error}") from error
        finally:
            transport.close()
        return HostKey(key.get_name(), key.get_base64())


@dataclass(slots=True)
class SshHost:
    """One node under one ticket."""

    hosts: SshHosts
    node: Node
    looks: Look
    ticket: Ticket

    def look(self) -> NodeSeen:
        output = self._answered("look", Command(("sh", "-c", self._probe)), (), silent)
        if output is None:
            raise CommandFailed(f"{self.node.name}: it could not be looked at under the claim of this operation")
        return parse(output)

    def do(self, acts: tuple[Command, ...], tick: Tick) -> Done[NodeSeen]:
        tick("; ".join(map(str, acts)))
        started = time.time()
        script = Command(("sh", "-c", batch.script(acts, self._probe)))
        output = self._answered("do", script, [act.stdin.encode() for act in acts if act.stdin], tick)
        if output is None:
            return Done((Ran(str(acts[0]), None),))
        try:
            ran, looked = batch.parsed(acts, output, started)
        except ValueError as error:
            raise CommandFailed(f"{self.node.name}: unreadable answer ({error}): {tail(output)}") from error
        return Done(ran, parse(looked))

    def send(self, command: Command, chunks: Iterable[bytes], tick: Tick) -> Ran:
        started, began = time.time(), time.monotonic()
        exit_code, output = self._run("send", command, tick, chunks)
        ended = None if self._refused(exit_code, output) else exit_code
        return Ran(str(command), ended, tail(output), started, time.monotonic() - began)

    @property
    def _probe(self) -> str:
        return _with_claim(self.node, self.looks)

    def _answered(self, how: str, command: Command, chunks: Iterable[bytes], tick: Tick) -> str | None:
        """What was printed; None when only a precondition of the guard no longer held."""
        exit_code, output = self._run(how, command, tick, chunks)
        if self._refused(exit_code, output):
            return None
        if exit_code:
            raise CommandFailed(f"{self.node.name}: looking at it exited {exit_code}: {tail(output)}")
        return output

    def _refused(self, exit_code: int, output: str) -> bool:
        """Whether the guard let nothing run; its reason is raised, unless it is to look again."""
        if not guard.silenced(output, exit_code):
            return False
        if error := guard.refused(output, self.node.name):
            raise error
        return True

    def _run(self, how: str, command: Command, tick: Tick, chunks: Iterable[bytes] = ()) -> tuple[int, str]:
        directory = f"{self.node.lock_dir}/{self.node.cluster}"
        line = sudo(self.node, guard.guarded(directory, self.ticket, how, command))
        purpose = "bulk" if how == "send" else "commands"
        return self.hosts.run(self.node, purpose, line, chunks, tick, self.hosts.command_deadline_s)


def feed_and_read(channel: paramiko.Channel, chunks: Iterable[bytes], tick: Tick, deadline: float) -> tuple[int, str]:
    """Send all, then read to the end; ticks each second while the channel is alive."""
    if chunks and send_all(channel, chunks, tick, deadline):
        channel.shutdown_write()
    output = bytearray()
    while True:
        try:
            data = channel.recv(65536)
        except TimeoutError:
            alive(channel, deadline)
            tick("")
            continue
        if not data:
            break
        output = (output + data)[-1024 * 1024 :]
    if not channel.status_event.wait(10) or channel.exit_status < 0:
        raise Unreachable("the connection broke before the command ended")
    return channel.exit_status, output.decode(errors="replace")


def send_all(channel: paramiko.Channel, chunks: Iterable[bytes], tick: Tick, deadline: float) -> bool:
    """False when the command ended without reading everything; what it printed says why."""
    sent, told = 0, time.monotonic()
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            try:
                count = channel.send(view[:CHUNK_BYTES])  # type: ignore[arg-type]
            except TimeoutError:
                count = 0
                alive(channel, deadline)
            except OSError:
                return False
            view, sent = view[count:], sent + count
            if time.monotonic() - told >= 1:
                told = time.monotonic()
                tick(f"{sent} bytes sent")
    return True


def alive(channel: paramiko.Channel, deadline: float) -> None:
    transport = channel.get_transport()
    if transport is None or not transport.is_active():
        raise Unreachable("the connection broke")
    if time.monotonic() > deadline:
        raise Unreachable("no answer before the deadline; the command may still be running there")


def accept(server: socket.socket, transport: paramiko.Transport, to: tuple[str, int]) -> None:
    """Until the server socket is closed, one channel a connection."""
    with suppress(OSError):
        while True:
            client, address = server.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else an answer in two parts waits 40 ms
            threading.Thread(target=forward, args=(client, transport, to, address), daemon=True).start()


def forward(
    client: socket.socket, transport: paramiko.Transport, to: tuple[str, int], source: tuple[str, int]
) -> None:
    """Both ways until either side closes."""
    with client, suppress(OSError, EOFError, paramiko.SSHException):
        channel = transport.open_channel("direct-tcpip", to, source, timeout=5)
        try:
            while True:
                ready, _, _ = select.select([client.fileno(), channel.fileno()], [], [])
                for one, other in ((client, channel), (channel, client)):
                    if one.fileno() in ready:
                        data = one.recv(CHUNK_BYTES)
                        if not data:
                            return
                        other.sendall(data)
        finally:
            channel.close()


def log_in(transport: paramiko.Transport, node: Node, keys: tuple[paramiko.PKey, ...]) -> None:
    """With the first key that is taken; sshd hangs up after a few."""
    said: Exception | None = None
    for key in keys:
        try:
            wanted = transport.auth_publickey(node.ssh.user, key)
        except paramiko.BadAuthenticationType:
            raise
        except paramiko.AuthenticationException as error:
            said = error
            if transport.is_active():
                continue
            break
        if wanted:
            raise Denied(f"{node.name} wants more than the key of {node.ssh.user}: {', '.join(wanted)}")
        return
    offered = ", ".join(map(fingerprint, keys))
    many = "; pick one with `identity: agent:SHA256:…`" if len(keys) > 1 else ""
    raise Denied(f"{node.name} refuses {node.ssh.user} with {node.ssh.identity} ({offered}): {said}{many}")


def undelay(transport: paramiko.Transport) -> None:
    """Sshd turns Nagle's algorithm off with the first command of a connection; whether that one may run or not.

    Through a jump host that has seen none, a connection to etcd takes 45 ms instead of 14.
    """
    with suppress(paramiko.SSHException, OSError, EOFError):
        channel = transport.open_session(timeout=2.0)
        channel.exec_command("true")
        channel.close()


def answers(transport: paramiko.Transport) -> bool:
    """Any answer will do, also a no."""
    try:
        transport.open_session(timeout=2.0).close()
    except paramiko.ChannelException:
        return True
    except (paramiko.SSHException, OSError, EOFError):
        return False
    return True


def pinned(node: Node) -> Pins:
    """What is pinned for a node; read anew for every connection, so that a key just trusted counts."""
    path = Path(node.ssh.known_hosts)
    try:
        text = path.read_text() if path.exists() else ""
        return pins(text, name_of(node.host, node.ssh.port))
    except (OSError, ValueError) as error:
        raise Denied(f"{node.name}: {path} cannot be read as known_hosts: {error}") from error


def prefer(transport: paramiko.Transport, known: Pins) -> None:
    """Ask for what is pinned first, or a right host would look like a changed one."""
    options = transport.get_security_options()
    certificates = CERTIFICATES if known.authorities else ()
    types = [t for t in options.key_types if t in known.types or (t.startswith("rsa") and "ssh-rsa" in known.types)]
    options.key_types = tuple(dict.fromkeys((*certificates, *types, *options.key_types)))


def check_host_key(node: Node, known: Pins, key: paramiko.PKey) -> HostKey | None:
    """Refused, never learned; the authority that vouches for it, if one does."""
    shown = HostKey(key.get_name(), key.get_base64())
    signed = shown_certificate(key)
    why = unvouched(signed, known, node.host, datetime.now(UTC)) if signed and known.authorities else ""
    if signed and known.authorities and not why:
        return public(signed.signature_key())
    if known.accept(shown):
        return None
    raise refusal(node, known, shown, why)


def refusal(node: Node, known: Pins, shown: HostKey, why: str) -> Denied:
    """With every fingerprint that there is; the one to trust has to be read elsewhere."""
    who = node.name if node.host in node.name else f"{node.name} ({node.host})"
    where = f"{name_of(node.host, node.ssh.port)} in {node.ssh.known_hosts}"
    remedy = (
        f"quorate hosts trust {asked_for(node)} --fingerprint SHA256:…"
        f"  # as its own console says: ssh-keygen -lf /etc/ssh/ssh_host_{short(shown.type)}_key.pub"
    )
    kind: type[Denied] = HostKeyUnknown
    if why:
        said, kind = f"with a certificate that {why}", HostKeyChanged
    elif shown in known.revoked:
        said, kind, remedy = f"which is marked @revoked for {where}", HostKeyChanged, ""
    elif known.keys:
        said, kind = f"but pinned for {where} is {', '.join(map(str, known.keys))}", HostKeyChanged
    elif known.authorities:
        said = (
            f"and no certificate, but pinned for {where} is @cert-authority {', '.join(map(str, known.authorities))}"
        )
    else:
        said = f"but nothing is pinned for {where}"
    return kind(f"{who} shows {shown}, {said}; nothing was sent to it", next=remedy)


def short(kind: str) -> str:
    """As sshd names the files of its keys: ed25519, ecdsa, rsa."""
    return kind.removeprefix("ssh-").partition("-")[0]


@contextmanager
def mapped(node: Node) -> Iterator[None]:
    """Every exception of the library, as one of ours."""
    try:
        yield
    except QuorateError as error:
        if type(error) is Unreachable and node.name not in str(error):
            raise Unreachable(f"{node.name}: {error}") from error
        raise
    except paramiko.BadHostKeyException as error:
        raise HostKeyChanged(f"{node.name}: {error}") from error
    except paramiko.AuthenticationException as error:
        raise Denied(f"{node.name} refuses {node.ssh.user} with {node.ssh.identity}: {error}") from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        said = str(error) or ("the connection broke" if isinstance(error, EOFError) else type(error).__name__)
        behind = f" behind {jump.name}" if (jump := jump_of(node)) else ""
        raise Unreachable(f"{node.name} ({node.host}:{node.ssh.port}){behind} does not answer: {said}") from error


def sudo(node: Node, line: str) -> str:
    return f"sudo -n {line}" if node.ssh.sudo else line


def tail(output: str) -> str:
    return output.strip()[-TAIL_BYTES:]


def silent(_progress: str) -> None:
    """Nobody listens."""


def _with_claim(node: Node, look: Look) -> str:
    claim = shlex.quote(f"{node.lock_dir}/{node.cluster}/claim")
    return f"[ -f {claim} ] && {{ read -r x <{claim}; printf 'claim\\t%s\\n' \"$x\"; }}\n" + script(look)
