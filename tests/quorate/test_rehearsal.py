"""Where authentication is enabled: who logs in to what is staged, where, and why nobody can."""

from dataclasses import replace
from pathlib import Path

import pytest

from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.errors import LoginRefused
from quorate.inventory import Cluster
from quorate.nodes.node import DataDir
from quorate.nodes.scratch import Scratch
from quorate.nodes.seen import NodeSeen
from quorate.restore import REHEARSAL, STEPS, steps_for
from quorate.restoring.gates import closed
from quorate.restoring.rehearsal import rehearsal
from quorate.restoring.source import STAGED, Holdings
from quorate.settings.machines import Auth
from quorate.task import NodeTask
from tests.factory import LIVE, authenticated, inventory, plan
from tests.manifests import manifest
from tests.quorate.test_gates import DOWN, NODE

AUTH = Auth(user="root", password="file:/etc/quorate/root.password")
THEN = manifest().model_copy(update={"auth": True})
PROGRAMLESS = replace(NODE, units={})


def settings(root: Path, *, auth: Auth | None = None) -> Cluster:
    cluster = inventory(root).clusters["demo"]
    return cluster.model_copy(update={"etcd": cluster.etcd.model_copy(update={"auth": auth, "tls": None})})


def said(seen: ClusterSeen, cluster: Cluster) -> str:
    return "; ".join(gate.evidence for gate in closed(cluster, seen, THEN) if gate.id == "auth-unproved")


def test_it_is_tried_on_the_first_node_that_has_a_program_of_etcd(tmp_path: Path) -> None:
    seen = replace(DOWN, nodes={"a": Silence("no route"), "b": PROGRAMLESS, "c": NODE})
    trial = rehearsal(settings(tmp_path, auth=AUTH), seen, manifest())
    assert trial
    assert (trial.member, trial.how) == ("c", STAGED)
    assert trial.scratch
    assert trial.scratch.binary == "/usr/bin/etcd"


def test_without_authentication_then_or_now_nothing_is_tried(tmp_path: Path) -> None:
    assert rehearsal(settings(tmp_path), DOWN, manifest()) is None
    assert rehearsal(settings(tmp_path), DOWN, THEN)
    assert rehearsal(settings(tmp_path, auth=AUTH), DOWN, Holdings("a", "c1")) is None


@pytest.mark.parametrize(
    ("seen", "auth", "reason"),
    [
        (DOWN, AUTH, ""),
        (DOWN, None, "the inventory has no etcd.auth"),
        (replace(DOWN, nodes=dict.fromkeys("abc", PROGRAMLESS)), AUTH, "no node has a program of etcd"),
        (
            replace(DOWN, etcd={**DOWN.etcd, "b": Silence("Status of b: user name is empty", LoginRefused.kind)}),
            AUTH,
            "b refused us, so whether the cluster serves is not known: Status of b: user name is empty",
        ),
    ],
)
def test_why_nobody_can_is_a_gate(seen: ClusterSeen, auth: Auth | None, reason: str, tmp_path: Path) -> None:
    found = said(seen, settings(tmp_path, auth=auth))
    assert reason in found
    assert bool(reason) == bool(found)


def test_room_for_the_copy_is_asked_of_the_node_where_it_is_made(tmp_path: Path) -> None:
    cluster, node = settings(tmp_path, auth=AUTH), replace(NODE, spaces={LIVE: 210 << 20})
    seen = replace(DOWN, nodes=dict.fromkeys("abc", node))
    big = manifest().model_copy(update={"size_bytes": 20 << 20})
    evidence = [gate.evidence for gate in closed(cluster, seen, big) if gate.id == "no-space"]
    assert [each.count(" MiB free at ") for each in evidence] in ([1], [3])
    assert not evidence or "20 MiB more on a" in evidence[0]


def test_it_is_over_before_anything_is_stopped(tmp_path: Path) -> None:
    cluster = settings(tmp_path, auth=AUTH)
    trial = rehearsal(cluster, DOWN, manifest())
    keys = [step.key for step in steps_for(cluster, trial=trial)]
    at = keys.index("compare")
    assert keys[at : at + 5] == ["compare", "rehearse", "log-in", "strike", "list"]


def test_what_runs_is_a_copy_of_what_is_staged_and_never_the_staged_data_itself() -> None:
    whole = authenticated()
    (task,) = whole.tasks(REHEARSAL[0], 4, "ann")
    assert isinstance(task, NodeTask)
    replay = task.replay
    assert replay.scratch.source == f"{task.data.staged}/member"
    assert f"--data-dir={replay.copy}" in replay.scratch.argv(task.operation)
    assert not replay.copy.startswith(task.data.staged)


@pytest.mark.parametrize(
    ("data", "member", "log"),
    [
        (DataDir("/d", "op", "/q"), "/d.quorate-op-g1/member", ""),
        (DataDir("/d/member", "op", "/q", mounted=True), "/d/member.quorate-op-g1", ""),
        (DataDir("/d", "op", "/q", wal_dir="/w"), "/d.quorate-op-g1/member", "/w.quorate-op-g1"),
        (DataDir("/d", "op", "/q", wal_dir="/d/log"), "/d.quorate-op-g1/member", "/d.quorate-op-g1/log"),
    ],
)
def test_the_staged_member_and_its_log_are_found_in_every_layout(data: DataDir, member: str, log: str) -> None:
    assert (data.member, data.log) == (member, log)


def test_an_older_plan_has_the_digest_it_had() -> None:
    chosen = plan().chosen
    assert "rehearsal" not in chosen.covered()
    assert "user" not in chosen.covered()["shares"][0]["target"]
    assert chosen.steps == STEPS


def test_a_member_that_runs_is_no_obstacle_to_a_copy_of_what_is_staged() -> None:
    scratch = Scratch("etcd.service", "/usr/bin/etcd", "a", "etcd", LIVE, member=f"{LIVE}.quorate-op-g1/member")
    (task,) = authenticated().tasks(REHEARSAL[0], 4, "ann")
    assert isinstance(task, NodeTask)
    assert replace(task.replay, scratch=scratch).start(NodeSeen(units=NODE.units), 0)
