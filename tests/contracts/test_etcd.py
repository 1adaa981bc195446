"""What every etcd promises: the one in memory, and real ones of every minor that is supported."""

import contextlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest

from activities.adapters import etcd_rpc_pb2 as rpc
from activities.adapters.etcd import KINDS, GrpcEtcd, GrpcEtcds, behind, mapped, translated
from deploy.lab.process import wait
from quorate.database.snapshot import Examination, Facts, joined
from quorate.database.walk import Walk
from quorate.errors import BadInput, Corrupt, Failed, LoginRefused, Missing, QuorateError, Unreachable
from quorate.members.etcd import EtcdTarget, KeyValue
from quorate.ports import Etcd
from tests.fakes.database import blobs, of_revisions
from tests.fakes.etcd import FakeCluster
from tests.real_etcd import ETCDS, MINORS, Cluster, Files, Member, programs, restored_revision, running

T = TypeVar("T")
RUNBOOK = Path(__file__).parents[2] / "runbooks" / "backup.md"

server = pytest.mark.server
REAL = [pytest.param(minor, marks=server) for minor in (*MINORS, "3.6 tls")]


@pytest.fixture(scope="module", params=["memory", *REAL])
def etcd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    if request.param == "memory":
        with FakeCluster().at(EtcdTarget("a", "memory")) as fake:
            yield fake
        return
    minor, *tls = request.param.split()
    with running(minor, tmp_path_factory.mktemp("etcd"), tls=bool(tls)) as cluster, cluster.first.at() as real:
        yield real


def examined(etcd: Etcd) -> Facts:
    examination = Examination()
    for piece in joined(etcd.snapshot()):
        examination.feed(piece)
    return examination.facts()


def test_a_write_is_read_by_the_next(etcd: Etcd) -> None:
    before = etcd.linearizable_revision()
    assert etcd.put("one", b"1") == before + 1
    assert etcd.get("one") == b"1"
    assert etcd.linearizable_revision() == before + 1


def test_what_a_key_holds_tells_which_write_it_is_from(etcd: Etcd) -> None:
    assert etcd.read("three") is None
    first = etcd.put("three", b"3")
    etcd.put("other", b"x")
    assert etcd.read("three") == KeyValue(b"3", first)
    second = etcd.put("three", b"4")
    assert etcd.read("three") == KeyValue(b"4", second)
    for key in ("three", "other"):
        etcd.delete(key)
    assert etcd.read("three") is None


def test_what_is_deleted_by_its_prefix_is_gone_and_nothing_beside_it(etcd: Etcd) -> None:
    for key in ("mistake/1", "mistake/2", "mistaken"):
        etcd.put(key, b"x")
    assert etcd.delete_prefix("mistake/") == 2
    assert etcd.delete_prefix("mistake/") == 0
    assert (etcd.get("mistake/1"), etcd.get("mistaken")) == (None, b"x")
    with pytest.raises(BadInput, match="every key"):
        etcd.delete_prefix("")
    etcd.delete("mistaken")


def test_what_is_deleted_is_gone(etcd: Etcd) -> None:
    revision = etcd.put("two", b"2")
    assert etcd.delete("two") == revision + 1
    assert etcd.get("two") is None
    assert etcd.delete("two") == revision + 1


def test_a_key_is_put_until_the_revision_is_past_a_mark(etcd: Etcd) -> None:
    before, heard = etcd.linearizable_revision(), list[str]()
    assert etcd.advance("mark", before + 2_500, heard.append) == before + 2_501
    assert etcd.linearizable_revision() == before + 2_501
    assert heard
    assert etcd.advance("mark", before, heard.append) == before + 2_502
    assert etcd.get("mark") == b""


def test_keys_are_counted_by_prefix_and_at_a_revision(etcd: Etcd) -> None:
    before = etcd.count("")
    revision = [etcd.put(key, b"x") for key in ("/registry/a", "/registry/b", "/registryc")][1]
    assert etcd.count("/registry/") == 2
    assert etcd.count("") == before + 3
    assert etcd.count("", revision) == before + 2


