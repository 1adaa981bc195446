"""What only looks like lost quorum is told from what a survey brings."""

from dataclasses import replace
from pathlib import Path

import pytest

from quorate.clusters.causes import causes, gist
from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.findings.case import Case
from quorate.findings.diagnosis import diagnose
from quorate.nodes.certificates import Certificate
from quorate.nodes.seen import NodeSeen, PathSeen, UnitSeen
from quorate.nodes.signs import Signs
from tests.factory import LIVE, etcd_seen, inventory
from tests.manifests import AT, manifest

NOW = AT.timestamp()
DAY = 86400.0
ARGV = ("/usr/bin/etcd", "--listen-peer-urls=https://10.0.0.2:2380", "--listen-client-urls=https://10.0.0.2:2379")
UNIT = UnitSeen("etcd.service", "loaded", "failed", user="etcd", group="etcd", argv=ARGV)
DATA = {LIVE: PathSeen("directory", "etcd:etcd", "700", "1", 4096)}
SOUND = NodeSeen(
    now=NOW,
    units={"etcd.service": UNIT},
    paths=DATA,
    spaces={LIVE: 10**10},
    signs=Signs(addresses=frozenset({"127.0.0.1", "10.0.0.2"})),
)
DOWN = ClusterSeen(
    nodes=dict.fromkeys("abc", SOUND), etcd=dict.fromkeys("abc", Silence("refused")), manifests=(manifest(),)
)
GOOD = Certificate("CN=b", NOW - DAY, NOW + 100 * DAY)


def with_b(node: NodeSeen, **changes: object) -> ClusterSeen:
    return replace(DOWN, nodes={**DOWN.nodes, "b": node}, **changes)  # type: ignore[arg-type]


def words(*said: str) -> NodeSeen:
    return replace(SOUND, signs=replace(SOUND.signs, words=said))


def certified(certificate: Certificate) -> ClusterSeen:
    return replace(DOWN, certificates={"b": {"/pki/peer.crt": (certificate, GOOD)}})


BIND = '{"level":"fatal","msg":"it failed","error":"listen tcp 10.0.0.2:2380: cannot assign requested address"}'
PORTS = ("127.0.0.2:1", "127.0.0.2:11")
LISTENS = replace(SOUND, listening=frozenset({1, 11}))
SILENT_PEER = {"a": dict(zip(PORTS, ("silent", "open"), strict=True)), "c": dict.fromkeys(PORTS, "open")}


def test_a_member_that_is_only_down_has_no_cause(tmp_path: Path) -> None:
    assert causes(inventory(tmp_path).clusters["demo"], certified(GOOD)) == ()


@pytest.mark.parametrize(
    ("seen", "key", "said"),
    [
        (certified(replace(GOOD, not_after=NOW - 3 * DAY)), "certificate", "/pki/peer.crt expired 3.0 days ago"),
        (certified(replace(GOOD, not_before=NOW + DAY)), "certificate", "not valid yet by its clock"),
        (with_b(replace(SOUND, signs=Signs(absent=("/pki/server.crt",)))), "certificate", "which is not there"),
        (
            with_b(replace(SOUND, signs=Signs(addresses=frozenset({"127.0.0.1", "10.0.0.7"})))),
            "address",
            "no interface has 10.0.0.2; it has 10.0.0.7",
        ),
        (with_b(replace(SOUND, spaces={LIVE: 10**6})), "disk", f"0 MiB free at {LIVE}"),
        (
            with_b(replace(words("write /x: no space left on device"), spaces={})),
            "disk",
            "its disk is full: it last said: write /x: no space left on device",
        ),
        (
            with_b(replace(SOUND, paths={LIVE: PathSeen("directory", "root:root", "700", "1", 1)})),
            "owner",
            f"{LIVE} belongs to root:root; etcd runs as etcd",
        ),
        (
            with_b(words('{"level":"fatal","msg":"open db: permission denied"}')),
            "owner",
            "open db: permission denied",
        ),
        (
            with_b(replace(SOUND, units={"etcd.service": replace(UNIT, result="oom-kill")})),
            "memory",
            "killed because memory ran out",
        ),
        (with_b(words("etcd.service: Failed with result 'oom-kill'.")), "memory", "Failed with result 'oom-kill'"),
        (
            with_b(words('{"level":"fatal","msg":"invalid downgrade; server version is lower"}')),
            "version",
            "it last said: invalid downgrade",
        ),
        (with_b(LISTENS, dials=SILENT_PEER), "firewall", "it listens at 127.0.0.2:1, but a gets no answer"),
        (
            replace(DOWN, etcd={**DOWN.etcd, "b": etcd_seen("2", leader="", alarms=(("2", "NOSPACE"),))}),
            "alarm",
            "NOSPACE",
        ),
    ],
)
def test_each_cause_is_told_of_the_member_that_has_it(seen: ClusterSeen, key: str, said: str, tmp_path: Path) -> None:
    (cause,) = causes(inventory(tmp_path).clusters["demo"], seen)
    assert (cause.member, cause.id) == ("b", key)
    assert said in cause.what


