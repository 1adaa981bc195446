"""`quorate plan restore`: what would happen, and what would be lost; nothing is changed."""

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.errors import BadInput
from worker.cli.options import (
    As,
    ClusterName,
    Given,
    Output,
    StoreName,
    actor,
    contract,
    given,
    new_id,
    paint,
    say,
    say_json,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quorate.operation import RestoreRequest
    from quorate.plan import Gate, Plan, Way
    from worker.screen import Paint
    from worker.settings import Settings

REFUSED = 4
FIELDS = ("cluster", "snapshot", "digest", "refusals", "overrides", "steps", "losses")

Snapshot = Annotated[
    str, typer.Option("--snapshot", metavar="ID", help="An id of `quorate snapshots ls`, or latest.")
]
Gates = Annotated[
    list[str] | None,
    typer.Option(
        "--override-gate", metavar="ID", help="Go on although this gate refuses; repeatable, needs --reason."
    ),
]
Reason = Annotated[
    str,
    typer.Option(
        "--reason", metavar="TEXT", help="Why a gate is overridden, or the glass broken; it goes on record."
    ),
]

FromMember = Annotated[
    str,
    typer.Option(
        "--from-member", metavar="NAME", help="What this member still holds, instead of a backup: it loses least."
    ),
]

FromKept = Annotated[
    str,
    typer.Option(
        "--from-kept", metavar="OP", help="What this operation has kept: the way back after clients were let in."
    ),
]

PoweredOff = Annotated[
    list[str] | None,
    typer.Option(
        "--powered-off",
        metavar="NODE=EVIDENCE",
        help="This node is switched off, and how you know; repeatable, for every node that cannot be reached.",
    ),
]

Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without", metavar="NODE", help="This node is gone for good: it is left out and shut out; repeatable."
    ),
]

