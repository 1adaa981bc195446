"""What is laid in the sandbox is decided by what is seen there, and nothing but its own names is ever removed."""

from dataclasses import replace

import pytest

from quorate.converge import Await
from quorate.drills.sandbox import Trial, differing_hash, fit, heard, node_of
from quorate.errors import BadInput, CommandFailed, Refusal
from quorate.inventories.reading import parse
from quorate.members.etcd import HashKV
from quorate.nodes.seen import NodeSeen, PathSeen, UnitSeen
from tests.factory import INVENTORY, SSH

GOOD = INVENTORY.format(state="/state", store="/store")
WITH = GOOD + "    sandbox: {name: attic, host: 10.9.9.9}\n"
TRIAL = Trial("/var/lib/quorate/sandbox/data", "prove-1", "/usr/local/bin/etcd")


def seen(*paths: str, state: str = "inactive", size_bytes: int = 100) -> NodeSeen:
    pid = 0 if state in {"inactive", "failed"} else 7
    there = {path: PathSeen("directory", "root:root", "700", "1", size_bytes) for path in paths}
    return NodeSeen(paths=there, units={TRIAL.unit: UnitSeen(TRIAL.unit, "loaded", state, pid=pid)})


class TestInventory:
    def test_a_sandbox_is_a_cluster_of_its_own_and_reached_as_the_members_unless_it_says_otherwise(self) -> None:
        settings = parse(WITH, "q.yaml").clusters["demo"]
        assert settings.sandbox
        node = node_of(settings, settings.sandbox)
        assert (node.name, node.host, node.cluster, node.ssh) == ("attic", "10.9.9.9", "sandbox", settings.ssh)
        other = settings.sandbox.model_copy(update={"ssh": SSH})
        assert node_of(settings, other).ssh == SSH

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("sandbox: {host: 127.0.0.2}", "clusters.demo.sandbox.host: is a member's, of demo: 127.0.0.2"),
            ("sandbox: {name: attic}", "clusters.demo.sandbox.host"),
            ("sandbox: {host: h, data_dir: /a/../b}", "clusters.demo.sandbox.data_dir"),
            ("sandbox: {host: h, colour: red}", "clusters.demo.sandbox.colour"),
        ],
    )
    def test_what_is_wrong_is_told_with_its_line_and_its_field(self, line: str, told: str) -> None:
        text = f"{GOOD}    {line}\n"
        with pytest.raises(BadInput) as raised:
            parse(text, "q.yaml")
        (said,) = str(raised.value).splitlines()
        assert said.startswith(f"q.yaml:{len(text.splitlines())}: {told}")

    def test_a_machine_of_another_cluster_is_none_either(self) -> None:
        other = GOOD.partition("  demo:")[2].replace("127.0.0.", "127.0.1.")
        text = f"{WITH}  far:{other}".replace("10.9.9.9", "127.0.1.3")
        with pytest.raises(BadInput, match=r"clusters.demo.sandbox.host: is a member's, of far: 127.0.1.3"):
            parse(text, "q.yaml")

    def test_proofs_on_a_schedule_need_one(self) -> None:
        text = GOOD.replace("store: here}", "store: here, restore_within: 1d}")
        with pytest.raises(BadInput, match=r"q.yaml:13: clusters.demo.backup.restore_within: needs a sandbox"):
            parse(text, "q.yaml")
        assert parse(text + "    sandbox: {host: h}\n", "q.yaml").clusters["demo"].backup.restore_within == 86400


class TestRestore:
    def test_it_is_checked_restored_without_a_bump_and_named_last(self) -> None:
        acts = TRIAL.restore("/etcdutl", "ab" * 32, seen(TRIAL.home, TRIAL.snapshot))
        assert isinstance(acts, tuple)
        assert [act.argv[0] for act in acts] == ["sh", "rm", "/etcdutl", "rm", "mv"]
        assert acts[0].argv[-1] == "ab" * 32
        assert not any("bump" in word or "compacted" in word for word in acts[2].argv)
        assert acts[-1].argv == ("mv", "-T", TRIAL.part, TRIAL.data)

    def test_what_is_restored_is_not_restored_again(self) -> None:
        there = seen(TRIAL.home, TRIAL.data)
        assert (TRIAL.restore("/etcdutl", "", there), TRIAL.needs_snapshot(there, 100)) == ((), False)

    def test_a_transfer_that_was_cut_off_is_begun_anew(self) -> None:
        assert TRIAL.needs_snapshot(seen(TRIAL.home), 100)
        assert TRIAL.needs_snapshot(seen(TRIAL.home, TRIAL.snapshot, size_bytes=60), 100)
        assert not TRIAL.needs_snapshot(seen(TRIAL.home, TRIAL.snapshot), 100)
        assert TRIAL.arriving(4, 1) != TRIAL.arriving(4, 2)


