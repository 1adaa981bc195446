"""A static pod is fenced by its manifest; what the CRI says is recorded from a real kubelet's node."""

import json
from dataclasses import replace

import pytest

from quorate.converge import Await
from quorate.errors import Refusal
from quorate.nodes import pods
from quorate.nodes.seen import Look, NodeSeen, PathSeen, UnitSeen, parse, script
from quorate.nodes.static_pod import StaticPod
from quorate.nodes.supervisor import Systemd, Together

ETCD = StaticPod("etcd", "/etc/kubernetes/manifests/etcd.yaml", (2379,))
FILE = PathSeen("regular file", "root:root", "600", "1", 2732)
PARKED = "/etc/kubernetes/etcd.yaml.quorate-fenced"
OUT = [f"mv -T {ETCD.manifest} {PARKED}", "sync /etc/kubernetes /etc/kubernetes/manifests"]
BACK = [f"mv -T {PARKED} {ETCD.manifest}", "sync /etc/kubernetes/manifests /etc/kubernetes"]
STOP = """sh -c 'crictl ps -q --name '"'"'^etcd$'"'"' | xargs -r crictl stop --timeout 2'"""


def node(state: str = "active", *, there: bool = True, away: bool = False, port: bool = False) -> NodeSeen:
    paths = {ETCD.manifest: FILE} if there else {}
    if away:
        paths[PARKED] = FILE
    return NodeSeen(
        paths=paths,
        units={ETCD.manifest: UnitSeen(ETCD.manifest, "loaded", state)},
        listening=frozenset({2379} if port else ()),
    )


def acts(left: object) -> list[str]:
    return [str(act) for act in left] if isinstance(left, tuple) else [f"await {left.reason}"]  # type: ignore[attr-defined]


class TestFence:
    def test_the_manifest_goes_first_so_that_nothing_is_started_again(self) -> None:
        assert acts(ETCD.fence(node(port=True), 0)) == [*OUT, STOP]

    @pytest.mark.parametrize("state", ["deactivating", "unknown"])
    def test_it_is_not_over_before_the_runtime_has_given_the_pod_up(self, state: str) -> None:
        assert isinstance(ETCD.fence(node(state, there=False, away=True), 0.5), Await)

    def test_a_container_that_came_back_is_stopped_again(self) -> None:
        assert acts(ETCD.fence(node("deactivating", there=False, away=True), 3.0)) == [STOP]

    def test_a_port_that_still_answers_is_not_gone(self) -> None:
        assert isinstance(ETCD.fence(node("inactive", there=False, away=True, port=True), 9), Await)

    @pytest.mark.parametrize("away", [True, False])
    def test_it_is_over_when_nothing_is_left(self, away: bool) -> None:
        assert ETCD.fence(node("inactive", there=False, away=away), 0) == ()

    def test_two_manifests_are_a_question_for_a_person(self) -> None:
        with pytest.raises(Refusal, match="which is the right one"):
            ETCD.fence(node(away=True), 0)

    def test_of_several_pods_every_move_is_on_the_disk_before_its_container_is_stopped(self) -> None:
        other = replace(ETCD, manifest="/etc/kubernetes/manifests/kube-apiserver.yaml")
        both = replace(node(), paths={each.manifest: FILE for each in (ETCD, other)})
        said = [act.split()[0] for act in acts(Together((ETCD, other)).fence(both, 0))]
        assert said == ["mv", "sync", "sh"] * 2

    def test_nothing_is_laid_before_the_stop(self) -> None:
        assert ETCD.bar(node(), 0) == ()


