"""The inventory of a cluster as its nodes tell it: every value with its source, every decision marked."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from quorate.clusters.cluster import Silence
from quorate.errors import Refusal
from quorate.inventories.meeting import (
    ANY,
    KUBECONFIG,
    LOOPBACK,
    Met,
    Roster,
    bracketed,
    clients_of,
    credentials_of,
    flags_of,
    keeper_of,
    roster,
)
from quorate.inventories.writing import Entry
from quorate.members.etcd import EtcdSeen, MemberSeen, minor, numbers
from quorate.nodes.image import version_of
from quorate.nodes.programs import API, ETCD, PROGRAMS
from quorate.settings.machines import Ssh

API_PORT = 6443
DEFAULT_TOOL = "/usr/local/bin/etcdutl"
BACKUP = (
    Entry("store", "offsite"),
    Entry("every", "1h", decide="how often"),
    Entry("schedule", "off", decide="on: the daemon takes one each `every`; off: a timer of yours does"),
    Entry(
        "recipients", (), decide="whose age keys open a backup; while it is empty, everybody who reads the store does"
    ),
    Entry("identities", (), decide="file:/path of a key that opens them here, with recipients"),
)


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the inventory that cannot be read from a node, with what is to be said of it."""

    value: str
    source: str = ""
    decide: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """What a person or this machine says; all else is read."""

    cluster: Value
    state_dir: str
    store: str  # a directory that stands in until somebody decides
    ssh: Ssh
    tls: tuple[Value, Value, Value]
    kubeconfig: Value
    api_url: str = ""  # where that kubeconfig leads to, for nodes without an API server


FILES = ("ca.crt", "client.crt", "client.key")  # as they are called on this side
KUBECONFIG_FILE = "admin.kubeconfig"


@dataclass(frozen=True, slots=True)
class Copy:
    """A file of a node that this side needs, and its name here."""

    host: str
    path: str
    name: str
    used_by: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.path}" + (f", which {self.used_by} uses" if self.used_by else "")


def tls_copies(met: tuple[Met, ...]) -> tuple[Copy, ...]:
    """Of what opened etcd, else of what would most likely: nothing where clients need no certificate."""
    found = (*(each.credential for each in met), *(first for each in met for first in credentials_of(each)[:1]))
    best = next((each for each in found if each), None)
    if best is None or not secured(met):
        return ()
    return tuple(Copy(best.host, path, name, best.used_by) for path, name in zip(best.files, FILES, strict=True))


def secured(met: tuple[Met, ...]) -> bool:
    return any(each.there and urlsplit(clients_of(each)[0]).scheme == "https" for each in met)


def kubeconfig_copy(met: tuple[Met, ...]) -> tuple[Copy, ...]:
    """The administrator's, where kubeadm puts it."""
    there = (each.host for each in met if each.there and KUBECONFIG in each.there.paths and keeper_of(each, API))
    return tuple(Copy(host, KUBECONFIG, KUBECONFIG_FILE) for host in there)[:1]


def placed(copy: Copy, folder: str, *, fetched: bool, doubt: str = "") -> Value:
    """The reference to it, as a file that is here or that a person has to put here."""
    value = f"file:{folder}/{copy.name}"
    done = f"copied from {copy}{doubt}"
    return Value(value, done, done if doubt else "") if fetched else Value(value, decide=f"put here {copy}{doubt}")


def tls_values(met: tuple[Met, ...], folder: str, *, fetched: bool) -> tuple[Value, Value, Value]:
    doubt = "" if any(each.credential for each in met) else "; it has opened no etcd yet, so it is not proven"
    ca, cert, key = [placed(each, folder, fetched=fetched, doubt=doubt) for each in tls_copies(met)] or [
        Value(f"file:{folder}/{name}", decide="etcd's CA, a client's certificate and its key: none were found")
        for name in FILES
    ]
    return ca, cert, key


def kubeconfig_value(met: tuple[Met, ...], folder: str, *, fetched: bool) -> Value:
    found = [placed(each, folder, fetched=fetched) for each in kubeconfig_copy(met)]
    missing = Value(f"file:{folder}/{KUBECONFIG_FILE}", decide="an administrator's, with a client certificate")
    return found[0] if found else missing


