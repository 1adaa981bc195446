"""What is told to etcd, or done beside it, because it was published somewhere.

Judged is only what was seen on a node, and nothing where what etcd is told could not be read to its end.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from quorate.findings.case import Case
from quorate.findings.finding import Finding, listed, page
from quorate.findings.versions import running
from quorate.members.etcd import minor
from quorate.nodes import effective
from quorate.nodes.flags import filled
from quorate.nodes.seen import UnitSeen
from quorate.nodes.strange import NONEXISTENT, removal, strangers

GIB, MIB = 2**30, 2**20


@dataclass(frozen=True, slots=True)
class Limit:
    """A flag whose number is larger than anybody advises; `minors` where it is so in these only."""

    id: str
    flag: str
    most: int
    why: str
    page: str = ""
    minors: tuple[str, ...] = ()

    def passed(self, unit: UnitSeen, version: str) -> bool:
        return number(unit, self.flag, 0) > self.most and (not self.minors or version in self.minors)


LIMITS = (
    Limit(
        "quota-large",
        "quota-backend-bytes",
        8 * GIB,
        "more than 8 GiB is above what etcd is tested with: starts, snapshots and restores take minutes",
        page("EtcdQuotaLow"),
    ),
    Limit(
        "request-large",
        "max-request-bytes",
        10 * MIB,
        "above 10 MiB a single write stops all others; what is advised most for large objects is 10 MiB",
    ),
    Limit(
        "snapshot-count",
        "snapshot-count",
        10_000,
        "100,000 was the default up to 3.5; from 3.6 on it is 10,000: less memory, and a member catches up sooner",
        minors=("3.6", "3.7"),
    ),
)
HEARTBEAT_MS, ELECTION_MS = 100.0, 1000.0  # without the flags
TIMES = 10.0  # election timeout, in heartbeats and in round trips


def told(case: Case) -> dict[str, UnitSeen]:
    """The etcd of every node that could be looked at, with all that it is told."""
    units = {name: case.unit(node) for name, node in sorted(case.seen.reachable.items())}
    return {name: unit for name, unit in units.items() if unit.flags}


def ignored(case: Case) -> Iterator[Finding]:
    """In its environment, or its file, etcd passes over what it does not know, and its author believes in it."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, unit in told(case).items():
        version = running(case).get(name, "")
        for flag, right in strangers(unit, version) if version else ():
            found.setdefault((flag, right), []).append(name)
    for (flag, right), names in found.items():
        message = f"etcd is told `{flag}`, which it does not know: {listed(names)}"
        aid = f"{case.at(names[0])} {removal(case.settings.etcd.process, flag)}"
        yield Finding("flag-ignored", "NOTE", message, f"nothing happens for it: {right}", aid)
    yield from ending(case)


def ending(case: Case) -> Iterator[Finding]:
    """What the next minor version will not start with."""
    flags = {
        name: [flag for flag in unit.flags if flag.startswith("experimental-") and flag not in NONEXISTENT]
        for name, unit in told(case).items()
        if minor(running(case).get(name, "")) == "3.6"
    }
    if found := {name: each for name, each in flags.items() if each}:
        named = listed({flag for each in found.values() for flag in each})
        message = f"flags of etcd that 3.7 does not start with: {named}"
        evidence = f"on {listed(found)}; 3.6 still takes them, under their new names they stay"
        first = next(iter(found))
        aid = f"{case.at(first)} {removal(case.settings.etcd.process, found[first][0])}"
        yield Finding("flag-ending", "NOTE", message, evidence, aid)


def dangerous(case: Case) -> Iterator[Finding]:
    """Set for an hour once, and still there."""
    why = {
        "force-new-cluster": "with every start it throws all other members out, and forms a cluster of its own",
        "unsafe-no-fsync": "what it has confirmed is not on its disk: a power cut takes it back",
    }
    for name, unit in told(case).items():
        for flag, evidence in why.items():
            if unit.flags.get(flag, "false").lower() not in {"false", "0", ""}:
                aid = f"{case.at(name)} {removal(unit.unit, flag)}"
                yield Finding(flag, "WARN", f"{name}: etcd is told --{flag}", evidence, aid)


def number(unit: UnitSeen, flag: str, default: float) -> float:
    """The default too where it is no number: etcd would not have started with it."""
    try:
        return float(unit.flags.get(flag, default))
    except ValueError:
        return default


@dataclass(frozen=True, slots=True)
class Timing:
    """Of one member, with the defaults for what it is not told."""

    beat_ms: float
    election_ms: float

    def __str__(self) -> str:
        return f"{self.beat_ms:.0f}/{self.election_ms:.0f} ms"


def whole(case: Case) -> dict[str, UnitSeen]:
    """Those of whom everything was read that they are told."""
    return {name: unit for name, unit in told(case).items() if filled(unit)}


def timing(case: Case) -> Iterator[Finding]:
    """Too short an election, and every pause of a disk or a line elects a leader anew."""
    times = {
        name: Timing(number(unit, "heartbeat-interval", HEARTBEAT_MS), number(unit, "election-timeout", ELECTION_MS))
        for name, unit in whole(case).items()
    }
    if len(set(times.values())) > 1:
        each = ", ".join(f"{name} {time}" for name, time in times.items())
        message = f"heartbeat-interval and election-timeout are not the same on every member: {each}"
        evidence = "the member with the shortest timeout unseats leaders that the others follow"
        yield Finding("timing-differs", "NOTE", message, evidence, page("EtcdLeaderChanges"))
    yield from hasty({name: time for name, time in times.items() if time.election_ms < TIMES * time.beat_ms})
    yield from distant(case, times)


