"""Programs the lab runs on the host: to their end with progress, or detached and ended by pid."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.lab.errors import LabError

Say = Callable[[str], None]

TICK_S = 15
GRACE_S = 5


def run(
    argv: Sequence[str], log: Path, say: Say, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Run to the end, output to `log`, a line of progress every quarter minute."""
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("ab") as sink:
        child = subprocess.Popen(
            argv, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        )
        while (code := ended(child)) is None:
            say(f"  ... {time.monotonic() - began:.0f} s, {last_line(log)}")
    if code:
        raise LabError(f"`{' '.join(argv[:3])} ...` ended with {code}; its last words: {last_line(log)}. See {log}")


def ended(child: subprocess.Popen[bytes]) -> int | None:
    """The exit code, or None after one tick."""
    try:
        return child.wait(TICK_S)
    except subprocess.TimeoutExpired:
        return None


def last_line(log: Path) -> str:
    """The last line a program wrote, short enough for a terminal."""
    lines = log.read_bytes()[-4096:].decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:160] if lines else "nothing written yet"


def detach(argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> int:
    """Start in a session of its own, so that it outlives us; returns its pid."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        return subprocess.Popen(
            argv,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        ).pid


def runs(pid: int, program: str) -> bool:
    """Whether this pid is still that program: pids are used again."""
    try:
        name = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return Path(name).name == program and state != "Z"


def end(pid: int, program: str) -> None:
    """SIGTERM, then SIGKILL after a grace; only if the pid is still that program."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        if not runs(pid, program):
            return
        os.kill(pid, sent)
        wait(lambda: not runs(pid, program), GRACE_S)


def wait(done: Callable[[], bool], deadline_s: float, poll_s: float = 0.1) -> bool:
    """Look until it is so or the deadline has passed."""
    limit = time.monotonic() + deadline_s
    while not done():
        if time.monotonic() > limit:
            return False
        time.sleep(poll_s)
    return True
