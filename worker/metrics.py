"""`/metrics`: the last figures, as whoever scrapes them wants them; a scrape looks at nothing."""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from quorate.backups.catalogue import Manifest
from quorate.errors import Unreachable
from quorate.gauges import METRICS, Figure
from worker import embedded

FAMILIES = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}


@dataclass(eq=False, slots=True)
class Board(Collector):
    """What every source has said last; each replaces its own as a whole."""

    said: dict[str, tuple[Figure, ...]] = field(default_factory=dict)

    def tell(self, source: str, figures: Iterable[Figure]) -> None:
        self.said = {**self.said, source: tuple(figures)}

    def collect(self) -> Iterator[Metric]:
        by_name: dict[str, list[Figure]] = {}
        for figures in self.said.values():
            for figure in figures:
                by_name.setdefault(figure.name, []).append(figure)
        for metric in METRICS:
            family = FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
            for figure in by_name.get(metric.name, ()):
                family.add_metric(figure.labels, figure.value)
            yield family


def registered(board: Board) -> CollectorRegistry:
    """Beside what the process says of itself."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(board)
    return registry


@contextmanager
def served(board: Board, host: str, port: int) -> Iterator[int]:
    """On threads of their own; gives the port that it got. Unreachable where nobody can listen there."""
    try:
        server, _ = start_http_server(port, host, registered(board))
    except OSError as error:
        raise Unreachable(f"/metrics cannot be served on {host}:{port}: {error.strerror}") from error
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True, slots=True)
class Kept:
    """What was last known of a cluster's catalogue in a store, for a daemon that starts while the store is away."""

    path: Path
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, place: str, latest: Manifest | None, figures: Iterable[Figure]) -> None:
        said = {
            "latest": latest.encode().decode() if latest else "",
            "figures": [[each.name, each.labels, each.value] for each in figures],
        }
        with self.lock:
            embedded.replace(self.path, json.dumps({**self._all(), place: said}))

    def of(self, place: str) -> tuple[Manifest | None, tuple[Figure, ...]]:
        """Nothing where there is nothing, or of another version."""
        labels = {metric.name: len(metric.labels) for metric in METRICS}
        try:
            said = self._all()[place]
            figures = [Figure(name, tuple(of), float(value)) for name, of, value in said["figures"]]
            latest = Manifest.model_validate_json(said["latest"]) if said["latest"] else None
        except (KeyError, ValueError, TypeError):
            return None, ()
        return latest, tuple(each for each in figures if labels.get(each.name) == len(each.labels))

    def _all(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.path.read_text()))
        except (OSError, ValueError, TypeError):
            return {}
