"""Drills on real nodes: what is broken on purpose is mended in every ending, and what they say is what was seen."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.lab.lab import Lab, load, node_exec, wreck
from deploy.robustness.acknowledged import digest
from tests.e2e.conftest import backed_up, lab
from tests.e2e.product import QUORATE, Product, on_node, until
from tests.e2e.test_restore import etcdctl
from tests.hooks import hooked
from worker.scenarios import ours

pytestmark = pytest.mark.lab
# Processes, units, files, firewall tables, containers' mounts: everything that a drill could leave on a machine.
FOUND = r"""
ps -eo args= | grep -E '[e]tcd|[q]uorate' | grep -v sshd | sort || true
systemctl list-units --all --plain --no-legend 'quorate*' | cut -d' ' -f1
nft list tables 2>/dev/null || true
find /var/lib/quorate /etc/systemd/system /tmp /root -type f ! -name released ! -name lock 2>/dev/null |
  grep -v systemd-private | sort
"""
SHORT = """\
apiVersion: quorate/v1
scenario: short
title: One is stopped for a moment
hypothesis: The others go on.
needs: {members: 3}
steady: [quorum, every-member, no-alarms, same-data]
stages:
  - title: One is stopped
    fault: {kind: KIND, at: AT}
    hold: 4s
    expect: [majority-serves]
proof:
  - {check: write-gap, at_most: 10s}
  - check: nothing-lost
limits: {recover: 60s, duration: 5m}
stop_when: {writes_fail: 20s}
"""


@pytest.fixture(scope="module")
def drilled_lab() -> Iterator[Lab]:
    """Three members, and a machine that is nobody's."""
    for made in lab("d", members=3, etcd="3.6", control_plane="none", sandbox=True):
        load(made, 20)
        yield made


@pytest.fixture(scope="module")
def drilled(drilled_lab: Lab) -> Iterator[Product]:
    yield from backed_up(drilled_lab)


def machines(quorate: Product) -> list[str]:
    aside = [quorate.lab.sandbox] if quorate.lab.sandbox else []
    return [each.name for each in (*quorate.lab.machines, *aside)]


def there(quorate: Product) -> dict[str, list[str]]:
    return {name: whole(quorate.lab, name).splitlines() for name in machines(quorate)}


def whole(made: Lab, name: str) -> str:
    """Docker may lose the first lines that a machine prints (seen under load), so only a whole answer is one."""
    script = (
        f'whole=$({FOUND}) || exit 1; printf "%s\\n%s" "$(printf %s "$whole" | sha256sum | cut -c 1-64)" "$whole"'
    )
    for _ in range(3):
        code, said = node_exec(made, name, ["sh", "-ec", script])
        assert code == 0, said
        head, _, lines = said.partition("\n")
        if head == digest(lines.encode()):
            return lines
    raise AssertionError(f"{name} cannot be read: {said}")


def unchanged(quorate: Product, before: dict[str, list[str]]) -> None:
    """With what etcd said on the node that is otherwise."""
    after = there(quorate)
    other = [name for name in before if after[name] != before[name]]
    said = ["journalctl", "-u", "etcd.service", "-n", "40", "--no-pager", "-o", "short-precise"]
    assert after == before, "\n".join(node_exec(quorate.lab, name, said)[1] for name in other)


def short(tmp_path: Path, kind: str = "stop", at: str = "leader") -> str:
    file = tmp_path / "short.yaml"
    file.write_text(SHORT.replace("KIND", kind).replace("AT", at))
    return str(file)


