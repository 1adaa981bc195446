"""The real workflow and the real node activities, on the real server, against machines of memory."""

import asyncio
import contextlib
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from activities.adapters.age import Age
from activities.adapters.journal import FileJournals
from activities.adapters.secrets import LocalSecrets
from activities.adapters.signatures import SshSignatures
from activities.recording.approvals import Approvals
from activities.recording.boundary import Boundary
from activities.recording.recorded import RecordedHosts, RecordedStores
from activities.restoring.laying import Laying
from activities.restoring.nodes import VERBS, Nodes
from quorate.converge import Receipt
from quorate.errors import BadInput, Failed
from quorate.operation import Approval, Awaiting, Hold, Progress, Resolution, RestoreRequest, RestoreResult
from quorate.plan import Choice, Gate, Plan
from quorate.records import Entry, adapter
from quorate.settings.stores import Store as StoreSettings
from quorate.sshsig import Signer
from quorate.taking import FACT, REFERENCE
from quorate.task import ClusterTask
from tests.factory import LIVE, STORED, from_member, inventory, plan, snapshot
from tests.fakes.machine import FakeHosts, Machine, Unit
from workflows.freeze import Freeze
from workflows.lay import Lay
from workflows.patience import STEPS_QUEUE
from workflows.replace_member import ReplaceMember
from workflows.restore import Restore
from workflows.thaw import Thaw
from workflows.tidy import Tidy

TAKEN = replace(snapshot(), id="demo/20261121T120000Z-44", revision=44)
NUMBERS = itertools.count(1)


@dataclass
class Shelf:
    """A store with one object."""

    objects: dict[str, bytes]

    def at(self, settings: StoreSettings) -> "Shelf":
        return self

    def get(self, key: str) -> Iterator[bytes]:
        yield self.objects[key][:7]
        yield self.objects[key][7:]


ABOUT_ALL = (
    "nodes.same",
    "members.list",
    "members.log_in",
    "members.take",
    "members.verify",
    "members.differ",
    "kubernetes.verify",
    "kubernetes.ready",
    "members.weigh",
    "members.remove",
    "members.add",
    "members.promote",
    "members.agree",
)


@dataclass
class Cluster:
    """What answers for the cluster as a whole; `wrong` makes a verification fail with it."""

    wrong: dict[str, str] = field(default_factory=dict)

    def activities(self) -> list[Any]:
        return [self._of(name) for name in ABOUT_ALL]

    def _of(self, name: str) -> Any:
        @activity.defn(name=name)
        def verify(task: ClusterTask) -> Receipt:
            if said := self.wrong.get(name, ""):
                raise Failed(said)
            facts = {"served_revision": str(10**9 + 42), "first_write": repr(time.time()), "cluster_id": "c2"}
            facts |= {FACT: REFERENCE.dump_json(TAKEN).decode()} if name == "members.take" else {}
            return Receipt(started=time.time(), facts=facts)

        return verify


