"""What an operation achieved beside what was wanted: its verdict, and the two numbers."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from quorate.drill import Lost
from quorate.ids import begun
from quorate.measure import Clock
from quorate.measure import Verdict as DrillVerdict
from quorate.operation import Outcome
from quorate.reports.report import RETEST_DAYS, Figure, Judgement, Row, Verdict
from quorate.reports.told import DONE, Told, clock_of

WORDS = {
    "verified": Judgement.PASSED,
    "degraded": Judgement.FINDINGS,
    "suspect": Judgement.FAILED,
    "proved": Judgement.PASSED,
    "unsound": Judgement.FAILED,
    "sound": Judgement.PASSED,
    "pruned": Judgement.PASSED,
    "incomplete": Judgement.FINDINGS,
    "failed": Judgement.FAILED,
    "protected": Judgement.PASSED,
    "unprotected": Judgement.PASSED,
    "paused": Judgement.PASSED,
    "resumed": Judgement.PASSED,
    "trusted": Judgement.PASSED,
    "written": Judgement.PASSED,
    Outcome.REFUSED.value: Judgement.NOTHING,
    Outcome.UNDONE.value: Judgement.FAILED,
    Outcome.HELD.value: Judgement.FAILED,
    DrillVerdict.PASSED.value: Judgement.PASSED,
    DrillVerdict.FINDINGS.value: Judgement.FINDINGS,
    DrillVerdict.STOPPED.value: Judgement.STOPPED,
}
SENTENCES = {
    "verified": "The backup was taken, stored, read back and compared.",
    "degraded": "It counts, and somebody should look at what was found.",
    "suspect": "It is stored and does not count: the cluster had shrunk or fallen back.",
    "proved": "An etcd was started from the backup in the sandbox and holds what its manifest says.",
    "unsound": "A backup is not what its manifest says.",
    "sound": "Every backup that was looked at is what its manifest says.",
    "pruned": "What retention lets go is gone.",
    "incomplete": "Not all that retention lets go could be removed.",
    "failed": "It failed; nothing of it counts.",
    "protected": "The backup stays, whatever retention says.",
    "unprotected": "Retention may let the backup go again.",
    "paused": "The schedule does not run until somebody resumes it.",
    "resumed": "The schedule runs again.",
    "trusted": "Another host key is pinned.",
    "written": "The inventory is written.",
    "restored": "The cluster is back, and was verified on every member.",
    "frozen": "Everything is stopped, and does not start.",
    "thawed": "What ran before it was frozen runs again.",
    "tidied": "What the plan named is removed.",
    "laid": "What was missing on the node is there again, as the bundle has it.",
    "refused": "It was refused before anything was changed.",
    "undone": "It failed, and everything is as it was before.",
    "held": "It stopped half way: bars and claims are on the nodes, and a person has to go on.",
    "passed": "What was to be proved was proved.",
    "passed-with-findings": "What was to be proved was proved, and something is left to look at.",
    "stopped": "It was ended early by a stop condition or by a person.",
}

AS_PLANNED = "It was done as planned."
NOT_PROVED = "What was to be proved was not proved."


def judgement(word: str, findings: Sequence[object]) -> Judgement:
    """Of an outcome's word; one that is not known here is judged by its exit code."""
    found = WORDS.get(word) or (Judgement.PASSED if word in DONE else Judgement.FAILED if word else Judgement.OPEN)
    return Judgement.FINDINGS if found is Judgement.PASSED and findings else found


def verdict(told: Told, findings: Sequence[object]) -> Verdict:
    word = told.word
    sentence = SENTENCES.get(word) or ("No outcome is on record." if not word else AS_PLANNED if word in DONE else "")
    sentence = NOT_PROVED if told.drill and word == DrillVerdict.FAILED else sentence
    return Verdict(judgement(word, findings), word or "no outcome", sentence)


def rto(told: Told, clock: Clock) -> Figure:
    objective = told.drill.rto_objective_s if told.drill else told.rto_s
    achieved = clock.rto_s if told.drill or told.word == "restored" else None
    met = achieved <= objective if achieved is not None and objective is not None else None
    return Figure("RTO", achieved, achieved, objective, met, how_fast(told, achieved))


def how_fast(told: Told, achieved: float | None) -> str:
    if achieved is not None:
        return "from declared until the first write was acknowledged"
    if told.kind not in {"restore", "drill"}:
        return f"not measured: a {told.noun} brings no cluster back"
    if told.kind == "restore" and told.word != "restored":
        return f"not measured: the restore ended {told.word or 'without an outcome'}"
    return "not measured: the record holds no first write"


def rpo(told: Told) -> Figure:
    if told.kind == "backup":
        return apart(told)
    objective = told.drill.rpo_objective_s if told.drill else told.rpo_s
    lost, how = (told.drill.lost, by_drill(told.drill.lost)) if told.drill else (told.lost, told.lost_how)
    return Figure("RPO", lost.least_s, lost.most_s, objective, kept_to(lost, objective), how)


def by_drill(lost: Lost) -> str:
    if lost.most_s is None:
        return "not known: the drill has not said how much time's writes were lost"
    return "how much time's writes were lost, as the drill measured it"


def apart(told: Told) -> Figure:
    """The most that could have been lost before this one counted: since the one before it was begun."""
    name, objective = "RPO", told.rpo_s
    before = next((row for row in told.before if row.judgement in {Judgement.PASSED, Judgement.FINDINGS}), None)
    if before is None or judgement(told.word, ()) not in {Judgement.PASSED, Judgement.FINDINGS}:
        why = "no earlier backup that counts is on record here" if before is None else "this one does not count"
        return Figure(name, None, None, objective, None, f"not known: {why}")
    most = round(told.ended - before.began, 3)
    met = None if objective is None else most <= objective
    how = "the most that could have been lost before this one counted: since the one before it was begun"
    return Figure(name, 0.0, most, objective, met, how)


def kept_to(lost: Lost, objective: float | None) -> bool | None:
    """Between the two nobody can tell."""
    if objective is None or lost.most_s is None:
        return None
    if lost.most_s <= objective:
        return True
    return False if lost.least_s is not None and lost.least_s > objective else None


def missed(figures: Sequence[Figure]) -> tuple[str, ...]:
    return tuple(f"the {each.name} objective was missed" for each in figures if each.met is False)


def due(told: Told, judged: Judgement) -> str:
    """When what failed is to be tried again."""
    if judged not in {Judgement.FAILED, Judgement.STOPPED} or told.kind not in {"drill", "restore", "prove"}:
        return ""
    return day(told.ended + timedelta(days=RETEST_DAYS).total_seconds())


def day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def row(operation: str, outcome: Mapping[str, Any], chains: Mapping[str, list[str]]) -> Row:
    """One operation as a line among others; chains may be empty, then less is known of it."""
    told = Told(operation, "", outcome, chains)
    findings = outcome.get("findings") or ()
    word, lost = told.word, told.drill.lost if told.drill else Lost()
    try:
        began = begun(operation)
    except ValueError:
        began = 0.0
    reached = clock_of(told) if chains or told.drill else Clock()
    duration = outcome.get("duration_s")
    return Row(
        operation=operation,
        kind=told.kind,
        began=began,
        outcome=word or "no outcome",
        judgement=judgement(word, findings),
        rto_s=reached.rto_s if told.drill or word == "restored" else None,
        rpo_least_s=lost.least_s,
        rpo_most_s=lost.most_s,
        duration_s=float(duration) if isinstance(duration, int | float) else None,
    )
