"""`quorate` alone and `quorate inspect`: what is broken, and the one command to run next."""

from typing import TYPE_CHECKING, Any

import typer

from worker.cli.options import As, ClusterName, Given, Output, given, paint, plain, say, say_json

if TYPE_CHECKING:
    from quorate.catalogue import Manifest
    from quorate.diagnosis import Finding
    from quorate.plan import Way
    from worker.cli.looking import Looked
    from worker.screen import Paint

FINDINGS = 3
BACKUPS_SHOWN = 5


def status(ctx: typer.Context, output: Output) -> int:
    from worker.cli.looking import look_at_all, now

    here = given(ctx)
    wiring = here.wiring()
    known = now(wiring.settings)
    looked = tuple(known.told(each) if known else each for each in look_at_all(wiring))
    runs = known.runs if known else None
    if output is Output.JSON:
        say_json({"daemon": runs is not None, "clusters": [short(each, runs or {}, here) for each in looked]})
    else:
        say(overview(looked, runs, here, paint()))
    return FINDINGS if any(each.findings for each in looked) else 0


def inspect(ctx: typer.Context, cluster: ClusterName, output: As = Output.TABLE) -> int:
    """Who is there, who is not, and what to run next. Needs no daemon and changes nothing."""
    from worker.cli.looking import look

    here = given(ctx)
    looked = look(here.wiring(), cluster)
    if output is Output.JSON:
        say_json(whole(looked, here))
    else:
        say(page(looked, here, paint()))
    return FINDINGS if looked.findings else 0


def overview(looked: tuple["Looked", ...], runs: dict[str, str] | None, here: Given, colour: "Paint") -> str:
    from worker.screen import table

    rows = [["CLUSTER", "STATE", "QUORUM", "NEWEST BACKUP", "RPO", "RPO NOW", "RESTORED", "LAST DRILL", "RUNNING"]]
    for each in looked:
        objectives = each.case.settings.objectives
        rows.append(
            [
                each.case.name,
                colour.state(each.state),
                each.quorum,
                newest(each),
                spanned(objectives.rpo) if objectives else "-",
                lost(each),
                restored(each),
                drilled(each),
                "unknown: no daemon" if runs is None else runs.get(each.case.name, "-"),
            ]
        )
    findings = [
        listed(number, finding, here, colour, each.case.name)
        for each in looked
        for number, finding in enumerate(each.findings, 1)
    ]
    text = table(rows) + ("\n\n" + "\n".join(findings) if findings else "")
    for each in looked:
        if at := each.seen.compared:
            ago = spanned(each.case.now.timestamp() - at)
            text += f"\n\n{each.case.name}: backups as they were compared with the store {ago} ago"
    if runs is None:
        text += "\n\nno daemon: no backup is taken and nothing can be restored until it runs\n  next: "
        text += here.command("quorate up --detach")
    return text


def page(looked: "Looked", here: Given, colour: "Paint") -> str:
    """Members, then backups, then findings: the last lines are what is still on the screen."""
    from worker.screen import table

    case, seen = looked.case, looked.seen
    head = f"{colour(case.name, 'bold')}  {case.settings.environment}  {colour.state(looked.state)}"
    ids = ", ".join(seen.cluster_ids) or "unknown"
    rpo = f" · a restore now loses {lost(looked)} of writes" if looked.loss else ""
    rpo += f" · proved by a restore {said}" if (said := restored(looked)) != "-" else ""
    parts = [
        f"{head}  quorum {looked.quorum}\ncluster id {ids} · {case.now:%Y-%m-%d %H:%M:%S}Z{rpo}",
        table([HEADINGS, *(row(looked, name, colour) for name in seen.etcd)]),
        table(backup_rows(looked)) if seen.manifests else f"no backups: {seen.store or 'the store holds none'}",
    ]
    if case.settings.control_plane:
        parts.insert(2, table(unit_rows(looked, colour)))
    if looked.findings:
        parts += [listed(number, each, here, colour) for number, each in enumerate(looked.findings, 1)]
    else:
        parts.append("nothing is wrong")
    return "\n\n".join(parts)


