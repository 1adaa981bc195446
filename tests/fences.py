"""Freezing, thawing and restoring machines of memory, by plans that the real planners make of what is seen there."""

import asyncio
import hashlib
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import zstandard
from temporalio import activity
from temporalio.client import WorkflowHandle

from activities.clusters.planning import Planning
from quorate import lay, replace_member, restore, tidy
from quorate.backups.bundle import Gathered, tar
from quorate.backups.catalogue import Bundle
from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.command import node_of
from quorate.inventory import Cluster
from quorate.members.etcd import EtcdSeen, MemberSeen
from quorate.nodes.packed import Packed
from quorate.operation import RestoreRequest, RestoreResult
from quorate.plan import Plan
from quorate.settings.machines import Component, Kubernetes
from quorate.settings.stores import Store as StoreSettings
from quorate.tidy import Judged
from tests.factory import LIVE, etcd_seen, inventory, snapshot
from tests.fakes.machine import FakeHosts, Machine, Unit
from tests.manifests import manifest
from tests.world import World
from workflows.freeze import Freeze
from workflows.lay import Lay
from workflows.patience import STEPS_QUEUE
from workflows.replace_member import ReplaceMember
from workflows.restore import Restore
from workflows.thaw import Thaw
from workflows.tidy import Tidy

Handle = WorkflowHandle[Any, RestoreResult]
WORKFLOWS = {
    "freeze": Freeze,
    "thaw": Thaw,
    "tidy": Tidy,
    "restore": Restore,
    "replace-member": ReplaceMember,
    "lay": Lay,
}
API = Component(role="kube-apiserver", unit="kube-apiserver.service")
NOWHERE = Path("/srv")  # in every digest, so not where a history happens to be recorded
SCHEDULER = Component(role="kube-scheduler", unit="kube-scheduler.service")


PKI = "/etc/kubernetes/pki"
KEYS = tuple(
    Packed(path, 0o700, "etcd", "etcd", 0, 0, 0, text)
    for path, text in ((PKI, None), (f"{PKI}/ca.crt", b"an authority"), (f"{PKI}/sa.key", b"a key"))
)
TAR = b"".join(tar("", (Gathered("a", {}, KEYS),)))
OBJECT = zstandard.compress(TAR)
BUNDLED = manifest().model_copy(
    update={
        "bundle": Bundle(
            key=f"{manifest().directory}/bundle.tar.zst",
            size_bytes=len(TAR),
            sha256=hashlib.sha256(TAR).hexdigest(),
            stored_bytes=len(OBJECT),
            stored_sha256=hashlib.sha256(OBJECT).hexdigest(),
            files={f"{PKI}/ca.crt": ("a",), f"{PKI}/sa.key": ("a",)},
        )
    }
)


def running(name: str) -> Machine:
    """A node whose scheduler is stopped."""
    return Machine(
        name,
        files={f"{LIVE}/member/snap/db": f"the old data of {name}", "/usr/sbin/nft": ""},
        directories={LIVE, "/var/lib/etcd"},
        units={
            "etcd.service": Unit(ports=(11,), argv=("/usr/local/bin/etcd",)),
            "kube-apiserver.service": Unit(ports=(6443,)),
            "kube-scheduler.service": Unit("inactive", ports=(10259,)),
        },
    )


@dataclass(frozen=True)
class Looked:
    """A survey of machines of memory: an etcd answers where it runs."""

    machines: dict[str, Machine]

    def survey(self, name: str, cluster: Cluster, _store: StoreSettings) -> ClusterSeen:
        hosts = FakeHosts(self.machines)
        there = {m.name: m for m in cluster.members if not self.machines[m.name].away}
        up = [name for name in there if self.machines[name].units["etcd.service"].state == "active"]
        silent = Silence("does not answer")
        return ClusterSeen(
            nodes={
                m.name: hosts.survey(node_of(name, cluster, m), restore.look_of(cluster))
                if m.name in there
                else silent
                for m in cluster.members
            },
            etcd={m.name: etcd_seen(m.name) if m.name in up else silent for m in cluster.members},
            reads=dict.fromkeys(up, 41) if len(up) > 1 else {},
            manifests=(manifest(),),
        )


