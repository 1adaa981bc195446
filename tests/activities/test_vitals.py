"""What is asked beside a survey: everybody at once, and whoever is late or refuses is left out."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from activities.clusters.vitals import Watcher
from quorate.command import Node
from quorate.errors import Denied, Unreachable
from quorate.inventory import Cluster
from quorate.members.etcd import EtcdTarget
from quorate.members.latency import quantile_s
from quorate.members.vitals import Latencies
from quorate.ports import Api
from quorate.settings.machines import Kubernetes
from tests.activities.test_kubernetes import MemoryApi
from tests.factory import inventory
from tests.fakes.etcd import FakeCluster

TOOK = Latencies(fsyncs=((0.001, 1.0), (float("inf"), 1.0)))


@dataclass
class Meters:
    late: tuple[str, ...] = ()
    over: threading.Event = field(default_factory=threading.Event)
    dialled: list[str] = field(default_factory=list)

    def latencies(self, target: EtcdTarget) -> Latencies:
        self.dialled.append(target.dial)
        if target.name in self.late:
            self.over.wait(30)
        if target.name == "c":
            raise Denied("metrics of c: it answered 403")
        return TOOK


@dataclass
class Apis:
    silent: str = ""
    dialled: dict[str, str] = field(default_factory=dict)

    def at(self, kubeconfig: str, url: str, dial: str = "") -> Api:
        if url == self.silent:
            raise Unreachable(f"{url} does not answer")
        self.dialled[url] = dial
        return MemoryApi({}, 1)


class Tunnels:
    @contextmanager
    def tunnel(self, node: Node, host: str, port: int) -> Iterator[str]:
        yield f"{node.name}>{host}:{port}"


URLS = ("https://127.0.0.1:6443", "https://127.0.0.2:6443", "https://balancer.lan:443")


def kubernetes(tmp_path: Path, *, forward: bool = False) -> Cluster:
    cluster = inventory(tmp_path).clusters["demo"]
    ssh = cluster.ssh.model_copy(update={"forward": forward})
    return cluster.model_copy(update={"kubernetes": Kubernetes(kubeconfig="file:/k", api_urls=URLS), "ssh": ssh})


def counting(nodes: int) -> FakeCluster:
    cluster = FakeCluster()
    for number in range(nodes):
        cluster.add(f"/registry/minions/worker-{number}", b"")
    cluster.add("/registry/minionsless", b"")
    return cluster


def test_what_everybody_tells_is_told_and_who_refuses_is_left_out(tmp_path: Path) -> None:
    watcher = Watcher(counting(7), Meters(), Apis(silent=URLS[1]), Tunnels())
    found = watcher.ask(kubernetes(tmp_path)).heard(30)
    assert found.members == {"a": TOOK, "b": TOOK}
    assert found.apis == dict.fromkeys((URLS[0], URLS[2]), "1.34.1")
    assert found.nodes == 7


def test_who_is_late_is_left_out_and_not_waited_for(tmp_path: Path) -> None:
    meters = Meters(late=("a",))
    began = time.monotonic()
    found = Watcher(FakeCluster(), meters, Apis(), Tunnels()).ask(kubernetes(tmp_path)).heard(0.5)
    took_s = time.monotonic() - began
    meters.over.set()
    assert took_s < 10
    assert found.members == {"b": TOOK}


def test_without_kubernetes_no_nodes_are_counted(tmp_path: Path) -> None:
    plain = inventory(tmp_path).clusters["demo"]
    found = Watcher(counting(7), Meters(), Apis(), Tunnels()).ask(plain).heard(30)
    assert (found.nodes, found.apis) == (None, {})


def test_where_nodes_forward_everybody_is_asked_through_a_node(tmp_path: Path) -> None:
    meters, apis = Meters(), Apis()
    Watcher(FakeCluster(), meters, apis, Tunnels()).ask(kubernetes(tmp_path, forward=True)).heard(30)
    assert sorted(meters.dialled) == ["a>127.0.0.1:11", "b>127.0.0.2:11", "c>127.0.0.3:11"]
    assert apis.dialled == {URLS[0]: "a>127.0.0.1:6443", URLS[1]: "b>127.0.0.2:6443", URLS[2]: "a>balancer.lan:443"}


@pytest.mark.parametrize(
    ("buckets", "took_s"),
    [
        ((), None),
        (((0.1, 0.0), (float("inf"), 0.0)), None),
        (((0.1, 100.0), (float("inf"), 100.0)), 0.099),
        (((0.1, 98.0), (0.2, 100.0), (float("inf"), 100.0)), 0.15),
        (((0.1, 10.0), (float("inf"), 100.0)), 0.1),
    ],
)
def test_a_quantile_is_estimated_as_prometheus_does(
    buckets: tuple[tuple[float, float], ...], took_s: float | None
) -> None:
    assert quantile_s(buckets, 0.99) == (pytest.approx(took_s) if took_s else None)
