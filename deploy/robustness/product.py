"""Quorate as its users run it; whatever it answers is an answer, none is an error here."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.lab.errors import LabError
from deploy.lab.lab import down, load_lab
from deploy.lab.process import wait
from deploy.robustness.readings import Said, Told

if TYPE_CHECKING:
    from deploy.lab.lab import Lab

PROGRAM = Path(sys.executable).with_name("quorate")
WHY = ("--override-gate", "quorum-healthy", "--reason", "robustness")
VERB = re.compile(r"quorate (?:--config \S+ )?([a-z]+) ")
COMMAND_S = 300
UP_S = 60


@dataclass(frozen=True, slots=True)
class Product:
    """The command line with the inventory of one lab."""

    lab: Lab

    @property
    def state(self) -> Path:
        return self.lab.folder / "state"

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [str(PROGRAM), "--config", self.lab.config, *words]
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=COMMAND_S, check=False, stdin=subprocess.DEVNULL
        )

    def json(self, *words: str) -> dict[str, Any]:
        return parsed(self.run(*words, "-o", "json").stdout)

    def up(self) -> None:
        """A daemon that was just killed may need a second try."""
        if not wait(lambda: self.run("up", "--detach").returncode == 0, UP_S, 0.5):
            raise LabError(f"`quorate up --detach` does not succeed; see {self.state / 'daemon.log'}")

    def down(self) -> None:
        self.run("down")

    def backup(self) -> int:
        """The revision that it holds."""
        said = self.json("backup", self.lab.name)
        if said.get("outcome") not in ("verified", "degraded"):
            raise LabError(f"no backup, so nothing to restore: {said.get('error') or said}")
        return int(said["revision"])

    def begin_restore(self, *more: str) -> subprocess.Popen[str]:
        return self._begin("restore", self.lab.name, "--confirm", self.lab.name, *WHY, *more)

    def begin_drill(self, scenario: str) -> subprocess.Popen[str]:
        return self._begin("drill", "start", scenario, self.lab.name, "--confirm", self.lab.name)

    def _begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(PROGRAM), "--config", self.lab.config, *words, "-o", "json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def kill(self, name: str) -> None:
        """SIGKILL; it may have died a moment before."""
        pid = json.loads((self.state / f"{name}.json").read_text()).get("pid")
        if pid:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                return

    def lose(self) -> None:
        """Both processes die and their state is gone; the inventory, its keys and the store are elsewhere."""
        for name in ("daemon", "temporal"):
            self.kill(name)
        lost = self.state.rename(self.state.with_name("state.lost"))
        shutil.rmtree(lost, ignore_errors=True)

    def recorded(self, operation: str) -> str:
        """The outcome that is on record, none while it is open or where it was never begun."""
        shown = self.json("operations", "show", operation) if operation else {}
        return str((shown.get("outcome") or {}).get("outcome", ""))

    def operations(self, kind: str = "restore") -> set[str]:
        return {path.name for path in (self.state / "operations").glob(f"{kind}-*")}


def ended(name: str) -> None:
    """The lab of that name, and Quorate on it."""
    with suppress(LabError):
        Product(load_lab(name)).down()
    down(name)


def parsed(text: str) -> dict[str, Any]:
    """Nothing where it is no object."""
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def told(said: dict[str, Any]) -> Told:
    """What a command printed for scripts, as far as the checker asks."""
    steps = tuple(Said(each["id"], each["host"], each["state"]) for each in said.get("steps") or ())
    error = said.get("error") or {}
    return Told(
        outcome=said.get("outcome") or "",
        steps=steps,
        where=tuple(said.get("where") or ()),
        offered=tuple(VERB.findall(str(error.get("next", "")))),
        error=str(error.get("message", "")),
        findings=tuple(said.get("findings") or ()),
    )


def heard(waiting: subprocess.Popen[str], seconds: float) -> str | None:
    """What it printed, or None while it still waits."""
    try:
        return waiting.communicate(timeout=max(0.0, seconds))[0]
    except subprocess.TimeoutExpired:
        return None


def finished(waiting: subprocess.Popen[str], seconds: float) -> str:
    """What it printed in the end; nothing where it has to be given up."""
    text = heard(waiting, seconds)
    if text is None:
        waiting.kill()
        waiting.communicate()
    return text or ""
