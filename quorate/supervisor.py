"""Processes under systemd: barred from starting, stopped for good, started again."""

from dataclasses import dataclass

from quorate.command import Command
from quorate.converge import Await, Left
from quorate.seen import Look, NodeSeen, UnitSeen

FENCE_DIR = "/var/lib/quorate/fence"
START_POLL_S = 0.2  # a look costs the node what etcd needs for its start


@dataclass(frozen=True, slots=True)
class Systemd:
    """A unit, the ports that show it is up, and how long it may take its leave.

    `before` is what the survey saw: an undo brings back no more than there was.
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

    def look(self) -> Look:
        return Look(paths=(self.drop_in, self.flag), units=(self.unit,))

    def bar(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """A start is refused from now on, also after a reboot; what runs goes on."""
        return () if self.barred(seen) else self._bar()

    def unbar(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Unread, the files would still hold at the next boot: so they are looked for, not what is loaded."""
        lifted = not any(seen.has(self.drop_in, self.flag)) and self.drop_in not in self.seen(seen).drop_ins
        return () if lifted else self._unbar()

    def fence(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        """Bar it from starting, ask it to stop, kill it after its grace, see it gone, prove that it cannot start."""
        unit = self.seen(seen)
        if not self.barred(seen):
            return self._bar()
        match unit.state:
            case "active" | "activating" | "reloading" if not unit.queued:
                return (self._systemctl("stop", "--no-block"),)
            case "deactivating" if waited_s >= self.grace_s:
                # the second waits for the end of the first stop: a gigabyte takes its time to be unmapped
                return self._systemctl("kill", "--signal=SIGKILL"), self._systemctl("stop")
            case "deactivating":
                return Await(f"{self.unit} is stopping", poll_s=0.05)
        if not unit.gone or self.answers(seen):
            return Await(f"{self.unit} is {unit.state}, its process or port is still there", poll_s=0.05)
        return () if unit.assert_failed else (self.proof,)

    def start(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Take the flag away, start it, see it listen; the drop-in may stay, for a reload costs half a second."""
        lift = (Command(("rm", "-f", self.flag)),) if any(seen.has(self.flag)) else ()
        unit = self.seen(seen)
        match unit.state:
            case "inactive" | "failed" if unit.queued:
                return Await(f"{self.unit} is about to start")
            case "inactive":
                return (*lift, self._systemctl("start", "--no-block"))
            case "failed":  # systemd may have counted too many starts
                return (*lift, self._systemctl("reset-failed"), self._systemctl("start", "--no-block"))
            case "active" if self.answers(seen):
                return lift
        return lift or Await(f"{self.unit} is {unit.state}, not answering yet", START_POLL_S)

    def resume(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        """As it was before it was fenced: running again, trying to start, or stopped but free to start."""
        if self.before == "active":
            return self.start(seen, waited_s)
        if any(seen.has(self.flag)):
            return (Command(("rm", "-f", self.flag)),)
        if self.before == "activating" and self.seen(seen).gone:
            return (self._systemctl("start", "--no-block"),)
        return ()

    def seen(self, seen: NodeSeen) -> UnitSeen:
        return seen.units.get(self.unit, UnitSeen(self.unit))

    def barred(self, seen: NodeSeen) -> bool:
        """What systemd has loaded counts: a fence cut off before the reload is none yet."""
        unit = self.seen(seen)
        return all(seen.has(self.drop_in, self.flag)) and self.drop_in in unit.drop_ins and not unit.stale

    def answers(self, seen: NodeSeen) -> bool:
        return any(port in seen.listening for port in self.ports)

    def _bar(self) -> tuple[Command, ...]:
        """Both files survive a reboot; systemd then refuses every start with "Assertion failed"."""
        text = f"[Unit]\nAssertPathExists=!{self.flag}\n"
        return (
            Command(("install", "-D", "-m", "0644", "/dev/stdin", self.drop_in), stdin=text),
            Command(("install", "-D", "-m", "0644", "/dev/null", self.flag)),
            Command(("sync", self.drop_in, self.flag)),
            Command(("systemctl", "daemon-reload")),
        )

    def _unbar(self) -> tuple[Command, ...]:
        return (
            Command(("rm", "-f", self.drop_in, self.flag)),
            Command(("systemctl", "daemon-reload")),
        )

    @property
    def proof(self) -> Command:
        return Command(("sh", "-c", f"! systemctl start {self.unit}"))

    def _systemctl(self, verb: str, *flags: str) -> Command:
        return Command(("systemctl", verb, *flags, self.unit))


@dataclass(frozen=True, slots=True)
class Together:
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
        """A proof is a start, which would wait for a unit before it in order that is still stopping."""
        lefts = [unit.fence(seen, waited_s) for unit in self.units]
        before = [left for unit, left in zip(self.units, lefts, strict=True) if left not in {(), (unit.proof,)}]
        return join(before or lefts)

    def start(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        return join([unit.start(seen, waited_s) for unit in self.units])

    def resume(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        return join([unit.resume(seen, waited_s) for unit in self.units])


def join(lefts: list[Left[Command]]) -> Left[Command]:
    """Acts first; only when every unit waits is there nothing to do but look again."""
    acts = tuple(act for left in lefts if not isinstance(left, Await) for act in left)
    waits = [left for left in lefts if isinstance(left, Await)]
    if acts:
        return tuple(dict.fromkeys(act for act in acts if act.argv[-1] != "daemon-reload")) + _reload(acts)
    if waits:
        return Await("; ".join(wait.reason for wait in waits), min(wait.poll_s for wait in waits))
    return ()


def _reload(acts: tuple[Command, ...]) -> tuple[Command, ...]:
    """One reload for all of them, after their files."""
    return (Command(("systemctl", "daemon-reload")),) if any(a.argv[-1] == "daemon-reload" for a in acts) else ()
