"""The screen of `quorate inspect`, as it stands on a terminal of 120 columns, and of 100."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.findings.case import Case
from quorate.findings.diagnosis import advise, diagnose
from quorate.gauges import loss_of
from quorate.members.vitals import Latencies, Vitals
from quorate.nodes.certificates import Certificate
from quorate.nodes.seen import NodeSeen, UnitSeen
from tests.factory import LIVE, etcd_seen
from tests.manifests import AT, manifest
from tests.quorate.test_advice import API, settings, told
from worker.cli.looking import Looked
from worker.cli.options import Given
from worker.cli.sheet import page, whole
from worker.screen import Paint, brief, width, wrapped

GIB, MIB = 2**30, 2**20
HERE = Given()
NAMES = ("etcd-eu-1", "etcd-eu-2", "etcd-eu-3", "etcd-eu-4", "etcd-eu-5")
SILENT = Silence("etcd-eu-3 (10.0.0.3:22) does not answer: timed out")


def machine(days: float) -> NodeSeen:
    server = UnitSeen(API, "loaded", "active", pid=8)
    seen = told("--quota-backend-bytes=8589934592", spaces={LIVE: 41 * GIB}, cpus=4, memory_bytes=16 * GIB)
    return replace(seen, now=AT.timestamp(), units={**seen.units, API: server})


def member(number: int, **more: object) -> Any:
    sizes = {"db_bytes": 812 * MIB, "db_in_use_bytes": 520 * MIB, "quota_bytes": 8 * GIB, "revision": 184_220_317}
    return etcd_seen(str(number), **{**sizes, **more})


def seen() -> ClusterSeen:
    ends = {"/etc/etcd/pki/server.crt": (Certificate("etcd", 0.0, AT.timestamp() + 86400 * 203),)}
    quick = ((0.001, 50.0), (0.002, 99.0), (0.004, 100.0), (float("inf"), 100.0))
    etcd = {name: member(number) for number, name in enumerate(NAMES, 1)}
    etcd["etcd-eu-2"] = member(2, revision=184_220_309)
    return ClusterSeen(
        nodes={**{name: machine(203) for name in NAMES}, "etcd-eu-3": SILENT},
        etcd={**etcd, "etcd-eu-3": Silence("etcd-eu-3: timed out")},
        reads={name: 184_220_317 for name in NAMES if name != "etcd-eu-3"},
        certificates={name: ends for name in NAMES if name != "etcd-eu-3"},
        manifests=(manifest(revision=184_220_100),),
        vitals=Vitals({"etcd-eu-1": Latencies(fsyncs=quick)}, {"u": "1.34.1"}, 812),
    )


def looked(tmp_path: Path, what: ClusterSeen) -> Looked:
    cluster = settings(tmp_path)
    template = cluster.members[0]
    members = tuple(template.model_copy(update={"name": name}) for name in what.etcd)
    case = Case("production-eu", cluster.model_copy(update={"members": members}), what, AT)
    newest = case.newest
    loss = loss_of(newest, (), AT.timestamp() + 60) if newest else None
    return Looked(case, diagnose(case), loss, advise(case))


GOLDEN = """\
production-eu  production  FAIL  quorum holds, 4 of 5 answer
cluster id c1 · 2026-11-21 10:45:00Z
etcd 3.6.14 · Kubernetes 1.34.1, 812 nodes
a restore now loses at most 1 min of writes

MEMBER     ROLE      HEALTH  REVISION   LAG  DB       IN USE   OF QUOTA         ALARMS  VERSION
etcd-eu-1  leader    ok      184220317  0    812 MiB  520 MiB  10 % of 8.0 GiB  -       3.6.14
etcd-eu-2  follower  ok      184220309  8    812 MiB  520 MiB  10 % of 8.0 GiB  -       3.6.14
etcd-eu-3  -         silent  -          -    -        -        -                -       -
etcd-eu-4  follower  ok      184220317  0    812 MiB  520 MiB  10 % of 8.0 GiB  -       3.6.14
etcd-eu-5  follower  ok      184220317  0    812 MiB  520 MiB  10 % of 8.0 GiB  -       3.6.14

NODE       SSH     ETCD UNIT  DISK FREE  FSYNC P99  CERTIFICATE ENDS
etcd-eu-1  ok      active     41.0 GiB   2.0 ms     203 d  server.crt
etcd-eu-2  ok      active     41.0 GiB   -          203 d  server.crt
etcd-eu-3  silent  -          -          -          -
etcd-eu-4  ok      active     41.0 GiB   -          203 d  server.crt
etcd-eu-5  ok      active     41.0 GiB   -          203 d  server.crt

NODE       KUBE-APISERVER
etcd-eu-1  active
etcd-eu-2  active
etcd-eu-3  -
etcd-eu-4  active
etcd-eu-5  active

BACKUP                           AGE    REVISION   SIZE  OUTCOME
demo/20261121T104500Z-184220100  0.0 s  184220100  50 B  verified

