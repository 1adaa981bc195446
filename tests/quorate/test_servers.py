"""API servers that name who is gone: found in their own files, taken out while they are stopped, put back by undo."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.inventory import Cluster
from quorate.nodes.mention import Mention, parse, script
from quorate.nodes.programs import Manifest
from quorate.nodes.seen import Look, NodeSeen, UnitSeen
from quorate.nodes.servers import Unlisting, asked, named
from quorate.restore import needed, steps_for
from quorate.settings.machines import Component, Member
from tests.factory import API_UNIT, GONE_URL, inventory, plan, without_c

UNIT, POD = "kube-apiserver.service", "/etc/kubernetes/manifests/kube-apiserver.yaml"
PARKED = "/etc/kubernetes/kube-apiserver.yaml.quorate-fenced"
URLS = ("https://10.0.0.1:2379", "https://10.0.0.2:2379", GONE_URL)
ARGV = ("/usr/bin/kube-apiserver", f"--etcd-servers={','.join(URLS)}")
LINES = {
    "first": f"--etcd-servers={GONE_URL},https://10.0.0.1:2379 --x",
    "middle": f"--etcd-servers=https://10.0.0.1:2379,{GONE_URL},https://10.0.0.2:2379",
    "last": f"    - --etcd-servers=https://10.0.0.1:2379,{GONE_URL}",
    "quoted": f'ARGS="--etcd-servers=https://10.0.0.1:2379,{GONE_URL}"',
    "another": f"--etcd-servers=https://10.0.0.1:2379,{GONE_URL}0,{GONE_URL}",
    "alone": f"--etcd-servers={GONE_URL}",
}


def settings(root: Path, **keeper: str) -> Cluster:
    whole = inventory(root).clusters["demo"]
    return whole.model_copy(update={"control_plane": (Component(role="kube-apiserver", **keeper),)})  # type: ignore[arg-type]


@pytest.fixture
def gone(tmp_path: Path) -> tuple[Member, ...]:
    c = next(each for each in inventory(tmp_path).clusters["demo"].members if each.name == "c")
    return (c.model_copy(update={"client_urls": (GONE_URL,)}),)


def test_only_one_of_several_is_taken_out(tmp_path: Path, gone: tuple[Member, ...]) -> None:
    by_unit = settings(tmp_path, unit=UNIT)
    assert asked(by_unit, gone) == (Mention(UNIT, GONE_URL),)
    node = NodeSeen(units={UNIT: UnitSeen(UNIT, argv=ARGV)}, mentions=frozenset({Mention(API_UNIT, GONE_URL)}))
    assert named(by_unit, node, gone) == (Mention(API_UNIT, GONE_URL),)
    for words in ((), ("/x", f"--etcd-servers={GONE_URL}"), ("/x", "$OPTIONS")):
        assert named(by_unit, replace(node, units={UNIT: UnitSeen(UNIT, argv=words)}), gone) == ()
    assert named(by_unit, replace(node, mentions=frozenset()), gone) == ()


def test_a_static_pods_manifest_is_edited_where_no_kubelet_reads_it(tmp_path: Path, gone: tuple[Member, ...]) -> None:
    pod = UnitSeen(POD, manifest=Manifest(POD, "kube-apiserver", "kube-apiserver", ARGV))
    node = NodeSeen(units={POD: pod}, mentions=frozenset({Mention(POD, GONE_URL)}))
    assert named(settings(tmp_path, manifest=POD), node, gone) == (Mention(PARKED, GONE_URL),)


def test_a_look_finds_the_files_that_have_it(tmp_path: Path) -> None:
    has, has_not = tmp_path / "has", tmp_path / "has not"
    has.write_text(LINES["middle"])
    has_not.write_text("nothing")
    wanted = [Mention(str(path), GONE_URL) for path in (has, has_not, tmp_path / "missing")]
    said = subprocess.run(
        ["sh", "-c", "\n".join(map(script, wanted))], capture_output=True, text=True, check=False, timeout=20
    )
    assert parse([line.split("\t") for line in said.stdout.splitlines()]) == {wanted[0]}
    assert "systemctl show -p FragmentPath" in script(Mention(UNIT, GONE_URL))


@pytest.mark.parametrize("line", LINES)
def test_by_a_real_shell_every_form_of_a_list_loses_it_and_an_undo_gives_the_same_bytes_back(
    line: str, tmp_path: Path
) -> None:
    file, home = tmp_path / "unit", tmp_path / "home"
    home.mkdir()
    file.write_text(LINES[line])
    file.chmod(0o640)
    scene = Unlisting((Mention(str(file), GONE_URL),), str(home))
    run(scene, "take_out")
    text = file.read_text()
    if line == "alone":
        assert text == LINES[line]  # nothing would be left: a plan does not even ask for it
    elif line == "another":
        assert text == f"--etcd-servers=https://10.0.0.1:2379,{GONE_URL}0"
    else:
        assert GONE_URL not in text
        assert ",," not in text
        assert "https://10.0.0.1:2379" in text
    assert file.stat().st_mode & 0o777 == 0o640
    run(scene, "put_back")
    assert (file.read_text(), file.stat().st_mode & 0o777) == (LINES[line], 0o640)
    assert [*home.iterdir()] == []


def run(scene: Unlisting, verb: str) -> None:
    """What it would do on what is really there, but for systemd."""
    there = NodeSeen(
        paths=dict.fromkeys((each for each in scene.look().paths if Path(each).exists()), None),  # type: ignore[arg-type]
        mentions=frozenset(each for each in scene.mentions if each.text in Path(each.where).read_text()),
    )
    for act in getattr(scene, verb)(there, 0):
        if act.argv[0] != "systemctl":
            subprocess.run(act.argv, check=True, timeout=20)


def test_two_files_of_one_name_get_each_its_own_bytes_back(tmp_path: Path) -> None:
    home, files = tmp_path / "home", [tmp_path / "a" / "api", tmp_path / "b" / "api"]
    home.mkdir()
    for file in files:
        file.parent.mkdir()
        file.write_text(f"{file.parent.name}: {LINES['last']}")
    scene = Unlisting(tuple(Mention(str(file), GONE_URL) for file in files), str(home))
    before = [file.read_text() for file in files]
    run(scene, "take_out")
    assert not any(GONE_URL in file.read_text() for file in files)
    run(scene, "put_back")
    assert [file.read_text() for file in files] == before


def test_what_is_not_named_any_more_needs_nothing(tmp_path: Path) -> None:
    scene = Unlisting((Mention(API_UNIT, GONE_URL),), "/q/op")
    assert scene.take_out(NodeSeen(), 0) == ()
    assert scene.put_back(NodeSeen(), 0) == ()
    assert scene.look() == Look(
        paths=(API_UNIT, "/q/op/before-etc-systemd-system-kube--apiserver.service"), mentions=scene.mentions
    )
    assert needed(steps_for(settings(tmp_path, unit=UNIT)), plan().chosen.shares) == steps_for(
        settings(tmp_path, unit=UNIT)
    )


def test_it_happens_while_no_api_server_runs() -> None:
    keys = [step.key for step in without_c().chosen.steps]
    assert keys.index("fence-api") + 1 == keys.index("unlist") < keys.index("start-api")
