"""Nodes that are gone for good and may come back all the same: etcd's ports are shut to them, both ways.

An old member is refused by the restored ones (another cluster id), but an API server beside it would write what it
remembers into them, and one of theirs would be sent to it and find no leader there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from quorate.command import Command
from quorate.converge import Left
from quorate.inventory import Cluster
from quorate.nodes.clients import NFT
from quorate.nodes.durable import removed, settled
from quorate.nodes.mention import Mention
from quorate.nodes.seen import Look, NodeSeen, UnitSeen
from quorate.nodes.supervisor import FENCE_DIR
from quorate.settings.machines import Member

TABLE = "inet quorate-absent"
RULES = f"{FENCE_DIR}/absent.nft"


@dataclass(frozen=True, slots=True)
class Absent:
    """Addresses that are shut out of `ports`; `unit` loads the rule again whenever it starts."""

    addresses: tuple[str, ...]
    ports: tuple[int, ...]
    unit: str

    @property
    def drop_in(self) -> str:
        return f"/etc/systemd/system/{self.unit}.d/02-quorate-absent.conf"

    def look(self) -> Look:
        return Look(paths=(RULES, self.drop_in), units=(self.unit,), tables=True)

    def shut_out(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        """At once, and before every start of the unit."""
        unit = seen.units.get(self.unit, UnitSeen(self.unit))
        laid = all(seen.has(RULES, self.drop_in)) and self.drop_in in unit.drop_ins and not unit.stale
        return () if laid and TABLE in seen.tables else self._lay()

    def let_in(self, seen: NodeSeen, _waited_s: float) -> Left[Command]:
        unit = seen.units.get(self.unit, UnitSeen(self.unit))
        table = (Command((NFT, "delete", "table", *TABLE.split())),) if TABLE in seen.tables else ()
        lifted = not any(seen.has(RULES, self.drop_in)) and self.drop_in not in unit.drop_ins
        return table if lifted else (*table, *removed(self.drop_in, RULES), Command(("systemctl", "daemon-reload")))

    def _lay(self) -> tuple[Command, ...]:
        return (
            Command(("install", "-D", "-m", "0644", "/dev/stdin", RULES), stdin=self._rules()),
            Command(
                ("install", "-D", "-m", "0644", "/dev/stdin", self.drop_in),
                stdin=f"[Service]\nExecStartPre=+{NFT} -f {RULES}\n",
            ),
            settled(self.drop_in, RULES),
            Command((NFT, "-f", RULES)),
            Command(("systemctl", "daemon-reload")),
        )

    def _rules(self) -> str:
        """Silence would let their clients wait; a reset tells them at once."""
        ports = f"tcp dport {{ {', '.join(map(str, self.ports))} }}"
        chains = [
            f"  chain {hook} {{\n    type filter hook {hook} priority -10; policy accept;\n"
            + "".join(f"    {family(each)} {side} {each} {ports} reject with tcp reset\n" for each in self.addresses)
            + "  }\n"
            for hook, side in (("input", "saddr"), ("output", "daddr"))
        ]
        return f"table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n{''.join(chains)}}}\n"


def family(address: str) -> str:
    return "ip6" if ip_address(address).version == 6 else "ip"


def addresses(members: tuple[Member, ...]) -> Iterator[str]:
    """All that the inventory knows of them; a name is none, for who resolves it may be told another one."""
    for host in dict.fromkeys(host for member in members for host in member.hosts):
        try:
            yield str(ip_address(host))
        except ValueError:
            continue


def afterwards(
    settings: Cluster, gone: tuple[Member, ...], staying: Mapping[str, tuple[Mention, ...]]
) -> Iterator[str]:
    """What is left to do for a person, for the report; by member what was taken out of its API server's list."""
    others = ", ".join(staying)
    for member in gone:
        add = f"etcdctl member add {member.name} --learner --peer-urls={','.join(member.peer_urls)}"
        yield (
            f"{member.name} ({member.host}) is no member any more, and shut out by {RULES} on {others}. To grow back "
            f"on it: move {settings.etcd.data_dir} away there; on the others `{NFT} delete table {TABLE}`, remove "
            f"{RULES} and 02-quorate-absent.conf; `{add}`; start it with --initial-cluster-state=existing and all "
            "members in --initial-cluster; `etcdctl member promote`"
        )
        for url in member.client_urls if settings.control_plane else ():
            out = {name: sorted(each.where for each in found if each.text == url) for name, found in staying.items()}
            if done := [f"{name} ({', '.join(files)})" for name, files in out.items() if files]:
                yield f"{url} was taken out of --etcd-servers on {', '.join(done)}; to grow back, name it there again"
            if left := [name for name, files in out.items() if not files]:
                yield f"{url} may still be in --etcd-servers on {', '.join(left)}: nothing was changed there"