class TestStart:
    def test_it_has_a_network_of_its_own_or_does_not_start(self) -> None:
        (act,) = TRIAL.start(seen(TRIAL.data), 0)  # type: ignore[misc]
        assert {"--property=PrivateNetwork=yes", f"--property=ReadWritePaths={TRIAL.home}"} <= set(act.argv)
        assert all("127.0.0.1" in word for word in act.argv if word.startswith("--listen-"))
        assert act.given == (TRIAL.data,)

    def test_it_is_waited_for_and_a_failure_is_told(self) -> None:
        assert TRIAL.start(seen(TRIAL.data, state="active"), 0) == ()
        assert isinstance(TRIAL.start(seen(TRIAL.data, state="activating"), 0), Await)
        with pytest.raises(CommandFailed, match="does not run on what was restored"):
            TRIAL.start(seen(TRIAL.data, state="failed"), 0)


class TestRemove:
    @pytest.mark.parametrize("state", ["active", "activating", "deactivating", "failed", "inactive"])
    def test_whatever_is_there_goes_and_it_is_only_its_own(self, state: str) -> None:
        acts = TRIAL.remove(seen(TRIAL.home, state=state), 0)
        assert isinstance(acts, tuple)
        for act in acts:
            assert act.argv[-1] in {TRIAL.unit, TRIAL.home}
        stops = [act.argv[1] for act in acts if act.argv[0] == "systemctl"]
        assert stops == {"inactive": [], "failed": ["reset-failed"]}.get(state, ["stop"])
        assert TRIAL.remove(seen(), 0) == ()

    def test_an_api_server_on_top_is_stopped_before_it(self) -> None:
        both = {unit: UnitSeen(unit, "loaded", "active", pid=7) for unit in (TRIAL.unit, TRIAL.api_unit)}
        acts = TRIAL.remove(replace(seen(TRIAL.home), units=both), 0)
        assert isinstance(acts, tuple)
        assert [act.argv[-1] for act in acts] == [TRIAL.api_unit, TRIAL.unit, TRIAL.home]
        assert TRIAL.api_unit in TRIAL.look().units
        assert TRIAL.gone().argv[-3:] == (TRIAL.home, TRIAL.unit, TRIAL.api_unit)

    def test_a_person_is_told_what_to_type(self) -> None:
        settings = parse(WITH, "q.yaml").clusters["demo"]
        assert settings.sandbox
        told = TRIAL.by_hand(node_of(settings, settings.sandbox))
        assert told.startswith("ssh quorate@10.9.9.9 sudo sh -c ")
        assert f"systemctl stop {TRIAL.unit}; rm -rf {TRIAL.home}" in told


@pytest.mark.parametrize(
    ("said", "why"),
    [("etcd Version: 3.5.33\nGit SHA: x", "is 3.5.33"), ("", "does not run"), ("sh: not found", "does not run")],
)
def test_an_etcd_of_another_minor_version_is_refused(said: str, why: str) -> None:
    with pytest.raises(Refusal, match=f"has no etcd 3.6, which the backup is of: /etcd {why}"):
        fit(said, "3.6.14", "/etcd", "attic")
    fit("etcd Version: 3.6.1", "3.6.14", "/etcd", "attic")


def test_either_way_to_ask_is_heard_and_no_answer_is_a_failure() -> None:
    peer = '{"header":{"revision":1},"hash":1084519789,"compact_revision":-1,"hash_revision":1}'
    gateway = '{"header":{"revision":"1"}, "hash":1084519789, "compact_revision":"-1", "hash_revision":"1"}'
    older = '{"header":{"revision":5},"hash":1084519789,"compact_revision":-1}'
    assert heard(peer, 1) == heard(gateway, 1) == heard(older, 1) == HashKV(1084519789, 1, -1)
    for said in ("", "[]", "mvcc: required revision is a future revision", '{"hash": 1}'):
        with pytest.raises(CommandFailed, match="does not tell its hash"):
            heard(said, 41)


def test_another_hash_is_told_with_both() -> None:
    found = HashKV(7, 41, -1)
    assert differing_hash(found, 7) == ""
    assert "HashKV 7 at revision 41, the cluster had 8" in differing_hash(replace(found), 8)
