import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.backups.catalogue import Source
from quorate.chosen import ADDED_TO_SHARE, ADDED_TO_STEP, Share, Step
from quorate.clusters.cluster import ClusterSeen, Lineage, Silence
from quorate.members.etcd import bump, can_bump, cluster_id, member_id
from quorate.members.verifying import wrong_revision
from quorate.nodes.seen import DirectorySeen, NodeSeen, PathSeen, UnitSeen
from quorate.operation import RestoreRequest
from quorate.plan import Choice, Plan
from quorate.records import adapter, plan_text
from quorate.restore import STEPS, plan
from quorate.restoring.canary import PUTS_MAX, PUTS_S, UNHEARD, UNKNOWN, WRITTEN, mark, overtaken
from quorate.task import ClusterTask
from tests.factory import LIVE, etcd_seen, inventory
from tests.factory import plan as small_plan
from tests.manifests import manifest
from tests.quorate.test_gates import ALONE, DOWN, NODE

# A version of its own minor that cannot bump, so that no other gate is shut.
OLD = replace(
    DOWN,
    nodes=dict.fromkeys("abc", replace(NODE, tools={"/usr/local/bin/etcdutl": "3.5.9"})),
    manifests=(manifest().model_copy(update={"source": Source(name="a", id="1", version="3.5.9")}),),
)


def request(tmp_path: Path, **changes: object) -> RestoreRequest:
    whole = inventory(tmp_path)
    asked = RestoreRequest("restore-1", "demo", whole.clusters["demo"], whole.stores["here"], "latest", "ann")
    return replace(asked, **changes)  # type: ignore[arg-type]


def test_two_plans_of_an_unchanged_cluster_have_one_digest(tmp_path: Path) -> None:
    first = plan(request(tmp_path), DOWN)
    later = plan(request(tmp_path, operation="restore-2"), replace(DOWN, reads={}))
    assert first.chosen.digest() == later.chosen.digest()
    assert first.token != later.token


def test_what_was_chosen_changes_the_digest(tmp_path: Path) -> None:
    first = plan(request(tmp_path), DOWN).chosen.digest()
    others = (
        plan(request(tmp_path, overrides=("impostor",)), DOWN),
        plan(request(tmp_path), replace(DOWN, manifests=(manifest(42),))),
        plan(request(tmp_path), replace(DOWN, etcd=DOWN.etcd | {"a": etcd_seen("1", leader="")})),
    )
    assert len({first, *(other.chosen.digest() for other in others)}) == 4


def test_a_plan_keeps_its_digest_on_its_way_through_a_payload() -> None:
    whole = small_plan()
    assert adapter(Plan).validate_json(plan_text(whole)).chosen.digest() == whole.chosen.digest()


def test_a_plan_that_was_approved_before_steps_had_more_fields_has_the_digest_it_had() -> None:
    whole = small_plan()
    steps = tuple(replace(step, **dict.fromkeys(ADDED_TO_STEP, False)) for step in STEPS)
    old = replace(whole, chosen=replace(whole.chosen, steps=steps))
    data = json.loads(plan_text(old))
    for step in data["chosen"]["steps"]:
        for name in ADDED_TO_STEP:
            del step[name]
    for share in data["chosen"]["shares"]:
        for name in ADDED_TO_SHARE:
            del share[name]
    assert adapter(Plan).validate_python(data).chosen.digest() == old.chosen.digest() != whole.chosen.digest()


def test_an_override_opens_only_the_gate_it_names(tmp_path: Path) -> None:
    healthy = replace(DOWN, reads={"a": 41}, etcd=DOWN.etcd | {"a": Silence("x")})
    assert [gate.id for gate in plan(request(tmp_path), healthy).refusals] == ["quorum-healthy"]
    opened = plan(request(tmp_path, overrides=("quorum-healthy",)), healthy)
    assert (opened.refusals, [gate.id for gate in opened.overridden]) == ((), ["quorum-healthy"])


DISK = "/mnt/etcd"


def share_of(tmp_path: Path, **seen: object) -> Share:
    on_node: NodeSeen = replace(NODE, **seen)  # type: ignore[arg-type]
    return plan(request(tmp_path), replace(DOWN, nodes=dict.fromkeys("abc", on_node))).chosen.shares[0]


