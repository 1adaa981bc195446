"""The checker of `make robustness` is shown what it has to catch, as values that were once read from a lab."""

import json
import random
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import pytest

from deploy.robustness.acknowledged import digest, value_of
from deploy.robustness.chance import Strike, case, cases
from deploy.robustness.checker import BEFORE, FAILED, HELD, NEW, Verdict, judge
from deploy.robustness.faults import ARRIVED, FAULTS, Fault
from deploy.robustness.looking import node_reading, unbroken
from deploy.robustness.moments import NOTING, OF_SHAPE, STEPS, Moment, Trail
from deploy.robustness.product import told
from deploy.robustness.readings import (
    LIVE,
    NOTHING,
    Evidence,
    Listed,
    MemberReading,
    NodeReading,
    Reading,
    Said,
    Stored,
    Told,
    Write,
)
from deploy.robustness.run import Ran
from deploy.robustness.striking import Blow
from deploy.robustness.telling import HEAD, entry, line, summary, trouble

OP = "restore-01M"
KEPT = f"{LIVE}.before-{OP}"
NAMES = ("a", "b", "c")
LOADED = {"/quorate-load/0": digest(b"0"), "/quorate-load/1": digest(b"1")}
EARLY = Write("/w/early", "a", 1, 2, "old", 90)
LATE = Write("/w/late", "b", 3, 4, "old", 110)
LOST = Write("/w/lost", "c", 5, 6)
SINCE = tuple(Write(f"/w/since-{name}", name, 31 + at, 31.5 + at, "new", 1000 + at) for at, name in enumerate(NAMES))


def members(cluster: str, keys: dict[str, str]) -> dict[str, MemberReading]:
    listed = tuple(
        Listed(name, f"{cluster}-{name}", (f"https://{name}:2380",), (f"https://{name}:2379",)) for name in NAMES
    )
    return {name: MemberReading(cluster, f"{cluster}-{name}", listed, 120, 7, keys) for name in NAMES}


def holding(*writes: Write) -> dict[str, str]:
    return LOADED | {write.key: digest(value_of(write.key)) for write in writes}


def nodes(directories: dict[str, int], **more: object) -> dict[str, NodeReading]:
    return {name: NodeReading(directories, tables=("inet filter",), **more) for name in NAMES}


STOOD = Reading(nodes({LIVE: 10}), members("old", holding(EARLY)))
RESTORED = Evidence(
    operation=OP,
    snapshot_revision=100,
    loaded=LOADED,
    before=STOOD,
    after=Reading(nodes({LIVE: 20, KEPT: 10}), members("new", holding(EARLY, *SINCE))),
    writes=(EARLY, LATE, LOST, *SINCE),
    ended=30,
    told=Told("restored", recorded="restored"),
)
SINCE_OLD = tuple(replace(write, cluster_id="old") for write in SINCE)
UNDONE = replace(
    RESTORED,
    after=Reading(nodes({LIVE: 10}), members("old", holding(EARLY, LATE, *SINCE))),
    writes=(EARLY, LATE, LOST, *SINCE_OLD),
    told=Told("undone", recorded="undone"),
)
STEPS_DONE = tuple(Said(step, name, "done") for step in ("claim", "stage", "bar", "fence", "swap") for name in NAMES)
HELD_AT_START = replace(
    RESTORED,
    after=Reading(
        nodes({LIVE: 20, KEPT: 10}, unit="inactive", processes=0, bars=("00-quorate-fence.conf",), claim=f"{OP} 9 1"),
        {},
        dict.fromkeys(NAMES, "connection refused"),
    ),
    writes=(EARLY, LATE),
    told=Told("held", STEPS_DONE, (f"on a, b, c the data from before is in {KEPT}, the restored in {LIVE}",)),
)


def with_member(seen: Evidence, name: str, **changes: object) -> Evidence:
    changed = seen.after.members | {name: replace(seen.after.members[name], **changes)}
    return replace(seen, after=replace(seen.after, members=changed))


