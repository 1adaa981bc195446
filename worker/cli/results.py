"""How operations ended: one object for scripts, a few lines for people, one exit code for both."""

from typing import TYPE_CHECKING, Any

from worker.cli.options import Given, Output, paint, plain, say, say_json, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quorate.backup import BackupResult
    from quorate.drill import DrillResult
    from quorate.operation import RestoreResult
    from quorate.prove import ProveResult
    from quorate.prune import PruneResult
    from quorate.verify import VerifyResult
    from worker.returned import Result

RESTORE_FIELDS = (
    "operation",
    "outcome",
    "snapshot",
    "revision",
    "served_revision",
    "outage_s",
    "api_outage_s",
    "duration_s",
    "steps",
)
BACKUP_FIELDS = (
    "operation",
    "outcome",
    "snapshot",
    "revision",
    "size_bytes",
    "sha256",
    "stored_bytes",
    "stored_sha256",
)
FENCE_FIELDS = ("operation", "outcome", "duration_s", "steps")  # of a freeze and a thaw, which move no data
LAY_FIELDS = ("operation", "outcome", "snapshot", "member", "duration_s", "steps")
REPLACE_FIELDS = ("operation", "outcome", "member", "duration_s", "steps")
OF_DATA = (
    "snapshot",
    "revision",
    "served_revision",
    "outage_s",
    "api_outage_s",
    "cluster_id",
    "previous_cluster_id",
    "differences",
    "undiffered",
)
NOT_APPROVED, FINDINGS, FAILED = 5, 3, 10
PRUNE_FIELDS = ("operation", "outcome", "removed", "strays", "freed_bytes", "kept")
PRUNE_EXIT = {"pruned": 0, "incomplete": FINDINGS}
VERIFY_FIELDS = ("operation", "outcome", "verified", "quarantined", "newest", "verified_bytes")
VERIFY_EXIT = {"sound": 0, "unsound": FINDINGS}
PROVE_FIELDS = ("operation", "outcome", "snapshot", "newest", "restored_bytes", "duration_s")
PROVE_EXIT = {"proved": 0, "degraded": FINDINGS, "unsound": FINDINGS}
DRILL_FIELDS = (
    "operation",
    "outcome",
    "cluster",
    "scenario",
    "clock",
    "checks",
    "operations",
    "findings",
    "duration_s",
)
BACKUP_EXIT = {"verified": 0, "degraded": FINDINGS, "suspect": FINDINGS}


def told(result: "Result", here: Given, output: Output) -> int:
    """The exit code, after the result was said."""
    code, text, data = said(result, here)
    if output is Output.JSON:
        say_json(data)
    else:
        say(text)
        if data.get("error"):
            warn(f"error: {data['error']['message']}\nnext: {data['error']['next']}")
    return code


def said(result: Any, here: Given) -> tuple[int, str, dict[str, Any]]:
    """Exit code, text and object, by the name of its class: to ask for the class itself would load every runbook."""
    match type(result).__name__:
        case "BackupResult":
            return BACKUP_EXIT.get(result.outcome, FAILED), backup_text(result), plain(result)
        case "PruneResult":
            return PRUNE_EXIT.get(result.outcome, FAILED), prune_text(result), plain(result)
        case "VerifyResult":
            return VERIFY_EXIT.get(result.outcome, FAILED), verify_text(result), plain(result)
        case "ProveResult":
            return PROVE_EXIT.get(result.outcome, FAILED), prove_text(result), plain(result)
        case "DrillResult":
            return drill_exit(result), drill_text(result, here), plain(result)
        case _:
            return exit_code(result), restore_text(result, here), restore_object(result, here)


def drill_exit(result: "DrillResult") -> int:
    from quorate.drill import EXIT

    return EXIT[result.outcome]


def exit_code(result: "RestoreResult") -> int:
    from quorate.operation import EXIT

    if result.error and result.error.kind == "not-approved":
        return NOT_APPROVED
    return EXIT[result.outcome]


