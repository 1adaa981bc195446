"""What stands around a cluster closes a gate of its own, and changes no digest."""

from dataclasses import replace
from pathlib import Path

import pytest

from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.findings.case import Case
from quorate.findings.diagnosis import diagnose
from quorate.inventory import Cluster
from quorate.members.etcd import MemberSeen
from quorate.nodes.certificates import Certificate
from quorate.nodes.seen import NodeSeen, UnitSeen
from quorate.nodes.signs import Key, Signs
from quorate.operation import RestoreRequest
from quorate.plan import Gate
from quorate.restore import plan
from quorate.restoring.gates import closed
from quorate.settings.machines import Kubernetes
from tests.factory import LIVE, etcd_seen, inventory
from tests.manifests import AT, manifest

NOW = AT.timestamp()
DAY = 86400.0
CERT, PEER = "/pki/server.crt", "/pki/peer.crt"
ARGV = ("/usr/bin/etcd", f"--data-dir={LIVE}", f"--cert-file={CERT}", f"--peer-cert-file={PEER}")
UNIT = UnitSeen("etcd.service", "loaded", "active", argv=ARGV)
SOUND = NodeSeen(
    now=NOW,
    units={"etcd.service": UNIT},
    spaces={LIVE: 10**12},
    tools={"/usr/local/bin/etcdutl": "3.6.14"},
    signs=Signs(addresses=frozenset({"127.0.0.1"}), us="10.0.0.99"),
)
GOOD = Certificate("CN=b", NOW - DAY, NOW + 100 * DAY, ("127.0.0.1", "127.0.0.2", "127.0.0.3"))
FILES = {CERT: (GOOD,), PEER: (GOOD,)}
DOWN = ClusterSeen(
    nodes=dict.fromkeys("abc", SOUND),
    etcd=dict.fromkeys("abc", Silence("refused")),
    manifests=(manifest(),),
    certificates=dict.fromkeys("abc", FILES),
)
SA = Key("service-account-key-file", "/k/sa.pub", "1" * 64)
SIGNING = Key("service-account-signing-key-file", "/k/sa.key", "2" * 64)
ENCRYPTION = Key("encryption-provider-config", "/k/enc.yaml", "3" * 64)


def with_b(node: NodeSeen) -> ClusterSeen:
    return replace(DOWN, nodes={**DOWN.nodes, "b": node})


def told(signs: Signs, *argv: str) -> NodeSeen:
    units = {"etcd.service": replace(UNIT, argv=(*ARGV, *argv))}
    return replace(SOUND, units=units, signs=replace(signs, addresses=SOUND.signs.addresses, us=SOUND.signs.us))


def keys(**by_node: tuple[Key, ...]) -> ClusterSeen:
    return replace(DOWN, nodes={name: told(Signs(keys=by_node.get(name, ()))) for name in "abc"})


def certified(path: str, certificate: Certificate) -> ClusterSeen:
    return replace(DOWN, certificates={**DOWN.certificates, "b": {**FILES, path: (certificate,)}})


def calls(*addresses: str) -> ClusterSeen:
    return with_b(told(Signs(clients=dict.fromkeys(addresses, 2))))


def large(node: NodeSeen, size_bytes: int) -> ClusterSeen:
    return replace(with_b(node), manifests=(manifest().model_copy(update={"size_bytes": size_bytes}),))


LEARNS = etcd_seen("2", leader="", members=(MemberSeen("2", "b", (), (), learner=True),))
MIB = 2**20


def shut(seen: ClusterSeen, settings: Cluster) -> tuple[Gate, ...]:
    return closed(settings, seen, seen.manifests[-1])


