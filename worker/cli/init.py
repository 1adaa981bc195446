"""`quorate init`: the inventory of a cluster that nobody has described yet, read from its own nodes."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.errors import BadInput, HostKeyChanged, NotApproved, Unreachable
from worker.cli.options import Actor, As, Output, actor, given, new_id, say, say_json, warn

if TYPE_CHECKING:
    from quorate.inventories.draft import Value
    from quorate.nodes.known_hosts import HostKey
    from quorate.settings.machines import Ssh
    from worker.introduction import Wanted, Written

    Shown = Mapping[str, tuple[HostKey, ...]]

FINDINGS = 3
NAME = "main"
AGENT = "agent"
IDENTITIES = ("id_ed25519", "id_ecdsa", "id_rsa")

Where = Annotated[str, typer.Argument(metavar="USER@HOST", help="Any member of the cluster, as SSH reaches it.")]
Port = Annotated[int, typer.Option("--port", help="Of sshd, on every node.")]
Identity = Annotated[
    str, typer.Option("--identity", metavar="FILE", help="The key to log in with, or `agent`; ~/.ssh/id_ed25519 …")
]
Certificate = Annotated[
    Path | None, typer.Option("--certificate", metavar="FILE", help="What an authority has signed for that key.")
]
Jump = Annotated[
    str, typer.Option("--jump", metavar="[USER@]HOST[:PORT]", help="The one machine behind which the nodes are.")
]
Fingerprints = Annotated[
    list[str] | None,
    typer.Option("--fingerprint", metavar="SHA256:…", help="Of a host key that is right; instead of being asked."),
]
Named = Annotated[str, typer.Option("--cluster", metavar="NAME", help="What the cluster will be called.")]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="The inventory to write; it must not exist.")]
State = Annotated[Path | None, typer.Option("--state-dir", metavar="DIR", help="`state` beside the inventory.")]
KnownHosts = Annotated[
    Path | None, typer.Option("--known-hosts", metavar="FILE", help="Pinned host keys; `known_hosts` beside it.")
]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host", metavar="MEMBER=ADDRESS", help="Where SSH reaches a member, if not at its peer URL's host."
    ),
]
Fetch = Annotated[
    Path | None,
    typer.Option(
        "--fetch-pki", metavar="DIR", help="Copy a client certificate, its key and a kubeconfig from a node."
    ),
]
Ca = Annotated[Path | None, typer.Option("--ca", metavar="FILE", help="Of etcd, if you have your own certificate.")]
Cert = Annotated[Path | None, typer.Option("--cert", metavar="FILE", help="Your own client certificate for etcd.")]
Key = Annotated[Path | None, typer.Option("--key", metavar="FILE", help="Its key.")]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", metavar="FILE", help="Your own, an administrator's.")
]


def init(
    ctx: typer.Context,
    where: Where,
    *,
    cluster: Named = "",
    identity: Identity = "",
    certificate: Certificate = None,
    jump: Jump = "",
    port: Port = 22,
    fingerprint: Fingerprints = None,
    known_hosts: KnownHosts = None,
    host: Hosts = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    kubeconfig: Kubeconfig = None,
    fetch_pki: Fetch = None,
    out: Out = Path("quorate.yaml"),
    state_dir: State = None,
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Write a cluster's inventory by looking at its nodes; nothing is changed there. Exit 0, or 3 with findings."""
    from worker.introduction import Wanted, introduced

    if given(ctx).config:
        raise BadInput("init writes a new inventory: say where with --out, not with --config")
    user, _, first = where.rpartition("@")
    if not user or not first:
        raise BadInput(f"{where!r} is not USER@HOST", next="quorate init root@10.0.0.1")
    beside = out.resolve().parent
    wanted = Wanted(
        host=first.strip("[]"),
        ssh=reached(
            user=user,
            identity=identified(identity),
            certificate=reference(certificate) if certificate else None,
            known_hosts=str((known_hosts or beside / "known_hosts").resolve()),
            port=port,
            sudo=user != "root",
            jump=through(jump) if jump else None,
        ),
        cluster=called(cluster),
        out=out.resolve(),
        state_dir=(state_dir or beside / "state").resolve(),
        pki=(fetch_pki or beside / "pki").resolve(),
        fetch=fetch_pki is not None,
        elsewhere=dict(placed(each) for each in host or ()),
        own_tls=own_tls(ca, cert, key),
        own_kubeconfig=reference(kubeconfig) if kubeconfig else "",
    )
    operation = new_id("init")
    again = f"quorate init {where} …"
    try:
        written = introduced(
            wanted, lambda shown: accepted(shown, set(fingerprint or ()), again), operation, actor(who)
        )
    except Unreachable as error:
        if isinstance(error, HostKeyChanged):  # there is no inventory yet for `quorate hosts trust`
            error.next = f"if its console says so too: ssh-keygen -R {first} -f {wanted.known_hosts}"
        if type(error) is Unreachable:
            error.next = error.next or f"quorate init {user}@HOST …  # another member"
        raise
    if output is Output.JSON:
        say_json(told(wanted, written))
    else:
        say(page(wanted, written, operation))
    return FINDINGS if written.findings else 0


