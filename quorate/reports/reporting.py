"""From the record of an operation to its report: nothing is looked up here, and nothing is made up."""

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from itertools import pairwise

from quorate import backup, prove
from quorate.audit import GENESIS
from quorate.backups.catalogue import Manifest
from quorate.measure import DEFINITIONS, Check, Clock, Resource
from quorate.measure import failed as failing
from quorate.reports.achieved import day, due, missed, rpo, rto, verdict
from quorate.reports.acts import Acted, spells
from quorate.reports.acts import records as recorded
from quorate.reports.checking import checks
from quorate.reports.controls import controls
from quorate.reports.report import (
    Bar,
    Chain,
    Deviation,
    Entry,
    Fact,
    Finding,
    Mark,
    Person,
    Report,
    Trail,
)
from quorate.reports.told import Told, clock_of, utc

PEOPLE, MACHINE = "people", "machine"
NO_RECORD = "not in the record"
SAID_MAX = 400
TITLES = {
    "backup": {step.key: step.title for step in backup.STEPS},
    "prove": {step.key: step.title for step in prove.STEPS},
}
WHAT = {
    "restore": "Restore",
    "backup": "Backup",
    "prove": "Proof by a restore",
    "verify": "Verification of backups",
    "prune": "Retention",
    "drill": "Drill",
    "replace-member": "Member replacement",
    "freeze": "Freeze",
    "thaw": "Thaw",
    "tidy": "Tidy",
    "lay": "Files laid from a bundle",
}


def reported(told: Told, made_at: float, made_by: str, version: str) -> Report:
    clock, trail = clock_of(told), trail_of(told)
    figures = (rto(told, clock), rpo(told))
    seen = checks(told, trail)
    resources = tuple(resources_of(told))
    overall = verdict(told, () if told.drill else (*told.own, *missed(figures), *failing(seen)))
    retest = due(told, overall.judgement)
    found = assigned(told, findings(told, missed(figures), resources, trail), retest)
    report = Report(
        operation=told.operation,
        kind=told.kind,
        cluster=told.cluster,
        title=f"{WHAT.get(told.kind, told.kind.replace('-', ' ').capitalize())} of {told.cluster}",
        made_at=made_at,
        made_by=made_by,
        version=version,
        verdict=overall,
        rto=figures[0],
        rpo=figures[1],
        scope=tuple(scope(told)),
        scenario=tuple(scenario(told)),
        clock=tuple(marks(told, clock)),
        people=tuple(people(told)),
        people_s=clock.people_s,
        machine_s=clock.machine_s,
        time_notes=tuple(time_notes(told, clock)),
        bars=tuple(bars(told, clock)),
        duration_s=duration(told),
        probe=told.drill.probed if told.drill else None,
        unprobed="" if told.drill and told.drill.probed else f"no probe ran beside this {told.noun}",
        provenance=tuple(provenance(told)),
        unproven=told.provenance.why_not,
        checks=seen,
        log=tuple(entry(act) for act in told.acts),
        deviations=tuple(deviations(told)),
        decisions=told.stepped.decisions if told.stepped else (),
        resources=resources,
        findings=found,
        retest_due=retest,
        notes=tuple(map(str, told.outcome.get("notes") or ())),
        compared=told.before,
        trail=trail,
        where=told.where,
    )
    return replace(report, controls=controls(report))


def scope(told: Told) -> Iterator[Fact]:
    yield Fact("Operation", told.operation)
    yield Fact("Cluster", told.cluster + (f" ({told.environment})" if told.environment else ""))
    yield Fact("Asked for", utc(told.asked))
    yield Fact("Over", utc(told.ended) if told.word else "not yet, as far as the record goes")
    if told.stepped and (told.stepped.cluster_id or told.stepped.previous_cluster_id):
        ids = f"{told.stepped.previous_cluster_id or '?'} before, {told.stepped.cluster_id or 'unchanged'} after"
        yield Fact("Cluster id", ids)
    if told.plan:
        yield Fact("Plan", f"digest {told.plan.chosen.digest()}")
        yield Fact("Nodes", ", ".join(f"{share.node.name} ({share.member})" for share in told.plan.chosen.shares))
    if told.plan and told.plan.chosen.snapshot.etcd_version:
        yield Fact("etcd", told.plan.chosen.snapshot.etcd_version)
    if told.plan and told.plan.incident:
        yield Fact("Incident", told.plan.incident)
    if told.drill and told.drill.operations:
        yield Fact("Carried out", ", ".join(told.drill.operations))
    if told.where:
        yield Fact("Record", told.where)


