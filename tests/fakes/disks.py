"""Disks of memory: what they have counted rises with every look."""

from collections.abc import Callable
from dataclasses import dataclass, field

from quorate.errors import Unreachable
from quorate.members.etcd import EtcdTarget
from quorate.members.strain import DiskSeen


def calm(_: int) -> float:
    return 0.002


@dataclass
class FakeDisks:
    """`takes_s` is how long a write takes behind so many; `between` come between two looks."""

    takes_s: Callable[[int], float] = calm
    between: int = 100
    silent: set[str] = field(default_factory=set)
    defragmenting: set[str] = field(default_factory=set)
    counted: dict[str, DiskSeen] = field(default_factory=dict)

    def read(self, target: EtcdTarget) -> DiskSeen:
        name = target.name
        if name in self.silent:
            raise Unreachable(f"metrics of {name}: Connection refused")
        before = self.counted.get(name, DiskSeen(0, 0.0))
        self.counted[name] = DiskSeen(
            before.fsyncs + self.between,
            before.fsyncs_s + self.between * self.takes_s(before.fsyncs),
            name in self.defragmenting,
        )
        return self.counted[name]