def test_every_key_is_listed_with_its_last_write_as_of_one_revision(etcd: Etcd) -> None:
    first, *_ = [etcd.put(f"listed/{number:03}", b"x") for number in range(250)]
    etcd.put("listed/001", b"again")
    last = etcd.delete("listed/002")
    now, then = (
        {key.name: key.revision for page in etcd.key_pages(at) for key in page if key.name.startswith("listed/")}
        for at in (0, last - 2)
    )
    assert (len(now), len(then)) == (249, 250)
    assert (now["listed/000"], now["listed/001"], then["listed/001"]) == (first, last - 1, first + 1)
    assert list(now) == sorted(now)


@server
@pytest.mark.parametrize("minor", MINORS)
def test_a_key_that_a_lease_will_take_away_is_told(minor: str, tmp_path: Path) -> None:
    with running(minor, tmp_path) as cluster, cluster.first.at() as etcd:
        etcd.put("for ever", b"x")
        lease = etcdctl(cluster, "lease", "grant", "600").split()[1]
        etcdctl(cluster, "put", "for a while", "x", "--lease", lease)
        pages = tuple(etcd.key_pages(etcd.linearizable_revision(), 1))
        assert [[(key.name, key.leased) for key in page] for page in pages] == [
            [("for a while", True)],
            [("for ever", False)],
        ]


def etcdctl(cluster: Cluster, *argv: str) -> str:
    command = [str(programs(cluster.minor) / "etcdctl"), "--endpoints", cluster.first.target.url, *argv]
    return subprocess.run(command, check=True, capture_output=True, text=True, env={"ETCDCTL_API": "3"}).stdout


def test_without_a_user_nobody_has_to_log_in(etcd: Etcd) -> None:
    assert not etcd.auth_enabled()


def test_it_says_who_it_is_and_who_leads(etcd: Etcd) -> None:
    seen = etcd.look()
    assert seen.cluster_id
    assert seen.leads
    assert not seen.learner
    assert seen.revision == etcd.linearizable_revision()
    assert seen.alarms == ()
    assert seen.member_id in {member.id for member in seen.members}
    assert all(member.peer_urls and member.client_urls for member in seen.members)


def test_a_snapshot_is_sound_and_at_the_revision_of_the_last_write(etcd: Etcd) -> None:
    assert examined(etcd).revision == etcd.linearizable_revision()
    etcd.put("three", b"3")
    last = etcd.delete("three")
    assert examined(etcd).revision == last


def test_a_hash_is_of_one_revision(etcd: Etcd) -> None:
    revision = etcd.put("four", b"4")
    hashed = etcd.hash_kv(revision)
    etcd.put("four", b"44")
    assert etcd.hash_kv(revision) == hashed
    assert hashed.revision == revision
    assert etcd.hash_kv(revision + 1).hash != hashed.hash


def test_compacting_twice_is_compacting(etcd: Etcd) -> None:
    etcd.put("five", b"5")
    revision = etcd.put("five", b"55")
    etcd.compact(revision)
    etcd.compact(revision)
    with pytest.raises(Failed, match="compacted"):
        etcd.count("", revision - 1)
    with pytest.raises(Failed, match="future"):
        etcd.compact(revision + 100)
    assert examined(etcd).revision == revision


def test_a_compacted_deletion_leaves_the_revision_as_it_was(etcd: Etcd) -> None:
    etcd.put("six", b"6")
    revision = etcd.delete("six")
    etcd.compact(revision)
    assert examined(etcd).revision == revision


def test_without_alarms_there_is_nothing_to_disarm(etcd: Etcd) -> None:
    assert etcd.disarm() == ()


