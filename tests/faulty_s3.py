"""Between a client and an S3 server: every request goes through as it is, unless a fault says otherwise."""

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

HOP = {"connection", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one request; nothing in it lets it pass."""

    status: int = 0  # answered in the server's place
    code: str = ""
    reset: bool = False  # the connection ends without an answer
    slow_s: float = 0.0
    spoil: bool = False  # a byte of what is sent is another one when it arrives
    cut: bool = False  # the answer ends before its end
    lose: bool = False  # the server never hears of it, and the client is told that it has


Faults = Callable[["Asked"], Fault | None]


@dataclass(frozen=True, slots=True)
class Asked:
    """`number` counts the requests of one kind, from 1: of one verb, with one parameter or for one name."""

    verb: str
    path: str
    query: str
    number: int = 1

    @property
    def kind(self) -> tuple[str, str]:
        return self.verb, self.query.partition("=")[0].partition("&")[0] or self.path.rpartition("/")[2]

    def is_(self, verb: str, *words: str) -> bool:
        return self.verb == verb and all(word in self.query or word in self.path for word in words)


@dataclass
class Weather:
    """What happens now; it can change while requests are under way."""

    faults: Faults = lambda asked: None
    asked: list[Asked] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def judge(self, verb: str, target: str) -> Fault:
        parts = urlsplit(target)
        with self.lock:
            asked = Asked(verb, parts.path, parts.query)
            asked = replace(asked, number=1 + sum(each.kind == asked.kind for each in self.asked))
            self.asked.append(asked)
        return self.faults(asked) or Fault()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behind: ClassVar[str]
    weather: ClassVar[Weather]

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fault = self.weather.judge(self.command, self.path)
        time.sleep(fault.slow_s)
        if fault.reset:
            self.close_connection = True
            self.connection.close()
            return
        if fault.status:
            text = f"<Error><Code>{fault.code}</Code><Message>weather</Message></Error>".encode()
            self.answer(fault.status, {"content-type": "application/xml"}, text)
            return
        if fault.lose:
            self.answer(200, {"etag": '"00000000000000000000000000000000"'}, b"")
            return
        if fault.spoil and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        status, headers, answer = self.asked_behind(body)
        self.answer(status, headers, answer, cut=fault.cut)

    def asked_behind(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.behind, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP | {"expect"}}
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        found = {name: value for name, value in response.getheaders() if name.lower() not in HOP}
        connection.close()
        return response.status, found, answer

    def answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        length = headers.get("Content-Length") or headers.get("content-length") if self.command == "HEAD" else None
        self.send_header("content-length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """The test tells what went wrong."""


@contextlib.contextmanager
def weather(endpoint: str) -> Iterator[tuple[str, Weather]]:
    """The endpoint that leads to the one behind, and what happens on the way."""
    made = Weather()
    handler = type("Here", (Handler,), {"behind": urlsplit(endpoint).netloc, "weather": made})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", made
        finally:
            server.shutdown()
            thread.join()
