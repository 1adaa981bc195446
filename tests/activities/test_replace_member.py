"""`quorate replace-member`: nobody is removed whom the quorum needs, and what is done is found and not done again."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from activities.clusters.remains import Remains
from activities.recording.recorded import RecordedEtcds
from activities.restoring.replacing import Replacing
from quorate import replace_member
from quorate.adoption import adopted
from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.errors import BadInput, Busy, Failed, Refusal, Unreachable
from quorate.members.etcd import HashKV, MemberSeen
from quorate.members.membership import Votes, apart, newcomer, not_whole, odd, row_of, without
from quorate.nodes.joining import Joining, joiner_of, peer_tls
from quorate.nodes.kept import named
from quorate.nodes.node import DataDir
from quorate.nodes.seen import NodeSeen, PathSeen, UnitSeen
from quorate.nodes.swapped import Looks
from quorate.operation import EXIT, Outcome
from quorate.plan import Choice, Gate, Plan
from quorate.task import ClusterTask
from tests.factory import JOINER, LIVE, etcd_seen, replacing
from tests.fakes.etcd import FakeCluster
from tests.fakes.machine import FakeHosts
from tests.fences import Fences
from tests.manifests import manifest
from tests.runbooks import Rehearsal
from tests.workflows.test_backup import Clock, Notebook
from tests.world import held, resolve

pytestmark = pytest.mark.slow

MINE, THEIRS = HashKV(7, 41, 3), HashKV(9, 41, 3)
ALIKE = dict.fromkeys("abc", MINE)
DIRECTORY = PathSeen("directory", "etcd:etcd", "700", "1", 4096)


@pytest.fixture
def fences(temporal: WorkflowEnvironment, tmp_path: Path) -> Fences:
    """The etcd of member a has failed."""
    world = Fences(temporal.client, tmp_path)
    world.machines["a"].units["etcd.service"].state = "failed"
    return world


@pytest.fixture
def dry(tmp_path: Path) -> Fences:
    """Without a server: only looked at and planned; all is well."""
    return Fences(None, tmp_path)  # type: ignore[arg-type]


@dataclass
class Seen:
    """A cluster of five members at most, as it is planned for."""

    dry: Fences
    names: str = "abc"
    down: str = ""
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)  # of one member's etcd
    rows: tuple[MemberSeen, ...] = ()
    read: str = "abcde"

    def __call__(self, **more: Any) -> ClusterSeen:
        members = self.dry.settings.members
        urls = {m.name: m.peer_urls for m in members}
        rows = self.rows or tuple(MemberSeen(n, n, urls.get(n, (f"https://{n}:1",)), ()) for n in self.names)
        up = [name for name in self.names if name not in self.down]
        etcd = {
            name: etcd_seen(name, **{"members": rows, "leader": "b", **self.changes.get(name, {})})
            if name in up
            else Silence("does not answer")
            for name in self.names
        }
        reads = {name: 41 for name in up if name in self.read} if len(up) > len(self.names) // 2 else {}
        whole = replace(self.dry.seen, etcd=etcd, reads=reads)
        return replace(whole, **more)


def planned(dry: Fences, seen: ClusterSeen, hashes: Any = ALIKE, **more: Any) -> Plan:
    return replace_member.plan(dry.request("replace-member", **more), seen, hashes)


def shut(plan: Plan) -> list[str]:
    return [gate.id for gate in plan.refusals]


class TestGates:
    def test_a_dead_member_is_replaced_while_the_others_hold(self, dry: Fences) -> None:
        plan = planned(dry, Seen(dry, down="a")())
        assert (plan.refusals, plan.chosen.replaced and plan.chosen.replaced.former) == ((), "a")
        assert plan.quorum == (
            "now: 2 of 3 with a vote are up, 2 are needed: no other may fail meanwhile",
            "once a is stopped: 2 of 3 with a vote are up, 2 are needed: no other may fail meanwhile",
            "once it is removed: 2 of 2 with a vote are up, 2 are needed: no other may fail meanwhile",
            "once it is added and joins: the same, for a learner has no vote",
            "once it is promoted: 3 of 3 with a vote are up, 2 are needed: 1 more may fail",
        )

    def test_one_that_answers_and_agrees_only_when_somebody_says_why(self, dry: Fences) -> None:
        plan = planned(dry, Seen(dry)())
        assert [(gate.id, gate.overridable) for gate in plan.refusals] == [("member-healthy", True)]
        assert "a: 7" in plan.refusals[0].evidence
        allowed = planned(dry, Seen(dry)(), overrides=("member-healthy",))
        assert (allowed.refusals, [gate.id for gate in allowed.overridden]) == ((), ["member-healthy"])

    def test_the_odd_one_out_is_no_healthy_member(self, dry: Fences) -> None:
        assert planned(dry, Seen(dry)(), {**ALIKE, "a": THEIRS}).refusals == ()

    def test_nor_is_one_that_is_in_a_cluster_of_its_own(self, dry: Fences) -> None:
        assert planned(dry, Seen(dry, changes={"a": {"cluster_id": "c9"}})()).refusals == ()

    @pytest.mark.parametrize("down", ["ab", "bc", "abc"])
    def test_without_a_quorum_nobody_is_removed(self, dry: Fences, down: str) -> None:
        plan = planned(dry, Seen(dry, down=down)())
        assert "no-quorum" in shut(plan)
        assert not any(gate.overridable for gate in plan.refusals if gate.id in {"no-quorum", "quorum-at-risk"})

    def test_nobody_is_removed_while_the_quorum_needs_them(self, dry: Fences) -> None:
        """Three answer and one of the others is down: without this one a single member would be left."""
        plan = planned(dry, Seen(dry, down="c")(), overrides=("member-healthy",))
        assert Gate("quorum-at-risk", plan.refusals[0].evidence, overridable=False) in plan.refusals
        assert "1 of 2 with a vote are up, 2 are needed" in plan.refusals[0].evidence

    def test_of_five_one_may_be_replaced_while_another_is_down_where_etcd_adds_somebody_then(
        self, dry: Fences
    ) -> None:
        old = {name: {"version": "3.5.21"} for name in "bcde"}
        assert shut(planned(dry, Seen(dry, "abcde", down="ae", changes=old)())) == ["another-down"]
        new = {name: {"version": "3.6.14"} for name in "bcde"}
        assert shut(planned(dry, Seen(dry, "abcde", down="ae", changes=new)())) == []

    def test_there_is_room_for_one_learner(self, dry: Fences) -> None:
        rows = tuple(MemberSeen(n, n, (f"https://{n}:1",), (), learner=n == "c") for n in "abc")
        assert "learner" in shut(planned(dry, Seen(dry, rows=rows, down="a")()))

    def test_what_an_aborted_replacement_has_left_of_this_member_is_no_other_learner(self, dry: Fences) -> None:
        urls = {m.name: m.peer_urls for m in dry.settings.members}
        rows = tuple(MemberSeen(n, n if n != "a" else "", urls[n], (), learner=n == "a") for n in "abc")
        plan = planned(dry, Seen(dry, rows=rows, down="a")())
        assert (shut(plan), plan.chosen.replaced and plan.chosen.replaced.former) == ([], "a")

    def test_nobody_joins_others_that_differ(self, dry: Fences) -> None:
        plan = planned(dry, Seen(dry, down="a")(), {"b": MINE, "c": THEIRS})
        assert [(gate.id, gate.overridable) for gate in plan.refusals] == [("members-differ", False)]

    def test_hashes_of_two_compactions_say_nothing(self, dry: Fences) -> None:
        assert (
            planned(dry, Seen(dry, down="a")(), {"b": MINE, "c": replace(THEIRS, compact_revision=5)}).refusals == ()
        )

    def test_the_alarm_of_another_is_seen_to_first(self, dry: Fences) -> None:
        alarm = {name: {"alarms": (("c", "CORRUPT"),)} for name in "bc"}
        assert shut(planned(dry, Seen(dry, down="a", changes=alarm)())) == ["corrupt"]

    def test_an_alarm_that_names_nobody_is_of_whoever_differs(self, dry: Fences) -> None:
        """Nobody reads under it; a majority that knows its leader is the quorum then."""
        alarm = {name: {"alarms": (("0", "CORRUPT"),)} for name in "abc"}
        seen = Seen(dry, changes=alarm, read="")()
        assert shut(planned(dry, seen, {**ALIKE, "a": THEIRS})) == []
        assert shut(planned(dry, seen, ALIKE)) == ["corrupt", "member-healthy"]

    def test_an_impostor_and_mixed_ids_among_the_others_are_not_copied(self, dry: Fences) -> None:
        assert "impostor" in shut(planned(dry, Seen(dry, down="a")(manifests=(manifest(revision=1000),))))
        mixed = Seen(dry, down="a", changes={"c": {"cluster_id": "c9"}})()
        assert "mixed-ids" in shut(planned(dry, mixed))

    def test_a_node_that_is_silent_is_neither_fenced_nor_claimed(self, dry: Fences) -> None:
        for name in "ac":
            seen = Seen(dry, down="a")()
            seen = replace(seen, nodes={**seen.nodes, name: Silence(f"{name} is away")})
            assert "node-unreachable" in shut(planned(dry, seen))

    def test_a_node_without_an_etcd_is_told_before_anything_is_removed(self, dry: Fences) -> None:
        dry.machines["a"].units["etcd.service"].argv = ()
        assert shut(planned(dry, Seen(dry, down="a")())) == ["no-program"]

    def test_the_whole_database_has_to_fit_beside_what_is_kept(self, dry: Fences) -> None:
        dry.machines["a"].free_bytes = 100 * 2**20
        (gate,) = planned(dry, Seen(dry, down="a")()).refusals
        assert (gate.id, gate.overridable) == ("no-space", False)

    def test_nodes_that_an_operation_has_claimed_are_left_to_it(self, dry: Fences) -> None:
        dry.machines["b"].claim = ("restore-1", 4, 1)
        with pytest.raises(Busy, match="restore-1 has claimed b"):
            planned(dry, Seen(dry, down="a")())


class TestPlan:
    def test_only_the_members_own_etcd_is_stopped(self, dry: Fences) -> None:
        plan = planned(dry, Seen(dry, down="a")())
        assert all(share.control == () and not share.clients.firewall for share in plan.chosen.shares)
        alone = {"check", "bar", "fence", "join", "swap", "start", "unbar"}
        for step in plan.chosen.steps:
            places = [task.share.member for task in plan.tasks(step, 1, "ann") if not isinstance(task, ClusterTask)]
            assert places == (["a"] if step.key in alone else ["a", "b", "c"] if step.place == "node" else [])

    def test_after_the_removal_there_is_no_rollback(self, dry: Fences) -> None:
        plan = planned(dry, Seen(dry, down="a")())
        offered = {step.key: plan.choices(step) for step in plan.chosen.steps}
        assert [key for key, choices in offered.items() if not choices] == ["claim", "check", "bar", "fence", "weigh"]
        assert {offered[key] for key in ("remove", "join", "swap", "release")} == {(Choice.RETRY, Choice.ABORT)}

    def test_two_plans_of_one_cluster_have_one_digest_however_far_it_went_on(self, dry: Fences) -> None:
        first = planned(dry, Seen(dry, down="a")())
        later = {name: {"revision": 99, "db_bytes": 10**7} for name in "bc"}
        second = planned(dry, Seen(dry, down="a", changes=later)(), operation="replace-member-9")
        assert first.chosen.digest() == second.chosen.digest()
        assert first.size_bytes != second.size_bytes

    def test_who_is_meant_is_whoever_differs_from_most(self, dry: Fences) -> None:
        plan = planned(dry, Seen(dry)(), {**ALIKE, "c": THEIRS}, member="")
        assert plan.chosen.replaced
        assert plan.chosen.replaced.member == "c"
        for hashes in (ALIKE, {"a": MINE, "b": THEIRS}, {}):
            with pytest.raises(BadInput, match="no single member is the odd one out"):
                planned(dry, Seen(dry)(), hashes, member="")
        with pytest.raises(BadInput, match="has no member 'x'"):
            planned(dry, Seen(dry)(), member="x")

    def test_a_member_on_a_new_host_is_the_one_of_that_name(self, dry: Fences) -> None:
        rows = tuple(MemberSeen(n, n, (f"https://old-{n}:1",), (f"https://old-{n}:2",)) for n in "abc")
        plan = planned(dry, Seen(dry, rows=rows, down="a")())
        assert plan.chosen.replaced
        assert plan.chosen.replaced.former == "a"
        assert any("https://old-a:1 was not fenced" in each for each in plan.afterwards)
        assert any("put http://127.0.0.1:11 in the place of https://old-a:2" in each for each in plan.afterwards)
        assert planned(dry, Seen(dry, down="a")()).afterwards == ()

    def test_a_unit_that_no_boot_starts_is_told(self, dry: Fences) -> None:
        seen = Seen(dry, down="a")()
        node = seen.nodes["a"]
        assert isinstance(node, NodeSeen)
        unit = replace(node.units["etcd.service"], file_state="disabled")
        plan = planned(dry, replace(seen, nodes={**seen.nodes, "a": replace(node, units={unit.unit: unit})}))
        assert plan.afterwards == (
            "etcd.service is not enabled on a: `systemctl enable etcd.service`, or a reboot leaves it stopped",
        )

    def test_its_first_start_is_told_of_everybody_and_of_its_own_certificates(self, dry: Fences) -> None:
        plan = planned(dry, Seen(dry, down="a")())
        assert plan.chosen.replaced
        flags = plan.chosen.replaced.joiner.flags
        assert flags[:3] == (
            "--name=a",
            "--initial-cluster=b=https://127.0.0.2:1,c=https://127.0.0.3:1,a=https://127.0.0.1:1",
            "--initial-cluster-state=existing",
        )
        flat = {"peer-transport-security.cert-file": "/p.crt", "peer-key-file": "/p.key"}
        assert list(peer_tls(flat)) == ["--peer-cert-file=/p.crt", "--peer-key-file=/p.key"]

    def test_what_it_keeps_is_known_to_tidy(self) -> None:
        operation = "replace-member-01M7ZK75000000000000000000"
        assert named(f"{LIVE}.before-{operation}", LIVE) == ("before", operation)
        assert named(f"{LIVE}.before-member-01M7ZK75000000000000000000", LIVE) is None


class TestMembership:
    rows = tuple(MemberSeen(each, f"m{each}", (f"https://{each}",), (), learner=each == "4") for each in "1234")

    def test_a_learner_has_no_vote_and_a_member_without_a_leader_is_not_up(self) -> None:
        seen = {each: etcd_seen(each, leader="" if each == "2" else "1") for each in "124"}
        assert without(self.rows, "3", seen) == Votes(voters=2, up=1)
        assert without(self.rows, "9", seen) == Votes(voters=3, up=1)

    def test_a_row_is_found_by_id_by_name_or_by_url(self) -> None:
        assert [row and row.id for row in (
            row_of(self.rows, "m2", ("https://3",), "1"),
            row_of(self.rows, "m2", ("https://3",)),
            row_of(self.rows, "x", ("https://3",)),
            row_of(self.rows, "x", ("https://9",)),
        )] == ["1", "2", "3", None]  # fmt: skip

    def test_who_had_the_urls_before_is_no_newcomer(self) -> None:
        assert newcomer(self.rows, ("https://3",), "3") is None
        assert newcomer(self.rows, ("https://3",), "9") == self.rows[2]

    def test_of_two_that_differ_nobody_is_the_odd_one(self) -> None:
        assert odd({"a": MINE, "b": THEIRS}) == ()
        assert odd({"a": MINE, "b": THEIRS, "c": THEIRS}) == ("a",)
        assert odd({"a": "it does not answer", "b": THEIRS, "c": THEIRS}) == ()
        assert apart({"a": MINE, "b": THEIRS})
        assert not apart({"a": MINE, "b": "it does not answer"})

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"cluster_id": "c9"}, "different clusters: c1, c9"),
            ({"leader": ""}, "1 knows of no leader"),
            ({"members": ()}, "1 lists members"),
            ({"member_id": "old"}, "1 still is member old"),
        ],
    )
    def test_what_is_not_whole_is_told(self, changes: dict[str, Any], said: str) -> None:
        members = tuple(MemberSeen(each, each, (), ()) for each in "12")
        whole = {each: etcd_seen(each, members=members) for each in "12"}
        assert not_whole(whole, "old") == ""
        assert said in not_whole({**whole, "1": replace(whole["1"], **changes)}, "old")


class TestJoining:
    def joining(self, **data: Any) -> Joining:
        made = DataDir(LIVE, "replace-member-1", "/home", **data)
        wal = Looks("etcd:etcd") if made.wal else None
        return Joining(JOINER, "replace-member-1", made, Looks("etcd:etcd"), wal, 10**6)

    def seen(self, unit: str = "", *paths: str, process: str = "inactive") -> NodeSeen:
        units = {"etcd.service": UnitSeen("etcd.service", "loaded", process, pid=7 if process == "active" else 0)}
        if unit:
            pid = 0 if unit == "failed" else 8
            units[self.joining().unit] = UnitSeen(self.joining().unit, "loaded", unit, pid=pid)
        return NodeSeen(paths=dict.fromkeys(paths, DIRECTORY), units=units)

    def acts(self, seen: NodeSeen, **data: Any) -> list[str]:
        left = self.joining(**data).join(seen, 0)
        assert isinstance(left, tuple)
        return [act.argv[0] for act in left]

    def test_it_begins_in_a_directory_of_its_own_and_gets_its_name_when_it_is_in(self) -> None:
        joining = self.joining()
        assert self.acts(self.seen()) == ["sh", "install", "systemd-run"]
        assert self.acts(self.seen("active", joining.data.part))[:2] == ["systemctl", "chown"]
        assert joining.join(self.seen("", joining.data.staged), 0) == ()

    def test_one_that_was_cut_off_goes_on_with_what_it_has(self) -> None:
        assert self.acts(self.seen("", self.joining().data.part)) == ["sh", "systemd-run"]

    def test_nothing_joins_while_the_members_own_process_runs(self) -> None:
        with pytest.raises(Refusal, match=r"etcd.service runs"):
            self.joining().join(self.seen(process="active"), 0)

    def test_what_was_swapped_already_does_not_join_once_more(self) -> None:
        assert self.joining().join(self.seen("", f"{LIVE}.before-replace-member-1"), 0) == ()

    def test_a_log_of_its_own_directory_is_joined_with_and_named_first(self) -> None:
        wal = "/var/lib/wal/log"
        joining = self.joining(wal_dir=wal)
        assert joining.data.wal
        assert self.acts(self.seen(), wal_dir=wal) == ["sh", "sh", "install", "install", "systemd-run"]
        run = joining.join(self.seen(), 0)[-1]  # type: ignore[index]
        assert f"--wal-dir={wal}.quorate-replace-member-1-g1.part" in run.argv
        half = self.seen("", joining.data.part, joining.data.wal.staged)
        assert "systemd-run" not in self.acts(half, wal_dir=wal)

    def test_a_failed_attempt_is_forgotten_before_the_next(self) -> None:
        (act,) = self.joining().forget(self.seen("failed", self.joining().data.part))
        assert act.argv[:2] == ("systemctl", "reset-failed")
        assert self.joining().forget(self.seen("active")) == ()

    def test_neither_is_a_wrapper_told_the_flags_of_an_etcd(self, dry: Fences) -> None:
        dry.machines["a"].units["etcd.service"].argv = ("/bin/sh", "-c", "exec etcd --name a")
        assert shut(planned(dry, Seen(dry, down="a")())) == ["no-program"]

    def test_a_program_that_is_nowhere_cannot_join(self, dry: Fences) -> None:
        with pytest.raises(BadInput, match="is not a program on the node"):
            joiner_of(dry.settings, dry.settings.members[0], NodeSeen(), {})

    def test_a_connection_that_breaks_before_any_command_costs_one_more_attempt(self, tmp_path: Path) -> None:
        """Killed before every command in turn: what is left to do is done, and never twice."""
        alone = [step for step in replace_member.STEPS if step.place in {"node", "member"}]
        wanted = rehearsed(tmp_path / "whole", alone, -1).machine
        for number in range(len(wanted.ran)):
            broken = rehearsed(tmp_path / str(number), alone, number).machine
            assert broken.files == wanted.files, broken.ran
            assert broken.directories == wanted.directories
            assert {name: unit.state for name, unit in broken.units.items()} == {
                name: unit.state for name, unit in wanted.units.items()
            }


def rehearsed(root: Path, steps: list[Any], dies_at: int) -> Rehearsal:
    whole = Rehearsal(root, plan=replacing())
    whole.machine.dies_at = dies_at
    for step in steps:
        try:
            whole.run(step, step.verb)
        except Unreachable:
            whole.run(step, step.verb)
    return whole


@dataclass
class Bench:
    """The verbs about members, on members of memory: a makes room."""

    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(leader="b", silent={"a"}))
    clock: Clock = field(default_factory=Clock)
    notes: Notebook = field(default_factory=Notebook)

    @property
    def replacing(self) -> Replacing:
        return Replacing(RecordedEtcds(self.cluster, lambda _: self.notes, self.clock), self.clock, lambda _: None)

    def run(self, key: str) -> dict[str, str]:
        whole = replacing()
        urls = ("https://a:2380",)
        shares = tuple(replace(s, peer_urls=urls) if s.member == "a" else s for s in whole.chosen.shares)
        made = whole.chosen.replaced
        assert made
        chosen = replace(whole.chosen, shares=shares, replaced=replace(made, former="a"))
        whole = replace(whole, chosen=chosen)
        step = whole.at(key)
        (task,) = whole.tasks(step, 3, "ann")
        return ActivityEnvironment().run(getattr(self.replacing, step.verb.partition(".")[2]), task).facts

    def joins(self) -> None:
        """The learner has published itself."""
        at = self.cluster.joined[-1]
        self.cluster.joined[-1] = replace(at, name="a")
        self.cluster.ids["a"] = at.id
        self.cluster.silent.clear()


class TestMembers:
    def test_one_goes_and_one_comes_and_nothing_is_done_twice(self) -> None:
        bench = Bench()
        assert bench.run("weigh")["votes"].startswith("2 of 2")
        for _ in range(2):
            assert bench.run("remove") == {"removed": "a"}
            new = bench.run("add")["member_id"]
        bench.cluster.lag = 3
        for _ in range(2):
            assert bench.run("promote") == {"member_id": new}
        assert [act.partition(": ")[2] for act in bench.notes.acts if "Ran" in act] == [
            "etcd member remove a -> Ran",
            "etcd member add --learner https://a:2380 -> Ran",
            f"etcd member promote {new} -> Ran",
        ]
        assert [row.learner for row in bench.cluster.members()] == [False, False, False]

    def test_where_the_others_do_not_hold_without_it_the_step_before_the_removal_fails(self) -> None:
        bench = Bench()
        bench.cluster.silent = {"a", "c"}
        with pytest.raises(Unreachable, match="without a the quorum would be lost: 1 of 2"):
            bench.run("weigh")

    def test_one_that_never_catches_up_is_told_as_it_is(self) -> None:
        bench = Bench()
        bench.run("remove")
        bench.run("add")
        bench.cluster.lag = 10**6
        with pytest.raises(Failed, match="in sync with leader"):
            bench.run("promote")

    def test_members_that_differ_are_not_called_verified(self) -> None:
        bench = self.whole()
        bench.cluster.hashes["a"] = 1
        with pytest.raises(Failed, match="the members differ"):
            bench.run("verify")

    def test_a_learner_is_not_called_verified(self) -> None:
        bench = Bench()
        bench.run("remove")
        bench.run("add")
        bench.cluster.silent.clear()
        with pytest.raises(Failed, match="this is not the cluster that it is to be"):
            bench.run("verify")

    def whole(self) -> Bench:
        """Replaced; the members of memory go by their names, so the newcomer takes the place of the first."""
        bench = Bench()
        bench.run("remove")
        bench.run("add")
        bench.run("promote")
        new = bench.cluster.joined.pop()
        bench.cluster.left.clear()
        bench.cluster.ids["a"] = new.id
        bench.cluster.silent.clear()
        return bench

    def test_the_alarm_of_who_is_gone_is_disarmed_and_of_nobody_else(self) -> None:
        bench = self.whole()
        bench.cluster.alarms = (("a", "CORRUPT"), ("b", "NOSPACE"))
        facts = bench.run("verify")
        assert (facts["cleared"], bench.cluster.alarms) == ("a CORRUPT", (("b", "NOSPACE"),))
        assert bench.cluster.keys() == {}  # the canary is gone


@pytest.mark.server
class TestReplaceMember:
    async def test_a_dead_member_comes_back_with_what_the_others_send_and_its_data_is_kept(
        self, fences: Fences
    ) -> None:
        others = {name: state for name, state in fences.state.items() if name != "a"}
        async with fences.worker():
            result = await fences.run("replace-member")
        assert (result.outcome, EXIT[result.outcome], result.member) == (Outcome.REPLACED, 0, "a"), result.error
        assert fences.live["a"] == "what the others send"
        kept = f"{LIVE}.before-{result.operation}/member/snap/db"
        assert fences.machines["a"].files[kept] == "the old data of a"
        assert fences.units["a"] == ("active", "active", "inactive")
        assert {name: state for name, state in fences.state.items() if name != "a"} == others
        assert [machine.claim for machine in fences.machines.values()] == [None] * 3
        assert not [path for path in fences.machines["a"].files if "00-quorate-fence" in path]

    @pytest.mark.parametrize(
        "where", ["etcd --version", "install -D -m 0644 /dev/stdin", "! systemctl start etcd", "weigh"]
    )
    async def test_a_failure_before_the_removal_undoes_everything(self, fences: Fences, where: str) -> None:
        before = fences.state
        if where == "weigh":
            fences.cluster.wrong["members.weigh"] = "the quorum would be lost"
        else:
            fences.machines["a"].breaks = where
        async with fences.worker():
            result = await fences.run("replace-member")
        assert (result.outcome, EXIT[result.outcome]) == (Outcome.UNDONE, 9)
        state = {unit: "inactive" if seen == "failed" else seen for unit, seen in before["a"][2].items()}
        assert fences.state["a"][:2] == before["a"][:2]
        assert fences.state["a"][2] in (before["a"][2], state)

    async def test_a_failure_after_the_removal_holds_and_is_gone_on_with(self, fences: Fences) -> None:
        fences.machines["a"].breaks = "systemd-run"
        async with fences.worker():
            handle = await fences.start("replace-member")
            hold = await held(handle)
            assert (hold.step, hold.choices) == ("join", (Choice.RETRY, Choice.ABORT))
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await handle.execute_update("cancel", "ann")
            assert "the member was removed" in str(refused.value.cause)
            assert hold.where == (f"on a the data from before is in {LIVE}",)
            assert any("never comes back under its id" in note for note in hold.notes)
            fences.machines["a"].breaks = ""
            await resolve(handle, hold.number, Choice.RETRY)
            result = await handle.result()
        assert result.outcome is Outcome.REPLACED
        assert fences.live["a"] == "what the others send"

    async def test_one_that_is_aborted_stays_fenced_and_says_where_the_data_lies(self, fences: Fences) -> None:
        fences.cluster.wrong["members.promote"] = "it does not catch up"
        async with fences.worker():
            handle = await fences.start("replace-member")
            hold = await held(handle)
            await resolve(handle, hold.number, Choice.ABORT)
            result = await handle.result()
        assert (result.outcome, EXIT[result.outcome]) == (Outcome.HELD, 10)
        operation = result.operation
        assert result.where == (f"on a the data from before is in {LIVE}.before-{operation}, the restored in {LIVE}",)
        claimed = [machine.claim and machine.claim[0] for machine in fences.machines.values()]
        assert claimed == [operation] * 3

    async def test_one_whose_orchestrator_is_gone_is_adopted_and_ends(self, fences: Fences) -> None:
        async with fences.worker():
            fences.machines["a"].stalls = "systemd-run"
            handle = await fences.start("replace-member")
            while not fences.machines["a"].frozen.wait(0):
                await handle.query("progress")
            await handle.terminate("everything of ours is gone")
            found = adopted(Remains(FakeHosts(fences.machines)).found("demo", fences.settings), "demo")
            assert (found.plan.chosen.runbook, found.step) == ("replace-member", "join")
            handle = await fences.start("replace-member", adopted=found)
            hold = await held(handle)
            assert hold.choices == (Choice.RETRY, Choice.ABORT)
            fences.machines["a"].thaw.set()
            await resolve(handle, 1, Choice.RETRY)
            assert (await handle.result()).outcome is Outcome.REPLACED
        assert fences.live["a"] == "what the others send"

    async def test_a_gate_that_is_shut_refuses_it(self, fences: Fences) -> None:
        fences.machines["a"].units["etcd.service"].state = "active"
        before = fences.state
        async with fences.worker():
            result = await fences.run("replace-member")
        assert (result.outcome, EXIT[result.outcome]) == (Outcome.REFUSED, 4)
        assert result.error
        assert result.error.message.startswith("member-healthy: ")
        assert fences.state == before
