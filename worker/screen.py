"""What people read: aligned tables, the step tree, figures in words. Values in, text out."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quorate.operation import Progress, StepDone

ANSI = re.compile(r"\x1b\[[0-9;]*m")
COLOURS = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "bold": 1, "dim": 2}
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
COUNTED = re.compile(r"^(\d+) (bytes|MiB) ")


@dataclass(frozen=True, slots=True)
class Paint:
    """Colours where they are wanted; a word always says the same, so nothing is lost without them."""

    on: bool = False

    def __call__(self, text: str, colour: str) -> str:
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self.on and text else text

    def state(self, word: str) -> str:
        good, bad = (
            {"OK", "ok", "active", "done", "verified", "restored", "thawed", "tidied", "laid"},
            {"FAIL", "failed", "held", "silent"},
        )
        colour = "green" if word in good else "red" if word in bad else "cyan" if word == "NOTE" else "yellow"
        return self(word, colour)


def table(rows: Iterable[Sequence[str]], indent: str = "") -> str:
    """The first row is the heading; columns are as wide as they need to be."""
    all_of = [list(row) for row in rows]
    widths = [max(width(row[n]) for row in all_of) for n in range(len(all_of[0]))] if all_of else []
    return "\n".join(
        (
            indent + "  ".join(cell + " " * (size - width(cell)) for cell, size in zip(row, widths, strict=True))
        ).rstrip()
        for row in all_of
    )


def width(cell: str) -> int:
    return len(ANSI.sub("", cell)) if "\x1b" in cell else len(cell)


def wrapped(text: str, columns: int, into: str = "   ") -> str:
    """Further lines begin with `into`; 0 columns are as many as it takes."""
    if not columns or width(text) <= columns:
        return text
    lines = [""]
    indent = text[: len(text) - len(text.lstrip())]
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines[-1].strip() else f"{indent if len(lines) == 1 else into}{word}"
        if width(longer) > columns and lines[-1].strip():
            lines.append(f"{into}{word}")
        else:
            lines[-1] = longer
    return "\n".join(lines)


def size(count: float) -> str:
    """`1.2 GiB`."""
    unit = 0
    while count >= 1024 and unit < len(UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} {UNITS[unit]}" if unit == 0 or count >= 100 else f"{count:.1f} {UNITS[unit]}"


def span(seconds: float) -> str:
    """`0.3 s`, `42 s`, `5 min`, `3 h 5 min`, `2 d 4 h`."""
    whole = int(seconds)
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole < 600 and whole % 60 else "")
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def brief(seconds: float) -> str:
    """`0.8 ms`, `12 ms`, `1.3 s`: how long a disk takes."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{1000 * seconds:.1f} ms" if seconds < 0.01 else f"{1000 * seconds:.0f} ms"


def clock(seconds: float) -> str:
    """`00:14`, as on a stop watch."""
    whole = max(0, int(seconds))
    return f"{whole // 60:02}:{whole % 60:02}"


@dataclass(frozen=True, slots=True)
class Doing:
    """What one place was heard to do last; `rate` is bytes a second, where it counts bytes."""

    host: str
    text: str
    attempt: int
    silent_s: float
    rate: float = 0.0
    failure: str = ""

    def __str__(self) -> str:
        counted = counted_bytes(self.text)
        parts = [
            self.text if counted is None else f"{size(counted)} {self.text.split(' ', 2)[2]}",
            f"{size(self.rate)}/s" if self.rate else "",
            f"attempt {self.attempt}" if self.attempt > 1 else "",
            f"no news for {span(self.silent_s)}" if self.silent_s > 3 else "",
            f"before: {self.failure}" if self.failure else "",
        ]
        return " · ".join(part for part in parts if part)


def counted_bytes(text: str) -> int | None:
    """Of `12 MiB stored` or `12582912 bytes sent`; None where a heartbeat counts nothing."""
    found = COUNTED.match(text)
    return int(found[1]) << (20 if found[2] == "MiB" else 0) if found else None


@dataclass(frozen=True, slots=True)
class View:
    """One moment of an operation, as it is shown."""

    heading: str
    progress: Progress
    doing: tuple[Doing, ...] = ()
    expected: dict[str, float] | None = None
    note: str = ""
    elapsed_s: float = 0.0
    now: float = 0.0


MARKS = {"done": "✓", "running": "▸", "failed": "✗", "skipped": "-", "pending": "·"}


def tree(view: View, paint: Paint) -> str:
    """Every step, the hosts it is at, how long it takes; below a running one what each host does."""
    progress = view.progress
    keys = list(dict.fromkeys((*progress.titles, *(step.id for step in progress.steps))))
    lines = [f"{paint(view.heading, 'bold')}  {progress.phase}  {clock(view.elapsed_s)}"]
    for number, key in enumerate(keys, 1):
        lines += branch(view, paint, number, key)
    if not keys:
        lines.append(f"  ▸ {progress.title}")
    if view.note:
        lines.append(paint(view.note, "yellow"))
    return "\n".join(lines)


def branch(view: View, paint: Paint, number: int, key: str) -> list[str]:
    here = [step for step in view.progress.steps if step.id == key]
    state = together(here)
    colour = {"done": "green", "running": "cyan", "failed": "red", "skipped": "yellow", "pending": "dim"}[state]
    text = f"  {MARKS[state]} {number:>2} {title(view.progress, key):<52} {time_of(view, here, key):<22}"
    lines = [paint(text.rstrip(), colour)]
    if state == "running":
        heard = {each.host: each for each in view.doing}
        places = [step.host for step in here if step.state != "done"]
        lines += [f"       {place}  {str(heard.get(place, '')) or 'at it'}" for place in places]
    return lines


def together(steps: Sequence[StepDone]) -> str:
    states = {step.state for step in steps}
    return next((state for state in ("failed", "running", "skipped", "done") if state in states), "pending")


def title(progress: Progress, key: str) -> str:
    if key.startswith("undo-"):
        return f"Undo: {progress.titles.get(key.removeprefix('undo-'), key)}"
    return progress.titles.get(key, progress.title)


def time_of(view: View, steps: Sequence[StepDone], key: str) -> str:
    """What it took, or takes so far and is expected to take."""
    expected = (view.expected or {}).get(key)
    usual = f" (expected {span(expected)})" if expected else ""
    if not steps:
        return usual.strip(" ()")
    if any(step.state == "running" for step in steps):
        began = min(step.started or view.now for step in steps)
        return f"{clock(view.now - began)}{usual}"
    return span(max(step.duration_s or 0 for step in steps))