HEADINGS = ["MEMBER", "ROLE", "HEALTH", "REVISION", "DB", "IN USE", "QUOTA", "ALARMS", "VERSION", "NODE", "ETCD UNIT"]


def row(looked: "Looked", name: str, colour: "Paint") -> list[str]:
    """A member in words; `-` where nobody said anything."""
    from quorate.cluster import Silence
    from worker.screen import size

    etcd, node = looked.seen.etcd[name], looked.seen.nodes.get(name)
    unit = "-" if node is None or isinstance(node, Silence) else looked.case.unit(node).state
    where = colour.state("silent") if isinstance(node, Silence) else "reachable"
    if isinstance(etcd, Silence):
        return [name, "-", colour.state("silent"), *["-"] * 6, where, colour.state(unit)]
    alarms = sorted({kind for member, kind in etcd.alarms if member == etcd.member_id})
    return [
        name,
        role(looked, name),
        colour.state(health(looked, name)),
        str(etcd.revision),
        size(etcd.db_bytes),
        size(etcd.db_in_use_bytes),
        size(etcd.quota_bytes) if etcd.quota_bytes else "-",
        colour(",".join(alarms), "red") or "-",
        etcd.version,
        where,
        colour.state(unit),
    ]


def role(looked: "Looked", name: str) -> str:
    etcd = looked.seen.answering[name]
    return "learner" if etcd.learner else "leader" if etcd.leads else "follower" if etcd.leader else "no leader"


def health(looked: "Looked", name: str) -> str:
    """`ok` is a linearizable read through this very member."""
    return "ok" if name in looked.seen.reads else "no reads"


def unit_rows(looked: "Looked", colour: "Paint") -> list[list[str]]:
    from quorate.cluster import Silence

    components = looked.case.settings.control_plane
    rows = [["NODE", *(each.role.upper() for each in components)]]
    for name, node in looked.seen.nodes.items():
        states = [
            "-" if isinstance(node, Silence) else unit_state(node.units.get(each.process)) for each in components
        ]
        rows.append([name, *(colour.state(state) if state != "-" else "-" for state in states)])
    return rows


def unit_state(unit: Any) -> str:
    return unit.state if unit and unit.load == "loaded" else "not installed"


def backup_rows(looked: "Looked") -> list[list[str]]:
    from worker.screen import size

    shown = list(reversed(looked.seen.manifests))[:BACKUPS_SHOWN]
    rows = [[each.id, age(looked, each), str(each.revision), size(each.size_bytes), each.outcome] for each in shown]
    return [["BACKUP", "AGE", "REVISION", "SIZE", "OUTCOME"], *rows]


def listed(number: int, finding: "Finding", here: Given, colour: "Paint", where: str = "") -> str:
    named = f"{where}: " if where else ""
    return "\n".join(
        [
            f"{number}. {colour.state(finding.level)} {finding.id}: {named}{finding.message}",
            f"   {finding.evidence}",
            *(
                [f"   what can be done, the least lost first:\n{ranked(finding.ways, here, '     ')}"]
                if finding.ways
                else []
            ),
            f"   next: {colour(here.command(finding.next), 'bold')}",
        ]
    )


def ranked(found: tuple["Way", ...], here: Given, indent: str) -> str:
    """Each in two lines: what it is and loses, and the command."""
    return "\n".join(
        f"{indent}- {way.what}; loses {way.loses}\n{indent}  {here.command(way.command)}" for way in found
    )


def newest(looked: "Looked") -> str:
    if looked.seen.store:
        return "store silent"
    return f"{age(looked, looked.case.newest)} ago" if looked.case.newest else "none"


def lost(looked: "Looked") -> str:
    """Never a point: etcd does not say when it has written."""
    if looked.loss is None:
        return "-"
    least, most = spanned(looked.loss.least_s), spanned(looked.loss.most_s)
    return f"{least} to {most}" if looked.loss.least_s else f"at most {most}"


def restored(looked: "Looked") -> str:
    """When a backup was last proved by a restore, and how old that may be."""
    objectives, at = looked.case.settings.objectives, looked.seen.proved
    allowed_s = objectives.restore_proof if objectives else None
    if not (at or allowed_s or looked.case.settings.sandbox):
        return "-"
    said = f"{spanned((looked.case.now - at).total_seconds())} ago" if at else "never"
    return f"{said} of {spanned(allowed_s)}" if allowed_s else said


