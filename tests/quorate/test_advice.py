"""What could be better, by what was seen: each rule says it of what is so, and of nothing else."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from quorate.clusters.causes import causes
from quorate.clusters.cluster import ClusterSeen
from quorate.findings.case import Case
from quorate.findings.diagnosis import ADVICE, advise, diagnose
from quorate.findings.finding import Finding
from quorate.findings.habits import LIMITS
from quorate.findings.sizing import MARKS, SIZES, advised
from quorate.inventory import Cluster
from quorate.members.vitals import Latencies, Vitals
from quorate.nodes.certificates import Certificate
from quorate.nodes.seen import NodeSeen, UnitSeen
from quorate.settings.machines import Component
from tests.factory import LIVE, etcd_seen, inventory
from tests.manifests import AT
from tests.quorate.test_diagnosis import SILENT, WELL, node
from tests.runbooks import ROOT

GIB = 2**30
QUICK = ((0.001, 99.0), (0.002, 100.0), (float("inf"), 100.0))
SLOW = ((0.1, 50.0), (0.4, 100.0), (float("inf"), 100.0))
API = "kube-apiserver.service"


def settings(tmp_path: Path, names: str = "abc") -> Cluster:
    cluster = inventory(tmp_path).clusters["demo"]
    component = (Component(role="kube-apiserver", unit=API),)
    template = cluster.members[0]
    members = tuple(template.model_copy(update={"name": name}) for name in names)
    return cluster.model_copy(update={"control_plane": component, "members": members})


def told(*flags: str, api: tuple[str, ...] = (), **more: object) -> NodeSeen:
    """A node whose etcd and API server have such command lines."""
    unit = UnitSeen("etcd.service", "loaded", "active", pid=7, argv=("/usr/bin/etcd", "--name=x", *flags))
    server = UnitSeen(API, "loaded", "active", pid=8, argv=("/usr/bin/kube-apiserver", "--v=2", *api))
    return replace(node(), units={"etcd.service": unit, API: server}, **more)  # type: ignore[arg-type]


def by_hand(**more: object) -> NodeSeen:
    """Units that run and start with no machine."""
    each = {"state": "active", "file_state": "disabled"} | more
    return replace(told(), units={name: replace(unit, **each) for name, unit in told().units.items()})  # type: ignore[arg-type]


def nodes(**by_name: NodeSeen) -> ClusterSeen:
    return replace(WELL, nodes={**dict.fromkeys("abc", told()), **by_name})


def every(*flags: str, api: tuple[str, ...] = ()) -> ClusterSeen:
    return replace(WELL, nodes=dict.fromkeys("abc", told(*flags, api=api)))


def running(**versions: str) -> ClusterSeen:
    numbers = {"a": "1", "b": "2", "c": "3"}
    etcd = {name: etcd_seen(numbers[name], version=version) for name, version in versions.items()}
    return replace(nodes(), etcd={**WELL.etcd, **etcd})


def vitals(seen: ClusterSeen = WELL, **more: object) -> ClusterSeen:
    return replace(seen, vitals=Vitals(**more))  # type: ignore[arg-type]


def sized(cpus: int, memory_gib: float, nodes_there: int | None) -> ClusterSeen:
    machine = told(cpus=cpus, memory_bytes=int(memory_gib * GIB))
    return vitals(replace(WELL, nodes=dict.fromkeys("abc", machine)), nodes=nodes_there)


def ending_in(days: float) -> ClusterSeen:
    certificate = Certificate("etcd", 0.0, 1.0 + days * 86400)
    return replace(nodes(), certificates={"b": {"/pki/peer.crt": (certificate,)}})


def advice(seen: ClusterSeen, tmp_path: Path, names: str = "abc") -> dict[str, Finding]:
    return {each.id: each for each in advise(Case("demo", settings(tmp_path, names), seen, AT))}


FLAGS: tuple[tuple[ClusterSeen, dict[str, str]], ...] = (
    (every("--max-watcher-per-resource=1000"), {"flag-ignored": "`max-watcher-per-resource`"}),
    (every("--feature-gates=X=true"), {}),
    (replace(running(a="3.5.30"), nodes=nodes(a=told("--feature-gates=X=true")).nodes), {"flag-ignored": ": a"}),
    (every("--experimental-initial-corrupt-check=true"), {"flag-ending": "experimental-initial-corrupt-check"}),
    (every("--heartbeat-interval=100", "--election-timeout=1000"), {}),
    (every("--heartbeat-interval=250"), {"election-timeout": "1000 ms is less than 10 x heartbeat-interval 250 ms"}),
    (every("--election-timeout=5000", "--heartbeat-interval=500"), {}),
    (nodes(b=told("--election-timeout=5000")), {"timing-differs": "b 100/5000 ms"}),
    (every("--auto-compaction-retention=8"), {"compaction-twice": "a 8, b 8, c 8"}),
    (every("--auto-compaction-retention=0"), {}),
    (every("--auto-compaction-retention=1h", api=("--etcd-compaction-interval=0",)), {}),
    (every(api=("--etcd-compaction-interval=0",)), {"compaction-none": "on a, b, c"}),
    (every("--quota-backend-bytes=8589934592"), {}),
    (every("--quota-backend-bytes=17179869184"), {"quota-large": "17179869184 on a, b, c"}),
    (nodes(c=told("--quota-backend-bytes=4294967296")), {"quota-differs": "a unset, b unset, c 4.0 GiB"}),
    (every("--max-request-bytes=10485760"), {}),
    (every("--max-request-bytes=33554432"), {"request-large": "33554432"}),
    (every("--snapshot-count=100000"), {"snapshot-count": "100000 on a, b, c"}),
    (every("--snapshot-count=10000"), {}),
    (nodes(a=told("--quota-backend-bytes=$QUOTA", "--heartbeat-interval=900")), {}),
)
VERSIONS: tuple[tuple[ClusterSeen, dict[str, str]], ...] = (
    (running(a="3.5.30", b="3.5.30", c="3.5.30"), {}),
    (running(a="3.5.21", b="3.5.30", c="3.5.30"), {"version-old": "3.5.21 on a"}),
    (running(a="3.6.4-k3s1"), {"version-old": "3.6.4-k3s1 on a"}),
    (vitals(running(a="3.5.30", b="3.5.30", c="3.5.30"), apis={"u": "1.34.1"}), {"version-kubernetes": "1.34.1"}),
    (vitals(apis={"u": "1.34.1+vendor"}), {}),
    (vitals(apis={"u": "1.99.0"}), {}),
    (vitals(apis={"u": "1.34.1", "v": "1.34.2"}), {}),
    (vitals(apis={"u": "1.33.1", "v": "1.34.2"}), {"kubernetes-skew": "1.34.2 on v; 1.33.1 on u"}),
)
SIZE: tuple[tuple[ClusterSeen, dict[str, str]], ...] = (
    (sized(2, 7.8, 50), {}),
    (sized(2, 4, 50), {"machine-small": "2 CPUs and 4 GiB on a, b, c"}),
    (sized(2, 4, None), {}),
    (sized(8, 32, 700), {"members-few": "700 nodes of Kubernetes depend on 3 members"}),
    (vitals(members={"a": Latencies(QUICK, QUICK, {"2": QUICK})}), {}),
    (vitals(members={"a": Latencies(fsyncs=SLOW)}), {"fsync-slow": "a 394 ms"}),
    (vitals(members={"a": Latencies(commits=SLOW)}), {"commit-slow": "a 394 ms"}),
    (vitals(members={"a": Latencies(peers={"2": QUICK, "3": SLOW})}), {"peer-slow": "a 394 ms"}),
    (
        vitals(nodes(), members={"a": Latencies(peers={"3": ((0.2, 1.0), (0.3, 100.0))})}),
        {"peer-slow": "299 ms", "election-distance": "a 249 ms"},
    ),
    (
        replace(WELL, etcd={"a": etcd_seen("1", db_bytes=GIB, db_in_use_bytes=GIB // 4)}),
        {"fragmented": "a uses 256 of 1024 MiB"},
    ),
    (ending_in(31), {}),
    (ending_in(20), {"certificate-soon": "b: /pki/peer.crt expires in 20 days"}),
    (ending_in(5), {}),
)
CRON: tuple[tuple[ClusterSeen, dict[str, str]], ...] = (
    (nodes(b=by_hand()), {"not-enabled": f"b: etcd.service, {API} runs"}),
    (nodes(b=by_hand(state="inactive")), {}),
    (nodes(b=by_hand(file_state="static")), {}),
    (
        nodes(a=told(habits=(("/etc/cron.d/etcd", "find /b -mtime +7 -delete"),))),
        {"cron-deletes": "a: /etc/cron.d/etcd deletes backups by their age alone"},
    ),
    (nodes(a=told(habits=(("/b.sh", "find /b -mtime +7 -exec rm"),))), {"cron-deletes": "a: /b.sh deletes"}),
    (nodes(a=told(habits=(("/b.sh", "etcdctl snapshot save"),))), {"cron-snapshot": "a: /b.sh takes snapshots"}),
)


@pytest.mark.parametrize(("seen", "wanted"), [*FLAGS, *VERSIONS, *SIZE, *CRON])
def test_what_is_seen_is_what_is_said(seen: ClusterSeen, wanted: Mapping[str, str], tmp_path: Path) -> None:
    found = advice(seen, tmp_path)
    assert set(found) == set(wanted)
    for key, words in wanted.items():
        assert words in found[key].message
        assert found[key].level == "NOTE"
        assert found[key].evidence


@pytest.mark.parametrize(
    ("names", "said"),
    [("a", "a single member"), ("ab", "2 members survive"), ("abc", ""), ("abcd", "no more machines than 3"),
     ("abcdefgh", "8 members survive"), ("abcdefghi", "9 members are more")],
)  # fmt: skip
def test_how_many_members_are_of_use_is_said(names: str, said: str, tmp_path: Path) -> None:
    found = advice(WELL, tmp_path, names)
    assert (said in found["members"].message) if said else "members" not in found


@pytest.mark.parametrize(("count", "members"), [(0, 3), (99, 3), (499, 3), (500, 5), (5000, 5)])
def test_the_size_that_is_advised_grows_with_the_nodes(count: int, members: int) -> None:
    assert advised(count).members == members
    assert [size.memory_gib for size in SIZES] == sorted(size.memory_gib for size in SIZES)


def test_while_an_operation_has_the_nodes_nobody_is_advised(tmp_path: Path) -> None:
    claimed = replace(told("--snapshot-count=100000"), claim="restore-1 4 1")
    assert advice(nodes(a=claimed), tmp_path) == {}


def test_advice_leads_to_a_command_or_to_a_page_that_is_there(tmp_path: Path) -> None:
    found = [each for seen, _ in (*FLAGS, *VERSIONS, *SIZE, *CRON) for each in advice(seen, tmp_path).values()]
    pages = {each.next for each in found if each.next.startswith("runbooks/")}
    assert pages
    assert all((ROOT / page).exists() for page in pages)
    assert all((ROOT / limit.page).exists() for limit in LIMITS if limit.page)
    assert all((ROOT / f"runbooks/alerts/{mark.alert}.md").exists() for mark in MARKS)
    assert all(re.match(r"(quorate|ssh|runbooks/)", each.next) for each in found)
    assert len(ADVICE) == len(set(ADVICE))


SERIOUS = (
    (running(a="3.5.30"), {"version-skew": "3.6.14 on b, c; 3.5.30 on a"}),
    (running(a="3.5.1", b="3.5.1", c="3.5.1"), {"version-corrupts": "3.5.1 on a, b, c"}),
    (nodes(b=told("--force-new-cluster")), {"force-new-cluster": "b: etcd is told"}),
    (nodes(b=told("--force-new-cluster=false")), {}),
    (nodes(b=told("--unsafe-no-fsync=true")), {"unsafe-no-fsync": "b: etcd is told"}),
    (nodes(b=told(spaces={LIVE: 100 << 20})), {"disk-low": "b: 100 MiB are free"}),
    (nodes(b=told(spaces={LIVE: 10 * GIB})), {}),
    (
        replace(nodes(), etcd={**WELL.etcd, "a": etcd_seen("1", revision=20_100)}),
        {"member-behind": "is 20059 revisions behind"},
    ),
)


@pytest.mark.parametrize(("seen", "wanted"), SERIOUS)
def test_what_could_lose_data_tonight_is_no_advice(
    seen: ClusterSeen, wanted: Mapping[str, str], tmp_path: Path
) -> None:
    found = {each.id: each for each in diagnose(Case("demo", settings(tmp_path), seen, AT + timedelta(minutes=1)))}
    assert set(found) == set(wanted)
    assert all(words in found[key].message and found[key].level == "WARN" for key, words in wanted.items())


def test_a_flag_that_no_etcd_has_is_why_a_member_does_not_start(tmp_path: Path) -> None:
    silent = {**WELL.etcd, "b": SILENT}
    unit = replace(told("--experimental-compression=true").units["etcd.service"], state="failed", pid=0)
    seen = replace(nodes(b=replace(told(), units={"etcd.service": unit})), etcd=silent)
    (cause,) = causes(settings(tmp_path), seen)
    assert (cause.member, cause.id) == ("b", "flag")
    assert "etcd does not start with --experimental-compression" in cause.what
    ignored = replace(unit, argv=("/usr/bin/etcd",), told={"experimental-compression": "true"})
    assert causes(settings(tmp_path), replace(seen, nodes={**seen.nodes, "b": node()})) == ()
    only_told = replace(seen, nodes={**seen.nodes, "b": replace(told(), units={"etcd.service": ignored})})
    assert causes(settings(tmp_path), only_told) == ()


def test_a_quota_that_is_nearly_used_is_a_failure(tmp_path: Path) -> None:
    def level(part: float) -> list[str]:
        etcd = etcd_seen("1", db_bytes=int(part * GIB), quota_bytes=GIB)
        seen = replace(WELL, etcd={**WELL.etcd, "a": etcd})
        return [each.level for each in diagnose(Case("demo", settings(tmp_path), seen, AT)) if each.id == "quota"]

    assert [level(part) for part in (0.5, 0.85, 0.96)] == [[], ["WARN"], ["FAIL"]]
