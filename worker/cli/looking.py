"""A cluster as commands look at it: surveyed in this process, with nothing else running."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from quorate.case import Case
from quorate.cluster import ClusterSeen
from quorate.diagnosis import Finding, diagnose

if TYPE_CHECKING:
    from worker.settings import Settings
    from worker.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Looked:
    case: Case
    findings: tuple[Finding, ...]

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


def look(wiring: "Wiring", name: str) -> Looked:
    settings = wiring.settings
    cluster = settings.cluster(name)
    seen = wiring.surveyor.survey(name, cluster, settings.store(name))
    case = Case(name, cluster, seen, datetime.now(UTC))
    return Looked(case, diagnose(case))


def look_at_all(wiring: "Wiring") -> tuple[Looked, ...]:
    from concurrent.futures import ThreadPoolExecutor

    names = sorted(wiring.settings.inventory.clusters)
    with ThreadPoolExecutor(len(names)) as pool:
        return tuple(pool.map(lambda name: look(wiring, name), names))


def running(settings: "Settings") -> dict[str, str] | None:
    """What runs by cluster; None where no daemon and no server can tell."""
    from worker.cli.operations import asked

    found = asked(settings, lambda client: client.open())
    return None if found is None else {each.cluster: each.operation for each in found}
