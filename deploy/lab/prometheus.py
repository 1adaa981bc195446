"""Prometheus and promtool, from Debian's package: unpacked into the cache, not installed."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from deploy.lab.cache import cache, held
from deploy.lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.lab.process import Say

PACKAGE = "prometheus"
PROGRAMS = ("prometheus", "promtool")


def folder() -> Path:
    return cache() / PACKAGE


def made() -> bool:
    return all((folder() / program).is_file() for program in PROGRAMS)


def make_prometheus(say: Say) -> Path:
    """The folder of both, fetched unless the cache has them; LabError says what is missing."""
    with held(f"build-{PACKAGE}"):
        if not made():
            say("lab: unpacking Debian's package prometheus (usually 10 s)")
            unpack()
    return folder()


def unpack() -> None:
    work = cache() / "work" / PACKAGE
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for argv in (("apt-get", "-qq", "update"), ("apt-get", "-qq", "download", PACKAGE)):
        fetched(argv, work)
    for package in work.glob("*.deb"):
        fetched(("dpkg-deb", "-x", str(package), str(work / "unpacked")), work)
    folder().mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        (work / "unpacked" / "usr" / "bin" / program).replace(folder() / program)
    shutil.rmtree(work)


def fetched(argv: tuple[str, ...], folder: Path) -> None:
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LabError(f"Prometheus comes from Debian's packages, and there is no {argv[0]} here") from error
    if done.returncode:
        raise LabError(f"`{' '.join(argv)}` exited {done.returncode}: {done.stderr.strip()[-300:]}")
