"""S3 by boto3: create-only puts, parts with checksums, and nothing left behind by a put that failed."""

import base64
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
import urllib3.exceptions
from botocore import exceptions as boto
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.loaders import JSONFileLoader, Loader

from quorate.converge import Tick
from quorate.errors import AlreadyThere, Corrupt, Denied, Missing, QuorateError, Unreachable
from quorate.ports import Secrets, Stored
from quorate.settings.fields import LockMode
from quorate.settings.stores import S3
from quorate.unfinished import Unfinished

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.literals import ObjectLockRetentionModeType
    from mypy_boto3_s3.type_defs import MultipartUploadTypeDef, ObjectLockRetentionUnionTypeDef

PART_BYTES = 5 << 20  # the least that S3 takes; 10,000 of them are 50 GB, six times etcd's advised ceiling
UPLOADERS = 2
TICK_S = 1.0
READ_BYTES = 1 << 20
READERS = 16  # of manifests
KEPT_S = 300.0

SETTINGS = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "max_attempts": 4},
    max_pool_connections=READERS + UPLOADERS + 2,
    # The checksums are our own headers: what boto3 sends by default since 1.36 breaks other stores (boto3#4392).
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)

UNSIGNED = Config(s3={"payload_signing_enabled": False})

CODES: dict[str, type[QuorateError]] = {
    "PreconditionFailed": AlreadyThere,
    "NoSuchKey": Missing,
    "NoSuchBucket": Denied,
    "BadDigest": Corrupt,
    "InvalidDigest": Corrupt,
    "XAmzContentSHA256Mismatch": Corrupt,
    "ConditionalRequestConflict": Unreachable,  # somebody else is writing the key this moment
    "RequestTimeout": Unreachable,
    "RequestTimeTooSkewed": Denied,
    "SlowDown": Unreachable,
    "NoSuchUpload": Unreachable,  # aborted under our hands: the whole put may be tried again
}
SKEWED = frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"})
SKEW_S_MAX = 900.0  # that a signature may be older or newer
STATUSES: dict[int, type[QuorateError]] = {404: Missing, 408: Unreachable, 412: AlreadyThere, 429: Unreachable}
TRANSIENT = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, boto.MetadataRetrievalError)


LOCKS: "dict[LockMode, ObjectLockRetentionModeType]" = {"compliance": "COMPLIANCE", "governance": "GOVERNANCE"}
NO_LOCK = frozenset(  # in the words of AWS, of Ceph and of versitygw
    {"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest", "NotImplemented"}
)


def code_of(error: BaseException) -> str:
    """Of the answer that an error of ours was made of."""
    cause = error.__cause__
    return str(cause.response.get("Error", {}).get("Code", "")) if isinstance(cause, boto.ClientError) else ""