def restore_object(result: "RestoreResult", here: Given) -> dict[str, Any]:
    data: dict[str, Any] = plain(result)
    if not restores(result.operation):
        kept = LAY_FIELDS if kind_of(result.operation) == "lay" else ()
        data = {key: value for key, value in data.items() if key not in OF_DATA or key in kept}
    if not data["member"]:
        del data["member"]  # nobody is, but in one runbook
    if result.error:
        following = here.command(result.error.next or after(result))
        data["error"] = {"kind": result.error.kind, "message": result.error.message, "next": following}
    return data


def kind_of(operation: str) -> str:
    return operation.rpartition("-")[0]


def restores(operation: str) -> bool:
    return kind_of(operation) == "restore"


def after(result: "RestoreResult") -> str:
    """What to run when the trouble itself does not say."""
    cluster = result.snapshot.partition("/")[0]
    if result.outcome == "held":
        page = f"runbooks/{kind_of(result.operation)}.md"
        return f"quorate audit show {result.operation}  # what ran where; then by hand: {page}"
    if result.error and result.error.kind == "not-approved":
        return f"quorate plan restore {cluster}"
    return f"quorate inspect {cluster}" if "/" in result.snapshot else "quorate"


def restore_text(result: "RestoreResult", here: Given) -> str:
    from worker.screen import span

    colour = paint()
    lines = [f"{colour.state(result.outcome)}  {result.operation}  snapshot {result.snapshot}"]
    if not restores(result.operation):
        lines = [f"{colour.state(result.outcome)}  {result.operation}  {result.member}".rstrip()]
    if result.served_revision is not None:
        lines.append(f"  revision     {result.revision} restored, {result.served_revision} served now")
    for label, value in (
        ("etcd was out", result.outage_s),
        ("API was out", result.api_outage_s),
        ("took", result.duration_s),
    ):
        if value is not None:
            lines.append(f"  {label:<12} {span(value)}")
    if result.cluster_id:
        lines.append(f"  cluster id   {result.cluster_id}, before {result.previous_cluster_id}")
    lines += differing(result)
    lines += [f"  finding      {each}" for each in result.findings]
    lines += [f"  decided      {each}" for each in result.decisions]
    lines += [f"  data         {each}" for each in result.where]
    lines.append(f"  {meaning(result)}")
    lines.append(f"  on record    {here.command(f'quorate audit show {result.operation}')}")
    return "\n".join(lines)


def differing(result: "RestoreResult") -> "Iterator[str]":
    """What was taken away and brought back, by kind; nothing of a restore that did not come that far."""
    if result.undiffered:
        yield f"  differs      from before: not known ({result.undiffered})"
    elif result.differences is not None:
        yield f"  differs      from before: {'' if result.differences else 'in nothing'}".rstrip()
        for each in result.differences:
            counted = ((each.gone, "gone"), (each.back, "back"), (each.older, "older"))
            said = ", ".join(f"{count} {what}" for count, what in counted if count)
            names = (f"{name[0]}{name[1:].removeprefix(f'/registry/{each.kind}/')}" for name in each.names)
            yield f"    {each.kind}: {said}  {' '.join(names)}".rstrip()


def meaning(result: "RestoreResult") -> str:
    if result.outcome == "undone" and result.findings:
        return "data, claims and bars are as they were before; not so what is found above"
    return MEANING[result.outcome]


MEANING = {
    "restored": "verified on every member: ids, keys, a write through each",
    "frozen": "all is stopped and does not start, also after a reboot; the way back is `quorate thaw`",
    "thawed": "what ran before it was frozen runs again",
    "replaced": "the member has its vote and holds what the others hold; its data of before is kept beside the new",
    "tidied": "what the plan named is removed",
    "laid": "what was missing is there as the bundle has it; what was there is as it was",
    "refused": "nothing was changed",
    "undone": "everything is as it was before",
    "held": "ended half way: bars and claims stay on the nodes, so nothing else begins there",
}