def hasty(short: dict[str, Timing]) -> Iterator[Finding]:
    if short:
        first = next(iter(short.values()))
        message = (
            f"election-timeout {first.election_ms:.0f} ms is less than {TIMES:.0f} x heartbeat-interval "
            f"{first.beat_ms:.0f} ms: {listed(short)}"
        )
        evidence = (
            "a few late heartbeats elect a new leader, and writes wait meanwhile; below 5 x etcd does not start"
        )
        yield Finding("election-timeout", "NOTE", message, evidence, page("EtcdLeaderChanges"))


def distant(case: Case, times: dict[str, Timing]) -> Iterator[Finding]:
    medians = {name: each.peer_median_s for name, each in case.seen.vitals.members.items()}
    far = {
        name: f"{name} {1000 * took:.0f} ms"
        for name, time in times.items()
        if (took := medians.get(name)) and time.election_ms < TIMES * 1000 * took
    }
    if far:
        message = f"election-timeout is less than {TIMES:.0f} round trips between members: {', '.join(far.values())}"
        evidence = "half of all round trips take as long or longer; raise both timings, on every member alike"
        yield Finding("election-distance", "NOTE", message, evidence, page("EtcdPeerSlow"))


def compaction(case: Case) -> Iterator[Finding]:
    """Exactly one should do it."""
    units = whole(case)
    own = {
        name: said
        for name, unit in units.items()
        if not never(said := unit.flags.get("auto-compaction-retention", "0"))
    }
    apis = apiservers(case)
    off = sorted(name for name, flags in apis.items() if never(flags.get("etcd-compaction-interval", "5m")))
    if apis and own and not off:
        each = ", ".join(f"{name} {said}" for name, said in own.items())
        message = f"etcd compacts by itself beside kube-apiserver: auto-compaction-retention {each}"
        evidence = "kube-apiserver compacts every 5 minutes already: one of them is enough, and the other surprises"
        aid = f"{case.at(next(iter(own)))} {removal(case.settings.etcd.process, 'auto-compaction-retention')}"
        yield Finding("compaction-twice", "NOTE", message, evidence, aid)
    if apis and len(off) == len(apis) and units and not own:
        message = f"nobody compacts: --etcd-compaction-interval=0 on {listed(off)}, and etcd is told no retention"
        evidence = "every revision is kept until the quota is full, and then writes are refused"
        aid = "quorate inspect " + case.name + "  # after --etcd-compaction-interval was taken out of the API servers"
        yield Finding("compaction-none", "NOTE", message, evidence, aid)


def never(span: str) -> bool:
    """`0`, `0s`, `0h0m0s`: it is turned off."""
    return not span.strip("0hms")


def apiservers(case: Case) -> dict[str, Mapping[str, str]]:
    """What each is told, by node; only where it runs and what it is told was seen."""
    process = next((each.process for each in case.settings.control_plane if each.role == "kube-apiserver"), "")
    out: dict[str, Mapping[str, str]] = {}
    for name, node in sorted(case.seen.reachable.items()):
        unit = node.units.get(process)
        argv = (unit.manifest.argv if unit.manifest else unit.argv) if unit else ()
        if unit and unit.state == "active" and argv:
            out[name] = effective.words(argv)
    return out


def limits(case: Case) -> Iterator[Finding]:
    """Quotas, sizes and counts that were copied from somewhere."""
    units = whole(case)
    quotas = {name: number(unit, "quota-backend-bytes", 0) for name, unit in units.items()}
    if len(set(quotas.values())) > 1:
        each = ", ".join(f"{name} {said / GIB:.1f} GiB" if said else f"{name} unset" for name, said in quotas.items())
        message = f"quota-backend-bytes is not the same on every member: {each}"
        yield Finding(
            "quota-differs", "NOTE", message, "the smallest stops writes for all of them", page("EtcdQuotaLow")
        )
    for limit in LIMITS:
        names = [name for name, unit in units.items() if limit.passed(unit, minor(running(case).get(name, "")))]
        if names:
            message = f"{limit.flag} is {units[names[0]].flags[limit.flag]} on {listed(names)}"
            aid = limit.page or f"{case.at(names[0])} {removal(case.settings.etcd.process, limit.flag)}"
            yield Finding(limit.id, "NOTE", message, limit.why, aid)


def disabled(case: Case) -> Iterator[Finding]:
    """Started by hand once: nobody notices before its machine reboots."""
    for name, node in sorted(case.seen.reachable.items()):
        units = sorted(u.unit for u in node.units.values() if u.state == "active" and u.file_state == "disabled")
        if units:
            message = f"{name}: {listed(units)} runs, and is not enabled"
            evidence = "systemd does not start it with its machine, unless another unit asks for it"
            aid = f"{case.at(name)} systemctl enable {' '.join(units)}"
            yield Finding("not-enabled", "NOTE", message, evidence, aid)


def crons(case: Case) -> Iterator[Finding]:
    """What still runs beside the schedule: deleting by age alone takes the last good backup too, a week later."""
    by_age = {name: node.habits for name, node in sorted(case.seen.reachable.items()) if node.habits}
    for name, habits in by_age.items():
        for path, line in habits:
            aid = f"{case.at(name)} vi {path}"
            if "delete" in line or "rm" in line.split():
                message = f"{name}: {path} deletes backups by their age alone: `{line}`"
                evidence = (
                    "when backups stop, it goes on until none is left; `backup.retention` keeps the newest that were "
                    "verified whatever their age"
                )
                yield Finding("cron-deletes", "NOTE", message, evidence, f"{aid}  # quorate snapshots prune does it")
            else:
                message = f"{name}: {path} takes snapshots too"
                evidence = "nobody verifies them, and each holds the same pages in memory and on disk a second time"
                yield Finding("cron-snapshot", "NOTE", message, evidence, f"{aid}  # backup.schedule does it")
