"""A process that writes through every member all the time, and notes when it succeeded and how long it took.

An outage is the longest time between two successes; both sides of a comparison are measured by this.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.lab.https import Caller, NoAnswerError
from deploy.lab.lab import load_lab
from deploy.lab.load import MAPS, text
from deploy.lab.ready import api_identity, etcd_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deploy.lab.lab import Lab

PAUSE_S = 0.05  # between two successes: it must not be the load
RETRY_S = 0.05  # a connection that is refused costs both sides processor time
ANSWER_S = 1.0  # etcd holds a write back until there is a leader, then answers at once


@dataclass(frozen=True, slots=True)
class Probes:
    """When writes succeeded, by what was written to (etcd or api), in seconds since the epoch."""

    folder: Path

    def successes(self, kind: str) -> list[float]:
        return sorted(at for at, _ in self._answered(kind))

    def waits_ms(self, since: float, until: float, kind: str = "etcd") -> list[float]:
        """Of every write that was waited for at some time between these moments."""
        return [took_s * 1000 for at, took_s in self._answered(kind) if at > since and at - took_s < until]

    def _answered(self, kind: str) -> list[tuple[float, float]]:
        """When, and after how long; a line that is only half written yet is left out."""
        whole, _, _ = (self.folder / "probes").read_text().rpartition("\n")
        lines = [line.split() for line in whole.splitlines()]
        return [(float(at), float(took_s)) for what, at, took_s in lines if what == kind]

    def outage_s(self, kind: str = "etcd") -> float:
        """The longest gap."""
        at = self.successes(kind)
        return max(later - earlier for earlier, later in itertools.pairwise(at))

    def first_after(self, moment: float, kind: str = "etcd", patience_s: float = 60) -> float:
        """Waits for it; the seconds from the moment on."""
        limit = time.time() + patience_s
        while time.time() < limit:
            if later := [at for at in self.successes(kind) if at > moment]:
                return later[0] - moment
            time.sleep(0.05)
        raise NoAnswerError(f"no write to {kind} succeeded in {patience_s:.0f} s")


@contextmanager
def probing(lab: Lab, folder: Path) -> Iterator[Probes]:
    """Until the block ends; it begins with a first success."""
    folder.mkdir(parents=True, exist_ok=True)
    probes, began = Probes(folder), time.time()
    (folder / "probes").write_text("")
    child = subprocess.Popen([sys.executable, "-m", "deploy.bench.prober", lab.name, str(folder)])
    try:
        probes.first_after(began)
        if lab.kubeconfig:
            probes.first_after(began, "api")
        yield probes
        time.sleep(0.5)
    finally:
        child.terminate()
        child.wait(10)


def writes(caller: Caller) -> None:
    caller.call("POST", "/v3/kv/put", {"key": text(b"/quorate-bench/probe"), "value": text(b"1")})


def creates(caller: Caller) -> None:
    """A dry run would not reach etcd; the same object over and over is a write through the API server."""
    body = {"metadata": {"name": "probe"}, "data": {"at": str(time.time())}}
    fine = (200, 201)
    try:
        caller.call("PUT", f"{MAPS}/probe", body, fine)
    except NoAnswerError as error:
        if ": 404 " not in str(error):
            raise
        caller.call("POST", MAPS, body, fine)


def again_and_again(kind: str, caller: Caller, attempt: Callable[[Caller], None], sink: Path) -> None:
    with sink.open("a", buffering=1) as file:
        asked = time.time()
        while True:
            try:
                attempt(caller)
            except (NoAnswerError, ValueError):
                time.sleep(RETRY_S)
                continue
            answered = time.time()
            file.write(f"{kind} {answered:.4f} {answered - asked:.4f}\n")
            time.sleep(PAUSE_S)
            asked = time.time()


def main(name: str, folder: str) -> None:
    lab, sink = load_lab(name), Path(folder) / "probes"
    work = [("etcd", Caller(url, etcd_identity(lab), ANSWER_S), writes) for url in lab.etcd.endpoints]
    if lab.kubeconfig:
        work += [("api", Caller(node.api_url, api_identity(lab), ANSWER_S), creates) for node in lab.nodes]
    threads = [threading.Thread(target=again_and_again, args=(*each, sink)) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
