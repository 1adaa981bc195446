"""What an operator is told of a cluster, and what to run next."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.findings.case import Case
from quorate.findings.diagnosis import Finding, diagnose
from quorate.members.etcd import MemberSeen
from quorate.nodes.seen import NodeSeen, PathSeen, UnitSeen
from quorate.settings.machines import Sandbox
from quorate.settings.people import Objectives
from quorate.settings.policies import Schedule
from tests.factory import LIVE, etcd_seen, inventory
from tests.manifests import AT, manifest

DB = {f"{LIVE}/member/snap/db": PathSeen("regular file", "etcd:etcd", "600", "1", 10**6)}


def node(state: str = "active", *, data: bool = True, claim: str = "") -> NodeSeen:
    unit = UnitSeen("etcd.service", "loaded", state, pid=0 if state in {"inactive", "failed"} else 7)
    return NodeSeen(now=1.0, units={"etcd.service": unit}, paths=DB if data else {}, claim=claim)


SILENT = Silence("connection refused")
WELL = ClusterSeen(
    nodes=dict.fromkeys("abc", node()),
    etcd={"a": etcd_seen("1"), "b": etcd_seen("2"), "c": etcd_seen("3")},
    reads=dict.fromkeys("abc", 41),
    manifests=(manifest(),),
)
SUSPECT = manifest(revision=3).model_copy(update={"outcome": "suspect", "findings": ("its revision is 3",)})
WIPED = node("inactive", data=False)
LOST = replace(
    WELL,
    nodes={"a": node(), "b": WIPED, "c": WIPED},
    etcd={"a": etcd_seen("1", leader=""), "b": SILENT, "c": SILENT},
    reads={},
)


def found(seen: ClusterSeen, tmp_path: Path, late: timedelta = timedelta()) -> tuple[Finding, ...]:
    return diagnose(Case("demo", inventory(tmp_path).clusters["demo"], seen, AT + late))


def ids(seen: ClusterSeen, tmp_path: Path) -> list[str]:
    return [finding.id for finding in found(seen, tmp_path)]


def test_nothing_is_wrong_with_a_cluster_that_works_and_is_backed_up(tmp_path: Path) -> None:
    assert ids(WELL, tmp_path) == []


@pytest.mark.parametrize(
    ("raised", "following"),
    [
        ((("2", "CORRUPT"),), "quorate plan replace-member demo b"),
        ((("0", "CORRUPT"),), "quorate plan replace-member demo --odd-one-out"),
        ((("1", "CORRUPT"), ("2", "CORRUPT")), "quorate snapshots ls demo  # find one from before the alarm"),
    ],
)
def test_the_one_member_that_is_corrupt_is_replaced(
    raised: tuple[tuple[str, str], ...], following: str, tmp_path: Path
) -> None:
    rows = tuple(MemberSeen(str(n), name, (), ()) for n, name in enumerate("abc", 1))
    etcd = {name: etcd_seen(str(n), alarms=raised, members=rows) for n, name in enumerate("abc", 1)}
    told = {each.id: each.next for each in found(replace(WELL, etcd=etcd, reads={}), tmp_path)}  # nobody reads then
    assert told["corrupt"] == following
    assert ("quorum-lost" in told) is (len(raised) > 1)


def test_lost_quorum_names_who_is_gone_and_what_a_restore_loses(tmp_path: Path) -> None:
    (lost,) = found(LOST, tmp_path)
    assert (lost.id, lost.next) == ("quorum-lost", "quorate restore demo --from-member a")
    assert "b: etcd.service is inactive, no database" in lost.evidence
    assert lost.ways[-1].command == "quorate restore demo"
    assert lost.ways[-1].loses.startswith("every write after 2026-11-21 10:45:00Z")


def test_members_that_are_only_stopped_are_started_before_anybody_restores(tmp_path: Path) -> None:
    stopped = replace(LOST, nodes={"a": node(), "b": node("inactive"), "c": WIPED})
    (lost,) = found(stopped, tmp_path)
    assert lost.next == "ssh quorate@127.0.0.2 sudo systemctl start etcd.service"
    assert lost.ways[0].loses == "nothing"


def test_a_majority_that_cannot_be_seen_is_not_restored_over(tmp_path: Path) -> None:
    (lost,) = found(replace(LOST, nodes={"a": node(), "b": SILENT, "c": SILENT}), tmp_path)
    assert (lost.id, lost.next) == ("majority-unreachable", "quorate doctor demo")
    assert "do not restore" in lost.evidence


def test_one_lost_member_is_named_and_no_reason_to_restore(tmp_path: Path) -> None:
    seen = replace(WELL, nodes={**WELL.nodes, "c": WIPED}, etcd={**WELL.etcd, "c": SILENT}, reads={"a": 41, "b": 41})
    (lost,) = found(seen, tmp_path)
    assert (lost.id, lost.message) == ("member-lost", "c is lost, quorum holds")
    assert "do NOT restore" in lost.evidence
    assert "restore" not in lost.next


def test_while_an_operation_has_the_nodes_everything_leads_to_it(tmp_path: Path) -> None:
    claimed = node("inactive", claim="restore-1 4 1")
    first, *others = found(replace(LOST, nodes=dict.fromkeys("abc", claimed), manifests=()), tmp_path)
    assert first.id == "claimed"
    assert {finding.next for finding in (first, *others)} == {"quorate watch restore-1"}


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (replace(WELL, manifests=(manifest(revision=1000),)), ["impostor"]),
        (replace(WELL, etcd={**WELL.etcd, "c": etcd_seen("3", cluster_id="c2")}), ["mixed-ids"]),
        (replace(WELL, etcd={**WELL.etcd, "a": etcd_seen("1", alarms=(("1", "NOSPACE"),))}), ["nospace"]),
        (replace(WELL, nodes={**WELL.nodes, "c": SILENT}), ["node-unreachable"]),
        (replace(WELL, nodes={**WELL.nodes, "c": replace(node(), now=99.0)}), ["clock-skew"]),
        (replace(WELL, etcd={**WELL.etcd, "a": etcd_seen("1", quota_bytes=10**6)}), ["quota"]),
        (replace(WELL, manifests=()), ["no-backup"]),
        (replace(WELL, manifests=(*WELL.manifests, SUSPECT)), ["backup-suspect"]),
        (replace(WELL, manifests=(), store="no route"), ["store-unreachable"]),
    ],
)
def test_each_trouble_has_its_own_finding(seen: ClusterSeen, wanted: list[str], tmp_path: Path) -> None:
    assert ids(seen, tmp_path) == wanted


def test_a_backup_that_is_older_than_it_may_be_is_a_finding(tmp_path: Path) -> None:
    (late,) = found(WELL, tmp_path, timedelta(hours=3))
    assert (late.id, late.level, late.next) == ("backup-late", "WARN", "quorate backup demo")


@pytest.mark.parametrize(("cron", "late_hours"), [("0 */6 * * *", 12), ("0 0,18 * * *", 36)])
def test_what_is_late_goes_by_the_longest_gap_of_the_schedule(cron: str, late_hours: int, tmp_path: Path) -> None:
    settings = inventory(tmp_path).clusters["demo"]
    policy = settings.backup.model_copy(update={"schedule": Schedule(cron=cron)})
    scheduled = settings.model_copy(update={"backup": policy})
    ages = [timedelta(hours=late_hours, minutes=minutes) for minutes in (-10, 10)]
    late = [len(diagnose(Case("demo", scheduled, WELL, AT + age))) for age in ages]
    assert late == [0, 1]


@pytest.mark.parametrize(
    ("proved_h", "sandbox", "evidence", "following"),
    [
        (None, True, "none ever was; objectives.restore_proof is 2d", "quorate snapshots verify demo --restore"),
        (49, True, "the last was 49 hours ago", "quorate snapshots verify demo --restore"),
        (None, False, "there is no sandbox", "quorate config schema"),
        (47, True, "", ""),
    ],
)
def test_that_no_backup_was_restored_of_late_is_a_finding_where_an_objective_says_how_late(
    tmp_path: Path, proved_h: int | None, sandbox: bool, evidence: str, following: str
) -> None:
    now = AT + timedelta(hours=1)
    goals = Objectives(rto=900, rpo=86400, restore_proof=2 * 86400)
    place = Sandbox(host="h") if sandbox else None
    settings = inventory(tmp_path).clusters["demo"].model_copy(update={"objectives": goals, "sandbox": place})
    seen = replace(WELL, proved=now - timedelta(hours=proved_h) if proved_h else None)
    said = diagnose(Case("demo", settings, seen, now))
    assert [each.id for each in said] == (["restore-unproved"] if evidence else [])
    assert all(evidence in each.evidence and each.next.startswith(following) for each in said)


def test_every_finding_says_what_to_run(tmp_path: Path) -> None:
    for seen in (LOST, replace(LOST, manifests=()), replace(WELL, manifests=(), store="no route")):
        assert all(finding.evidence and finding.next for finding in found(seen, tmp_path))
