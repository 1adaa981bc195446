"""From the fence until etcd is verified only Quorate reaches its client port.

An apiserver elsewhere, Cilium or Vault must not write into a cluster that may still be undone. The rule is
loaded by systemd before etcd starts, so a reboot half way does not open the port. What comes through the
node itself is let in: that is how Quorate asks, through SSH.
"""

from dataclasses import dataclass

from quorate.command import Command
from quorate.converge import Left
from quorate.errors import Failed
from quorate.nodes.durable import removed, settled
from quorate.nodes.seen import Look, NodeSeen, UnitSeen
from quorate.nodes.supervisor import FENCE_DIR

NFT = "/usr/sbin/nft"
TABLE = "inet quorate"


@dataclass(frozen=True, slots=True)
class Clients:
    """The client ports of one etcd unit; without nft on the node there is nothing to do it with."""

    unit: str
    ports: tuple[int, ...]
    firewall: bool = True
    loaded_by_unit: bool = True  # False for a static pod: the unit is the kubelet's, which is not started anew

    @property
    def rules(self) -> str:
        return f"{FENCE_DIR}/{self.unit}.nft"

    @property
    def drop_in(self) -> str:
        return f"/etc/systemd/system/{self.unit}.d/01-quorate-clients.conf"

    def look(self) -> Look:
        return Look(paths=(self.rules, self.drop_in), units=(self.unit,), tables=True)

    def close(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """At its next start etcd is shut off from everybody else; what runs now is left alone."""
        unit = seen.units.get(self.unit, UnitSeen(self.unit))
        laid = all(seen.has(self.rules, self.drop_in)) and self.drop_in in unit.drop_ins and not unit.stale
        return () if laid or not self.firewall else self._close()

    def admit(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """The rule first, so that clients come in at once; the files that would bring it back after it."""
        unit = seen.units.get(self.unit, UnitSeen(self.unit))
        shut = (Command((NFT, "delete", "table", *TABLE.split())),) if TABLE in seen.tables else ()
        lifted = not any(seen.has(self.rules, self.drop_in)) and self.drop_in not in unit.drop_ins
        return (
            shut if lifted else (*shut, *removed(self.drop_in, self.rules), Command(("systemctl", "daemon-reload")))
        )

    def load(self, seen: NodeSeen) -> tuple[Command, ...]:
        """What stands in for the unit's start; nothing when it is loaded, or the unit will do it."""
        there = self.loaded_by_unit or not self.firewall or TABLE in seen.tables
        return () if there else (Command((NFT, "-f", self.rules)),)

    def shut(self, seen: NodeSeen) -> None:
        """Failed when etcd runs and its port is open to everybody."""
        if self.firewall and TABLE not in seen.tables:
            raise Failed(f"{self.unit} runs, but the rule that keeps its clients out is not loaded")

    def _close(self) -> tuple[Command, ...]:
        ports = ", ".join(map(str, self.ports))
        rules = (
            f"table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n  chain clients {{\n"
            "    type filter hook input priority -10; policy accept;\n"
            f'    iifname != "lo" tcp dport {{ {ports} }} reject with tcp reset\n  }}\n}}\n'
        )
        text = f"[Service]\nExecStartPre={'' if self.loaded_by_unit else '-'}+{NFT} -f {self.rules}\n"
        return (
            Command(("install", "-D", "-m", "0644", "/dev/stdin", self.rules), stdin=rules),
            Command(("install", "-D", "-m", "0644", "/dev/stdin", self.drop_in), stdin=text),
            settled(self.drop_in, self.rules),
            Command(("systemctl", "daemon-reload")),
        )