@dataclass
class Fences(World):
    machines: dict[str, Machine] = field(default_factory=lambda: {name: running(name) for name in "abc"})
    rows: tuple[Judged, ...] = ()  # what a tidy is told that the nodes keep

    def __post_init__(self) -> None:
        super().__post_init__()
        self.shelf.objects[f"{manifest().directory}/bundle.tar.zst"] = OBJECT

    @property
    def settings(self) -> Cluster:
        kubernetes = Kubernetes(kubeconfig="file:/admin", api_urls=("https://127.0.0.1:6443",))
        changes = {"control_plane": (API, SCHEDULER), "kubernetes": kubernetes}
        return inventory(NOWHERE).clusters["demo"].model_copy(update=changes)

    @property
    def planning(self) -> Planning:
        return Planning(Looked(self.machines), FakeHosts(self.machines), time)  # type: ignore[arg-type]

    @property
    def seen(self) -> ClusterSeen:
        return Looked(self.machines).survey("demo", self.settings, inventory(NOWHERE).stores["here"])

    def as_one(self, seen: ClusterSeen) -> ClusterSeen:
        """The members as every one of them lists them, led by b."""
        rows = tuple(MemberSeen(m.name, m.name, m.peer_urls, m.client_urls) for m in self.settings.members)
        return replace(
            seen,
            etcd={
                name: replace(each, members=rows, leader="b") if isinstance(each, EtcdSeen) else each
                for name, each in seen.etcd.items()
            },
        )

    @property
    def units(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(unit.state for unit in each.units.values()) for name, each in self.machines.items()}

    def request(self, kind: str, **changes: Any) -> RestoreRequest:
        asked = RestoreRequest(
            f"{kind}-{self.operation}",
            "demo",
            self.settings,
            inventory(NOWHERE).stores["here"],
            "latest" if kind == "restore" else "",
            "ann",
            overrides=() if kind in {"thaw", "replace-member", "lay"} else ("quorum-healthy",),
            reason="a test",
            member="a" if kind in {"replace-member", "lay"} else "",
        )
        return replace(asked, **changes)

    def planned(self, kind: str, request: RestoreRequest) -> Plan:
        if kind == "restore":
            whole = restore.plan(request, self.seen)
            whole = replace(whole, chosen=replace(whole.chosen, snapshot=snapshot()), refusals=())
        elif kind == "replace-member":
            whole = replace_member.plan(request, self.as_one(self.seen), {})
        elif kind == "lay":
            node = node_of("demo", self.settings, lay.member_of(request))
            seen = FakeHosts(self.machines).survey(node, lay.look_of(request, BUNDLED))
            whole = lay.plan(request, self.seen, BUNDLED, seen)
        else:
            whole = (
                tidy.plan(request, self.seen, self.rows) if kind == "tidy" else getattr(self.planning, kind)(request)
            )
        steps = tuple(replace(step, patience_s=self.patience_s) for step in whole.chosen.steps)
        return replace(whole, chosen=replace(whole.chosen, steps=steps))

    def ledger(self) -> list[Any]:
        return [*(each for each in super().ledger() if each.__name__ != "plan_restore"), *map(self._plans, WORKFLOWS)]

    def _plans(self, kind: str) -> Any:
        @activity.defn(name=f"plan.{kind}")
        def plan(request: RestoreRequest) -> Plan:
            return self.planned(kind, request)

        return plan

    async def start(self, kind: str, **changes: Any) -> Handle:
        request = self.request(kind, **changes)
        if not changes:
            request = replace(request, approved=self.planned(kind, request).chosen.digest())
        return await self.client.start_workflow(
            WORKFLOWS[kind].run,  # type: ignore[attr-defined]
            request,
            id=f"quorate/{request.operation}",
            task_queue=STEPS_QUEUE,
        )

    async def run(self, kind: str, **changes: Any) -> RestoreResult:
        return await asyncio.wait_for((await self.start(kind, **changes)).result(), 60)

    def reboot(self, name: str) -> None:
        """What ran is gone; what is enabled starts, unless it is barred."""
        from tests.fakes.machine import start, systemctl

        machine = self.machines[name]
        systemctl(machine, ("systemctl", "daemon-reload"), "")
        for unit in machine.units.values():
            unit.state = "inactive"
        for unit in ("etcd.service", "kube-apiserver.service"):
            start(machine, unit)