@pytest.mark.parametrize(
    ("seen", "gate", "said"),
    [
        (
            certified(PEER, replace(GOOD, not_after=NOW + 6 * DAY)),
            "certificate",
            "b: /pki/peer.crt expires in 6.0 days",
        ),
        (
            certified(PEER, replace(GOOD, names=("b.example",))),
            "certificate",
            "b: /pki/peer.crt is not made out to 127.0.0.2: its names are b.example",
        ),
        (with_b(replace(SOUND, now=NOW + 31)), "clock-skew", "differ by 31 s: a +0 s, b +31 s, c +0 s"),
        (large(told(Signs(), f"--quota-backend-bytes={1000 * MIB}"), 801 * MIB), "quota", "to 80 % of 1000 MiB on b"),
        (replace(DOWN, etcd={**DOWN.etcd, "b": LEARNS}), "learner", "b is a learner"),
        (calls("10.9.9.9", "10.0.0.99"), "unknown-clients", "are connected: 10.9.9.9 at b"),
        (
            with_b(told(Signs(overrides="/events#https://10.0.0.5:2379"))),
            "second-etcd",
            "another etcd: /events#https://10.0.0.5:2379 (b)",
        ),
        (
            keys(a=(ENCRYPTION,), b=(replace(ENCRYPTION, sha256=""),)),
            "encryption-key-missing",
            "b has no /k/enc.yaml, which --encryption-provider-config names",
        ),
        (
            keys(a=(ENCRYPTION, SA), b=(ENCRYPTION, SA), c=(SA,)),
            "encryption-key-missing",
            "not the same on every node: a, b sha256 333333333333…; c not set",
        ),
        (
            keys(a=(SA, SIGNING), b=(SA, SIGNING), c=(replace(SA, sha256="4" * 64), SIGNING)),
            "pki-differs",
            "--service-account-key-file is not the same on every node: a, b sha256 111111111111…; c sha256 4",
        ),
    ],
)
def test_each_closes_its_own_gate_and_can_be_overridden(
    seen: ClusterSeen, gate: str, said: str, tmp_path: Path
) -> None:
    (found,) = shut(seen, inventory(tmp_path).clusters["demo"])
    assert (found.id, found.overridable) == (gate, True)
    assert said in found.evidence


@pytest.mark.parametrize(
    "seen",
    [
        DOWN,
        certified("/pki/other.crt", replace(GOOD, names=())),  # not one that is shown to anybody
        with_b(replace(SOUND, now=NOW + 29)),
        large(told(Signs(), f"--quota-backend-bytes={1000 * MIB}"), 799 * MIB),
        large(told(Signs(), "--quota-backend-bytes=$QUOTA"), 10 * MIB),
        calls("127.0.0.1", "127.0.0.3", "10.0.0.99"),
        replace(calls("10.9.9.9"), us=frozenset({"10.9.9.9"})),
        keys(a=(ENCRYPTION, SA), b=(ENCRYPTION, SA)),  # c runs no API server
        keys(a=(SA, replace(SA, sha256="5" * 64)), b=(replace(SA, sha256="5" * 64), SA)),
    ],
)
def test_what_is_as_it_should_be_closes_none(seen: ClusterSeen, tmp_path: Path) -> None:
    assert shut(seen, inventory(tmp_path).clusters["demo"]) == ()


def test_without_a_flag_etcd_has_two_gibibytes(tmp_path: Path) -> None:
    (found,) = shut(large(SOUND, 1700 * MIB), inventory(tmp_path).clusters["demo"])
    assert "83 % of 2048 MiB on a, 83 % of 2048 MiB on b" in found.evidence


def test_an_api_server_elsewhere_is_known_by_the_inventory(tmp_path: Path) -> None:
    there = Kubernetes(kubeconfig="file:/k", api_urls=("https://10.9.9.9:6443",))
    settings = inventory(tmp_path).clusters["demo"].model_copy(update={"kubernetes": there})
    assert shut(calls("10.9.9.9"), settings) == ()


def test_inspect_warns_of_a_certificate_before_it_is_a_cause(tmp_path: Path) -> None:
    seen = certified(PEER, replace(GOOD, not_after=NOW + DAY))
    seen = replace(seen, etcd={name: etcd_seen(name) for name in "abc"}, reads=dict.fromkeys("abc", 41))
    (found,) = diagnose(Case("demo", inventory(tmp_path).clusters["demo"], seen, AT))
    assert (found.id, found.level, found.message) == ("certificate", "WARN", "b: /pki/peer.crt expires in 1.0 days")
    assert found.next.startswith("ssh quorate@127.0.0.2 sudo install -m 0644 NEW.crt /pki/peer.crt")


def test_what_was_only_measured_changes_no_digest(tmp_path: Path) -> None:
    whole = inventory(tmp_path)
    request = RestoreRequest("r", "demo", whole.clusters["demo"], whole.stores["here"], "latest", "ann")
    digests = {
        plan(request, seen).chosen.digest()
        for seen in (DOWN, calls("10.9.9.9"), keys(a=(SA,)), certified(PEER, replace(GOOD, not_after=NOW - DAY)))
    }
    assert len(digests) == 1


def test_a_plan_says_how_long_the_lost_writes_reach_back(tmp_path: Path) -> None:
    whole = inventory(tmp_path)
    request = RestoreRequest("r", "demo", whole.clusters["demo"], whole.stores["here"], "latest", "ann")
    later = replace(DOWN, nodes=dict.fromkeys("abc", replace(SOUND, now=NOW + 3 * 3600 + 300)))
    said = "every write after 2026-11-21 10:45:00Z (revision 41), up to 3 h 5 min of them"
    assert plan(request, later).losses[0] == said
    assert plan(request, later).chosen.digest() == plan(request, DOWN).chosen.digest()