@dataclass(frozen=True, slots=True)
class Draft:
    """The inventory with its comments, and what could not be made sure of."""

    entries: tuple[Entry, ...]
    findings: tuple[str, ...] = ()


def draft(given: Given, met: tuple[Met, ...]) -> Draft:
    """Every value with its source; what nobody can read is marked, with something harmless in its stead."""
    who = roster(met)
    met = belonging(met, who)
    known = {each.name: each for each in met if each.there}
    rows = tuple(Row(each, known.get(each.name), met) for each in sorted(who.members, key=lambda m: m.name))
    control = control_plane(tuple(known.values()))
    settings = (
        Entry("environment", "production", decide="production, or staging"),
        Entry("ssh", fields=(*ssh(given.ssh), *forward(given.ssh, met))),
        Entry("etcd", fields=etcd(given, tuple(known.values()))),
        Entry(
            "members",
            items=tuple(row.entries for row in rows),
            source="" if not who.proven else who.source,
            decide="" if who.proven else f"etcd answers nowhere, so this is {who.source}: is it still true?",
        ),
        *control,
        *(kubernetes(given, rows) if control else elsewhere(given)),
        Entry("backup", fields=BACKUP),
        Entry(
            "objectives",
            fields=(Entry("rto", "1h"), Entry("rpo", "2h")),
            decide="how long an outage may last, how old the newest backup may be",
        ),
        Entry("approval", fields=(Entry("people", 1),), decide="2 where a second person has to agree to a restore"),
    )
    entries = (
        Entry("apiVersion", "quorate/v1"),
        Entry("state_dir", given.state_dir),
        Entry(
            "temporal",
            fields=(Entry("namespace", "default"),),
            decide="the address of a server of yours; without one `quorate up` brings its own",
        ),
        Entry(
            "stores",
            fields=(
                Entry(
                    "offsite",
                    fields=(Entry("directory", given.store),),
                    decide="where backups go, away from this cluster: s3: {bucket: …, region: …, access_key: env:…, "
                    "secret_key: env:…}",
                ),
            ),
        ),
        Entry("clusters", fields=(Entry(given.cluster.value, fields=settings, decide=given.cluster.decide),)),
    )
    return Draft(entries, tuple(findings(met, who)))


def belonging(met: tuple[Met, ...], who: Roster) -> tuple[Met, ...]:
    """Those that are members now: what a dead one was begun with may name some that left long ago."""
    first, *others = met
    names = {each.name for each in who.members}
    check_member(first, names)
    there = [each for each in others if (each.expected or each.name) in names]
    for each in there:
        if each.there and keeper_of(each, ETCD) and each.name != each.expected:
            raise Refusal(
                f"{each.host} should be member {each.expected}, and its etcd is called {each.name}",
                next=f"quorate init … --host {each.expected}=ADDRESS",
            )
    return first, *(each if keeper_of(each, ETCD) else replace(each, seen=bare(each)) for each in there)


def check_member(first: Met, names: set[str]) -> None:
    if not keeper_of(first, ETCD):
        raise Refusal(
            f"{first.host}: {bare(first).reason}", next="quorate init USER@HOST …  # a member of the cluster"
        )
    if first.name not in names:
        raise Refusal(
            f"{first.host}: its etcd is called {first.name}, and the members are {', '.join(sorted(names))}"
        )


def bare(met: Met) -> Silence:
    """Why it tells nothing."""
    no_etcd = Silence("there is no process of etcd, and no unit or static pod that would run one")
    return met.seen if isinstance(met.seen, Silence) else no_etcd


def findings(met: tuple[Met, ...], who: Roster) -> Iterator[str]:
    for each in met:
        if isinstance(each.seen, Silence):
            yield f"{each.expected} ({each.host}) could not be looked at: {each.seen.reason}"
        elif isinstance(each.etcd, Silence):
            yield f"{each.name} ({each.host}): etcd does not answer: {each.etcd.reason}"
    if not who.proven:
        yield "etcd answers nowhere: who is a member is only known from what they began with"


