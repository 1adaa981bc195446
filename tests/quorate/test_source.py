"""What is restored: which member, how its data is had, and what taking it leaves behind."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.chosen import Step
from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.converge import Await
from quorate.database.wal import Reach
from quorate.errors import BadInput, CommandFailed, Refusal
from quorate.inventory import Cluster
from quorate.nodes.scratch import Replay, client_tls
from quorate.nodes.seen import DirectorySeen, NodeSeen, PathSeen, UnitSeen
from quorate.restore import STEPS, TAKING, ordered
from quorate.restoring.gates import closed
from quorate.restoring.source import BARE, REPLAY, STREAM, FromMember, held_by, losses, not_the_newest
from tests.factory import LIVE, SCRATCH, etcd_seen, from_member, inventory, plan

DB = PathSeen("regular file", "etcd:etcd", "600", "1", 4096)
UNIT = UnitSeen("etcd.service", "loaded", "inactive", user="etcd", argv=("/usr/local/bin/etcd", "--cert-file=/c"))
HERE = Reach("c1", "a1", term=5, index=950, commit=948)


def node(**changes: object) -> NodeSeen:
    base = NodeSeen(
        paths={f"{LIVE}/member/snap/db": DB},
        units={"etcd.service": UNIT},
        tools={"/usr/local/bin/etcdutl": "3.6.14"},
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def seen(**changes: object) -> ClusterSeen:
    silent = Silence("connection refused")
    base = ClusterSeen(
        nodes={"a": node(), "b": node(), "c": silent},
        etcd=dict.fromkeys("abc", silent),
        disks={"a": HERE, "b": HERE},
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.fixture
def settings(tmp_path: Path) -> Cluster:
    return inventory(tmp_path).clusters["demo"]


def test_a_member_that_answers_streams(settings: Cluster) -> None:
    source, holdings = held_by("a", "demo", settings, seen(etcd={"a": etcd_seen(leader="", revision=77)}))
    assert (source, holdings.revision, holdings.version) == (FromMember("a", STREAM), 77, "3.6.14")


def test_one_that_does_not_run_is_replayed_with_its_own_program_and_certificates(settings: Cluster) -> None:
    source, holdings = held_by("a", "demo", settings, seen())
    assert source.how == REPLAY
    assert source.scratch
    assert (source.scratch.binary, source.scratch.user, source.scratch.tls) == (
        "/usr/local/bin/etcd",
        "etcd",
        ("--cert-file=/c",),
    )
    assert (holdings.cluster_id, holdings.revision, holdings.version) == ("c1", 0, "3.6.14")


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("x", {}, "demo has no member x; members: a, b, c"),
        ("c", {}, "the node of c cannot be looked at: connection refused"),
        ("a", {"nodes": {"a": node(units={"etcd.service": replace(UNIT, state="active", pid=7)})}}, "stop it first"),
        ("a", {"nodes": {"a": node(paths={})}}, f"no database in {LIVE}"),
        ("a", {"nodes": {"a": node(units={"etcd.service": replace(UNIT, argv=())})}}, "not a program on the node"),
    ],
)
def test_what_cannot_be_taken_is_named(name: str, changes: dict[str, object], said: str, settings: Cluster) -> None:
    with pytest.raises(BadInput) as caught:
        held_by(name, "demo", settings, seen(**changes))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("disks", "why"),
    [
        ({}, "not there"),
        ({"a": Reach()}, "it is not a log of etcd"),
        ({"a": Silence("no such file")}, "no such file"),
    ],
)
def test_without_its_log_only_the_database_is_left_and_a_gate_says_so(
    disks: dict[str, object], why: str, settings: Cluster
) -> None:
    there = seen(disks=disks)
    source, holdings = held_by("a", "demo", settings, there)
    gates = {gate.id: gate for gate in closed(settings, there, holdings)}
    assert (source.how, holdings.cluster_id, "lineage" in gates) == (BARE, "", False)
    assert f"log of a cannot be read ({why})" in gates["wal-not-replayed"].evidence
    assert gates["wal-not-replayed"].overridable
    assert any("what only the log of a had" in loss for loss in losses(source, holdings, there))
    sound = held_by("a", "demo", settings, seen())[1]
    assert "wal-not-replayed" not in {gate.id for gate in closed(settings, seen(), sound)}


def test_a_log_that_ends_before_another_is_not_taken_unasked() -> None:
    ahead = seen(disks={"a": HERE, "b": replace(HERE, term=6, index=3)})
    assert not_the_newest("a", ahead) == (
        "b has entries up to index 3 of term 6, a has entries up to index 950 of term 5"
    )
    assert not_the_newest("b", ahead) == not_the_newest("a", seen()) == ""


def test_the_losses_name_what_may_have_been_acknowledged_and_who_was_not_asked(settings: Cluster) -> None:
    source, holdings = held_by("a", "demo", settings, seen())
    told = " ".join(losses(source, holdings, seen()))
    assert "2 entries, 949 to 950, of its log: a had not heard" in told
    assert "what only c may hold" in told
    one = " ".join(losses(source, holdings, seen(disks={"a": replace(HERE, commit=949)})))
    assert "entry 950 of its log: a had not heard" in one


def keys(steps: tuple[Step, ...]) -> list[str]:
    return [step.key for step in steps]


def test_the_data_is_taken_when_no_apiserver_writes_any_more_and_before_anything_is_staged() -> None:
    order = keys(from_member().chosen.steps)
    assert order[:7] == ["claim", "bar", "fence-api", "replay", "take", "forget", "stage"]
    assert keys(from_member(STREAM).chosen.steps)[:5] == ["claim", "bar", "fence-api", "take", "stage"]
    assert sorted(order) == sorted(keys((*STEPS, *TAKING)))
    assert ordered(STEPS, None) == STEPS


def test_only_the_member_itself_is_asked_to_replay() -> None:
    whole = from_member()
    assert [task.share.member for task in whole.tasks(TAKING[0], 1, "ann")] == ["a"]  # type: ignore[union-attr]
    assert plan().chosen.digest() != whole.chosen.digest()


SCENE = Replay(SCRATCH, "op")
COPY, PART = SCENE.copy, SCENE.part
STOPPED = {"etcd.service": UNIT}


def scratch(state: str) -> dict[str, UnitSeen]:
    return {**STOPPED, SCENE.unit: UnitSeen(SCENE.unit, "loaded", state, pid=int(state == "active"))}


def here(units: dict[str, UnitSeen], *paths: str, ports: tuple[int, ...] = ()) -> NodeSeen:
    return NodeSeen(paths=dict.fromkeys(paths, DB), units=units, listening=frozenset(ports))


def test_it_copies_then_runs_then_waits_for_it_to_listen() -> None:
    first = SCENE.start(here(STOPPED, LIVE), 0)
    assert isinstance(first, tuple)
    assert [act.argv[0] for act in first] == ["rm", "sh", "mkdir", "chown", "cp", "mv"]
    (run,) = SCENE.start(here(STOPPED, LIVE, COPY), 0)  # type: ignore[misc]
    assert run.argv[0] == "systemd-run"
    assert "--force-new-cluster" in run.argv
    assert isinstance(SCENE.start(here(scratch("activating"), LIVE, COPY), 0), Await)
    assert SCENE.start(here(scratch("active"), LIVE, COPY, ports=(12379,)), 0) == ()


def test_a_database_without_a_log_is_restored_for_it_by_the_tool_and_run_likewise() -> None:
    bare = Replay(SCRATCH, "op", "/t/etcdutl")
    acts = bare.start(here(STOPPED, LIVE), 0)
    assert isinstance(acts, tuple)
    assert [act.argv[0] for act in acts] == ["rm", "sh", "/t/etcdutl", "chown", "mv"]
    assert acts[2].argv[3:5] == (f"{LIVE}/member/snap/db", "--skip-hash-check")
    assert bare.start(here(STOPPED, LIVE, COPY), 0) == SCENE.start(here(STOPPED, LIVE, COPY), 0)


def test_a_log_outside_the_data_directory_is_copied_to_where_the_copy_looks() -> None:
    apart = Replay(replace(SCRATCH, wal_dir="/wal"), "op")
    acts = apart.start(here(STOPPED, LIVE), 0)
    assert ("cp", "-aL", "--reflink=auto", "/wal", f"{PART}/member/wal") in [act.argv for act in acts]  # type: ignore[union-attr]


def test_a_log_behind_a_link_is_copied_and_not_shared_with_the_original(tmp_path: Path) -> None:
    """By a real shell: `cp -a` alone would copy the link, and etcd would then write into the member's own log."""
    fast, live = tmp_path / "fast", tmp_path / "etcd"
    (live / "member" / "snap").mkdir(parents=True)
    fast.mkdir()
    (fast / "0.wal").write_text("the log")
    (live / "member" / "wal").symlink_to(fast)
    acts = Replay(replace(SCRATCH, data_dir=str(live)), "op").start(here(STOPPED, str(live)), 0)
    assert not isinstance(acts, Await)
    for act in acts:
        subprocess.run(act.argv, check=True, timeout=20)
    copied = tmp_path / "etcd.quorate-op-copy" / "member" / "wal"
    assert (copied.is_symlink(), (copied / "0.wal").read_text()) == (False, "the log")


