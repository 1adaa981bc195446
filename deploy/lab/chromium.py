"""Chromium, from Debian's packages: unpacked into the cache, not installed; a test looks at reports with it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.lab.cache import cache, held
from deploy.lab.errors import LabError
from deploy.lab.prometheus import fetched

if TYPE_CHECKING:
    from deploy.lab.process import Say

PACKAGES = ("chromium", "fonts-dejavu-core", "poppler-utils")
BROWSER = "usr/lib/chromium/chromium"
PATIENCE_S = 120


@dataclass(frozen=True, slots=True)
class Chromium:
    """Where all of it lies; its libraries are found beside it, or where the machine has its own."""

    root: Path

    def run(self, *argv: str, profile: Path) -> subprocess.CompletedProcess[str]:
        """Headless, without a network of its own to talk to; what the console says is on standard error."""
        words = [
            str(self.root / BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
            *argv,
        ]
        return subprocess.run(
            words, capture_output=True, text=True, check=False, env=self.environment(), timeout=PATIENCE_S
        )

    def program(self, name: str, *argv: str) -> str:
        """One of poppler's, which read what was printed."""
        words = [str(self.root / "usr" / "bin" / name), *argv]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=self.environment())
        if done.returncode:
            raise LabError(f"`{' '.join(words)}` exited {done.returncode}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def environment(self) -> dict[str, str]:
        libraries = sorted({str(path.parent) for path in self.root.glob("usr/lib/**/*.so*")})
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}


def folder() -> Path:
    return cache() / "chromium"


def make_chromium(say: Say) -> Chromium:
    """Fetched unless the cache has it; LabError says what is missing."""
    with held("build-chromium"):
        if not (folder() / BROWSER).is_file():
            say("lab: unpacking Debian's package chromium and what it needs (usually 40 s)")
            unpack()
    return Chromium(folder())


def unpack() -> None:
    work = cache() / "work" / "chromium"
    shutil.rmtree(work, ignore_errors=True)
    (work / "unpacked").mkdir(parents=True)
    fetched(("apt-get", "-qq", "update"), work)
    fetched(("apt-get", "-qq", "download", *wanted()), work)
    for package in sorted(work.glob("*.deb")):
        fetched(("dpkg-deb", "-x", str(package), str(work / "unpacked")), work)
    shutil.rmtree(folder(), ignore_errors=True)
    (work / "unpacked").rename(folder())
    shutil.rmtree(work)


def wanted() -> tuple[str, ...]:
    """The packages themselves, and whatever of what they need this machine has not installed."""
    argv = ["apt-get", "install", "--simulate", "--no-install-recommends", *PACKAGES]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LabError("Chromium comes from Debian's packages, and there is no apt-get here") from error
    if done.returncode:
        raise LabError(f"`{' '.join(argv)}` exited {done.returncode}: {done.stderr.strip()[-300:]}")
    return tuple(dict.fromkeys((*PACKAGES, *re.findall(r"^Inst (\S+)", done.stdout, re.MULTILINE))))
