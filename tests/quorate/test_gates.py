from dataclasses import replace
from pathlib import Path

import pytest

from quorate.clusters.cluster import ClusterSeen, Lineage, Silence
from quorate.inventory import Cluster
from quorate.nodes import effective
from quorate.nodes.seen import DirectorySeen, NodeSeen, PathSeen, UnitSeen
from quorate.nodes.signs import Signs
from quorate.restoring.gates import GATES, IDS, closed
from tests.factory import LIVE, etcd_seen, inventory
from tests.manifests import manifest

UNIT = UnitSeen("etcd.service", "loaded", "active", argv=("/usr/bin/etcd", f"--data-dir={LIVE}"))
NODE = NodeSeen(units={"etcd.service": UNIT}, spaces={LIVE: 10**12}, tools={"/usr/local/bin/etcdutl": "3.6.14"})
DOWN = ClusterSeen(
    nodes=dict.fromkeys("abc", NODE), etcd=dict.fromkeys("abc", Silence("refused")), manifests=(manifest(),)
)
ALONE = {"a": etcd_seen("1", leader=""), "b": Silence("refused"), "c": Silence("refused")}


def shut(seen: ClusterSeen, tmp_path: Path) -> list[str]:
    return [gate.id for gate in closed(inventory(tmp_path).clusters["demo"], seen, seen.manifests[-1])]


def test_a_dead_cluster_with_everything_in_place_may_be_restored(tmp_path: Path) -> None:
    assert shut(DOWN, tmp_path) == []


def with_nodes(**nodes: NodeSeen | Silence) -> ClusterSeen:
    return replace(DOWN, nodes={**DOWN.nodes, **nodes})


AWAY = Silence("no route")
OLD_TOOL = replace(NODE, tools={"/usr/local/bin/etcdutl": "3.5.9"})
FAR_AHEAD = (Lineage("op", "c0", "c1", 150_000),)
OTHER_DIR = replace(UNIT, argv=("/usr/bin/etcd", "--data-dir", "/data"))
FORCED = replace(UNIT, argv=(*UNIT.argv, "--force-new-cluster"))
FLAGS = {"a": {"data-dir": LIVE, "quota-backend-bytes": "8589934592"}, "b": {"data-dir": LIVE}}
MEMBER_MOUNTED = replace(NODE, directories={LIVE: DirectorySeen(LIVE, member_mounted=True)})
RECORDED = replace(DOWN, manifests=(manifest().model_copy(update={"flags": FLAGS}),))


@pytest.mark.parametrize(
    ("seen", "gates"),
    [
        (with_nodes(b=replace(NODE, claim="restore-0 4 1 start nodes.start")), ["claimed"]),
        (replace(DOWN, reads={"a": 41}), ["quorum-healthy"]),
        (
            replace(DOWN, etcd={**ALONE, "a": etcd_seen("1", revision=1)}, reads={"a": 1}),
            ["quorum-healthy", "impostor"],
        ),
        (replace(DOWN, etcd={**ALONE, "b": etcd_seen("2", cluster_id="c2")}), ["mixed-ids"]),
        (with_nodes(b=AWAY, c=AWAY), ["majority-unreachable"]),
        (with_nodes(b=AWAY), ["node-unreachable"]),
        (with_nodes(a=replace(NODE, signs=Signs(absent=("/pki/peer.crt",)))), ["cause-not-removed"]),
        (with_nodes(a=replace(NODE, units={"etcd.service": OTHER_DIR})), ["config-differs"]),
        (with_nodes(a=replace(NODE, units={})), ["config-differs"]),
        (with_nodes(a=replace(NODE, units={"etcd.service": FORCED})), ["config-differs"]),
        (RECORDED, ["config-differs"]),
        (with_nodes(a=replace(NODE, spaces={LIVE: 100 * 2**20})), ["no-space"]),
        (with_nodes(a=MEMBER_MOUNTED), ["layout"]),
        (with_nodes(a=replace(NODE, directories={LIVE: DirectorySeen("/disk", mounted=True)})), []),
        (with_nodes(a=replace(NODE, tools={})), ["no-tool"]),
        (with_nodes(a=OLD_TOOL), ["version"]),
        (replace(with_nodes(a=OLD_TOOL), lineages=FAR_AHEAD), ["version", "no-bump"]),
        (replace(DOWN, lineages=FAR_AHEAD), []),
        (replace(DOWN, etcd={**ALONE, "a": etcd_seen("1", cluster_id="dd", leader="")}), ["lineage"]),
        (replace(DOWN, etcd={**ALONE, "a": etcd_seen("1", leader="", alarms=(("1", "CORRUPT"),))}), ["corrupt"]),
    ],
)
def test_each_gate_closes_on_its_own_evidence(seen: ClusterSeen, gates: list[str], tmp_path: Path) -> None:
    assert shut(seen, tmp_path) == gates


