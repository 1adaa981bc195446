"""Processes of a node: barred from starting, stopped for good, started again."""

from dataclasses import dataclass
from typing import TypeAlias

from quorate.command import Command
from quorate.converge import Await, Left
from quorate.nodes.durable import SYNC, removed, settled
from quorate.nodes.pods import container
from quorate.nodes.seen import Look, NodeSeen, UnitSeen
from quorate.nodes.static_pod import FROZEN, StaticPod

FENCE_DIR = "/var/lib/quorate/fence"
START_POLL_S = 0.2  # a look costs the node what etcd needs for its start
START_S = 10  # a start that waits longer is polled for: the node stays locked as long as a command runs


@dataclass(frozen=True, slots=True)
class Systemd:
    """A unit, the ports that show it is up, and how long it may take its leave.

    `before` is what the survey saw: an undo brings back no more than there was, and leaves frozen what was.
    """

    role: str
    unit: str
    ports: tuple[int, ...] = ()
    grace_s: float = 2.0
    before: str = "active"

    @property
    def drop_in(self) -> str:
        return f"/etc/systemd/system/{self.unit}.d/00-quorate-fence.conf"

    @property
    def flag(self) -> str:
        return f"{FENCE_DIR}/{self.unit}"

    @property
    def refused(self) -> str:
        """The flag's second name says that a start was refused, where systemd itself forgets the unit at once."""
        return f"{self.flag}.refused"

    def look(self) -> Look:
        return Look(paths=(self.drop_in, self.flag, self.refused), units=(self.unit,))

    def laid(self, seen: NodeSeen) -> tuple[str, ...]:
        """Of the flag's names those that are there."""
        return tuple(path for path in (self.flag, self.refused) if path in seen.paths)

    def proved(self, seen: NodeSeen) -> bool:
        """Whether a start was refused since it was barred; an earlier flag's second name is no name of this one."""
        flag, refused = seen.paths.get(self.flag), seen.paths.get(self.refused)
        same = flag and refused and (flag.device, flag.inode) == (refused.device, refused.inode)
        return self.seen(seen).assert_failed or bool(same)

    def proof(self, seen: NodeSeen) -> Command:
        """That it cannot start. Of a unit that nothing refers to systemd keeps no result, so its word is taken."""
        if self.seen(seen).file_state == "enabled":
            return Command(("sh", "-c", f"! systemctl start {self.unit}"))
        script = (
            f'said=$(LC_ALL=C systemctl start {self.unit} 2>&1) && exit 1; echo "$said" >&2; '
            f"case $said in *'Assertion failed'*) ln -fT {self.flag} {self.refused};; *) exit 1;; esac"
        )
        return Command(("sh", "-c", script))

    def bar(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """A start is refused from now on, also after a reboot; what runs goes on."""
        return () if self.barred(seen) else self._bar()

    def unbar(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Unread, the files would still hold at the next boot: so they are looked for, not what is loaded."""
        lifted = (
            not any(seen.has(self.drop_in, self.flag, self.refused)) and self.drop_in not in self.seen(seen).drop_ins
        )
        stays = self.before == FROZEN and self.frozen(seen)  # nobody has started it since: its bar is the freeze's
        return () if lifted or stays else self._unbar(seen)

    def seen(self, seen: NodeSeen) -> UnitSeen:
        return seen.units.get(self.unit, UnitSeen(self.unit))

    def barred(self, seen: NodeSeen) -> bool:
        """What systemd has loaded counts: a fence cut off before the reload is none yet."""
        unit = self.seen(seen)
        return all(seen.has(self.drop_in, self.flag)) and self.drop_in in unit.drop_ins and not unit.stale

    def frozen(self, seen: NodeSeen) -> bool:
        """Stopped, and kept from starting: the drop-in alone, whose flag a start has removed, bars nothing."""
        unit = self.seen(seen)
        return self.flag in seen.paths and self.drop_in in unit.drop_ins and unit.gone

    def free(self, seen: NodeSeen) -> Left[Command]:
        """What was not running: no more than there was."""
        if self.before == FROZEN:
            return ()
        if laid := self.laid(seen):
            return (Command(("rm", "-f", *laid)),)
        if self.before == "activating" and self.seen(seen).gone:
            return (
                Command(("systemctl", "reset-failed", self.unit)),  # it may have counted too many
                Command(("systemctl", "start", "--no-block", self.unit)),
            )
        return ()

    def up(self, seen: NodeSeen) -> bool:
        return self.seen(seen).state == "active" and self.answers(seen)

    def answers(self, seen: NodeSeen) -> bool:
        return any(port in seen.listening for port in self.ports)

    def _bar(self) -> tuple[Command, ...]:
        """Both files survive a reboot; systemd then refuses every start with "Assertion failed"."""
        text = f"[Unit]\nAssertPathExists=!{self.flag}\n"
        return (
            Command(("install", "-D", "-m", "0644", "/dev/stdin", self.drop_in), stdin=text),
            Command(("install", "-D", "-m", "0644", "/dev/null", self.flag)),
            settled(self.drop_in, self.flag),
            Command(("systemctl", "daemon-reload")),
        )

    def _unbar(self, seen: NodeSeen) -> tuple[Command, ...]:
        return (
            *removed(self.drop_in, self.flag, *(path for path in self.laid(seen) if path != self.flag)),
            Command(("systemctl", "daemon-reload")),
        )


@dataclass(frozen=True, slots=True)
class Units:
    """Several units of one node, each as far as it is: what is left for any of them is left."""

    units: tuple[Systemd, ...]

    def look(self) -> Look:
        look = Look()
        for unit in self.units:
            look |= unit.look()
        return look

    def bar(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        return join([unit.bar(seen, waited_s) for unit in self.units])

    def unbar(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        return join([unit.unbar(seen, waited_s) for unit in self.units])

    def fence(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        """Bar them from starting, stop them, see them gone, prove that they cannot start.

        After every stop: a proof is a start, which would wait for a unit before it in order that still stops.
        """
        if unbarred := [unit.bar(seen, waited_s) for unit in self.units if not unit.barred(seen)]:
            return join(unbarred)
        if there := [unit for unit in self.units if not unit.seen(seen).gone]:
            return stopped(there), *(unit.proof(seen) for unit in self.units)
        if answering := [unit.unit for unit in self.units if unit.answers(seen)]:
            return Await(f"{', '.join(answering)}: the process is gone, its port still answers", poll_s=0.05)
        return tuple(unit.proof(seen) for unit in self.units if not unit.proved(seen))

    def start(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Take the flags away, start them, see them listen; the drop-ins stay: a reload costs half a second."""
        flags = [path for unit in self.units for path in unit.laid(seen)]
        idle = [unit for unit in self.units if unit.seen(seen).gone and not unit.seen(seen).queued]
        failed = [unit.unit for unit in idle if unit.seen(seen).state == "failed"]
        acts = (
            *((Command(("rm", "-f", *flags)),) if flags else ()),
            *((Command(("systemctl", "reset-failed", *failed)),) if failed else ()),  # it may have counted too many
            *((started(idle),) if idle else ()),
        )
        waiting = [f"{unit.unit} is {unit.seen(seen).state}" for unit in self.units if not unit.up(seen)]
        return acts or (Await(f"{', '.join(waiting)}, not answering yet", START_POLL_S) if waiting else ())

    def resume(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        """As they were before they were fenced: running again, trying to start, or stopped but free to start."""
        served = Units(tuple(unit for unit in self.units if unit.before == "active"))
        freed = [unit.free(seen) for unit in self.units if unit.before != "active"]
        return join([served.start(seen, waited_s), *freed])


RUNS = ("active", "activating", "reloading")
Supervised: TypeAlias = Systemd | StaticPod


@dataclass(frozen=True, slots=True)
class Together:
    """Whatever supervises the processes of one node: its units in one go, its static pods one by one."""

    units: tuple[Supervised, ...]

    @property
    def parts(self) -> "tuple[Units | StaticPod, ...]":
        systemd = tuple(unit for unit in self.units if isinstance(unit, Systemd))
        pods = tuple(unit for unit in self.units if isinstance(unit, StaticPod))
        return (*((Units(systemd),) if systemd else ()), *pods)

    @property
    def folders(self) -> tuple[str, ...]:
        """In which manifests are moved; a unit's fence counts only when systemd has loaded it, after its sync."""
        return tuple(folder for unit in self.units if isinstance(unit, StaticPod) for folder in unit.folders)

    def look(self) -> Look:
        look = Look()
        for part in self.parts:
            look |= part.look()
        return look

    def bar(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        return join([part.bar(seen, waited_s) for part in self.parts])

    def unbar(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        return join([part.unbar(seen, waited_s) for part in self.parts])

    def fence(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        return join([part.fence(seen, waited_s) for part in self.parts])

    def start(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        return join([part.start(seen, waited_s) for part in self.parts])

    def resume(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        return join([part.resume(seen, waited_s) for part in self.parts])

    def down(self, seen: NodeSeen) -> tuple[str, ...]:
        """What the survey saw running and what does not run now; waiting for its next try is not running."""
        states = {unit.unit: unit.seen(seen) for unit in self.units if unit.before in RUNS}
        return tuple(
            f"{name} is {now.state}"
            for name, now in states.items()
            if now.state not in RUNS or now.sub == "auto-restart"
        )

    def journal(self) -> Command:
        """The last words of each, for a failure that quotes them."""
        names = [word for unit in self.units if isinstance(unit, Systemd) for word in ("-u", unit.unit)]
        if names:
            return Command(("journalctl", "--no-pager", "-o", "cat", "-n", "6", *names))
        wanted = "|".join(container(unit.unit) for unit in self.units)
        logs = f"crictl ps -a -q --name '^({wanted})$' | head -n 1 | xargs -r crictl logs --tail 6"
        return Command(("sh", "-c", logs))


def stopped(units: list[Systemd]) -> Command:
    """A stop that nobody polls for: it returns when the last process is gone, killed after the grace.

    The second stop waits for the end of the first: a gigabyte takes its time to be unmapped.
    """
    grace_s, names = max(unit.grace_s for unit in units), " ".join(unit.unit for unit in units)
    kill = f"systemctl kill --signal=SIGKILL {names}; systemctl stop {names}"
    if not grace_s:
        return Command(("sh", "-c", kill))  # `timeout 0` would wait without end
    return Command(("sh", "-c", f"timeout {grace_s:g} systemctl stop {names} || {{ {kill}; }}"))


def is_stop(act: str) -> bool:
    """Whether a command, as a receipt has it, stops units."""
    return "systemctl stop " in act or "crictl stop " in act


def started(units: list[Systemd]) -> Command:
    """Returns when they have said that they are ready, or when it is time to look what keeps them."""
    names = " ".join(unit.unit for unit in units)
    return Command(("sh", "-c", f"timeout {START_S} systemctl start {names} || [ $? = 124 ]"))


def join(lefts: list[Left[Command]]) -> Left[Command]:
    """Acts first; only when every unit waits is there nothing to do but look again.

    What two of them ask for is done once; not so a sync, which belongs to what comes right before it.
    """
    acts = tuple(act for left in lefts if not isinstance(left, Await) for act in left)
    waits = [left for left in lefts if isinstance(left, Await)]
    if acts:
        kept = (act for n, act in enumerate(acts) if act.argv[0] == SYNC or acts.index(act) == n)
        return tuple(act for act in kept if act.argv[-1] != "daemon-reload") + _reload(acts)
    if waits:
        return Await("; ".join(wait.reason for wait in waits), min(wait.poll_s for wait in waits))
    return ()


def _reload(acts: tuple[Command, ...]) -> tuple[Command, ...]:
    """One reload for all of them, after their files."""
    return (Command(("systemctl", "daemon-reload")),) if any(a.argv[-1] == "daemon-reload" for a in acts) else ()
