"""`quorate hosts`: which host keys are pinned and shown, and the way forward when one has changed."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.errors import BadInput
from worker.cli.options import Actor, As, Given, Output, actor, contract, given, new_id, paint, say, say_json

if TYPE_CHECKING:
    from activities.clusters.trust import Compared, Pinned
    from quorate.command import Node
    from worker.wiring import Wiring

FINDINGS, UNREACHABLE = 3, 6
PARALLEL = 16
FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
TRUSTED = ("operation", "cluster", "node", "host", "type", "fingerprint", "was", "changed", "known_hosts", "kept")

app = typer.Typer(
    help="The host keys of the nodes: pinned, shown, trusted.", no_args_is_help=True, rich_markup_mode=None
)

MaybeCluster = Annotated[str, typer.Argument(metavar="[CLUSTER]", help="All clusters if left out.")]
NodeName = Annotated[str, typer.Argument(metavar="NODE", help="A member's name, or the address of a jump host.")]
Fingerprint = Annotated[
    str, typer.Option("--fingerprint", metavar="SHA256:…", help="As you have read it on the machine's own console.")
]
Within = Annotated[str, typer.Option("--cluster", metavar="CLUSTER", help="Where several have a node of that name.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it has changed; goes on record.")]


@app.command()
def ls(ctx: typer.Context, cluster: MaybeCluster = "", output: As = Output.TABLE) -> int:
    """What is pinned beside what each machine shows; no node is logged in to. Exit 0, 3 (a difference), 6."""
    wiring = given(ctx).wiring()
    asked = machines(wiring, cluster)
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(pool.map(wiring.trust.compare, asked))
    if output is Output.JSON:
        say_json({"equal": all(each.equal for each in found), "hosts": [as_fields(each) for each in found]})
    else:
        say(page(found, given(ctx)))
    if any(not each.equal and not each.said for each in found):
        return FINDINGS
    return UNREACHABLE if any(each.said for each in found) else 0


@app.command()
def trust(
    ctx: typer.Context,
    node: NodeName,
    *,
    fingerprint: Fingerprint,
    cluster: Within = "",
    reason: Reason = "",
    who: Actor = "",
    output: As = Output.TABLE,
) -> int:
    """Pin the key that the machine shows now, if it is the one with this fingerprint; on record."""
    from quorate.command import Ticket
    from worker.cli.records import closed

    here, wanted = given(ctx), fingerprint.rstrip("=")
    with contract(here, output, {**dict.fromkeys(TRUSTED), "node": node}) as fields:
        if not FINGERPRINT.fullmatch(wanted):
            raise BadInput(
                f"{fingerprint!r} is not a fingerprint: expected SHA256: and 43 letters",
                next="ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub  # on the machine's own console",
            )
        wiring = here.wiring()
        there = one(wiring, node, cluster)
        ticket = Ticket(new_id("hosts-trust"), 1, 1, "trust", actor(who))
        with closed(wiring, ticket.operation, "trusted", fields):
            pinned = wiring.trust.pin(there, wanted, ticket, reason)
            fields.update(told(there, pinned, ticket.operation if pinned.changed else None))
    if output is Output.JSON:
        say_json(fields)
    else:
        say(sentence(there, pinned, fields, here))
    return 0


def machines(wiring: "Wiring", cluster: str) -> "tuple[Node, ...]":
    """Each once: clusters may share a sandbox."""
    from quorate.command import nodes_of
    from quorate.drills.sandbox import node_of

    names = [cluster] if cluster else sorted(wiring.settings.inventory.clusters)
    found: dict[Node, None] = {}
    for name in names:
        settings = wiring.settings.cluster(name)
        found |= dict.fromkeys(nodes_of(name, settings))
        if settings.sandbox:
            found[node_of(settings, settings.sandbox)] = None
    return tuple(found)


def one(wiring: "Wiring", name: str, cluster: str) -> "Node":
    """BadInput names those there are, or the clusters that have one."""
    from quorate.command import asked_for

    every = machines(wiring, cluster)
    found = [node for node in every if name in {node.name, node.host}]
    if not found:
        raise BadInput(f"there is no node {name!r}; nodes: {', '.join(map(asked_for, every))}")
    if len({(node.host, node.ssh.port, node.ssh.known_hosts) for node in found}) > 1:
        where = ", ".join(node.cluster for node in found)
        raise BadInput(f"several clusters have a node {name!r}: {where}; say which with --cluster")
    return found[0]


def told(node: "Node", pinned: "Pinned", operation: str | None) -> dict[str, Any]:
    return {
        "operation": operation,
        "cluster": node.cluster,
        "node": named(node),
        "host": node.host,
        "type": pinned.key.type,
        "fingerprint": pinned.key.fingerprint,
        "was": [each.fingerprint for each in pinned.was],
        "changed": pinned.changed,
        "known_hosts": node.ssh.known_hosts,
        "kept": pinned.kept or None,
    }


def sentence(node: "Node", pinned: "Pinned", said: dict[str, Any], here: Given) -> str:
    if not pinned.changed:
        return f"{node.name}: {pinned.key} is pinned already; nothing was changed"
    was = ", ".join(each.fingerprint for each in pinned.was) or "nothing"
    lines = [f"{node.name}: {pinned.key} is pinned now in {node.ssh.known_hosts}", f"  before     {was}"]
    if pinned.kept:
        lines.append(f"  kept       {pinned.kept}")
    return "\n".join([*lines, f"  on record  {here.command('quorate audit show ' + str(said['operation']))}"])


def as_fields(each: "Compared") -> dict[str, Any]:
    return {
        "cluster": each.node.cluster,
        "node": named(each.node),
        "host": each.node.host,
        "port": each.node.ssh.port,
        "known_hosts": each.node.ssh.known_hosts,
        "equal": each.equal,
        "said": each.said or None,
        "keys": [
            {"type": row.type, "pinned": list(row.pinned), "shown": row.shown or None, "standing": row.standing}
            for row in each.rows
        ],
    }


def page(found: "list[Compared]", here: Given) -> str:
    from quorate.command import asked_for
    from worker.screen import table

    colour = paint()
    rows = [["", "CLUSTER", "NODE", "HOST", "TYPE", "PINNED", "SHOWN", ""]]
    for each in found:
        first = [colour.state("OK" if each.equal else "FAIL"), each.node.cluster, named(each.node), each.node.host]
        if not each.rows:
            rows.append([*first, "-", "-", "-", each.said])
        for row in each.rows:
            rows.append([*first, row.type, " ".join(row.pinned) or "-", row.shown or "-", each.said or row.standing])
            first = [""] * len(first)
    differing = [each.node for each in found if not each.equal and not each.said]
    commands = [f"quorate hosts trust {asked_for(node)} --fingerprint SHA256:…" for node in differing]
    remedies = [f"next: {here.command(command)}  # as its own console says" for command in commands]
    return "\n".join([table(rows), *(["", *remedies] if remedies else [])])


def named(node: "Node") -> str:
    from quorate.command import JUMP

    return "jump host" if node.name.startswith(JUMP) else node.name
