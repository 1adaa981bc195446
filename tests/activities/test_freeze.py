"""`quorate freeze` and `quorate thaw`: what is stopped stays stopped, and comes back as it ran."""

from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.clusters.remains import Remains
from quorate import freeze, thaw
from quorate.adoption import adopted
from quorate.clusters.cluster import ClusterSeen
from quorate.errors import Busy, Refusal
from quorate.findings.case import Case
from quorate.findings.diagnosis import diagnose
from quorate.nodes.note import Note, noted, read
from quorate.nodes.seen import NodeSeen, PathSeen, UnitSeen
from quorate.nodes.static_pod import FROZEN, StaticPod
from quorate.nodes.supervisor import Systemd
from quorate.operation import EXIT, Outcome
from quorate.plan import Choice
from tests.factory import etcd_seen
from tests.fakes.machine import FakeHosts
from tests.fences import Fences
from tests.manifests import AT, manifest
from tests.world import held, resolve

RUN = dict.fromkeys("abc", ("active", "active", "inactive"))
STOPPED = dict.fromkeys("abc", ("inactive", "inactive", "inactive"))
POD = "/etc/kubernetes/manifests/etcd.yaml"
FILE = PathSeen("regular file", "root:root", "644", "1", 1)


@pytest.fixture
def fences(temporal: WorkflowEnvironment, tmp_path: Path) -> Fences:
    return Fences(temporal.client, tmp_path)


@pytest.fixture
def dry(tmp_path: Path) -> Fences:
    """Without a server: only looked at and planned."""
    return Fences(None, tmp_path)  # type: ignore[arg-type]


class TestNote:
    note = Note("/var/lib/quorate", "demo", "freeze-2 etcd.service=active")

    def test_it_is_written_beside_and_renamed_over_the_one_of_an_earlier_freeze(self) -> None:
        assert self.note.write(NodeSeen(texts={self.note.file: self.note.text}), 0) == ()
        for earlier in ({}, {self.note.file: "freeze-1 etcd.service=inactive"}):
            acts = self.note.write(NodeSeen(texts=earlier), 0)
            assert [act.argv[0] for act in acts] == ["install", "sync", "mv", "sync"]  # type: ignore[union-attr]

    def test_what_is_frozen_already_ran_as_the_earlier_note_says(self) -> None:
        units = (Systemd("etcd", "etcd.service", before=FROZEN), Systemd("x", "x.service", before="inactive"))
        said = noted("freeze-2", units, {"etcd.service": "activating", "x.service": "active"})
        assert read(said) == ("freeze-2", {"etcd.service": "activating", "x.service": "inactive"})
        assert read(noted("freeze-2", units, {}))[1]["etcd.service"] == "active"
        assert read("") == ("", {})


class TestWhatIsFrozenStaysSo:
    unit = Systemd("etcd", "etcd.service", (2379,), before=FROZEN)
    barred = NodeSeen(
        paths={unit.drop_in: FILE, unit.flag: FILE},
        units={"etcd.service": UnitSeen("etcd.service", "loaded", drop_ins=(unit.drop_in,), assert_failed=True)},
    )
    parked = NodeSeen(
        paths={StaticPod("etcd", POD).parked: FILE},
        units={POD: UnitSeen(POD, "loaded", assert_failed=True)},
    )

    def test_an_undo_leaves_the_bar_of_a_unit_that_was_frozen_before(self) -> None:
        assert self.unit.frozen(self.barred)
        assert self.unit.free(self.barred) == self.unit.unbar(self.barred, 0) == ()
        assert replace(self.unit, before="inactive").unbar(self.barred, 0) != ()

    def test_once_it_was_started_the_bar_is_lifted_as_any(self) -> None:
        runs = UnitSeen("etcd.service", "loaded", "active", pid=7, drop_ins=(self.unit.drop_in,))
        started = NodeSeen(paths={self.unit.drop_in: FILE}, units={"etcd.service": runs})
        assert self.unit.unbar(started, 0) != ()

    def test_a_unit_that_only_does_not_run_is_not_frozen(self) -> None:
        idle = NodeSeen(units={"etcd.service": UnitSeen("etcd.service", "loaded")})
        assert not self.unit.frozen(idle)
        assert not self.unit.frozen(replace(self.barred, paths={self.unit.drop_in: FILE}))

    def test_a_manifest_that_a_freeze_has_parked_is_left_there(self) -> None:
        pod = StaticPod("etcd", POD, before=FROZEN)
        assert pod.frozen(self.parked)
        assert pod.resume(self.parked, 0) == pod.unbar(self.parked, 0) == ()
        for before in ("active", "inactive"):
            assert replace(pod, before=before).resume(self.parked, 0) != ()
        assert not pod.frozen(NodeSeen(units={POD: UnitSeen(POD, "loaded", "deactivating", assert_failed=True)}))


