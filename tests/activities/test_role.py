"""A store under a role: the keys of the inventory take it on, and what the store is asked bears the role's own."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from pydantic import ValidationError

from activities.adapters.s3 import S3Stores
from quorate.errors import Denied
from quorate.settings.stores import S3
from tests.contracts.test_store import Keys

pytestmark = pytest.mark.slow

ROLE = "arn:aws:iam::123456789012:role/quorate-backup"
ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>the-token</SessionToken>
<Expiration>{until}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


class Handler(BaseHTTPRequestHandler):
    """Signs nothing and proves nothing: it writes down who asked for what."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, str, str, str]]]
    lasts: ClassVar[timedelta] = timedelta(hours=1)
    refuses: ClassVar[bool] = False

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        key = self.headers["authorization"].partition("Credential=")[2].partition("/")[0]
        self.asked.append((self.command, key, self.headers.get("x-amz-security-token", ""), body))
        text = ""
        if "AssumeRole" in body:
            number = sum("AssumeRole" in each[3] for each in self.asked)
            until = datetime.now(UTC) + self.lasts
            text = ASSUMED.format(key=f"ROLE{number}", until=f"{until:%Y-%m-%dT%H:%M:%SZ}")
        self.send_response_only(403 if self.refuses else 200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_HEAD = do_POST = answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        """The test tells what went wrong."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[Handler]]]:
    handler = type("Here", (Handler,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{made.server_address[1]}", handler
        made.shutdown()
        thread.join()


def settings(endpoint: str, **fields: str) -> S3:
    keys = {"access_key": "env:ACCESS", "secret_key": "env:SECRET"}
    return S3.model_validate({"bucket": "offsite", "endpoint": endpoint, "path_style": True, **keys, **fields})


def test_the_store_is_asked_with_the_keys_of_the_role(server: tuple[str, type[Handler]]) -> None:
    endpoint, handler = server
    store = S3Stores(Keys("MINE", "secret")).at(settings(endpoint, role=ROLE))
    store.check()
    store.check()
    (first, *rest) = handler.asked
    assert (first[0], first[1], first[2]) == ("POST", "MINE", "")
    assert "123456789012%3Arole%2Fquorate-backup" in first[3]
    assert [each[:3] for each in rest] == [("HEAD", "ROLE1", "the-token")] * 2


def test_it_is_taken_on_again_before_it_ends(server: tuple[str, type[Handler]]) -> None:
    endpoint, handler = server
    handler.lasts = timedelta(seconds=60)
    store = S3Stores(Keys("MINE", "secret")).at(settings(endpoint, role=ROLE))
    store.check()
    store.check()
    used = [each[1] for each in handler.asked if each[0] == "HEAD"]
    assert (len(used), used[0] != used[1]) == (2, True)


def test_a_role_that_is_refused_is_denied(server: tuple[str, type[Handler]]) -> None:
    endpoint, handler = server
    handler.refuses = True
    with pytest.raises(Denied, match="AssumeRole"):
        S3Stores(Keys("MINE", "secret")).at(settings(endpoint, role=ROLE)).check()


def test_without_a_role_nobody_is_asked_for_one(server: tuple[str, type[Handler]]) -> None:
    endpoint, handler = server
    S3Stores(Keys("MINE", "secret")).at(settings(endpoint)).check()
    assert [each[:2] for each in handler.asked] == [("HEAD", "MINE")]


def test_what_is_no_role_is_refused() -> None:
    with pytest.raises(ValidationError):
        settings("http://127.0.0.1:1", role="quorate-backup")
