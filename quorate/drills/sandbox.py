"""An etcd that is started from a backup on a machine of no cluster, and taken away again: its names are the state.

It runs in a network of its own, which has nothing but loopback: nobody on that machine or beyond it reaches what it
serves, but whoever enters that network as root, as the question after its hash does. So it needs no certificates, no
port that is free, and no firewall. What it is restored from and what it runs on lie in one directory, for root alone.
"""

import json
import re
import shlex
from dataclasses import dataclass

from quorate.command import Command, Node, rename, way
from quorate.converge import Await, Left
from quorate.errors import CommandFailed, Refusal
from quorate.inventory import Cluster
from quorate.members.etcd import HashKV, minor
from quorate.nodes.node import Claim
from quorate.nodes.room import receiving, staging_bytes
from quorate.nodes.seen import Look, NodeSeen, UnitSeen
from quorate.settings.machines import Sandbox

CLAIMED = (
    "sandbox"  # as which cluster its claim is held: whoever proves there, and of whatever cluster, one at a time
)
LOCK_DIR = "/var/lib/quorate"
CLIENT, PEER = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
POLL_S = 0.2
LONGEST_S = 6 * 3600  # then it ends by itself, whatever has become of us
FORGOTTEN_DAYS = 7  # after which no attempt of an operation that is over can still be under way

ALONE = (
    'h=$(readlink /proc/1/ns/net) && [ -n "$h" ] && [ "$h" != "$(readlink "/proc/$1/ns/net")" ] || '
    '{ echo "systemd gives it no network of its own here: it would be reached from outside"; exit 77; }'
)
_RUN = f'set -- self "$@"; {ALONE}; shift; exec "$@"'
# A peer answers without a login; where it does not know the question, the gateway of the clients' port does.
_ASK = rf"""
p=$(systemctl show --property=MainPID --value "$1") && [ "$p" -gt 0 ] || {{ echo "$1 does not run"; exit 1; }}
set -- "$p" "$2"; {ALONE}
for how in "GET 2380 /members/hashkv" "POST 2379 /v3/maintenance/hashkv" "POST 2379 /v3/maintenance/hash"; do
  said=$(nsenter --net="/proc/$1/ns/net" bash -c '
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit
    printf "%s %s HTTP/1.0\r\nContent-Length: %s\r\n\r\n%s" "$0" "$2" "${{#3}}" "$3" >&3; cat <&3' $how "$2")
  case $said in *compact_revision*) printf '%s\n' "$said" | tail -n 1; exit 0;; esac
done
printf '%s\n' "$said" | tail -n 1; exit 1
"""
# Of a process by what it was started with; the brackets keep the words of this very look from being one.
_GONE = r"""
for u in "$2" "$3"; do
  [ "$(systemctl show --property=LoadState --value "$u")" = not-found ] || { echo "unit $u is there"; exit 1; }
done
p=$(grep -lzx -e "--\(data\|cert\)-di[r]=$1/.*" -e "$1/arrivin[g].part/.*" /proc/[0-9]*/cmdline 2>/dev/null)
[ -z "$p" ] || { echo "runs: $p"; exit 1; }
[ ! -e "$1" ] || { echo "$1 is there"; exit 1; }
echo "no unit, no process, no directory"
"""
_SAME = 'test "$(sha256sum <"$1" | cut -c1-64)" = "$2"'
PROPERTIES = (
    "Type=notify",
    "NotifyAccess=all",
    "PrivateNetwork=yes",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "LimitCORE=0",
    "TimeoutStopSec=10",
    f"RuntimeMaxSec={LONGEST_S}",
)