class TestPlans:
    def test_a_healthy_quorum_is_frozen_only_when_somebody_says_why(self, dry: Fences) -> None:
        refused = dry.planning.freeze(dry.request("freeze", overrides=()))
        assert [(gate.id, gate.overridable) for gate in refused.refusals] == [("quorum-healthy", True)]
        allowed = dry.planning.freeze(dry.request("freeze"))
        assert (allowed.refusals, [gate.id for gate in allowed.overridden]) == ((), ["quorum-healthy"])

    @pytest.mark.parametrize(
        "changes",
        [
            {"manifests": (manifest(revision=1000),)},
            {"etcd": {"a": etcd_seen("1"), "b": etcd_seen("2"), "c": etcd_seen("3", cluster_id="c2")}},
            {"reads": {}},
        ],
    )
    def test_an_impostor_mixed_ids_and_a_lost_quorum_are_frozen_at_once(
        self, dry: Fences, changes: dict[str, object]
    ) -> None:
        seen = replace(dry.seen, **changes)  # type: ignore[arg-type]
        assert freeze.plan(dry.request("freeze", overrides=()), seen, {}).refusals == ()

    def test_a_node_that_is_silent_is_left_out_when_somebody_says_why(self, dry: Fences) -> None:
        dry.machines["c"].away = True
        assert [gate.id for gate in dry.planning.freeze(dry.request("freeze")).refusals] == ["node-unreachable"]
        plan = dry.planning.freeze(dry.request("freeze", overrides=freeze.GATES))
        assert [share.member for share in plan.chosen.shares] == ["a", "b"]

    def test_nodes_that_an_operation_has_claimed_are_left_to_it(self, dry: Fences) -> None:
        dry.machines["b"].claim = ("restore-1", 4, 1)
        for kind in ("freeze", "thaw"):
            with pytest.raises(Busy, match="restore-1 has claimed b"):
                dry.planned(kind, dry.request(kind))

    def test_what_is_not_frozen_is_not_thawed(self, dry: Fences) -> None:
        with pytest.raises(Refusal, match="nothing of demo is frozen"):
            dry.planning.thaw(dry.request("thaw"))

    def test_what_only_was_measured_is_not_in_the_digest(self, dry: Fences) -> None:
        first = dry.planning.freeze(dry.request("freeze"))
        dry.machines["a"].units["kube-scheduler.service"].state = "failed"
        second = dry.planning.freeze(dry.request("freeze", operation="freeze-9"))
        assert first.chosen.digest() == second.chosen.digest()
        assert first.chosen.shares[0].note != second.chosen.shares[0].note

    def test_without_a_control_plane_there_are_no_steps_about_one(self, dry: Fences) -> None:
        alone = dry.settings.model_copy(update={"control_plane": (), "kubernetes": None})
        plan = freeze.plan(dry.request("freeze", settings=alone), dry.seen, {})
        assert [step.key for step in plan.chosen.steps] == ["claim", "note", "bar", "fence", "release"]

    def test_a_thaw_can_be_rolled_back_at_any_step_after_its_start(self, dry: Fences) -> None:
        plan = freeze.fence_plan(dry.request("thaw"), dry.seen, "thaw", thaw.STEPS, ())
        offered = {step.key: plan.choices(step) for step in thaw.STEPS}
        assert offered["claim"] == ()
        assert set(offered["start"]) == set(offered["release"]) == {Choice.RETRY, Choice.ROLLBACK, Choice.ABORT}


