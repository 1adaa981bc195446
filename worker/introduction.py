"""Everything behind `quorate init`: host keys pinned, nodes asked, files copied if asked for, one file written."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from activities.clusters.discovery import reference
from activities.clusters.surveys import PARALLEL, answer
from quorate.clusters.cluster import Silence
from quorate.clusters.kubeconfig import server
from quorate.command import Node, jump_of
from quorate.errors import BadInput, Refusal
from quorate.inventories.draft import (
    FILES,
    KUBECONFIG_FILE,
    Draft,
    Given,
    Value,
    draft,
    kubeconfig_copy,
    kubeconfig_value,
    tls_copies,
    tls_values,
)
from quorate.inventories.meeting import Met, keeper_of
from quorate.inventories.reading import parse
from quorate.inventories.writing import Decision, decisions, text
from quorate.inventory import Inventory
from quorate.nodes.known_hosts import HostKey, name_of, pins
from quorate.nodes.programs import API
from quorate.settings.machines import Ssh
from worker.wiring import Introduction

# The keys of hosts that nobody has pinned yet, by host; those that are right. It raises where one is not.
Accept = Callable[[Mapping[str, tuple[HostKey, ...]]], Mapping[str, tuple[HostKey, ...]]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for, every path absolute."""

    host: str
    ssh: Ssh
    cluster: Value
    out: Path
    state_dir: Path
    pki: Path
    fetch: bool = False
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    own_tls: tuple[str, str, str] | None = None
    own_kubeconfig: str = ""

    @property
    def known_hosts(self) -> Path:
        return Path(self.ssh.known_hosts)


@dataclass(frozen=True, slots=True)
class Written:
    inventory: Inventory
    met: tuple[Met, ...]
    copied: tuple[Path, ...]
    decisions: tuple[Decision, ...]
    findings: tuple[str, ...]


def check(wanted: Wanted) -> None:
    """Before anything is asked: nothing that exists is ever written over."""
    taken = [wanted.out, *(wanted.pki / name for name in (*FILES, KUBECONFIG_FILE) if wanted.fetch)]
    for path in taken:
        if path.exists():
            raise BadInput(f"{path} is there already, and init never writes over a file; nothing was done")
    if not wanted.out.parent.is_dir():
        raise BadInput(f"{wanted.out.parent} is not a directory; nothing was done")


def introduced(wanted: Wanted, accept: Accept, operation: str, actor: str) -> Written:
    """The inventory lies there when this returns; where it raises there are at most pinned host keys and a record."""
    check(wanted)
    with_it = Introduction(
        wanted.state_dir / "operations", operation, actor, lambda host: node(wanted, host), wanted.own_tls
    )
    with closed(with_it, wanted):
        met = with_it.discovery.walk(
            wanted.host, wanted.elsewhere, lambda hosts: trust(wanted, with_it, accept, hosts)
        )
        found = drafted(wanted, met, led_to(wanted, with_it, met))
        written = text(found.entries)
        inventory = validated(written, wanted)
        copied = fetched(wanted, with_it, met) if wanted.fetch else ()
        create(wanted.out, written.encode(), 0o644)
    return Written(inventory, met, copied, decisions(found.entries), found.findings)


@contextmanager
def closed(with_it: Introduction, wanted: Wanted) -> Iterator[None]:
    """Where something went on record: how it ended too, and a seal, also when it failed."""
    outcome = "failed"
    try:
        yield
        outcome = "written"
    finally:
        with_it.hosts.close()
        if with_it.home.exists():
            said = {"operation": with_it.operation, "cluster": wanted.cluster.value, "outcome": outcome}
            create(with_it.home / "outcome.json", json.dumps(said).encode(), 0o644)
            with_it.journals.at(with_it.operation).seal()


def node(wanted: Wanted, host: str) -> Node:
    return Node(host, host, wanted.ssh, "/var/lib/quorate", wanted.cluster.value)