@dataclass(frozen=True, slots=True)
class Trial:
    """What one operation lays and runs there."""

    data_dir: str
    operation: str
    etcd: str

    @property
    def claim(self) -> Claim:
        return Claim(LOCK_DIR, CLAIMED, self.operation)

    @property
    def home(self) -> str:
        return f"{self.data_dir}/{self.operation}"

    @property
    def arrivals(self) -> str:
        return f"{self.home}/arriving.part"

    @property
    def snapshot(self) -> str:
        return f"{self.home}/snapshot"

    @property
    def data(self) -> str:
        return f"{self.home}/etcd"

    @property
    def part(self) -> str:
        return f"{self.data}.part"

    @property
    def db(self) -> str:
        return f"{self.data}/member/snap/db"

    @property
    def unit(self) -> str:
        return f"quorate-sandbox-{self.operation}.service"

    @property
    def api_unit(self) -> str:
        """Of the API server on top, where one is asked for."""
        return f"quorate-sandbox-{self.operation}-api.service"

    def look(self) -> Look:
        paths = (self.home, self.snapshot, self.data, self.db)
        return self.claim.look() | Look(paths=paths, units=(self.unit, self.api_unit))

    def arriving(self, turn: int, attempt: int) -> str:
        """Every attempt writes to a name of its own, so a late sender spoils nothing."""
        return f"{self.arrivals}/{turn}-{attempt}"

    def prepare(self) -> tuple[Command, ...]:
        return (Command(("install", "-d", "-m", "0700", self.data_dir, self.home)),)

    def receive(self, arriving: str, size_bytes: int) -> Command:
        """Only where there is room for the snapshot, for what is restored from it, and to spare."""
        argv = receiving(arriving, self.home, staging_bytes(size_bytes), ("cat",))
        return Command(argv, given=(self.home, f"!{self.data}"))

    def arrived(self, arriving: str) -> Command:
        return Command(("mv", "-T", arriving, self.snapshot), given=(arriving, f"!{self.data}"))

    def needs_snapshot(self, seen: NodeSeen, size_bytes: int) -> bool:
        there = seen.paths.get(self.snapshot)
        return self.data not in seen.paths and not (there and there.size_bytes == size_bytes)

    def restore(self, tool: str, sha256: str, seen: NodeSeen) -> Left[Command]:
        """What arrived is what was sent; restored without a bump, for then it holds what it held."""
        if self.data in seen.paths:
            return ()
        given = (self.snapshot, f"!{self.data}")
        argv = (
            tool,
            "snapshot",
            "restore",
            self.snapshot,
            "--name=sandbox",
            f"--initial-cluster=sandbox={PEER}",
            f"--initial-cluster-token={self.operation}",
            f"--initial-advertise-peer-urls={PEER}",
            f"--data-dir={self.part}",
        )
        return (
            Command(("sh", "-c", _SAME, "same", self.snapshot, sha256), given=given),
            Command(("rm", "-rf", self.part), given=given),
            Command(argv, given=given),
            Command(("rm", "-rf", self.arrivals, self.snapshot), given=(self.part,)),
            rename(self.part, self.data),
        )

    def start(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Not waited for: a start that takes long is polled for."""
        unit = seen.units.get(self.unit, UnitSeen(self.unit))
        if unit.state == "failed":
            raise CommandFailed(f"{self.etcd} does not run on what was restored from the backup")
        if unit.gone:
            return (self._run(),)
        return () if unit.state == "active" else Await(f"etcd starts from the backup: {unit.state}", POLL_S)

    def transient(self, unit: str, *more: str) -> tuple[str, ...]:
        """What goes before the command that is to run as this unit."""
        properties = (*PROPERTIES, f"ReadWritePaths={self.home}", *more)
        return (
            "systemd-run",
            "--quiet",
            "--no-block",
            f"--unit={unit}",
            *(f"--property={each}" for each in properties),
        )

    def ask(self, revision: int) -> Command:
        """For the hash of all keys at that revision, from within its network."""
        return Command(("sh", "-c", _ASK, "ask", self.unit, f'{{"revision":{revision}}}'))

    def remove(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Stop it, and remove all of it: only ever this operation's own names."""
        units = tuple(seen.units.get(each, UnitSeen(each)) for each in (self.api_unit, self.unit))
        stop = (Command(("systemctl", "stop", each.unit)) for each in units if not each.gone)
        reset = (Command(("systemctl", "reset-failed", each.unit)) for each in units if each.state == "failed")
        remove = (Command(("rm", "-rf", self.home)),) if self.home in seen.paths else ()
        return (*stop, *reset, *remove)

    def gone(self) -> Command:
        """Looked at, whoever says that it is."""
        return Command(("sh", "-c", _GONE, "gone", self.home, self.unit, self.api_unit))

    def forget(self) -> tuple[Command, ...]:
        """What operations of weeks ago have left of their claims."""
        folder = f"{LOCK_DIR}/{CLAIMED}"
        old = ("-name", "released", "-mtime", f"+{FORGOTTEN_DAYS}", "-delete")
        empty = ("-name", "prove-*", "-type", "d", "-empty", "-mtime", f"+{FORGOTTEN_DAYS}", "-delete")
        return (
            Command(("find", folder, "-mindepth", "2", "-maxdepth", "2", *old)),
            Command(("find", folder, "-mindepth", "1", "-maxdepth", "1", *empty)),
        )

    def by_hand(self, node: Node) -> str:
        """What a person types to remove it; an API server on top is bound to the etcd, and stops with it."""
        sudo = "sudo " if node.ssh.sudo else ""
        script = f"systemctl stop {self.unit}; rm -rf {self.home}; rm -f {self.claim.file}"
        return f"{way(node)} {sudo}sh -c {shlex.quote(script)}"

    def _run(self) -> Command:
        etcd = (
            self.etcd,
            "--name=sandbox",
            f"--data-dir={self.data}",
            f"--listen-client-urls={CLIENT}",
            f"--advertise-client-urls={CLIENT}",
            f"--listen-peer-urls={PEER}",
            f"--initial-advertise-peer-urls={PEER}",
            f"--initial-cluster=sandbox={PEER}",
            f"--initial-cluster-token={self.operation}",
        )
        argv = (*self.transient(self.unit), "sh", "-c", _RUN, "alone", *etcd)
        return Command(argv, given=(self.data,))


def node_of(settings: Cluster, sandbox: Sandbox) -> Node:
    """The machine, as a cluster of its own."""
    return Node(sandbox.name, sandbox.host, sandbox.ssh or settings.ssh, LOCK_DIR, CLAIMED)


def journal(unit: str) -> Command:
    """What it said last."""
    return Command(("journalctl", "--no-pager", "-o", "cat", "-n", "6", "-u", unit))


def version_of_etcd(path: str) -> Command:
    return Command((path, "--version"))


def fit(said: str, wanted: str, path: str, node: str) -> None:
    """Refusal where the sandbox's etcd is not of the backup's minor version, or none."""
    found = re.search(r"etcd Version: (\S+)", said)
    if found is None or minor(found[1]) != minor(wanted):
        has = f"is {found[1]}" if found else "does not run"
        raise Refusal(
            f"the sandbox {node} has no etcd {minor(wanted)}, which the backup is of: {path} {has}",
            next=f"install one there, and name it as `sandbox.etcd` if it is not {path}",
        )


def heard(said: str, revision: int) -> HashKV:
    """The answer of either way to ask; CommandFailed where it is none. Before 3.6 it does not repeat the revision."""
    try:
        told = json.loads(said)
        return HashKV(int(told["hash"]), int(told.get("hash_revision", revision)), int(told["compact_revision"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandFailed(f"etcd in the sandbox does not tell its hash: {said[-300:]}") from error


def differing_hash(found: HashKV, wanted: int) -> str:
    """Of two that were compacted as far."""
    if found.hash == wanted:
        return ""
    return f"an etcd started from it has HashKV {found.hash} at revision {found.revision}, the cluster had {wanted}"
