"""An etcd member over gRPC, with messages of our own (etcd_rpc.proto): no client library is needed."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import Message

from activities.adapters import etcd_rpc_pb2 as rpc
from quorate.converge import Tick
from quorate.errors import (
    AlreadyThere,
    BadInput,
    Corrupt,
    Denied,
    Failed,
    LoginRefused,
    Missing,
    QuorateError,
    Unreachable,
)
from quorate.members.etcd import EtcdSeen, EtcdTarget, HashKV, KeyValue, MemberSeen
from quorate.members.listing import PAGE_KEYS, Key
from quorate.ports import Etcd, Secrets

R = TypeVar("R", bound=Message)

EVERYTHING = b"\0"  # as a range's end: every key from its start on

# Nobody waits without end: a call has a deadline, a stream must bring bytes.
LOOK_S = 3.0
CALL_S = 5.0
SCAN_S = 120.0  # counting, hashing and compacting read all keys
IDLE_S = 30.0
BEAT_S = 1.0

# Through a tunnel to three members on two cores: 3,300 puts a second with 500, 3,900 with 1,000, 4,100 with 2,000
# in flight; one after another it would be a round trip and an fsync each.
IN_FLIGHT = 1_000

OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # 4 MiB otherwise
    ("grpc.enable_http_proxy", 0),  # a member is never behind the proxy of the environment
    ("grpc.enable_retries", 0),  # whoever called decides about trying again
    ("grpc.use_local_subchannel_pool", 1),  # closing the channel closes its connection
    ("grpc.http2.bdp_probe", 0),  # else a fast member fills our memory with what we have not asked for yet
    ("grpc.http2.lookahead_bytes", 1 << 20),
    ("grpc.http2.max_frame_size", 1 << 20),  # a message of a snapshot is 32 KiB, and would come in three frames
    ("grpc.keepalive_time_ms", 15_000),  # etcd says GOAWAY to less than 5 s
    ("grpc.keepalive_timeout_ms", 10_000),
    ("SingleThreadedUnaryStream", 1),  # a third less time for each message of a snapshot
)

KINDS: dict[grpc.StatusCode, type[QuorateError]] = {
    grpc.StatusCode.OK: Unreachable,  # an error that calls itself OK: the stream ended where it should not
    grpc.StatusCode.CANCELLED: Unreachable,
    grpc.StatusCode.UNKNOWN: Unreachable,
    grpc.StatusCode.INVALID_ARGUMENT: Denied,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unreachable,
    grpc.StatusCode.NOT_FOUND: Missing,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyThere,
    grpc.StatusCode.PERMISSION_DENIED: Denied,
    grpc.StatusCode.UNAUTHENTICATED: Denied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Failed,  # NOSPACE, or too many requests
    grpc.StatusCode.FAILED_PRECONDITION: Failed,
    grpc.StatusCode.ABORTED: Unreachable,
    grpc.StatusCode.UNIMPLEMENTED: Denied,
    grpc.StatusCode.OUT_OF_RANGE: Failed,  # compacted, or a revision to come
    grpc.StatusCode.INTERNAL: Unreachable,
    grpc.StatusCode.UNAVAILABLE: Unreachable,
    grpc.StatusCode.DATA_LOSS: Corrupt,
}


# What etcd says to somebody it does not know; the code may be UNKNOWN, as for anything else (3.5).
REFUSED = ("auth:", "user name", "authentication failed", "invalid auth token", "etcdserver: permission denied")
# A member that was restarted has forgotten its tokens.
STALE = ("invalid auth token", "revision of auth store is old")


def translated(error: Exception, what: str) -> QuorateError:
    """Any exception of grpc as one of ours."""
    code = getattr(error, "code", lambda: grpc.StatusCode.UNKNOWN)()
    said = getattr(error, "details", lambda: None)() or str(error) or type(error).__name__
    if any(each in said for each in REFUSED):
        return LoginRefused(f"{what}: {said}")
    if said.startswith("failed to connect to all addresses"):
        said = said.rpartition(": ")[2]  # "Connection refused (111)", after everything that was tried
    return KINDS.get(code, Unreachable)(f"{what}: {said}")


@contextmanager
def mapped(what: str) -> Iterator[None]:
    """A closed channel raises ValueError; everything else of grpc is an RpcError or a future's."""
    try:
        yield
    except (grpc.RpcError, grpc.FutureTimeoutError, grpc.FutureCancelledError, ValueError) as error:
        raise translated(error, what) from error


