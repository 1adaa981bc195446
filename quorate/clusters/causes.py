"""What only looks like lost quorum: it would keep the restored cluster down too, so it is removed first.

Pure: all that is judged was brought by one survey. A cause loses nothing when it is removed, so it comes before
anything else that can be done.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from quorate.clusters.cluster import ClusterSeen, Silence
from quorate.clusters.reach import ANSWERS, ports_of, tried
from quorate.command import shell
from quorate.inventory import Cluster
from quorate.nodes import effective
from quorate.nodes.certificates import Certificate, plain
from quorate.nodes.seen import NodeSeen, UnitSeen
from quorate.nodes.strange import removal, strangers
from quorate.settings.machines import Member

DISK_BYTES_MIN = (
    64 * 1024 * 1024
)  # etcd preallocates its log by files of 64 MB, and does not start without (etcd.md, 2.2)
ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - nothing is bound here


@dataclass(frozen=True, slots=True)
class Cause:
    """Of one member; `remedy` is the command that removes it, or that shows what a person has to put right."""

    member: str
    id: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.member}: {self.what}"


@dataclass(frozen=True, slots=True)
class Suspect:
    """One member on a node that can be looked at."""

    settings: Cluster
    member: Member
    node: NodeSeen
    seen: ClusterSeen

    @property
    def process(self) -> str:
        return self.settings.etcd.process

    @property
    def unit(self) -> UnitSeen:
        return self.node.units.get(self.process, UnitSeen(self.process))

    @property
    def data_dir(self) -> str:
        return self.settings.etcd.data_dir

    @property
    def silent(self) -> bool:
        return isinstance(self.seen.etcd.get(self.member.name), Silence)

    def told(self, flag: str, default: str = "") -> str:
        return self.unit.flags.get(flag, default)

    def said(self, pattern: str) -> str:
        """The last of etcd's words that says so."""
        found = [word for word in self.node.signs.words if re.search(pattern, word, re.IGNORECASE)]
        return gist(found[-1]) if found else ""

    def cause(self, key: str, what: str, command: str) -> Cause:
        return Cause(self.member.name, key, what, f"{shell(self.settings, self.member.name)} {command}")


def gist(word: str) -> str:
    """Of a line of etcd's log its message and its error, of any other line all of it."""
    parts = [found[1] for key in ("msg", "error") if (found := re.search(rf'"{key}":"((?:[^"\\]|\\.)*)"', word))]
    return ": ".join(part.replace('\\"', '"') for part in parts) or word.strip()


def expired(suspect: Suspect) -> Iterator[Cause]:
    """By the node's own clock, as etcd judges them."""
    now = suspect.node.now
    for path, found in leaves(suspect.seen, suspect.member.name):
        renew = renewal(suspect.process, path)
        if found.expired(now):
            ago = f"{-found.days_left(now):.1f} days ago"
            yield suspect.cause("certificate", f"the certificate {path} expired {ago}", renew)
        elif found.early(now):
            clock = "timedatectl set-ntp true  # or sign it anew"
            yield suspect.cause("certificate", f"the certificate {path} is not valid yet by its clock", clock)
    for path in suspect.node.signs.absent:
        yield suspect.cause("certificate", f"etcd is told of {path}, which is not there", f"ls -l {path}")


def renewal(process: str, path: str) -> str:
    """Kubeadm signs its own; whoever signed others has to do it again."""
    if process.startswith("/"):
        return "kubeadm certs renew all  # then restart the static pods"
    return f"install -m 0644 NEW.crt {path}  # signed anew, then restart {process}"


def leaves(seen: ClusterSeen, name: str) -> Iterator[tuple[str, Certificate]]:
    """The first certificate of each file: those behind it are the chain above it, or a bundle's others."""
    for path, found in sorted(seen.certificates.get(name, {}).items()):
        yield from ((path, each) for each in found[:1])


def moved(suspect: Suspect) -> Iterator[Cause]:
    """No interface has the address that it is to listen at, or is known by."""
    there, gone = suspect.node.signs.addresses, set[str]()
    if not there:
        return
    for url in wanted_urls(suspect):
        address = plain(urlsplit(url).hostname or "")
        if address and address not in there and address not in ANYWHERE and not local(address):
            gone.add(address)
    if gone:
        has = ", ".join(sorted(each for each in there if not local(each)))
        what = f"no interface has {', '.join(sorted(gone))}; it has {has or 'none but the loopback'}"
        yield suspect.cause("address", what, "ip -o addr  # give it that address again")


def wanted_urls(suspect: Suspect) -> tuple[str, ...]:
    """Where it is told to listen; what it is known by where that says nothing, unless it answers there."""
    told = [suspect.told(flag) for flag in ("listen-peer-urls", "listen-client-urls")]
    known = suspect.member.peer_urls + (suspect.member.client_urls if suspect.silent else ())
    return tuple(url for each in told for url in each.split(",") if url) or known


def local(address: str) -> bool:
    return address.startswith(("127.", "fe80:")) or address == "::1"