class TestStart:
    def test_the_same_file_comes_back(self) -> None:
        assert acts(ETCD.start(node("inactive", there=False, away=True), 0)) == BACK

    @pytest.mark.parametrize(("state", "port"), [("activating", False), ("active", False), ("activating", True)])
    def test_it_runs_when_its_container_does_and_its_port_answers(self, state: str, port: bool) -> None:
        assert isinstance(ETCD.start(node(state, port=port), 0), Await)
        assert ETCD.start(node("active", port=True), 0) == ()

    def test_without_a_manifest_there_is_nothing_to_start(self) -> None:
        with pytest.raises(Refusal, match="neither"):
            ETCD.start(node("inactive", there=False), 0)

    @pytest.mark.parametrize(("before", "left"), [("active", BACK), ("activating", BACK)])
    def test_an_undo_puts_the_manifest_back(self, before: str, left: list[str]) -> None:
        fenced = node("inactive", there=False, away=True)
        assert acts(replace(ETCD, before=before).resume(fenced, 0)) == left

    def test_an_undo_does_not_wait_for_what_did_not_run_before(self) -> None:
        assert replace(ETCD, before="activating").resume(node("activating"), 0) == ()

    def test_a_node_of_both_kinds_is_fenced_at_once(self) -> None:
        unit = Systemd("etcd", "etcd.service", (2380,))
        seen = node(port=True)
        barred = UnitSeen("etcd.service", "loaded", "active", pid=7, drop_ins=(unit.drop_in,))
        paths = {**seen.paths, unit.drop_in: FILE, unit.flag: FILE}
        both = replace(seen, units={**seen.units, "etcd.service": barred}, paths=paths)
        done = acts(Together((ETCD, unit)).fence(both, 0))
        assert [line.split()[0] for line in done] == ["sh", "sh", "mv", "sync", "sh"]


CONTAINER = {
    "id": "b3ea",
    "metadata": {"name": "etcd", "attempt": 0},
    "state": "CONTAINER_RUNNING",
    "labels": {"io.kubernetes.container.name": "etcd", "io.kubernetes.pod.namespace": "kube-system"},
}
SANDBOX = {
    "id": "8117",
    "metadata": {"name": "etcd-kim", "namespace": "kube-system"},
    "state": "SANDBOX_READY",
    "annotations": {"kubernetes.io/config.source": "file"},
}


def said(
    there: str = "there", parked: str = "", containers: object = (), sandboxes: object = (), *, answers: bool = True
) -> str:
    lines = [f"pod\t{ETCD.manifest}\t{there}\t{parked}"]
    if answers:
        lines += [f"containers\t{json.dumps({'containers': list(containers)})}"]  # type: ignore[call-overload]
        lines += [f"sandboxes\t{json.dumps({'items': list(sandboxes)})}"]  # type: ignore[call-overload]
    else:
        lines += ["containers\t", "sandboxes\t"]
    return "\n".join(lines)


class TestSeen:
    @pytest.mark.parametrize(
        ("output", "state"),
        [
            (said(containers=[CONTAINER], sandboxes=[SANDBOX]), "active"),
            (said(sandboxes=[SANDBOX]), "activating"),
            (said(there="", parked="parked", containers=[CONTAINER], sandboxes=[SANDBOX]), "deactivating"),
            (said(there="", parked="parked", sandboxes=[SANDBOX]), "deactivating"),
            (said(there="", parked="parked"), "inactive"),
            (said(there="", parked="parked", answers=False), "unknown"),
        ],
    )
    def test_a_pod_has_the_states_of_a_unit(self, output: str, state: str) -> None:
        seen = parse(output).units[ETCD.manifest]
        assert (seen.state, seen.gone) == (state, state == "inactive")

    def test_a_pod_of_a_deployment_that_is_called_alike_is_another(self) -> None:
        other = {**SANDBOX, "annotations": {"kubernetes.io/config.source": "api"}}
        assert parse(said(there="", sandboxes=[other])).units[ETCD.manifest].gone

    def test_a_fenced_pod_is_told_from_one_that_never_was(self) -> None:
        assert parse(said(there="", parked="parked")).units[ETCD.manifest].assert_failed
        assert parse(said(there="")).units[ETCD.manifest].load == "not-found"

    def test_its_command_line_is_that_of_the_only_etcd_that_runs(self) -> None:
        ran = said(containers=[CONTAINER]) + "\nargv\t7\tetcd\x1f--name=kim\x1f"
        assert parse(ran).units[ETCD.manifest].argv == ("etcd", "--name=kim")

    def test_the_script_asks_the_runtime_once_for_all_pods(self) -> None:
        text = script(Look(pods=(ETCD.manifest, "/etc/kubernetes/manifests/kube-apiserver.yaml")))
        assert (text.count("crictl ps"), text.count("crictl pods"), text.count("printf 'pod")) == (1, 1, 2)


def test_a_parked_manifest_lies_beside_the_directory_that_the_kubelet_reads() -> None:
    assert pods.parked(ETCD.manifest) == PARKED
