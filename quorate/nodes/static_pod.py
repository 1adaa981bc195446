"""A static pod: fenced by taking its manifest out of the kubelet's sight, started by putting the same bytes back."""

from dataclasses import dataclass

from quorate.command import Command, rename
from quorate.converge import Await, Left
from quorate.errors import Refusal
from quorate.nodes.durable import parent
from quorate.nodes.pods import container, parked
from quorate.nodes.seen import Look, NodeSeen, UnitSeen

POLL_S = 0.25
FROZEN = "frozen"  # what a process was `before`, that an earlier `quorate freeze` keeps from running
STOP_AGAIN_S = 3.0  # a kubelet that had not noticed yet may have started the container once more


@dataclass(frozen=True, slots=True)
class StaticPod:
    """One manifest; without it in its directory the kubelet starts nothing, also after a reboot.

    `before` is what the survey saw: an undo brings back no more than there was.
    """

    role: str
    manifest: str
    ports: tuple[int, ...] = ()
    grace_s: float = 2.0
    before: str = "active"

    @property
    def unit(self) -> str:
        """What it is called where units and pods stand side by side."""
        return self.manifest

    @property
    def parked(self) -> str:
        return parked(self.manifest)

    def look(self) -> Look:
        return Look(paths=(self.manifest, self.parked), pods=(self.manifest,))

    @property
    def folders(self) -> tuple[str, ...]:
        return parent(self.manifest), parent(self.parked)

    def bar(self, _seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """Nothing: what bars a pod from starting stops it too."""
        return ()

    def unbar(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """A start has put the manifest back; one that was parked and not started stays where `freeze` left it."""
        return self._back() if self._parked(seen) and self.before != FROZEN else ()

    def fence(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        """Take the manifest away, stop the container, see that the kubelet has given the pod up."""
        there, away = seen.has(self.manifest, self.parked)
        if there and away:
            raise Refusal(f"both {self.manifest} and {self.parked} are there: which is the right one?")
        if there:
            return *self._move(self.manifest, self.parked), self.stop
        state = self.seen(seen).state
        if state == "deactivating" and waited_s >= STOP_AGAIN_S:
            return (self.stop,)
        if state != "inactive" or self.answers(seen):
            return Await(f"{self.manifest} is out, its pod is {state}", POLL_S)
        return ()

    def start(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """The very same bytes come back; the kubelet does the rest."""
        match seen.has(self.manifest, self.parked):
            case (False, True):
                return self._back()
            case (False, False):
                raise Refusal(f"neither {self.manifest} nor {self.parked} is there")
        return (
            () if self.up(seen) else Await(f"{self.manifest} is {self.seen(seen).state}, not answering yet", POLL_S)
        )

    def resume(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        """As it was before it was fenced: running again, trying to start, or not there."""
        if self.before == "active":
            return self.start(seen, waited_s)
        return self._back() if self._parked(seen) and self.before != FROZEN else ()

    def frozen(self, seen: NodeSeen) -> bool:
        """Its manifest is where the kubelet does not look, and nothing of it runs any more."""
        return self.seen(seen).assert_failed and self.seen(seen).gone

    def _parked(self, seen: NodeSeen) -> bool:
        return seen.has(self.manifest, self.parked) == (False, True)

    def up(self, seen: NodeSeen) -> bool:
        return self.seen(seen).state == "active" and self.answers(seen)

    def answers(self, seen: NodeSeen) -> bool:
        return any(port in seen.listening for port in self.ports)

    def seen(self, seen: NodeSeen) -> UnitSeen:
        return seen.units.get(self.manifest, UnitSeen(self.manifest))

    @property
    def stop(self) -> Command:
        """The kubelet would give it 30 s; a container that is gone already is no failure."""
        name = container(self.manifest)
        script = f"crictl ps -q --name '^{name}$' | xargs -r crictl stop --timeout {self.grace_s:.0f}"
        return Command(("sh", "-c", script))

    def _back(self) -> tuple[Command, ...]:
        return self._move(self.parked, self.manifest)

    def _move(self, source: str, target: str) -> tuple[Command, ...]:
        return rename(source, target), Command(("sync", *dict.fromkeys((parent(target), parent(source)))))
