"""Calls to addresses that are secrets (urllib3): no error and no log line holds one."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import urllib3

from quorate.errors import Denied, QuorateError, Unreachable

TIMEOUT = urllib3.Timeout(connect=5.0, read=10.0)
JSON = {"Content-Type": "application/json"}
LATER = {408, 425, 429}  # it would take it at another time


def pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(retries=False, timeout=TIMEOUT)


@dataclass(frozen=True, slots=True)
class HttpWebhooks:
    """The port Webhooks."""

    pool: urllib3.PoolManager = field(default_factory=pool)

    def call(self, what: str, url: str, body: bytes = b"") -> None:
        """The library's own words are left out: they quote the address."""
        try:
            if urlsplit(url).scheme not in {"http", "https"}:
                raise Denied(f"{what}: what the reference holds is no http(s) URL")
            method, headers = ("POST", JSON) if body else ("GET", {})
            answer = self.pool.request(method, url, body=body or None, headers=headers, redirect=False)
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise Unreachable(f"{what}: {type(error).__name__}") from None
        if answer.status >= 300:
            raise kind(answer.status)(f"{what}: it answered {answer.status}")


def kind(status: int) -> type[QuorateError]:
    return Denied if status < 500 and status not in LATER else Unreachable
