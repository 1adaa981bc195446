"""Meeting a cluster that nobody has described yet: what one node says of itself, and of who else belongs to it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from quorate.clusters.causes import ANYWHERE
from quorate.clusters.cluster import Silence
from quorate.errors import Refusal
from quorate.members.etcd import EtcdSeen, MemberSeen
from quorate.nodes.effective import words
from quorate.nodes.programs import API, ETCD, PROGRAMS, Manifest
from quorate.nodes.seen import Look, NodeSeen, UnitSeen

KUBE_PKI = "/etc/kubernetes/pki"
KUBECONFIG = "/etc/kubernetes/admin.conf"
KUBEADM = (
    (f"{KUBE_PKI}/etcd/ca.crt", f"{KUBE_PKI}/apiserver-etcd-client.crt", f"{KUBE_PKI}/apiserver-etcd-client.key"),
    (
        f"{KUBE_PKI}/etcd/ca.crt",
        f"{KUBE_PKI}/etcd/healthcheck-client.crt",
        f"{KUBE_PKI}/etcd/healthcheck-client.key",
    ),
)
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
ANY = {*ANYWHERE, ""}
CLIENT_PORT = 2379
PAIR = ("cert-file", "key-file")
NOT_ASKED = Silence("it was not asked")


@dataclass(frozen=True, slots=True)
class Credential:
    """Files of a node that should open etcd to a client, and who uses them there."""

    host: str
    ca: str
    cert: str
    key: str
    used_by: str

    @property
    def files(self) -> tuple[str, str, str]:
        return self.ca, self.cert, self.key


@dataclass(frozen=True, slots=True)
class Met:
    """One node as far as it could be looked at; `expected` is the member that it was visited for."""

    host: str
    seen: NodeSeen | Silence
    etcd: EtcdSeen | Silence = NOT_ASKED
    credential: Credential | None = None
    expected: str = ""
    direct: bool = True  # as far as is known: etcd answers us too, and not only its own node

    @property
    def there(self) -> NodeSeen | None:
        return self.seen if isinstance(self.seen, NodeSeen) else None

    @property
    def members(self) -> tuple[MemberSeen, ...]:
        return self.etcd.members if isinstance(self.etcd, EtcdSeen) else ()

    @property
    def flags(self) -> Mapping[str, str]:
        """What etcd is told here."""
        keeper = keeper_of(self, ETCD)
        unit = self.there.units.get(keeper) if self.there else None
        return unit.flags if unit else {}

    @property
    def name(self) -> str:
        """The member's, as etcd says it, else as it is told; `default` is etcd's own default."""
        if self.there is None:
            return self.expected
        mine = self.etcd.member_id if isinstance(self.etcd, EtcdSeen) else ""
        listed = next((each.name for each in self.members if each.id == mine), "")
        return listed or self.flags.get("name", "default")

    def manifest(self, program: str) -> Manifest | None:
        found = self.there.programs.manifests if self.there else ()
        return next((each for each in found if each.program == program), None)

    def on_host(self, program: str, path: str) -> str:
        """Where a path that a program is told lies on the node."""
        manifest = self.manifest(program)
        return manifest.on_host(path) if manifest and path else path


FIRST_LOOK = Look(
    programs=True, paths=tuple(dict.fromkeys((KUBECONFIG, *(path for each in KUBEADM for path in each))))
)


def second_look(met: Met) -> Look:
    """The survey's own look, once it is known what to look at."""
    keepers = [name for program in PROGRAMS if (name := keeper_of(met, program))]
    return FIRST_LOOK | Look(
        units=tuple(name for name in keepers if not name.startswith("/")),
        pods=tuple(name for name in keepers if name.startswith("/")),
        spaces=("/",),
    )


def keeper_of(met: Met, program: str) -> str:
    """The unit or the manifest that keeps a program on a node, whatever it is called; nothing where none does.

    What runs counts before what would: a package often brings a unit that nobody uses.
    """
    if met.there is None:
        return ""
    running = [each for each in met.there.programs.processes if each.program == program and not each.in_pod]
    if stray := [each for each in running if not each.unit]:
        raise Refusal(
            f"{met.host}: {program} (process {stray[0].pid}) is kept by neither a system unit nor a static pod, but "
            f"by {stray[0].cgroup or 'nobody'}; Quorate can stop and start only those two"
        )
    manifests = {each.path for each in met.there.programs.manifests if each.program == program}
    units = {each.unit for each in running} or {
        unit.unit for unit in met.there.units.values() if not manifests and would_run(unit, program)
    }
    found = sorted(units | manifests)
    if len(found) > 1:
        raise Refusal(f"{met.host}: {program} is kept by {' and by '.join(found)}; Quorate knows one on a node")
    return found[0] if found else ""


def runs(met: Met) -> bool:
    """Whether a process of etcd was seen there."""
    return met.there is not None and any(each.program == ETCD for each in met.there.programs.processes)


def would_run(unit: UnitSeen, program: str) -> bool:
    """A few signs may stand before the path."""
    return unit.load == "loaded" and bool(unit.argv) and PurePosixPath(unit.argv[0].lstrip("@-:+!")).name == program


def flags_of(met: Met, program: str) -> Mapping[str, str]:
    """What a program is told: by its command line, else by its manifest, else by its unit."""
    if program == ETCD or met.there is None:
        return met.flags
    running = [each.argv for each in met.there.programs.processes if each.program == program]
    manifest, unit = met.manifest(program), met.there.units.get(keeper_of(met, program))
    return words((running or [manifest.argv if manifest else unit.argv if unit else ()])[0])


