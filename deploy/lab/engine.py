"""The Docker engine: the one that answers, else one that is started here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import docker
from docker.errors import DockerException

from deploy.lab.cache import cache, held
from deploy.lab.errors import LabError
from deploy.lab.process import detach, last_line, run, runs, wait

if TYPE_CHECKING:
    from docker import DockerClient

    from deploy.lab.process import Say

PACKAGES = ("docker.io", "debootstrap", "iptables")
PID_FILE = Path("/var/run/docker.pid")
CONTAINERD_PID_FILE = Path("/var/run/docker/containerd/containerd.pid")
START_S = 60


def connect(say: Say) -> DockerClient:
    """A client of an engine that answers; starts one when none does, and says so."""
    with held("engine"):
        if client := answering():
            return client
        if os.geteuid():
            raise LabError("no Docker engine answers; start one (Debian: apt install docker.io), or run this as root")
        install_missing(say)
        start(say)
    if client := answering():
        return client
    raise LabError("the Docker engine stopped right after its start; see " + str(log()))


def answering() -> DockerClient | None:
    """A client, or None when no engine answers."""
    try:
        client = docker.from_env(timeout=120)
        client.ping()
    except DockerException:
        return None
    return client


def installed() -> bool:
    """Whether there can be anything to remove: nobody needs an engine for that on a machine that had none."""
    return answering() is not None or bool(shutil.which("dockerd"))


def install_missing(say: Say) -> None:
    """Debian's packages, only when the programs are not there."""
    if all(shutil.which(program) for program in ("dockerd", "iptables")):
        return
    apt_install(PACKAGES, say)


def apt_install(packages: tuple[str, ...], say: Say) -> None:
    """Installing on somebody's machine is said out loud."""
    if not shutil.which("apt-get"):
        raise LabError(f"install {', '.join(packages)} with this machine's package manager, then try again")
    if os.geteuid():
        raise LabError(f"{', '.join(packages)} are missing: run `apt-get install {' '.join(packages)}` as root")
    say(f"lab: installing {', '.join(packages)} on this machine with apt-get (about 30 s)")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    apt_log = cache() / "logs" / "apt.log"
    run(["apt-get", "update"], apt_log, say, env=quiet)
    run(["apt-get", "install", "-y", "--no-install-recommends", *packages], apt_log, say, env=quiet)


def start(say: Say) -> None:
    """Through systemd where it is process 1, else dockerd in a session of its own."""
    say("lab: starting the Docker engine on this machine (a few seconds); it stays up after the lab")
    if Path("/run/systemd/system").is_dir():
        run(["systemctl", "start", "docker"], log(), say)
    elif not starting():
        for left, program in ((PID_FILE, "dockerd"), (CONTAINERD_PID_FILE, "containerd")):
            if not alive(left, program):  # of an engine that was killed: a new one would refuse, or wait for it
                left.unlink(missing_ok=True)
        detach(["dockerd"], log())
    if not wait(lambda: answering() is not None, START_S):
        raise LabError(f"the Docker engine did not answer within {START_S} s: {last_line(log())}; see {log()}")


def starting() -> bool:
    """Whether the engine of the pid file still lives, only too busy to answer."""
    return alive(PID_FILE, "dockerd")


def alive(pid_file: Path, program: str) -> bool:
    try:
        return runs(int(pid_file.read_text()), program)
    except (OSError, ValueError):
        return False


def log() -> Path:
    return cache() / "logs" / "dockerd.log"