def with_node(seen: Evidence, name: str, **changes: object) -> Evidence:
    changed = seen.after.nodes | {name: replace(seen.after.nodes[name], **changes)}
    return replace(seen, after=replace(seen.after, nodes=changed))


def wrong(seen: Evidence) -> str:
    verdict = judge(seen)
    assert verdict.end == FAILED
    return "; ".join(verdict.wrong)


@pytest.mark.parametrize(("seen", "end"), [(RESTORED, NEW), (UNDONE, BEFORE), (HELD_AT_START, HELD)])
def test_each_of_the_three_ends_is_told_from_the_others(seen, end):
    assert judge(seen) == Verdict(end)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cluster_id": "other"}, "the members differ in cluster id: a new, b other, c new"),
        ({"cluster_id": "old", "member_id": "old-b"}, "b has the cluster id from before, old"),
        ({"hash_kv": 8}, "the members differ in HashKV: a 7, b 8, c 7"),
        ({"keys": holding(EARLY)}, "the members differ in keys: a 6, b 3, c 6"),
        ({"keys": holding(*SINCE)}, "b: missing: /w/early"),
        ({"keys": holding(EARLY, LATE, *SINCE)}, "b: there, although written after the backup: /w/late"),
        ({"keys": holding(EARLY, *SINCE) | {"/x": ""}}, "b: there, although nobody wrote it: /x"),
        ({"keys": holding(EARLY, *SINCE) | {"/w/early": ""}}, "b: there with another value: /w/early"),
        ({"member_id": "new-c"}, "the member on b calls itself c"),
        ({"alarms": ("NOSPACE of 1",)}, "b has alarms: NOSPACE of 1"),
    ],
)
def test_a_mixed_cluster_or_a_lost_key_is_caught(changes, said):
    """Mixed tokens give other cluster ids, mixed snapshots other hashes and keys."""
    assert said in wrong(with_member(RESTORED, "b", **changes))


def test_a_member_of_another_name_or_address_is_caught():
    listed = RESTORED.after.members["b"].members
    renamed = (replace(listed[0], name="z"), *listed[1:])
    seen = RESTORED
    for name in NAMES:
        seen = with_member(seen, name, members=renamed)
    assert "a lists other members than before: [('a'," in wrong(seen)
    assert "the member on a calls itself z" in wrong(seen)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"claim": f"{OP} 12 1"}, f"b is still claimed: {OP} 12 1"),
        ({"bars": ("/var/lib/quorate/fence/etcd.service",)}, "b still has /var/lib/quorate/fence/etcd.service"),
        ({"tables": ("inet filter", "inet quorate")}, "b still has the firewall table inet quorate"),
        ({"units": ("quorate-undo-1.timer",)}, "b still has the unit quorate-undo-1.timer"),
        ({"directories": {LIVE: 20, KEPT: 10, f"{LIVE}.quorate-x.part": 4}}, f"b still has {LIVE}.quorate-x.part"),
        ({"directories": {LIVE: 20}}, f"b: the data from before is not in {KEPT}"),
        ({"directories": {LIVE: 10}}, f"b: no new data in {LIVE}"),
        ({"unit": "failed", "processes": 0}, "b: etcd.service is failed, 0 processes of etcd"),
    ],
)
def test_what_an_operation_left_behind_on_a_node_is_caught(changes, said):
    assert said in wrong(with_node(RESTORED, "b", **changes))


