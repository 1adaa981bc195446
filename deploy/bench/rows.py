"""Figures as rows: what, what to reach, what was seen, whether that is enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.bench.measuring import Figures, Restored

HEAD = ("what", "to reach", "quorate", "script", "seen", "reached")
JUDGED_MIB = 700  # the comparison with the script is one at this size
OUTAGE_RATIO, WHOLE_RATIO, BACKUP_RATIO, LOST_RATIO = 0.25, 1.0, 0.8, 0.8
REST_S, REST_API_S = 1.5, 4.5
WRITTEN_MIB = 1.0  # no temporary file; what it does is on record
MEMORY_MIB = 64.0 * 1000**2 / 1024**2  # 64 MB
SSH_MS = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    limit: float | None  # None where nothing was promised
    unit: str
    seen: float
    quorate: str = ""
    script: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        return (
            self.what,
            "-" if self.limit is None else f"<= {self.limit:.3g}{self.unit}",
            self.quorate,
            self.script,
            f"{self.seen:.2f}{self.unit}",
            "-" if self.limit is None else "yes" if self.seen <= self.limit else "NO",
        )


def rows(figures: Figures) -> Iterator[Row]:
    yield from backup_rows(figures)
    if figures.restore and figures.usual_restore:
        yield from restore_rows(figures, figures.restore, figures.usual_restore)
    if figures.lost_s and figures.usual_lost_s:
        what = "quorum lost: from the command to verified etcd"
        yield compared(what, limit(figures, LOST_RATIO), figures.lost_s, figures.usual_lost_s)
    if figures.ssh_ms:
        p50, p99 = figures.ssh_ms
        yield Row("SSH command round trip, p50", SSH_MS, " ms", p50, f"p99 {p99:.2f} ms")


def backup_rows(figures: Figures) -> Iterator[Row]:
    if figures.backup_s and figures.usual_backup_s:
        ratio = limit(figures, BACKUP_RATIO)
        yield compared("backup, encrypted and read back", ratio, figures.backup_s, figures.usual_backup_s)
    elif figures.backup_s:
        size = f"{figures.backed_up_mib:.0f} MiB of database"
        yield Row("backup, encrypted and read back", None, " s", figures.backup_s, size)
    if figures.backup_s:
        grown = figures.peak_mib - figures.idle_mib
        yield Row("worker memory, at most", None, " MiB", figures.peak_mib)
        yield Row("worker memory over idle", MEMORY_MIB, " MiB", grown, f"{figures.idle_mib:.0f} MiB idle")
    if figures.written_mib is not None:
        yield Row("written to disk by the worker", WRITTEN_MIB, " MiB", figures.written_mib)
    for when, each in figures.waits.items():
        yield Row(
            f"a client's write {when}, p99", None, " ms", each.p99, f"p50 {each.p50:.1f} ms, worst {each.worst:.0f}"
        )


def restore_rows(figures: Figures, ours: Restored, script: Restored) -> Iterator[Row]:
    ratio = limit(figures, OUTAGE_RATIO)
    yield compared("outage of etcd from the first stop", ratio, ours.from_stop_s, script.from_stop_s)
    yield compared("as a client sees it", None, ours.outage_s, script.outage_s)
    own = f"own start {figures.etcd_start_s:.2f} s"
    rest = ours.from_stop_s - figures.etcd_start_s
    yield Row("from the first stop, without etcd's own start", REST_S, " s", rest, own)
    if ours.api_outage_s is not None and script.api_outage_s is not None:
        yield compared("outage of the API", None, ours.api_outage_s, script.api_outage_s)
        starts = figures.etcd_start_s + figures.api_start_s
        rest = ours.api_outage_s - starts
        yield Row("outage of the API without both starts", REST_API_S, " s", rest, f"starts {starts:.2f} s")
    yield compared("whole restore", limit(figures, WHOLE_RATIO), ours.whole_s, script.whole_s)


def limit(figures: Figures, ratio: float) -> float | None:
    return ratio if figures.shape.mib == JUDGED_MIB else None


def compared(what: str, ratio: float | None, ours_s: float, script_s: float) -> Row:
    return Row(what, ratio, " x", ours_s / script_s, f"{ours_s:.2f} s", f"{script_s:.2f} s")


def table(lines: list[tuple[str, ...]]) -> str:
    """As Markdown, aligned, so that it can be pasted."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "| " + " | ".join(cell.ljust(size) for cell, size in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    rule = "|" + "|".join("-" * (size + 2) for size in widths) + "|"
    return "\n".join([text[0], rule, *text[1:]])