def started(quorate: Product, *words: str) -> "subprocess.Popen[str]":
    argv = [str(QUORATE), "--config", str(quorate.config), "drill", "start", *words, "-o", "json"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def drills(quorate: Product) -> set[str]:
    return {path.name for path in (quorate.state / "operations").glob("drill-*")}


def acted(quorate: Product, known: set[str], act: str) -> bool:
    """Whether the drill that is new has recorded that it is about to do this."""
    trails = (quorate.trail(operation) for operation in drills(quorate) - known)
    return any(act in " ".join(each.get("argv", ())) for trail in trails for each in trail)


def failing(result: dict[str, Any]) -> list[str]:
    return [f"{each['id']}: {each['observed']}" for each in result["checks"] if each["passed"] is not True]


def leader(quorate: Product) -> str:
    members = json.loads(quorate.run("inspect", quorate.cluster, "-o", "json").stdout)["members"]
    return next(str(each["name"]) for each in members if each["role"] == "leader")


def test_nights_in_a_row_are_proved_and_leave_nothing_behind(drilled: Product, nights: int) -> None:
    before, containers = there(drilled), running(drilled.cluster)
    for _ in range(nights):
        snapshot = drilled.backup()["snapshot"]
        result = drilled.json("drill", "start", "restore-sandbox", drilled.cluster)
        assert (result["outcome"], result["snapshot"], failing(result)) == ("passed", snapshot, [])
        assert 0 < result["clock"]["quorum"] - result["clock"]["declared"] < result["duration_s"]
        assert result["lost"]["least_s"] <= result["lost"]["most_s"] < 60
        (proof,) = result["operations"]
        for operation in (result["operation"], proof):
            assert drilled.run("audit", "verify", operation).returncode == 0
    unchanged(drilled, before)
    assert running(drilled.cluster) == containers


def running(lab: str) -> list[str]:
    only = f"label=quorate-lab={lab}"
    said = subprocess.run(["docker", "ps", "-aq", "--filter", only], capture_output=True, text=True, check=True)
    return sorted(said.stdout.split())


def test_a_leader_that_is_stopped_then_killed_is_replaced_and_no_acknowledged_write_is_lost(drilled: Product) -> None:
    before, first = there(drilled), leader(drilled)
    result = drilled.json("drill", "start", "leader-failover", drilled.cluster)
    assert (result["outcome"], failing(result)) == ("passed", [])
    assert result["resources"][0]["place"] == first
    assert [each["name"] for each in result["resources"]] == ["etcd.service is stopped", "etcd.service is killed"]
    assert all(each["destroyed"] > each["made"] for each in result["resources"])
    writes = next(each for each in result["probed"]["tries"] if each["verb"] == "write")
    assert writes["made"] > 100
    assert any(gap["verb"] in {"read", "write"} for gap in result["probed"]["gaps"]), (
        "a killed leader costs an election"
    )
    unchanged(drilled, before)
    ask = etcdctl("get", "quorate/probe", "--prefix", "--keys-only")
    assert node_exec(drilled.lab, drilled.lab.machines[0].name, ask) == (0, "")


def test_one_member_can_be_hit_in_more_than_one_stage(drilled: Product, tmp_path: Path) -> None:
    """A stage gives its node back for good, and the next one takes it anew."""
    before = there(drilled)
    text = yaml.safe_load(Path(short(tmp_path, at=drilled.lab.nodes[1].name)).read_text())
    (first,) = text["stages"]
    text["stages"] = [first, {**first, "title": "And again", "fault": {**first["fault"], "kind": "kill"}}]
    file = tmp_path / "twice.yaml"
    file.write_text(yaml.safe_dump(text))
    result = drilled.json("drill", "start", str(file), drilled.cluster)
    assert (result["outcome"], failing(result)) == ("passed", [])
    assert [each["name"] for each in result["resources"]] == ["etcd.service is stopped", "etcd.service is killed"]
    unchanged(drilled, before)


def test_who_is_cut_from_its_peers_takes_no_write_and_catches_up(drilled: Product) -> None:
    before = there(drilled)
    result = drilled.json("drill", "start", "network-partition", drilled.cluster)
    assert (result["outcome"], failing(result)) == ("passed", [])
    refused = [each for each in result["checks"] if each["id"].endswith("minority-refuses")]
    assert len(refused) == 2
    assert {each["name"] for each in result["resources"]} == {"cut from its peers"}
    unchanged(drilled, before)


def test_a_member_that_is_wiped_is_replaced_while_the_others_serve(drilled: Product) -> None:
    before = there(drilled)
    result = drilled.json("drill", "start", "member-loss", drilled.cluster, "--confirm", drilled.cluster)
    assert (result["outcome"], failing(result)) == ("passed", [])
    assert [each.rpartition("-")[0] for each in result["operations"]] == ["replace-member"]
    after = there(drilled)  # but for what the operation has left of its own record there
    assert {name: unclaimed(lines) for name, lines in after.items()} == {
        name: unclaimed(lines) for name, lines in before.items()
    }
    assert [line for lines in after.values() for line in lines if "drill" in line] == []


def test_a_quorum_that_is_wiped_is_restored_as_in_an_incident_and_both_numbers_are_measured(drilled: Product) -> None:
    snapshot = drilled.backup()["snapshot"]
    result = drilled.json("drill", "start", "quorum-loss", drilled.cluster, "--confirm", drilled.cluster)
    assert (result["outcome"], result["snapshot"], failing(result)) == ("passed", snapshot, [])
    clock = result["clock"]
    assert clock["declared"] < clock["approved"] < clock["first_write"] < clock["handed_back"]
    assert 0 <= result["lost"]["least_s"] <= result["lost"]["most_s"]
    assert any("approved by" in each for each in result["people"])
    (operation,) = result["operations"]
    assert drilled.json("operations", "show", operation)["outcome"]["outcome"] == "restored"
    assert [line for lines in there(drilled).values() for line in lines if "drill" in line] == []
    for each in drilled.lab.nodes:
        assert node_exec(drilled.lab, each.name, ["sh", "-c", "ls -d /var/lib/etcd/*drill*"])[0] == 2
    drilled.json("tidy", drilled.cluster, "--older-than", "1s", "--confirm", drilled.cluster)


def test_keys_that_are_deleted_by_mistake_are_back_and_exactly_those(drilled: Product) -> None:
    result = drilled.json("drill", "start", "data-loss", drilled.cluster, "--confirm", drilled.cluster)
    assert (result["outcome"], failing(result)) == ("passed", [])
    (back,) = [each for each in result["checks"] if each["id"].endswith("keys back")]
    assert back["observed"].startswith("100 keys, ")
    ask = etcdctl("get", "quorate/drilled/", "--prefix", "--keys-only")
    assert node_exec(drilled.lab, drilled.lab.machines[0].name, ask) == (0, "")
    drilled.json("tidy", drilled.cluster, "--older-than", "1s", "--confirm", drilled.cluster)


def test_with_the_first_store_away_a_backup_says_so_and_the_second_is_restored_from(
    drilled: Product, tmp_path: Path
) -> None:
    other = copied(drilled, tmp_path)
    result = other.json("drill", "start", "store-away", drilled.cluster, "--confirm", drilled.cluster)
    assert (result["outcome"], failing(result)) == ("passed", [])
    (restore,) = [each for each in result["operations"] if each.startswith("restore-")]
    plan = other.json("operations", "show", restore)["plan"]
    assert plan["chosen"]["store"]["directory"] == str(tmp_path / "copies")
    drilled.json("tidy", drilled.cluster, "--older-than", "1s", "--confirm", drilled.cluster)


def test_a_backup_that_is_corrupt_is_refused_told_and_the_one_before_it_is_used(drilled: Product) -> None:
    before = there(drilled)
    result = drilled.json("drill", "start", "bad-backup", drilled.cluster)
    assert (result["outcome"], failing(result)) == ("passed", [])
    (twin,) = result["resources"]
    assert twin["destroyed"] > twin["made"]
    assert twin["name"] != result["snapshot"]
    known = drilled.json("snapshots", "ls", drilled.cluster)["snapshots"]
    assert twin["name"] not in [each["snapshot"] for each in known]
    assert result["snapshot"] in [each["snapshot"] for each in known]
    unchanged(drilled, before)


@pytest.mark.parametrize("act", [pytest.param("systemd-run", marks=pytest.mark.long), "systemctl stop etcd.service"])
def test_a_daemon_that_is_killed_leaves_nothing_broken_and_the_drill_goes_on(
    drilled: Product, tmp_path: Path, act: str
) -> None:
    before, known = there(drilled), drills(drilled)
    with started(drilled, short(tmp_path), drilled.cluster) as waiting:
        until(lambda: acted(drilled, known, act))
        drilled.kill("daemon")
        until(lambda: drilled.run("up", "--detach").returncode == 0, poll_s=0.5)
        answer, said = waiting.communicate(timeout=200)
    result = json.loads(answer)
    assert (waiting.returncode, failing(result)) == (0, []), answer + said
    unchanged(drilled, before)
    assert drilled.run("audit", "verify", result["operation"]).returncode == 0


@pytest.mark.parametrize(
    ("kind", "laid"), [("stop", "! systemctl -q is-active etcd"), ("cut", "nft list tables | grep -q quorate_drill")]
)
def test_a_node_that_reboots_under_a_fault_is_mended_whatever_the_verdict(
    drilled: Product, tmp_path: Path, kind: str, laid: str
) -> None:
    before = there(drilled)

    def hit() -> list[str]:
        return [node.name for node in drilled.lab.nodes if node_exec(drilled.lab, node, ["sh", "-c", laid])[0] == 0]

    with started(drilled, short(tmp_path, kind, "follower"), drilled.cluster) as waiting:
        until(lambda: bool(hit()), poll_s=0.1)
        wreck(drilled.lab, "reboot", hit()[0])
        answer, said = waiting.communicate(timeout=200)
    result = json.loads(answer)
    assert result["outcome"] in {"passed", "failed", "stopped"}, answer + said
    assert [each["removal"] for each in result["resources"] if each["removal"]] == []
    until(lambda: there(drilled) == before, poll_s=1.0)


def test_where_nobody_of_ours_is_left_the_node_lifts_it_by_itself(drilled: Product, tmp_path: Path) -> None:
    before, known = there(drilled), drills(drilled)
    text = (
        SHORT.replace("KIND", "stop")
        .replace("AT", "follower")
        .replace("recover: 60s", "recover: 1s")
        .replace("hold: 4s", "hold: 1s")
    )
    file = tmp_path / "short.yaml"
    file.write_text(text)
    with started(drilled, str(file), drilled.cluster) as waiting:
        until(lambda: acted(drilled, known, "systemctl stop etcd"))
        drilled.kill("daemon")
        drilled.kill("temporal")
        waiting.terminate()
        waiting.communicate()

    def lifted() -> bool:
        now = there(drilled)
        return all(unclaimed(now[name]) == unclaimed(before[name]) for name in now)

    until(lifted, deadline_s=120, poll_s=1.0)
    drilled.up()
    until(lambda: there(drilled) == before, deadline_s=120, poll_s=1.0)  # it is taken up again, and ends
    (operation,) = drills(drilled) - known
    until((drilled.state / "operations" / operation / "outcome.json").exists, deadline_s=120, poll_s=0.5)


def unclaimed(lines: list[str]) -> list[str]:
    return [line for line in lines if "/var/lib/quorate/" not in line]


def test_a_cancel_mends_first_and_is_no_verdict(drilled: Product, tmp_path: Path) -> None:
    before, known = there(drilled), drills(drilled)
    file = Path(short(tmp_path))
    file.write_text(file.read_text().replace("hold: 4s", "hold: 60s"))
    with started(drilled, str(file), drilled.cluster) as waiting:
        until(lambda: acted(drilled, known, "systemctl stop etcd.service"))
        (operation,) = drills(drilled) - known
        assert drilled.run("cancel", operation).returncode == 0
        answer, said = waiting.communicate(timeout=120)
    result = json.loads(answer)
    assert (waiting.returncode, result["outcome"]) == (9, "stopped"), answer + said
    assert "stopped early: cancelled by" in result["findings"][0]
    unchanged(drilled, before)


def test_what_is_not_steady_is_not_broken_further(drilled: Product, tmp_path: Path) -> None:
    on_node(drilled.lab, "systemctl stop etcd.service", 2)
    try:
        before = there(drilled)
        answer = drilled.json("drill", "start", short(tmp_path), drilled.cluster, exit_code=4)
        assert "it is not steady before the drill: before: every-member" in answer["error"]["message"]
        unchanged(drilled, before)
    finally:
        on_node(drilled.lab, "systemctl start etcd.service", 2)


def test_whoever_is_to_know_is_told_of_one_that_fails_with_what_it_expected_and_saw(
    drilled: Product, tmp_path: Path
) -> None:
    """By the daemon that has held it, of its own accord."""
    before, text = there(drilled), drilled.config.read_text()
    file = Path(short(tmp_path, kind="kill"))
    file.write_text(file.read_text().replace("at_most: 10s", "at_most: 0s"))  # and a killed leader costs an election
    with hooked() as hook:
        (tmp_path / "url").write_text(hook.url)
        told = {"webhooks": [{"form": "json", "url": f"file:{tmp_path / 'url'}"}]}
        try:
            drilled.down()
            drilled.config.write_text(yaml.safe_dump({**yaml.safe_load(text), "notify": told}))
            drilled.up()
            result = drilled.json("drill", "start", str(file), drilled.cluster, exit_code=10)
            until(lambda: bool(hook.bodies))
        finally:
            drilled.down()
            drilled.config.write_text(text)
            drilled.up()
    (said,) = hook.bodies
    assert (said["kind"], said["outcome"], said["operation"]) == ("drill", "failed", result["operation"])
    assert "write-gap" in said["why"]
    unchanged(drilled, before)


def test_where_a_drill_has_left_its_claim_none_begins(drilled: Product) -> None:
    """One that could not lift its fault; whoever has removed it by hand has removed that too."""
    node, claim = drilled.lab.nodes[2].name, "/var/lib/quorate/drill/claim"
    left = f"mkdir -p {Path(claim).parent} && echo 'drill-before-2 7 1 lift' >{claim}"
    assert node_exec(drilled.lab, node, ["sh", "-c", left])[0] == 0
    before = there(drilled)
    error = drilled.json("drill", "start", "leader-failover", drilled.cluster, exit_code=4)["error"]
    assert f"{node} belongs to operation drill-before-2; nothing was broken" in error["message"]
    unchanged(drilled, before)
    assert node_exec(drilled.lab, node, ["rm", claim])[0] == 0


def test_faults_are_refused_where_the_inventory_does_not_allow_them(drilled: Product, tmp_path: Path) -> None:
    text = yaml.safe_load(drilled.config.read_text())
    for change, said in (
        ({"drills": None}, "not marked `drills: allowed`"),
        ({"environment": "production"}, "is production"),
    ):
        settings = {**text["clusters"][drilled.cluster], **change}
        file = tmp_path / "quorate.yaml"
        file.write_text(yaml.safe_dump({**text, "clusters": {drilled.cluster: settings}}))
        other = Product(drilled.lab, file)
        answer = other.json("drill", "start", "leader-failover", drilled.cluster, exit_code=4)
        assert said in answer["error"]["message"]
        assert answer["operation"] is None


def test_what_was_held_is_listed_and_what_policy_wants_is_due(drilled: Product, tmp_path: Path) -> None:
    text = yaml.safe_load(drilled.config.read_text())
    text["clusters"][drilled.cluster]["drills"] = {"scenarios": {"quarterly": "90d", "restore-sandbox": "1d"}}
    file = tmp_path / "quorate.yaml"
    file.write_text(yaml.safe_dump(text))
    other = Product(drilled.lab, file)
    drilled.backup()
    drilled.json("drill", "start", "restore-sandbox", drilled.cluster)
    rows = {each["scenario"]: each for each in other.json("drill", "ls")["drills"]}
    assert (rows["restore-sandbox"]["outcome"], rows["restore-sandbox"]["due"]) == ("passed", None)
    due = {each["scenario"]: each["due"] for each in other.json("drill", "due", exit_code=3)["due"]}
    due.pop("short", "")  # of another test, which had no second to become steady again
    assert due == {"quarterly": "it was never held"}
    assert {each["scenario"] for each in other.json("drill", "ls")["scenarios"]} == set(ours())


def copied(quorate: Product, tmp_path: Path) -> Product:
    """The same with a second store, which gets every backup."""
    text = yaml.safe_load(quorate.config.read_text())
    (tmp_path / "copies").mkdir()
    text["stores"]["second"] = {"directory": str(tmp_path / "copies")}
    text["clusters"][quorate.cluster]["backup"]["copies"] = ["second"]
    file = tmp_path / "quorate.yaml"
    file.write_text(yaml.safe_dump(text))
    other = Product(quorate.lab, file)
    other.config.parent.joinpath("state").symlink_to(quorate.state)
    return other


def test_whoever_usually_approves_may_not_and_another_person_can(drilled: Product, tmp_path: Path) -> None:
    assert absent(drilled, tmp_path)["clock"]["readyz"] is None


def absent(quorate: Product, tmp_path: Path) -> dict[str, Any]:
    """Of two who may approve one declares it, so the other has to."""
    quorate.backup()
    text = yaml.safe_load(quorate.config.read_text())
    text["clusters"][quorate.cluster]["approval"] = {"approvers": ["ada", "kim"]}
    file = tmp_path / "quorate.yaml"
    file.write_text(yaml.safe_dump(text))
    known, before = drills(quorate), planned(quorate)
    argv = [str(QUORATE), "--config", str(file), "drill", "start", "operator-absent", quorate.cluster]
    with subprocess.Popen(
        [*argv, "--as", "ada", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiting:
        digest, operation = awaited(quorate, before)
        mine = quorate.run("approve", operation, "--digest", digest, "--as", "ada")
        assert mine.returncode == 5
        assert "ada is not among the approvers: kim" in mine.stderr
        assert quorate.run("approve", operation, "--digest", digest, "--as", "kim").returncode == 0
        answer, said = waiting.communicate(timeout=300)
    result = json.loads(answer)
    assert (result["outcome"], failing(result)) == ("passed", []), answer + said
    (missed,) = [each for each in result["checks"] if each["id"] == "absent"]
    assert "ada is not among the approvers" in missed["observed"]
    assert any("approved by kim" in each for each in result["people"])
    assert result["clock"]["declared"] < result["clock"]["approved"] < result["clock"]["first_write"]
    assert drills(quorate) - known == {result["operation"]}
    return result


def awaited(quorate: Product, known: set[str]) -> tuple[str, str]:
    """The plan that is made and waits for an approval, and whose it is."""
    until(lambda: bool(planned(quorate) - known), deadline_s=90, poll_s=0.2)
    (operation,) = planned(quorate) - known
    return str(quorate.json("operations", "show", operation)["digest"]), operation


def planned(quorate: Product) -> set[str]:
    return {path.parent.name for path in (quorate.state / "operations").glob("restore-*/plan.json")}
