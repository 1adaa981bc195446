"""What etcd is told on its command line, at a backup and before a restore."""

import pytest

from quorate.nodes.flags import changed, filled, recorded
from quorate.nodes.seen import UnitSeen

ETCD = "/usr/bin/etcd"
THEN = {"name": "m2", "quota-backend-bytes": "8589934592", "listen-client-urls": "https://10.0.0.2:2379"}
SAME = (ETCD, "--name=m2", "--quota-backend-bytes", "8589934592", "--listen-client-urls=https://10.0.0.2:2379")


def unit(argv: tuple[str, ...]) -> UnitSeen:
    return UnitSeen("etcd.service", "loaded", "active", argv=argv)


@pytest.mark.parametrize(
    ("argv", "differences"),
    [
        (SAME, []),
        (
            (*SAME, "--quota-backend-bytes=4294967296"),
            ["--quota-backend-bytes is 4294967296, at the backup it was 8589934592"],
        ),
        (SAME[:4], ["--listen-client-urls is not set, at the backup it was https://10.0.0.2:2379"]),
        ((*SAME, "--client-cert-auth"), ["--client-cert-auth is true, at the backup it was not set"]),
        ((*SAME, "--listen-metrics-urls="), ["--listen-metrics-urls is empty, at the backup it was not set"]),
    ],
)
def test_a_difference_names_both_values(argv: tuple[str, ...], differences: list[str]) -> None:
    assert list(changed(unit(argv), THEN)) == differences


@pytest.mark.parametrize(
    "flag",
    [
        "--initial-cluster=m2=https://10.0.0.2:2380",
        "--initial-cluster-state=existing",
        "--initial-cluster-token=other",
        "--discovery=https://discovery.etcd.io/1f",
        "--data-dir=/elsewhere",
        "--initial-advertise-peer-urls=https://10.0.0.3:2380",
    ],
)
def test_what_only_a_bootstrap_reads_or_the_inventory_says_is_not_compared(flag: str) -> None:
    assert list(changed(unit((*SAME, flag)), THEN)) == []


def test_variables_that_systemd_has_yet_to_fill_in_differ_from_nothing() -> None:
    stopped = (ETCD, "--name=${NAME}", "--quota-backend-bytes=${QUOTA}", "$MORE")
    assert not filled(unit(stopped))
    assert list(changed(unit(stopped), THEN)) == []
    assert list(changed(unit((*stopped, "--listen-client-urls=http://0.0.0.0:2379")), THEN)) == [
        "--listen-client-urls is http://0.0.0.0:2379, at the backup it was https://10.0.0.2:2379"
    ]


@pytest.mark.parametrize(
    ("word", "flag"),
    [
        ("--auth-token=jwt,priv-key=/k", {"auth-token": "***"}),
        ("--discovery=https://discovery.etcd.io/1f", {"discovery": "***"}),
        ("--discovery-password=hunter2", {"discovery-password": "***"}),
        ("--log-level=warn", {"log-level": "warn"}),
    ],
)
def test_what_could_be_a_secret_is_masked(word: str, flag: dict[str, str]) -> None:
    assert recorded(unit((ETCD, word))) == flag
    assert recorded(unit((ETCD, *word.split("=", 1)))) == flag