def test_a_member_that_lets_no_client_in_is_caught():
    after = RESTORED.after
    silent = replace(after, members={k: v for k, v in after.members.items() if k != "b"}, silent={"b": "reset"})
    assert "b serves no client: reset" in wrong(replace(RESTORED, after=silent))
    unheard = tuple(write for write in RESTORED.writes if write.through != "b")
    assert "no write through b was acknowledged after the end" in wrong(replace(RESTORED, writes=unheard))


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (with_member(UNDONE, "b", keys=holding(EARLY, *SINCE)), "b: missing: /w/late"),
        (with_member(UNDONE, "b", cluster_id="new"), "b has another cluster id than before, new"),
        (with_node(UNDONE, "b", directories={LIVE: 20}), f"b: another directory than before is in {LIVE}"),
        (with_node(UNDONE, "b", directories={LIVE: 10, KEPT: 9}), f"b still has {KEPT}"),
        (with_node(UNDONE, "b", claim="x 1 1"), "b is still claimed"),
    ],
)
def test_an_undone_restore_that_left_something_or_lost_something_is_caught(seen, said):
    assert said in wrong(seen)


def test_a_revision_that_goes_back_for_a_client_is_caught():
    back = tuple(replace(write, revision=50 + at) for at, write in enumerate(SINCE))
    assert "the revision went back: 50 through a after 110 was acknowledged" in wrong(
        replace(RESTORED, writes=(EARLY, LATE, LOST, *back))
    )


def test_writes_that_overlap_may_be_answered_in_any_order():
    overlapping = (replace(SINCE[0], ended=40, revision=1005), *SINCE[1:])
    assert judge(replace(RESTORED, writes=(EARLY, LATE, LOST, *overlapping))).end == NEW


def test_a_cluster_that_let_clients_in_and_is_gone_is_caught():
    between = Write("/w/between", "a", 7, 8, "third", 500)
    assert "acknowledged by cluster third" in wrong(replace(RESTORED, writes=(*RESTORED.writes, between)))


WIPED = replace(STOOD, nodes=STOOD.nodes | {"b": replace(STOOD.nodes["b"], directories={}, processes=0)})


def test_what_had_lost_its_data_comes_back_new_or_stays_as_it_was_left():
    assert judge(with_node(replace(RESTORED, before=WIPED), "b", directories={LIVE: 20, KEPT: 3})).end == NEW
    assert f"b: no new data in {LIVE}" in wrong(with_node(replace(RESTORED, before=WIPED), "b", directories={}))
    undone = replace(UNDONE, before=WIPED, after=replace(WIPED, members={}), writes=(EARLY, LATE, LOST))
    assert judge(undone) == Verdict(BEFORE)
    assert "b is not as it was" in wrong(with_node(undone, "b", directories={LIVE: 20}))
    assert "a is not as it was" in wrong(with_node(undone, "a", claim="x 1 1"))


@pytest.mark.parametrize("outcome", ["undone", "refused", "", "unknown"])
def test_an_operation_that_says_something_else_than_the_cluster_is_caught(outcome):
    said = f"the cluster is fully new, but the operation says {outcome or 'nothing'}"
    assert wrong(replace(RESTORED, told=Told(outcome, recorded=outcome))) == said


def test_a_record_that_says_something_else_than_the_command_is_caught():
    assert "the command said restored, the record says undone" in wrong(
        replace(RESTORED, told=Told("restored", recorded="undone"))
    )


def test_restored_said_of_a_cluster_that_is_as_before_is_caught():
    assert "fully as before, but the operation says restored" in wrong(
        replace(UNDONE, told=Told("restored", recorded="restored"))
    )


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (with_node(HELD_AT_START, "b", directories={LIVE: 10}), f"b: the data from before is not in {KEPT}"),
        (with_node(HELD_AT_START, "b", directories={KEPT: 10}), f"b: no restored data in {LIVE}"),
        (with_node(HELD_AT_START, "b", claim=""), "b: claim is said to be done, but its claim is not there"),
        (with_node(HELD_AT_START, "b", claim="restore-02 1 1"), "its claim is not there"),
        (with_node(HELD_AT_START, "b", bars=()), "b: bar is said to be done, but nothing bars etcd"),
        (with_node(HELD_AT_START, "b", processes=1), "b: fence is said to be done, but etcd runs"),
        (replace(HELD_AT_START, told=Told("held")), "where the data lies is said of no node"),
        (replace(HELD_AT_START, told=Told("held", (), ("all is well",))), "nobody can tell what is meant by"),
    ],
)
def test_a_hold_that_says_what_is_not_so_is_caught(seen, said):
    assert said in wrong(seen)


