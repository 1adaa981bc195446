"""What can be done to a restore: each fault strikes once and is healed."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from docker.errors import APIError

from deploy.lab.lab import node_exec, wreck
from deploy.lab.wreck import container
from deploy.robustness.moments import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.lab.lab import Lab, Node
    from deploy.robustness.product import Product

ROOM = 4 * 1024**2  # etcd itself must be able to go on
FILL = f"fallocate -l $(($(df --output=avail -B1 /var/lib/etcd | tail -1) - {ROOM})) /var/lib/etcd/.robustness-fill"
CUT_SSH = """
table inet lab_ssh {
    chain input { type filter hook input priority -300; tcp dport 22 drop; }
    chain output { type filter hook output priority -300; tcp sport 22 drop; }
}
"""
SESSIONS = """
main=$(systemctl show -p MainPID --value ssh.service)
for p in $(pidof sshd); do [ $p = $main ] || kill -{} $p; done
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where it strikes."""

    lab: Lab
    product: Product
    node: Node

    def do(self, script: str) -> None:
        """Healing what has healed by itself is no error."""
        node_exec(self.lab, self.node, ["sh", "-c", script])


@dataclass(frozen=True, slots=True)
class Fault:
    """Injected at a moment, healed some seconds later or when the command has ended."""

    name: str
    what: str
    inject: Callable[[Place], None]
    heal: Callable[[Place], None]
    lasts_s: tuple[float, float] = (0.0, 0.0)
    steps: tuple[str, ...] = STEPS
    bounded: bool = False  # needs a data filesystem that can be filled
    way: str = ""  # how a person goes on with an operation that has to be adopted


def nothing(_: Place) -> None:
    """For a fault that is over at once."""


def killed(*names: str) -> Callable[[Place], None]:
    def inject(place: Place) -> None:
        for name in names:
            place.product.kill(name)

    return inject


def up_again(place: Place) -> None:
    place.product.up()


def lost(place: Place) -> None:
    place.product.lose()


def reboot(place: Place) -> None:
    wreck(place.lab, "reboot", place.node.name)


def power_off(place: Place) -> None:
    wreck(place.lab, "stop-node", place.node.name)


def power_on(place: Place) -> None:
    wreck(place.lab, "start-node", place.node.name)


def freeze(place: Place) -> None:
    container(place.lab, place.node).pause()


def thaw(place: Place) -> None:
    try:
        container(place.lab, place.node).unpause()
    except APIError as error:
        if "is not paused" not in str(error):
            raise


def cut(place: Place) -> None:
    wreck(place.lab, "cut", place.node.name)


def join(place: Place) -> None:
    place.do("nft delete table inet lab_cut")


def cut_ssh(place: Place) -> None:
    place.do(f"echo '{CUT_SSH}' | nft -f -")


def join_ssh(place: Place) -> None:
    place.do("nft delete table inet lab_ssh")


def sessions(name: str) -> Callable[[Place], None]:
    def send(place: Place) -> None:
        place.do(SESSIONS.format(name))

    return send


def store(sent: signal.Signals) -> Callable[[Place], None]:
    def send(place: Place) -> None:
        os.kill(int((place.lab.folder / "s3" / "pid").read_text()), sent)

    return send


def without_etcd(place: Place) -> None:
    place.do("mv /usr/local/bin/etcd /usr/local/bin/etcd.away")


def with_etcd(place: Place) -> None:
    place.do("mv /usr/local/bin/etcd.away /usr/local/bin/etcd")


def fill(place: Place) -> None:
    place.do(FILL)


def empty(place: Place) -> None:
    place.do("rm -f /var/lib/etcd/.robustness-fill")


def etcd(sent: str) -> Callable[[Place], None]:
    def send(place: Place) -> None:
        place.do(f"kill -{sent} $(pidof etcd)")

    return send


BRIEF, LONG, TO_THE_END = (1.0, 4.0), (1.0, 15.0), (200.0, 200.0)
STOPPED = ("fence", "swap")
ALL = (
    Fault("none", "no fault", nothing, nothing),
    Fault("kill-daemon", "SIGKILL of the daemon, started again", killed("daemon"), up_again),
    Fault("kill-temporal", "SIGKILL of the embedded Temporal server", killed("temporal"), up_again),
    Fault("kill-both", "SIGKILL of both, the daemon started again", killed("temporal", "daemon"), up_again),
    Fault(
        "lose-state", "both are killed and their state is gone; adopted, then `retry`", lost, up_again, way="retry"
    ),
    Fault("lose-state-back", "the same, then `rollback` where it is offered", lost, up_again, way="rollback"),
    Fault("reboot", "a node is restarted", reboot, nothing),
    Fault("power-cycle", "a node loses power, and has it back later", power_off, power_on, BRIEF),
    Fault("freeze", "a node stands still, and goes on later", freeze, thaw, LONG),
    Fault("freeze-ssh", "SIGSTOP of a node's SSH sessions, SIGCONT later", sessions("STOP"), sessions("CONT"), LONG),
    Fault("cut", "a node is cut off from everybody, and back later", cut, join, LONG),
    Fault("cut-ssh", "a node is cut off from the daemon alone, and back later", cut_ssh, join_ssh, LONG),
    Fault("drop-ssh", "SIGKILL of a node's SSH sessions", sessions("KILL"), nothing),
    Fault("freeze-store", "the S3 server stands still", store(signal.SIGSTOP), store(signal.SIGCONT), LONG),
    Fault("freeze-etcd", "SIGSTOP of a node's etcd, which then hangs in its stop", etcd("STOP"), etcd("CONT"), LONG),
    Fault("no-etcd", "a node's etcd cannot be started", without_etcd, with_etcd, TO_THE_END, STOPPED),
    Fault("fill-disk", "a node's data filesystem is full", fill, empty, LONG, ("claim", "stage"), bounded=True),
)
FAULTS = {fault.name: fault for fault in ALL}
