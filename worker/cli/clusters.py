"""`quorate` alone: every cluster, what is broken, and the one command to run next."""

from typing import TYPE_CHECKING, Any

import typer

from worker.cli.options import Given, Output, given, paint, plain, say, say_json, uncollected

if TYPE_CHECKING:
    from quorate.backups.catalogue import Manifest
    from quorate.findings.finding import Finding
    from quorate.plan import Way
    from worker.cli.looking import Looked
    from worker.screen import Paint

FINDINGS = 3


@uncollected()
def status(ctx: typer.Context, output: Output) -> int:
    from concurrent.futures import ThreadPoolExecutor

    from worker.cli.looking import look_at_all, now

    wiring = (here := given(ctx)).wiring()
    with ThreadPoolExecutor(1) as pool:  # neither the nodes nor the server wait for the other
        asked = pool.submit(now, wiring.settings)
        seen = look_at_all(wiring)
    known = asked.result()
    looked = tuple(known.told(each) if known else each for each in seen)
    runs = known.runs if known else None
    if output is Output.JSON:
        say_json({"daemon": runs is not None, "clusters": [short(each, runs or {}, here) for each in looked]})
    else:
        say(overview(looked, runs, here, paint()))
    return FINDINGS if any(each.findings for each in looked) else 0


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


def listed(number: int, finding: "Finding", here: Given, colour: "Paint", where: str = "", columns: int = 0) -> str:
    """Broken between words where a terminal is so wide; a command never is."""
    from worker.screen import wrapped

    named = f"{where}: " if where else ""
    return "\n".join(
        [
            wrapped(f"{number}. {colour.state(finding.level)} {finding.id}: {named}{finding.message}", columns),
            wrapped(f"   {finding.evidence}", columns),
            *(
                [f"   what can be done, the least lost first:\n{ranked(finding.ways, here, '     ', columns)}"]
                if finding.ways
                else []
            ),
            f"   next: {colour(here.command(finding.next), 'bold')}",
        ]
    )


def ranked(found: tuple["Way", ...], here: Given, indent: str, columns: int = 0) -> str:
    """Each in two lines: what it is and loses, and the command."""
    from worker.screen import wrapped

    said = [(wrapped(f"{indent}- {way.what}; loses {way.loses}", columns, f"{indent}  "), way) for way in found]
    return "\n".join(f"{what}\n{indent}  {here.command(way.command)}" for what, way in said)


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