@dataclass(frozen=True, slots=True)
class GrpcEtcds:
    """Resolves a target's references where the channel is made, and forgets them there."""

    secrets: Secrets
    look_s: float = LOOK_S
    call_s: float = CALL_S

    @contextmanager
    def at(self, target: EtcdTarget) -> Iterator[Etcd]:
        channel = self._channel(target)
        try:
            yield GrpcEtcd(target, channel, self._login(target, channel), look_s=self.look_s, call_s=self.call_s)
        finally:
            channel.close()

    def _login(self, target: EtcdTarget, channel: grpc.Channel) -> "Login | None":
        if not target.user:
            return None
        password = self.secrets.resolve(target.password).decode().rstrip("\n")
        return Login(target, channel, password)

    def _channel(self, target: EtcdTarget) -> grpc.Channel:
        parts = urlsplit(target.url)
        if parts.scheme == "http":
            return grpc.insecure_channel(target.dial or parts.netloc, OPTIONS)
        ca, cert, key = (
            self.secrets.resolve(each) if each else None for each in (target.ca, target.cert, target.key)
        )
        named = [("grpc.ssl_target_name_override", parts.hostname)] if target.dial else []
        credentials = grpc.ssl_channel_credentials(ca, key, cert)
        return grpc.secure_channel(target.dial or parts.netloc, credentials, [*OPTIONS, *named])


@dataclass(slots=True)
class Login:
    """A token for one connection, asked for when the first call needs it."""

    target: EtcdTarget
    channel: grpc.Channel
    password: str = field(repr=False)
    asked: bool = False
    token: str = field(default="", repr=False)  # "" = etcd wants none

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        if not self.asked:
            self.token, self.asked = self._authenticate(), True
        return (("token", self.token),) if self.token else ()

    def forget(self) -> None:
        self.asked = False

    def _authenticate(self) -> str:
        """The password as of the snapshot may be asked for by data from before there was any."""
        what = f"Authenticate as {self.target.user} of {self.target.name} ({self.target.url})"
        request = rpc.AuthenticateRequest(name=self.target.user, password=self.password)
        try:
            with mapped(what):
                return called(self.channel, "Auth/Authenticate", request, rpc.AuthenticateResponse, CALL_S).token
        except Failed as error:
            if "authentication is not enabled" in str(error):
                return ""
            raise