def trust(wanted: Wanted, with_it: Introduction, accept: Accept, hosts: tuple[str, ...]) -> None:
    """Who is pinned already is left to the comparison of every connection; the others are asked about together.

    The jump host comes first: nobody else is reached, or known, without it.
    """
    jump = jump_of(node(wanted, wanted.host))
    if jump:
        confirm(wanted, with_it, accept, (jump,), None)
    confirm(wanted, with_it, accept, tuple(node(wanted, host) for host in hosts), jump)


def confirm(
    wanted: Wanted, with_it: Introduction, accept: Accept, nodes: tuple[Node, ...], jump: Node | None
) -> None:
    unknown = {each.host: each for each in nodes if not is_pinned(wanted, each)}

    def shown_by(each: Node) -> tuple[HostKey, ...] | Silence:
        return answer(with_it.hosts.shown, each.host, each.ssh.port, jump)

    with ThreadPoolExecutor(PARALLEL) as pool:
        shown = dict(zip(unknown, pool.map(shown_by, unknown.values()), strict=True))
    answered = {host: keys for host, keys in shown.items() if not isinstance(keys, Silence)}
    for host, keys in (accept(answered) if answered else {}).items():
        for key in keys:
            line = f"{name_of(host, unknown[host].ssh.port)} {key.type} {key.base64}"
            with_it.record(host, ("pin", key.type, key.fingerprint), partial(append, wanted.known_hosts, line))


def is_pinned(wanted: Wanted, each: Node) -> bool:
    """By a key of its own, or by an authority."""
    try:
        there = wanted.known_hosts.read_text() if wanted.known_hosts.exists() else ""
        known = pins(there, name_of(each.host, each.ssh.port))
    except (OSError, ValueError) as error:
        raise BadInput(f"{wanted.known_hosts} cannot be read as known_hosts: {error}; nothing was done") from error
    return bool(known.keys or known.authorities)


def led_to(wanted: Wanted, with_it: Introduction, met: tuple[Met, ...]) -> str:
    """The API server of a kubeconfig of ours, where the nodes have none that would say where it is."""
    beside = any(keeper_of(each, API) for each in met)
    return server(with_it.borrowed.resolve(wanted.own_kubeconfig)) if wanted.own_kubeconfig and not beside else ""


def drafted(wanted: Wanted, met: tuple[Met, ...], api_url: str) -> Draft:
    folder, own = str(wanted.pki), wanted.own_tls
    kubeconfig = kubeconfig_value(met, folder, fetched=wanted.fetch)
    given = Given(
        cluster=wanted.cluster,
        state_dir=str(wanted.state_dir),
        store=str(wanted.out.parent / "backups"),
        ssh=wanted.ssh,
        tls=(Value(own[0]), Value(own[1]), Value(own[2])) if own else tls_values(met, folder, fetched=wanted.fetch),
        kubeconfig=Value(wanted.own_kubeconfig) if wanted.own_kubeconfig else kubeconfig,
        api_url=api_url,
    )
    return draft(given, met)


def validated(written: str, wanted: Wanted) -> Inventory:
    """Found by the rules of every inventory, before there is a file."""
    try:
        return parse(written, wanted.out.name)
    except BadInput as error:
        raise Refusal(f"what was found cannot be said in an inventory, so none was written:\n{error}") from error


def fetched(wanted: Wanted, with_it: Introduction, met: tuple[Met, ...]) -> tuple[Path, ...]:
    """Private keys among them: for their owner alone."""
    tls = () if wanted.own_tls else tls_copies(met)
    kubeconfig = () if wanted.own_kubeconfig else kubeconfig_copy(met)
    paths = {wanted.pki / each.name: each for each in (*tls, *kubeconfig)}
    for path, each in paths.items():
        content = with_it.borrowed.resolve(reference(each.host, each.path))
        wanted.pki.mkdir(mode=0o700, parents=True, exist_ok=True)
        with_it.record(each.host, ("copy", each.path, str(path)), partial(create, path, content, 0o600))
    return tuple(paths)


def create(path: Path, content: bytes, mode: int) -> None:
    """Whole and new, or not at all: a hard link is the rename that never writes over anything."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(part)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def append(path: Path, line: str) -> None:
    try:
        with path.open("a") as file:
            file.write(f"{line}\n")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
