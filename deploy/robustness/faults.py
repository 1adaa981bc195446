"""What can be done to a restore: each fault strikes once and is healed."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from docker.errors import APIError

from deploy.lab.lab import node_exec, wreck
from deploy.lab.wreck import container, do
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
CUT_PEERS = """
table inet lab_peers {
    set others { type ipv4_addr; elements = { %s } }
    chain input { type filter hook input priority -300; ip saddr @others drop; }
    chain output { type filter hook output priority -300; ip daddr @others drop; }
}
"""
LOCKS = "/var/lib/quorate"  # has a small filesystem of its own in a lab whose disks can be filled
SYNCS = "fsync,fdatasync,sync,syncfs"
SLOW_SYNC = f"""
systemd-run --quiet --unit=slow-sync strace -f -qq -o /dev/null -e trace={SYNCS} -e inject={SYNCS}:delay_exit=200000 \
    -p 1 $(pgrep 'sshd|etcd' | sed 's/^/-p /')
"""
STARTING = """
units="etcd.service $(systemctl list-unit-files --no-legend 'kube-*.service' | cut -d ' ' -f 1)"
systemd-run --quiet --unit=starting sh -c "while sleep 0.2; do systemctl start --no-block $(echo $units); done"
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
    at: str = ""  # its only moment
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


def cut_peers(place: Place) -> None:
    others = ", ".join(node.address for node in place.lab.nodes if node != place.node)
    place.do(f"echo '{CUT_PEERS % others}' | nft -f -")


def join_peers(place: Place) -> None:
    place.do("nft delete table inet lab_peers")


def unit(script: str) -> Callable[[Place], None]:
    def begin(place: Place) -> None:
        do(place.lab, place.node, "sh", "-c", script)

    return begin


def stopped(name: str) -> Callable[[Place], None]:
    def stop(place: Place) -> None:
        place.do(f"systemctl stop {name}")

    return stop


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
    place.do(f"mountpoint -q {LOCKS} && cat /dev/zero > {LOCKS}/.robustness-fill")


def empty(place: Place) -> None:
    place.do(f"rm -f /var/lib/etcd/.robustness-fill {LOCKS}/.robustness-fill")


def flip_stored(place: Place) -> None:
    """One byte in the middle of the newest snapshot; flipped once more it is as it was."""
    stored = (place.lab.folder / "s3" / "data").glob("**/snapshot.db.zst.age")
    newest = max(stored, key=lambda path: path.stat().st_mtime_ns)
    with newest.open("r+b") as file:
        file.seek(newest.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0xFF]))


def flip_arrived(place: Place) -> None:
    place.do(FLIP_ARRIVED)


def etcd(sent: str) -> Callable[[Place], None]:
    def send(place: Place) -> None:
        place.do(f"kill -{sent} $(pidof etcd)")

    return send


FLIP_ARRIVED = r"""
find /var/lib/etcd -path '*.arriving.part/*' -type f | while read -r file; do
    at=$(($(stat -c %s "$file") / 2))
    byte=$(od -An -tu1 -j $at -N 1 "$file")
    printf "\\$(printf %o $((byte ^ 255)))" | dd of="$file" bs=1 seek=$at conv=notrunc status=none
done
"""
ARRIVED = "rename:4"  # after the claim, the plan and the claim of `stage`
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
    Fault("cut-peers", "a node is cut off from the other nodes alone, and back later", cut_peers, join_peers, LONG),
    Fault("slow-sync", "every fsync on a node takes 0.2 s more", unit(SLOW_SYNC), stopped("slow-sync"), LONG),
    Fault(
        "starting",
        "etcd and API server are told to start, five times a second",
        unit(STARTING),
        stopped("starting"),
        LONG,
    ),
    Fault(
        "flip-stored",
        "a byte of the snapshot in the store is flipped",
        flip_stored,
        flip_stored,
        TO_THE_END,
        ("claim",),
    ),
    Fault("flip-arrived", "a byte of what has arrived on a node is flipped", flip_arrived, nothing, at=ARRIVED),
)
FAULTS = {fault.name: fault for fault in ALL}