def scenario(told: Told) -> Iterator[Fact]:
    if told.drill:
        yield Fact("Scenario", told.drill.scenario)
        yield Fact("Hypothesis", told.drill.hypothesis or "none was written down")
        for name, value in sorted(told.drill.facts.items()):
            yield Fact(name, value)
        return
    yield Fact("Kind", KINDS.get(told.kind, "an operation on the cluster itself, and no exercise"))
    for each in told.plan.seen if told.plan else ():
        yield Fact("Seen before", each)
    for each in told.plan.losses if told.plan else ():
        yield Fact("Said to be lost", each)
    for name, value in sorted((told.outcome.get("facts") or {}).items()):
        yield Fact(str(name), str(value))


KINDS = {
    "restore": "a restore of the cluster itself: an incident, or a rehearsal on it",
    "backup": "a backup, by hand or by its schedule",
    "prove": "a backup restored in the sandbox, apart from the cluster, and removed again",
}


def marks(told: Told, clock: Clock) -> Iterator[Mark]:
    for each in fields(clock):
        at = getattr(clock, each.name)
        yield Mark(each.name, DEFINITIONS[each.name], at, "" if at is not None else why_none(told, each.name))


def why_none(told: Told, name: str) -> str:
    if told.drill:
        return "not reached, or there is no such thing in this scenario"
    if told.kind != "restore" and (name not in {"approved", "handed_back"} or not told.stepped):
        return f"a {told.noun} has no such time"
    api = told.steps_between("verify-api")
    if name == "readyz" and api and told.reached("verify-api"):
        return f"seen by {utc(api[1])}; the moment itself is not in the record"
    return {
        "detected": "not in the record: a survey changes nothing, so it leaves no trace",
        "quorum": "not in the record by itself; the first write, which needs it, came after it",
        "readyz": "no API server was verified",
        "workload": "no probe ran",
    }.get(name, "not reached")


def people(told: Told) -> Iterator[Person]:
    if told.drill and told.drill.people:
        yield from (Person(each, "") for each in told.drill.people)
        return
    if told.actor:
        yield Person(told.actor, "asked for it")
    for each in told.stepped.decisions if told.stepped else ():
        if each.startswith("approved by "):
            name, _, key = each.removeprefix("approved by ").partition(" with the key ")
            yield Person(name, f"approved it, signed with {key}" if key else "approved it")
    if told.plan and told.plan.incident:
        yield Person(told.actor, f"broke the glass for {told.plan.incident}: nobody else was waited for")


def time_notes(told: Told, clock: Clock) -> Iterator[str]:
    if not told.drill and not told.stepped:
        yield f"nobody was waited for: a {told.noun} needs no approval"
    if told.stepped and clock.people_s is not None and clock.detected is None:
        yield "people's time includes the survey and the plan, which the record does not time apart"
    if told.stepped and any(" at step " in each for each in told.stepped.decisions):
        yield "it was held on the way; what people took to decide then is within the machines' time"
    if told.stepped and told.stepped.outage_s is not None:
        yield f"etcd was out for {told.stepped.outage_s:g} s, from its first stop to the first write after it"
    if told.stepped and told.kind == "restore" and told.stepped.outage_s is None and told.word == "restored":
        yield "how long etcd was out cannot be known: quorum was gone before anything was stopped"
    if told.stepped and told.stepped.api_outage_s is not None:
        yield f"the API was out for {told.stepped.api_outage_s:g} s"


def duration(told: Told) -> float | None:
    took = told.outcome.get("duration_s")
    return float(took) if isinstance(took, int | float) else None


def bars(told: Told, clock: Clock) -> Iterator[Bar]:
    """The phases of a drill by its clock, else what people took; then every step, also of what a drill had done."""
    since = clock.detected or clock.declared
    if told.drill:
        yield from phases(clock)
    elif since is not None and clock.approved is not None and clock.approved > since:
        yield Bar("Asked, planned, approved", PEOPLE, since, clock.approved)
    if told.stepped:
        yield from step_bars(told)
    else:
        titles = TITLES.get(told.kind, {})
        for spell in spells(told.acts):
            if spell.step != "approval":
                label, state = titles.get(spell.step, spell.step), "failed" if spell.failed else "done"
                yield Bar(label, MACHINE, spell.since, spell.until, state, spell.places)
    for each in told.carried:
        yield from step_bars(each)


PHASES = {"detected": "Seen", "approved": "Shown, read, approved", "started": "Begun", "quorum": "Quorum back"}
PHASES |= {"readyz": "API server ready", "first_write": "First write", "workload": "Workload served"}
PHASES |= {"handed_back": "Verified, handed back"}


