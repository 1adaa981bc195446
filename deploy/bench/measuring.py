"""One lab, filled and measured: Quorate first, the shell script beside it, then what neither can help."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.bench.floor import api_start_s, etcd_start_s
from deploy.bench.memory import idle_mib, sampling
from deploy.bench.prober import probing
from deploy.bench.spent import spent
from deploy.bench.ssh import round_trips_ms
from deploy.bench.usual import stages, usual
from deploy.bench.waiting import Waits, typical_waits, waits
from deploy.bench.written import written_mib
from deploy.demo.quorate import Quorate
from deploy.lab.binaries import AGE, make
from deploy.lab.errors import LabError
from deploy.lab.https import Caller
from deploy.lab.lab import LabSpec, down, load, up, wreck
from deploy.lab.load import PREFIX, VALUE_BYTES, text
from deploy.lab.ready import etcd_identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.lab.lab import Lab
    from deploy.lab.process import Say

MIB = 1024 * 1024
WHY = ("--override-gate", "quorum-healthy", "--reason", "bench")
MEDIANS = ("backup_s", "usual_backup_s", "written_mib", "etcd_start_s", "api_start_s", "lost_s", "usual_lost_s")
KINDS = {  # in words, and in a lab's name
    "none": ("without a control plane", ""),
    "systemd": ("with a control plane", "-k8s"),
    "static-pods": ("with a control plane of static pods", "-pods"),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What is measured: so much data, with or without a control plane."""

    mib: int
    control_plane: str = "none"  # one of KINDS
    members: int = 3

    def __str__(self) -> str:
        alone = ", one member" if self.members == 1 else ""
        return f"{self.mib} MiB, {KINDS[self.control_plane][0]}{alone}"

    @property
    def spec(self) -> LabSpec:
        return LabSpec(f"bench-{self.mib}{KINDS[self.control_plane][1]}", self.members, "3.6", self.control_plane)


@dataclass(frozen=True, slots=True)
class Restored:
    """One restore, by the prober and by the clock; `said` is what the tool itself says of it."""

    outage_s: float  # the longest time that no client could write
    from_stop_s: float  # the first stop that was asked for, to the first write
    api_outage_s: float | None
    whole_s: float
    said: str

    def __str__(self) -> str:
        api = "" if self.api_outage_s is None else f", of the API {self.api_outage_s:.2f} s"
        etcd = f"outage of etcd {self.outage_s:.2f} s, from the first stop {self.from_stop_s:.2f} s"
        return f"{etcd}{api}, whole {self.whole_s:.1f} s ({self.said})"


@dataclass(slots=True)
class Figures:
    """What one lab showed; None where it was not asked for."""

    shape: Shape
    backup_s: float | None = None
    backed_up_mib: float = 0.0  # of database, as etcd sent it
    usual_backup_s: float | None = None
    idle_mib: float = 0.0
    peak_mib: float = 0.0
    written_mib: float | None = None  # to disk, by the daemon during the backup
    waits: dict[str, Waits] = field(default_factory=dict)
    restore: Restored | None = None
    usual_restore: Restored | None = None
    etcd_start_s: float = 0.0
    api_start_s: float = 0.0
    ssh_ms: tuple[float, float] | None = None
    lost_s: float | None = None  # quorum was lost: from the command to verified etcd
    usual_lost_s: float | None = None
    notes: list[str] = field(default_factory=list)


def measure(shape: Shape, only: str, times: int, say: Say) -> Figures:
    """On a lab of its own, gone afterwards: the median of every figure."""
    name, rounds = shape.spec.name, [Figures(shape) for _ in range(times)]
    work = Path(tempfile.mkdtemp(prefix="quorate-bench-"))
    down(name)
    make(AGE, say)
    lab = up(shape.spec, say)
    quorate = Quorate(lab)
    try:
        if only in ("", "ssh"):
            rounds[0].ssh_ms = round_trips_ms(lab)
        if only != "ssh":
            fill(lab, shape, say)
            quorate.read("up", "--detach")
            for number, figures in enumerate(rounds):
                backups(lab, quorate, figures, say)
                if only != "memory":
                    usual_backups(lab, figures, work, say)
                if only in ("", "latency"):
                    figures.waits = waits(lab, quorate, work)
                    say(f"bench: writes: {'; '.join(f'{when}: {each}' for when, each in figures.waits.items())}")
                if only in ("", "lost"):
                    lost(lab, quorate, figures, say)
                if only in ("", "restore"):
                    restores(lab, quorate, figures, work / str(number), say)
                if only in ("", "lost"):
                    usually_lost(lab, figures, work, say)
    finally:
        quorate.down()
        down(name, say)
        shutil.rmtree(work, ignore_errors=True)
    return typical(rounds)


def typical(rounds: list[Figures]) -> Figures:
    """The median of each figure; memory and SSH are of the first round, before the daemon had done anything."""
    whole = rounds[0]
    for name in MEDIANS:
        setattr(whole, name, median([getattr(each, name) for each in rounds]))
    whole.waits = typical_waits([each.waits for each in rounds])
    for name in ("restore", "usual_restore"):
        setattr(whole, name, typical_restore([getattr(each, name) for each in rounds]))
    return whole


def typical_restore(rounds: list[Restored | None]) -> Restored | None:
    known = [each for each in rounds if each]
    if not known:
        return None
    return Restored(
        outage_s=statistics.median(each.outage_s for each in known),
        from_stop_s=statistics.median(each.from_stop_s for each in known),
        api_outage_s=median([each.api_outage_s for each in known]),
        whole_s=statistics.median(each.whole_s for each in known),
        said=known[-1].said,
    )


