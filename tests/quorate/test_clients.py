from dataclasses import replace

import pytest

from quorate.errors import Failed
from quorate.nodes.clients import TABLE, Clients
from quorate.nodes.seen import NodeSeen, PathSeen, UnitSeen

ETCD = Clients("etcd.service", (2379,))
FILE = PathSeen("regular file", "root:root", "644", "1", 0)
LAID = NodeSeen(
    paths={ETCD.rules: FILE, ETCD.drop_in: FILE},
    units={"etcd.service": UnitSeen("etcd.service", "loaded", "active", drop_ins=(ETCD.drop_in,))},
)
LOADED = replace(LAID, tables=frozenset({TABLE}))


def test_the_port_is_shut_by_the_next_start_and_what_runs_is_left_alone() -> None:
    acts = [str(act) for act in ETCD.close(NodeSeen(), 0)]  # type: ignore[union-attr]
    assert acts[-1] == "systemctl daemon-reload"
    assert not [act for act in acts if "nft" in act.split()[0]]
    assert ETCD.close(LAID, 0) == ()


def test_a_drop_in_that_systemd_has_not_read_shuts_nothing() -> None:
    unread = replace(LAID, units={"etcd.service": UnitSeen("etcd.service", "loaded", "active")})
    assert ETCD.close(unread, 0) != ()


def test_clients_are_admitted_before_the_files_go() -> None:
    acts = [str(act) for act in ETCD.admit(LOADED, 0)]  # type: ignore[union-attr]
    assert acts == [
        f"/usr/sbin/nft delete table {TABLE}",
        f"rm -f {ETCD.drop_in} {ETCD.rules}",
        "sync /etc/systemd/system/etcd.service.d /var/lib/quorate/fence",
        "systemctl daemon-reload",
    ]
    assert ETCD.admit(NodeSeen(), 0) == ()


def test_an_etcd_that_runs_without_the_rule_is_a_failure() -> None:
    ETCD.shut(LOADED)
    with pytest.raises(Failed, match="not loaded"):
        ETCD.shut(LAID)


def test_without_a_firewall_nothing_is_asked_of_it() -> None:
    bare = replace(ETCD, firewall=False)
    assert bare.close(NodeSeen(), 0) == ()
    bare.shut(NodeSeen())
