"""What a drill has shown: its checks, its clock and its verdict, from what was seen and from nothing else."""

from collections.abc import Iterable, Mapping

from quorate.drill import Drilled, DrillRequest, DrillResult
from quorate.drills.scenario import Proven
from quorate.drills.shown import api_served
from quorate.measure import Check, Clock, Probed, Surface, Verdict, failed
from quorate.prove import ProveResult, unserved


def result(request: DrillRequest, seen: Drilled) -> DrillResult:
    """The verdict, from what was seen and from nothing else."""
    clock = clocked(seen, request.scenario.lost)
    proofs = tuple(proved(each, request, seen, clock) for each in request.scenario.proof)
    checks = (*seen.checks, *proofs, *(api_served(seen.proved.unserved, seen.proved.facts) if seen.proved else ()))
    left = [each for each in seen.resources if each.removal]
    unknown = tuple(f"{each.id} could not be looked at: {each.observed}" for each in checks if each.passed is None)
    findings = (
        *([f"stopped early: {seen.stopped}"] if seen.stopped else []),
        *(f"{each.id}: {each.observed}, expected {each.expected}" for each in failed(checks)),
        *(f"{each.kind} on {each.place} is still there: {each.name}; remove it: {each.removal}" for each in left),
        *unknown,
        *seen.findings,
    )
    objectives = request.settings.objectives
    return DrillResult(
        operation=request.operation,
        outcome=verdict(seen, checks, findings),
        cluster=request.cluster,
        scenario=request.scenario.scenario,
        hypothesis=request.scenario.hypothesis,
        clock=clock,
        probed=seen.probed,
        checks=checks,
        resources=seen.resources,
        findings=findings,
        operations=seen.operations,
        snapshot=next((each.snapshot for each in (seen.proved, seen.restored) if each), ""),
        rto_objective_s=objectives.rto if objectives else None,
        rpo_objective_s=objectives.rpo if objectives else None,
        lost=seen.lost,
        duration_s=round(seen.ended - seen.began, 3),
        people=(
            *((f"asked for by {request.actor}",) if request.actor else ()),
            *(seen.restored.decisions if seen.restored else ()),
        ),
        facts=dict(seen.proved.facts) if seen.proved else {},
    )


def verdict(seen: Drilled, checks: Iterable[Check], findings: tuple[str, ...]) -> Verdict:
    if seen.stopped:
        return Verdict.STOPPED
    if failed(checks):
        return Verdict.FAILED
    return Verdict.FINDINGS if findings else Verdict.PASSED


def clocked(seen: Drilled, lost: Surface = "etcd") -> Clock:
    """By the probe, or by the etcd in the sandbox; None for whatever neither of them has seen.

    The first write is one through what was lost.
    """
    if seen.declared is None:
        times: Mapping[str, float] = seen.proved.times if seen.proved else {}
        return Clock(
            declared=seen.began,
            started=times.get("claim"),
            quorum=times.get("start"),
            readyz=times.get("serve") if seen.proved and "readyz_s" in seen.proved.facts else None,
            handed_back=times.get("remove"),
        )
    since, probed = seen.declared, seen.probed
    if probed is None:
        return Clock(declared=since, handed_back=seen.ended)
    gaps = [gap for gap in probed.gaps if (gap.until or probed.ended) >= since]
    return Clock(
        declared=since,
        detected=min((gap.since for gap in gaps), default=None),
        approved=seen.approved,
        started=seen.approved or since,
        quorum=probed.back(since, "etcd", "read"),
        readyz=probed.back(since, "apiserver", "read"),
        first_write=probed.back(since, lost, "write"),
        workload=None
        if any(gap.until is None for gap in gaps)
        else max((g.until or 0.0 for g in gaps), default=since),
        handed_back=seen.ended,
    )


def proved(proven: Proven, request: DrillRequest, seen: Drilled, clock: Clock) -> Check:
    objectives = request.settings.objectives
    match proven.check:
        case "write-gap" | "read-gap":
            return gap_check(proven, seen.probed)
        case "nothing-lost":
            return lost_check(seen.probed)
        case "backup-proved":
            return proof_check(seen.proved)
        case "restored" | "replaced" | "laid" as wanted:
            done = seen.restored is not None and seen.restored.outcome == wanted
            said = f"{seen.restored.operation}: {seen.restored.outcome}" if seen.restored else "nothing was"
            where = "compared with the bundle" if wanted == "laid" else "verified on every member"
            return Check(wanted, f"{wanted}, and {where}", said, done)
        case "rto":
            return bound_check("rto", clock.rto_s, objectives.rto if objectives else None)
        case "rpo":
            return bound_check("rpo", seen.lost.most_s, objectives.rpo if objectives else None)


def gap_check(proven: Proven, probed: Probed | None) -> Check:
    """Of whoever writes or reads: through etcd."""
    verb = "write" if proven.check == "write-gap" else "read"
    expected = f"at most {proven.at_most:g} s without a {verb}"
    if probed is None or not any(each.made for each in probed.tries if each.verb == verb):
        return Check(proven.check, expected, "nothing was tried", None)
    longest_s = probed.longest_s("etcd", verb)  # type: ignore[arg-type]  # one of its two
    return Check(proven.check, expected, f"{longest_s:.2f} s", longest_s <= (proven.at_most or 0.0))


def lost_check(probed: Probed | None) -> Check:
    expected = "every acknowledged write is there"
    if probed is None:
        return Check("nothing-lost", expected, "nothing was written", None)
    made = sum(each.made - each.failed for each in probed.tries if each.verb == "write" and each.surface == "etcd")
    return Check("nothing-lost", expected, "; ".join(probed.lost) or f"{made} of {made}", not probed.lost)


def proof_check(proof: ProveResult | None) -> Check:
    expected = "restored, it holds what its manifest says"
    if proof is None or not proof.snapshot:
        return Check("backup-proved", expected, "no backup was restored", False)
    own = tuple(each for each in proof.findings if not proof.unserved or each != unserved(proof.unserved))
    said = "; ".join(own) or f"{proof.snapshot}: content digest and HashKV are equal"
    passed = proof.outcome == "proved" or bool(proof.unserved and proof.outcome == "degraded" and not own)
    return Check("backup-proved", expected, said, passed)


def bound_check(id_: str, measured_s: float | None, objective_s: float | None) -> Check:
    expected = f"at most {objective_s:g} s" if objective_s is not None else "no objective is set"
    if measured_s is None:
        return Check(id_, expected, "not measured", None)
    return Check(id_, expected, f"{measured_s:.2f} s", objective_s is None or measured_s <= objective_s)