def kind_of(error: BaseException) -> type[QuorateError]:
    """Ours for any exception of botocore: what cannot get better by itself is Denied."""
    if isinstance(error, boto.ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(error.response.get("Error", {}).get("Code", ""))
        return CODES.get(code) or STATUSES.get(status) or (Unreachable if status >= 500 or not status else Denied)
    if isinstance(error, boto.FlexibleChecksumError | boto.ChecksumError):
        return Corrupt
    if isinstance(error, (*TRANSIENT, urllib3.exceptions.HTTPError)) and not isinstance(error, boto.SSLError):
        return Unreachable
    return Denied


@contextmanager
def mapped(what: str) -> Iterator[None]:
    try:
        yield
    except (boto.BotoCoreError, boto.ClientError, urllib3.exceptions.HTTPError) as error:
        if why := skewed(error):
            raise Denied(f"{what}: {why}", next="timedatectl  # set this machine's clock right") from error
        raise kind_of(error)(f"{what}: {error}") from error


def skewed(error: BaseException) -> str:
    """That a clock is wrong, and by how much: the store dates its refusal, and to a HEAD it gives no other reason."""
    if not isinstance(error, boto.ClientError):
        return ""
    answer = error.response.get("ResponseMetadata", {})
    named = error.response.get("Error", {}).get("Code") in SKEWED
    try:
        said = parsedate_to_datetime(answer.get("HTTPHeaders", {}).get("date", ""))
        off_s = (datetime.now(UTC) - said).total_seconds()
    except (TypeError, ValueError):
        return f"this machine's clock and the store's differ too much ({error})" if named else ""
    if not named and (answer.get("HTTPStatusCode") != 403 or abs(off_s) < SKEW_S_MAX):
        return ""
    way = "ahead of" if off_s > 0 else "behind"
    return f"this machine's clock is {abs(off_s):.0f} s {way} the store's, which takes no such request ({error})"


class Models(JSONFileLoader):
    """What botocore knows of S3 is parsed once, not for each client: 36 ms and 0.4 MiB instead of 85 ms and more."""

    def __init__(self) -> None:
        self.parsed = lru_cache(super().load_file)

    def load_file(self, file_path: str) -> Any:
        return self.parsed(file_path)


@dataclass(frozen=True, slots=True)
class S3Stores:
    """One client a store for a while, shared by threads; keys that have changed meanwhile are found at once.

    What boto3 finds by itself it looks for only when a client is made, so no client is kept for long.
    """

    secrets: Secrets
    models: Models = field(default_factory=Models)
    made: dict[str, "Made"] = field(default_factory=dict)

    def at(self, settings: S3) -> "S3Store":
        """Two threads that come at once may make two of them, of which one is kept."""
        keys = (secret(self.secrets, settings.access_key), secret(self.secrets, settings.secret_key))
        name, now = settings.model_dump_json(), time.monotonic()
        found = self.made.get(name)
        if not found or found.keys != keys or now - found.at > KEPT_S:
            found = self.made[name] = Made(self._client(settings, keys), keys, now)
        return S3Store(found.client, settings)

    def _client(self, settings: S3, keys: tuple[str | None, str | None]) -> "S3Client":
        """Without keys of its own in the inventory: what boto3 finds (environment, profile, machine)."""
        style = Config(s3={"addressing_style": "path" if settings.path_style else "auto"})
        core = self._session()
        with mapped(f"s3://{settings.bucket}"):
            if settings.role:
                core.register_component(
                    "credential_provider", assuming(self._session(), settings.role, settings, keys)
                )
                keys = (None, None)
            client: S3Client = boto3.session.Session(botocore_session=core).client(
                "s3",
                endpoint_url=settings.endpoint,
                region_name=settings.region,
                aws_access_key_id=keys[0],
                aws_secret_access_key=keys[1],
                config=SETTINGS.merge(style),
                verify=settings.ca,
            )
        client.meta.events.register("before-sign.s3.UploadPart", unsigned)
        return client

    def _session(self) -> botocore.session.Session:
        core = botocore.session.Session()
        core.register_component("data_loader", Loader(file_loader=self.models))
        return core


def unsigned(request: Any, **_: Any) -> None:
    """A part is sent under its CRC32, which is signed, and not hashed once more on either side for the signature.

    Who could change it on its way could as well answer in the store's place; what tells is the reading back, and
    the sha256 in a manifest that is signed.
    """
    request.context["client_config"] = UNSIGNED


@dataclass(frozen=True, slots=True)
class Made:
    """A client, and the keys of the inventory that it was made with."""

    client: "S3Client"
    keys: tuple[str | None, str | None] = field(repr=False)
    at: float


class Assumed(CredentialProvider):
    """Of a role, taken on when they are needed and again before they end."""

    METHOD = "assume-role"

    def __init__(self, fetcher: AssumeRoleCredentialFetcher) -> None:
        super().__init__()
        self._fetcher = fetcher

    def load(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(self._fetcher.fetch_credentials, self.METHOD)


def assuming(
    base: botocore.session.Session, role: str, settings: S3, keys: tuple[str | None, str | None]
) -> CredentialResolver:
    """By the keys of the inventory, else by what boto3 finds."""
    if keys[0] and keys[1]:
        base.set_credentials(keys[0], keys[1])
    if (source := base.get_credentials()) is None:
        raise Denied(f"s3://{settings.bucket}: there are no keys that could take on {role}")

    def client(service: str, **given: Any) -> Any:
        own = {"endpoint_url": settings.endpoint, "verify": settings.ca, "region_name": settings.region}
        return base.create_client(service, **{**own, **given})

    fetcher = AssumeRoleCredentialFetcher(client, source, role, extra_args={"RoleSessionName": "quorate"}, cache={})
    return CredentialResolver([Assumed(fetcher)])


@dataclass(frozen=True, slots=True)
class S3Store:
    client: "S3Client"
    settings: S3
    part_bytes: int = PART_BYTES

    def put(self, key: str, chunks: Iterable[bytes], tick: Tick) -> Stored:
        cutter, first = Cutter(iter(chunks)), bytearray(self.part_bytes)
        size_bytes = cutter.fill(first)
        if size_bytes == self.part_bytes:
            return self._put_parts(key, first, cutter, tick)
        whole = bytes(first[:size_bytes])
        with mapped(f"put {self._url(key)}"):
            self.client.put_object(**self._object(key), Body=whole, IfNoneMatch="*", ChecksumCRC32=crc32(whole))
        return Stored(key, size_bytes)

    def get(self, key: str) -> Iterator[bytes]:
        what = f"get {self._url(key)}"
        with mapped(what):
            answer = self.client.get_object(**self._object(key))
        return self._body(answer["Body"], answer["ContentLength"], what)

    def ls(self, prefix: str) -> tuple[Stored, ...]:
        found: list[Stored] = []
        with mapped(f"ls {self._url(prefix)}"):
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(**self._bucket(), Prefix=self._key(prefix)):
                rows = page.get("Contents", [])
                found += [Stored(self._relative(row["Key"]), row["Size"], row.get("ETag", "")) for row in rows]
        return tuple(sorted(found, key=lambda stored: stored.key))

    def unfinished(self, prefix: str) -> tuple[Unfinished, ...]:
        """A worker that was killed could not abort its upload."""
        with mapped(f"uploads below {self._url(prefix)}"):
            pages = self.client.get_paginator("list_multipart_uploads")
            found = pages.paginate(**self._bucket(), Prefix=self._key(prefix))
            rows = [row for page in found for row in page.get("Uploads", [])]
            return tuple(Unfinished(self._relative(row["Key"]), row["UploadId"], self._moved(row)) for row in rows)

    def abandon(self, each: Unfinished) -> None:
        with mapped(f"abandon {self._url(each.key)}"):
            self._abort(self._key(each.key), each.id)

    def _moved(self, upload: "MultipartUploadTypeDef") -> float:
        """When its latest part came; one that is being ended this moment has none any more."""
        at = [upload["Initiated"]]
        try:
            pages = self.client.get_paginator("list_parts")
            for page in pages.paginate(**self._bucket(), Key=upload["Key"], UploadId=upload["UploadId"]):
                at += [part["LastModified"] for part in page.get("Parts", [])]
        except self.client.exceptions.NoSuchUpload:
            pass
        return max(at).timestamp()

    def remove(self, key: str) -> None:
        """A delete by name would only hide it; by version id a lock refuses it."""
        what = f"remove {self._url(key)}"
        with mapped(what):
            found = [each for each in self._versions(key) if each["Key"] == self._key(key)]
            for version in found:
                self.client.delete_object(**self._object(key), VersionId=version["VersionId"])
        if not found:
            raise Missing(f"{what}: there is none")

    def lock(self, key: str, until: datetime, mode: LockMode) -> None:
        retention: ObjectLockRetentionUnionTypeDef = {"Mode": LOCKS[mode], "RetainUntilDate": until}
        with mapped(f"lock {self._url(key)} until {until:%Y-%m-%d}"):
            self.client.put_object_retention(**self._object(key), Retention=retention)

    def locked(self, key: str) -> str:
        """Retention and legal hold are two things, and either is enough."""
        with mapped(f"lock of {self._url(key)}"):
            self.client.head_object(**self._object(key))
        until = self._lock(self.client.get_object_retention, key, "Retention").get("RetainUntilDate")
        if until and until > datetime.now(UTC):
            return f"under a lock until {until:%Y-%m-%d %H:%M}Z"
        held = self._lock(self.client.get_object_legal_hold, key, "LegalHold").get("Status") == "ON"
        return "under a legal hold" if held else ""

    def _lock(self, ask: Any, key: str, what: str) -> dict[str, Any]:
        """Nothing where neither the object nor its bucket knows of locks."""
        try:
            with mapped(f"lock of {self._url(key)}"):
                answer: dict[str, Any] = ask(**self._object(key))[what]
        except (Denied, Missing) as error:
            if code_of(error) in NO_LOCK:
                return {}
            raise
        return answer

    def hidden(self, prefix: str) -> tuple[str, ...]:
        with mapped(f"ls {self._url(prefix)}"):
            return tuple(
                sorted(
                    self._relative(each["Key"])
                    for each in self._versions(prefix)
                    if each["IsLatest"] and "Size" not in each
                )
            )

    def check(self) -> None:
        try:
            with mapped(f"bucket {self.settings.bucket}"):
                self.client.head_bucket(**self._bucket())
        except Missing as error:
            raise Denied(f"there is no bucket {self.settings.bucket}") from error

    def _versions(self, prefix: str) -> Iterator[Any]:
        """Of every key below, each with its markers; only a version has a size."""
        pages = self.client.get_paginator("list_object_versions")
        for page in pages.paginate(**self._bucket(), Prefix=self._key(prefix)):
            yield from page.get("Versions", [])
            yield from page.get("DeleteMarkers", [])

    def _put_parts(self, key: str, first: bytearray, cutter: "Cutter", tick: Tick) -> Stored:
        with mapped(f"put {self._url(key)}"):
            begun = self.client.create_multipart_upload(**self._object(key), ChecksumAlgorithm="CRC32")
            upload = Upload(self.client, {**self._object(key), "UploadId": begun["UploadId"]})
            try:
                upload.send(first, cutter, tick)
                upload.complete()
            except BaseException as error:
                self._abort_after(error, begun["Key"], begun["UploadId"])
                raise
        return Stored(key, upload.sent_bytes)

    def _abort_after(self, error: BaseException, key: str, upload_id: str) -> None:
        """What went wrong first is what is told."""
        try:
            self._abort(key, upload_id)
        except (boto.BotoCoreError, boto.ClientError) as second:
            error.add_note(f"and its multipart upload {upload_id} could not be aborted: {second}")

    def _abort(self, key: str, upload_id: str) -> None:
        try:
            self.client.abort_multipart_upload(**self._bucket(), Key=key, UploadId=upload_id)
        except self.client.exceptions.NoSuchUpload:
            return

    def _body(self, body: Any, size_bytes: int, what: str) -> Iterator[bytes]:
        got = 0
        with mapped(what), body:
            for chunk in body.iter_chunks(READ_BYTES):
                got += len(chunk)
                yield chunk
        if got != size_bytes:
            raise Unreachable(f"{what}: the answer ended after {got} of {size_bytes} bytes")

    def _object(self, key: str) -> dict[str, Any]:
        return {**self._bucket(), "Key": self._key(key)}

    def _bucket(self) -> dict[str, Any]:
        """A bucket of that name that somebody else has made meanwhile is refused by the store itself."""
        owner = self.settings.expected_owner
        return {"Bucket": self.settings.bucket, **({"ExpectedBucketOwner": owner} if owner else {})}

    def _key(self, key: str) -> str:
        return f"{self.settings.prefix.strip('/')}/{key}"

    def _relative(self, key: str) -> str:
        return key.removeprefix(self._key(""))

    def _url(self, key: str) -> str:
        return f"s3://{self.settings.bucket}/{self._key(key)}"


@dataclass(slots=True)
class Cutter:
    """Cuts chunks into parts of one size but for the last: some stores insist."""

    chunks: Iterator[bytes]
    rest: memoryview = field(default_factory=lambda: memoryview(b""))

    def fill(self, part: bytearray) -> int:
        """How much there was; less than the part holds only at the end."""
        length = 0
        while length < len(part):
            if not self.rest:
                chunk = next(self.chunks, None)
                if chunk is None:
                    break
                self.rest = memoryview(chunk)
            taken = self.rest[: len(part) - length]
            part[length : length + len(taken)] = taken
            self.rest = self.rest[len(taken) :]
            length += len(taken)
        return length


@dataclass(slots=True)
class Upload:
    """Two parts under way and one being filled, in three buffers that are used again: memory never grows.

    A bytearray, unlike bytes, is sent by botocore in one piece and without waiting for `100 Continue`.
    """

    client: "S3Client"
    target: dict[str, Any]
    sent_bytes: int = 0
    done: list[dict[str, Any]] = field(default_factory=list)
    under_way: deque[tuple[Future[dict[str, Any]], bytearray]] = field(default_factory=deque)

    def send(self, first: bytearray, cutter: Cutter, tick: Tick) -> None:
        """Waits for every part that is under way before raising: one that lands after an abort would stay."""
        free = [bytearray(len(first)) for _ in range(UPLOADERS)]
        part, length = first, len(first)
        pool = ThreadPoolExecutor(UPLOADERS, "upload")
        try:
            for number in count(1):
                whole = part if length == len(part) else part[:length]
                self.under_way.append((pool.submit(self._part, number, whole), part))
                self.sent_bytes += length
                part = free.pop() if free else self._settled(tick)
                if not (length := cutter.fill(part)):
                    break
            while self.under_way:
                self._settled(tick)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def complete(self) -> None:
        self.client.complete_multipart_upload(**self.target, MultipartUpload={"Parts": self.done}, IfNoneMatch="*")  # type: ignore[typeddict-item]

    def _part(self, number: int, part: bytearray) -> dict[str, Any]:
        checksum = crc32(part)
        answer = self.client.upload_part(**self.target, PartNumber=number, Body=part, ChecksumCRC32=checksum)  # type: ignore[arg-type]
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": checksum}

    def _settled(self, tick: Tick) -> bytearray:
        """The buffer of the oldest part, when the store has it."""
        future, part = self.under_way[0]
        while not wait([future], TICK_S).done:
            tick(f"{self.sent_bytes >> 20} MiB stored")
        tick(f"{self.sent_bytes >> 20} MiB stored")
        self.done.append(future.result())
        self.under_way.popleft()
        return part


def crc32(part: bytes | bytearray) -> str:
    return base64.b64encode(zlib.crc32(part).to_bytes(4, "big")).decode()


def secret(secrets: Secrets, reference: str | None) -> str | None:
    return secrets.resolve(reference).decode().strip() if reference else None
