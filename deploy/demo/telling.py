"""How the story is told: chapters, facts, checks."""

from __future__ import annotations

import sys
import textwrap
import time
from dataclasses import dataclass, field

WIDTH = 100


class StoryError(Exception):
    """The story cannot go on, or a check found something else than it expected."""


@dataclass(slots=True)
class Teller:
    """Counts chapters and checks, and keeps the time."""

    began: float = field(default_factory=time.monotonic)
    chapters: int = 0
    checks: int = 0

    def chapter(self, title: str, why: str) -> None:
        self.chapters += 1
        heading = f"{self.chapters}. {title}"
        print(f"\n{bold(heading)}  [{time.monotonic() - self.began:.0f} s]\n{wrapped(why)}", flush=True)

    def fact(self, text: str) -> None:
        print("\n".join(f"  {line}" for line in text.splitlines()), flush=True)

    def check(self, what: str, expected: object, found: object) -> None:
        """Equal, or the story ends here."""
        if expected != found:
            raise StoryError(f"{what}: expected {expected}, found {found}")
        self.holds(what, found)

    def above(self, what: str, floor: int, found: int) -> None:
        """More than before, or the story ends here."""
        if found <= floor:
            raise StoryError(f"{what}: expected more than {floor}, found {found}")
        self.holds(what, f"{found} > {floor}")

    def holds(self, what: str, found: object) -> None:
        self.checks += 1
        print(f"  {green('ok')}  {what}: {found}", flush=True)


def wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ")


def bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if sys.stdout.isatty() else text


def green(text: str) -> str:
    return f"\x1b[32m{text}\x1b[0m" if sys.stdout.isatty() else text