def test_a_hold_that_is_not_sure_of_a_rename_may_name_both_places():
    """The one that failed may have happened all the same."""
    sentence = f"the data from before is in {KEPT} if that is there, else in {LIVE}"
    steps = tuple(step for step in STEPS_DONE if step.step != "swap")
    unsure = replace(HELD_AT_START, told=Told("held", steps, (f"on a, b, c {sentence}",)))
    assert judge(with_node(unsure, "b", directories={LIVE: 10, f"{LIVE}.quorate-x": 20})).end == HELD


def test_clients_that_are_let_in_before_they_were_admitted_are_caught():
    started = tuple(Said("start", name, "done") for name in NAMES)
    seen = replace(HELD_AT_START, told=replace(HELD_AT_START.told, steps=(*STEPS_DONE, *started)))
    for name in NAMES:
        seen = with_node(seen, name, unit="active", processes=1)
    assert "a: start is said to be done, but clients are let in" in wrong(seen)
    for name in NAMES:
        seen = with_node(seen, name, tables=("inet quorate",))
    assert judge(seen).end == HELD


STAGED = f"{LIVE}.quorate-{OP}-g1"
ROLLED_BACK = replace(
    UNDONE,
    after=replace(UNDONE.after, nodes=nodes({LIVE: 10, STAGED: 20})),
    told=Told(
        "undone",
        where=(f"on a, b, c the data from before is in {LIVE}, the restored in {STAGED}",),
        recorded="undone",
    ),
)


def test_a_rollback_may_keep_what_was_restored_where_it_says_so():
    assert judge(ROLLED_BACK).end == BEFORE
    assert f"b: no restored data in {STAGED}" in wrong(with_node(ROLLED_BACK, "b", directories={LIVE: 10}))
    assert f"b still has {STAGED}" in wrong(replace(ROLLED_BACK, told=UNDONE.told))


def test_an_operation_that_had_only_claimed_leaves_a_cluster_as_before_and_nothing_but_claims():
    unknown = replace(UNDONE, told=Told(NOTHING))
    claimed = with_node(unknown, "b", claim=f"{OP} 2 1 claim nodes.claim")
    assert judge(unknown) == judge(claimed) == Verdict(BEFORE)
    assert "b is still claimed: restore-02 2 1" in wrong(with_node(unknown, "b", claim="restore-02 2 1"))
    assert "b still has fence/etcd" in wrong(with_node(claimed, "b", bars=("fence/etcd",)))


def test_an_operation_that_was_over_on_every_node_is_not_known_any_more_and_was_done():
    assert judge(replace(RESTORED, told=Told(NOTHING))).end == NEW


def test_the_ways_that_a_hold_offers_are_read_from_the_next_commands():
    following = f"quorate --config /x/quorate.yaml retry {OP}  # or: quorate --config /x/quorate.yaml rollback {OP}"
    assert told({"outcome": "held", "error": {"next": following}}).offered == ("retry", "rollback")
    assert told({"error": {"next": f"quorate abort {OP}"}}).offered == ("abort",)


def test_a_node_is_read_from_what_its_own_tools_print():
    said = "path 12 /var/lib/etcd/default\nunit active\nprocess 77\nbar loaded /x\ntable inet quorate\nclaim op 1 2\n"
    assert node_reading(said) == NodeReading({LIVE: 12}, "active", 1, ("loaded /x",), ("inet quorate",), "op 1 2")


def test_an_answer_that_lost_lines_on_its_way_is_none():
    said = "path 12 /var/lib/etcd/default\nunit active"
    assert unbroken(f"{digest(said.encode())}\n{said}") == said
    assert unbroken(f"{digest(said.encode())}\nunit active") == unbroken("unit active") == unbroken("") == ""


