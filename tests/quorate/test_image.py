"""The restore tool out of etcd's own image, where a node has none."""

from dataclasses import replace
from pathlib import Path

import pytest

from quorate.command import Command
from quorate.errors import Refusal
from quorate.nodes.image import Copied, Tool, lacking, tool_of, version_of
from quorate.nodes.programs import Manifest
from quorate.nodes.scratch import Scratch
from quorate.nodes.seen import NodeSeen, PathSeen, UnitSeen
from quorate.restore import needed, steps_for
from quorate.restoring.shares import copied
from quorate.settings.machines import EtcdSettings
from tests.factory import IMAGE, inventory, plan, without_tool
from tests.meetings import FOLDER, Kept, flags, met

PATH = "/usr/local/bin/etcdutl"
MANIFEST = f"{FOLDER}/etcd.yaml"
SETTINGS = EtcdSettings(manifest=MANIFEST, data_dir="/var/lib/etcd")
POD = UnitSeen(MANIFEST, "loaded", manifest=Manifest(MANIFEST, "etcd", "etcd", ("etcd",), image=IMAGE))
NODE = NodeSeen(units={MANIFEST: POD}, images=frozenset({IMAGE, "registry.k8s.io/pause:3.10"}))
SCENE = Copied(IMAGE, ("etcdutl",), "/q/op")
DIRECTORY = PathSeen("directory", "root:root", "700", "1", 0)


def here(tool: str, *paths: str) -> NodeSeen:
    return NodeSeen(paths=dict.fromkeys(paths, DIRECTORY), tools={SCENE.tool: tool} if tool else {})


@pytest.mark.parametrize(
    ("node", "tool"),
    [
        (replace(NODE, tools={PATH: "3.6.9"}), Tool(PATH, "3.6.9")),
        (NODE, Tool(PATH, "3.6.14", IMAGE)),
        (replace(NODE, images=frozenset()), Tool(PATH)),
        (NodeSeen(images=NODE.images), Tool(PATH)),
    ],
)
def test_the_tool_on_the_node_goes_before_that_in_the_image(node: NodeSeen, tool: Tool) -> None:
    assert tool_of(SETTINGS, node) == tool


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("registry.k8s.io/etcd:3.6.6-0", "3.6.6"),
        ("gcr.io/etcd-development/etcd:v3.5.21", "3.5.21"),
        ("registry:5000/etcd:3.4.13-0@sha256:0123", "3.4.13"),
        ("registry.k8s.io/etcd@sha256:0123", ""),
        ("registry:5000/3.4.5/etcd", ""),
        ("etcd:latest", ""),
        ("", ""),
    ],
)
def test_an_image_tells_its_version_by_its_tag_alone(image: str, version: str) -> None:
    assert version_of(image) == version


def test_why_there_is_none_is_told() -> None:
    assert lacking(SETTINGS, NodeSeen()) == f"no {PATH}"
    assert f"images ls`) has no {IMAGE}" in lacking(SETTINGS, replace(NODE, images=frozenset()))
    latest = replace(POD, manifest=Manifest(MANIFEST, "etcd", "etcd", ("etcd",), image="etcd:latest"))
    node = replace(NODE, units={MANIFEST: latest}, images=frozenset({"etcd:latest"}))
    assert "the name etcd:latest does not tell a version" in lacking(SETTINGS, node)


def test_a_survey_reads_the_image_of_the_manifest_and_the_images_that_are_there() -> None:
    there = met("a", Kept("etcd", flags("a"), image=IMAGE), more=f"image\t{IMAGE}\nimage\tpause:3\n", tools="").there
    assert there
    assert (tool_of(SETTINGS, there), there.images) == (Tool(PATH, "3.6.14", IMAGE), {IMAGE, "pause:3"})


def test_it_is_copied_whole_and_asked_for_its_version() -> None:
    acts = SCENE.copy(here(""), 0)
    assert isinstance(acts, tuple)
    assert [str(act).split()[0] for act in acts] == ["rm", "sh", "mkdir", "unshare", "sh", "mv", "sync"]
    assert SCENE.copy(here("3.6.9", SCENE.folder), 0) == ()


@pytest.mark.parametrize(("tool", "reason"), [("3.5.30", r"is etcd 3\.5\.30"), ("", "does not run")])
def test_one_that_is_not_what_the_image_is_called_is_refused_before_anything_is_staged(
    tool: str, reason: str
) -> None:
    with pytest.raises(Refusal, match=reason):
        SCENE.copy(here(tool, SCENE.folder), 0)


def test_only_etcd_is_asked_for_no_version() -> None:
    alone = Copied(IMAGE, ("etcd",), "/q/op")
    assert (alone.tool, alone.look().tools, alone.copy(here("", alone.folder), 0)) == ("", (), ())


def test_what_was_copied_is_removed_whatever_is_left_of_it() -> None:
    assert SCENE.remove(here(""), 0) == ()
    half = (SCENE.part, SCENE.mount)
    assert SCENE.remove(here("", *half), 0) == (Command(("rm", "-rf", *half)),)


def test_before_35_the_image_has_only_etcdctl() -> None:
    programs = [Tool(PATH, version, IMAGE).program for version in ("3.4.27", "3.5.0", "3.6.1")]
    assert programs == ["etcdctl", "etcdutl", "etcdutl"]


def test_etcd_itself_is_copied_only_where_a_member_is_replayed_from_an_image() -> None:
    replayed, program = Scratch(MANIFEST, "etcd", "a", "", "/d"), Scratch("etcd.service", "/e/etcd", "a", "", "/d")
    inside, there = Tool(PATH, "3.6.14", IMAGE), Tool(PATH, "3.6.14")
    assert [copied(tool, scratch) for tool in (inside, there) for scratch in (replayed, program, None)] == [
        ("etcdutl", "etcd"), ("etcdutl",), ("etcdutl",), ("etcd",), (), (),
    ]  # fmt: skip


def test_the_copy_is_made_before_anything_is_staged_and_gone_before_the_nodes_are_released(tmp_path: Path) -> None:
    steps = steps_for(inventory(tmp_path).clusters["demo"])
    keys = [step.key for step in needed(steps, without_tool().chosen.shares)]
    assert keys[:3] == ["claim", "equip", "stage"]
    assert keys[-3:] == ["unequip", "unbar", "release"]
    assert needed(steps, plan().chosen.shares) == steps