@pytest.mark.parametrize(
    "seen",
    [
        with_b(replace(LISTENS, claim="restore-1 3 1 start nodes.start"), dials=SILENT_PEER),  # the rule is ours
        with_b(replace(SOUND, signs=Signs(words=()))),  # nobody could tell its addresses
        with_b(
            replace(
                SOUND, units={"etcd.service": replace(UNIT, argv=(*ARGV[:1], "--listen-peer-urls=http://0.0.0.0:1"))}
            )
        ),
        with_b(replace(SOUND, paths={LIVE: PathSeen("symbolic link", "root:root", "777", "1", 1)})),
        with_b(
            replace(
                SOUND,
                units={"etcd.service": replace(UNIT, user="", group="")},
                paths={LIVE: PathSeen("directory", "x:x", "700", "1", 1)},
            )
        ),
        with_b(SOUND, dials=SILENT_PEER),  # it does not listen
        with_b(LISTENS, dials={"a": dict.fromkeys(PORTS, "untried")}),
        replace(with_b(words("permission denied")), etcd={**DOWN.etcd, "b": etcd_seen("2", leader="")}),
        with_b(words("write /x: no space left on device")),  # somebody has made room
        with_b(Silence("no route")),  # type: ignore[arg-type]
    ],
)
def test_what_proves_nothing_is_no_cause(seen: ClusterSeen, tmp_path: Path) -> None:
    assert causes(inventory(tmp_path).clusters["demo"], seen) == ()


def test_inspect_tells_the_cause_before_all_else_with_what_removes_it(tmp_path: Path) -> None:
    settings = inventory(tmp_path).clusters["demo"]
    seen = certified(replace(GOOD, not_after=NOW - DAY))
    first, lost, *_ = diagnose(Case("demo", settings, seen, AT))
    assert (first.id, lost.id) == ("cause-not-removed", "quorum-lost")
    assert first.next.startswith("ssh quorate@127.0.0.2 sudo install -m 0644 NEW.crt /pki/peer.crt")
    assert lost.next == first.next


def test_with_a_quorum_the_cause_is_told_of_the_member_that_is_lost(tmp_path: Path) -> None:
    settings = inventory(tmp_path).clusters["demo"]
    wrong = replace(SOUND, paths={LIVE: PathSeen("directory", "root:root", "700", "1", 1)})
    up = {"a": etcd_seen("1"), "b": Silence("refused"), "c": etcd_seen("3")}
    seen = replace(with_b(wrong), etcd=up, reads={"a": 41, "c": 41})
    (lost,) = diagnose(Case("demo", settings, seen, AT))
    assert lost.id == "member-lost"
    assert lost.next == f"ssh quorate@127.0.0.2 sudo chown -R etcd:etcd {LIVE}"


@pytest.mark.parametrize(
    ("word", "told"),
    [
        (BIND, "it failed: listen tcp 10.0.0.2:2380: cannot assign requested address"),
        ("etcd.service: Failed with result 'oom-kill'.", "etcd.service: Failed with result 'oom-kill'."),
    ],
)
def test_of_a_log_line_what_matters_is_quoted(word: str, told: str) -> None:
    assert gist(word) == told


@pytest.mark.parametrize(
    ("host", "covered"),
    [
        ("10.0.0.1", True), ("::ffff:10.0.0.1", True), ("[fd00::1]", True), ("a.example", True), ("A.Example", True),
        ("x.wild.example", True), ("y.x.wild.example", False), ("wild.example", False), ("10.0.0.2", False),
    ],
)  # fmt: skip
def test_a_certificate_covers_what_go_would_take_it_for(host: str, covered: bool) -> None:
    names = ("a.example", "*.wild.example", "10.0.0.1", "fd00:0::1")
    assert Certificate("", 0, 1, names).covers(host) is covered
