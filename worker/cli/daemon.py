"""`quorate up` and `quorate down`: the process that carries operations out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.errors import BadInput, NoDaemon, QuorateError, StillRunning, kinds
from worker.cli.options import As, Output, contract, given, say, say_json

if TYPE_CHECKING:
    from worker.settings import Settings

START_S = 60.0
STOP_S = 60.0
TAIL_LINES = 12

Detach = Annotated[bool, typer.Option("--detach", "-d", help="In the background; its log is STATE_DIR/daemon.log.")]


def up(ctx: typer.Context, *, detach: Detach = False, output: As = Output.TABLE) -> int:
    """Carry operations out, in the foreground until Ctrl-C."""
    from worker import presence

    here = given(ctx)
    settings = here.settings()
    if not detach:
        from worker import daemon  # all that it works with: loaded by nobody else

        daemon.run(settings)
        return 0
    with contract(here, output, {"daemon": None, "log": str(log_of(settings))}):
        if presence.ready(settings):
            return told(settings, output, "runs already")
        started(settings)
    return told(settings, output, "is up")


def down(ctx: typer.Context, output: As = Output.TABLE) -> int:
    """Stop the daemon; operations that run stay where they are and go on when it is up again."""
    from worker import presence

    here = given(ctx)
    settings = here.settings()
    with contract(here, output, {"daemon": None}):
        if not presence.running(settings):
            return told(settings, output, "was not running")
        stopped(settings)
    return told(settings, output, "is down")


def started(settings: "Settings") -> None:
    """In a session of its own; NoDaemon quotes the end of its log if it does not come up."""
    from worker import presence

    try:
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = log_of(settings).open("ab")
    except OSError as error:
        raise BadInput(f"{settings.state}: {error.strerror}", next="set state_dir to a directory of yours") from error
    with log:
        before = log.tell()
        own = [sys.executable, "-P", "-m", "worker"]  # -P: not whatever lies in the current directory
        child = subprocess.Popen(
            [*own, "--config", str(settings.path), "up", "-o", "json"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_S
    while not presence.ready(settings):
        if child.poll() is not None:
            raise its_own(child.returncode, log_of(settings).read_bytes()[before:].decode(errors="replace"), settings)
        if time.monotonic() > deadline:
            raise StillRunning(
                f"the daemon (pid {child.pid}) is not ready after {START_S:.0f} s:\n{tail(log_of(settings))}",
                next=f"tail {log_of(settings)}",
            )
        time.sleep(0.1)


def its_own(code: int, said: str, settings: "Settings") -> QuorateError:
    """The error that the daemon ended with, which is the last thing in its log; else the end of the log."""
    by_name = {kind.kind: kind for kind in kinds()}
    try:
        error = json.loads(said[f"\n{said}".rindex("\n{\n") :])["error"]
        return by_name[error["kind"]](f"the daemon did not start: {error['message']}", next=error["next"])
    except (ValueError, KeyError):
        return NoDaemon(f"the daemon ended with {code}:\n{tail(log_of(settings))}", next=again(settings))


def stopped(settings: "Settings") -> None:
    """By the pid that it wrote while holding the lock; waits until the lock is free."""
    from worker import presence

    pid = presence.read(settings.state / "daemon.json").get("pid")
    if not isinstance(pid, int):
        raise StillRunning("a daemon is just starting; try again", next=f"quorate --config {settings.path} down")
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise BadInput(f"the daemon (pid {pid}) belongs to somebody else", next=f"sudo kill {pid}") from error
    deadline = time.monotonic() + STOP_S
    while presence.running(settings):
        if time.monotonic() > deadline:
            raise StillRunning(f"the daemon (pid {pid}) has not ended after {STOP_S:.0f} s", next=f"kill -9 {pid}")
        time.sleep(0.05)


def told(settings: "Settings", output: Output, said: str) -> int:
    from worker import presence

    record = presence.read(settings.state / "daemon.json")
    if output is Output.JSON:
        say_json(
            {"daemon": said, "pid": record.get("pid"), "state_dir": str(settings.state), "log": str(log_of(settings))}
        )
    else:
        pid = f" (pid {record['pid']})" if record.get("pid") else ""
        say(f"the daemon {said}{pid}; state {settings.state}, log {log_of(settings).name}")
    return 0


def log_of(settings: "Settings") -> Path:
    return settings.state / "daemon.log"


def again(settings: "Settings") -> str:
    """In the foreground one sees why."""
    return f"quorate --config {settings.path} up"


def tail(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    return "\n".join(f"  {line}" for line in lines)
