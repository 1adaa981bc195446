"""The way back after clients were let in: what an earlier restore has kept, restored as a member's own data is."""

from dataclasses import replace
from pathlib import Path

import pytest

from quorate.clusters.cluster import ClusterSeen, Lineage, Silence
from quorate.database.wal import Reach
from quorate.errors import BadInput
from quorate.inventory import Cluster
from quorate.nodes.scratch import Replay
from quorate.nodes.seen import DirectorySeen, NodeSeen, UnitSeen
from quorate.plan import Plan
from quorate.restoring.former import Former, former, formerly_held, losses
from quorate.restoring.gates import closed
from tests.factory import LIVE, after_abort, etcd_seen, inventory, plan

OP = "restore-01M7ZK75000000000000000000"
KEPT = f"{LIVE}.before-{OP}"
UNIT = UnitSeen("etcd.service", "loaded", "active", pid=9, user="etcd", argv=("/usr/local/bin/etcd",))
NODE = NodeSeen(units={"etcd.service": UNIT}, kept={KEPT: 4096, f"{LIVE}.before-restore-other": 1})
SHORT, FAR = Reach("c0", "a1", term=5, index=10, commit=10), Reach("c0", "b1", term=5, index=12, commit=12)


@pytest.fixture
def settings(tmp_path: Path) -> Cluster:
    return inventory(tmp_path).clusters["demo"]


def seen(**changes: object) -> ClusterSeen:
    base = ClusterSeen(
        nodes={"a": NODE, "b": NODE, "c": replace(NODE, kept={})},
        etcd=dict.fromkeys("abc", etcd_seen(revision=1500)),
        disks={"a": SHORT, "b": FAR},
        lineages=(Lineage(OP, "c0", "c1", 1100),),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def held(settings: Cluster, there: ClusterSeen, name: str = "") -> tuple[str, str]:
    source, holdings = formerly_held(OP, name, "demo", settings, there)
    return source.member, holdings.cluster_id


def test_the_member_whose_kept_log_goes_furthest_is_taken_unless_one_is_named(settings: Cluster) -> None:
    assert held(settings, seen()) == ("b", "c0")
    assert held(settings, seen(), "a") == ("a", "c0")


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("c", {}, f"c has kept nothing of {OP}; it is kept on a, b"),
        ("", {"nodes": dict.fromkeys("abc", replace(NODE, kept={})), "disks": {}}, f"no node has data of {OP}"),
        ("", {"disks": {"a": Silence("no such file"), "b": Reach()}}, "no log that was kept can be read"),
        ("a", {"disks": {"b": FAR}}, "no log that was kept can be read"),
    ],
)
def test_what_was_not_kept_cannot_be_restored(
    name: str, changes: dict[str, object], said: str, settings: Cluster
) -> None:
    with pytest.raises(BadInput) as caught:
        formerly_held(OP, name, "demo", settings, seen(**changes))
    assert said in str(caught.value)
    assert caught.value.next == "quorate tidy demo"


def test_it_is_of_this_cluster_even_where_no_record_says_so(settings: Cluster) -> None:
    """An operation that was aborted has left none."""
    there = seen(lineages=())
    _, holdings = formerly_held(OP, "b", "demo", settings, there)
    assert "lineage" not in {gate.id for gate in closed(settings, there, holdings)}
    assert "lineage" in {gate.id for gate in closed(settings, there, replace(holdings, operation=""))}


def test_a_copy_is_replayed_beside_the_etcd_that_runs(settings: Cluster) -> None:
    source, _ = formerly_held(OP, "b", "demo", settings, seen())
    assert source.scratch
    acts = Replay(source.scratch, "op").start(NODE, 0)
    copied = [act.argv[-2:] for act in acts if act.argv[0] == "cp"]  # type: ignore[union-attr]
    assert copied == [(f"{KEPT}/member", f"{LIVE}.quorate-op-copy.part/member")]


@pytest.mark.parametrize(
    ("wal_dir", "node", "found"),
    [
        ("", NODE, Former(f"{KEPT}/member", f"{KEPT}/member/wal", 4096)),
        (f"{LIVE}/log", NODE, Former(f"{KEPT}/member", f"{KEPT}/log", 4096)),
        ("/wal", NODE, Former(f"{KEPT}/member", f"/wal.before-{OP}", 4096)),
        (
            "/wal",
            NodeSeen(
                directories={LIVE: DirectorySeen("/disk", mounted=True), "/wal": DirectorySeen("/fast/wal")},
                kept={f"/disk/member.before-{OP}": 7},
            ),
            Former(f"/disk/member.before-{OP}", f"/fast/wal.before-{OP}", 7),
        ),
    ],
)
def test_it_is_found_in_every_layout(wal_dir: str, node: NodeSeen, found: Former, settings: Cluster) -> None:
    whole = settings.model_copy(update={"etcd": settings.etcd.model_copy(update={"wal_dir": wal_dir or None})})
    assert former(whole, node, OP) == found
    assert found.apart == ("" if found.wal == f"{found.member}/wal" else found.wal)


def test_the_losses_are_what_was_written_since(settings: Cluster) -> None:
    source, _ = formerly_held(OP, "b", "demo", settings, seen())
    (told,) = losses(source, seen())
    assert told == (
        f"every write since {OP} let clients in, at least 400 revisions: it began at 1100, 1500 is served now"
    )
    (unknown,) = losses(source, seen(lineages=()))
    assert unknown == f"every write since {OP} let clients in"


def test_a_hold_that_is_too_late_for_a_rollback_names_it() -> None:
    whole: Plan = plan(OP)
    step = next(each for each in whole.chosen.steps if each.key == "start-api")
    assert f"`quorate plan restore demo --from-kept {OP} --override-gate claimed " in whole.no_rollback(step)


def test_nodes_of_an_aborted_operation_are_taken_over_first_and_never_given_back() -> None:
    whole = after_abort()
    keys = [step.key for step in whole.chosen.steps]
    assert keys[:2] == ["inherit", "claim"]
    assert "inherit" not in [step.key for step in whole.undoing(whole.chosen.steps[:4])]
    assert whole.chosen.digest() != plan().chosen.digest()