def path(owner: str, mode: str) -> PathSeen:
    return PathSeen("directory", owner, mode, "1", 0)


class TestWhereTheDataLies:
    def test_owner_and_mode_are_those_that_the_directory_has(self, tmp_path: Path) -> None:
        lies = share_of(tmp_path, directories={LIVE: DirectorySeen(LIVE)}, paths={LIVE: path("store:disk", "2750")})
        assert (lies.data_dir, lies.owner, lies.mode, lies.mounted) == (LIVE, "store:disk", "2750", False)

    def test_of_a_link_the_target_is_swapped_beside_where_it_really_lies(self, tmp_path: Path) -> None:
        link = PathSeen("symbolic link", "root:root", "777", "1", 9)
        paths = {LIVE: link, DISK: path("store:disk", "700")}
        lies = share_of(tmp_path, directories={LIVE: DirectorySeen(DISK)}, paths=paths)
        assert (lies.owner, lies.mode) == ("store:disk", "700")
        assert lies.data("op").kept == f"{DISK}.before-op"

    def test_in_a_mount_point_the_member_is_swapped_with_its_own_owner_and_mode(self, tmp_path: Path) -> None:
        paths = {LIVE: path("root:root", "755"), f"{LIVE}/member": path("store:disk", "750")}
        lies = share_of(tmp_path, directories={LIVE: DirectorySeen(LIVE, mounted=True)}, paths=paths)
        assert (lies.owner, lies.mode) == ("store:disk", "750")
        assert lies.data("op").staged == f"{LIVE}/member.quorate-op-g1"

    def test_a_log_of_its_own_is_found_where_it_really_lies(self, tmp_path: Path) -> None:
        settings = request(tmp_path).settings
        etcd = settings.etcd.model_copy(update={"wal_dir": "/log"})
        lies = replace(
            NODE,
            spaces={LIVE: 10**12, "/log": 10**12},
            directories={LIVE: DirectorySeen(LIVE), "/log": DirectorySeen("/fast/log")},
            paths={LIVE: path("etcd:etcd", "700"), "/fast/log": path("etcd:etcd", "750")},
        )
        asked = request(tmp_path, settings=settings.model_copy(update={"etcd": etcd}))
        share = plan(asked, replace(DOWN, nodes=dict.fromkeys("abc", lies))).chosen.shares[0]
        assert (share.wal_dir, share.wal_owner, share.wal_mode) == ("/fast/log", "etcd:etcd", "750")
        assert [each.live for each in share.data("op").swapped] == ["/fast/log", LIVE]

    def test_of_an_empty_mount_point_the_owner_is_taken(self, tmp_path: Path) -> None:
        paths = {LIVE: path("store:disk", "755")}
        lies = share_of(tmp_path, directories={LIVE: DirectorySeen(LIVE, mounted=True)}, paths=paths)
        assert (lies.owner, lies.mode) == ("store:disk", "700")

    def test_where_all_is_gone_the_unit_says_who_owns_it(self, tmp_path: Path) -> None:
        unit = UnitSeen("etcd.service", "loaded", user="store")
        lies = share_of(tmp_path, units={"etcd.service": unit}, directories={LIVE: DirectorySeen(LIVE)})
        assert (lies.owner, lies.mode) == ("store:store", "700")


def test_a_gate_that_cannot_be_overridden_stays_shut(tmp_path: Path) -> None:
    away = replace(DOWN, nodes={name: Silence("no route") for name in "abc"})
    refused = plan(request(tmp_path, overrides=("majority-unreachable",)), away).refusals
    assert "majority-unreachable" in [gate.id for gate in refused]


