"""Whether a drill may be held, on whom its fault is laid, what it has shown, and when the next one is due."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quorate.clusters.cluster import Silence
from quorate.converge import Ran
from quorate.drill import Drilled, DrillRequest, DrillResult, Exposed, Lost, MemberState, Situation
from quorate.drills.aiming import aim, held_by, laid, needed, steady_of, unsteady
from quorate.drills.coverage import Held, covered
from quorate.drills.fault import ANOTHER, Cut, Hidden, Stopped
from quorate.drills.permitted import request
from quorate.drills.scenario import Fault, Proven
from quorate.drills.shown import changed, same_files
from quorate.drills.steadiness import Told
from quorate.drills.steadiness import checks as steadiness
from quorate.drills.verdict import result
from quorate.drills.watching import Looked, stopped
from quorate.drills.watching import checks as watching
from quorate.errors import BadInput, Refusal
from quorate.inventories.reading import parse
from quorate.inventory import Inventory
from quorate.measure import Check, Gap, Probed, Resource, Tries, Verdict
from quorate.members.etcd import EtcdSeen, HashKV
from quorate.nodes.supervisor import Systemd
from quorate.operation import Outcome, RestoreResult
from quorate.prove import ProveResult, unserved
from tests.factory import INVENTORY
from worker.scenarios import scenario

BARE = INVENTORY.format(state="/state", store="/store")
ALLOWED = BARE + "    drills: allowed\n    environment: staging\n    objectives: {rto: 15m, rpo: 30m}\n"
SANDBOX = BARE + "    sandbox: {host: 10.9.9.9}\n"
FAILOVER, PROOF = scenario("leader-failover"), scenario("restore-sandbox")
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
MEMBERS = tuple(MemberState(name, name == "b", f"id-{name}", "3.6.14") for name in "abc")
THERE = Situation(
    MEMBERS, {name: Systemd("etcd", "etcd.service", (2379,)) for name in "abc"}, firewalls=("a", "b", "c")
)


LOSS, PKI = scenario("control-plane-loss"), "/etc/kubernetes/pki"
KEY = f"{PKI}/apiserver.key"
API = Systemd("kube-apiserver", "kube-apiserver.service", (6443,))
LOST = replace(THERE, exposed=Exposed("demo/1", dict.fromkeys("abc", API), dict.fromkeys("abc", (KEY,))))


def inventory(text: str = ALLOWED) -> Inventory:
    return parse(text, "q.yaml")


def asked(text: str = ALLOWED, production: str = "") -> DrillRequest:
    return request(inventory(text), "demo", FAILOVER, "drill-1", "ada", production)


class TestAllowed:
    def test_faults_only_where_the_inventory_says_so(self) -> None:
        with pytest.raises(Refusal, match="not marked `drills: allowed`; nothing was started"):
            asked(BARE)

    def test_on_production_only_where_its_name_is_given_for_that(self) -> None:
        production = ALLOWED.replace("    environment: staging\n", "")
        with pytest.raises(Refusal, match="demo is production") as raised:
            asked(production)
        assert "--in-production demo" in raised.value.next
        assert asked(production, "demo").scenario == FAILOVER
        with pytest.raises(BadInput, match="'other', the cluster is 'demo'"):
            asked(production, "other")

    def test_a_scenario_without_faults_may_always_be_held_where_there_is_what_it_needs(self) -> None:
        assert request(inventory(SANDBOX), "demo", PROOF, "drill-1", "ada").prove
        with pytest.raises(Refusal, match="needs a sandbox"):
            request(inventory(BARE), "demo", PROOF, "drill-1", "ada")

    def test_a_scenario_that_insists_on_an_api_server_is_refused_where_none_is_named(self) -> None:
        needs = PROOF.needs.model_copy(update={"api_server": True})
        asking = PROOF.model_copy(update={"needs": needs})
        with pytest.raises(Refusal, match=r"needs an API server for the sandbox \(sandbox.api_server\)"):
            request(inventory(SANDBOX), "demo", asking, "drill-1", "ada")
        named = SANDBOX.replace("host: 10.9.9.9", "host: 10.9.9.9, api_server: /opt/kube-apiserver")
        proving = request(inventory(named), "demo", asking, "drill-1", "ada").prove
        assert proving
        assert proving.api_server == "/opt/kube-apiserver"

    def test_too_few_members_and_a_member_that_there_is_not_are_told_together(self) -> None:
        wrong = FAILOVER.stages[0].model_copy(update={"fault": Fault(kind="stop", at="z")})
        changed = FAILOVER.model_copy(
            update={"stages": (wrong,), "needs": FAILOVER.needs.model_copy(update={"members": 5})}
        )
        with pytest.raises(Refusal, match="needs 5 members and a member z"):
            request(inventory(), "demo", changed, "drill-1", "ada")

    def test_a_policy_is_a_duration_or_more(self) -> None:
        text = BARE + "    drills:\n      scenarios:\n        restore-sandbox: 1d\n"
        drills = inventory(text).clusters["demo"].drills
        assert drills and not drills.allowed
        assert drills.scenarios["restore-sandbox"].within == 86400
        with pytest.raises(BadInput, match="clusters.demo.drills"):
            inventory(BARE + "    drills: forbidden\n")


class TestAiming:
    @pytest.mark.parametrize(
        ("at", "found"), [("leader", ("b",)), ("follower", ("a",)), ("c", ("c",)), ("majority", ("b", "a"))]
    )
    def test_it_is_laid_on_whoever_that_is_now(self, at: str, found: tuple[str, ...]) -> None:
        assert aim(Fault(kind="stop", at=at), THERE) == found

    def test_without_a_leader_nothing_is_broken(self) -> None:
        none = replace(THERE, members=tuple(replace(each, leads=False) for each in MEMBERS))
        with pytest.raises(Refusal, match="no leader"):
            aim(Fault(kind="stop", at="leader"), none)

    def test_the_node_is_claimed_for_a_drill_and_lifts_it_itself_long_after_we_would_have(self) -> None:
        task = laid(asked(), 1, FAILOVER.stages[0], "b", THERE)
        assert (task.node.cluster, task.node.name) == ("drill", "b")
        assert isinstance(task.laid, Stopped)
        assert task.laid.after_s == 15 + 90 + 30
        assert task.laid.claim == "/var/lib/quorate/demo/claim"

    def test_it_is_cut_at_every_port_that_any_peer_has_and_only_where_there_is_something_to_cut_it_with(self) -> None:
        stage = scenario("network-partition").stages[0]
        task = laid(asked(), 1, stage, "a", THERE)
        assert isinstance(task.laid, Cut)
        assert task.laid.ports == (1,)
        with pytest.raises(Refusal, match="a has no /usr/sbin/nft"):
            laid(asked(), 1, stage, "a", replace(THERE, firewalls=()))

    def test_every_api_server_is_killed_and_one_loses_the_files_that_a_bundle_can_give_back(self) -> None:
        stage = LOSS.stages[0]
        assert stage.fault and aim(stage.fault, LOST) == ("a", "b", "c")
        first, *others = (laid(asked(), 1, stage, name, LOST).laid for name in "abc")
        assert isinstance(first, Hidden)
        assert (first.files, first.stopped.process, first.stopped.how) == ((KEY,), API, "kill")
        assert [(type(each), each.process) for each in others if isinstance(each, Stopped)] == [(Stopped, API)] * 2

    @pytest.mark.parametrize(
        ("exposed", "said"),
        [
            (Exposed("demo/1", {"b": API}, {"a": ("x",)}), "nobody knows what runs the API server of a"),
            (Exposed("demo/1", {"a": API}, {"a": ()}), "the bundle of demo/1 holds no file of a"),
        ],
    )
    def test_what_could_not_be_mended_is_not_broken(self, exposed: Exposed, said: str) -> None:
        with pytest.raises(Refusal, match=f"{said}.*; nothing was broken"):
            laid(asked(), 1, LOSS.stages[0], "a", replace(LOST, exposed=exposed))

    def test_what_etcd_is_told_stays_for_it_reads_it_anew_for_every_connection(self) -> None:
        flags = {
            "kube-apiserver": {"etcd-cafile": f"{PKI}/etcd/ca.crt", "audit-policy-file": "/etc/audit.yaml"},
            "etcd": {"trusted-ca-file": f"{PKI}/etcd/ca.crt", "cert-file": f"{PKI}/etcd/server.crt"},
            "kube-scheduler": {"kubeconfig": "/etc/kubernetes/scheduler.conf"},
        }
        told = (f"{PKI}/etcd/ca.crt", f"{PKI}/etcd/server.crt", "/etc/audit.yaml", "/etc/kubernetes/scheduler.conf")
        assert needed((KEY, *told), flags) == ("/etc/audit.yaml", KEY)

    def test_nodes_that_somebody_has_or_that_nobody_reaches_keep_it_from_beginning(self) -> None:
        assert held_by(THERE) == ""
        assert held_by(replace(THERE, holders={"a": "restore-9"})) == "a belongs to operation restore-9"
        assert held_by(replace(THERE, silent={"c": "timed out"})) == "c cannot be logged in to: timed out"


def etcd(name: str, leader: str = "b", revision: int = 9, **more: object) -> EtcdSeen:
    return EtcdSeen("c1", f"id-{name}", "3.6.14", revision, 2, 5, 5, f"id-{leader}" if leader else "", 1, 1, **more)  # type: ignore[arg-type]


class TestSteadiness:
    ALL = ("quorum", "every-member", "no-alarms", "same-data", "every-apiserver")
    GOOD = Told(
        members={name: etcd(name) for name in "abc"},
        reads=dict.fromkeys("abc", ""),
        hashes={name: HashKV(7, 9, 1) for name in "abc"},
        apis={"https://a": ""},
    )

    def test_a_healthy_cluster_is_steady(self) -> None:
        assert all(each.passed for each in steadiness(self.ALL, self.GOOD, "before"))

    @pytest.mark.parametrize(
        ("change", "wrong"),
        [
            ({"reads": {"a": "", "b": "x", "c": "x"}}, {"quorum", "every-member"}),
            ({"reads": {"a": "", "b": "", "c": "x"}}, {"every-member"}),
            ({"members": {**GOOD.members, "a": etcd("a", leader="a")}}, {"quorum"}),
            ({"members": {**GOOD.members, "a": etcd("a", learner=True)}}, {"every-member"}),
            ({"members": {**GOOD.members, "a": etcd("a", alarms=(("id-a", "NOSPACE"),))}}, {"no-alarms"}),
            ({"hashes": {**GOOD.hashes, "a": HashKV(8, 9, 1)}}, {"same-data"}),
            ({"hashes": {**GOOD.hashes, "a": HashKV(7, 9, 2)}}, {"same-data"}),
            ({"hashes": {**GOOD.hashes, "a": "away"}}, {"same-data"}),
            ({"apis": {"https://a": "not ready"}}, {"every-apiserver"}),
        ],
    )
    def test_what_is_not_is_named(self, change: dict[str, object], wrong: set[str]) -> None:
        found = steadiness(self.ALL, replace(self.GOOD, **change), "before")  # type: ignore[arg-type]
        assert {each.id.removeprefix("before: ") for each in found if each.passed is False} == wrong
        assert all(name in unsteady(found) for name in wrong)

    def test_what_could_not_be_compared_is_neither_good_nor_bad(self) -> None:
        (found,) = steadiness(("same-data",), replace(self.GOOD, uncompared="too large"), "before")
        assert (found.passed, found.observed) == (None, "too large")

    def test_a_cluster_without_a_control_plane_is_not_asked_for_one(self) -> None:
        assert "every-apiserver" not in steady_of(asked())


class TestWatching:
    def look(self, at: float, leader: str = "", *, refused: str | None = None, serve: str = "bc") -> Looked:
        members = {"a": Silence("away"), "b": etcd("b", leader), "c": etcd("c", leader)}
        return Looked(at, members, {name: "" if name in serve else "no" for name in "abc"}, refused)

    def test_another_leader_is_one_that_a_majority_follows(self) -> None:
        looks = [self.look(1.0), self.look(2.5, "c")]
        (found,) = watching(("another-leader",), "a", looks, "stage 1")
        assert (found.passed, found.observed) == (True, "c, 1.5 s after the first look")
        (none,) = watching(("another-leader",), "a", looks[:1], "stage 1")
        assert none.passed is False

    def test_the_majority_serves_when_it_does_at_the_last_look(self) -> None:
        first, last = self.look(1.0, serve=""), self.look(2.0)
        assert watching(("majority-serves",), "a", [first, last], "s")[0].passed
        assert watching(("majority-serves",), "a", [last, first], "s")[0].passed is False
        assert watching(("majority-serves",), "a", [], "s")[0].passed is False

    def test_a_single_write_that_the_minority_takes_is_wrong(self) -> None:
        refused, taken = self.look(1.0, refused="deadline"), self.look(2.0, refused="")
        assert watching(("minority-refuses",), "a", [refused, refused], "s")[0].passed
        assert watching(("minority-refuses",), "a", [refused, taken, refused], "s")[0].passed is False
        assert watching(("minority-refuses",), "a", [self.look(1.0)], "s")[0].passed is None

    def test_it_is_stopped_when_nobody_has_taken_a_write_for_too_long(self) -> None:
        """Reads go on where space is exhausted."""
        good = replace(self.look(1.0), wrote="")
        bad = [replace(self.look(at), wrote="no space") for at in (2.0, 30.0, 32.0)]
        assert stopped([good, *bad[:2]], 30) == ""
        assert stopped([good, *bad], 30) == "no member took a write for 31 s: no space"
        assert stopped([*bad, self.look(33.0)], 30) == ""
        assert stopped([], 30) == ""


GOOD_PROBE = Probed(
    100.0, 160.0, (Tries("etcd", "read", 90, 0), Tries("etcd", "write", 90, 4)), (Gap("etcd", "write", 110.5, 112.0),)
)
SEEN = Drilled(99.0, 161.0, 110.0, (Check("before: quorum", "x", "y", passed=True),), probed=GOOD_PROBE)


class TestVerdict:
    def test_everything_that_was_expected_was_seen(self) -> None:
        told = result(asked(), SEEN)
        assert (told.outcome, told.findings) == (Verdict.PASSED, ())
        assert told.clock.rto_s == 2.0
        assert (told.clock.detected, told.clock.quorum, told.clock.workload) == (110.5, 110.0, 112.0)
        assert {each.id for each in told.checks} == {"before: quorum", "write-gap", "read-gap", "nothing-lost"}

    @pytest.mark.parametrize(
        ("probed", "said"),
        [
            (
                replace(GOOD_PROBE, gaps=(Gap("etcd", "write", 110.0, 121.0),)),
                "write-gap: 11.00 s, expected at most 10",
            ),
            (replace(GOOD_PROBE, gaps=(Gap("etcd", "read", 110.0),)), "read-gap: 50.00 s"),
            (replace(GOOD_PROBE, lost=("writes 3 to 4 were acknowledged and are gone",)), "nothing-lost: writes 3"),
        ],
    )
    def test_one_that_was_not_makes_it_fail_with_both_in_words(self, probed: Probed, said: str) -> None:
        told = result(asked(), replace(SEEN, probed=probed))
        assert told.outcome is Verdict.FAILED
        assert any(each.startswith(said) for each in told.findings), told.findings

    def test_what_nobody_measured_is_a_finding_and_never_good(self) -> None:
        told = result(asked(), replace(SEEN, probed=None))
        assert told.outcome is Verdict.FINDINGS
        assert "write-gap could not be looked at: nothing was tried" in told.findings
        assert told.clock.rto_s is None

    def test_what_is_still_there_is_told_with_the_command_that_removes_it(self) -> None:
        left = Resource("fault", "b", "etcd.service is stopped", 110.0, removal="ssh b sudo …")
        told = result(asked(), replace(SEEN, resources=(left,)))
        assert told.outcome is Verdict.FINDINGS
        assert "fault on b is still there: etcd.service is stopped; remove it: ssh b sudo …" in told.findings

    def test_one_that_was_stopped_has_proved_nothing(self) -> None:
        told = result(asked(), replace(SEEN, stopped="cancelled by bob"))
        assert told.outcome is Verdict.STOPPED
        assert told.findings[0] == "stopped early: cancelled by bob"


class TestLaid:
    HIDE = Hidden(Stopped(API, "t", 1.0, "/claim", "kill"), (KEY,), "drill-1")

    def ran(self, *said: str) -> tuple[Ran, ...]:
        return tuple(Ran(str(self.HIDE.compare), 0, each) for each in said)

    @pytest.mark.parametrize(
        ("said", "passed"), [(("",), True), ((f"{ANOTHER}{KEY}",), False), (("", ""), True), ((), None)]
    )
    def test_whether_they_are_the_same_files_is_what_the_node_has_compared(
        self, said: tuple[str, ...], passed: bool | None
    ) -> None:
        assert same_files("stage 1", self.HIDE, self.ran(*said)).passed is passed

    @pytest.mark.parametrize("outcome", [Outcome.LAID, Outcome.UNDONE, Outcome.REFUSED])
    def test_only_what_is_laid_counts_and_is_told_as_that(self, outcome: Outcome) -> None:
        ended = RestoreResult("lay-1", outcome, "demo/1", 1, member="a")
        check = changed("stage 1", ended)
        assert (check.id, check.expected, check.passed) == ("stage 1: lay", "laid", outcome is Outcome.LAID)

    def test_it_is_over_when_an_api_server_takes_a_write_again(self) -> None:
        gap = Gap("apiserver", "write", 11.0, 25.0)
        tries = (Tries("etcd", "write", 9, 0), Tries("apiserver", "write", 9, 2))
        probed = Probed(1.0, 30.0, tries, (gap,))
        held = replace(asked(), scenario=LOSS)
        told = result(held, Drilled(5.0, 30.0, declared=10.0, probed=probed))
        assert told.clock.rto_s == 15.0
        assert result(asked(), Drilled(5.0, 30.0, declared=10.0, probed=probed)).clock.rto_s == 0.0


class TestProved:
    PROVED = ProveResult("prove-1", "proved", "demo/1", times={"claim": 101.0, "start": 104.0, "remove": 106.0})

    def judged(self, seen: Drilled) -> DrillResult:
        text = SANDBOX + "    objectives: {rto: 15m, rpo: 30m}\n"
        return result(request(inventory(text), "demo", PROOF, "drill-1", "ada"), seen)

    def test_without_a_fault_it_is_measured_by_when_the_etcd_in_the_sandbox_answered(self) -> None:
        told = self.judged(Drilled(100.0, 107.0, proved=self.PROVED, lost=Lost(0.0, 60.0)))
        assert (told.outcome, told.clock.rto_s) == (Verdict.PASSED, 4.0)

    @pytest.mark.parametrize(
        ("proof", "lost", "failing"),
        [
            (replace(PROVED, outcome="unsound"), Lost(0.0, 60.0), "backup-proved"),
            (None, Lost(0.0, 60.0), "backup-proved"),
            (PROVED, Lost(0.0, 3600.0), "rpo"),
            (replace(PROVED, times={"start": 2000.0}), Lost(0.0, 60.0), "rto"),
        ],
    )
    def test_an_objective_that_is_missed_or_no_proof_fails(
        self, proof: ProveResult | None, lost: Lost, failing: str
    ) -> None:
        told = self.judged(Drilled(100.0, 107.0, proved=proof, lost=lost))
        assert told.outcome is Verdict.FAILED
        assert failing in [each.id for each in told.checks if each.passed is False]

    def test_an_api_server_that_serves_is_a_check_and_a_reading_of_the_clock(self) -> None:
        times = {**self.PROVED.times, "serve": 105.0}
        facts = {"readyz_s": "1.00", "namespaces": "4", "secrets": "2"}
        proof = replace(self.PROVED, times=times, facts=facts, unserved="")
        told = self.judged(Drilled(100.0, 107.0, proved=proof, lost=Lost(0.0, 60.0)))
        assert (told.outcome, told.clock.readyz, told.clock.rto_s) == (Verdict.PASSED, 105.0, 4.0)
        served = next(each for each in told.checks if each.id == "api-served")
        assert served.observed == "ready after 1.00 s, 4 namespaces, 2 Secrets"

    def test_an_api_server_that_does_not_fails_the_drill_and_says_nothing_of_the_backup(self) -> None:
        why = "it answers 500"
        degraded = replace(self.PROVED, outcome="degraded", unserved=why, findings=(unserved(why),))
        told = self.judged(Drilled(100.0, 107.0, proved=degraded, lost=Lost(0.0, 60.0)))
        passed = {each.id: each.passed for each in told.checks}
        assert (told.outcome, told.clock.readyz) == (Verdict.FAILED, None)
        assert (passed["backup-proved"], passed["api-served"]) == (True, False)
        left = replace(degraded, findings=("something is left", unserved(why)))
        told = self.judged(Drilled(100.0, 107.0, proved=left, lost=Lost(0.0, 60.0)))
        assert {each.id: each.passed for each in told.checks}["backup-proved"] is False

    def test_where_none_was_asked_for_there_is_no_such_check(self) -> None:
        told = self.judged(Drilled(100.0, 107.0, proved=self.PROVED, lost=Lost(0.0, 60.0)))
        assert "api-served" not in [each.id for each in told.checks]

    def test_a_gap_needs_a_bound_and_nothing_else_takes_one(self) -> None:
        with pytest.raises(ValueError, match="expected at_most"):
            Proven(check="write-gap")
        with pytest.raises(ValueError, match="expected at_most"):
            Proven(check="rto", at_most=3.0)


class TestDue:
    POLICY = BARE + "    drills: {scenarios: {leader-failover: 90d, restore-sandbox: 1d}}\n"

    def held(self, scenario_: str, verdict: str, hours: float) -> Held:
        return Held("demo", scenario_, f"drill-{hours}", verdict, NOW - timedelta(hours=hours))

    def why(self, *held: Held) -> dict[str, str]:
        return {each.scenario: each.why_due for each in covered(inventory(self.POLICY), held, NOW)}

    def test_what_was_never_held_is(self) -> None:
        assert self.why() == {"leader-failover": "it was never held", "restore-sandbox": "it was never held"}

    def test_what_was_held_in_time_is_not(self) -> None:
        found = self.why(self.held("restore-sandbox", "passed", 20), self.held("leader-failover", "passed", 99))
        assert set(found.values()) == {""}

    def test_the_last_good_one_may_be_so_old_and_no_older(self) -> None:
        found = self.why(self.held("restore-sandbox", "passed-with-findings", 25))
        assert found["restore-sandbox"] == "the last good one is 1 d 1 h old, at most 1 d 0 h is allowed"

    def test_one_that_failed_is_due_again_whether_or_not_the_policy_names_it(self) -> None:
        found = self.why(self.held("restore-sandbox", "passed", 3), self.held("restore-sandbox", "failed", 2))
        assert "the last one failed" in found["restore-sandbox"]
        assert "the last one failed" in self.why(self.held("network-partition", "failed", 1))["network-partition"]

    def test_one_that_was_stopped_counts_for_nothing(self) -> None:
        assert self.why(self.held("restore-sandbox", "stopped", 1))["restore-sandbox"] == (
            "it was never held to its end"
        )

    def test_a_cluster_that_the_inventory_has_no_more_is_not_spoken_of(self) -> None:
        gone = replace(self.held("restore-sandbox", "failed", 1), cluster="gone")
        assert [each.cluster for each in covered(inventory(), (gone,), NOW)] == []


def test_the_records_of_drills_are_read_and_what_is_none_is_passed_over(tmp_path: Path) -> None:
    from worker.past import drills

    good = tmp_path / "drill-01M8MSVM5FQJEXAK1SFXAHZPVG"
    good.mkdir()
    (good / "cluster").write_text("demo")
    (good / "outcome.json").write_text(
        '{"scenario": "restore-sandbox", "outcome": "passed", "clock": {"declared": 5.0, "quorum": 7.5}}'
    )
    (tmp_path / "drill-broken").mkdir()
    (tmp_path / "drill-broken" / "outcome.json").write_text("{")
    (found,) = drills(tmp_path)
    assert (found.cluster, found.scenario, found.verdict, found.rto_s) == ("demo", "restore-sandbox", "passed", 2.5)
