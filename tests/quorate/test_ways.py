"""What can be done is ranked by what would be lost, and nothing is offered that would be a guess."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.database.wal import Reach
from quorate.findings.case import Case
from quorate.findings.diagnosis import diagnose
from quorate.findings.ways import ways
from quorate.members.etcd import EtcdSeen
from quorate.nodes.seen import NodeSeen
from quorate.nodes.signs import Signs
from quorate.restoring.timing import spoken
from tests.factory import etcd_seen, inventory
from tests.manifests import AT, manifest
from tests.quorate.test_diagnosis import LOST, SILENT, WELL, WIPED, node

ARGV = ("/usr/bin/etcd", "--name=x")


def told(seen: NodeSeen) -> NodeSeen:
    return replace(seen, units={name: replace(unit, argv=ARGV) for name, unit in seen.units.items()})


STOPPED, RUNS = told(node("inactive")), told(node())
CAUSED = replace(STOPPED, signs=Signs(absent=("/pki/peer.crt",)))
NO_BACKUP: dict[str, object] = {"manifests": ()}


def lone(member: str, revision: int = 41, term: int = 2, index: int = 50, **changes: object) -> EtcdSeen:
    return etcd_seen(member, leader="", revision=revision, raft_term=term, raft_index=index, **changes)


def cluster(nodes: str, etcd: tuple[EtcdSeen | Silence, ...] = (SILENT,) * 3, **changes: object) -> ClusterSeen:
    """A letter a node: running, stopped with data, wiped, caused, unreachable."""
    kinds: dict[str, NodeSeen | Silence] = {"r": RUNS, "s": STOPPED, "w": WIPED, "c": CAUSED, "u": SILENT}
    seen = {name: kinds[kind] for name, kind in zip("abc", nodes, strict=True)}
    disks = {name: Reach("c1", name, 2, 50, 50) for name, kind in zip("abc", nodes, strict=True) if kind in "sc"}
    base = {"nodes": seen, "etcd": dict(zip("abc", etcd, strict=True)), "disks": disks}
    return replace(LOST, **{**base, **changes})  # type: ignore[arg-type]


def alive(nodes: str, **changes: object) -> ClusterSeen:
    """c is lost, the others serve."""
    etcd = (etcd_seen("1"), etcd_seen("2"), SILENT)
    return cluster(nodes, etcd, reads={"a": 41, "b": 41}, **changes)


def found(seen: ClusterSeen, tmp_path: Path) -> list[tuple[str, str]]:
    case = Case("demo", inventory(tmp_path).clusters["demo"], seen, AT + timedelta(hours=3, minutes=5))
    return [(way.id, way.member) for way in ways(case)]


@pytest.mark.parametrize(
    ("seen", "ranked"),
    [
        (WELL, []),
        (alive("rrs"), [("start", "c")]),
        (alive("rrw"), [("replace-member", "c")]),
        (alive("rrc"), [("remove-cause", "c")]),
        (alive("rru"), [("reach", "c")]),
        (alive("rrr"), [("look", "c")]),
        (cluster("sss"), [("start", "a"), ("from-member", "a"), ("backup", "")]),
        (cluster("wss"), [("start", "b"), ("from-member", "b"), ("backup", "")]),
        (cluster("wws"), [("from-member", "c"), ("backup", "")]),
        (cluster("wwc"), [("remove-cause", "c"), ("from-member", "c"), ("backup", "")]),
        (cluster("wws", disks={}), [("backup", "")]),  # its log cannot be read
        (
            cluster("rws", (lone("1"), SILENT, SILENT), disks={"c": Reach("c1", "c", 3, 9, 9)}),
            [("start", "c"), ("from-member", "c"), ("backup", "")],
        ),
        (cluster("www"), [("backup", "")]),
        (cluster("www", **NO_BACKUP), []),
        (
            cluster("wss", disks=dict.fromkeys("bc", Silence("no such file")), **NO_BACKUP),
            [("from-member", "b"), ("from-member", "c")],
        ),
        (cluster("rww", (lone("1"), SILENT, SILENT)), [("from-member", "a"), ("backup", "")]),
        (cluster("rww", (lone("1", revision=40), SILENT, SILENT)), [("backup", ""), ("from-member", "a")]),
        (
            cluster("rrw", (lone("1", term=3, index=9), lone("2", term=2, index=99), SILENT)),
            [("from-member", "a"), ("backup", "")],
        ),
        (
            cluster("rww", (lone("1", alarms=(("1", "CORRUPT"),)), SILENT, SILENT)),
            [("backup", "")],
        ),
        (cluster("uus"), []),  # two that cannot be seen may be serving
        (cluster("uss"), [("start", "b"), ("from-member", "b"), ("backup", "")]),
        (cluster("rww", (lone("1"), lone("2", cluster_id="c2"), SILENT)), []),  # who is right?
        (alive("rrs", manifests=(manifest(revision=1000),)), [("from-member", "c"), ("backup", "")]),  # an impostor
        (replace(LOST, nodes=dict.fromkeys("abc", node("inactive", claim="restore-1 4 1"))), []),
    ],
)
def test_the_least_lost_comes_first(seen: ClusterSeen, ranked: list[tuple[str, str]], tmp_path: Path) -> None:
    assert found(seen, tmp_path) == ranked


def test_each_way_says_what_it_loses_and_what_to_type(tmp_path: Path) -> None:
    settings = inventory(tmp_path).clusters["demo"]
    case = Case("demo", settings, cluster("rws", (lone("1"), SILENT, SILENT)), AT + timedelta(hours=3, minutes=5))
    start, member, backup = ways(case)
    assert (start.loses, start.command) == ("nothing", "ssh quorate@127.0.0.3 sudo systemctl start etcd.service")
    assert member.command == "quorate restore demo --from-member a"
    assert "answers at revision 41" in member.what
    assert backup.what == f"restore {manifest().id}, the newest verified backup, 3 h 5 min old"
    assert backup.loses.startswith("every write after 2026-11-21 10:45:00Z (revision 41)")


def test_a_member_without_data_is_replaced(tmp_path: Path) -> None:
    (way,) = ways(Case("demo", inventory(tmp_path).clusters["demo"], alive("rrw"), AT))
    assert (way.id, way.loses, way.command) == ("replace-member", "nothing", "quorate replace-member demo c")


@pytest.mark.parametrize(
    ("said", "replaced"),
    [
        ('{"msg":"discovery failed","error":"walpb: crc mismatch: expected: 679f06f2 computed: cf124c03"}', True),
        ("panic: freepages: failed to get all reachable pages", True),
        ("etcd.service: Main process exited, code=killed, status=9/KILL", False),
    ],
)
def test_so_is_one_that_says_of_its_data_that_it_is_damaged(said: str, replaced: bool, tmp_path: Path) -> None:
    seen = alive("rrs")
    there = replace(STOPPED, signs=Signs(words=(said,)))
    seen = replace(seen, nodes={**seen.nodes, "c": there})
    (way,) = ways(Case("demo", inventory(tmp_path).clusters["demo"], seen, AT))
    assert (way.id == "replace-member") is replaced
    if replaced:
        assert "crc mismatch" in way.what or "freepages" in way.what


def test_inspect_leads_to_the_first_and_shows_them_all(tmp_path: Path) -> None:
    case = Case("demo", inventory(tmp_path).clusters["demo"], cluster("wss"), AT)
    (lost,) = diagnose(case)
    assert (lost.id, lost.ways) == ("quorum-lost", ways(case))
    assert lost.next == lost.ways[0].command


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (59, "59 s"), (3540, "59 min"), (7260, "2 h 1 min"), (180000, "2 d 2 h")]
)
def test_an_age_is_spoken_in_two_words(seconds: float, text: str) -> None:
    assert spoken(seconds) == text