@server
@pytest.mark.parametrize("minor", MINORS)
def test_the_revision_of_a_snapshot_taken_under_load_is_what_its_restore_serves(minor: str, tmp_path: Path) -> None:
    """Pages are freed and used again while the stream goes on, with later revisions in them."""
    with running(minor, tmp_path) as cluster, cluster.first.at() as etcd:
        over = threading.Event()

        def write() -> None:
            number = 0
            while not over.is_set():
                number += 1
                etcd.put(f"key-{number % 300}", b"v" * (number % 7000))
                if number % 50 == 0:
                    etcd.delete(f"key-{number % 300}")

        with ThreadPoolExecutor(2) as pool:
            writers = [pool.submit(write) for _ in range(2)]
            time.sleep(2)
            whole, examination = b"", Examination()
            before = etcd.linearizable_revision()
            for piece in joined(slowly(etcd.snapshot())):
                examination.feed(piece)
                whole += piece
            after = etcd.linearizable_revision()
            over.set()
            for writer in writers:
                writer.result()
    revision = examination.facts().revision
    assert before <= revision < after
    (tmp_path / "snapshot.db").write_bytes(whole)
    walk = Walk(examination.uses)
    for piece in joined([whole]):
        walk.feed(piece)
    assert walk.end().content.digest == read_at_once(tmp_path / "snapshot.db")
    assert restored_revision(minor, tmp_path / "snapshot.db", tmp_path) == revision


def read_at_once(db: Path) -> str:
    """The content digest as runbooks/backup.md has it computed by hand."""
    (script,) = re.findall(r"cat > content.py <<'EOF'\n(.*?)^EOF$", RUNBOOK.read_text(), re.DOTALL | re.MULTILINE)
    told = subprocess.run([sys.executable, "-c", script, str(db)], capture_output=True, check=True, text=True)
    return told.stdout.split()[0]


