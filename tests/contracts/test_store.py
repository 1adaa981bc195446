"""What every store promises: the one in memory, a directory, and a real S3 server."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore import exceptions as boto
from botocore.awsrequest import AWSRequest

from activities.adapters.directory import KINDS, DirectoryStore, mapped
from activities.adapters.s3 import S3Store, S3Stores, kind_of
from deploy.lab import s3 as lab_s3
from deploy.lab.binaries import VERSITYGW, make
from quorate.errors import AlreadyThere, BadInput, Corrupt, Denied, Missing, QuorateError, Unreachable
from quorate.ports import Store
from quorate.settings.stores import S3
from tests.fakes.store import MemoryStore

PART = 5 << 20  # the least that S3 takes
SIZES = (0, 1, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 12345)


class Keys:
    def __init__(self, access: str, secret: str) -> None:
        self.known = {"env:ACCESS": access.encode(), "env:SECRET": secret.encode()}

    def resolve(self, reference: str) -> bytes:
        return self.known[reference]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab_s3.S3]:
    make(VERSITYGW, print)
    folder = tmp_path_factory.mktemp("s3")
    server = lab_s3.start(folder, "contract")
    yield server
    lab_s3.stop(folder)


def s3_store(server: lab_s3.S3, prefix: str, **differently: object) -> S3Store:
    settings = S3.model_validate(
        {
            "bucket": server.bucket,
            "prefix": prefix,
            "endpoint": server.endpoint,
            "path_style": True,
            "access_key": "env:ACCESS",
            "secret_key": "env:SECRET",
            **differently,
        }
    )
    made = S3Stores(Keys(server.access_key, server.secret_key)).at(settings)
    return S3Store(made.client, settings, PART)


@pytest.fixture
def real_s3(s3_server: lab_s3.S3, tmp_path: Path) -> S3Store:
    return s3_store(s3_server, f"tests/{tmp_path.name}")


@pytest.fixture(params=["memory", "directory", pytest.param("s3", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    match request.param:
        case "memory":
            return MemoryStore()
        case "directory":
            return DirectoryStore(str(tmp_path / "store"))
    real: S3Store = request.getfixturevalue("real_s3")
    return real


def ignore(_: str) -> None:
    return


def content(size_bytes: int) -> bytes:
    return (bytes(range(251)) * (size_bytes // 251 + 1))[:size_bytes]


def chunks(data: bytes, size: int = 100_000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def left_open(store: Store) -> list[str]:
    """Uploads and part files that nobody will ever finish."""
    if isinstance(store, S3Store):
        answer = store.client.list_multipart_uploads(Bucket=store.settings.bucket, Prefix=store.settings.prefix)
        return [row["Key"] for row in answer.get("Uploads", [])]
    if isinstance(store, DirectoryStore):
        return [str(path) for path in store.root.rglob("*") if path.is_file() and path.name.endswith(".part")]
    return []


@pytest.mark.parametrize("size_bytes", SIZES)
def test_what_was_put_is_given_back(store: Store, size_bytes: int) -> None:
    data = content(size_bytes)
    stored = store.put("a/b/object", chunks(data), ignore)
    assert (stored.key, stored.size_bytes) == ("a/b/object", size_bytes)
    assert b"".join(store.get("a/b/object")) == data
    assert store.ls("a/") == (stored,)


@pytest.mark.parametrize("size_bytes", [10, PART + 10])
def test_nothing_is_ever_overwritten(store: Store, size_bytes: int) -> None:
    first = content(size_bytes)
    store.put("a/object", chunks(first), ignore)
    with pytest.raises(AlreadyThere, match="a/object"):
        store.put("a/object", chunks(first[::-1]), ignore)
    assert b"".join(store.get("a/object")) == first
    assert left_open(store) == []


@pytest.mark.parametrize("size_bytes", [10, 2 * PART + 10])
@pytest.mark.parametrize("error", [Corrupt("the trailer is wrong"), KeyboardInterrupt()])
def test_a_put_whose_source_fails_leaves_nothing(store: Store, size_bytes: int, error: BaseException) -> None:
    def failing() -> Iterator[bytes]:
        yield from chunks(content(size_bytes))
        raise error

    with pytest.raises(type(error)):
        store.put("a/object", failing(), ignore)
    assert store.ls("a/") == ()
    assert left_open(store) == []


def test_a_put_that_is_cancelled_leaves_nothing(store: Store) -> None:
    def cancelled(_: str) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        store.put("a/object", chunks(content(3 * PART)), cancelled)
    assert store.ls("a/") == ()
    assert left_open(store) == []


def test_what_is_not_there_is_missing(store: Store) -> None:
    with pytest.raises(Missing, match="nothing/here"):
        list(store.get("nothing/here"))


def test_keys_are_listed_below_a_prefix_and_sorted(store: Store) -> None:
    for key in ("b/2", "b/1", "b2/1", "a"):
        store.put(key, [b"x"], ignore)
    assert [stored.key for stored in store.ls("b/")] == ["b/1", "b/2"]
    assert [stored.key for stored in store.ls("b")] == ["b/1", "b/2", "b2/1"]
    assert store.ls("c/") == ()


def test_a_store_that_can_be_used_says_nothing(store: Store) -> None:
    store.check()


def test_what_a_killed_worker_left_can_be_ended(store: Store) -> None:
    leave_half_done(store, "prod/c1/x/snapshot.db.zst")
    leave_half_done(store, "other/c1/x/snapshot.db.zst")
    store.put("prod/c1/y/manifest.json", [b"{}"], ignore)
    (mine,) = store.unfinished("prod/c1/")
    assert mine.key == "prod/c1/x/snapshot.db.zst"
    store.abandon(mine)
    store.abandon(mine)
    assert store.unfinished("prod/c1/") == ()
    (other,) = store.unfinished("other/c1/")
    store.abandon(other)
    assert [stored.key for stored in store.ls("")] == ["prod/c1/y/manifest.json"]
    assert left_open(store) == []


def test_what_is_unfinished_says_when_it_last_moved(store: Store) -> None:
    before = time.time()
    leave_half_done(store, "prod/c1/x/snapshot.db.zst")
    (found,) = store.unfinished("")
    assert before - 2 <= found.moved <= time.time() + 2
    store.abandon(found)


def leave_half_done(store: Store, key: str) -> None:
    if isinstance(store, MemoryStore):
        store.half_done[key], store.began = b"half", time.time()
    elif isinstance(store, DirectoryStore):
        part = store.root / key
        part.parent.mkdir(parents=True)
        part.with_name(".snapshot.db.zst.0.part").write_bytes(b"half")
    elif isinstance(store, S3Store):
        place = {"Bucket": store.settings.bucket, "Key": f"{store.settings.prefix}/{key}"}
        upload = store.client.create_multipart_upload(**place)
        store.client.upload_part(**place, UploadId=upload["UploadId"], PartNumber=1, Body=b"half")


def test_what_is_removed_is_gone_and_leaves_nothing_behind(store: Store) -> None:
    for key in ("a/b/1", "a/b/12", "a/c"):
        store.put(key, [b"x"], ignore)
    store.remove("a/b/1")
    assert [stored.key for stored in store.ls("")] == ["a/b/12", "a/c"]
    store.remove("a/b/12")
    assert store.hidden("") == ()
    if isinstance(store, DirectoryStore):
        assert not (store.root / "a/b").exists()
    with pytest.raises(Missing, match="a/b/1"):
        store.remove("a/b/1")


def test_a_key_that_was_removed_can_be_put_again(store: Store) -> None:
    store.put("a/object", [b"first"], ignore)
    store.remove("a/object")
    store.put("a/object", [b"second"], ignore)
    assert b"".join(store.get("a/object")) == b"second"


def test_what_somebody_deletes_by_name_is_hidden_and_not_gone(store: Store) -> None:
    if isinstance(store, DirectoryStore):
        return  # there a deleted file is gone
    for key in ("a/1", "a/2", "b/1"):
        store.put(key, [b"x"], ignore)
    hide(store, "a/1")
    assert [stored.key for stored in store.ls("")] == ["a/2", "b/1"]
    assert store.hidden("") == store.hidden("a/") == ("a/1",)
    assert store.hidden("b/") == ()
    store.remove("a/1")
    assert store.hidden("") == ()


def hide(store: Store, key: str) -> None:
    if isinstance(store, MemoryStore):
        store.hide(key)
    elif isinstance(store, S3Store):
        store.client.delete_object(Bucket=store.settings.bucket, Key=f"{store.settings.prefix}/{key}")


def test_what_nothing_holds_is_not_locked(store: Store) -> None:
    store.put("a/object", [b"x"], ignore)
    assert store.locked("a/object") == ""
    with pytest.raises(Missing, match="nothing"):
        store.locked("a/nothing")


@pytest.mark.server
def test_a_bucket_of_somebody_else_is_refused_whatever_is_asked(s3_server: lab_s3.S3) -> None:
    """One whose name was given up belongs to whoever takes it next; the server compares the account."""
    store = s3_store(s3_server, "owned", expected_owner="123456789012")
    mine = s3_store(s3_server, "owned")
    mine.put("a", [b"x"], ignore)
    questions: tuple[Callable[[], object], ...] = (
        lambda: store.put("b", [b"x"], ignore),
        lambda: store.put("c", chunks(content(2 * PART)), ignore),
        lambda: list(store.get("a")),
        lambda: store.ls(""),
        lambda: store.unfinished(""),
        store.check,
        lambda: store.lock("a", datetime.now(UTC) + timedelta(seconds=2), "governance"),
        lambda: store.locked("a"),
        lambda: store.hidden(""),
        lambda: store.remove("a"),
    )
    for ask in questions:
        with pytest.raises(Denied):
            ask()
    assert [stored.key for stored in mine.ls("")] == ["a"]


@pytest.mark.server
def test_a_lock_is_made_longer_and_never_shorter(real_s3: S3Store) -> None:
    real_s3.put("a/object", [b"x"], ignore)
    now = datetime.now(UTC)
    for minutes in (2, 4):
        real_s3.lock("a/object", now + timedelta(minutes=minutes), "compliance")
    with pytest.raises(Denied):
        real_s3.lock("a/object", now + timedelta(minutes=1), "compliance")
    assert real_s3.locked("a/object") == f"under a lock until {now + timedelta(minutes=4):%Y-%m-%d %H:%M}Z"


def test_a_directory_says_that_it_cannot_lock(tmp_path: Path) -> None:
    store = DirectoryStore(str(tmp_path / "store"))
    store.put("a", [b"x"], ignore)
    with pytest.raises(Denied, match="a directory cannot lock"):
        store.lock("a", datetime.now(UTC), "compliance")


@pytest.mark.server
def test_a_legal_hold_is_a_lock(real_s3: S3Store) -> None:
    real_s3.put("a/object", [b"x"], ignore)
    place = {"Bucket": real_s3.settings.bucket, "Key": f"{real_s3.settings.prefix}/a/object"}
    real_s3.client.put_object_legal_hold(**place, LegalHold={"Status": "ON"})
    assert real_s3.locked("a/object") == "under a legal hold"
    real_s3.client.put_object_legal_hold(**place, LegalHold={"Status": "OFF"})
    assert real_s3.locked("a/object") == ""


@pytest.mark.server
def test_a_version_under_a_lock_is_not_removed(real_s3: S3Store) -> None:
    real_s3.put("a/object", [b"x"], ignore)
    until = datetime.now(UTC) + timedelta(minutes=5)
    real_s3.lock("a/object", until, "compliance")
    assert real_s3.locked("a/object") == f"under a lock until {until:%Y-%m-%d %H:%M}Z"
    with pytest.raises(Denied, match="a/object"):
        real_s3.remove("a/object")
    assert [stored.key for stored in real_s3.ls("")] == ["a/object"]


@pytest.mark.server
def test_a_refused_part_leaves_no_upload_open(real_s3: S3Store) -> None:
    def refuse(params: dict[str, dict[str, int]], **_: object) -> None:
        if params["query_string"]["partNumber"] == 2:
            raise boto.EndpointConnectionError(endpoint_url="the store")

    real_s3.client.meta.events.register("before-call.s3.UploadPart", refuse)
    with pytest.raises(Unreachable, match="a/object"):
        real_s3.put("a/object", chunks(content(4 * PART)), ignore)
    assert left_open(real_s3) == []
    assert real_s3.ls("") == ()


@pytest.mark.server
def test_an_abort_that_fails_too_is_told_beside_what_went_wrong_first(real_s3: S3Store) -> None:
    def dead(**_: object) -> None:
        raise boto.ConnectionClosedError(endpoint_url="the store")

    real_s3.client.meta.events.register("before-call.s3.UploadPart", dead)
    real_s3.client.meta.events.register("before-call.s3.AbortMultipartUpload", dead)
    with pytest.raises(Unreachable) as caught:
        real_s3.put("a/object", chunks(content(2 * PART)), ignore)
    assert "could not be aborted" in str(caught.value.__cause__.__notes__)  # type: ignore[union-attr]


@pytest.mark.server
def test_a_part_damaged_on_its_way_is_refused_by_the_server(real_s3: S3Store) -> None:
    def damage(request: AWSRequest, **_: object) -> None:
        del request.headers["x-amz-checksum-crc32"]
        request.headers["x-amz-checksum-crc32"] = "AAAAAA=="

    real_s3.client.meta.events.register("before-sign.s3.UploadPart", damage)
    with pytest.raises(Corrupt):
        real_s3.put("a/object", chunks(content(2 * PART)), ignore)
    assert left_open(real_s3) == []


@pytest.mark.server
def test_a_store_that_cannot_be_used_says_why(s3_server: lab_s3.S3) -> None:
    with pytest.raises(Denied, match="there is no bucket nothing-here"):
        s3_store(s3_server, "x", bucket="nothing-here").check()
    with pytest.raises(Denied, match="nothing-here"):
        s3_store(s3_server, "x", bucket="nothing-here").put("a", [b"x"], ignore)
    wrong = lab_s3.S3(s3_server.endpoint, s3_server.bucket, s3_server.access_key, "wrong" * 8)
    with pytest.raises(Denied):
        s3_store(wrong, "x").check()
    with pytest.raises(Denied):
        s3_store(wrong, "x").put("a", [b"x"], ignore)


def test_a_server_that_is_not_there_is_unreachable() -> None:
    nobody = lab_s3.S3(f"http://127.0.0.1:{lab_s3.free_port()}", "bucket", "a", "b")
    with pytest.raises(Unreachable, match="s3://bucket/x/a"):
        s3_store(nobody, "x").put("a", [b"x"], ignore)


def test_a_directory_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises((Denied, AlreadyThere)):
        DirectoryStore(str(tmp_path / "file" / "below")).check()


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/passwd", ""])
def test_a_key_never_leads_out_of_the_directory(tmp_path: Path, key: str) -> None:
    with pytest.raises(BadInput):
        DirectoryStore(str(tmp_path / "store")).put(key, [b"x"], ignore)


def test_only_the_owner_can_read_what_holds_every_secret(tmp_path: Path) -> None:
    store = DirectoryStore(str(tmp_path / "store"))
    store.put("prod/snapshot", [b"x"], ignore)
    assert (store.root / "prod/snapshot").stat().st_mode & 0o777 == 0o600
    assert (store.root / "prod").stat().st_mode & 0o777 == 0o700


def every(root: type[BaseException]) -> list[type[BaseException]]:
    return [root, *(kind for child in root.__subclasses__() for kind in every(child))]


@pytest.mark.parametrize("kind", [*every(boto.BotoCoreError)], ids=lambda kind: kind.__name__)
def test_every_exception_of_botocore_has_a_kind_of_ours(kind: type[BaseException]) -> None:
    assert issubclass(kind_of(kind.__new__(kind)), QuorateError)


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        (boto.NoCredentialsError, Denied),
        (boto.PartialCredentialsError, Denied),
        (boto.ParamValidationError, Denied),
        (boto.EndpointConnectionError, Unreachable),
        (boto.ConnectTimeoutError, Unreachable),
        (boto.ReadTimeoutError, Unreachable),
        (boto.ConnectionClosedError, Unreachable),
        (boto.IncompleteReadError, Unreachable),
        (boto.ResponseStreamingError, Unreachable),
        (boto.SSLError, Denied),
        (boto.FlexibleChecksumError, Corrupt),
    ],
)
def test_only_what_can_get_better_by_itself_is_worth_another_attempt(
    kind: type[BaseException], ours: type[QuorateError]
) -> None:
    assert kind_of(kind.__new__(kind)) is ours


@pytest.mark.parametrize(
    ("status", "code", "ours"),
    [
        (412, "PreconditionFailed", AlreadyThere),
        (404, "NoSuchKey", Missing),
        (404, "404", Missing),
        (404, "NoSuchBucket", Denied),
        (403, "AccessDenied", Denied),
        (403, "InvalidAccessKeyId", Denied),
        (401, "", Denied),
        (400, "BadDigest", Corrupt),
        (400, "ExpiredToken", Denied),
        (301, "PermanentRedirect", Denied),
        (409, "ConditionalRequestConflict", Unreachable),
        (429, "TooManyRequests", Unreachable),
        (500, "InternalError", Unreachable),
        (503, "SlowDown", Unreachable),
        (0, "", Unreachable),
    ],
)
def test_every_answer_of_a_server_has_a_kind_of_ours(status: int, code: str, ours: type[QuorateError]) -> None:
    answer = {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert kind_of(boto.ClientError(answer, "PutObject")) is ours  # type: ignore[arg-type]


@pytest.mark.parametrize("number", sorted(errno.errorcode), ids=errno.errorcode.get)
def test_every_error_of_a_filesystem_has_a_kind_of_ours(number: int) -> None:
    with pytest.raises(KINDS.get(number, Unreachable), match="put x: "), mapped("put x"):
        raise OSError(number, os.strerror(number))
