"""The command line, as a user would call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.demo.telling import StoryError

if TYPE_CHECKING:
    from deploy.lab.lab import Lab

PROGRAM = Path(sys.executable).with_name("quorate")
FINDINGS = 3  # `quorate inspect` found something; it worked


@dataclass(frozen=True, slots=True)
class Quorate:
    """`quorate`, with the inventory of one lab."""

    lab: Lab

    def shown(self, *words: str, fine: tuple[int, ...] = (0,)) -> None:
        """Run where the reader sees it, as it would be typed."""
        print(f"\n  $ quorate {' '.join(words)}", flush=True)
        self._fine(subprocess.run([PROGRAM, *words], env=self._env(), check=False).returncode, words, fine)

    def read(self, *words: str, fine: tuple[int, ...] = (0,)) -> dict[str, Any]:
        """The object that it prints for scripts."""
        ran = subprocess.run(
            [PROGRAM, *words, "--output", "json"], env=self._env(), check=False, capture_output=True, text=True
        )
        self._fine(ran.returncode, words, fine, ran.stderr + ran.stdout)
        found = json.loads(ran.stdout)
        assert isinstance(found, dict)
        return found

    def down(self) -> None:
        subprocess.run([PROGRAM, "down"], env=self._env(), check=False, capture_output=True)

    def _env(self) -> dict[str, str]:
        return {**os.environ, "QUORATE_CONFIG": self.lab.config}

    def _fine(self, code: int, words: tuple[str, ...], fine: tuple[int, ...], said: str = "") -> None:
        if code not in fine:
            raise StoryError(
                f"`quorate {' '.join(words)}` ended with {code}, expected {fine[0]} {said[-1500:]}".strip()
            )