@dataclass(frozen=True, slots=True)
class GrpcEtcd:
    target: EtcdTarget
    channel: grpc.Channel
    login: Login | None = None
    idle_s: float = IDLE_S
    look_s: float = LOOK_S
    call_s: float = CALL_S

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return self.login.metadata if self.login else ()

    def look(self) -> EtcdSeen:
        """Works on a member without quorum too: asked for its alarms etcd would propose that to all members."""
        status = self._call("Maintenance/Status", rpc.StatusRequest(), rpc.StatusResponse, self.look_s)
        listed = self._call("Cluster/MemberList", rpc.MemberListRequest(), rpc.MemberListResponse, self.look_s)
        return EtcdSeen(
            cluster_id=hexadecimal(status.header.cluster_id),
            member_id=hexadecimal(status.header.member_id),
            version=status.version,
            revision=status.header.revision,
            raft_term=status.raftTerm,
            raft_index=status.raftIndex,
            raft_applied=status.raftAppliedIndex,
            leader=hexadecimal(status.leader) if status.leader else "",
            db_bytes=status.dbSize,
            db_in_use_bytes=status.dbSizeInUse,
            learner=status.isLearner,
            quota_bytes=status.dbSizeQuota,
            errors=tuple(status.errors),
            alarms=repeated_alarms(status.errors),
            members=tuple(member(each) for each in listed.members),
        )

    def linearizable_revision(self) -> int:
        request = rpc.RangeRequest(key=EVERYTHING, range_end=EVERYTHING, count_only=True, limit=1)
        return self._call("KV/Range", request, rpc.RangeResponse, self.call_s).header.revision

    def snapshot(self) -> Iterator[bytes]:
        """The member announces how much is left, so a stream that ends early or goes on is noticed."""
        what = f"snapshot of {self.target.name} ({self.target.url})"
        left: int | None = None
        with mapped(what):
            stream = self._open_snapshot()
            with idle_limit(stream, self.idle_s) as limit:
                for message in stream:
                    limit.moved += len(message.blob)
                    left = follow(left, message, what)
                    yield message.blob
        if limit.passed or left != 0:
            raise Unreachable(f"{what}: the stream ended early, {left} bytes of the database had not come")

    def hash_kv(self, revision: int) -> HashKV:
        request = rpc.HashKVRequest(revision=revision)
        answer = self._call("Maintenance/HashKV", request, rpc.HashKVResponse, SCAN_S)
        return HashKV(answer.hash, revision or answer.header.revision, answer.compact_revision)

    def count(self, prefix: str, revision: int = 0) -> int:
        key = prefix.encode()
        request = rpc.RangeRequest(
            key=key or EVERYTHING,
            range_end=behind(key),
            count_only=True,
            revision=revision,
            serializable=bool(revision),
        )
        return self._call("KV/Range", request, rpc.RangeResponse, SCAN_S).count

    def key_pages(self, revision: int = 0, page_keys: int = PAGE_KEYS) -> Iterator[tuple[Key, ...]]:
        start, more = EVERYTHING, True
        while more:
            request = rpc.RangeRequest(
                key=start,
                range_end=EVERYTHING,
                limit=page_keys,
                revision=revision,
                serializable=bool(revision),
                keys_only=True,
            )
            answer = self._call("KV/Range", request, rpc.RangeResponse, self.call_s)
            revision, more = revision or answer.header.revision, answer.more
            yield tuple(
                Key(each.key.decode(errors="backslashreplace"), each.mod_revision, each.lease != 0)
                for each in answer.kvs
            )
            start = answer.kvs[-1].key + b"\0" if more else b""

    def put(self, key: str, value: bytes) -> int:
        request = rpc.PutRequest(key=key.encode(), value=value)
        return self._call("KV/Put", request, rpc.PutResponse, self.call_s).header.revision

    def advance(self, key: str, past: int, tick: Tick) -> int:
        revision = self.put(key, b"")
        while revision <= past:
            tick(f"revision {revision} of {past}")
            revision = self._puts(key, min(IN_FLIGHT, past + 1 - revision), tick)
        return revision

    def _puts(self, key: str, times: int, tick: Tick) -> int:
        """The highest revision of so many puts at once; every one has ended, so none comes late."""
        with mapped(f"Put of {self.target.name} ({self.target.url})"):
            call = self.channel.unary_unary(
                "/etcdserverpb.KV/Put",
                request_serializer=rpc.PutRequest.SerializeToString,
                response_deserializer=rpc.PutResponse.FromString,
            )
            request = rpc.PutRequest(key=key.encode())
            metadata = self.metadata
            futures = [call.future(request, timeout=self.call_s, metadata=metadata) for _ in range(times)]
            if failed := [error for each in futures if (error := ended(each, tick))]:
                raise failed[0]
            revisions: list[int] = [each.result().header.revision for each in futures]
            return max(revisions)

    def get(self, key: str) -> bytes | None:
        there = self.read(key)
        return there.value if there else None

    def read(self, key: str) -> KeyValue | None:
        answer = self._call("KV/Range", rpc.RangeRequest(key=key.encode()), rpc.RangeResponse, self.call_s)
        return next((KeyValue(each.value, each.mod_revision) for each in answer.kvs), None)

    def delete(self, key: str) -> int:
        request = rpc.DeleteRangeRequest(key=key.encode())
        return self._call("KV/DeleteRange", request, rpc.DeleteRangeResponse, self.call_s).header.revision

    def delete_prefix(self, prefix: str) -> int:
        if not prefix:
            raise BadInput("without a prefix every key of the cluster would be deleted")
        key = prefix.encode()
        request = rpc.DeleteRangeRequest(key=key, range_end=behind(key))
        return self._call("KV/DeleteRange", request, rpc.DeleteRangeResponse, self.call_s).deleted

    def disarm(self, of: tuple[str, ...] = ()) -> tuple[str, ...]:
        raised = self._alarm(rpc.AlarmRequest(), self.call_s).alarms
        armed = [each for each in raised if not of or hexadecimal(each.memberID) in of]
        for each in armed:
            request = rpc.AlarmRequest(action=rpc.AlarmRequest.DEACTIVATE, memberID=each.memberID, alarm=each.alarm)
            self._alarm(request, self.call_s)
        return tuple(f"{hexadecimal(each.memberID)} {rpc.AlarmType.Name(each.alarm)}" for each in armed)

    def add_learner(self, peer_urls: tuple[str, ...]) -> str:
        request = rpc.MemberAddRequest(peerURLs=peer_urls, isLearner=True)
        return hexadecimal(self._call("Cluster/MemberAdd", request, rpc.MemberAddResponse, self.call_s).member.ID)

    def remove(self, member_id: str) -> None:
        request = rpc.MemberRemoveRequest(ID=int(member_id, 16))
        self._call("Cluster/MemberRemove", request, rpc.MemberRemoveResponse, self.call_s)

    def promote(self, member_id: str) -> None:
        request = rpc.MemberPromoteRequest(ID=int(member_id, 16))
        self._call("Cluster/MemberPromote", request, rpc.MemberPromoteResponse, self.call_s)

    def compact(self, revision: int) -> None:
        """Until it is on disk; a compaction that was done before is done."""
        request = rpc.CompactionRequest(revision=revision, physical=True)
        try:
            self._call("KV/Compact", request, rpc.CompactionResponse, SCAN_S)
        except Failed as error:
            if "has been compacted" not in str(error):
                raise

    def auth_enabled(self) -> bool:
        if self.login:
            return bool(self.login.metadata)
        try:
            return self._call("Auth/AuthStatus", rpc.AuthStatusRequest(), rpc.AuthStatusResponse, self.call_s).enabled
        except Denied as error:
            if "unknown method" in str(error):  # 3.4
                return False
            raise

    def _alarm(self, request: rpc.AlarmRequest, deadline_s: float) -> rpc.AlarmResponse:
        return self._call("Maintenance/Alarm", request, rpc.AlarmResponse, deadline_s)

    def _call(self, method: str, request: Message, answer: type[R], deadline_s: float) -> R:
        """Logged in again where the token is not known any more."""
        what = f"{method.split('/')[1]} of {self.target.name} ({self.target.url})"
        try:
            with mapped(what):
                return called(self.channel, method, request, answer, deadline_s, self.metadata)
        except Denied as error:
            if not self.login or not any(each in str(error) for each in STALE):
                raise
        self.login.forget()
        with mapped(what):
            return called(self.channel, method, request, answer, deadline_s, self.metadata)

    def _open_snapshot(self) -> Any:
        return self.channel.unary_stream(
            "/etcdserverpb.Maintenance/Snapshot",
            request_serializer=rpc.SnapshotRequest.SerializeToString,
            response_deserializer=rpc.SnapshotResponse.FromString,
        )(rpc.SnapshotRequest(), metadata=self.metadata)


