"""The S3 server outside the nodes: it has to survive their death."""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING, Any

import boto3
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

from deploy.lab.binaries import VERSITYGW
from deploy.lab.errors import LabError
from deploy.lab.pki import write_secret
from deploy.lab.process import detach, end, last_line, runs, wait
from deploy.lab.spec import S3

if TYPE_CHECKING:
    from pathlib import Path

REGION = "us-east-1"
START_S = 15


def start(folder: Path, lab: str) -> S3:
    """On a free loopback port, with keys of its own and a bucket that can lock."""
    port = free_port()
    store = S3(f"http://127.0.0.1:{port}", f"quorate-{lab}", secrets.token_hex(10), secrets.token_hex(20))
    for kept in ("data", "versions"):
        (folder / kept).mkdir(parents=True)
    write_secret(folder / "access_key", store.access_key.encode())
    write_secret(folder / "secret_key", store.secret_key.encode())
    argv = [str(VERSITYGW.path("versitygw")), "--port", f"127.0.0.1:{port}", "--region", REGION, "--quiet"]
    keys = {"ROOT_ACCESS_KEY": store.access_key, "ROOT_SECRET_KEY": store.secret_key}
    argv += ["posix", "--versioning-dir", str(folder / "versions"), str(folder / "data")]
    pid = detach(argv, folder / "versitygw.log", env=keys)
    (folder / "pid").write_text(f"{pid}\n")
    if not wait(lambda: makes_bucket(store), START_S):
        raise LabError(f"the S3 server does not answer: {last_line(folder / 'versitygw.log')}")
    return store


def stop(folder: Path) -> None:
    """By the pid that was written down."""
    if (folder / "pid").is_file():
        end(int((folder / "pid").read_text()), "versitygw")


def answers(folder: Path, store: S3) -> bool:
    """Its process is there and so is the bucket."""
    if not (folder / "pid").is_file() or not runs(int((folder / "pid").read_text()), "versitygw"):
        return False
    try:
        client(store).head_bucket(Bucket=store.bucket)
    except (BotoCoreError, ClientError):
        return False
    return True


def makes_bucket(store: S3) -> bool:
    """Whether the server was up enough to make it."""
    try:
        client(store).create_bucket(Bucket=store.bucket, ObjectLockEnabledForBucket=True)
    except (BotoCoreError, ClientError):
        return False
    return True


def client(store: S3) -> Any:
    """boto3, without retries: the caller waits."""
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        region_name=REGION,
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}, connect_timeout=3),
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
