"""`quorate doctor`: one line an assertion, and what to do about each that does not hold."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.errors import QuorateError
from worker.cli.options import Given, given, paint, plain, say, say_json

if TYPE_CHECKING:
    from quorate.clusters.cluster import ClusterSeen
    from quorate.command import Node
    from quorate.inventory import Cluster
    from quorate.nodes.stored import StoredTool
    from worker.wiring import Wiring

FINDINGS, UNREACHABLE = 3, 6
KEY_KINDS = {"host-key-changed", "host-key-unknown"}
SSH_KINDS = {"unreachable", "denied", *KEY_KINDS}
SKEW_S_MAX = 30.0
FOR_EVER = 2**64 - 1
EXPIRY = timedelta(days=14)

MaybeCluster = Annotated[str, typer.Argument(metavar="[CLUSTER]", help="All clusters if left out.")]


@dataclass(frozen=True, slots=True)
class Check:
    """One assertion: `said` is the evidence, `next` the remedy where it does not hold."""

    id: str
    about: str
    ok: bool
    said: str
    next: str = ""
    unreachable: bool = False


class Form(StrEnum):
    TABLE = "table"
    JSON = "json"
    JUNIT = "junit"


Shown = Annotated[
    Form,
    typer.Option("--output", "-o", help="table for people, json for scripts: one object, junit for CI."),
]


def doctor(ctx: typer.Context, cluster: MaybeCluster = "", output: Shown = Form.TABLE) -> int:
    """Whether a backup and a restore could work now; leaves nothing behind. Exit 0, 3, 6 (something is silent)."""
    here = given(ctx)
    wiring = here.wiring()
    names = [cluster] if cluster else sorted(wiring.settings.inventory.clusters)
    for name in names:
        wiring.settings.cluster(name)
    checks = [
        Check("config", str(wiring.settings.path), ok=True, said=f"clusters: {', '.join(names)}"),
        temporal(wiring),
        state(wiring),
    ]
    with ThreadPoolExecutor(len(names)) as pool:
        for found in pool.map(lambda name: list(examined(wiring, name)), names):
            checks += found
    if output is Form.JUNIT:
        from worker.cli.junit import junit

        say(junit(checks, here.command))
    elif output is Form.JSON:
        say_json({"ok": all(each.ok for each in checks), "checks": [told(each, here) for each in checks]})
    else:
        say(page(checks, here))
    return code(checks)


def code(checks: list[Check]) -> int:
    failed = [check for check in checks if not check.ok]
    if any(check.unreachable for check in failed):
        return UNREACHABLE
    return FINDINGS if failed else 0


def told(check: Check, here: Given) -> dict[str, Any]:
    return {**plain(check), "next": here.command(check.next)}


def page(checks: list[Check], here: Given) -> str:
    from worker.screen import table

    colour = paint()
    lines = table([[colour.state("OK" if each.ok else "FAIL"), each.id, each.about, each.said] for each in checks])
    failed = [each for each in checks if not each.ok]
    remedies = dict.fromkeys(f"next: {here.command(each.next)}" for each in failed if each.next)
    counted = f"{len(checks) - len(failed)} of {len(checks)} hold"
    return "\n".join([lines, "", counted, *remedies])


def temporal(wiring: "Wiring") -> Check:
    """Ours is started from a binary; another one has to be there already."""
    from worker import embedded

    address = wiring.settings.inventory.temporal.address
    if address:
        return attempt(
            "temporal", address, lambda: answers(wiring, address), "start it, or leave temporal.address out"
        )
    return attempt("temporal", "binary", lambda: str(embedded.find_binary(wiring.settings)), "")


def state(wiring: "Wiring") -> Check:
    """Nothing is begun that cannot be put on record."""
    from worker import disk
    from worker.screen import size

    home = wiring.settings.state
    free = disk.free_bytes(home)
    ok = free >= disk.LOW_BYTES
    said = disk.full(home) or f"{size(free)} free, for the audit trail and a Temporal server of ours"
    return Check("state", str(home), ok=ok, said=said, next="" if ok else disk.remedy(home))


def answers(wiring: "Wiring", address: str) -> str:
    """With our certificate, in our namespace."""
    import asyncio

    from worker.operations import silent
    from worker.temporal import connected, namespace_kept_s

    async def ask() -> float:
        return await namespace_kept_s(wiring.settings, await connected(wiring.settings, address, silent()))

    kept_s = asyncio.run(ask())
    return (
        f"answers; namespace {wiring.settings.inventory.temporal.namespace} keeps closed runs {kept_s / 86400:.0f} d"
    )


def attempt(key: str, about: str, ask: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(key, about, ok=True, said=ask())
    except QuorateError as error:
        said = " ".join(str(error).split())
        return Check(
            key, about, ok=False, said=said, next=error.next or remedy, unreachable=error.exit_code == UNREACHABLE
        )


def examined(wiring: "Wiring", name: str) -> Iterator[Check]:
    """Everything about one cluster, from one survey."""
    from activities.clusters.surveys import running
    from quorate.command import JUMP, node_of, nodes_of
    from worker.cli.keys import tried, vouched
    from worker.cli.locks import held
    from worker.cli.sandboxed import ready

    settings = wiring.settings
    cluster, store = settings.cluster(name), settings.store(name)
    yield attempt(
        "store", f"{name} {store.url}", lambda: stored(wiring, name), "put its settings or its server right"
    )
    yield attempt(
        "lock",
        name,
        lambda: held(wiring.stores.at(store), name, cluster.backup.lock),
        "put backup.lock or its bucket right",
    )
    yield attempt("encryption", name, lambda: tried(wiring.cipher, cluster.backup), "put the keys of `backup` right")
    yield attempt("signing", name, lambda: vouched(wiring.signing, cluster.trust), f"put it into {name}'s `trust`")
    yield from certificates(wiring, name, cluster)
    jump = [jump_host(wiring, name, each) for each in nodes_of(name, cluster) if each.name.startswith(JUMP)]
    yield from jump
    broken = next((each.next for each in jump if not each.ok), "")
    seen = wiring.surveyor.survey(name, cluster, store)
    for member in cluster.members:
        yield from node(wiring, node_of(name, cluster, member), cluster, seen, broken)
        yield etcd(cluster, member.name, seen)
    if sandbox := cluster.sandbox:
        version = running(seen)
        about, remedy = f"{name} {sandbox.host}", f"put {name}'s `sandbox` right"
        yield attempt("sandbox", about, lambda: ready(wiring, cluster, sandbox, version), remedy)


def jump_host(wiring: "Wiring", name: str, jump: "Node") -> Check:
    """Logged in to, as every connection to a node does first."""
    from quorate.command import way

    return attempt("jump", f"{name} {jump.host}", lambda: wiring.hosts.reach(jump), way(jump))


def stored(wiring: "Wiring", name: str) -> str:
    wiring.stores.at(wiring.settings.store(name)).check()
    return "objects can be stored"


def certificates(wiring: "Wiring", name: str, cluster: "Cluster") -> Iterator[Check]:
    if cluster.etcd.tls:
        for what, reference in (("ca", cluster.etcd.tls.ca), ("cert", cluster.etcd.tls.cert)):
            yield certificate(wiring, f"{name} {what}", reference)
    if cluster.kubernetes:
        yield kubeconfig(wiring, f"{name} kubeconfig", cluster.kubernetes.kubeconfig)
    if cluster.ssh.certificate:
        yield ssh_certificate(wiring, f"{name} ssh", cluster.ssh.certificate)


def certificate(wiring: "Wiring", about: str, reference: str) -> Check:
    """Expired is a failure, and so is one that will be in two weeks."""
    try:
        return judged(about, reference, wiring.secrets.resolve(reference))
    except QuorateError as error:
        return Check("certificate", about, ok=False, said=str(error), next=f"put a certificate at {reference}")


def kubeconfig(wiring: "Wiring", about: str, reference: str) -> Check:
    """As the certificate that is in it."""
    from quorate.clusters.kubeconfig import client_certificate

    try:
        return judged(about, reference, client_certificate(wiring.secrets.resolve(reference)))
    except QuorateError as error:
        return Check("certificate", about, ok=False, said=str(error), next=f"put a kubeconfig at {reference}")


def judged(about: str, reference: str, pem: bytes) -> Check:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return Check("certificate", about, ok=False, said=f"{reference} is not a certificate in PEM")
    until = found.not_valid_after_utc
    ok = until - datetime.now(UTC) > EXPIRY
    return Check("certificate", about, ok=ok, said=f"valid until {until:%Y-%m-%d}", next="" if ok else "renew it")


def ssh_certificate(wiring: "Wiring", about: str, reference: str) -> Check:
    """These are often made for a day, so only one that has expired is a failure."""
    from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

    try:
        found = load_ssh_public_identity(wiring.secrets.resolve(reference).strip())
    except QuorateError as error:
        return Check("certificate", about, ok=False, said=str(error), next=f"put a certificate at {reference}")
    except ValueError:
        found = None
    if not isinstance(found, SSHCertificate):
        return Check("certificate", about, ok=False, said=f"{reference} is not an OpenSSH certificate")
    if found.valid_before == FOR_EVER:
        return Check("certificate", about, ok=True, said="valid for ever")
    until = datetime.fromtimestamp(found.valid_before, UTC)
    ok = until > datetime.now(UTC)
    return Check(
        "certificate", about, ok=ok, said=f"valid until {until:%Y-%m-%d %H:%MZ}", next="" if ok else "renew it"
    )


def node(wiring: "Wiring", at: "Node", cluster: "Cluster", seen: "ClusterSeen", broken: str) -> Iterator[Check]:
    """SSH, then what only shows through it; `broken` is the remedy of a jump host that does not answer."""
    from quorate.clusters.cluster import Silence
    from quorate.command import address, way

    name, there = at.name, seen.nodes[at.name]
    if isinstance(there, Silence):
        ssh = there.kind not in SSH_KINDS
        yield Check(
            "ssh",
            name,
            ok=ssh,
            said="answers" if ssh else there.reason,
            next="" if ssh else broken or (f"quorate hosts ls {at.cluster}" if there.kind in KEY_KINDS else way(at)),
            unreachable=not ssh,
        )
        if ssh:
            yield Check("sudo", name, ok=False, said=there.reason, next=f"{way(at)} sudo -n true  # must not ask")
        return
    yield Check("ssh", name, ok=True, said=address(at))
    yield Check("sudo", name, ok=True, said="without a password" if cluster.ssh.sudo else "not needed")
    yield tool(wiring, at, cluster, seen)
    yield from space(cluster, name, seen)
    skew_s = there.now - datetime.now(UTC).timestamp()
    ok = abs(skew_s) <= SKEW_S_MAX
    yield Check(
        "clock",
        name,
        ok=ok,
        said=f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} ours",
        next="" if ok else f"{way(at)} timedatectl",
    )


def tool(wiring: "Wiring", at: "Node", cluster: "Cluster", seen: "ClusterSeen") -> Check:
    """Of the same minor version as the etcd that runs, else as the newest backup."""
    from quorate.clusters.cluster import Silence
    from quorate.members.etcd import minor
    from quorate.nodes.image import lacking, tool_of
    from quorate.nodes.seen import NodeSeen

    name = at.name
    there, etcd = seen.nodes[name], seen.etcd[name]
    assert isinstance(there, NodeSeen)
    path, found = cluster.etcd.restore_tool, tool_of(cluster.etcd, there)
    version = found.version
    running = "" if isinstance(etcd, Silence) else etcd.version
    if not running and seen.manifests:
        running = seen.manifests[-1].source.version
    remedy = f"install the etcdutl of etcd {minor(running) or '(its version)'} as {path} on {name}"
    if not version:
        return Check("restore-tool", name, ok=False, said=lacking(cluster.etcd, there), next=remedy)
    if found.stored:
        return proved(wiring, at, found.stored)
    ok = not running or minor(version) == minor(running)
    where = f" in {found.image}, copied out by a restore" if found.image else ""
    said = f"{version}{where}, etcd is {running or 'unknown'}"
    return Check("restore-tool", name, ok=ok, said=said, next="" if ok else remedy)


def proved(wiring: "Wiring", at: "Node", kept: "StoredTool") -> Check:
    """Sent as a restore would send it, asked for its version, and gone again."""
    from activities.streams.checksums import proved as as_stored
    from activities.streams.compression import expanded

    store = wiring.stores.at(wiring.settings.store(at.cluster))
    try:
        program = expanded(as_stored(store.get(kept.key), kept.stored_sha256, kept.key), kept.key)
        said = wiring.hosts.tried(at, ("version",), program)
    except QuorateError as error:
        remedy = f"install the etcdutl of etcd {kept.version} on {at.name}; the store's cannot be used"
        return Check("restore-tool", at.name, ok=False, said=str(error), next=remedy)
    ok = kept.version in said
    runs = "runs here, a restore pushes it" if ok else f"says {said.strip()[:80]!r}"
    return Check("restore-tool", at.name, ok=ok, said=f"{kept.program} {kept.version} out of the store {runs}")


def space(cluster: "Cluster", name: str, seen: "ClusterSeen") -> Iterator[Check]:
    """As a restore needs it: the snapshot, what is restored from it, and the WAL, beside the live data; and tools."""
    from quorate.nodes.seen import NodeSeen
    from quorate.restoring.needs import needs, tools, wanted
    from worker.screen import size

    there, path = seen.nodes[name], cluster.etcd.data_dir
    assert isinstance(there, NodeSeen)
    db = there.paths.get(f"{path}/member/snap/db")
    newest = seen.manifests[-1].size_bytes if seen.manifests else 0
    whole = wanted(needs(cluster, max(newest, db.size_bytes if db else 0)), tools(cluster, there))
    for where, needed in whole.items():
        free = there.spaces.get(where, 0)
        ok = free >= needed
        said = f"{size(free)} free beside {where}, a restore needs {size(needed)}"
        remedy = "" if ok else f"make room for {size(needed - free)} beside {where} on {name}"
        yield Check("space", name, ok=ok, said=said, next=remedy)


def etcd(cluster: "Cluster", name: str, seen: "ClusterSeen") -> Check:
    from quorate.clusters.cluster import Silence

    there = seen.etcd[name]
    how = "with TLS" if cluster.etcd.tls else "without TLS"
    if isinstance(there, Silence):
        remedy = "quorate inspect  # says what is left of it"
        return Check("etcd", name, ok=False, said=there.reason, next=remedy, unreachable=True)
    return Check("etcd", name, ok=True, said=f"{there.version} answers {how}")