def backup_text(result: "BackupResult") -> str:
    from worker.screen import size, span

    sizes = f"{size(result.size_bytes)} from {result.member or 'a member'}, {size(result.stored_bytes)} stored"
    lines = [
        f"{paint().state(result.outcome)}  {result.snapshot}",
        f"  revision {result.revision}, {sizes}, {span(result.duration_s)}",
        f"  sha256   {result.sha256}",
    ]
    lines += [f"  finding  {each}" for each in result.findings]
    return "\n".join([*lines, *(f"  note     {each}" for each in result.notes)])


def prune_text(result: "PruneResult") -> str:
    from worker.screen import size

    counted = f"{len(result.removed)} removed, {result.kept} kept, {size(result.freed_bytes)} freed"
    lines = [f"{paint().state(result.outcome)}  {result.operation}", f"  backups  {counted}"]
    lines += [f"  stray    {each} removed: a dead attempt, or what was left of a removal" for each in result.strays]
    lines += [f"  finding  {each}" for each in result.findings]
    return "\n".join([*lines, *(f"  note     {each}" for each in result.notes)])


def verify_text(result: "VerifyResult") -> str:
    from worker.screen import size

    counted = (
        f"{len(result.verified)} sound, {len(result.quarantined)} quarantined, {size(result.verified_bytes)} read"
    )
    lines = [f"{paint().state(result.outcome)}  {result.operation}", f"  backups  {counted}"]
    lines += [f"  newest   {result.newest or 'none that counts'}"]
    lines += [f"  finding  {each}" for each in result.findings]
    return "\n".join([*lines, *(f"  note     {each}" for each in result.notes)])


def prove_text(result: "ProveResult") -> str:
    from worker.screen import size, span

    lines = [f"{paint().state(result.outcome)}  {result.snapshot or result.operation}"]
    if result.snapshot:
        lines += [f"  restored   {size(result.restored_bytes)} in the sandbox, {span(result.duration_s)}"]
        lines += [f"  {name:<10} {value}" for name, value in sorted(result.facts.items())]
        lines += [f"  newest     {result.newest or 'none that counts'}"]
    lines += [f"  finding    {each}" for each in result.findings]
    return "\n".join([*lines, *(f"  note       {each}" for each in result.notes)])


def drill_text(result: "DrillResult", here: Given) -> str:
    """The verdict, two numbers, what was to be seen and was, and what is left to do."""
    from worker.screen import span, table

    colour = paint()
    lines = [f"{colour.state(result.outcome)}  {result.scenario} on {result.cluster}  {result.operation}"]
    lines += [f"  RTO      {timed(result.clock.rto_s)} of {timed(result.rto_objective_s)}"]
    if result.lost.most_s is not None:
        lost = f"{timed(result.lost.least_s)} to {timed(result.lost.most_s)}"
        lines += [f"  RPO      {lost} of {timed(result.rpo_objective_s)}"]
    if result.probed:
        lines += [
            f"  {each.surface:<10} {each.made} {each.verb}s, {each.failed} failed, "
            f"longest gap {span(result.probed.longest_s(each.surface, each.verb))}"
            for each in result.probed.tries
        ]
    marks = {True: "ok", False: "FAIL", None: "?"}
    rows = [[colour.state(marks[each.passed]), each.id, each.observed] for each in result.checks]
    lines += ["", table([["", "CHECK", "OBSERVED"], *rows]), ""]
    lines += [f"  finding  {each}" for each in result.findings]
    lines += [f"  ran      {each}" for each in result.operations]
    lines += [f"  took     {span(result.duration_s)}"]
    lines += [f"  report   {here.command(f'quorate report {result.operation}')}"]
    return "\n".join(lines)


def timed(seconds: float | None) -> str:
    from worker.screen import span

    return "-" if seconds is None else span(seconds)