def drilled(looked: "Looked") -> str:
    """Of all scenarios the last one that was held on it; what is due is among the findings."""
    held = [each for each in looked.drills if each.held]
    if not held:
        return "never" if looked.drills else "-"
    last = max(held, key=lambda each: each.held or each.now)
    return f"{last.scenario} {last.verdict}, {spanned((last.now - (last.held or last.now)).total_seconds())} ago"


def proof(looked: "Looked") -> dict[str, Any] | None:
    at, objectives = looked.seen.proved, looked.case.settings.objectives
    allowed_s = objectives.restore_proof if objectives else None
    if not (at or allowed_s):
        return None
    age_s = round((looked.case.now - at).total_seconds()) if at else None
    return {"at": at.isoformat() if at else None, "age_s": age_s, "objective_s": allowed_s}


def age(looked: "Looked", manifest: "Manifest") -> str:
    return spanned((looked.case.now - manifest.created_at).total_seconds())


def spanned(seconds: float) -> str:
    from worker.screen import span

    return span(seconds)


def short(looked: "Looked", runs: dict[str, str], here: Given) -> dict[str, Any]:
    return {
        "cluster": looked.case.name,
        "state": looked.state,
        "quorum": quorum(looked),
        "newest_backup": backup(looked, looked.case.newest) if looked.case.newest else None,
        "rpo_now": plain(looked.loss) if looked.loss else None,
        "restore_proof": proof(looked),
        "drills": [plain(each) for each in looked.drills],
        "running": runs.get(looked.case.name),
        "findings": [found(each, here) for each in looked.findings],
    }


def quorum(looked: "Looked") -> dict[str, Any]:
    seen = looked.seen
    return {
        "holds": seen.has_quorum,
        "answering": len(seen.answering),
        "needed": seen.quorum,
        "voters": len(seen.etcd),
    }


def backup(looked: "Looked", manifest: "Manifest") -> dict[str, Any]:
    return {
        "snapshot": manifest.id,
        "revision": manifest.revision,
        "size_bytes": manifest.size_bytes,
        "outcome": manifest.outcome,
        "age_s": round((looked.case.now - manifest.created_at).total_seconds()),
    }


def found(finding: "Finding", here: Given) -> dict[str, Any]:
    ways = [{**plain(way), "command": here.command(way.command)} for way in finding.ways]
    return {**plain(finding), "next": here.command(finding.next), "ways": ways}


def whole(looked: "Looked", here: Given) -> dict[str, Any]:
    seen = looked.seen
    return {
        "cluster": looked.case.name,
        "environment": looked.case.settings.environment,
        "cluster_id": seen.cluster_id,
        "cluster_ids": list(seen.cluster_ids),
        "state": looked.state,
        "quorum": quorum(looked),
        "members": [member(looked, name) for name in seen.etcd],
        "backups": [backup(looked, each) for each in reversed(seen.manifests)],
        "older_backups": seen.older,
        "store_error": seen.store or None,
        "rpo_now": plain(looked.loss) if looked.loss else None,
        "restore_proof": proof(looked),
        "findings": [found(each, here) for each in looked.findings],
    }


def member(looked: "Looked", name: str) -> dict[str, Any]:
    from quorate.cluster import Silence

    etcd, node = looked.seen.etcd[name], looked.seen.nodes.get(name)
    components = looked.case.settings.control_plane
    out: dict[str, Any] = {"name": name, "healthy": name in looked.seen.reads}
    if isinstance(etcd, Silence):
        out |= {"error": etcd.reason}
    else:
        out |= {"role": role(looked, name), **plain(etcd)}
        if reason := looked.seen.unread.get(name):
            out |= {"error": reason}
    if node is None or isinstance(node, Silence):
        out |= {"node": {"reachable": False, "error": node.reason if node else ""}}
    else:
        units = {
            each: unit_state(node.units.get(each))
            for each in (looked.case.settings.etcd.process, *(c.process for c in components))
        }
        out |= {"node": {"reachable": True, "claim": node.claim, "units": units}}
    return out
