"""A quorum that is lost while one disk is sound: what that member holds comes back, not only the last backup."""

import pytest

from deploy.lab.lab import digest, load, node_exec, wreck
from tests.e2e.product import Product, on_node, until
from tests.e2e.test_restore import get, put, revision

pytestmark = pytest.mark.lab


def stop_everywhere(product: Product, *nodes: int) -> None:
    """As a power cut leaves them: killed, and with nobody to start them again."""
    for node in nodes:
        on_node(product.lab, "systemctl kill -s KILL etcd; systemctl stop etcd", node)


def put_works(product: Product, key: str) -> bool:
    """Not while the others elect a leader."""
    try:
        put(product, key)
    except AssertionError:
        return False
    return True


def test_a_member_that_still_answers_gives_back_every_write(bare: Product) -> None:
    load(bare.lab, 4)
    put(bare, "after-the-backup")
    before, highest = digest(bare.lab), revision(bare)
    wreck(bare.lab, "quorum-loss")
    survivor = next(n.name for n in bare.lab.nodes if node_exec(bare.lab, n.name, ["pidof", "etcd"])[0] == 0)
    result = bare.restore("--from-member", survivor)
    assert (result["outcome"], result["revision"]) == ("restored", highest)
    assert digest(bare.lab) == before
    assert get(bare, "after-the-backup") == "x"
    assert result["served_revision"] > highest
    listed = bare.json("snapshots", "show", result["snapshot"])
    assert f"taken from {survivor} alone by {result['operation']}" in str(listed)
    assert bare.json("inspect", bare.cluster)["findings"] == []


def test_what_only_the_log_of_a_killed_member_has_comes_back_too(bare: Product) -> None:
    """Its database lacks the newest writes; etcd replays them on a copy, of which nothing is left."""
    name = bare.lab.nodes[2].name
    for number in range(3):
        put(bare, f"/late/{number}")
    before = digest(bare.lab)
    stop_everywhere(bare, 0, 1, 2)
    for node in (0, 1):
        on_node(bare.lab, "rm -rf /var/lib/etcd/default/*", node)
    plan = bare.json("plan", "restore", bare.cluster, "--from-member", name)
    assert "replay" in [step["id"] for step in plan["steps"]]
    result = bare.restore("--from-member", name)
    assert result["outcome"] == "restored"
    assert digest(bare.lab) == before
    assert on_node(bare.lab, "ls -d /var/lib/etcd/default.*-copy* 2>/dev/null || true", 2) == ""
    assert on_node(bare.lab, "systemctl list-units --all --no-legend 'quorate-scratch-*'", 2).strip() == ""


def test_a_database_whose_log_is_lost_comes_back_only_when_somebody_says_so(bare: Product) -> None:
    """What is loaded here was written to the database long before: nothing is missing but what nobody can know."""
    name = bare.lab.nodes[2].name
    load(bare.lab, 4)
    until(lambda: put_works(bare, "the-last"))
    before = digest(bare.lab)
    stop_everywhere(bare, 0, 1)
    on_node(bare.lab, "systemctl stop etcd", 2)
    for node in (0, 1):
        on_node(bare.lab, "rm -rf /var/lib/etcd/default/*", node)
    on_node(bare.lab, "rm -rf /var/lib/etcd/default/member/wal", 2)
    refused = bare.json("plan", "restore", bare.cluster, "--from-member", name, exit_code=4)
    assert [gate["id"] for gate in refused["refusals"]] == ["wal-not-replayed"]
    assert any("only the log" in loss for loss in refused["losses"])
    override = ("--override-gate", "wal-not-replayed", "--reason", "nothing else is left")
    result = bare.restore("--from-member", name, *override)
    assert (result["outcome"], digest(bare.lab)) == ("restored", before)
    assert on_node(bare.lab, "ls -d /var/lib/etcd/default.*-copy* 2>/dev/null || true", 2) == ""


