"""What a certificate says that decides whether etcd's members can talk: for how long, and for whom."""

from dataclasses import dataclass
from ipaddress import ip_address

DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """Times are seconds since 1970; names are DNS names and addresses, as they stand in it."""

    subject: str
    not_before: float
    not_after: float
    names: tuple[str, ...] = ()
    authority: bool = False

    def expired(self, now: float) -> bool:
        return now > self.not_after

    def early(self, now: float) -> bool:
        return now < self.not_before

    def days_left(self, now: float) -> float:
        return (self.not_after - now) / DAY_S

    def covers(self, host: str) -> bool:
        """An address by its value, a name as Go's crypto/x509 does: a `*` stands for one whole first label."""
        wanted = host.strip("[]").lower()
        if address := plain(wanted):
            return address in {plain(name) for name in self.names}
        return any(matches(name.lower(), wanted) for name in self.names)


def plain(text: str) -> str:
    """One spelling for an address, `::ffff:10.0.0.1` included; nothing for a name."""
    try:
        address = ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return ""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def matches(pattern: str, name: str) -> bool:
    first, _, rest = name.partition(".")
    return pattern == name or (bool(first and rest) and pattern == f"*.{rest}")