MIB = 2**20


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({}, f"a has 150 MiB free at {LIVE}; needed are 192 MiB at {LIVE}"),
        (
            {f"{LIVE}.before-op1": 80 * MIB, "/elsewhere.before-op1": 10**12},
            (
                f"a has 150 MiB free at {LIVE}, where earlier operations have kept {LIVE}.before-op1 (80 MiB): "
                f"without all of that it would fit; needed are 192 MiB at {LIVE}"
            ),
        ),
        (
            {f"{LIVE}.before-op1": 10 * MIB, f"{LIVE}.quorate-op2-g1": 20 * MIB},
            (
                f"a has 150 MiB free at {LIVE}, where earlier operations have kept {LIVE}.before-op1 (10 MiB), "
                f"{LIVE}.quorate-op2-g1 (20 MiB): without all of that only 180 MiB would be free; "
                f"needed are 192 MiB at {LIVE}"
            ),
        ),
    ],
)
def test_too_little_room_says_what_is_needed_and_what_a_person_could_remove(
    kept: dict[str, int], said: str, tmp_path: Path
) -> None:
    seen = with_nodes(a=replace(NODE, spaces={LIVE: 150 * MIB}, kept=kept))
    (gate,) = closed(inventory(tmp_path).clusters["demo"], seen, seen.manifests[-1])
    assert (gate.id, gate.evidence, gate.overridable) == ("no-space", said, False)


def test_a_log_of_its_own_needs_room_of_its_own(tmp_path: Path) -> None:
    seen = replace(DOWN, nodes=dict.fromkeys("abc", replace(NODE, spaces={LIVE: 10**12, LOG: 100 * MIB})))
    gates = {gate.id: gate.evidence for gate in closed(cluster_with(tmp_path, wal_dir=LOG), seen, seen.manifests[-1])}
    assert f"c has 100 MiB free at {LOG}" in gates["no-space"]


LOG = "/fast/wal"


@pytest.mark.parametrize(
    ("inventory_says", "flags", "said"),
    [
        (LOG, f"--wal-dir={LOG}", ""),
        (LOG, "--wal-dir=/other", f"--wal-dir is /other, the inventory says {LOG}"),
        (LOG, "", f"--wal-dir is not set, the inventory says {LOG}"),
        (LOG, "$MORE", ""),
        (None, f"--wal-dir={LOG}", f"--wal-dir is {LOG}, which the inventory does not know"),
        (None, f"--wal-dir={LIVE}/member/wal", ""),
        (None, "", ""),
    ],
)
def test_a_log_of_its_own_is_known_to_both_or_neither(
    inventory_says: str | None, flags: str, said: str, tmp_path: Path
) -> None:
    told = effective.flags((*UNIT.argv, *flags.split()), {}, None, read=False)
    settings = cluster_with(tmp_path, wal_dir=inventory_says)
    runs = replace(NODE, units={"etcd.service": replace(UNIT, told=told)}, spaces=ROOMY)
    seen = replace(DOWN, nodes=dict.fromkeys("abc", runs))
    found = {gate.id: gate.evidence for gate in closed(settings, seen, seen.manifests[-1])}
    assert found.get("config-differs", "").partition("; ")[0] == (f"a: {said}" if said else "")


