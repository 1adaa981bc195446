"""The checks of a report: what was to be seen, what was seen, out of what the record and the manifest hold."""

from collections.abc import Iterator

from quorate.backups.catalogue import Manifest
from quorate.drills.shown import api_served
from quorate.measure import Check
from quorate.reports.acts import Acted
from quorate.reports.report import Trail
from quorate.reports.told import Told, utc

NOT_REACHED = "not reached"
SHORT = 16


def checks(told: Told, trail: Trail) -> tuple[Check, ...]:
    return (*of_operation(told), *of_manifest(told), of_trail(trail))


def of_operation(told: Told) -> tuple[Check, ...]:
    if told.drill:
        return told.drill.checks
    if told.kind == "restore":
        return tuple(of_restore(told))
    if told.kind == "prove":
        return tuple(of_proof(told))
    return tuple(of_steps(told))


def of_restore(told: Told) -> Iterator[Check]:
    yield of_plan(told)
    staged = "every node staged the same content"
    yield step(told, "compare", "content-equal", staged)
    yield step(told, "verify", "etcd-verified", "ids, keys, HashKV at one revision, a write through every member")
    result, plan = told.stepped, told.plan
    if result:
        served, mark = result.served_revision, plan.high_water if plan else None
        above = f"above every revision seen before ({mark})" if mark is not None else "above every revision before"
        good = None if served is None or mark is None else served > mark
        yield Check("revision-above", above, str(served) if served is not None else NOT_REACHED, good)
        new, old = result.cluster_id, result.previous_cluster_id
        other = f"another than {old or 'before'}"
        yield Check("cluster-id-new", other, new or NOT_REACHED, (new != old) if new else None)
    if any(each.id == "verify-api" for each in (result.steps if result else ())):
        yield step(told, "verify-api", "api-verified", "every API server ready, and a write through one")
    if result and (result.differences is not None or result.undiffered):
        yield Check(
            "differences-known",
            "what differs from before is known by kind",
            result.undiffered or counted(told),
            None if result.undiffered else True,
        )


def counted(told: Told) -> str:
    differences = (told.stepped.differences if told.stepped else None) or ()
    said = [f"{each.kind}: {each.gone} gone, {each.back} back, {each.older} older" for each in differences]
    return "; ".join(said) or "in nothing"


def of_plan(told: Told) -> Check:
    """Whether what was approved is the plan that lies beside it."""
    expected = told.plan.chosen.digest() if told.plan else ""
    given = [digest_of(act) for act in told.acts if act.step == "approval" and act.done]
    observed = ", ".join(dict.fromkeys(filter(None, given)))
    good = None if not expected or not observed else observed == expected
    wanted = f"the plan on record, {expected[:SHORT]}…" if expected else "the plan on record"
    return Check("plan-approved", wanted, f"{observed[:SHORT]}…" if observed else "no approval on record", good)


def digest_of(act: Acted) -> str:
    words = list(act.argv)
    return words[words.index("--digest") + 1] if "--digest" in words[:-1] else ""


def step(told: Told, key: str, name: str, expected: str) -> Check:
    spell = told.steps_between(key)
    if spell and told.reached(key):
        return Check(name, expected, f"seen by {utc(spell[1])}", passed=True)
    failed = told.stepped and any(each.id == key and each.state == "failed" for each in told.stepped.steps)
    return Check(name, expected, "the step failed" if failed else NOT_REACHED, False if failed else None)


def of_proof(told: Told) -> Iterator[Check]:
    """What the record says, beside what the manifest says: compared here once more."""
    findings = [str(each) for each in told.outcome.get("findings") or ()]
    proved = told.word in {"proved", "degraded"} if told.word else None
    said = "; ".join(findings) if proved is False and findings else told.word or NOT_REACHED
    yield Check("restored-as-manifest", "an etcd started from it holds what its manifest says", said, proved)
    facts, wanted = told.outcome.get("facts") or {}, figures(told.provenance.manifest)
    for name, what in (("content", "content digest"), ("hash", "HashKV"), ("revision", "revision")):
        if name in facts:
            value = wanted.get(name)
            expected = f"the {what} of the manifest, {value or 'which is not at hand'}"
            yield Check(f"restored-{name}", expected, str(facts[name]), str(facts[name]) == value if value else None)
    yield from api_served(told.outcome.get("unserved"), facts)


def figures(manifest: Manifest | None) -> dict[str, str]:
    if manifest is None:
        return {}
    content = {"content": manifest.content.digest} if manifest.content else {}
    hashed = {"hash": str(manifest.hash_kv.hash)} if manifest.hash_kv else {}
    return {**content, **hashed, "revision": str(manifest.revision)}


def of_steps(told: Told) -> Iterator[Check]:
    """Of a runbook that has no checks of its own: that each of its steps was done."""
    for each in told.stepped.steps if told.stepped else ():
        good = {"done": True, "failed": False}.get(each.state)
        yield Check(f"{each.id}@{each.host}", "done", each.state, good)


def of_manifest(told: Told) -> Iterator[Check]:
    manifest = told.provenance.manifest
    if manifest is None:
        return
    if told.kind == "backup":
        yield from of_backup(manifest, told)
    if told.provenance.signature:
        yield Check(
            "manifest-signed", "a signature that is trusted", told.provenance.signature, told.provenance.signed
        )


def of_backup(manifest: Manifest, told: Told) -> Iterator[Check]:
    """What was proved before the manifest was written; it says so itself, and its record has to agree."""
    yield Check(
        "trailer", "the hash that etcd sent fits what it sent", manifest.db_sha256, manifest.verification.trailer
    )
    yield Check(
        "read-back", "the store gives back what was sent", manifest.stored_sha256, manifest.verification.read_back
    )
    opened = manifest.verification.decrypted
    said = "opened and compared" if opened else "nobody here could open it"
    yield Check("opened", "an identity opens it", said if manifest.encryption else "not encrypted", opened or None)
    if manifest.hash_kv:
        observed = f"{manifest.hash_kv.hash} at revision {manifest.hash_kv.revision}"
        yield Check("hash-kv", "the members' HashKV at its revision", observed, passed=True)
    else:
        yield Check("hash-kv", "the members' HashKV at its revision", "not measured", passed=None)
    if manifest.pages:
        torn = manifest.pages.torn
        pages = f"{manifest.pages.used} in use and sound, {torn} free ones torn"
        yield Check("pages", "every page that is in use can be read", pages, passed=True)
    same = told.outcome.get("sha256") == manifest.sha256
    yield Check("record-agrees", "the record and the manifest name one sha256", manifest.sha256, same)


def of_trail(trail: Trail) -> Check:
    expected = "sealed, and no record changed, missing or reordered"
    if trail.broken:
        return Check("audit-trail", expected, "; ".join(trail.broken), passed=False)
    if not trail.chains:
        return Check("audit-trail", expected, "there is none", passed=None)
    sealing = "sealed" if trail.sealed else "not sealed yet"
    return Check("audit-trail", expected, f"{trail.records} records, {sealing}", trail.sealed or None)
