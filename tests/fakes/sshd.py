"""An sshd of memory on a real port: it shows host keys, and lets in whoever has one of its keys."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import paramiko


@dataclass
class Sshd:
    """Its host keys may be exchanged while it runs, as by a reinstalled machine."""

    keys: list[paramiko.PKey]
    port: int = 0
    logins: list[str] = field(default_factory=list)
    transports: list[paramiko.Transport] = field(default_factory=list)


class Doorman(paramiko.ServerInterface):
    """Nobody is let in: what is tested here happens before."""

    def __init__(self, sshd: Sshd) -> None:
        self.sshd = sshd

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.sshd.logins.append(username)
        return paramiko.AUTH_FAILED


@contextmanager
def sshd(*keys: paramiko.PKey) -> Iterator[Sshd]:
    server = socket.create_server(("127.0.0.1", 0))
    running = Sshd(list(keys), server.getsockname()[1])
    threading.Thread(target=serve, args=(server, running), daemon=True).start()
    try:
        yield running
    finally:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        for transport in running.transports:
            transport.close()


def serve(server: socket.socket, running: Sshd) -> None:
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            transport = paramiko.Transport(client)
            running.transports.append(transport)
            for key in running.keys:
                transport.add_server_key(key)
            with suppress(paramiko.SSHException, EOFError):
                transport.start_server(event=threading.Event(), server=Doorman(running))