ROOMY = {LIVE: 10**12, LOG: 10**12}


def cluster_with(tmp_path: Path, **etcd: object) -> Cluster:
    settings = inventory(tmp_path).clusters["demo"]
    return settings.model_copy(update={"etcd": settings.etcd.model_copy(update=etcd)})


def placed(device: str) -> PathSeen:
    return PathSeen("directory", "etcd:etcd", "700", device, 0)


@pytest.mark.parametrize(
    ("wal", "said"),
    [
        (DirectorySeen(LOG), ""),
        (DirectorySeen(LOG, mounted=True), "is a mount point"),
        (DirectorySeen(f"{LIVE}/same"), ""),
        (DirectorySeen(f"{LIVE}/other"), "is on another filesystem"),
        (DirectorySeen("/var/lib"), "holds the data directory"),
    ],
)
def test_a_log_that_no_rename_could_swap_is_refused(wal: DirectorySeen, said: str, tmp_path: Path) -> None:
    paths = {LIVE: placed("1"), f"{LIVE}/same": placed("1"), f"{LIVE}/other": placed("2")}
    lies = replace(NODE, paths=paths, directories={LIVE: DirectorySeen(LIVE), LOG: wal}, spaces=ROOMY)
    seen = with_nodes(a=lies)
    found = {gate.id: gate.evidence for gate in closed(cluster_with(tmp_path, wal_dir=LOG), seen, seen.manifests[-1])}
    assert bool(said) is ("layout" in found)
    assert said in found.get("layout", "")


def test_a_flag_that_changed_since_the_backup_is_named_with_both_values_and_the_member(tmp_path: Path) -> None:
    (gate,) = closed(inventory(tmp_path).clusters["demo"], RECORDED, RECORDED.manifests[-1])
    assert gate.evidence == "a: --quota-backend-bytes is not set, at the backup it was 8589934592"
    assert gate.overridable


def test_an_old_tool_refuses_only_where_too_many_writes_would_be_needed_and_says_how_many(tmp_path: Path) -> None:
    seen = replace(with_nodes(a=OLD_TOOL), lineages=FAR_AHEAD)
    evidence = closed(inventory(tmp_path).clusters["demo"], seen, seen.manifests[-1])[-1].evidence
    assert "a has 3.5.9" in evidence
    assert "to pass 150000 takes 249960 canary writes, at most 200000 are made" in evidence


def test_a_node_that_is_silent_or_was_not_recorded_has_no_flags_to_compare(tmp_path: Path) -> None:
    silent = replace(RECORDED, nodes={**RECORDED.nodes, "a": AWAY})
    assert shut(silent, tmp_path) == ["node-unreachable"]


def test_a_restore_on_record_links_the_old_cluster_id_with_the_new(tmp_path: Path) -> None:
    seen = replace(DOWN, etcd={**ALONE, "a": etcd_seen("1", cluster_id="dd", leader="")})
    linked = replace(seen, lineages=(Lineage("op", "c1", "dd", 10**9),))
    assert shut(linked, tmp_path) == []


def test_the_high_water_mark_is_the_highest_revision_anybody_has_seen() -> None:
    assert DOWN.high_water() == 41
    assert replace(DOWN, etcd=ALONE | {"a": etcd_seen("1", revision=77)}).high_water() == 77
    assert replace(DOWN, lineages=(Lineage("op", "c0", "c1", 10**9 + 3),)).high_water() == 10**9 + 3


def test_gates_have_one_name_each() -> None:
    assert len(set(IDS)) == len(GATES)
