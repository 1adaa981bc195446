"""Reports to look at: of recorded operations in tests/golden, and of drills that are made of their real types.

`python -m tests.reports` writes the golden files anew; read their difference before it is committed.
`python -m tests.reports keep QUORATE.YAML OPERATION…` takes records in from a lab, with their times.
"""

import json
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter

from activities.adapters.own_key import OwnKey
from quorate.audit import canonical, chained
from quorate.backups.catalogue import Manifest
from quorate.drill import DrillResult, Lost
from quorate.ids import named
from quorate.measure import Check, Clock, Gap, Probed, Resource, Tries, Verdict
from quorate.plan import Plan
from quorate.records import adapter
from quorate.reports.achieved import row
from quorate.reports.report import Report, Row
from quorate.reports.reporting import reported
from quorate.reports.seal import sealed
from quorate.reports.told import DRILL, Provenance, Told
from quorate.sshsig import fingerprint
from worker.cli.records import local
from worker.reports import told
from worker.settings import load
from worker.wiring import Wiring

GOLDEN = Path(__file__).parent / "golden"
MADE = datetime(2026, 11, 30, 8, 0, tzinfo=UTC).timestamp()
SEED = b"a key of the tests, nobody else!"
KEY = OwnKey(Ed25519PrivateKey.from_private_bytes(SEED))
OTHER = OwnKey(Ed25519PrivateKey.from_private_bytes(SEED[::-1]))
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>--></template>`|\u202e&lt;'
RECORDS = tuple(sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())) if GOLDEN.is_dir() else ()


def from_record(name: str) -> Report:
    """As it lay in a state directory, with the manifest of its snapshot and what the revision clock said."""
    home = GOLDEN / name
    beside = json.loads((home / "beside.json").read_text())
    manifest = Manifest.model_validate_json((home / "manifest.json").read_bytes())
    told = Told(
        operation=name,
        cluster=(home / "cluster").read_text(),
        outcome=json.loads((home / "outcome.json").read_text()),
        chains={path.name: path.read_text().splitlines() for path in sorted(home.glob("audit/*.jsonl"))},
        plan=adapter(Plan).validate_json((home / "plan.json").read_bytes())
        if (home / "plan.json").exists()
        else None,
        where=f"/var/lib/quorate/state/operations/{name}",
        environment="staging",
        rto_s=900.0,
        rpo_s=1800.0,
        provenance=Provenance(manifest, beside["signature"], beside["signed"]),
        lost=Lost(*beside["lost"]),
        lost_how=beside["lost_how"],
        before=TypeAdapter(tuple[Row, ...]).validate_python(beside["before"]),
    )
    return keyed(reported(told, MADE, "kim", "0.0.0"))


def keyed(report: Report) -> Report:
    return replace(report, sealed_by=fingerprint(KEY.public_key))


def drill(verdict: Verdict = Verdict.FINDINGS, name: str = "prod-eu") -> DrillResult:
    """A quorum that was lost for four minutes, most of them a person's."""
    t = datetime(2026, 11, 29, 2, 0, tzinfo=UTC).timestamp()
    clock = Clock(t, t + 21, t + 160, t + 161.5, t + 226, t + 238, t + 227.2, t + 243, t + 251)
    probed = Probed(
        t - 20,
        t + 262,
        (
            Tries("etcd", "read", 2810, 2262),
            Tries("etcd", "write", 2810, 2271),
            Tries("apiserver", "read", 1402, 1190),
            Tries("apiserver", "write", 1400, 1195),
        ),
        (
            Gap("etcd", "read", t + 0.4, t + 226.3, "no leader"),
            Gap("etcd", "write", t + 0.2, t + 227.2, "no leader"),
            Gap("apiserver", "read", t + 1.0, t + 238.4, "connection refused"),
            Gap("apiserver", "write", t + 0.6, t + 243.0, "connection refused"),
        ),
        ((t + 95, t + 104),),
    )
    failed = verdict is Verdict.FAILED
    return DrillResult(
        operation=named("drill", int(t * 1000), 7),
        outcome=verdict,
        cluster=name,
        scenario="quorum-loss",
        hypothesis="A majority that is killed and wiped comes back from the newest backup within 15 minutes.",
        clock=clock if not failed else Clock(t, t + 21, t + 160, t + 161.5),
        probed=probed,
        checks=(
            Check("hashkv-equal", "the same HashKV on every member at one revision", "3 of 3: 1882913475", True),
            Check(
                "acknowledged-kept",
                "every acknowledged write before the fault",
                "409 of 412" if failed else "412 of 412",
                not failed,
            ),
            Check("certificates", "valid for a week at least", "not looked at: no SSH to prod-eu-2", None),
        ),
        resources=(
            Resource("process", "prod-eu-1", "quorate-probe-etcd", t - 20, t + 262),
            Resource("fault", "prod-eu-1", "wipe /var/lib/etcd/default", t, t + 226),
            Resource(
                "fault", "prod-eu-2", "nft table inet quorate_drill", t, 0.0, "nft delete table inet quorate_drill"
            ),
        ),
        findings=("prod-eu-3 was at 91 % of its quota before the drill began",),
        operations=("restore-01M8MSD6EQDCB6VAJHDC2KCNV3",),
        snapshot=f"{name}/20261129T014500Z-73311",
        rto_objective_s=900.0,
        rpo_objective_s=900.0,
        lost=Lost(896.0, 907.5),
        duration_s=283.0,
        people=("kim asked", "lee approved", "ann was not to take part"),
        facts={"environment": "staging", "segregation": "sandbox attic, no route to the cluster"},
    )


def of_drill(result: DrillResult, **more: object) -> Report:
    outcome = json.loads(DRILL.dump_json(result))
    before = tuple(
        row(f"drill-01M8{letter}00000DCB6VAJHDC2KCNV2", earlier(outcome, took), {})
        for letter, took in (("H", 301.0), ("G", 355.0), ("F", 290.0), ("E", 344.0), ("D", 402.0))
    )
    told = Told(result.operation, result.cluster, outcome, trail(result), before=before, **more)  # type: ignore[arg-type]
    return keyed(reported(told, MADE, "kim", "0.0.0"))


def earlier(outcome: dict[str, Any], took_s: float) -> dict[str, Any]:
    """The same drill, when it took so long."""
    clock = {**outcome["clock"], "first_write": outcome["clock"]["declared"] + took_s - 56}
    return {**outcome, "clock": clock, "duration_s": took_s}


def trail(result: DrillResult) -> dict[str, list[str]]:
    """A trail of three records that is whole."""
    act = {
        "event": "intent",
        "operation": result.operation,
        "step": "fault",
        "place": "prod-eu-1",
        "actor": "kim",
        "argv": ["rm", "-rf", "/var/lib/etcd/default", "--password=hunter2"],
        "attempt": 2,
        "turn": 1,
    }
    said = (
        {"event": "begin", "chain": "c.jsonl", "follows": {}},
        act,
        {"event": "outcome", "of": 1, "exit": 0, "tail": "", "duration_s": 0.21},
    )
    lines: list[str] = []
    previous = "0" * 64
    for seq, record in enumerate(said):
        linked = chained({**record, "seq": seq, "time": f"2026-11-29T02:00:0{seq}.000+00:00"}, previous)
        previous = linked["hash"]
        lines.append(canonical(linked))
    seal = chained(
        {"event": "seal", "heads": {"c.jsonl": previous}, "seq": 3, "time": "2026-11-29T02:05:00.000+00:00"}, previous
    )
    return {"c.jsonl": [*lines, canonical(seal)]}


def file_of(report: Report, form: str) -> str:
    return sealed(report, form, KEY)


def keep(config: Path, operation: str) -> None:
    """A record as it lies there, and beside it what the store and the revision clock have said of it."""
    wiring = Wiring(load(config), chain="keep")
    record = local(wiring.settings.operations, operation)
    assert record, f"{operation} is not on record in {wiring.settings.operations}"
    found = told(wiring, record)
    assert found.provenance.manifest, found.provenance.why_not
    home = GOLDEN / operation
    shutil.copytree(record.where, home, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.zst*"))
    (home / "manifest.json").write_bytes(found.provenance.manifest.encode())
    beside = {
        "signature": found.provenance.signature,
        "signed": found.provenance.signed,
        "lost": [found.lost.least_s, found.lost.most_s],
        "lost_how": found.lost_how,
        "before": TypeAdapter(tuple[Row, ...]).dump_python(found.before, mode="json"),
    }
    (home / "beside.json").write_text(json.dumps(beside, indent=1) + "\n")


REPORTS = {
    **{name: lambda name=name: from_record(name) for name in RECORDS},
    "drill": lambda: of_drill(drill()),
    "drill-failed": lambda: of_drill(drill(Verdict.FAILED)),
}


def main() -> int:
    if sys.argv[1:2] == ["keep"]:
        for operation in sys.argv[3:]:
            keep(Path(sys.argv[2]), operation)
        return 0
    for name, report in REPORTS.items():
        for form in ("html", "md"):
            (GOLDEN / f"{name}.{form}").write_text(file_of(report(), form))
            sys.stdout.write(f"tests/golden/{name}.{form}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
