"""Where only the nodes reach etcd and the API servers, both are dialled through the node that is theirs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.journal import FileJournals
from activities.clusters.forwarded import ForwardedApis, ForwardedEtcds
from activities.restoring.kubernetes import Kubernetes
from quorate.command import Node
from quorate.members.etcd import EtcdTarget, target
from quorate.ports import Api, Etcd
from quorate.task import ClusterTask
from tests.activities.test_kubernetes import MemoryApi, task
from tests.factory import inventory


@dataclass
class Tunnels:
    """Names the way instead of opening it."""

    open: list[str] = field(default_factory=list)

    @contextmanager
    def tunnel(self, node: Node, host: str, port: int) -> Iterator[str]:
        way = f"{node.name}>{host}:{port}"
        self.open.append(way)
        try:
            yield way
        finally:
            self.open.remove(way)


@dataclass
class Etcds:
    dialled: list[str] = field(default_factory=list)

    @contextmanager
    def at(self, member: EtcdTarget) -> Iterator[Etcd]:
        self.dialled.append(member.dial)
        yield None  # type: ignore[misc]


@pytest.mark.parametrize(
    ("forward", "dial", "dialled"),
    [(True, "", "a>127.0.0.1:11"), (True, "elsewhere:1", "elsewhere:1"), (False, "", "")],
)
def test_a_member_is_asked_through_its_own_node(tmp_path: Path, forward: bool, dial: str, dialled: str) -> None:
    cluster = inventory(tmp_path).clusters["demo"]
    settings = cluster.model_copy(update={"ssh": cluster.ssh.model_copy(update={"forward": forward})})
    etcds, tunnels = Etcds(), Tunnels()
    with ForwardedEtcds(etcds, tunnels).at(replace(target(settings, settings.members[0]), dial=dial)):
        assert etcds.dialled == [dialled]
    assert tunnels.open == []


class Apis(MemoryApi):
    dialled: dict[str, str]

    def at(self, kubeconfig: str, url: str, dial: str = "") -> Api:
        self.dialled = {**getattr(self, "dialled", {}), url: dial}
        return self


def forwarding(made: ClusterTask, *, forward: bool, urls: tuple[str, ...]) -> ClusterTask:
    def through(node: Node) -> Node:
        return replace(node, ssh=node.ssh.model_copy(update={"forward": forward}))

    shares = tuple(replace(share, node=through(share.node)) for share in made.shares)
    return replace(made, shares=shares, api_urls=urls)


@pytest.mark.parametrize(
    ("forward", "url", "dial"),
    [
        (True, "https://10.0.0.2:6443", "b>10.0.0.2:6443"),
        (True, "https://balancer.lan:443", "a>balancer.lan:443"),
        (False, "https://10.0.0.2:6443", ""),
    ],
)
def test_an_api_server_is_asked_through_its_own_node_and_a_balancer_through_any(
    tmp_path: Path, forward: bool, url: str, dial: str
) -> None:
    api, tunnels = Apis({}, task().snapshot.revision + task().bump + 1), Tunnels()
    apis = ForwardedApis(api, tunnels)
    verify = Kubernetes(apis, FileJournals(tmp_path, "chain", time.time).at, time).verify
    made: Any = forwarding(replace(task(), shares=task().shares), forward=forward, urls=(url,))
    for name in ("kube-controller-manager", "kube-scheduler"):
        api.write_lease(name, "new")
    ActivityEnvironment().run(verify, made)
    assert api.dialled == {url: dial}
    assert tunnels.open == []
