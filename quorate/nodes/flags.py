"""What etcd is told: recorded with a backup, compared before a restore."""

from collections.abc import Iterator, Mapping

from quorate.audit import masked
from quorate.nodes.seen import UnitSeen

UNSET = "not set"

# The inventory says who a member is and where it lives, and says it later than any manifest.
INVENTORY = frozenset(
    {"name", "data-dir", "wal-dir", "config-file", "initial-advertise-peer-urls", "force-new-cluster"}
)
# Read by etcd only where there is no data yet, which a restored member never is.
BOOTSTRAP = frozenset({"initial-cluster", "initial-cluster-token", "initial-cluster-state"})
DISCOVERY = "discovery"  # bootstrap too, and its URL is a secret as a whole


def recorded(unit: UnitSeen) -> dict[str, str]:
    """Its flags, without what could be a secret."""
    return {name: shown(name, value) for name, value in unit.flags.items()}


def shown(name: str, value: str) -> str:
    if name.startswith(DISCOVERY):
        return "***"
    return masked((f"{name}={value}",))[0].removeprefix(f"{name}=")


def filled(unit: UnitSeen) -> bool:
    """Whether it is all that etcd is told: a unit that does not run may use variables that nobody has filled in."""
    told = (*(unit.argv if unit.told is None else ()), *unit.flags.values())
    return bool(unit.flags) and "unreadable" not in unit.flags and not any("$" in word for word in told)


def changed(unit: UnitSeen, then: Mapping[str, str]) -> Iterator[str]:
    """Each flag that is not as it was recorded, with both values."""
    now = recorded(unit)
    for name in sorted({*now, *then} - INVENTORY - BOOTSTRAP):
        is_now, was = now.get(name, UNSET), then.get(name, UNSET)
        unknown = "$" in is_now or (name not in now and not filled(unit))
        if is_now != was and not unknown and not name.startswith(DISCOVERY):
            yield f"--{name} is {is_now or 'empty'}, at the backup it was {was or 'empty'}"
