"""`python -m deploy.bench`: every figure of BENCHMARKS.md, measured here and now."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from docker.errors import DockerException

from deploy.bench import catalogue
from deploy.bench.measuring import KINDS, Figures, Shape, measure
from deploy.bench.rows import HEAD, rows, table
from deploy.demo.telling import StoryError
from deploy.lab.https import NoAnswerError
from deploy.lab.lab import LabError

ALL = (Shape(100), Shape(700), Shape(2048), Shape(700, "systemd"), Shape(700, "static-pods"))
SIZES = tuple(Shape(mib, members=1) for mib in (700, 2048, 7400))  # the last is as much as etcd's 8 GiB take
ONLY = ("restore", "backup", "latency", "memory", "catalogue", "ssh", "lost")
NEEDED = ("ssh", "scp", "zstd")


def main() -> int:
    """0 when everything was measured, reached or not; a missed target is said in its row."""
    signal.signal(signal.SIGTERM, interrupted)
    asked = parser().parse_args()
    if absent := [program for program in NEEDED if not shutil.which(program)]:
        print(f"bench: the script needs {', '.join(absent)}: apt-get install openssh-client zstd", file=sys.stderr)
        return 2
    say(machine())
    try:
        if asked.only in {"", "catalogue"}:
            show_catalogue()
        if asked.only == "catalogue":
            return 0
        for shape in shapes(asked):
            say(f"\nbench: {shape}; load average {load_average()}")
            show(measure(shape, asked.only, asked.times, say))
    except (LabError, StoryError, NoAnswerError, DockerException) as error:
        print(f"bench: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m deploy.bench", description="Figures, beside a shell script.")
    top.add_argument("--mib", type=int, nargs="+", help="sizes; all that BENCHMARKS.md states when left out")
    top.add_argument("--control-plane", nargs="?", const="systemd", choices=KINDS, help="units if not said which")
    top.add_argument("--times", type=int, default=1, help="rounds; the median of each figure is shown")
    top.add_argument("--only", choices=ONLY, default="")
    return top


def shapes(asked: argparse.Namespace) -> tuple[Shape, ...]:
    """One lab each; SSH needs no data."""
    if asked.only == "ssh":
        return (Shape(100),)
    if asked.only == "memory":
        return tuple(Shape(mib, members=1) for mib in asked.mib) if asked.mib else SIZES
    if asked.mib or asked.control_plane:
        return tuple(Shape(mib, asked.control_plane or "none") for mib in asked.mib or (700,))
    return ALL


def show(figures: Figures) -> None:
    lines = [row.cells for row in rows(figures)]
    say(f"\n{figures.shape} (load average afterwards {load_average()})\n\n{table([HEAD, *lines])}")


def show_catalogue() -> None:
    """No cluster is needed for it, only a store."""
    lines = [row.cells for row in catalogue.measured(say)]
    say(f"\nten thousand backups (load average afterwards {load_average()})\n\n{table([HEAD, *lines])}")


def machine() -> str:
    total = next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    return (
        f"bench: {datetime.now(UTC):%Y-%m-%d %H:%M}Z, {os.cpu_count()} cores, {int(total) / 1024**2:.0f} GiB, "
        f"Linux {platform.release()}, load average {load_average()}"
    )


def load_average() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def interrupted(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