def test_a_seed_decides_everything_and_naming_the_fault_changes_no_instant():
    for seed in range(40):
        drawn = case(seed)
        (only,) = drawn.strikes
        assert drawn == case(seed, drawn.name)
        assert drawn.name != "none"
        assert not only.moment.step or only.moment.step in only.fault.steps
    assert {case(seed).name for seed in range(200)} == set(FAULTS) - {"none"}


def test_two_faults_of_one_seed_strike_two_nodes_and_the_command_repeats_both():
    for seed in range(100):
        drawn = case(seed, faults=2)
        first, second = drawn.strikes
        assert drawn == case(seed, first.fault.name, faults=2)
        assert case(seed, first.fault.name).strikes == (first,)
        assert first.fault != second.fault
        assert first.node != second.node
        assert not (first.fault.way and second.fault.way)
        assert not drawn.bounded
        assert f"--seed {seed} --runs 1 --only {first.fault.name} --faults 2" in drawn.command


def test_every_moment_of_a_fault_can_be_asked_for_and_is_repeated_by_name():
    asked = list(cases(7, 2, "kill-daemon", "each"))
    every = (*STEPS, *NOTING)
    assert len(asked) == 2 * 2 * len(every)
    moments = [each.strikes[0].moment for each in asked]
    assert {(each.when, each.step) for each in moments} == set(product(("in", "after"), every))
    assert asked[0].command == "python -m deploy.robustness --seed 7 --runs 1 --only kill-daemon --at in:claim"
    assert next(cases(7, 1, "kill-daemon", "in:claim")) == asked[0]
    assert list(cases(7, 2, "cut")) == [case(7, "cut"), case(8, "cut")]


def test_a_command_or_a_rename_is_asked_for_by_its_number_or_by_a_range_of_them():
    asked = list(cases(7, 1, "drop-ssh", "called:3-5"))
    assert [str(each.strikes[0].moment) for each in asked] == ["called 3", "called 4", "called 5"]
    assert asked[2].command == "python -m deploy.robustness --seed 7 --runs 1 --only drop-ssh --at called:5"
    assert [str(each.strikes[0].moment) for each in cases(7, 1, "reboot", "rename:12")] == ["rename 12"]
    assert str(case(9, "flip-arrived").strikes[0].moment) == ARRIVED.replace(":", " ")


def test_a_blow_at_a_command_falls_when_it_waits_and_lets_it_go_on():
    did = []
    fault = Fault("x", "", lambda _: did.append("struck"), lambda _: did.append("healed"))
    trap = SimpleNamespace(caught=lambda: bool(did), let_go=lambda: did.append("let go"))
    blow = Blow(Strike(fault, Moment("called", "", 0.0, 3), 0, 5.0), SimpleNamespace(), trap)
    trail = SimpleNamespace(follow=lambda: None)
    blow.turn(trail, 1)
    assert did == []
    did.append("came")
    for now in (2, 3, 8):
        blow.turn(trail, now)
    assert did == ["came", "struck", "let go", "healed", "let go"]


def test_a_moment_is_read_from_the_trail_as_it_grows(tmp_path):
    audit = tmp_path / OP / "audit"
    audit.mkdir(parents=True)
    trail, seen = (
        Trail(tmp_path, frozenset()),
        (Moment("", "", 0), Moment("in", "swap", 0), Moment("after", "swap", 0)),
    )
    intents = [
        f'{{"event":"intent","step":"swap","argv":["mv"],"place":"{name}","seq":{n}}}\n'
        for n, name in enumerate(NAMES)
    ]
    outcomes = [f'{{"event":"outcome","of":{n}}}\n' for n in range(3)]
    reached = []
    for part in ("", "".join(intents), "".join(outcomes[:2]) + outcomes[2][:9], outcomes[2][9:]):
        with (audit / "1.jsonl").open("a") as file:
            file.write(part)
        reached.append([trail.reached(moment, 3) for moment in seen])
    assert reached == [[True, False, False], [True, True, False], [True, True, False], [True, True, True]]
    assert not Trail(tmp_path, frozenset({OP})).reached(seen[0], 3)


