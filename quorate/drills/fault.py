"""What a drill breaks on a node, and how that is undone: by us, and by the node itself where nobody of ours is left.

Each fault lays its own removal first: a timer on the node, which lifts the fault when its time is over. So a worker
that dies, or a network that is gone, leaves nothing broken. A reboot lifts it too, timer and all; only what was put
aside under another name stays there until the drill goes on, or a person puts it back.
"""

import shlex
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from quorate.command import Command, Node, rename, way
from quorate.converge import Await, Left
from quorate.errors import Refusal
from quorate.nodes.clients import NFT
from quorate.nodes.node import Claim
from quorate.nodes.seen import Look, NodeSeen, UnitSeen
from quorate.nodes.static_pod import StaticPod
from quorate.nodes.supervisor import Supervised, Together

DRILL = "drill"  # as which cluster a node is claimed for one: whoever has it for an operation is not in its way
TABLE = "inet quorate_drill"
ANOTHER = "was another one: "  # said of what was laid in the place of a file that had been put aside
MARGIN_S = 30.0  # that the timer waits longer than we do
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Timer:
    """Runs what lifts a fault, after so long, whatever has become of us."""

    name: str
    after_s: float
    script: str

    @property
    def unit(self) -> str:
        return f"{self.name}.timer"

    def look(self) -> Look:
        return Look(units=(self.unit,))

    def set(self, seen: NodeSeen) -> tuple[Command, ...]:
        if self.there(seen):
            return ()
        argv = (
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={self.name}",
            f"--on-active={self.after_s:g}s",
            "--timer-property=AccuracySec=1s",
            "--timer-property=RemainAfterElapse=no",
            "sh",
            "-c",
            self.script,
        )
        return (Command(argv),)

    def clear(self, seen: NodeSeen) -> tuple[Command, ...]:
        return (Command(("systemctl", "stop", self.unit)),) if self.there(seen) else ()

    def there(self, seen: NodeSeen) -> bool:
        return not seen.units.get(self.unit, UnitSeen(self.unit)).gone