def clients_of(met: Met) -> tuple[str, ...]:
    """Client URLs by which others reach it: none on loopback unless there is no other."""
    advertised = listed(met.flags.get("advertise-client-urls", "")) or (f"http://localhost:{CLIENT_PORT}",)
    listening = [at(url, met.host) for url in listed(met.flags.get("listen-client-urls", ""))]
    outside = [url for url in (*advertised, *listening) if urlsplit(url).hostname not in LOOPBACK]
    said = [url for url in advertised if url in outside]
    return tuple(said or outside[:1] or advertised)


def at(url: str, host: str) -> str:
    """A listener on every address, by the one that we know."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{bracketed(host)}:{parts.port}" if (parts.hostname or "") in ANY else url


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def listed(text: str) -> tuple[str, ...]:
    return tuple(each.strip().rstrip("/") for each in text.split(",") if each.strip())


def credentials_of(met: Met) -> tuple[Credential, ...]:
    """Where on the node a client's files may lie, the likeliest first; the first that opens etcd is the one."""
    api = flags_of(met, API) if keeper_of(met, API) else {}
    there = met.there.paths if met.there else {}
    ca, cert, key = (met.on_host(ETCD, tls_flag(met.flags, name)) for name in ("trusted-ca-file", *PAIR))
    peer_cert, peer_key = (met.on_host(ETCD, tls_flag(met.flags, name, "peer")) for name in PAIR)
    by_api = [met.on_host(API, api.get(name, "")) for name in ("etcd-cafile", "etcd-certfile", "etcd-keyfile")]
    found = (
        Credential(met.host, by_api[0], by_api[1], by_api[2], API),
        *(
            Credential(met.host, *paths, used_by="kubeadm")
            for paths in KUBEADM
            if all(path in there for path in paths)
        ),
        Credential(met.host, ca, cert, key, "etcd itself"),
        Credential(met.host, ca, peer_cert, peer_key, "etcd's peers"),
    )
    usable = {each.files: each for each in reversed(found) if all(path.startswith("/") for path in each.files)}
    return tuple(usable.values())[::-1]


def tls_flag(flags: Mapping[str, str], name: str, side: str = "client") -> str:
    """By the name of the flag, or as it stands in a section of the configuration file."""
    flag = f"peer-{name}" if side == "peer" else name
    return flags.get(flag) or flags.get(f"{side}-transport-security.{name}", "")


@dataclass(frozen=True, slots=True)
class Roster:
    """Who belongs to the cluster, and who says so."""

    members: tuple[MemberSeen, ...]
    source: str
    proven: bool  # etcd itself said it; --initial-cluster only tells how a member began


def roster(met: tuple[Met, ...]) -> Roster:
    """From etcd's own list where one answers, else from what the nodes were begun with."""
    asked = {each.name: each.members for each in met if each.members}
    lists = {tuple(sorted((m.id, m.name, m.peer_urls) for m in members)) for members in asked.values()}
    if len(lists) > 1:
        raise Refusal(f"{' and '.join(sorted(asked))} do not agree on who is a member; ask etcd: etcdctl member list")
    if asked:
        name, members = next(iter(asked.items()))
        return Roster(tuple(named(each, met) for each in members), f"etcd's member list, from {name}", proven=True)
    begun: dict[str, dict[str, None]] = {}
    for each in met:
        for name, url in begun_with(each):
            begun.setdefault(name, {})[url] = None
    rows = tuple(MemberSeen("", name, tuple(urls), ()) for name, urls in begun.items())
    return Roster(rows, "--initial-cluster", proven=False)


def begun_with(met: Met) -> Iterator[tuple[str, str]]:
    """(name, peer URL) of everybody whom a member was told of when it began, itself included."""
    for each in met.flags.get("initial-cluster", "").split(","):
        name, _, url = each.strip().partition("=")
        if name and url:
            yield name, url.rstrip("/")
    if met.there and keeper_of(met, ETCD) and not met.flags.get("initial-cluster"):
        for url in listed(met.flags.get("initial-advertise-peer-urls", "http://localhost:2380")):
            yield met.name, url


def named(member: MemberSeen, met: tuple[Met, ...]) -> MemberSeen:
    """A member that was added and has never started has no name; its node may know it."""
    if member.name:
        return member
    told = {url: name for each in met for name, url in begun_with(each)}
    name = next((told[url] for url in member.peer_urls if url in told), "")
    if not name:
        raise Refusal(
            f"member {member.id} ({', '.join(member.peer_urls)}) was added and has never started, so it has no name",
            next=f"etcdctl member remove {member.id}  # or start it",
        )
    return MemberSeen(member.id, name, member.peer_urls, member.client_urls, member.learner)


def to_visit(met: tuple[Met, ...], hosts: Mapping[str, str]) -> dict[str, str]:
    """Host by member of everybody whom nobody has been to; `hosts` says where peer URLs do not lead."""
    been = {each.expected or each.name for each in met} | {each.name for each in met}
    return {
        each.name: hosts.get(each.name) or urlsplit(each.peer_urls[0]).hostname or each.name
        for each in sorted(roster(met).members, key=lambda member: member.name)  # etcd's order is that of its ids
        if each.name not in been
    }