def phases(clock: Clock) -> Iterator[Bar]:
    """From one reading to the next; people are waited for until they have approved."""
    for (_, since), (name, until) in pairwise(clock.reached()):
        yield Bar(PHASES.get(name, name), PEOPLE if name == "approved" else MACHINE, since, until)


def step_bars(told: Told) -> Iterator[Bar]:
    if told.stepped is None:
        return
    titles = {step.key: step.title for step in told.plan.chosen.steps} if told.plan else {}
    for key in dict.fromkeys(step.id for step in told.stepped.steps):
        own = [step for step in told.stepped.steps if step.id == key and step.started is not None]
        if not own:
            continue
        states = {step.state for step in own}
        state = next((each for each in ("failed", "skipped", "running") if each in states), "done")
        undone = key.removeprefix("undo-")
        label = titles.get(key) or (f"Undo: {titles.get(undone, undone)}" if undone != key else key)
        since = min(step.started or 0.0 for step in own)
        until = max((step.started or 0.0) + (step.duration_s or 0.0) for step in own)
        yield Bar(label, MACHINE, since, until, state, tuple(step.host for step in own))


def provenance(told: Told) -> Iterator[Fact]:
    found = told.provenance.manifest
    if found:
        yield from of_manifest(found)
        yield Fact("Manifest", told.provenance.signature or "its signature was not looked at")
        yield Fact("Lock", told.provenance.lock or "none in that store")
        yield from (Fact("Since then", each) for each in told.provenance.standing)
    elif told.plan and told.plan.snapshot.id:
        chosen = told.plan.snapshot
        yield Fact("Snapshot", chosen.id)
        yield Fact("sha256", chosen.sha256)
        yield Fact("Stored", f"{chosen.stored_bytes} bytes, sha256 {chosen.stored_sha256}")
        yield Fact("Revision", str(chosen.revision))
        yield Fact("Size", f"{chosen.size_bytes} bytes as etcd sent it")
        yield Fact("Taken", f"{chosen.created_at}, of cluster id {chosen.cluster_id}")
        yield Fact("Encrypted for", ", ".join(chosen.recipients) or "nobody: it lies there for all to read")
    elif name := str(told.outcome.get("snapshot") or ""):
        yield Fact("Snapshot", name)
        for key in ("sha256", "revision", "size_bytes", "stored_sha256"):
            if told.outcome.get(key):
                yield Fact(key, str(told.outcome[key]))


def of_manifest(found: Manifest) -> Iterator[Fact]:
    yield Fact("Snapshot", found.id)
    yield Fact("Object", f"{found.key}, {found.stored_bytes} bytes, sha256 {found.stored_sha256}")
    yield Fact("sha256", f"{found.sha256}, of the {found.size_bytes} bytes that etcd sent")
    yield Fact("Revision", f"{found.revision}, of cluster id {found.cluster_id}")
    yield Fact("Taken", f"{utc(found.created_at.timestamp())} from {found.source.name}, etcd {found.source.version}")
    yield Fact("By", f"{found.actor or 'nobody named'}, operation {found.operation}")
    yield Fact("Encrypted for", ", ".join(found.recipients) or "nobody: it lies there for all to read")
    yield Fact("Was", "; ".join((found.outcome, *found.findings)))
    if found.keys:
        yield Fact("Keys", f"{found.keys.get('', 0)}")
    if found.bundle:
        yield Fact("Bundle", f"{len(found.bundle.files)} files beside it, sha256 {found.bundle.sha256}")


def entry(act: Acted) -> Entry:
    said = act.error or (act.tail if act.exit not in {0, None} else "")
    return Entry(
        at=f"{utc(act.at)[:-1]}.{round(act.at % 1 * 1000) % 1000:03}Z",
        place=act.place,
        step=act.step,
        actor=act.actor,
        command=" ".join(act.argv),
        exit=act.ending,
        took_s=act.duration_s,
        said=said[:SAID_MAX],
    )


def deviations(told: Told) -> Iterator[Deviation]:
    plan = told.plan
    if plan:
        yield from (
            Deviation(f"gate {each.id} was overridden: {each.evidence}", plan.reason) for each in plan.overridden
        )
        yield from (Deviation(f"vouched for as powered off: {each}", plan.reason) for each in plan.chosen.powered_off)
        yield from (Deviation(f"left out for good: {each}", plan.reason) for each in plan.chosen.without)
        if plan.incident:
            yield Deviation(f"the glass was broken for {plan.incident}", plan.reason)
    attempts: dict[tuple[str, str], int] = {}
    for act in told.acts:
        attempts[act.step, act.place] = max(attempts.get((act.step, act.place), 0), act.attempt)
    for (key, place), count in attempts.items():
        if count > 1:
            yield Deviation(f"step {key} at {place} took {count} attempts")