app = typer.Typer(help="What an operation would do.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def nouns() -> None:
    """What an operation would do."""


@app.command()
def restore(
    ctx: typer.Context,
    cluster: ClusterName,
    *,
    snapshot: Snapshot = "latest",
    from_member: FromMember = "",
    from_kept: FromKept = "",
    override_gate: Gates = None,
    reason: Reason = "",
    powered_off: PoweredOff = None,
    without: Without = None,
    store: StoreName = "",
    output: As = Output.TABLE,
) -> int:
    """What a restore would do on which host, what it would lose, and why it may refuse."""
    here = given(ctx)
    with contract(here, output, dict.fromkeys(FIELDS)):
        wiring = here.wiring()
        request = request_for(
            wiring.settings,
            cluster,
            snapshot=snapshot,
            from_member=from_member,
            from_kept=from_kept,
            gates=override_gate or [],
            reason=reason,
            who="",
            powered_off=powered_off or [],
            without=without or [],
            store=store,
        )
        plan = out_of(wiring.surveyor.plan(request), store)
    if output is Output.JSON:
        say_json(as_object(plan, here))
    else:
        say(page(plan, here, paint()))
        if not plan.refusals:
            say(f"\nnext: {here.command(again(plan, store))}")
    return REFUSED if plan.refusals else 0


def request_for(
    settings: "Settings",
    cluster: str,
    *,
    snapshot: str,
    from_member: str,
    from_kept: str,
    gates: list[str],
    reason: str,
    who: str,
    powered_off: list[str],
    without: list[str],
    store: str,
) -> "RestoreRequest":
    """BadInput for a gate or a node that does not exist, or an override or a claim without a reason."""
    from quorate.operation import RestoreRequest
    from quorate.restoring.gates import IDS

    check_gates(gates, IDS, reason)
    if (from_member or from_kept) and snapshot != "latest":
        named = "--from-kept" if from_kept else "--from-member"
        raise BadInput(f"either --snapshot or {named}: a restore has one source")
    members = [member.name for member in settings.cluster(cluster).members]
    check_vouched(powered_off, members)
    if unknown := sorted(set(without) - set(members)):
        raise BadInput(f"--without {', '.join(unknown)}: there is no such node; nodes: {', '.join(members)}")
    return RestoreRequest(
        operation=new_id("restore"),
        cluster=cluster,
        settings=settings.cluster(cluster),
        store=settings.store(cluster, store),
        snapshot=snapshot,
        actor=actor(who),
        overrides=tuple(dict.fromkeys(gates)),
        reason=reason,
        from_member=from_member,
        from_kept=from_kept,
        powered_off=tuple(dict.fromkeys(powered_off)),
        without=tuple(dict.fromkeys(without)),
    )


def check_gates(gates: "Sequence[str]", known: "Sequence[str]", reason: str) -> None:
    if unknown := sorted(set(gates) - set(known)):
        raise BadInput(f"there is no gate {', '.join(unknown)} here; gates: {', '.join(known)}")
    if gates and not reason.strip():
        raise BadInput("--override-gate needs --reason TEXT: it goes on record with your name")


def check_vouched(said: list[str], members: list[str]) -> None:
    for each in said:
        name, _, evidence = each.partition("=")
        if name not in members:
            raise BadInput(f"--powered-off {each!r}: there is no node {name!r}; nodes: {', '.join(members)}")
        if not evidence.strip():
            raise BadInput(f"--powered-off {name} needs how you know: --powered-off {name}='EVIDENCE'")


def as_object(plan: "Plan", here: Given) -> dict[str, Any]:
    chosen = plan.chosen
    return {
        "cluster": chosen.cluster,
        "cluster_id": chosen.cluster_id,
        "snapshot": chosen.snapshot.id,
        "from_member": chosen.source.member if chosen.source else None,
        "from_kept": (chosen.source.operation or None) if chosen.source else None,
        "revision": chosen.snapshot.revision,
        "digest": chosen.digest(),
        "refusals": [gate_object(gate) for gate in plan.refusals],
        "overrides": list(chosen.overrides),
        "powered_off": list(chosen.powered_off),
        "without": list(chosen.without),
        "overridden": [gate_object(gate) for gate in plan.overridden],
        "steps": [
            {
                "id": step.key,
                "title": step.title,
                "hosts": hosts(plan, step.key),
                "expected_s": step.expected_s,
                "point_of_no_return": step.commits,
            }
            for step in chosen.steps
        ],
        "losses": list(plan.losses),
        "ways": [
            {"id": way.id, "what": way.what, "loses": way.loses, "command": here.command(way.command)}
            for way in plan.ways
        ],
        "seen": list(plan.seen),
        "hosts": [
            {
                "member": each.member,
                "host": each.node.host,
                "data_dir": each.data_dir,
                "copied": list(each.programs),
                "image": each.image or None,
                "pushed": each.pushed.sha256 if each.pushed else None,
            }
            for each in chosen.shares
        ],
        "people": chosen.people,
        "approvers": list(chosen.approvers),
        "bump": chosen.bump,
        "mark": plan.mark,
    }


def gate_object(gate: "Gate") -> dict[str, Any]:
    return {"id": gate.id, "evidence": gate.evidence, "overridable": gate.overridable}


def hosts(plan: "Plan", key: str) -> list[str]:
    """Where a step happens; `cluster` for one that is about all of it."""
    from quorate.task import NodeTask

    step = next(step for step in plan.chosen.steps if step.key == key)
    tasks = plan.tasks(step, 0, "")
    return [task.share.node.name if isinstance(task, NodeTask) else "cluster" for task in tasks]


def out_of(plan: "Plan", store: str) -> "Plan":
    """What else could be done, out of the store that was asked for."""
    if not store:
        return plan
    return replace(plan, ways=tuple(stored_in(store, way) for way in plan.ways))


def stored_in(store: str, way: "Way") -> "Way":
    return replace(way, command=f"{way.command} --store {store}") if way.id == "backup" else way


def again(plan: "Plan", store: str) -> str:
    """The command that asks for just this."""
    named = f" --store {store}" if store else ""
    gates = "".join(f" --override-gate {each}" for each in plan.chosen.overrides)
    reason = " --reason '…'" if gates else ""
    return f"quorate restore {plan.chosen.cluster} {source_flag(plan)}{named}{off(plan)}{gates}{reason}"


def source_flag(plan: "Plan") -> str:
    if source := plan.chosen.source:
        kept = f"--from-kept {source.operation} " if source.operation else ""
        return f"{kept}--from-member {source.member}"
    return f"--snapshot {plan.chosen.snapshot.id}"


def off(plan: "Plan") -> str:
    """The nodes that somebody vouches for, and those that are left out, as they are given."""
    said = [f" --powered-off {shlex.quote(each)}" for each in plan.chosen.powered_off]
    return "".join((*said, *(f" --without {each}" for each in plan.chosen.without)))


def page(plan: "Plan", here: Given, colour: "Paint") -> str:
    """What will happen where, what is lost, why not."""
    from worker.cli.clusters import ranked

    chosen = plan.chosen
    parts = [
        f"{colour('RESTORE ' + chosen.cluster, 'bold')}  cluster {chosen.cluster_id or 'id unknown: nobody answers'}",
        source_lines(plan),
        "seen now:\n" + "\n".join(f"  {line}" for line in plan.seen),
        f"what happens on each host:\n{host_lines(plan)}",
        colour("what will be lost:", "yellow") + "\n" + "\n".join(f"  {line}" for line in plan.losses),
        "steps:\n" + step_lines(plan),
    ]
    if plan.ways:
        parts.append(f"what can be done, the least lost first:\n{ranked(plan.ways, here, '  ')}")
    parts += [f"{colour('said to be off', 'yellow')} {each}" for each in chosen.powered_off]
    parts += [f"{colour('afterwards', 'yellow')} {each}" for each in plan.afterwards]
    parts += [f"{colour('overridden', 'yellow')} {gate.id}: {gate.evidence}" for gate in plan.overridden]
    return "\n\n".join([*parts, *approval(plan, colour), f"digest {chosen.digest()}", *refusals(plan, here, colour)])


def approval(plan: "Plan", colour: "Paint") -> list[str]:
    """Who else has to say yes, where the one who asks is not enough."""
    if plan.incident:
        return [f"{colour('glass broken', 'yellow')} for incident {plan.incident}: {plan.reason}"]
    if plan.chosen.people < 2:
        return []
    who = f"one of {', '.join(plan.chosen.approvers)}" if plan.chosen.approvers else "anybody else"
    return [f"approval: by whoever asks, and {who}{', with an SSH key' if plan.chosen.signers else ''}"]


def source_lines(plan: "Plan") -> str:
    """Where what comes back is from."""
    source = plan.chosen.source
    if source is None:
        return snapshot_lines(plan)
    if source.scratch is None:
        return f"from {source.member}: it answers, and its snapshot is taken once the control plane is stopped"
    what = f"what {source.operation} has kept there" if source.operation else "it does not run"
    return (
        f"from {source.member}: {what}; {source.scratch.binary} replays a copy of {source.scratch.source} "
        "there, on loopback alone, and is snapshotted"
    )


def snapshot_lines(plan: "Plan") -> str:
    from datetime import UTC, datetime

    from worker.screen import size, span

    snapshot = plan.chosen.snapshot
    age_s = (datetime.now(UTC) - datetime.fromisoformat(snapshot.created_at)).total_seconds()
    return (
        f"snapshot {snapshot.id}, {span(age_s)} old, revision {snapshot.revision}, {size(snapshot.size_bytes)}, "
        f"etcd {snapshot.etcd_version}\n         sha256 {snapshot.sha256}"
    )


def host_lines(plan: "Plan") -> str:
    """Hosts to which the same happens share a line."""
    same: dict[str, list[str]] = {}
    for share in plan.chosen.shares:
        units = ", ".join(unit.unit for unit in (share.etcd, *share.control))
        what = (
            f"{units} stop; {share.data(plan.operation).live} is renamed and kept, what is restored takes its place"
        )
        if share.pushed:
            tool = share.pushed
            what += f"\n    gets {tool.program} {tool.version} out of the store for as long as it takes: {tool.key}"
        if share.image:
            what += f"\n    copied out of {share.image} for as long as it takes: {', '.join(share.programs)}"
        same.setdefault(what, []).append(f"{share.member} ({share.node.host})")
    return "\n".join(f"  {', '.join(names)}:\n    {what}" for what, names in same.items())


def step_lines(plan: "Plan") -> str:
    from worker.screen import span, table

    rows = []
    for number, step in enumerate(plan.chosen.steps, 1):
        mark = "no way back from here" if step.commits else ""
        rows.append(
            [f"{number:>2}", step.title, " ".join(hosts(plan, step.key)), f"about {span(step.expected_s)}", mark]
        )
    total = sum(step.expected_s for step in plan.chosen.steps)
    return (
        table(rows, "  ")
        + f"\n  about {span(total)} in all; before the point of no return a failure undoes everything"
    )


def refusals(plan: "Plan", here: Given, colour: "Paint") -> list[str]:
    """Every reason why not, then what can be done about all of them together."""
    if not plan.refusals:
        return []
    lines = [f"{colour('REFUSED', 'red')} {gate.id}: {gate.evidence}" for gate in plan.refusals]
    return [*lines, way_out(plan, here)]


def way_out(plan: "Plan", here: Given) -> str:
    fixed = [gate.id for gate in plan.refusals if not gate.overridable]
    if fixed:
        return f"put right first, it cannot be overridden: {', '.join(fixed)}"
    gates = (*plan.chosen.overrides, *(gate.id for gate in plan.refusals))
    flags = "".join(f" --override-gate {each}" for each in dict.fromkeys(gates))
    source = f" {source_flag(plan)}" if plan.chosen.source else ""
    command = f"quorate plan restore {plan.chosen.cluster}{source}{off(plan)}{flags} --reason '…'"
    return f"only if you are sure that the evidence does not matter:\n  {here.command(command)}"
