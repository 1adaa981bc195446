"""What a restored control plane is asked, on an API server of memory that keeps revisions as a real one does."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.adapters.journal import FileJournals
from activities.clusters.forwarded import ForwardedApis
from activities.restoring.kubernetes import Kubernetes, stale, workers
from quorate.command import Node
from quorate.converge import Receipt
from quorate.errors import DidNotConverge, Refusal, Unreachable
from quorate.ports import Api, KubeNode, Lease
from quorate.restore import STEPS
from quorate.restoring.timing import measured
from quorate.task import ClusterTask
from tests.factory import plan

pytestmark = pytest.mark.slow

NAMES = ("kube-controller-manager", "kube-scheduler")
STEP = next(step for step in STEPS if step.key == "verify-api")


@dataclass
class MemoryApi:
    """Controllers take a lease that is free, and let one alone that is held."""

    leases: dict[str, Lease]
    revision: int
    freed: list[str] = field(default_factory=list)
    alive: bool = True  # whether controllers run
    unread: str = ""

    def ready(self) -> None:
        pass

    def version(self) -> str:
        return "1.34.1"

    def write_lease(self, name: str, holder: str) -> None:
        self.revision += 1
        self.leases[name] = Lease(holder, self.revision)

    def nodes(self) -> tuple[KubeNode, ...]:
        return (KubeNode("a", ("10.0.0.1",)), KubeNode("other-name", ("10.0.0.2",)), KubeNode("w1", ("10.0.9.1",)))

    def lease(self, name: str) -> Lease | None:
        there = self.leases.get(name)
        if there and not there.holder and self.alive:
            self.write_lease(name, "new")
        return there

    def free(self, name: str, lease: Lease) -> bool:
        if self.leases[name] != lease:
            return False
        self.freed.append(name)
        self.write_lease(name, "")
        return True

    def unreadable_secrets(self) -> str:
        return self.unread

    def at(self, kubeconfig: str, url: str) -> Api:
        return self


class NoWay:
    def tunnel(self, node: Node, host: str, port: int) -> AbstractContextManager[str]:
        raise AssertionError(f"{node.name} does not forward, and is asked for {host}:{port}")


def task() -> ClusterTask:
    made = plan("restore-1")
    (found,) = made.tasks(STEP, 11, "ann")
    assert isinstance(found, ClusterTask)
    controllers = tuple(replace(found.shares[0].control[0], role=name, unit=f"{name}.service") for name in NAMES)
    shares = tuple(replace(share, control=(*share.control, *controllers)) for share in found.shares)
    return replace(found, shares=shares, patience_s=1.0, api_urls=("https://10.0.0.1:6443",), kubeconfig="file:/k")


def verified(api: MemoryApi, root: Path, blame_s: float = 9.0) -> Receipt:
    journals = FileJournals(root, "chain", time.time).at
    receipt = ActivityEnvironment().run(
        Kubernetes(ForwardedApis(api, NoWay()), journals, time, blame_s=blame_s).verify, task()
    )
    assert isinstance(receipt, Receipt)
    return receipt


def restored() -> int:
    return task().snapshot.revision + task().bump


def test_leases_of_those_that_are_gone_are_freed_and_taken_anew(tmp_path: Path) -> None:
    api = MemoryApi({name: Lease("old", restored() - 5) for name in NAMES}, restored())
    verified(api, tmp_path)
    assert api.freed == list(NAMES)
    assert {api.leases[name].holder for name in NAMES} == {"new"}


def test_a_lease_that_was_taken_since_the_restore_is_left_alone(tmp_path: Path) -> None:
    api = MemoryApi({name: Lease("new", restored() + 1) for name in NAMES}, restored() + 1)
    verified(api, tmp_path)
    assert api.freed == []


@pytest.mark.parametrize("there", [None, Lease("old", 1)])
def test_a_controller_that_takes_no_lease_is_not_verified(tmp_path: Path, there: Lease | None) -> None:
    api = MemoryApi({NAMES[0]: there} if there else {}, restored(), alive=False)
    with pytest.raises(DidNotConverge, match="kube-controller-manager has no lease"):
        verified(api, tmp_path)


@pytest.mark.parametrize(("lease", "old"), [(Lease("a", 10), True), (Lease("a", 11), False), (Lease("", 10), False)])
def test_a_lease_is_stale_when_it_came_back_with_the_snapshot(lease: Lease, old: bool) -> None:
    assert stale(lease, 10) is old


def test_a_server_that_does_not_answer_is_asked_until_the_deadline(tmp_path: Path) -> None:
    class Away(MemoryApi):
        def ready(self) -> None:
            raise Unreachable("refused")

    with pytest.raises(DidNotConverge, match="is not ready: refused"):
        verified(Away({}, 1), tmp_path)


def test_a_server_that_is_late_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    late = MemoryApi({name: Lease("old", restored() - 5) for name in NAMES}, restored())
    asked: list[str] = []

    @dataclass
    class Seen:
        """The first of two becomes ready only after the second has freed the leases."""

        url: str

        def ready(self) -> None:
            asked.append(self.url)
            if self.url == "first" and not late.freed:
                raise Unreachable("starting")

        def __getattr__(self, name: str) -> object:
            return getattr(late, name)

    class Two:
        def at(self, kubeconfig: str, url: str) -> Seen:
            return Seen(url)

    journals = FileJournals(tmp_path, "chain", time.time).at
    both = replace(task(), api_urls=("first", "second"), patience_s=5.0)
    apis = ForwardedApis(Two(), NoWay())  # type: ignore[arg-type]
    ActivityEnvironment().run(Kubernetes(apis, journals, time).verify, both)
    assert asked == ["first", "second", "first"]


@pytest.mark.parametrize(
    ("unread", "said"), [("no matching key", "do not get ready: .*no matching"), ("", "not ready")]
)
def test_a_server_that_says_itself_why_it_never_gets_ready_is_not_waited_for(
    tmp_path: Path, unread: str, said: str
) -> None:
    class Starting(MemoryApi):
        def ready(self) -> None:
            raise Unreachable("informer-sync failed")

    with pytest.raises(Refusal if unread else DidNotConverge, match=said):
        verified(Starting({}, 1, unread=unread), tmp_path, blame_s=0.0)


def test_a_secret_that_nobody_can_decrypt_is_told_with_what_to_do(tmp_path: Path) -> None:
    held = {name: Lease("new", restored() + 1) for name in NAMES}
    for unread, told in (("no matching prefix found", True), ("", False)):
        receipt = verified(MemoryApi(dict(held), restored() + 1, unread=unread), tmp_path / str(told))
        findings = [each for each in measured({"verify-api": [receipt]}).findings if "decrypted" in each]
        assert bool(findings) == told
        assert not told or "no matching prefix found; put the keys of the snapshot's time" in findings[0]


def test_nodes_that_are_none_of_ours_are_named_for_their_kubelets(tmp_path: Path) -> None:
    """Told apart by address, since a node may be called otherwise than its member."""
    assert list(workers(task(), MemoryApi({}, 1).nodes())) == ["w1"]
    times = measured({"verify-api": [Receipt(facts={"workers": "w1"})]})
    assert "on each of w1: `systemctl restart kubelet`" in times.findings[0]
    assert measured({"verify-api": [Receipt(facts={"workers": ""})]}).findings == ()


class TestReady:
    """Where nothing was restored: it is ready and takes a write, and no lease of a controller is touched."""

    def ready(self, api: MemoryApi, root: Path) -> None:
        journals = FileJournals(root, "chain", time.time).at
        ActivityEnvironment().run(Kubernetes(ForwardedApis(api, NoWay()), journals, time).ready, task())

    def test_every_api_server_takes_a_write_and_no_controller_loses_its_lease(self, tmp_path: Path) -> None:
        held = {name: Lease("old", 1) for name in NAMES}
        api = MemoryApi(dict(held), restored(), alive=False)
        self.ready(api, tmp_path)
        assert api.leases.pop("quorate-canary").holder == "restore-1"
        assert (api.leases, api.freed) == (held, [])

    def test_one_that_is_not_ready_in_time_is_named(self, tmp_path: Path) -> None:
        @dataclass
        class Silent(MemoryApi):
            def ready(self) -> None:
                raise Unreachable("connection refused")

        with pytest.raises(DidNotConverge, match=r"https://10.0.0.1:6443 is not ready.*connection refused"):
            self.ready(Silent({}, 1), tmp_path)