def reached(**settings: object) -> "Ssh":
    from pydantic import ValidationError

    from quorate.settings.machines import Ssh

    try:
        return Ssh.model_validate(settings)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise BadInput(f"that is no way to reach a node: {said}") from None


def identified(identity: str) -> str:
    """An agent's key, a file's, or the one that ssh would take."""
    if identity == AGENT or identity.startswith(f"{AGENT}:"):
        return identity
    usual = (Path.home() / ".ssh" / name for name in IDENTITIES)
    found = Path(identity) if identity else next((path for path in usual if path.is_file()), None)
    if found is None:
        raise BadInput(
            "no private key to log in with: there is none in ~/.ssh", next="quorate init … --identity FILE"
        )
    return reference(found)


def through(jump: str) -> dict[str, object]:
    user, _, rest = jump.rpartition("@")
    host, colon, port = rest.rpartition(":") if rest.count(":") == 1 else (rest, "", "")
    return {"host": host, **({"port": port} if colon else {}), **({"user": user} if user else {})}


def called(cluster: str) -> "Value":
    from pydantic import TypeAdapter, ValidationError

    from quorate.inventories.draft import Value
    from quorate.settings.fields import Name

    if not cluster:
        return Value(NAME, decide="what the cluster is called: typed to confirm a restore, part of a backup's name")
    try:
        return Value(TypeAdapter(Name).validate_python(cluster))
    except ValidationError as error:
        raise BadInput(f"--cluster {cluster!r}: {error.errors()[0]['msg']}; nothing was done") from None


def reference(path: Path) -> str:
    if not path.is_file():
        raise BadInput(f"{path} is not a file; nothing was done")
    return f"file:{path.resolve()}"


def own_tls(ca: Path | None, cert: Path | None, key: Path | None) -> tuple[str, str, str] | None:
    if ca and cert and key:
        return reference(ca), reference(cert), reference(key)
    if ca or cert or key:
        raise BadInput("--ca, --cert and --key belong together: give all of them or none")
    return None


def placed(text: str) -> tuple[str, str]:
    member, equals, address = text.partition("=")
    if not (member and equals and address):
        raise BadInput(f"--host {text!r} is not MEMBER=ADDRESS")
    return member, address


def accepted(shown: "Shown", right: set[str], again: str) -> "Shown":
    """By the fingerprints that were given, else by whoever sits at the terminal."""
    confirmed = {host: tuple(key for key in keys if key.fingerprint in right) for host, keys in shown.items()}
    unknown = {host: shown[host] for host, keys in confirmed.items() if not keys}
    if unknown and not sys.stdin.isatty():
        said = "\n".join(f"  {host} shows {keys[0]}" for host, keys in unknown.items())
        flags = " ".join(f"--fingerprint {keys[0].fingerprint}" for keys in unknown.values())
        raise BadInput(
            f"a host key has to be confirmed, and nobody can be asked without a terminal: give --fingerprint\n{said}",
            next=f"{again} {flags}  # as each console says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )
    return confirmed | {host: asked(host, keys) for host, keys in unknown.items()}


def asked(host: str, keys: tuple["HostKey", ...]) -> tuple["HostKey", ...]:
    warn("\n".join([f"{host} shows", *(f"  {key}" for key in keys)]))
    warn("as its own console says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\nIs it right? [y/N] ")
    try:
        typed = input("> ")
    except EOFError:
        typed = ""
    if typed.strip().lower() not in {"y", "yes"}:
        raise NotApproved(
            f"the host key of {host} was not confirmed; nobody logged in to it, and nothing was written"
        )
    return keys


def following(wanted: "Wanted") -> str:
    return f"quorate --config {wanted.out} doctor"


def told(wanted: "Wanted", written: "Written") -> dict[str, Any]:
    from worker.cli.options import plain

    (name, cluster), *_ = written.inventory.clusters.items()
    return {
        "config": str(wanted.out),
        "cluster": name,
        "members": [{"name": each.name, "host": each.host} for each in cluster.members],
        "copied": [str(path) for path in written.copied],
        "decide": [plain(each) for each in written.decisions],
        "findings": list(written.findings),
        "next": following(wanted),
    }


def page(wanted: "Wanted", written: "Written", operation: str) -> str:
    from worker.screen import table

    (name, cluster), *_ = written.inventory.clusters.items()
    roles = ", ".join(each.role for each in cluster.control_plane) or "no control plane on them"
    whole = f"{name}: {', '.join(each.name for each in cluster.members)}; {roles}"
    decide = table(
        [[f"  line {each.line}", each.field.removeprefix("clusters."), each.what] for each in written.decisions]
    )
    copied = [f"  copied   {path}" for path in written.copied]
    if copied:
        copied.append("  secret   whoever reads these can do anything to the cluster; mode 0600")
    return "\n".join(
        [
            f"written  {wanted.out}",
            f"  {whole}",
            *copied,
            *(f"  finding  {each}" for each in written.findings),
            f"  on record {operation}",
            "",
            "to decide, on the lines marked DECIDE:",
            decide,
            "",
            f"next: {following(wanted)}",
        ]
    )
