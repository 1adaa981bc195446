"""JSON over mutual TLS: etcd's gateway and the API server both speak it."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom to trust and who we are, as paths of PEM files."""

    ca: str
    cert: str
    key: str

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.cert, self.key)
        return context


class NoAnswerError(Exception):
    """No answer, or not the one asked for."""


class Caller:
    """One kept-alive connection; not for two threads at once."""

    def __init__(self, url: str, identity: Identity, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url
        self.connection = HTTPSConnection(urlsplit(url).netloc, context=identity.context(), timeout=timeout_s)

    def call(self, method: str, path: str, body: object = None, fine: tuple[int, ...] = (200, 201)) -> Any:
        """The JSON that came back, or the bare text where it is not JSON."""
        sent = None if body is None else json.dumps(body)
        try:
            self.connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException) as error:
            self.connection.close()
            raise NoAnswerError(f"{method} {self.url}{path}: {error}") from error
        if answer.status not in fine:
            raise NoAnswerError(f"{method} {self.url}{path}: {answer.status} {text[:300].decode(errors='replace')}")
        return json.loads(text) if text[:1] in (b"{", b"[") else text.decode()
