"""A cluster as commands look at it: surveyed in this process, with nothing else running."""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from activities.clusters.catalogued import FRESH_S
from activities.clusters.surveys import Patience
from quorate.clusters.cluster import ClusterSeen
from quorate.drills.coverage import Covered
from quorate.errors import Failed
from quorate.findings.case import Case
from quorate.findings.diagnosis import advise, diagnose
from quorate.findings.finding import Finding
from quorate.gauges import loss_of
from quorate.members.revision_clock import Loss
from worker.past import coverage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from quorate.inventory import Cluster
    from worker.operations import Found, Operations
    from worker.settings import Settings
    from worker.wiring import Wiring

SOONER_S = 2.0
ANSWER_S = 15.0  # of who has let us in, or a store: a machine that swaps says most when it is heard to the end
CLOSER_S = 5.0  # nodes dial one another for a second
VITALS_S = 2.0


@dataclass(frozen=True, slots=True)
class Looked:
    case: Case
    findings: tuple[Finding, ...]
    loss: Loss | None = None  # if it were restored now from its newest backup; None where there is none
    advice: tuple[Finding, ...] = ()  # what could be better; it makes no cluster less healthy
    drills: tuple[Covered, ...] = ()

    @property
    def seen(self) -> ClusterSeen:
        return self.case.seen

    @property
    def state(self) -> str:
        """One word: FAIL, WARN or OK."""
        levels = {finding.level for finding in self.findings}
        return "FAIL" if "FAIL" in levels else "WARN" if levels else "OK"

    @property
    def quorum(self) -> str:
        count = f"{len(self.seen.answering)} of {len(self.seen.etcd)} answer"
        return f"holds, {count}" if self.seen.has_quorum else f"LOST, {count}"


@dataclass(frozen=True, slots=True)
class Now:
    """What the server knows by cluster: the operation that runs, and what is wrong with the schedule."""

    runs: dict[str, str]
    schedules: dict[str, tuple[Finding, ...]]

    def told(self, looked: Looked) -> Looked:
        return replace(looked, findings=(*looked.findings, *self.schedules.get(looked.case.name, ())))


def look(wiring: "Wiring", name: str, every: tuple[Covered, ...]) -> Looked:
    """`every` is what was drilled, on all clusters: the records are read once for all of them."""
    return told(wiring, name, surveyed(wiring, name, hurried(wiring.settings.cluster(name))), every)


def look_closely(wiring: "Wiring", name: str) -> Looked:
    """With what is asked beside a survey, at the same time; it is waited for only where the survey was quicker."""
    began, cluster = time.monotonic(), hurried(wiring.settings.cluster(name))
    asked = wiring.watcher.ask(cluster)
    seen = surveyed(wiring, name, cluster)
    vitals = asked.heard(max(0.0, began + VITALS_S - time.monotonic()))
    looked = told(wiring, name, replace(seen, vitals=vitals), drilled(wiring))
    return replace(looked, advice=advise(looked.case))


def surveyed(wiring: "Wiring", name: str, cluster: "Cluster") -> ClusterSeen:
    patience = Patience(cluster.ssh.connect_timeout_s, ANSWER_S, ANSWER_S, CLOSER_S)
    surveyor = replace(wiring.surveyor, within_s=FRESH_S, patience=patience)
    return surveyor.survey(name, cluster, wiring.settings.store(name))


def hurried(cluster: "Cluster") -> "Cluster":
    """Somebody waits: less for a connection than whoever carries something out gives it."""
    sooner_s = max(1.0, cluster.ssh.connect_timeout_s - SOONER_S)
    sooner = cluster.ssh.model_copy(update={"connect_timeout_s": sooner_s})
    return cluster.model_copy(update={"ssh": sooner})


def drilled(wiring: "Wiring") -> tuple[Covered, ...]:
    return coverage(wiring.settings.inventory, wiring.settings.operations, datetime.now(UTC))


def told(wiring: "Wiring", name: str, seen: ClusterSeen, every: tuple[Covered, ...]) -> Looked:
    case = Case(name, wiring.settings.cluster(name), seen, datetime.now(UTC))
    held = tuple(each for each in every if each.cluster == name)
    return Looked(case, (*diagnose(case), *undrilled(held)), loss_now(wiring, case), drills=held)


def undrilled(held: "Iterable[Covered]") -> "Iterator[Finding]":
    """What policy wants and has not, or what failed: no drill is urgent, so each is a warning."""
    for each in held:
        if each.why_due:
            yield Finding(
                "drill-due",
                "WARN",
                f"the drill {each.scenario} is due",
                each.why_due,
                f"quorate drill start {each.scenario} {each.cluster}",
            )


def loss_now(wiring: "Wiring", case: Case) -> Loss | None:
    """By the revision clock; where that cannot be read, by the age of the backup alone."""
    if (newest := case.newest) is None:
        return None
    try:
        ticks = wiring.ticks.since(case.name, newest.created_at.timestamp())
    except Failed:
        ticks = ()
    return loss_of(newest, ticks, case.now.timestamp())


def look_at_all(wiring: "Wiring") -> tuple[Looked, ...]:
    from concurrent.futures import ThreadPoolExecutor

    names, every = sorted(wiring.settings.inventory.clusters), drilled(wiring)
    with ThreadPoolExecutor(len(names)) as pool:
        return tuple(pool.map(lambda name: look(wiring, name, every), names))


def now(settings: "Settings") -> Now | None:
    """None where no daemon and no server can tell."""
    from worker.cli.operations import asked

    async def seen(operations: "Operations") -> Now:
        return Now(foremost(await operations.open()), await unscheduled(operations))

    return asked(settings, seen)


def foremost(running: "Iterable[Found]") -> dict[str, str]:
    """One a cluster: what changes its nodes hides what does not."""
    by_weight = sorted(running, key=lambda each: each.changes_nodes)
    return {each.cluster: each.operation for each in by_weight}


async def unscheduled(operations: "Operations") -> dict[str, tuple[Finding, ...]]:
    """By cluster; nothing is asked where the inventory has no schedule, and nothing is said where nobody tells."""
    if not any(map(scheduled, operations.settings.inventory.clusters.values())):
        return {}
    from temporalio.service import RPCError

    from worker.schedules import cluster_of, findings, surveyed

    try:
        found = await surveyed(operations.settings, operations.client)
    except RPCError:
        return {}
    told: dict[str, tuple[Finding, ...]] = {}
    for id_, (want, there) in found.items():
        told[cluster_of(id_)] = (*told.get(cluster_of(id_), ()), *findings(id_, want, there))
    return told


def scheduled(cluster: "Cluster") -> bool:
    """Whether the daemon does anything there by itself."""
    drills = cluster.drills.scenarios.values() if cluster.drills else ()
    return bool(cluster.backup.schedule) or any(each.schedule for each in drills)
