"""Who works on a state directory: the daemon's lock and what it says of itself.

Apart from the daemon, so that a command which only asks need not load what a daemon works with.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from quorate.errors import Busy
from worker import embedded
from worker.settings import Settings


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """The kernel lets go of the lock when we die, however we die; children do not inherit it."""
    with (settings.state / "daemon.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            first = present(settings)
            raise Busy(
                f"a daemon runs on {settings.state} already: {first}",
                next=f"quorate --config {settings.path} down",
            ) from None
        record = {
            "pid": os.getpid(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "config": str(settings.path),
            "ready": False,
        }
        embedded.replace(settings.state / "daemon.json", json.dumps(record))
        try:
            yield
        finally:
            (settings.state / "daemon.json").unlink(missing_ok=True)


def present(settings: Settings) -> str:
    """The daemon of this state directory in words."""
    record = read(settings.state / "daemon.json")
    if not record:
        return "it is just starting"
    return f"pid {record.get('pid')}, since {record.get('started')}, with {record.get('config')}"


def ready(settings: Settings) -> bool:
    """Whether the daemon that holds the lock polls for work."""
    return bool(read(settings.state / "daemon.json").get("ready")) and running(settings)


def running(settings: Settings) -> bool:
    try:
        with (settings.state / "daemon.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def read(path: Path) -> dict[str, object]:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def tell_ready(settings: Settings) -> None:
    tell(settings, ready=True)


def tell(settings: Settings, **more: object) -> None:
    record = {**read(settings.state / "daemon.json"), **more}
    embedded.replace(settings.state / "daemon.json", json.dumps(record))