def full(suspect: Suspect) -> Iterator[Cause]:
    """Measured; its words are old as soon as somebody has made room, and count where nobody could measure."""
    free = suspect.node.spaces.get(suspect.data_dir)
    elsewhere = free is None or suspect.told("wal-dir")
    said = suspect.said("no space left on device") if elsewhere else ""
    if not suspect.silent or not (said or (free is not None and free < DISK_BYTES_MIN)):
        return
    room = f"{free // 2**20} MiB free at {suspect.data_dir}" if free is not None else ""
    what = f"its disk is full: {'; '.join(filter(None, (room, said and f'it last said: {said}')))}"
    yield suspect.cause("disk", what, f"df -h {suspect.data_dir}  # make room, then start {suspect.process}")


def disowned(suspect: Suspect) -> Iterator[Cause]:
    """The data belongs to somebody else than the unit's user; root may read anything."""
    user = suspect.unit.user
    said = suspect.said("permission denied")
    if not suspect.silent or suspect.process.startswith("/") or user in {"", "root", "0"}:
        return
    paths = (suspect.data_dir, f"{suspect.data_dir}/member/snap/db")
    wrong = [
        f"{path} belongs to {there.owner}"
        for path in paths
        if (there := suspect.node.paths.get(path))
        and there.kind in {"directory", "regular file"}
        and there.owner.partition(":")[0] != user
        and not user.isdigit()
    ]
    if wrong or said:
        what = "; ".join([*wrong, f"etcd runs as {user}", *([f"it last said: {said}"] if said else [])])
        yield suspect.cause("owner", what, f"chown -R {suspect.unit.owner} {suspect.data_dir}")


def killed(suspect: Suspect) -> Iterator[Cause]:
    said = suspect.said(r"oom-kill|OOM killer")
    if suspect.silent and (suspect.unit.result == "oom-kill" or said):
        what = "etcd was killed because memory ran out" + (f": {said}" if said else "")
        yield suspect.cause(
            "memory", what, f"systemctl show -p MemoryMax {suspect.process}  # give it more, or free -m"
        )


def downgraded(suspect: Suspect) -> Iterator[Cause]:
    """The data is of a newer etcd than the one that is told to serve it."""
    if suspect.silent and (said := suspect.said("invalid downgrade|cannot be downgraded|cannot downgrade")):
        look = f"journalctl -u {suspect.process} -n 50  # install the etcd that ran before"
        yield suspect.cause("version", f"an upgrade failed half way, it last said: {said}", look)


def mistold(suspect: Suspect) -> Iterator[Cause]:
    """On its command line stands what no etcd has: it exits before it has looked at its data."""
    for flag, right in strangers(suspect.unit) if suspect.silent else ():
        if flag in effective.words(suspect.unit.argv):
            what = f"etcd does not start with --{flag}, for it has no such flag: {right}"
            yield suspect.cause("flag", what, removal(suspect.process, flag))


def shut_off(suspect: Suspect) -> Iterator[Cause]:
    """It listens on its node, and the others get no answer there; while an operation has the node, that is ours."""
    shut: dict[str, list[str]] = {}
    if suspect.node.claim:
        return
    for other, found in tried(suspect.seen, suspect.member).items():
        for host, port in ports_of(suspect.member):
            how = found.get(f"{host}:{port}", "open")
            if port in suspect.node.listening and how not in {"open", "untried"}:
                shut.setdefault(f"{host}:{port}", []).append(f"{other} {ANSWERS[how]}")
    if shut:
        what = "; ".join(f"it listens at {at}, but {', '.join(names)}" for at, names in sorted(shut.items()))
        yield suspect.cause("firewall", what, "nft list ruleset  # find the rule on it, or on the way to it")


RULES: tuple[Callable[[Suspect], Iterator[Cause]], ...] = (
    expired,
    moved,
    full,
    disowned,
    killed,
    downgraded,
    mistold,
    shut_off,
)


def causes(settings: Cluster, seen: ClusterSeen) -> tuple[Cause, ...]:
    """Every one that is found, the alarm of a whole cluster first."""
    suspects = [
        Suspect(settings, member, node, seen)
        for member in settings.members
        if isinstance(node := seen.nodes.get(member.name), NodeSeen)
    ]
    return (*nospace(settings, seen), *(cause for rule in RULES for each in suspects for cause in rule(each)))


def nospace(settings: Cluster, seen: ClusterSeen) -> Iterator[Cause]:
    """Writes are refused everywhere, as without a quorum; with the data the alarm's reason would come back."""
    names = {etcd.member_id: name for name, etcd in seen.answering.items()}
    raised = {member for etcd in seen.answering.values() for member, kind in etcd.alarms if kind == "NOSPACE"}
    for member in sorted(raised):
        name = names.get(member, member)
        url = settings.members[0].client_urls[0]
        remedy = f"etcdctl --endpoints={url} defrag --cluster  # after `compact`; then `alarm disarm`"
        yield Cause(
            name, "alarm", "it has raised the alarm NOSPACE: its quota is used up, writes are refused", remedy
        )