def test_acts_are_counted_and_a_look_is_none(tmp_path):
    audit = tmp_path / "drill-1" / "audit"
    audit.mkdir(parents=True)
    argvs = (["look"], ["systemctl", "stop"], ["look"], ["nft"])
    lines = [
        f'{{"event":"intent","step":"lay","argv":{json.dumps(argv)},"place":"a","seq":{n}}}\n'
        for n, argv in enumerate(argvs)
    ]
    (audit / "1.jsonl").write_text("".join([*lines, '{"event":"outcome","of":1}\n']))
    trail = Trail(tmp_path, frozenset(), "drill")
    trail.follow()
    assert [(each["argv"], trail.over(each)) for each in trail.begun()] == [(argvs[1], True), (argvs[3], False)]


def test_a_blow_falls_once_at_its_moment_and_is_healed_once_in_its_time():
    did = []
    fault = Fault("x", "", lambda _: did.append("struck"), lambda _: did.append("healed"))
    place = SimpleNamespace(lab=SimpleNamespace(nodes=NAMES))
    blow = Blow(Strike(fault, Moment("in", "swap", 1.0), 0, 5.0), place)
    seen = []
    for now, reached in ((0, False), (1, True), (1.5, True), (2, True), (6.9, True), (7, True), (8, True)):
        blow.turn(SimpleNamespace(reached=lambda *_, there=reached: there), now)
        seen.append(list(did))
    assert seen == [[], [], [], ["struck"], ["struck"], ["struck", "healed"], ["struck", "healed"]]
    blow.heal()
    Blow(blow.strike, place).heal()
    assert did == ["struck", "healed"]


def made(name: str, through: str, at: float, revision: int, value: str = "0") -> Write:
    return Write(name, through, at, at + 0.5, revision=revision, value=value)


OBJECTS = (
    made("kept", "a", 1, 91),
    made("lost", "b", 3, 111),
    made("often", "c", 1, 92),
    made("often", "c", 3, 112, "1"),
    made("unsure", "a", 4, 0),
    *(made(f"since-{name}", name, 40 + at, 1010 + at) for at, name in enumerate(NAMES)),
)
SINCE_OBJECTS = {f"since-{name}": Stored(1010 + at, "0") for at, name in enumerate(NAMES)}
HELD_OBJECTS = {"kept": Stored(91, "0"), "often": Stored(92, "0")} | SINCE_OBJECTS
WITH_API = replace(
    RESTORED, after=replace(RESTORED.after, objects=dict.fromkeys(NAMES, HELD_OBJECTS)), objects=OBJECTS
)


def with_objects(seen: Evidence, objects: dict[str, Stored]) -> Evidence:
    return replace(seen, after=replace(seen.after, objects=seen.after.objects | {"b": objects}))


def without(name: str) -> dict[str, Stored]:
    return {key: stored for key, stored in HELD_OBJECTS.items() if key != name}


def test_objects_are_judged_by_the_resource_version_of_their_acknowledgement():
    assert judge(WITH_API).end == NEW
    undone = replace(UNDONE, objects=OBJECTS)
    everything = HELD_OBJECTS | {"lost": Stored(111, "0"), "often": Stored(112, "1")}
    assert judge(with_objects(undone, everything)).end == BEFORE
    assert "the API server on b: objects missing: lost" in wrong(with_objects(undone, without("lost")))


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (without("kept"), "objects missing: kept"),
        (without("since-c"), "objects missing: since-c"),
        (HELD_OBJECTS | {"lost": Stored(111, "0")}, "objects there, although written after the backup: lost"),
        (HELD_OBJECTS | {"often": Stored(112, "1")}, "objects not as they were written last: often"),
        (HELD_OBJECTS | {"since-a": Stored(7, "0")}, "objects not as they were written last: since-a"),
        (HELD_OBJECTS | {"x": Stored(7, "0")}, "objects there, although nobody wrote them: x"),
    ],
)
def test_an_object_that_is_lost_or_came_back_or_is_an_older_one_is_caught(objects, said):
    assert f"the API server on b: {said}" in wrong(with_objects(WITH_API, objects))


