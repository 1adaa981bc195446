"""Whether the control plane on a restored etcd works: answers, writes, and its controllers hold their leases."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from temporalio import activity

from activities.clusters.forwarded import ForwardedApis
from activities.recording.recorded import OpenJournal, Pen
from activities.restoring.nodes import ticket_of
from quorate.converge import Clock, Receipt, Tick
from quorate.errors import DidNotConverge, Refusal, Unreachable
from quorate.ports import Api, KubeNode, Lease
from quorate.restoring.timing import unreadable
from quorate.task import ClusterTask

POLL_S = 0.25
BLAME_S = 20.0  # a server that has what it needs is ready long before
CONTROLLERS = {"kube-controller-manager", "kube-scheduler"}


@dataclass(frozen=True)
class Kubernetes:
    apis: ForwardedApis
    journals: OpenJournal
    clock: Clock
    tick: Tick = activity.heartbeat
    blame_s: float = BLAME_S

    @activity.defn(name="kubernetes.verify", no_thread_cancel_exception=True)
    def verify(self, task: ClusterTask) -> Receipt:
        """Every apiserver is ready and writes a Lease; each controller has taken its own since the restore."""
        started, began = self.clock.time(), self.clock.monotonic()
        with ExitStack() as stack:
            facts = self._facts(task, self._at(task, stack), began + task.patience_s)
        return Receipt(started=started, duration_s=self.clock.monotonic() - began, facts=facts)

    @activity.defn(name="kubernetes.ready", no_thread_cancel_exception=True)
    def ready(self, task: ClusterTask) -> Receipt:
        """Every apiserver of the plan is ready and writes a Lease."""
        started, began = self.clock.time(), self.clock.monotonic()
        with ExitStack() as stack:
            for _ in self._serving(task, self._at(task, stack), began + task.patience_s):
                pass
        return Receipt(started=started, duration_s=self.clock.monotonic() - began)

    def _at(self, task: ClusterTask, stack: ExitStack) -> dict[str, Api]:
        nodes = [share.node for share in task.shares]
        return {url: stack.enter_context(self.apis.at(task.kubeconfig, url, nodes)) for url in task.api_urls}

    def _facts(self, task: ClusterTask, apis: dict[str, Api], deadline: float) -> dict[str, str]:
        names = sorted(CONTROLLERS & {unit.role for share in task.shares for unit in share.control})
        restored = task.snapshot.revision + task.bump
        written: list[float] = []
        for api in self._serving(task, apis, deadline):
            written.append(self.clock.time())
            for name in names if len(written) == 1 else ():
                self._until(deadline, f"{name} keeps its old lease", partial(self._free, task, api, name, restored))
        one = next(iter(apis.values()))
        for name in names:
            self._until(deadline, f"{name} has no lease", partial(taken_since, one, name, restored))
        first = {"first_write": repr(written[0])} if written else {}
        return first | {"workers": ", ".join(workers(task, one.nodes())), "secrets": self._secrets(one, deadline)}

    def _secrets(self, api: Api, deadline: float) -> str:
        """A cluster that is back with Secrets nobody can read is back all the same, so this is only told."""
        said: list[str] = []
        self._until(deadline, "its Secrets cannot be listed", lambda: said.append(api.unreadable_secrets()))
        return said[0]

    def _serving(self, task: ClusterTask, apis: dict[str, Api], deadline: float) -> Iterator[Api]:
        """Each as soon as it is ready and has taken a write, whichever comes first."""
        left, began = dict(apis), self.clock.monotonic()
        while left:
            silent: dict[str, Unreachable] = {}
            for url, api in tuple(left.items()):
                try:
                    api.ready()
                    self._write(task, url, api)
                except Unreachable as error:
                    silent[url] = error
                else:
                    del left[url]
                    yield api
            if silent:
                if self.clock.monotonic() - began >= self.blame_s:
                    blamed(left[next(iter(silent))])
                self._wait(deadline, "; ".join(f"{url} is not ready" for url in silent), next(iter(silent.values())))

    def _wait(self, deadline: float, what: str, error: Unreachable) -> None:
        if self.clock.monotonic() >= deadline or not error.retryable:
            raise DidNotConverge(f"{what}: {error}") from error
        self.tick(what)
        self.clock.sleep(POLL_S)

    def _write(self, task: ClusterTask, url: str, api: Api) -> None:
        pen = Pen(self.journals(task.operation), ticket_of(task), url, self.clock)
        pen.called(("lease", "kube-system/quorate-canary"), lambda: api.write_lease("quorate-canary", task.operation))

    def _free(self, task: ClusterTask, api: Api, name: str, restored: int) -> None:
        """Whoever held it was seen gone, so nobody needs to wait the 15 s until it runs out."""
        lease = api.lease(name)
        if lease and stale(lease, restored):
            pen = Pen(self.journals(task.operation), ticket_of(task), next(iter(task.api_urls)), self.clock)
            pen.called(("lease", "free", f"kube-system/{name}"), lambda: api.free(name, lease))

    def _until(self, deadline: float, what: str, ask: Callable[[], None]) -> None:
        while True:
            try:
                return ask()
            except Unreachable as error:
                self._wait(deadline, what, error)


def blamed(api: Api) -> None:
    """Refusal where a server says itself why it never gets ready: waiting gives it no keys."""
    try:
        said = api.unreadable_secrets()
    except Unreachable:
        return
    if said:
        raise Refusal(f"the API servers do not get ready: {'; '.join(unreadable(said))}, then retry")


def workers(task: ClusterTask, nodes: tuple[KubeNode, ...]) -> Iterator[str]:
    """Nodes that are none of the members' machines: nobody restarts their kubelets."""
    hosts = {each for share in task.shares for each in (share.node.host, share.node.name)}
    return (node.name for node in nodes if not hosts & {node.name, *node.addresses})


def stale(lease: Lease, restored: int) -> bool:
    """It came back with the snapshot; told by revisions, since clocks of two machines cannot be compared."""
    return bool(lease.holder) and lease.revision <= restored


def taken_since(api: Api, name: str, restored: int) -> None:
    lease = api.lease(name)
    if lease is None or not lease.holder or stale(lease, restored):
        raise Unreachable(f"nobody has taken kube-system/{name} since the restore")