@pytest.mark.parametrize(
    ("where", "copy"),
    [
        (None, f"{LIVE}.quorate-op-copy"),
        (DirectorySeen(LIVE), f"{LIVE}.quorate-op-copy"),
        (DirectorySeen("/disk/etcd"), "/disk/etcd.quorate-op-copy"),
        (DirectorySeen(LIVE, mounted=True), f"{LIVE}/member.quorate-op-copy"),
    ],
)
def test_the_copy_is_made_on_the_filesystem_of_the_data(
    where: DirectorySeen | None, copy: str, settings: Cluster
) -> None:
    on_node = node(directories={LIVE: where} if where else {})
    source, _ = held_by("a", "demo", settings, seen(nodes={"a": on_node}))
    assert source.scratch
    assert source.scratch.copy("op") == copy


def test_data_that_somebody_writes_is_never_copied() -> None:
    with pytest.raises(Refusal, match="runs: what it holds is streamed"):
        SCENE.start(here({"etcd.service": replace(UNIT, state="active", pid=7)}, LIVE), 0)


def test_an_etcd_that_cannot_replay_fails_the_step() -> None:
    with pytest.raises(CommandFailed, match="does not run on a copy"):
        SCENE.start(here(scratch("failed"), LIVE, COPY), 0)


@pytest.mark.parametrize(
    ("units", "paths", "verbs"),
    [
        (STOPPED, (), []),
        (STOPPED, (PART,), ["rm"]),
        (scratch("active"), (COPY,), ["systemctl", "rm"]),
        (scratch("failed"), (COPY, PART), ["systemctl", "rm"]),
    ],
)
def test_whatever_is_left_of_it_is_removed(
    units: dict[str, UnitSeen], paths: tuple[str, ...], verbs: list[str]
) -> None:
    acts = SCENE.forget(here(units, LIVE, *paths), 0)
    assert [act.argv[0] for act in acts] == verbs  # type: ignore[union-attr]
    assert all(LIVE not in act.argv for act in acts)  # type: ignore[union-attr]


def test_the_certificate_is_found_wherever_etcd_was_told_of_it() -> None:
    assert client_tls({"client-transport-security.cert-file": "/c", "name": "a"}) == ("--cert-file=/c",)
    assert client_tls({"trusted-ca-file": "/ca"}) == ()