@pytest.mark.server
class TestFreezeAndThaw:
    async def test_what_ran_is_stopped_stays_so_through_a_reboot_and_comes_back_as_it_ran(
        self, fences: Fences
    ) -> None:
        before = fences.state
        async with fences.worker():
            result = await fences.run("freeze")
            assert (result.outcome, EXIT[result.outcome], result.error) == (Outcome.FROZEN, 0, None)
            assert result.findings == ()
            assert fences.units == STOPPED
            assert [machine.claim for machine in fences.machines.values()] == [None] * 3
            fences.reboot("b")
            assert fences.units == STOPPED
            with pytest.raises(Refusal, match="is frozen already"):
                fences.planning.freeze(fences.request("freeze", operation="freeze-9"))
            result = await fences.run("thaw")
            assert (result.outcome, EXIT[result.outcome], result.error) == (Outcome.THAWED, 0, None)
        assert fences.units == RUN
        assert fences.state == before

    @pytest.mark.parametrize(
        "breaks", ["install -D -m 0644 /dev/stdin", "systemctl stop kube", "systemctl stop etcd"]
    )
    async def test_a_failure_undoes_the_freeze_on_every_node(self, fences: Fences, breaks: str) -> None:
        before = fences.state
        fences.machines["b"].breaks = breaks
        async with fences.worker():
            result = await fences.run("freeze")
        assert (result.outcome, EXIT[result.outcome]) == (Outcome.UNDONE, 9)
        assert result.error
        assert fences.state == before

    async def test_a_restore_of_a_frozen_cluster_that_is_undone_leaves_it_frozen(self, fences: Fences) -> None:
        async with fences.worker():
            await fences.run("freeze")
            frozen = fences.state
            fences.machines["c"].breaks = "-g1 /var/lib/etcd/default"  # the swap
            result = await fences.run("restore")
            assert result.outcome is Outcome.UNDONE, result.error
            assert fences.units == STOPPED
            assert fences.state == frozen
            fences.machines["c"].breaks = ""
            assert (await fences.run("thaw")).outcome is Outcome.THAWED
        assert fences.units == RUN

    async def test_a_restore_of_a_frozen_cluster_that_is_rolled_back_leaves_it_frozen(self, fences: Fences) -> None:
        async with fences.worker():
            await fences.run("freeze")
            fences.machines["c"].breaks = "timeout 10 systemctl start etcd"
            handle = await fences.start("restore")
            hold = await held(handle)
            await resolve(handle, hold.number, Choice.ROLLBACK)
            assert (await handle.result()).outcome is Outcome.UNDONE
            assert fences.units == STOPPED
            fences.reboot("a")
            assert fences.units == STOPPED
            fences.machines["c"].breaks = ""
            assert (await fences.run("thaw")).outcome is Outcome.THAWED
        assert fences.units == RUN
        assert set(fences.live.values()) == {f"the old data of {name}" for name in "abc"}

    async def test_a_restore_of_a_frozen_cluster_thaws_it(self, fences: Fences) -> None:
        async with fences.worker():
            await fences.run("freeze")
            assert (await fences.run("restore")).outcome is Outcome.RESTORED
        assert fences.units == dict.fromkeys("abc", ("active",) * 3)
        with pytest.raises(Refusal, match="nothing of demo is frozen"):
            fences.planning.thaw(fences.request("thaw", operation="thaw-9"))

    async def test_a_node_that_was_away_is_frozen_by_a_second_freeze_and_all_is_thawed_as_it_ran(
        self, fences: Fences
    ) -> None:
        fences.machines["c"].away = True
        async with fences.worker():
            first = fences.request("freeze", overrides=freeze.GATES)
            first = replace(first, approved=fences.planned("freeze", first).chosen.digest())
            assert (
                await fences.run("freeze", overrides=first.overrides, approved=first.approved)
            ).outcome is Outcome.FROZEN
            fences.machines["c"].away = False
            fences.operation += "-again"
            fences.machines["c"].breaks = "systemctl stop etcd"
            assert (await fences.run("freeze")).outcome is Outcome.UNDONE
            assert fences.units == {**STOPPED, "c": RUN["c"]}  # the undo of the second is not that of the first
            fences.machines["c"].breaks = ""
            fences.operation += "-again"
            assert (await fences.run("freeze")).outcome is Outcome.FROZEN
            assert fences.units == STOPPED
            assert (await fences.run("thaw")).outcome is Outcome.THAWED
        assert fences.units == RUN

    async def test_a_thaw_that_fails_holds_and_can_freeze_again(self, fences: Fences) -> None:
        async with fences.worker():
            await fences.run("freeze")
            frozen = fences.state
            fences.machines["b"].breaks = "systemctl start etcd"
            handle = await fences.start("thaw")
            hold = await held(handle)
            assert (hold.step, hold.choices) == ("start", (Choice.RETRY, Choice.ROLLBACK, Choice.ABORT))
            fences.machines["b"].breaks = ""
            await resolve(handle, hold.number, Choice.ROLLBACK)
            assert (await handle.result()).outcome is Outcome.UNDONE
        assert fences.units == STOPPED
        assert fences.state == frozen

    async def test_a_freeze_whose_orchestrator_is_gone_is_adopted_and_ends(self, fences: Fences) -> None:
        async with fences.worker():
            fences.machines["b"].stalls = "systemctl stop etcd"
            handle = await fences.start("freeze")
            while not fences.machines["b"].frozen.wait(0):
                await handle.query("progress")
            await handle.terminate("everything of ours is gone")
            found = adopted(Remains(FakeHosts(fences.machines)).found("demo", fences.settings), "demo")
            assert (found.plan.chosen.runbook, found.step) == ("freeze", "fence")
            handle = await fences.start("freeze", adopted=found)
            await held(handle)
            fences.machines["b"].thaw.set()
            await resolve(handle, 1, Choice.RETRY)
            assert (await handle.result()).outcome is Outcome.FROZEN
        assert fences.units == STOPPED