@dataclass(frozen=True, slots=True)
class Row:
    """One member."""

    member: MemberSeen
    met: Met | None
    all: tuple[Met, ...]

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def host(self) -> str:
        """Where it was met, or where it should have been."""
        return next((each.host for each in self.all if self.name in {each.name, each.expected}), self.name)

    @property
    def entries(self) -> tuple[Entry, ...]:
        away = "" if self.met else "it could not be looked at: is this right?"
        urls = self.client_urls
        return (
            Entry(
                "name",
                self.name,
                decide="a learner, which a restore would make a voter" if self.member.learner else "",
            ),
            Entry("host", self.host, decide=away),
            Entry("peer_urls", self.member.peer_urls),
            Entry("client_urls", urls, decide=self._doubt(urls)),
        )

    @property
    def client_urls(self) -> tuple[str, ...]:
        """As etcd lists them, unless only the node itself could use them."""
        outside = tuple(url for url in self.member.client_urls if urlsplit(url).hostname not in LOOPBACK)
        if outside:
            return tuple(url.rstrip("/") for url in outside)
        return clients_of(self.met) if self.met else (self._guess,)

    @property
    def _guess(self) -> str:
        """Like another member's, at the host of its own peer URL."""
        like = next((urlsplit(clients_of(each)[0]) for each in self.all if each.there), urlsplit("https://x:2379"))
        host = urlsplit(self.member.peer_urls[0]).hostname or self.name
        return f"{like.scheme}://{bracketed(host)}:{like.port}"

    def _doubt(self, urls: tuple[str, ...]) -> str:
        if urlsplit(urls[0]).hostname in LOOPBACK:
            return "etcd listens on loopback only, where nothing but ssh.forward reaches it"
        return "" if self.met or self.member.client_urls else "not known, so taken to be like another member's"


def ssh(settings: Ssh) -> tuple[Entry, ...]:
    """What is as usual is left out."""
    return tuple(as_entry(name, value) for name, value in settings.model_dump(exclude_defaults=True).items())


def forward(settings: Ssh, met: tuple[Met, ...]) -> tuple[Entry, ...]:
    """Where a member answered its own node, and not us; behind a jump host also where none answered at all."""
    if settings.forward:
        return ()
    if shut := [each.name for each in met if not each.direct]:
        why = f"from here etcd does not answer on {', '.join(shut)}, through its node it does"
        return (Entry("forward", value=True, source=why),)
    if settings.jump and not any(isinstance(each.etcd, EtcdSeen) for each in met):
        return (Entry("forward", value=True, decide="false if etcd is reached from here without SSH: not known now"),)
    return ()


def as_entry(name: str, value: Any) -> Entry:
    if isinstance(value, dict):
        return Entry(name, fields=tuple(as_entry(*each) for each in value.items()))
    return Entry(name, value)


def etcd(given: Given, known: tuple[Met, ...]) -> tuple[Entry, ...]:
    keeper = agreed("what runs etcd", known, lambda each: keeper_of(each, ETCD))
    scheme = agreed("the scheme of their client URLs", known, lambda each: urlsplit(clients_of(each)[0]).scheme)
    names = ("ca", "cert", "key")
    tls = tuple(Entry(n, v.value, v.source, v.decide) for n, v in zip(names, given.tls, strict=True))
    return (
        kept_by(keeper, "what runs etcd"),
        Entry("data_dir", agreed("data_dir", known, data_dir), source="--data-dir"),
        *((Entry("wal_dir", wal, source="--wal-dir"),) if (wal := agreed("wal_dir", known, wal_dir)) else ()),
        restore_tool(known),
        *((Entry("tls", fields=tls),) if scheme == "https" else ()),
    )


def agreed(what: str, known: tuple[Met, ...], ask: Callable[[Met], str]) -> str:
    """The one value of all nodes: the inventory has one for a cluster."""
    said: dict[str, list[str]] = {}
    for each in known:
        said.setdefault(ask(each), []).append(each.name)
    if len(said) > 1:
        differing = "; ".join(f"{value or 'none'} on {', '.join(names)}" for value, names in sorted(said.items()))
        raise Refusal(f"the nodes differ in {what}: {differing}. An inventory has one for all nodes: make them alike")
    return next(iter(said))