@dataclass(frozen=True, slots=True)
class Stopped:
    """A process does not run, until it is started again; `claim` is the file of whoever has the node meanwhile."""

    process: Supervised
    timer: str
    after_s: float
    claim: str
    how: Literal["stop", "kill"] = "stop"

    @property
    def what(self) -> str:
        return f"{self.process.unit} is {'stopped' if self.how == 'stop' else 'killed'}"

    @property
    def script(self) -> str:
        """On the node; not where an operation has claimed it since: then its fence decides."""
        if isinstance(self.process, StaticPod):
            there, away = shlex.quote(self.process.manifest), shlex.quote(self.process.parked)
            start = f"[ -e {there} ] || mv -T {away} {there}"
        else:
            start = f"systemctl start {self.process.unit}"
        return f"[ -e {shlex.quote(self.claim)} ] || {{ {start}; }}"

    @property
    def back(self) -> Timer:
        return Timer(self.timer, self.after_s, self.script)

    def look(self) -> Look:
        return self.process.look() | self.back.look() | Look(paths=(self.claim,))

    def lay(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        if timer := self.back.set(seen):
            return timer
        if isinstance(self.process, StaticPod):
            return self._parked.fence(seen, waited_s)
        if not self.process.seen(seen).gone:
            return self._stop(self.process.unit)
        return Await(f"{self.process.unit} still answers", POLL_S) if self.process.answers(seen) else ()

    @property
    def _parked(self) -> StaticPod:
        """One that is killed has no grace."""
        assert isinstance(self.process, StaticPod)
        return self.process if self.how == "stop" else replace(self.process, grace_s=0.0)

    def _stop(self, unit: str) -> tuple[Command, ...]:
        """`Restart=` would revive what is killed alone."""
        stop = Command(("systemctl", "stop", unit))
        return (stop,) if self.how == "stop" else (Command(("systemctl", "kill", "--signal=SIGKILL", unit)), stop)

    def lift(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        """First what was stopped, then the timer that would have done it."""
        mine = self.claim not in seen.paths and not (
            self.process.frozen(seen) and not isinstance(self.process, StaticPod)
        )
        left = Together((self.process,)).start(seen, waited_s) if mine else ()
        if left and not isinstance(left, Await):
            return left
        return self.back.clear(seen) or left


@dataclass(frozen=True, slots=True)
class Wiped:
    """A member is killed and its data is out of its sight: under another name, so that it can be put back.

    Once something else lives under the name, a restore has given the member its data, and what was put aside goes.
    """

    stopped: Stopped
    live: str
    operation: str

    @property
    def aside(self) -> str:
        return f"{self.live}.{self.operation}"

    @property
    def what(self) -> str:
        return f"{self.stopped.process.unit} is killed, {self.live} is wiped"

    @property
    def script(self) -> str:
        """Where nobody has restored it: what was put aside comes back, and the member is started again."""
        claim, live, aside = map(shlex.quote, (self.stopped.claim, self.live, self.aside))
        return f"[ -e {claim} ] || [ -e {live} ] || mv -T {aside} {live}; {self.stopped.script}"

    @property
    def back(self) -> Timer:
        return Timer(self.stopped.timer, self.stopped.after_s, self.script)

    def look(self) -> Look:
        return self.stopped.look() | Look(paths=(self.live, self.aside))

    def lay(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        """Whatever is there under both names was wiped before."""
        if timer := self.back.set(seen):
            return timer
        if left := self.stopped.lay(seen, waited_s):
            return left
        return () if self.aside in seen.paths else (rename(self.live, self.aside),)

    def lift(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        """Never what is live: only what this fault has put aside is removed, or put back.

        Refusal while an operation has the node: what lies there may still be wanted.
        """
        if self.stopped.claim in seen.paths:
            raise Refusal(f"an operation has the node, so {self.aside} stays until it is over")
        live, aside = seen.has(self.live, self.aside)
        if aside:
            return (
                (Command(("rm", "-rf", self.aside), given=(self.live,)),)
                if live
                else (rename(self.aside, self.live),)
            )
        return self.stopped.lift(seen, waited_s)


@dataclass(frozen=True, slots=True)
class Hidden:
    """A process does not run, and files that it needs are out of its sight: each under another name beside its own.

    What has been laid in the place of one stays where it is the very same; else the one that was there comes back.
    """

    stopped: Stopped
    files: tuple[str, ...]
    operation: str

    @property
    def asides(self) -> tuple[str, ...]:
        return tuple(map(self.aside, self.files))

    def aside(self, path: str) -> str:
        return f"{path}.quorate-{self.operation}"

    @property
    def what(self) -> str:
        return f"{self.stopped.what}, {len(self.files)} of its files are out of sight"

    @property
    def put_back(self) -> str:
        """Says which were other ones; a rename leaves no moment without a file. What was a link is one again."""
        return (
            'same() { cmp -s "$a" "$f" && [ "$(stat -Lc %U:%G:%a "$a")" = "$(stat -Lc %U:%G:%a "$f")" ]; }; '
            f"for f in {shlex.join(self.files)}; do a=$f.quorate-{self.operation}; "
            '[ -e "$a" ] || [ -L "$a" ] || continue; '
            f'same || [ ! -e "$f" ] || echo "{ANOTHER}$f"; '
            'if same && [ ! -L "$a" ]; then rm -f "$a"; else mv -fT "$a" "$f"; fi; done'
        )

    @property
    def compare(self) -> Command:
        return Command(("sh", "-c", self.put_back))

    @property
    def script(self) -> str:
        """On the node; not where an operation has it: then what it has laid is not done yet."""
        return f"[ -e {shlex.quote(self.stopped.claim)} ] || {{ {self.put_back}; }}; {self.stopped.script}"

    @property
    def back(self) -> Timer:
        return Timer(self.stopped.timer, self.stopped.after_s, self.script)

    def look(self) -> Look:
        return self.stopped.look() | Look(paths=(*self.files, *self.asides))

    def lay(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        """Whatever is there under its other name was put there before."""
        if timer := self.back.set(seen):
            return timer
        if left := self.stopped.lay(seen, waited_s):
            return left
        return tuple(rename(each, self.aside(each)) for each in self.files if self.aside(each) not in seen.paths)

    def lift(self, seen: NodeSeen, waited_s: float) -> Left[Command]:
        """The files first. Refusal while an operation has the node: it may be about to lay them."""
        if self.stopped.claim in seen.paths:
            raise Refusal(f"an operation has the node, so its files stay under {self.aside('*')} until it is over")
        if any(seen.has(*self.asides)):
            return (self.compare,)
        return self.stopped.lift(seen, waited_s)


@dataclass(frozen=True, slots=True)
class Cut:
    """No packet between this node and the peers' ports of any other, in either direction."""

    ports: tuple[int, ...]
    timer: str
    after_s: float

    what = "cut from its peers"

    @property
    def script(self) -> str:
        return f"{NFT} delete table {TABLE}"

    @property
    def back(self) -> Timer:
        return Timer(self.timer, self.after_s, self.script)

    def look(self) -> Look:
        return self.back.look() | Look(tables=True, paths=(NFT,))

    def lay(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        if timer := self.back.set(seen):
            return timer
        return () if TABLE in seen.tables else (Command((NFT, "-f", "-"), stdin=self.rules),)

    def lift(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        there = (Command((NFT, "delete", "table", *TABLE.split())),) if TABLE in seen.tables else ()
        return (*there, *self.back.clear(seen))

    @property
    def rules(self) -> str:
        """By the port, at both ends of a connection: a member is known by several names and addresses."""
        ports = ", ".join(map(str, self.ports))
        chains = "".join(
            f"  chain {hook} {{\n    type filter hook {hook} priority -5; policy accept;\n"
            f'    {device} != "lo" tcp dport {{ {ports} }} drop\n'
            f'    {device} != "lo" tcp sport {{ {ports} }} drop\n  }}\n'
            for hook, device in (("input", "iifname"), ("output", "oifname"))
        )
        return f"table {TABLE} {{\n{chains}}}\n"


Laid: TypeAlias = Stopped | Wiped | Hidden | Cut


def by_hand(node: Node, laid: Laid) -> str:
    """What a person types to lift it."""
    sudo = "sudo " if node.ssh.sudo else ""
    claim = Claim(node.lock_dir, DRILL, "").file
    script = f"{laid.script}; systemctl stop {laid.back.unit}; rm -f {claim}"
    return f"{way(node)} {sudo}sh -c {shlex.quote(script)}"