1. FAIL member-lost: etcd-eu-3 is lost, quorum holds
   etcd-eu-3: etcd-eu-3 (10.0.0.3:22) does not answer: timed out. The others serve reads: do NOT restore, that would
   throw away a cluster that works
   what can be done, the least lost first:
     - find out why etcd-eu-3 does not answer; loses nothing
       quorate doctor production-eu
   next: quorate doctor production-eu

advice that can wait: machine-small; quorate inspect production-eu -o json tells it"""


def test_five_members_one_of_them_silent_stand_on_a_terminal_of_120_columns(tmp_path: Path) -> None:
    text = page(looked(tmp_path, seen()), HERE, Paint(), 120)
    assert text == GOLDEN


@pytest.mark.parametrize("columns", [100, 120])
def test_nothing_but_a_command_is_wider_than_the_terminal(tmp_path: Path, columns: int) -> None:
    """Names of twelve letters, as many members as anybody has."""
    text = page(looked(tmp_path, seen()), HERE, Paint(on=True), columns)
    wide = [line for line in text.splitlines() if width(line) > columns and "next: " not in line]
    assert wide == []


def test_colours_change_no_column_and_without_them_there_is_plain_text(tmp_path: Path) -> None:
    plain = page(looked(tmp_path, seen()), HERE, Paint())
    assert "\x1b" not in plain
    assert max(width(line) for line in plain.splitlines()) > 120  # nothing is broken where nothing needs to fit


def test_nobody_who_is_silent_is_said_to_be_well(tmp_path: Path) -> None:
    nobody = replace(
        seen(), nodes=dict.fromkeys(NAMES, SILENT), etcd=dict.fromkeys(NAMES, SILENT), reads={}, vitals=Vitals()
    )
    text = page(looked(tmp_path, nobody), HERE, Paint(), 120)
    assert "quorum LOST, 0 of 5 answer" in text
    assert "etcd unknown · Kubernetes unknown" in text
    assert text.count("silent  ") >= 10


def test_members_of_two_versions_are_named_in_the_heading(tmp_path: Path) -> None:
    mixed = replace(seen(), etcd={**seen().etcd, "etcd-eu-5": member(5, version="3.5.30")})
    text = page(looked(tmp_path, mixed), HERE, Paint(), 120)
    assert "etcd 3.6.14 (etcd-eu-1, etcd-eu-2, etcd-eu-4), 3.5.30 (etcd-eu-5)" in text


def test_the_object_says_what_the_screen_says(tmp_path: Path) -> None:
    said = whole(looked(tmp_path, seen()), HERE)
    first, second, silent, *_ = said["members"]
    assert (first["behind"], second["behind"], silent.get("behind")) == (0, 8, None)
    assert first["fsync_p99_s"] == pytest.approx(0.002)
    assert second["fsync_p99_s"] is None
    assert first["machine"]["disk_free_bytes"] == 41 * GIB
    assert first["machine"]["certificate"] == {"path": "/etc/etcd/pki/server.crt", "days_left": 203.0}
    assert silent["node"] == {"reachable": False, "error": SILENT.reason}
    assert silent["machine"] is None
    assert set(first["node"]) == {"reachable", "claim", "units"}  # nothing that changes by itself
    assert said["versions"]["kubernetes"] == {"u": "1.34.1"}
    assert said["kubernetes_nodes"] == 812
    assert [each["id"] for each in said["findings"]] == ["member-lost"]
    assert [each["id"] for each in said["advice"]] == ["machine-small"]


def test_advice_makes_no_cluster_less_healthy(tmp_path: Path) -> None:
    well = seen()
    well = replace(
        well,
        nodes=dict.fromkeys(NAMES, machine(203)),
        etcd={**well.etcd, "etcd-eu-3": member(3)},
        reads=dict.fromkeys(NAMES, 1),
    )
    found = looked(tmp_path, well)
    assert (found.findings, found.state) == ((), "OK")
    assert [each.id for each in found.advice] == ["machine-small"]
    shown = page(found, HERE, Paint(), 100).partition("nothing is wrong\n\n")[2]
    assert shown.splitlines() == [
        "1. NOTE machine-small: small for 812 nodes of Kubernetes: 4 CPUs and 16 GiB on etcd-eu-1, etcd-eu-2,",
        "   etcd-eu-3, etcd-eu-4, etcd-eu-5",
        "   8 CPUs and 32 GiB are advised for etcd alone",
        "   next: ssh quorate@127.0.0.1 sudo free -h",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.00084, "0.8 ms"), (0.0094, "9.4 ms"), (0.022, "22 ms"), (1.26, "1.3 s")]
)
def test_how_long_a_disk_takes_is_said_in_two_digits(seconds: float, words: str) -> None:
    assert brief(seconds) == words


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("   one two three", 0, ["   one two three"]),
        ("   one two three", 16, ["   one two three"]),
        ("   one two three", 12, ["   one two", "   three"]),
        ("1. one two", 8, ["1. one", "   two"]),
        ("a-word-that-is-longer next", 8, ["a-word-that-is-longer", "   next"]),
    ],
)
def test_lines_are_broken_between_words_and_stand_below_the_first(text: str, columns: int, lines: list[str]) -> None:
    assert wrapped(text, columns) == "\n".join(lines)