def data_dir(met: Met) -> str:
    """As the node knows it; a relative one belongs to the directory that its process runs in."""
    told = met.flags.get("data-dir", "")
    if not told and ("$" in met.flags or "unreadable" in met.flags):
        raise Refusal(f"{met.host}: where its data lies cannot be read from {keeper_of(met, ETCD)}, and no etcd runs")
    path = PurePosixPath(met.on_host(ETCD, told or f"{met.name}.etcd"))
    if path.is_absolute():
        return str(path)
    running = [each.cwd for each in met.there.programs.processes if each.program == ETCD] if met.there else []
    if not running:
        raise Refusal(f"{met.host}: its data lies in {path}, relative to a process that does not run")
    return str(PurePosixPath(running[0]) / path)


def wal_dir(met: Met) -> str:
    """Only where etcd is told one."""
    return str(PurePosixPath(met.on_host(ETCD, told))) if (told := met.flags.get("wal-dir", "")) else ""


def restore_tool(known: tuple[Met, ...]) -> Entry:
    """The first that all nodes have, and that can restore what runs there."""
    version = next((each.etcd.version for each in known if isinstance(each.etcd, EtcdSeen)), "")
    for path in known[0].there.tools if known[0].there else ():
        if all(each.there and fits(path, each.there.tools.get(path, ""), version) for each in known):
            return Entry("restore_tool", path, source="on every node")
    if all(minor(carried(each)) == minor(version or carried(each)) != "" for each in known):
        return Entry("restore_tool", DEFAULT_TOOL, source="not there: a restore copies it out of etcd's own image")
    where = {path: None for each in known if each.there for path in each.there.tools}
    found = f"there is {', '.join(where)}, not on all or not fit" if where else "none was found"
    wanted = f"the etcdutl of etcd {minor(version) or '(its version)'}"
    return Entry("restore_tool", DEFAULT_TOOL, decide=f"{wanted}, at one path on every node: {found}")


def carried(met: Met) -> str:
    """The version of etcd's image on a node, where the kubelet runs it from one."""
    manifest = met.manifest(ETCD)
    return version_of(manifest.image) if manifest and met.there and manifest.image in met.there.images else ""


def fits(path: str, tool: str, etcd: str) -> bool:
    """Before 3.5 there is only etcdctl, and with 3.5 it still restores."""
    if not re.match(r"\d+\.\d+", tool) or (etcd and minor(tool) != minor(etcd)):
        return False
    return PurePosixPath(path).name == "etcdutl" or numbers(tool) < (3, 6, 0)


def control_plane(known: tuple[Met, ...]) -> tuple[Entry, ...]:
    keepers = {role: agreed(f"what runs {role}", known, partial(keeper_of, program=role)) for role in PROGRAMS[1:]}
    rows = tuple((Entry("role", role), kept_by(keeper)) for role, keeper in keepers.items() if keeper)
    return (Entry("control_plane", items=rows, source="as it is kept on every node"),) if rows else ()


def kept_by(keeper: str, source: str = "") -> Entry:
    return Entry("manifest" if keeper.startswith("/") else "unit", keeper, source)


def kubernetes(given: Given, rows: tuple[Row, ...]) -> tuple[Entry, ...]:
    config = given.kubeconfig
    fields = (
        Entry("kubeconfig", config.value, config.source, config.decide),
        Entry(
            "api_urls",
            tuple(api_url(row) for row in rows),
            source="--advertise-address, --secure-port",
            decide="" if all(row.met for row in rows) else "not every node could be looked at: are they right?",
        ),
    )
    return (Entry("kubernetes", fields=fields),)


def elsewhere(given: Given) -> tuple[Entry, ...]:
    """For etcd on machines of its own, whose API servers nobody can find by looking at it."""
    if not given.api_url:
        return ()
    config, why = given.kubeconfig, "no API server runs beside etcd: name every one that uses it"
    urls = Entry("api_urls", (given.api_url,), decide=why)
    return (Entry("kubernetes", fields=(Entry("kubeconfig", config.value, config.source, config.decide), urls)),)


def api_url(row: Row) -> str:
    flags = flags_of(row.met, API) if row.met else {}
    address = flags.get("advertise-address") or flags.get("bind-address", "")
    host = row.host if address in ANY else address
    return f"https://{bracketed(host)}:{flags.get('secure-port', API_PORT)}"
