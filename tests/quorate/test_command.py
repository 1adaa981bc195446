"""How a node is reached: directly, or through a jump host that has what it does not say from the nodes."""

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from quorate.chosen import ADDED_TO_SSH
from quorate.command import Node, asked_for, jump_of, nodes_of, way
from quorate.plan import Plan
from quorate.records import adapter, plan_text
from quorate.settings.machines import Jump, Ssh
from tests import factory
from tests.factory import INVENTORY, SSH, inventory
from tests.factory import plan as small_plan


def behind(ssh: Ssh = SSH, **jump: Any) -> Node:
    return replace(factory.node("a"), ssh=ssh.model_copy(update={"jump": Jump(host="gate", **jump)}))


def test_what_a_jump_host_does_not_say_is_as_for_the_nodes() -> None:
    jump = jump_of(behind())
    assert jump is not None
    assert (jump.host, jump.ssh) == ("gate", SSH.model_copy(update={"sudo": False}))
    assert asked_for(jump) == "gate"


def test_what_it_says_counts_for_it_alone() -> None:
    own = {"user": "hop", "identity": "agent", "port": 2222, "known_hosts": "/gates"}
    node = behind(**own)
    jump = jump_of(node)
    assert jump is not None
    assert {name: getattr(jump.ssh, name) for name in own} == own
    assert node.ssh.model_copy(update={"jump": None}) == SSH
    assert jump_of(jump) is None


def test_a_certificate_goes_with_the_key_it_was_signed_for() -> None:
    signed = SSH.model_copy(update={"certificate": "file:/id-cert.pub"})
    same, other = jump_of(behind(signed)), jump_of(behind(signed, identity="file:/other"))
    assert same and same.ssh.certificate == "file:/id-cert.pub"
    assert other and other.ssh.certificate is None


def test_a_person_is_told_to_type_what_goes_the_same_way() -> None:
    assert way(factory.node("a")) == "ssh quorate@10.0.0.1"
    assert way(behind()) == "ssh -J quorate@gate quorate@10.0.0.1"
    far = behind(SSH.model_copy(update={"port": 23}), user="hop", port=2222)
    assert way(far) == "ssh -J hop@gate:2222 -p 23 quorate@10.0.0.1"


def test_the_jump_host_is_listed_once_and_first(tmp_path: Any) -> None:
    cluster = inventory(tmp_path).clusters["demo"]
    through = cluster.model_copy(update={"ssh": behind().ssh})
    assert [asked_for(node) for node in nodes_of("demo", through)] == ["gate", "a", "b", "c"]
    assert [asked_for(node) for node in nodes_of("demo", cluster)] == ["a", "b", "c"]


@pytest.mark.parametrize("identity", ["agent", "agent:SHA256:" + "x" * 43, "file:/id", "env:KEY"])
def test_a_key_is_in_a_file_in_the_environment_or_in_an_agent(identity: str) -> None:
    assert Ssh(user="q", identity=identity, known_hosts="/k").identity == identity


@pytest.mark.parametrize("identity", ["agent:", "agent:SHA256:short", "agent:MD5:00", "/id", "-----BEGIN"])
def test_nothing_else_is_a_key(identity: str) -> None:
    with pytest.raises(ValidationError, match="identity"):
        Ssh(user="q", identity=identity, known_hosts="/k")


def test_a_plan_without_a_jump_host_has_the_digest_it_had_before_there_were_any() -> None:
    plan = small_plan()
    data = json.loads(plan_text(plan))
    for share in data["chosen"]["shares"]:
        for name in ADDED_TO_SSH:
            del share["node"]["ssh"][name]
        del share["target"]["through"]
    assert adapter(Plan).validate_python(data).chosen.digest() == plan.chosen.digest()
    shares = tuple(replace(share, node=replace(share.node, ssh=behind().ssh)) for share in plan.chosen.shares)
    assert replace(plan.chosen, shares=shares).digest() != plan.chosen.digest()


def test_the_inventory_takes_all_of_it(tmp_path: Any) -> None:
    from quorate.inventories.reading import parse

    text = INVENTORY.format(state=tmp_path, store=tmp_path).replace(
        "/known_hosts}", "/known_hosts, certificate: file:/id-cert.pub, jump: {host: gate.lan, identity: agent}}"
    )
    ssh = parse(text, "quorate.yaml").clusters["demo"].ssh
    assert (ssh.certificate, ssh.jump) == ("file:/id-cert.pub", Jump(host="gate.lan", identity="agent"))
