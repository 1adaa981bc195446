"""A real Prometheus on loopback, that scrapes what it is given and is asked queries."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.lab.process import wait
from deploy.lab.prometheus import make_prometheus
from deploy.lab.s3 import free_port

READY_S = 30


@dataclass(frozen=True)
class Prometheus:
    url: str

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def ask(self, query: str) -> list[Any]:
        said = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{said}", timeout=10) as answer:
            return list(json.load(answer)["data"]["result"])

    def alerts(self) -> set[str]:
        """By name, those that ring and those that are about to."""
        return {each["metric"]["alertname"] for each in self.ask("ALERTS")}


@contextmanager
def scraping(folder: Path, jobs: dict[str, list[str]], rules: list[Path]) -> Iterator[Prometheus]:
    """Each second, so that rates are there soon; `jobs` are host:port by name."""
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": targets}]} for name, targets in jobs.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    argv = [str(make_prometheus(print) / "prometheus"), f"--config.file={folder}/prometheus.yml"]
    argv += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"]
    with (folder / "prometheus.log").open("ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        prometheus = Prometheus(f"http://{address}")
        assert wait(prometheus.ready, READY_S), (folder / "prometheus.log").read_text()[-2000:]
        yield prometheus
    finally:
        process.kill()
        process.wait()