def test_after_clients_were_let_in_the_way_back_is_a_restore_of_what_was_kept(bare: Product) -> None:
    """Over a cluster that serves, so somebody has to say so; what was written since the restore is given up."""
    bare.backup()
    put(bare, "younger-than-the-backup")
    wanted = digest(bare.lab)
    why = ("--override-gate", "quorum-healthy", "--reason", "the wrong backup")
    wrong = bare.restore(*why)
    put(bare, "younger-than-the-restore")
    highest = revision(bare)
    refused = bare.json("rollback", wrong["operation"], exit_code=4)
    assert f"--from-kept {wrong['operation']}" in refused["error"]["next"]
    plan = bare.json("plan", "restore", bare.cluster, "--from-kept", wrong["operation"], exit_code=4)
    assert [gate["id"] for gate in plan["refusals"]] == ["quorum-healthy"]
    served = wrong["served_revision"]
    lost = f"at least {highest - served} revisions: it began at {served}, {highest} is served now"
    assert any(lost in loss for loss in plan["losses"])
    result = bare.restore("--from-kept", wrong["operation"], *why)
    assert (result["outcome"], digest(bare.lab)) == ("restored", wanted)
    assert result["served_revision"] > highest
    assert (get(bare, "younger-than-the-backup"), get(bare, "younger-than-the-restore")) == ("x", "")
    assert bare.json("inspect", bare.cluster)["findings"] == []


def test_of_two_disks_the_one_that_is_behind_is_not_taken_unasked(bare: Product) -> None:
    names = [node.name for node in bare.lab.nodes]
    stop_everywhere(bare, 1)
    until(lambda: put_works(bare, "without-the-second"))
    stop_everywhere(bare, 0, 2)
    refused = bare.json("plan", "restore", bare.cluster, "--from-member", names[1], exit_code=4)
    (gate,) = [gate for gate in refused["refusals"] if gate["id"] == "not-the-newest"]
    assert names[0] in gate["evidence"]
    assert bare.json("plan", "restore", bare.cluster, "--from-member", names[0])["refusals"] == []
    for node in range(3):
        on_node(bare.lab, "systemctl start --no-block etcd", node)


def test_a_member_that_holds_nothing_is_named_and_nothing_is_changed(bare: Product) -> None:
    answer = bare.json("plan", "restore", bare.cluster, "--from-member", "nobody", exit_code=2)
    assert "has no member nobody" in answer["error"]["message"]


def test_without_the_nodes_that_are_gone_the_rest_is_a_cluster_and_they_stay_out(bare: Product) -> None:
    """The last test of this lab: it ends with one member. A node that was given up comes back with its old data."""
    names = [node.name for node in bare.lab.nodes]
    backup = bare.backup()
    for name in names[1:]:
        wreck(bare.lab, "stop-node", name)
    refused = bare.json("plan", "restore", bare.cluster, "--without", names[1], "--without", names[2], exit_code=4)
    assert [gate["id"] for gate in refused["refusals"]] == ["majority-unreachable"]
    vouched = [word for name in names[1:] for word in ("--without", name, "--powered-off", f"{name}=it is a test")]
    result = bare.restore("--snapshot", backup["snapshot"], *vouched)
    assert result["outcome"] == "restored"
    assert any("etcdctl member add" in finding for finding in result["findings"])
    put(bare, "served-by-one")
    wreck(bare.lab, "start-node", names[2])
    until(lambda: node_exec(bare.lab, names[2], ["pidof", "etcd"])[0] == 0, poll_s=0.2)
    for port, here, there in ((2379, 0, 2), (2379, 2, 0), (2380, 2, 0)):
        address = bare.lab.nodes[there].address
        code, _ = node_exec(bare.lab, names[here], ["bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"])
        assert code != 0, f"{names[here]} reaches {address}:{port}"
    on_node(bare.lab, "systemctl restart etcd", 0)
    until(lambda: put_works(bare, "after-a-restart"))
    assert get(bare, "served-by-one") == "x"