class TestAToolThatCannotBump:
    def test_it_is_canary_writes_instead_and_the_plan_says_so(self, tmp_path: Path) -> None:
        whole = plan(request(tmp_path), OLD)
        assert (whole.refusals, whole.chosen.bump, whole.mark) == ((), 0, 41 + UNKNOWN)
        assert "100001 canary writes take it past 41" in whole.losses[-1]
        verify = next(step for step in whole.chosen.steps if step.key == "verify")
        assert verify.patience_s > 2 * PUTS_MAX / PUTS_S
        assert whole.mark > whole.high_water

    @pytest.mark.parametrize(
        ("seen", "unseen"),
        [
            (replace(OLD, etcd=ALONE), UNHEARD),
            (replace(OLD, etcd=ALONE, reads={"a": 41}), WRITTEN),
            (replace(OLD, etcd={**ALONE, "a": etcd_seen("1", revision=30, leader="")}), UNKNOWN),
            (OLD, UNKNOWN),
        ],
    )
    def test_the_less_is_known_the_more_is_passed(self, seen: ClusterSeen, unseen: int) -> None:
        assert mark(seen) == 41 + unseen

    def test_the_mark_is_measured_so_the_digest_leaves_it_out(self, tmp_path: Path) -> None:
        further = replace(OLD, etcd={**ALONE, "a": etcd_seen("1", leader="", revision=77)})
        first, second = plan(request(tmp_path), replace(OLD, etcd=ALONE)), plan(request(tmp_path), further)
        assert (first.mark, second.mark) == (41 + UNHEARD, 77 + UNHEARD)
        assert first.chosen.digest() == second.chosen.digest()
        assert first.chosen.digest() != plan(request(tmp_path), replace(DOWN, etcd=ALONE)).chosen.digest()

    def test_whoever_opens_the_gate_gets_no_canary_writes_either(self, tmp_path: Path) -> None:
        far = replace(OLD, lineages=(Lineage("op", "c0", "c1", 150_000),))
        assert [gate.id for gate in plan(request(tmp_path), far).refusals] == ["no-bump"]
        opened = plan(request(tmp_path, overrides=("no-bump",)), far)
        assert (opened.refusals, opened.mark, opened.chosen.bump) == ((), 0, 0)
        assert "canary" not in " ".join(opened.losses)

    @pytest.mark.parametrize(("passed", "bumped", "floor"), [(0, 10**9, 10**9 + 41), (12_345, 0, 12_346), (0, 0, 41)])
    def test_the_first_write_is_past_what_was_planned_either_way(self, passed: int, bumped: int, floor: int) -> None:
        step = next(step for step in STEPS if step.key == "verify")
        whole = replace(small_plan(), mark=passed, chosen=replace(small_plan().chosen, bump=bumped))
        (task,) = whole.tasks(step, 1, "ann")
        assert isinstance(task, ClusterTask)
        assert task.floor == floor
        assert wrong_revision(floor, floor) == ""
        assert wrong_revision(floor, floor - 1)

    @pytest.mark.parametrize(("now", "late"), [(0, False), (90_000, False), (90_001, True), (200_000, True)])
    def test_a_mark_is_overtaken_by_a_cluster_that_goes_on(self, now: int, late: bool) -> None:
        assert bool(overtaken(100_000, now)) is late


def test_without_a_control_plane_no_step_is_about_one(tmp_path: Path) -> None:
    keys = [step.key for step in plan(request(tmp_path), DOWN).chosen.steps]
    assert not [key for key in keys if key.endswith("-api")]


def test_the_start_of_a_restored_member_is_the_point_of_no_return() -> None:
    whole = small_plan()
    asked = {step.key: whole.choices(step) for step in whole.chosen.steps}
    before = [step.key for step in STEPS[: [step.key for step in STEPS].index("start")]]
    assert all(asked[key] == () for key in before)
    assert all(Choice.RETRY in asked[step.key] for step in STEPS if step.key not in before)


def at(key: str) -> Step:
    return next(step for step in STEPS if step.key == key)


def shut(plan: Plan, *, firewall: bool) -> Plan:
    """The same; node b has a firewall or none."""
    shares = tuple(
        replace(each, clients=replace(each.clients, firewall=firewall)) if each.member == "b" else each
        for each in plan.chosen.shares
    )
    return replace(plan, chosen=replace(plan.chosen, shares=shares))


