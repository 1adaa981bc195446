"""The Temporal server that `quorate up` brings along: found, started, adopted, kept alive, stopped."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from quorate.errors import NoDaemon, Unreachable
from worker.settings import Settings

CACHE = Path("~/.cache/quorate/bin/temporal")
START_S = 30.0
STOP_S = 10.0
ATTRIBUTES = ("QuorateCluster", "QuorateKind", "QuorateOperation")  # all of type Keyword


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: `started` is the kernel's start time of the process, so a reused pid is not taken for it."""

    pid: int
    started: str
    port: int
    version: str

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return bool(self.started) and start_time(self.pid) == self.started

    @property
    def healthy(self) -> bool:
        return self.alive and listens(self.port)


def find_binary(settings: Settings) -> Path:
    """From the settings, PATH or the cache, in this order."""
    named = settings.inventory.temporal.binary
    found = named or shutil.which("temporal") or str(CACHE.expanduser())
    if os.access(found, os.X_OK):
        return Path(found)
    raise NoDaemon(
        f"no `temporal` binary: not at {found}" + ("" if named else ", not in PATH"),
        next="go install github.com/temporalio/cli/cmd/temporal@v1.5.1  # then put it in PATH, or name it in "
        f"temporal.binary of {settings.path}; or give temporal.address of a server that runs",
    )


def known(state: Path) -> Server | None:
    """The server that was started last on this state directory, whether or not it still lives."""
    try:
        record = json.loads((state / "temporal.json").read_text())
        return Server(record["pid"], record["started"], record["port"], record["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ensure(settings: Settings) -> Server:
    """Adopt a healthy server; stop any other first, for a second one would open the same file without complaint."""
    before = known(settings.state)
    if before and before.healthy:
        return before
    if before:
        stop(before)
    return start(settings, before.port if before else 0)


def start(settings: Settings, port: int) -> Server:
    """On the port it had before, if that is free, so that whoever waits finds it again."""
    binary = find_binary(settings)
    version = version_of(binary)
    port = port if port and not listens(port) else free_port()
    log = (settings.state / "temporal.log").open("ab")
    process = subprocess.Popen(
        command(binary, settings.state / f"temporal-{version}.db", port, settings.inventory.temporal.namespace),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=surroundings(settings.state),
        start_new_session=True,  # a Ctrl-C is for the daemon, which then stops it in order
    )
    server = Server(process.pid, start_time(process.pid), port, version)
    record = {**asdict(server), "address": server.address, "namespace": settings.inventory.temporal.namespace}
    replace(settings.state / "temporal.json", json.dumps(record))
    deadline = time.monotonic() + START_S
    while not listens(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Unreachable(f"the Temporal server did not start: {last_line(log.name)}", next=f"tail {log.name}")
        time.sleep(0.05)
    return server


def surroundings(state: Path) -> dict[str, str]:
    """Nothing that somebody has set up for the `temporal` of theirs: it may be unreadable, or mean another server."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    return {**ours, "HOME": str(state), "XDG_CONFIG_HOME": str(state)}


def last_line(path: str) -> str:
    lines = Path(path).read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else f"it wrote nothing to {path}"


def command(binary: Path, database: Path, port: int, namespace: str) -> list[str]:
    attributes = [word for each in ATTRIBUTES for word in ("--search-attribute", f"{each}=Keyword")]
    return [
        str(binary), "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port),
        "--namespace", namespace, "--db-filename", str(database), "--log-level", "warn", *attributes,
        "--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=full",
    ]  # fmt: skip


def stop(server: Server) -> None:
    """By its own pid, and only if it is still that process."""
    for how, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
        if not server.alive:
            return
        os.kill(server.pid, how)
        deadline = time.monotonic() + patience_s
        while server.alive and time.monotonic() < deadline:
            reap(server.pid)
            time.sleep(0.02)


def reap(pid: int) -> None:
    """A child of ours that ended stays a zombie, which looks alive, until it is waited for."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def start_time(pid: int) -> str:
    """Field 22 of /proc/PID/stat; "" for no process and for a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def version_of(binary: Path) -> str:
    """`1.5.1` of `temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)`."""
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    words = said.split()
    return words[2] if len(words) > 2 else "unknown"


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def replace(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text)
    part.rename(path)