def test_an_object_that_nobody_acknowledged_may_be_there_or_not():
    assert judge(with_objects(WITH_API, HELD_OBJECTS | {"unsure": Stored(1, "0")})).end == NEW


def test_a_resource_version_that_goes_back_or_a_silent_api_server_is_caught():
    back = tuple(replace(each, revision=95) if each.key == "since-b" else each for each in OBJECTS)
    assert "the revision went back: 95 through b after" in wrong(replace(WITH_API, objects=back))
    deaf = replace(WITH_API, after=replace(WITH_API.after, unheard={"b": "refused"}))
    assert "the API server on b does not answer: refused" in wrong(deaf)
    unwritten = tuple(each for each in OBJECTS if each.key != "since-b")
    assert "no object written through the API server on b" in wrong(replace(WITH_API, objects=unwritten))


def test_what_api_servers_keep_in_etcd_is_not_taken_for_a_strangers():
    theirs = holding(EARLY, *SINCE) | {"/registry/leases/x": "", "compact_rev_key": ""}
    seen = WITH_API
    for name in NAMES:
        seen = with_member(seen, name, keys=theirs)
    assert judge(seen).end == NEW
    assert "there, although nobody wrote it" in wrong(
        replace(seen, objects=(), after=replace(seen.after, objects={}))
    )


def test_with_a_control_plane_its_steps_can_be_struck_and_the_command_says_so():
    drawn = next(cases(7, 1, "kill-daemon", "in:fence-api", control_plane="systemd"))
    assert drawn.strikes[0].moment == Moment("in", "fence-api", 0.0)
    assert drawn.command.endswith("--only kill-daemon --at in:fence-api --control-plane systemd")
    assert set(OF_SHAPE["systemd"]) - set(STEPS) == {"fence-api", "start-api", "verify-api"}


def test_a_failure_names_its_seed_and_the_command_that_repeats_it():
    failed = Ran(case(17, "kill-daemon"), True, (FAILED,), ("b: missing: /w/early",), 9.0, OP, "")
    said = "\n".join([line(failed), *trouble(failed)])
    assert all(part in said for part in ("seed 17", "kill-daemon", "b: missing: /w/early", OP))
    assert "again: python -m deploy.robustness --seed 17 --runs 1 --only kill-daemon" in said


def test_the_table_counts_every_run_once_by_fault_and_end():
    ends = [(NEW,), (BEFORE,), (HELD, NEW), (HELD, BEFORE), (HELD, HELD, "aborted"), (BEFORE, NEW), (FAILED,)]
    wrongs = [(), (), (), (), (), (), ("x",)]
    entries = [
        entry(Ran(case(seed, "cut"), True, each, wrong, 1.0))
        for seed, (each, wrong) in enumerate(zip(ends, wrongs, strict=True))
    ]
    cells = [cell.strip() for cell in summary(entries).splitlines()[-1].strip("|").split("|")]
    assert cells == [
        "cut",
        "7",
        "7",
        "2",
        "1",
        "1",
        "1",
        "1",
        "1",
        "`python -m deploy.robustness --seed 6 --runs 1 --only cut`",
    ]
    assert len(cells) == len(HEAD)


def test_every_step_of_a_restore_can_be_struck():
    drawn = {case(seed).strikes[0].moment.step for seed in random.Random(1).sample(range(5000), 1000)}
    assert set(STEPS) <= drawn
