"""What the operations of a drill have shown, as checks: expected beside observed."""

from collections.abc import Mapping

from quorate.backup import BackupResult
from quorate.converge import Ran
from quorate.drill import DrillRequest, Fingerprint, Spoiled
from quorate.drills.aiming import NOBODY
from quorate.drills.fault import ANOTHER, Hidden
from quorate.drills.scenario import Mistake
from quorate.measure import Check
from quorate.notices import TOLD
from quorate.operation import Outcome, RestoreResult
from quorate.prove import ProveResult

WANTED = {"restore": Outcome.RESTORED, "replace-member": Outcome.REPLACED, "lay": Outcome.LAID}


def changed(stage: str, ended: RestoreResult) -> Check:
    """Whether it has ended as what it was begun for."""
    kind = ended.operation.rpartition("-")[0]
    said = f"{ended.outcome}: {ended.error.message}" if ended.error else str(ended.outcome)
    return Check(f"{stage}: {kind}", str(WANTED[kind]), said, ended.outcome is WANTED[kind])


def same_files(stage: str, laid: Hidden, ran: tuple[Ran, ...]) -> Check:
    """Whether what was laid is what had been there, as the node has compared them when it put them back."""
    expected = f"all {len(laid.files)} are what they were before"
    compared = [each.tail for each in ran if each.act == str(laid.compare)]
    if not compared:
        return Check(f"{stage}: files", expected, "the node had lifted the fault by itself", None)
    others = [line for tail in compared for line in tail.splitlines() if line.startswith(ANOTHER)]
    return Check(
        f"{stage}: files", expected, "; ".join(others) or f"{len(laid.files)} of {len(laid.files)}", not others
    )


def keys_back(stage: str, before: Fingerprint, deleted: Fingerprint, after: Fingerprint) -> tuple[Check, ...]:
    """A restore keeps the revision that wrote a key, so the same digest means the very same keys."""
    expected, told = (f"{each.keys} keys, {each.digest[:12]}" for each in (before, after))
    gone = Check(f"{stage}: deleted", "no key is left", f"{deleted.keys} left of {before.keys}", deleted.keys == 0)
    return (gone, Check(f"{stage}: keys back", expected, told, before == after and before.keys > 0))


def backed_up(stage: str, ended: BackupResult) -> Check:
    said = "; ".join((ended.outcome, *ended.findings))
    return Check(f"{stage}: backup", "verified", said, ended.outcome in {"verified", "degraded"})


def failed_for_it(stage: str, said: str) -> Check:
    """A backup whose store is away has to fail, and to say for what."""
    return Check(f"{stage}: backup", f"it fails, and names {NOBODY}", said, NOBODY in said)


def not_back(request: DrillRequest, mistake: Mistake) -> str:
    """What a person has to do where the drill ended between the mistake and the restore."""
    restore = f"quorate restore {request.cluster} --confirm {request.cluster} --override-gate quorum-healthy"
    return f"keys below {mistake.prefix} may be gone: {restore} --reason {request.operation}"


def api_served(unserved: str | None, facts: Mapping[str, str]) -> tuple[Check, ...]:
    """Of the API server on what was restored; nothing where none was asked for."""
    if unserved is None:
        return ()
    expected = "an API server on it is ready, and reads every namespace and Secret"
    told = (
        f"ready after {facts.get('readyz_s')} s, {facts.get('namespaces')} namespaces, {facts.get('secrets')} Secrets"
    )
    return (Check("api-served", expected, unserved or told, not unserved),)


def refused_twin(stage: str, spoiled: Spoiled, proof: ProveResult) -> tuple[Check, ...]:
    """It was looked at, quarantined, told of, and the one before it is the newest that counts."""
    said = "; ".join((proof.outcome, proof.snapshot, *proof.findings))
    bad, newest = proof.outcome == "unsound" and proof.snapshot == spoiled.twin, proof.newest or "none counts"
    rings = TOLD.get(proof.outcome, "nothing")
    told = f"a proof that ends {proof.outcome} is told as {rings}"
    return (
        Check(f"{stage}: refused", f"{spoiled.twin} is unsound, and told as that", said, bad),
        Check(f"{stage}: the one before", spoiled.sound, newest, newest == spoiled.sound),
        Check(f"{stage}: the alarm", "it is told to every webhook, as critical", told, rings == "critical"),
    )