def median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def fill(lab: Lab, shape: Shape, say: Say) -> None:
    began = time.monotonic()
    load(lab, shape.mib)
    say(f"bench: {shape.mib} MiB written in {time.monotonic() - began:.0f} s")


def backups(lab: Lab, quorate: Quorate, figures: Figures, say: Say) -> None:
    os.sync()  # what the script has written is none of ours to wait for, nor the other way round
    figures.idle_mib, written = idle_mib(lab), written_mib(lab)
    with sampling(lab) as sampled:
        began = time.monotonic()
        result = quorate.read("backup", lab.name)
        figures.backup_s = time.monotonic() - began
    figures.peak_mib, figures.written_mib = sampled.peak, written_mib(lab) - written
    figures.backed_up_mib = result["size_bytes"] / MIB
    say(f"bench: backup {figures.backup_s:.1f} s ({result['outcome']}; {spent(lab, result['operation'])})")


def usual_backups(lab: Lab, figures: Figures, work: Path, say: Say) -> None:
    os.sync()
    figures.usual_backup_s, said = usual(lab, "backup", work)
    say(f"bench: script: backup {figures.usual_backup_s:.1f} s ({stages(said)})")


def restores(lab: Lab, quorate: Quorate, figures: Figures, work: Path, say: Say) -> None:
    """Quorate first: the script gives the cluster an id that Quorate's backups are not of."""
    work.mkdir()
    figures.restore = restored(lab, quorate, work / "quorate")
    say(f"bench: quorate: {figures.restore}")
    complete(lab, figures.shape)
    with probing(lab, work / "floor") as probes:
        figures.etcd_start_s = etcd_start_s(lab, probes)
        figures.api_start_s = api_start_s(lab, probes) if lab.kubeconfig else 0.0
    say(f"bench: etcd's own start {figures.etcd_start_s:.2f} s, the API servers' {figures.api_start_s:.2f} s")
    figures.usual_restore = usually_restored(lab, work)
    say(f"bench: script: {figures.usual_restore}")
    complete(lab, figures.shape)


def lost(lab: Lab, quorate: Quorate, figures: Figures, say: Say) -> None:
    """As somebody waits for it who has just typed the command: planning and approval are in it."""
    wreck(lab, "quorum-loss")
    began = time.time()
    result = quorate.read("restore", lab.name, "--confirm", lab.name)
    verified = next(step for step in result["steps"] if step["id"] == "verify")
    figures.lost_s = verified["started"] + verified["duration_s"] - began
    complete(lab, figures.shape)
    say(f"bench: quorum lost: verified etcd {figures.lost_s:.1f} s after the command; {steps(result)}")


def usually_lost(lab: Lab, figures: Figures, work: Path, say: Say) -> None:
    wreck(lab, "quorum-loss")
    figures.usual_lost_s, said = usual(lab, "restore", work)
    complete(lab, figures.shape)
    say(f"bench: quorum lost: the script took {figures.usual_lost_s:.1f} s ({stages(said)})")


def steps(result: dict[str, Any]) -> str:
    """How long each took, on the node where it took longest."""
    took: dict[str, float] = {}
    for step in result["steps"]:
        took[step["id"]] = max(took.get(step["id"], 0.0), step["duration_s"] or 0.0)
    return f"steps: {', '.join(f'{key} {each:.1f}' for key, each in took.items())}"


def restored(lab: Lab, quorate: Quorate, work: Path) -> Restored:
    with probing(lab, work) as probes:
        result = quorate.read("restore", lab.name, "--confirm", lab.name, *WHY)
        if lab.kubeconfig:
            probes.first_after(time.time(), "api")
    own = {key: result[key] for key in ("outage_s", "api_outage_s", "duration_s")}
    said = f"{own}; {steps(result)}"
    whole_s = float(own["duration_s"])
    return Restored(probes.outage_s(), float(own["outage_s"]), api_outage(lab, probes.outage_s), whole_s, said)


def usually_restored(lab: Lab, work: Path) -> Restored:
    with probing(lab, work / "usual") as probes:
        whole_s, said = usual(lab, "restore", work)
        if lab.kubeconfig:
            probes.first_after(time.time(), "api")  # an outage that has not ended would not be seen
    at = {what: float(moment) for moment, _, what in (line.partition(" ") for line in said.splitlines())}
    from_stop_s = at["start"] - at["stop"] + probes.first_after(at["start"])
    return Restored(probes.outage_s(), from_stop_s, api_outage(lab, probes.outage_s), whole_s, stages(said))


def api_outage(lab: Lab, outage_s: Callable[[str], float]) -> float | None:
    return outage_s("api") if lab.kubeconfig else None


def complete(lab: Lab, shape: Shape) -> None:
    """A fast restore of half the keys is worth nothing."""
    start, end = PREFIX.encode(), PREFIX[:-1].encode() + b"0"
    asked = {"key": text(start), "range_end": text(end), "count_only": True}
    answer = Caller(lab.etcd.endpoints[0], etcd_identity(lab)).call("POST", "/v3/kv/range", asked)
    if int(answer["count"]) != (wanted := shape.mib * MIB // VALUE_BYTES):
        raise LabError(f"{lab.name} came back with {answer['count']} keys instead of {wanted}")
