"""A control plane is lost on purpose, a node's files by mistake: the bundle brings them back, and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.lab.age import OURS
from deploy.lab.lab import node_exec, wreck
from tests.e2e.conftest import lab
from tests.e2e.product import Product, on_node, until
from tests.e2e.test_backups import instead
from tests.e2e.test_control_plane import answers
from tests.e2e.test_drills import drills, failing, started, there, unclaimed
from worker.scenarios import ours

pytestmark = pytest.mark.lab
PKI = "/etc/kubernetes/pki"
STATE = f"""
cd {PKI}; for f in * ../*.conf; do echo "$f $(stat -c '%U:%G %a %Y' "$f") $(sha256sum <"$f")"; done
systemctl is-active etcd kube-apiserver kube-controller-manager kube-scheduler || true
"""
EVERYWHERE = range(3)


@pytest.fixture(scope="module")
def whole() -> Iterator[Product]:
    for made in lab("l", members=3, etcd="3.6", control_plane="systemd"):
        product = Product(made, Path(made.config))
        product.up()
        try:
            assert product.backup()["outcome"] == "verified"
            yield product
        finally:
            product.down()


def state(whole: Product) -> list[str]:
    return [on_node(whole.lab, STATE, number) for number in EVERYWHERE]


def hidden(whole: Product) -> list[str]:
    """Second names of ours, on any node."""
    return [
        name
        for number in EVERYWHERE
        for name in on_node(whole.lab, "find /etc /usr/lib/systemd -name '*.quorate-*'", number).split()
    ]


def ready(whole: Product) -> bool:
    return all(answers(whole, number) for number in EVERYWHERE)


def own(lines: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: unclaimed(each) for name, each in lines.items()}


def quick(tmp_path: Path, **limits: str) -> str:
    text = yaml.safe_load(ours()["control-plane-loss"].read_text())
    file = tmp_path / "quick.yaml"
    file.write_text(yaml.safe_dump({**text, "scenario": "quick", "limits": limits}))
    return str(file)


def checked(result: dict[str, Any], ending: str) -> dict[str, Any]:
    (found,) = [each for each in result["checks"] if each["id"].endswith(ending)]
    return dict(found)


def acted(whole: Product, known: set[str], act: str) -> bool:
    """Whether a drill that is new, or the operation that it has begun, is about to do this."""
    kinds = (path.name for path in (whole.state / "operations").glob("*") if path.name not in known)
    return any(act in " ".join(each.get("argv", ())) for name in kinds for each in whole.trail(name))


def operations(whole: Product) -> set[str]:
    return {path.name for path in (whole.state / "operations").glob("*")}


def test_every_api_server_is_lost_and_the_bundle_brings_the_keys_back(whole: Product) -> None:
    before, lines = state(whole), own(there(whole))
    result = whole.json("drill", "start", "control-plane-loss", whole.cluster, "--confirm", whole.cluster)
    assert (result["outcome"], failing(result), result["findings"]) == ("passed", [], [])
    assert state(whole) == before
    assert (hidden(whole), own(there(whole)), ready(whole)) == ([], lines, True)
    assert sorted(each["place"] for each in result["resources"]) == sorted(each.name for each in whole.lab.nodes)
    assert all(each["destroyed"] > each["made"] for each in result["resources"])
    (away,) = [each["name"] for each in result["resources"] if "out of sight" in each["name"]]
    count = int(away.partition(", ")[2].split()[0])
    assert count >= 7
    assert checked(result, "stage 1: files")["observed"] == f"{count} of {count}"
    assert checked(result, "nothing-lost")["passed"]
    lost = {each["verb"]: each["failed"] for each in result["probed"]["tries"] if each["surface"] == "apiserver"}
    assert min(lost.values()) > 0
    assert 0 < result["clock"]["first_write"] - result["clock"]["declared"] < result["duration_s"]
    assert result["lost"] == {"least_s": None, "most_s": None}
    (operation,) = result["operations"]
    laid = whole.json("operations", "show", operation)["outcome"]
    assert (laid["outcome"], laid["snapshot"]) == ("laid", result["snapshot"])
    for each in (result["operation"], operation):
        assert whole.run("audit", "verify", each).returncode == 0
        report = whole.run("report", each, "-f", "md")
        assert (report.returncode, each in report.stdout) == (0, True), report.stdout + report.stderr


def test_what_a_node_has_lost_is_laid_and_what_is_there_stays(whole: Product) -> None:
    """Keys, a kubeconfig, and a file that is there and is another one than in the bundle."""
    before = state(whole)
    on_node(whole.lab, f"mkdir /root/away; cp -a {PKI}/* /root/away; rm {PKI}/ca.crt {PKI}/apiserver.*", 1)
    mine = on_node(whole.lab, f"echo '# mine' >> {PKI}/sa.pub; stat -c '%i %Y' {PKI}/sa.pub; cat {PKI}/sa.pub", 1)
    on_node(whole.lab, "mv /etc/kubernetes/scheduler.conf /root/away; systemctl kill -s KILL kube-apiserver", 1)
    node = whole.lab.nodes[1].name
    result = whole.json("lay", whole.cluster, "--node", node, "--confirm", whole.cluster)
    assert (result["outcome"], result["member"]) == ("laid", node)
    (finding,) = result["findings"]
    assert finding.endswith(f"otherwise: {PKI}/sa.pub: another content")
    assert on_node(whole.lab, f"stat -c '%i %Y' {PKI}/sa.pub; cat {PKI}/sa.pub", 1) == mine
    on_node(whole.lab, f"mv /root/away/sa.pub {PKI}/sa.pub; rm -r /root/away", 1)
    assert (state(whole), hidden(whole), ready(whole)) == (before, [], True)
    again = whole.json("lay", whole.cluster, "--node", node, "--confirm", whole.cluster, exit_code=4)
    assert "nothing is missing on" in again["error"]["message"]
    assert whole.run("audit", "verify", result["operation"]).returncode == 0
    secret = (whole.lab.folder / OURS).read_text().split()[-1]
    said = "".join(path.read_text() for path in whole.state.rglob("*.json*"))
    assert secret not in said
    assert "PRIVATE KEY" not in said


@pytest.mark.long
def test_where_what_was_laid_does_not_help_it_is_held_and_a_rollback_takes_it_away(whole: Product) -> None:
    """A file that is there and is wrong: the API server starts on nothing that is laid beside it."""
    on_node(whole.lab, f"mkdir /root/away; cp -a {PKI}/ca.crt {PKI}/apiserver.crt /root/away", 2)
    on_node(
        whole.lab,
        f"rm {PKI}/ca.crt; echo wrong > {PKI}/apiserver.crt; systemctl restart --no-block kube-apiserver",
        2,
    )
    node = whole.lab.nodes[2].name
    try:
        held = whole.json("lay", whole.cluster, "--node", node, "--confirm", whole.cluster, exit_code=10)
        assert (held["outcome"], "kube-apiserver.service" in held["error"]["message"]) == ("held", True)
        assert on_node(whole.lab, f"stat -c %h {PKI}/ca.crt", 2) == "2"
        assert f"otherwise: {PKI}/apiserver.crt: " in held["error"]["message"]
        assert whole.json("rollback", held["operation"], exit_code=9)["outcome"] == "undone"
        assert node_exec(whole.lab, node, ["ls", f"{PKI}/ca.crt"])[0] == 2
        assert hidden(whole) == []
    finally:
        on_node(whole.lab, f"cp -a /root/away/* {PKI}; rm -r /root/away; systemctl restart kube-apiserver", 2)
    until(lambda: ready(whole), deadline_s=120, poll_s=0.5)


def test_a_bundle_that_cannot_be_opened_fails_the_drill_and_everything_is_back(whole: Product) -> None:
    before = state(whole)
    with instead(whole.lab, identities=[]):
        argv = ("drill", "start", "control-plane-loss", whole.cluster, "--confirm", whole.cluster)
        result = whole.json(*argv, exit_code=10)
    assert result["outcome"] == "failed"
    assert "cannot be opened" in checked(result, "stage 1: lay")["observed"]
    assert any("stage 1: lay" in each for each in result["findings"])
    assert (state(whole), hidden(whole), ready(whole)) == (before, [], True)


@pytest.mark.parametrize(
    "act",
    [
        pytest.param("mv -T /etc/kubernetes/pki", marks=pytest.mark.long),
        "tar -C / -x",
        pytest.param("ln -T", marks=pytest.mark.long),
    ],
)
def test_a_daemon_that_is_killed_while_the_files_are_away_goes_on(whole: Product, act: str) -> None:
    before, lines, known = state(whole), own(there(whole)), operations(whole)
    with started(whole, "control-plane-loss", whole.cluster, "--confirm", whole.cluster) as waiting:
        until(lambda: acted(whole, known, act), deadline_s=120)
        whole.kill("daemon")
        until(lambda: whole.run("up", "--detach").returncode == 0, poll_s=0.5)
        answer, said = waiting.communicate(timeout=300)
    result = json.loads(answer)
    assert (waiting.returncode, failing(result)) == (0, []), answer + said
    assert (state(whole), hidden(whole), own(there(whole))) == (before, [], lines)


def test_a_node_that_reboots_while_its_files_are_away_has_them_back(whole: Product) -> None:
    """The timer that would put them back does not outlive a reboot; the drill does."""
    before, lines = state(whole), own(there(whole))
    with started(whole, "control-plane-loss", whole.cluster, "--confirm", whole.cluster) as waiting:
        until(lambda: bool(bare(whole)), deadline_s=120)
        wreck(whole.lab, "reboot", whole.lab.nodes[bare(whole)[0]].name)
        answer, said = waiting.communicate(timeout=300)
    result = json.loads(answer)
    assert result["outcome"] in {"passed", "failed"}, answer + said
    assert [each["removal"] for each in result["resources"] if each["removal"]] == []
    until(lambda: (state(whole), hidden(whole), own(there(whole))) == (before, [], lines), poll_s=1.0)
    assert whole.run("audit", "verify", result["operation"]).returncode == 0


def bare(whole: Product) -> list[int]:
    """Nodes whose files are away."""
    return [number for number in EVERYWHERE if on_node(whole.lab, f"find {PKI} -name '*.quorate-*'", number)]


def test_where_nobody_of_ours_is_left_the_nodes_put_everything_back(whole: Product, tmp_path: Path) -> None:
    before, lines, known = state(whole), own(there(whole)), drills(whole)
    file, all_known = quick(tmp_path, duration="30s", recover="20s"), operations(whole)
    with started(whole, file, whole.cluster) as waiting:  # nobody says yes, so nothing is laid
        until(lambda: acted(whole, all_known, "mv -T /etc/kubernetes/pki"), deadline_s=120)
        until(lambda: bool(hidden(whole)), deadline_s=20)
        whole.kill("daemon")
        whole.kill("temporal")
        waiting.terminate()
        waiting.communicate()
    until(lambda: (hidden(whole), own(there(whole))) == ([], lines), deadline_s=180, poll_s=1.0)
    until(lambda: state(whole) == before, deadline_s=60, poll_s=1.0)
    whole.up()
    (operation,) = drills(whole) - known
    until((whole.state / "operations" / operation / "outcome.json").exists, deadline_s=180, poll_s=0.5)
    until(lambda: (state(whole), hidden(whole), ready(whole)) == (before, [], True), deadline_s=120, poll_s=1.0)
    assert there(whole).keys() == lines.keys()