def resources_of(told: Told) -> Iterator[Resource]:
    if told.drill:
        yield from told.drill.resources
        return
    yield from pairs(told)
    for act in told.acts:
        if act.done and act.argv[:2] == ("store", "put"):
            yield Resource("kept object", act.place, act.argv[2], act.until or act.at, 0.0)
        kept = next((word for word in act.argv[1:] if f".before-{told.operation}" in word), "")
        if act.done and act.step == "swap" and act.argv[0] in {"mv", "install"} and kept:
            made = act.until or act.at
            yield Resource("kept data", act.place, kept, made, 0.0, f"quorate tidy {told.cluster}")


ON_SANDBOX = "claim on the sandbox"
PAIRS = (
    ("claim", ("release", "undo-claim"), "claim on the node"),
    ("bar", ("unbar", "undo-bar"), "bar against a start"),
    ("claim", ("remove",), ON_SANDBOX),
)


def pairs(told: Told) -> Iterator[Resource]:
    """What one step lays and another takes away, on each node."""
    for lays, lifts, kind in PAIRS:
        if (kind == ON_SANDBOX) == (told.kind == "prove"):
            for place in dict.fromkeys(act.place for act in told.acts if act.step == lays):
                yield pair(told, place, lays, lifts, kind)


def pair(told: Told, place: str, lays: str, lifts: tuple[str, ...], kind: str) -> Resource:
    own = [act for act in told.acts if act.place == place]
    made = min(act.at for act in own if act.step == lays)
    gone = max((act.until for act in own if act.step in lifts and act.done and act.until), default=0.0)
    steps = told.stepped.steps if told.stepped else ()
    lifted = not told.stepped or any(
        each.id in lifts and each.host == place and each.state == "done" for each in steps
    )
    removal = "" if gone and lifted else f"quorate adopt {told.cluster}"
    return Resource(kind, place, told.operation, made, gone if lifted else 0.0, removal)


def findings(told: Told, objectives: tuple[str, ...], made: tuple[Resource, ...], trail: Trail) -> Iterator[Finding]:
    yield from map(Finding, told.own)
    error = told.outcome.get("error")
    if isinstance(error, dict) and error.get("message"):
        yield Finding(str(error["message"]))
    yield from map(Finding, objectives)
    if told.drill:
        for each in unsaid(told.own, told.drill.checks):
            yield Finding(f"check {each.id}: expected {each.expected}, seen {each.observed}")
    for left in made:
        told_already = left.removal and any(left.removal in each for each in told.own)
        if not (left.destroyed or left.kind.startswith("kept") or told_already):
            by_hand = f"; remove it with: {left.removal}" if left.removal else ""
            yield Finding(f"left behind: {left.kind} {left.name} at {left.place}{by_hand}")
    if told.drill and told.drill.probed:
        yield from (Finding(f"an acknowledged write was lost: {key}") for key in told.drill.probed.lost)
    yield from map(Finding, trail.broken)


def unsaid(own: tuple[str, ...], seen: Iterable[Check]) -> Iterator[Check]:
    """Of what has failed, that which the drill's own findings do not name."""
    return (each for each in failing(seen) if not any(said.startswith(f"{each.id}: ") for said in own))


def assigned(told: Told, found: Iterable[Finding], retest: str) -> tuple[Finding, ...]:
    """To whom the inventory says, and by when it says: not later than what failed is tried again."""
    by = "" if told.close_within_s is None else min(filter(None, (day(told.ended + told.close_within_s), retest)))
    return tuple(replace(each, owner=each.owner or told.owner, due=each.due or by) for each in found)


def trail_of(told: Told) -> Trail:
    by_chain: dict[str, list[dict[str, object]]] = {name: [] for name in sorted(told.chains)}
    for name, record in recorded(told.chains):
        by_chain[name].append(record)
    chains = tuple(
        Chain(name, number(own[0]), number(own[-1]), str(own[-1].get("hash", GENESIS)))
        for name, own in by_chain.items()
        if own
    )
    return Trail(chains, told.sealed, told.broken)


def number(record: dict[str, object]) -> int:
    seq = record.get("seq")
    return seq if isinstance(seq, int) else 0
