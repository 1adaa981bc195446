"""The screen at 3 a.m. on a real cluster: whole, with a node that hangs, with two dead, with what was published."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from deploy.lab import engine
from deploy.lab.lab import Lab
from tests.e2e.product import Product, on_node, until

pytestmark = pytest.mark.lab
DEAD_S, SILENCE_S = 8.0, 5.0
UNIT = "$(systemctl show -p FragmentPath --value etcd.service)"
RESTART = "systemctl daemon-reload; systemctl reset-failed etcd; systemctl restart etcd"
DROP_IN = "/run/systemd/system/etcd.service.d/published.conf"
TABLES = (
    "MEMBER ROLE HEALTH REVISION LAG DB IN USE OF QUOTA ALARMS VERSION",
    "NODE SSH ETCD UNIT DISK FREE FSYNC P99 CERTIFICATE ENDS",
    "NODE KUBE-APISERVER KUBE-CONTROLLER-MANAGER KUBE-SCHEDULER",
    "BACKUP AGE REVISION SIZE OUTCOME",
)


@contextmanager
def hanging(made: Lab, *numbers: int) -> Iterator[None]:
    """Its kernel takes connections, and nothing of the node ever says a word: the longest that silence can take."""
    containers = [engine.connect(print).containers.get(made.nodes[number].container) for number in numbers]
    for each in containers:
        each.pause()
    try:
        yield
    finally:
        for each in containers:
            each.unpause()


def well(quorate: Product) -> None:
    until(lambda: quorate.run("inspect", quorate.cluster).returncode == 0, deadline_s=120, poll_s=0.5)


def advice(said: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in said["advice"]}


def test_a_healthy_cluster_is_one_screen_that_names_everybody(whole: Product) -> None:
    names = [node.name for node in whole.lab.nodes]
    well(whole)
    done = whole.run("inspect", whole.cluster)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    head = [" ".join(line.split()) for line in lines]
    assert all(table in head for table in TABLES)
    assert all(sum(line.startswith(f"{name} ") for line in lines) == 3 for name in names)
    assert sum(" leader " in line for line in lines) == 1
    assert "nothing is wrong" in lines
    assert any(line.startswith("etcd 3.6.") and " · Kubernetes 1." in line for line in lines)
    tables = lines[: lines.index("nothing is wrong")]
    assert max(map(len, tables)) <= 120


def test_the_object_holds_what_the_screen_shows(whole: Product) -> None:
    well(whole)
    said = whole.json("inspect", whole.cluster)
    assert said["findings"] == []
    assert {each["level"] for each in said["advice"]} <= {"NOTE"}
    assert said["kubernetes_nodes"] is not None
    assert len(set(said["versions"]["kubernetes"].values())) == 1
    for member in said["members"]:
        assert member["behind"] >= 0
        assert 0 < member["fsync_p99_s"] < 60
        assert 0 < member["machine"]["certificate"]["days_left"] < 400
        assert member["machine"]["disk_free_bytes"] > 0
        assert member["machine"]["memory_bytes"] > 0
        assert member["machine"]["cpus"] > 0


def test_one_node_that_hangs_is_silent_and_the_others_are_told(whole: Product) -> None:
    name = whole.lab.nodes[2].name
    with hanging(whole.lab, 2):
        said = whole.json("inspect", whole.cluster, exit_code=3)
    assert said["quorum"]["holds"]
    assert {each["name"] for each in said["members"] if "error" in each} == {name}
    assert not next(each for each in said["members"] if each["name"] == name)["node"]["reachable"]
    assert "member-lost" in {each["id"] for each in said["findings"]}
    well(whole)


def test_with_two_of_three_nodes_dead_it_answers_in_time(whole: Product) -> None:
    """Where others have the machine too a start alone may take that long, and silence adds no more than its share."""
    well(whole)
    healthy_s = min(timed(whole, 0) for _ in range(3))
    with hanging(whole.lab, 1, 2):
        dead_s = min(timed(whole, 3) for _ in range(3))
        first, *_ = whole.json("inspect", whole.cluster, exit_code=3)["findings"]
    assert first["id"] == "majority-unreachable"
    assert dead_s <= max(DEAD_S, healthy_s + SILENCE_S)
    well(whole)


def timed(quorate: Product, exit_code: int) -> float:
    began = time.monotonic()
    assert quorate.run("inspect", quorate.cluster).returncode == exit_code
    return time.monotonic() - began


def test_a_flag_that_no_etcd_has_is_why_a_member_is_gone_and_what_is_ignored_is_advice(whole: Product) -> None:
    made = whole.lab
    bad, told = made.nodes[1].name, made.nodes[2].name
    variables = "ETCD_AUTO_SNAPSHOT=true ETCD_ELECTION_TIMEOUT=900 ETCD_AUTO_COMPACTION_RETENTION=8"
    on_node(made, f"cp {UNIT} /root/unit; sed -i 's|--name=|--experimental-compression=true --name=|' {UNIT}", 1)
    on_node(made, f"{RESTART} || true", 1)
    on_node(made, f"mkdir -p $(dirname {DROP_IN}); printf '[Service]\\nEnvironment={variables}\\n' >{DROP_IN}", 2)
    script = "#!/bin/sh\\netcdctl snapshot save /b/x.db\\nfind /b -mtime +7 -delete\\n"
    on_node(
        made, f"printf '{script}' >/root/etcd-backup.sh; echo '0 2 * * * root /root/etcd-backup.sh' >/etc/cron.d/b", 2
    )
    try:
        on_node(made, f"{RESTART} || true", 2)
        until(lambda: on_node(made, "systemctl is-active etcd || true", 2) in {"active", "activating"})
        lost = whole.json("inspect", whole.cluster, exit_code=3)
    finally:
        on_node(made, f"cp /root/unit {UNIT}; {RESTART}", 1)
    assert f"{bad}: etcd does not start with --experimental-compression" in json.dumps(lost["findings"])
    until(lambda: whole.run("inspect", whole.cluster).returncode == 0, deadline_s=120, poll_s=0.5)
    try:
        said = advice(whole.json("inspect", whole.cluster))
    finally:
        on_node(made, f"rm -f {DROP_IN} /root/etcd-backup.sh /etc/cron.d/b; {RESTART}", 2)
    assert "`auto-snapshot`" in said["flag-ignored"]["message"]
    assert said["election-timeout"]["message"].endswith(told)
    assert f"{told} 100/900 ms" in said["timing-differs"]["message"]
    assert said["compaction-twice"]["message"].endswith(f"{told} 8")
    assert f"{told}: /root/etcd-backup.sh deletes backups by their age alone" in said["cron-deletes"]["message"]
    assert "cron-snapshot" in said
    well(whole)
    gone = {"flag-ignored", "election-timeout", "timing-differs", "compaction-twice", "cron-deletes", "cron-snapshot"}
    assert not gone & set(advice(whole.json("inspect", whole.cluster)))