def called(
    channel: grpc.Channel,
    method: str,
    request: Message,
    answer: type[R],
    deadline_s: float,
    metadata: tuple[tuple[str, str], ...] = (),
) -> R:
    """One call and its answer, with whatever grpc raises."""
    call: Callable[..., R] = channel.unary_unary(
        f"/etcdserverpb.{method}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=answer.FromString,
    )
    return call(request, timeout=deadline_s, metadata=metadata)


@dataclass(slots=True)
class Idle:
    """How many bytes have moved, and whether the limit has passed."""

    moved: int = 0
    passed: bool = False
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def idle_limit(stream: Any, idle_s: float) -> Iterator[Idle]:
    """Cancel a stream that brings no *bytes*: etcd goes on sending empty messages after an error of its own."""
    limit = Idle()

    def watch() -> None:
        before = -1
        while limit.moved != before:
            before = limit.moved
            if limit.over.wait(idle_s):
                return
        limit.passed = True
        stream.cancel()

    watcher = threading.Thread(target=watch, name="snapshot-idle", daemon=True)
    watcher.start()
    try:
        yield limit
    except grpc.RpcError as error:
        if limit.passed:
            raise Unreachable(f"no byte of the snapshot came for {idle_s:.0f} s") from error
        raise
    finally:
        limit.over.set()
        stream.cancel()
        watcher.join()


def follow(left: int | None, message: rpc.SnapshotResponse, what: str) -> int:
    """How much of the database is left after this message; None before the first."""
    blob = len(message.blob)
    if left is not None and left != 0 and message.remaining_bytes != left - blob:
        raise Unreachable(f"{what}: {left} bytes were left, then came {blob} and {message.remaining_bytes} are")
    return message.remaining_bytes


def ended(future: Any, tick: Tick) -> Exception | None:
    """Its error, if it has one; heard each second while it is waited for."""
    while True:
        try:
            error: Exception | None = future.exception(BEAT_S)
        except grpc.FutureTimeoutError:
            tick("waiting for puts")
        else:
            return error


def member(row: rpc.Member) -> MemberSeen:
    return MemberSeen(hexadecimal(row.ID), row.name, tuple(row.peerURLs), tuple(row.clientURLs), row.isLearner)


def hexadecimal(number: int) -> str:
    return f"{number:x}"


def behind(prefix: bytes) -> bytes:
    """The first key after every key with the prefix."""
    for at in reversed(range(len(prefix))):
        if prefix[at] < 0xFF:
            return prefix[:at] + bytes((prefix[at] + 1,))
    return EVERYTHING


def repeated_alarms(errors: Any) -> tuple[tuple[str, str], ...]:
    """Status repeats alarms among its errors, as `memberID:123 alarm:NOSPACE `."""
    found = [re.search(r"memberID:(\d+)\s+alarm:(\w+)", each) for each in errors]
    return tuple((hexadecimal(int(each[1])), each[2]) for each in found if each)