@dataclass
class World:
    client: Client
    root: Path
    machines: dict[str, Machine] = field(default_factory=lambda: {name: machine(name) for name in "abc"})
    cluster: Cluster = field(default_factory=Cluster)
    patience_s: float = 8.0
    people: int = 1
    approvers: tuple[str, ...] = ()
    signers: tuple[Signer, ...] = ()
    expires_s: float = 1800.0
    moved: dict[str, Any] = field(default_factory=dict)  # what another look at the cluster finds changed in its plan
    shut: tuple[Gate, ...] = ()
    silent: str = ""  # why it cannot be looked at
    skippable: str = ""
    before: dict[str, str] = field(default_factory=dict)  # the state of a node's etcd that the survey saw
    replays: bool = False
    closed: list[RestoreResult] = field(default_factory=list)
    shelf: Shelf = field(default_factory=lambda: Shelf({snapshot().key: STORED}))

    def __post_init__(self) -> None:
        self.operation = f"restore-{next(NUMBERS)}-{uuid.uuid4().hex[:6]}"
        self.journals = FileJournals(self.root, "chain", time.time)

    @property
    def plan(self) -> Plan:
        whole = plan(self.operation, people=self.people)
        if self.replays:  # the data of member a
            source = from_member().chosen
            whole = replace(whole, chosen=replace(whole.chosen, source=source.source, steps=source.steps))
        steps = tuple(
            replace(step, patience_s=self.patience_s, may_skip=step.key == self.skippable)
            for step in whole.chosen.steps
        )
        shares = tuple(
            replace(each, etcd=replace(each.etcd, before=self.before.get(each.member, "active")))
            for each in whole.chosen.shares
        )
        world = {"steps": steps, "shares": shares, "approvers": self.approvers, "signers": self.signers}
        chosen = replace(whole.chosen, **{**world, **self.moved})
        return replace(whole, chosen=chosen, refusals=self.shut)

    @property
    def live(self) -> dict[str, str]:
        return {name: each.live() for name, each in self.machines.items()}

    @property
    def state(self) -> dict[str, Any]:
        """All that a person would find on the nodes, our own directory aside."""
        return {
            name: (
                {path: text for path, text in each.files.items() if not path.startswith("/var/lib/quorate")},
                {path for path in each.directories if not path.startswith("/var/lib/quorate")},
                {unit: seen.state for unit, seen in each.units.items()},
            )
            for name, each in self.machines.items()
        }

    @asynccontextmanager
    async def worker(self, *, cached: int = 0) -> AsyncIterator[Worker]:
        """With nothing in its cache every workflow task is a replay."""
        hosts = RecordedHosts(FakeHosts(self.machines), self.journals.at, time)
        stores = RecordedStores(self.shelf, self.journals.at, time)  # type: ignore[arg-type]
        nodes = Nodes(hosts, stores, Age(LocalSecrets({})), time)
        laying = Laying(hosts, stores, Age(LocalSecrets({})), time)
        approvals = Approvals(SshSignatures(), self.journals.at, time)
        with ThreadPoolExecutor(16) as pool:
            worker = Worker(
                self.client,
                task_queue=STEPS_QUEUE,
                workflows=[Restore, Freeze, Thaw, Tidy, ReplaceMember, Lay],
                activities=[
                    *(getattr(nodes, verb) for verb in VERBS),
                    laying.lay,
                    laying.unlay,
                    laying.settle,
                    *self.cluster.activities(),
                    *self.ledger(),
                    approvals.check,
                    approvals.break_glass,
                ],
                activity_executor=pool,
                max_concurrent_activities=16,
                max_cached_workflows=cached,
                interceptors=[Boundary()],
            )
            async with worker:
                yield worker

    def ledger(self) -> list[Any]:
        @activity.defn(name="plan.restore")
        def plan_restore(request: RestoreRequest) -> Plan:
            if self.silent:
                raise BadInput(self.silent)
            return self.plan

        @activity.defn(name="ledger.write")
        def write(entry: Entry) -> None:
            return None

        @activity.defn(name="ledger.seal")
        def seal(entry: Entry) -> None:
            self.closed.append(adapter(RestoreResult).validate_json(entry.text))

        return [plan_restore, write, seal]

    async def begin(self, *, approved: str | None = None, **more: Any) -> "WorkflowHandle[Restore, RestoreResult]":
        whole = inventory(self.root)
        policy = whole.clusters["demo"].approval.model_copy(update={"expires": self.expires_s})
        settings = whole.clusters["demo"].model_copy(update={"approval": policy})
        digest = self.plan.chosen.digest() if approved is None else approved
        request = RestoreRequest(
            self.operation, "demo", settings, whole.stores["here"], "latest", "ann", approved=digest, **more
        )
        return await self.client.start_workflow(
            Restore.run, request, id=f"quorate/{self.operation}", task_queue=STEPS_QUEUE
        )

    async def restore(self) -> RestoreResult:
        async with self.worker():
            return await asyncio.wait_for((await self.begin()).result(), 60)


def machine(name: str) -> Machine:
    return Machine(
        name,
        files={f"{LIVE}/member/snap/db": f"the old data of {name}"},
        directories={LIVE, "/var/lib/etcd"},
        units={
            "etcd.service": Unit(ports=(2379,)),
            "kube-apiserver.service": Unit(ports=(6443,)),
            "kubelet.service": Unit(),
        },
    )


async def held(handle: "WorkflowHandle[Restore, RestoreResult]", number: int = 1) -> Hold:
    """The hold with that number, once it is there."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(Exception):
                hold = (await handle.query(Restore.progress)).hold
                if hold and hold.number == number:
                    return hold
            await asyncio.sleep(0.05)


async def phase(handle: "WorkflowHandle[Restore, RestoreResult]", wanted: str) -> Progress:
    async with asyncio.timeout(30):
        while True:
            progress = await handle.query(Restore.progress)
            if progress.phase == wanted:
                return progress
            await asyncio.sleep(0.05)


async def awaited(handle: "WorkflowHandle[Restore, RestoreResult]") -> Awaiting:
    """From the memo, as people get it: a query may be answered ahead of the history, by the clock before."""
    async with asyncio.timeout(30):
        while True:
            seen = await handle.describe()
            if awaiting := await seen.memo_value("awaiting", None, type_hint=Awaiting):
                return awaiting
            await asyncio.sleep(0.05)


async def approve(handle: "WorkflowHandle[Restore, RestoreResult]", approval: Approval) -> str:
    """With the expiry that is shown, unless it says another one."""
    until = approval.until or (await awaited(handle)).until
    return await handle.execute_update(Restore.approve, replace(approval, until=until))


async def resolve(handle: "WorkflowHandle[Restore, RestoreResult]", number: int, choice: Choice) -> None:
    await handle.execute_update(Restore.resolve, Resolution(number, choice, "ann"))