def slowly(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        time.sleep(0.002)
        yield chunk


@server
def test_a_member_without_quorum_is_looked_at_and_snapshotted_but_not_written(tmp_path: Path) -> None:
    with running("3.6", tmp_path, ("a", "b", "c")) as cluster, cluster.first.at() as etcd:
        revision = etcd.put("key", b"value")
        for member in cluster.members[1:]:
            member.kill()
        time.sleep(2)
        began = time.monotonic()
        seen = etcd.look()
        assert time.monotonic() - began < 3
        assert seen.leader == ""
        assert any("no leader" in error for error in seen.errors)
        assert {member.name for member in seen.members} == {"a", "b", "c"}
        assert examined(etcd).revision == revision
        with pytest.raises(Unreachable):
            etcd.put("key", b"other")
        with pytest.raises(Unreachable):
            etcd.linearizable_revision()


@dataclass
class Trio:
    """Three members, seen through a; c dies, and a new one comes up at its URLs on an empty directory."""

    first: Etcd
    dies: Callable[[], None]
    joins: Callable[[], None]


@pytest.fixture(params=["memory", *(pytest.param(minor, marks=server) for minor in MINORS)])
def trio(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trio]:
    if request.param == "memory":
        fake = FakeCluster(lag=1)
        with fake.at(EtcdTarget("a", "memory")) as first:
            yield Trio(first, lambda: fake.silent.add("c"), lambda: fake.silent.discard("c"))
        return
    with running(request.param, tmp_path, ("a", "b", "c")) as cluster, cluster.first.at() as first:
        yield Trio(first, cluster.members[2].kill, lambda: again(cluster.members[2], tmp_path / "empty"))


def again(member: Member, data: Path) -> None:
    """As the cluster that there is, not as a new one."""
    member.argv[member.argv.index("--data-dir") + 1] = str(data)
    member.argv += ["--initial-cluster-state", "existing"]
    member.start()


def insisted(ask: Callable[[], T]) -> T:
    """Asked again while etcd refuses: it wants to have been whole for some seconds, and a learner to catch up."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return ask()
        except (Failed, Unreachable):
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_a_member_goes_and_another_comes_as_a_learner_that_gets_its_vote_when_it_has_caught_up(trio: Trio) -> None:
    etcd = trio.first
    etcd.put("before", b"it came")
    mine = {row.name: row for row in etcd.look().members}
    trio.dies()
    insisted(lambda: etcd.remove(mine["c"].id))
    with pytest.raises(Missing):
        etcd.remove(mine["c"].id)
    assert {row.name for row in etcd.look().members} == {"a", "b"}
    new = insisted(lambda: etcd.add_learner(mine["c"].peer_urls))
    assert new != mine["c"].id
    for urls in (mine["c"].peer_urls, ("http://127.0.0.1:1",)):  # the URLs are taken; there is room for one learner
        with pytest.raises(Failed):
            etcd.add_learner(urls)
    with pytest.raises(Failed, match="in sync with leader"):
        etcd.promote(new)
    trio.joins()
    insisted(lambda: etcd.promote(new))
    assert [(row.id, row.learner) for row in etcd.look().members if row.id == new] == [(new, False)]
    with pytest.raises(Failed, match="can only promote a learner"):
        etcd.promote(new)


def test_only_the_alarms_of_who_is_meant_are_disarmed() -> None:
    """A real one raises none that it could be asked to leave alone."""
    fake = FakeCluster(alarms=(("a", "NOSPACE"), ("0", "CORRUPT")))
    with fake.at(EtcdTarget("a", "memory")) as etcd:
        assert etcd.disarm(("c", "0")) == ("0 CORRUPT",)
        assert etcd.look().alarms == (("a", "NOSPACE"),)


@server
def test_an_alarm_is_seen_and_disarmed(tmp_path: Path) -> None:
    cluster_dir = tmp_path
    with running("3.6", cluster_dir) as cluster:
        cluster.kill()
        cluster.first.argv += ["--quota-backend-bytes", str(2 << 20)]
        cluster.start()
        with cluster.first.at() as etcd:
            with pytest.raises(Failed, match="database space exceeded"):
                fill(etcd)
            seen = etcd.look()
            assert seen.alarms == ((seen.member_id, "NOSPACE"),)
            assert etcd.disarm(("1",)) == ()  # of somebody else
            assert etcd.disarm() == (f"{seen.member_id} NOSPACE",)
            assert etcd.look().alarms == ()


@server
@pytest.mark.parametrize("minor", MINORS)
def test_where_authentication_is_enabled_everything_goes_with_the_password_and_nothing_without(
    minor: str, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "other").write_text("wrong")
    with running(minor, tmp_path / "etcd", ("a", "b", "c")) as cluster:
        plain = cluster.first.target
        login = replace(plain, user="root", password=f"file:{tmp_path}/password")
        with ETCDS.at(login) as etcd:
            assert etcd.look().leader
            assert not etcd.auth_enabled()
        enable_auth(cluster, "secret")
        with ETCDS.at(login) as etcd:
            assert etcd.auth_enabled()
            first = etcd.put("key", b"value")
            assert (etcd.get("key"), etcd.count(""), etcd.look().revision) == (b"value", 1, first)
            assert etcd.advance("key", first + 100, list[str]().append) == first + 101
            assert etcd.hash_kv(0).hash
            assert examined(etcd).revision == first + 101
            etcd.compact(first)
            assert etcd.disarm() == ()
            cluster.first.kill()
            cluster.first.start()
            assert wait(lambda: serves(login), 20)
            assert etcd.put("key", b"after a restart, which forgets every token") > first
        for wrong in (plain, replace(login, password=f"file:{tmp_path}/other"), replace(login, user="nobody")):
            with ETCDS.at(wrong) as etcd:
                for call in (etcd.linearizable_revision, lambda: etcd.put("key", b""), lambda: list(etcd.snapshot())):
                    with pytest.raises(LoginRefused, match="of a"):
                        call()


def enable_auth(cluster: Cluster, password: str) -> None:
    for argv in (("user", "add", f"root:{password}"), ("auth", "enable")):
        etcdctl = str(programs(cluster.minor) / "etcdctl")
        command = [etcdctl, "--endpoints", cluster.first.target.url, *argv]
        subprocess.run(command, check=True, capture_output=True, env={"ETCDCTL_API": "3"})


def serves(target: EtcdTarget) -> bool:
    try:
        with ETCDS.at(target) as etcd:
            return etcd.linearizable_revision() > 0
    except QuorateError:
        return False


@server
@pytest.mark.parametrize("minor", ["3.5", "3.6"])
def test_without_a_user_a_member_tells_whether_authentication_is_enabled(minor: str, tmp_path: Path) -> None:
    with running(minor, tmp_path) as cluster, cluster.first.at() as etcd:
        assert not etcd.auth_enabled()
        enable_auth(cluster, "secret")
        with pytest.raises(LoginRefused):
            etcd.auth_enabled()


def fill(etcd: Etcd) -> None:
    for number in range(100):
        etcd.put(f"key-{number}", b"x" * (100 << 10))


@server
def test_a_client_that_the_member_does_not_trust_is_told_so(tmp_path: Path) -> None:
    with running("3.6", tmp_path, tls=True) as cluster:
        target = cluster.first.target
        with ETCDS.at(EtcdTarget("a", target.url, target.ca)) as etcd, pytest.raises(Unreachable):
            etcd.look()


def test_a_member_that_is_not_there_is_unreachable() -> None:
    with ETCDS.at(EtcdTarget("a", "http://127.0.0.1:1")) as etcd:
        for call in (
            etcd.look,
            etcd.linearizable_revision,
            lambda: list(etcd.snapshot()),
            etcd.disarm,
            lambda: etcd.advance("key", 9, list[str]().append),
        ):
            with pytest.raises(Unreachable, match=r"of a \(http://127.0.0.1:1\)"):
                call()


def test_a_closed_channel_is_unreachable_too() -> None:
    with ETCDS.at(EtcdTarget("a", "http://127.0.0.1:1")) as etcd:
        pass
    with pytest.raises(Unreachable):
        etcd.look()


Stream = Callable[[], Iterator[rpc.SnapshotResponse]]


@contextlib.contextmanager
def lying_member(stream: Stream, idle_s: float = 5) -> Iterator[GrpcEtcd]:
    """A gRPC server that sends just what it is told to."""

    def send(_: Any, __: grpc.ServicerContext) -> Iterator[rpc.SnapshotResponse]:
        yield from stream()

    handler = grpc.unary_stream_rpc_method_handler(
        send, rpc.SnapshotRequest.FromString, rpc.SnapshotResponse.SerializeToString
    )
    handlers = grpc.method_handlers_generic_handler("etcdserverpb.Maintenance", {"Snapshot": handler})
    listening = grpc.server(ThreadPoolExecutor(2))
    listening.add_generic_rpc_handlers((handlers,))
    port = listening.add_insecure_port("127.0.0.1:0")
    listening.start()
    try:
        with GrpcEtcds(Files()).at(EtcdTarget("a", f"http://127.0.0.1:{port}")) as etcd:
            yield GrpcEtcd(etcd.target, etcd.channel, idle_s=idle_s)  # type: ignore[attr-defined]
    finally:
        listening.stop(0).wait()


def messages(whole: bytes) -> list[rpc.SnapshotResponse]:
    left = len(whole) - 32
    made = []
    for blob in blobs(whole, 4096):
        left = max(0, left - len(blob))
        made.append(rpc.SnapshotResponse(remaining_bytes=left, blob=blob))
    return made


WHOLE = of_revisions(2, 500)


def test_what_the_member_sends_is_what_comes_out() -> None:
    with lying_member(lambda: iter(messages(WHOLE))) as etcd:
        assert b"".join(etcd.snapshot()) == WHOLE


@pytest.mark.parametrize("kept", [0, 1, 5])
def test_a_stream_that_ends_early_is_noticed(kept: int) -> None:
    with lying_member(lambda: iter(messages(WHOLE)[:kept])) as etcd, pytest.raises(Unreachable, match="ended early"):
        list(etcd.snapshot())


def test_a_stream_that_loses_a_message_is_noticed() -> None:
    sent = messages(WHOLE)
    with lying_member(lambda: iter(sent[:2] + sent[3:])) as etcd, pytest.raises(Unreachable, match="bytes were left"):
        list(etcd.snapshot())


def test_a_stream_that_breaks_is_unreachable() -> None:
    def breaking() -> Iterator[rpc.SnapshotResponse]:
        yield from messages(WHOLE)[:3]
        raise RuntimeError

    with lying_member(breaking) as etcd, pytest.raises(Unreachable, match="snapshot of a"):
        list(etcd.snapshot())


def test_a_stream_of_empty_messages_is_idle() -> None:
    over = threading.Event()

    def empty() -> Iterator[rpc.SnapshotResponse]:
        yield messages(WHOLE)[0]
        while not over.wait(0.01):
            yield rpc.SnapshotResponse(remaining_bytes=messages(WHOLE)[0].remaining_bytes)

    with lying_member(empty, idle_s=0.3) as etcd, pytest.raises(Unreachable, match="no byte"), ending(over):
        list(etcd.snapshot())


def test_a_silent_stream_is_idle() -> None:
    over = threading.Event()

    def silent() -> Iterator[rpc.SnapshotResponse]:
        yield messages(WHOLE)[0]
        over.wait(10)

    with lying_member(silent, idle_s=0.3) as etcd, pytest.raises(Unreachable, match="no byte"), ending(over):
        list(etcd.snapshot())


@contextlib.contextmanager
def ending(over: threading.Event) -> Iterator[None]:
    try:
        yield
    finally:
        over.set()


class Said(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, details: str = "said") -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


@pytest.mark.parametrize("code", grpc.StatusCode, ids=lambda code: code.name)
def test_every_status_has_a_kind_of_ours(code: grpc.StatusCode) -> None:
    assert set(KINDS) == set(grpc.StatusCode)
    error = translated(Said(code), "Put of a")
    assert type(error) is KINDS[code]
    assert str(error) == "Put of a: said"


@pytest.mark.parametrize(
    "said",
    [
        "etcdserver: auth: user name is empty",
        "auth: permission denied",
        "etcdserver: user name is empty",
        "etcdserver: authentication failed, invalid user ID or password",
        "etcdserver: permission denied",
        "etcdserver: invalid auth token",
    ],
)
def test_a_refusal_is_known_by_its_words_where_its_code_says_nothing(said: str) -> None:
    assert type(translated(Said(grpc.StatusCode.UNKNOWN, said), "x")) is LoginRefused


@pytest.mark.parametrize(
    "error",
    [Said(grpc.StatusCode.DATA_LOSS), grpc.RpcError(), grpc.FutureTimeoutError(), grpc.FutureCancelledError()],
)
def test_no_exception_of_grpc_comes_through(error: Exception) -> None:
    with pytest.raises(QuorateError), mapped("x"):
        raise error


def test_data_loss_is_corrupt() -> None:
    assert type(translated(Said(grpc.StatusCode.DATA_LOSS), "x")) is Corrupt


@pytest.mark.parametrize(
    ("prefix", "end"),
    [(b"", b"\0"), (b"a", b"b"), (b"/registry/", b"/registry0"), (b"a\xff", b"b"), (b"\xff", b"\0")],
)
def test_a_prefix_ends_before_the_next_one(prefix: bytes, end: bytes) -> None:
    assert behind(prefix) == end