class TestInspect:
    def found(self, dry: Fences, seen: ClusterSeen) -> dict[str, str]:
        return {each.id: each.next for each in diagnose(Case("demo", dry.settings, seen, AT))}

    def test_an_impostor_and_mixed_ids_are_frozen_first(self, dry: Fences) -> None:
        impostor = replace(dry.seen, manifests=(manifest(revision=1000),))
        assert self.found(dry, impostor)["impostor"] == "quorate freeze demo"
        mixed = replace(dry.seen, etcd={**dry.seen.etcd, "c": etcd_seen("3", cluster_id="c2")})
        assert self.found(dry, mixed)["mixed-ids"] == "quorate freeze demo"

    def test_a_frozen_cluster_is_said_to_be_and_nothing_is_started_by_hand(self, dry: Fences) -> None:
        for name in "abc":
            bar(dry, name)
        first, *others = diagnose(Case("demo", dry.settings, dry.seen, AT))
        assert (first.id, first.next) == ("frozen", "quorate thaw demo")
        assert "a: etcd.service" in first.evidence
        assert {each.id: each.next for each in others} == {"quorum-lost": "quorate thaw demo"}

    def test_a_part_that_is_frozen_names_the_rest(self, dry: Fences) -> None:
        bar(dry, "b")
        assert "not a, c" in next(
            each.message for each in diagnose(Case("demo", dry.settings, dry.seen, AT)) if each.id == "frozen"
        )


def bar(fences: Fences, name: str) -> None:
    unit = Systemd("etcd", "etcd.service")
    machine = fences.machines[name]
    machine.files |= {unit.drop_in: f"AssertPathExists=!{unit.flag}", unit.flag: ""}
    fences.reboot(name)