class TestRollback:
    @pytest.mark.parametrize("step", STEPS, ids=lambda step: step.key)
    def test_it_is_offered_after_the_start_and_before_anybody_is_admitted(self, step: Step) -> None:
        assert (Choice.ROLLBACK in small_plan().choices(step)) is (step.key in {"start", "verify"})

    def test_too_late_it_says_what_would_be_lost(self) -> None:
        assert "loses what was written since" in small_plan().no_rollback(at("admit"))

    def test_where_a_node_cannot_keep_clients_out_they_may_have_written(self) -> None:
        open_b = shut(small_plan(), firewall=False)
        assert open_b.choices(at("start")) == (Choice.RETRY, Choice.ABORT)
        assert "b cannot keep clients out" in open_b.no_rollback(at("start"))

    def test_it_undoes_from_the_last_to_the_first_and_keeps_what_was_started(self) -> None:
        whole = small_plan()
        undone = [step.key for step in whole.undoing(whole.begun(at("verify")))]
        assert undone == ["start", "swap", "fence", "fence-api", "bar", "claim"]

    def test_what_nobody_ever_ran_is_removed(self) -> None:
        whole = small_plan()
        assert "stage" in [step.key for step in whole.undoing(whole.begun(at("swap")))]

    def test_a_plan_from_before_there_was_any_offers_none(self) -> None:
        whole = small_plan()
        steps = tuple(replace(step, admits=False, keeps=False) for step in STEPS)
        old = replace(whole, chosen=replace(whole.chosen, steps=steps))
        assert all(Choice.ROLLBACK not in old.choices(step) for step in steps)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.key)
def test_of_a_restore_only_what_nothing_else_depends_on_can_be_skipped(step: Step) -> None:
    """Each other is either needed by the next, or is the proof that it worked."""
    assert (Choice.SKIP in small_plan().choices(step)) is (step.key in {"kubelets", "differ"})


def test_a_step_that_may_be_skipped_can_be_only_where_nothing_is_undone_any_more() -> None:
    whole = small_plan()
    steps = tuple(replace(step, may_skip=True) for step in STEPS)
    free = replace(whole, chosen=replace(whole.chosen, steps=steps))
    assert [Choice.SKIP in free.choices(step) for step in steps] == [bool(free.choices(step)) for step in steps]


def test_without_quorum_what_runs_is_only_trying_to_start(tmp_path: Path) -> None:
    """Or an undo would wait for an etcd that was not ready before either."""
    runs = replace(NODE, units={"etcd.service": UnitSeen("etcd.service", "loaded", "active", pid=7)})
    seen = replace(DOWN, nodes=dict.fromkeys("abc", runs))
    assert {each.etcd.before for each in plan(request(tmp_path), seen).chosen.shares} == {"activating"}
    served = replace(seen, reads={"a": 41})
    assert {each.etcd.before for each in plan(request(tmp_path), served).chosen.shares} == {"active"}


def test_every_step_before_it_that_changes_a_node_has_an_undo() -> None:
    changing = [
        step for step in STEPS if step.place == "node" and step.key not in {"admit", "kubelets", "unbar", "release"}
    ]
    assert all(step.undo for step in changing)


def test_ids_are_those_that_etcd_computes() -> None:
    """etcd.md, 2.3: seen on etcd 3.5.30."""
    urls = [f"http://127.0.0.1:{port}" for port in (22380, 22382, 22384)]
    ids = [member_id([url], "tok-orig") for url in urls]
    assert ids == ["2fde2a224670ce9a", "fabf9ac6b3d9890f", "204496080e481d58"]
    assert cluster_id(ids) == "ed3a6274b1c95aae"


@given(st.integers(1, 2**40), st.integers(0, 2**41))
def test_no_revision_is_ever_served_twice(snapshot: int, high_water: int) -> None:
    assert snapshot + bump(snapshot, high_water) > high_water
    assert bump(snapshot, high_water) >= 10**9


def test_writes_that_go_on_change_no_bump_that_was_shown() -> None:
    """Seen on a control plane that was restored twice: an apiserver's leases alone voided every plan."""
    shown = {bump(100, high_water) for high_water in range(1_005_000_000, 1_005_100_000, 1000)}
    assert len(shown) == 1


def test_old_tools_cannot_bump() -> None:
    versions = ("3.4.26", "3.4.27", "3.5.9", "3.5.10", "3.6.0", "3.7.1")
    assert [can_bump(each) for each in versions] == [False, True, False, True, True, True]
