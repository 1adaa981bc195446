"""`quorate tidy`: only names of ours, nothing young, and never a last copy that may still be wanted."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from quorate import tidy
from quorate.errors import Busy, Refusal
from quorate.nodes.kept import Kept, Removal, listing, lives_of, named, parse
from quorate.nodes.seen import NodeSeen, PathSeen
from quorate.operation import EXIT, Outcome
from tests.factory import LIVE, etcd_seen
from tests.fences import Fences
from tests.manifests import manifest

OLD = "restore-01M7ZK75000000000000000000"  # 2026-11-21
OLDER = "restore-01M5000000000000000000000A"
NOW = datetime(2027, 3, 1, tzinfo=UTC)
DAY_S = 86400.0


def kept(operation: str = OLD, kind: str = "before", node: str = "a") -> Kept:
    tail = f".before-{operation}" if kind == "before" else f".quorate-{operation}-g1"
    return Kept(node, f"{LIVE}{tail}", kind, operation, 10)


@pytest.fixture
def dry(tmp_path: Path) -> Fences:
    return Fences(None, tmp_path)  # type: ignore[arg-type]


class TestNames:
    @pytest.mark.parametrize(
        ("path", "found"),
        [
            (f"{LIVE}.before-{OLD}", ("before", OLD)),
            (f"{LIVE}.quorate-{OLD}-g1", ("quorate", OLD)),
            (f"{LIVE}.quorate-{OLD}-g12", ("quorate", OLD)),
            (LIVE, None),
            (f"{LIVE}.before-yesterday", None),
            (f"{LIVE}.before-restore-1", None),
            (f"{LIVE}.before-{OLD}-g1", None),
            (f"{LIVE}.before-{OLD}.bak", None),
            (f"{LIVE}.before-{OLD}\n", None),
            (f"{LIVE}.quorate-{OLD}", None),
            (f"{LIVE}.quorate-{OLD}-g1.part", None),
            (f"{LIVE}2.before-{OLD}", None),
            (f"{LIVE}/member.before-{OLD}", None),
        ],
    )
    def test_only_whole_names_of_ours_are_known(self, path: str, found: tuple[str, str] | None) -> None:
        assert named(path, LIVE) == found

    def test_the_age_is_that_of_the_operation(self) -> None:
        assert datetime.fromtimestamp(kept().began, UTC).date().isoformat() == "2026-11-21"

    def test_what_a_node_lists_is_read_back_with_its_size(self, tmp_path: Path) -> None:
        lives = lives_of(str(tmp_path / "default"))
        (tmp_path / f"default.before-{OLD}").mkdir()
        (tmp_path / f"default.before-{OLD}" / "db").write_bytes(b"x" * 70000)
        (tmp_path / "default" / f"member.quorate-{OLD}-g1").mkdir(parents=True)
        (tmp_path / "default.precious").write_text("x")
        printed = subprocess.run(listing(lives).argv, capture_output=True, text=True, check=True).stdout
        found = {Path(each.path).name: each for each in parse("a", printed, lives)}
        assert set(found) == {f"default.before-{OLD}", f"member.quorate-{OLD}-g1"}
        assert found[f"default.before-{OLD}"].size_bytes >= 70000
        gone = listing(lives_of(str(tmp_path / "nowhere" / "default")))
        assert subprocess.run(gone.argv, capture_output=True, text=True, check=True).stdout == ""

    def test_nothing_else_is_removed_whoever_asks(self) -> None:
        path = kept().path
        there = NodeSeen(paths={path: PathSeen("directory", "etcd:etcd", "700", "1", 1)})
        acts = Removal((LIVE,), (path,)).remove(there, 0)
        assert [act.argv[:2] for act in acts] == [("rm", "-rf"), ("sync", "/var/lib/etcd")]  # type: ignore[union-attr]
        assert Removal((LIVE,), (path,)).remove(NodeSeen(), 0) == ()
        with pytest.raises(Refusal, match="no name of ours"):
            Removal((LIVE,), (path, LIVE)).remove(there, 0)


class TestWhatStays:
    copies = (kept(), kept(OLDER), kept(kind="quorate"))

    def judged(self, dry: Fences, *, backed_up: bool = True, **changes: object) -> dict[str, str]:
        at = manifest().model_copy(update={"created_at": NOW - timedelta(days=1 if backed_up else 365)})
        seen = replace(dry.seen, manifests=(at,))
        seen = replace(seen, **changes)  # type: ignore[arg-type]
        rows = tidy.judged(dry.request("tidy", overrides=()), seen, self.copies, NOW.timestamp())
        return {row.kept.path: row.stays for row in rows}

    def test_all_that_is_old_goes_where_the_cluster_is_well_and_backed_up_since(self, dry: Fences) -> None:
        assert set(self.judged(dry).values()) == {""}

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"backed_up": False}, "no verified backup of this very cluster is newer"),
            (
                {"manifests": (manifest(cluster_id="c9").model_copy(update={"created_at": NOW}),)},
                "no verified backup",
            ),
            (
                {"manifests": (manifest().model_copy(update={"created_at": NOW, "outcome": "degraded"}),)},
                "no verified",
            ),
            ({"reads": {"a": 41, "b": 41}}, "only 2 of 3 members serve"),
            ({"reads": {}}, "only 0 of 3"),
            (
                {"etcd": {"a": etcd_seen("1"), "b": etcd_seen("2"), "c": etcd_seen("3", cluster_id="c2")}},
                "one cluster",
            ),
            ({"etcd": {n: etcd_seen(n, alarms=(("1", "CORRUPT"),)) for n in "abc"}}, "an alarm is raised"),
        ],
    )
    def test_else_the_last_of_each_kind_stays(self, dry: Fences, changes: dict[str, object], said: str) -> None:
        found = self.judged(dry, **changes)  # type: ignore[arg-type]
        assert found[kept(OLDER).path] == ""
        assert said in found[kept().path]
        assert said in found[kept(kind="quorate").path]

    def test_what_is_young_stays_and_a_person_may_say_what_that_is(self, dry: Fences) -> None:
        soon = kept().began + 2 * DAY_S
        rows = tidy.judged(dry.request("tidy"), dry.seen, (kept(), kept(OLDER)), soon)
        assert {row.kept.operation: row.stays for row in rows} == {OLD: "it is not older than 30 days", OLDER: ""}
        later = {"older_than_s": DAY_S}
        rows = tidy.judged(dry.request("tidy", **later), dry.seen, (kept(), kept(OLDER)), soon)
        assert "it is the last one on a" in rows[0].stays

    def test_nodes_that_an_operation_has_claimed_are_left_alone(self, dry: Fences) -> None:
        dry.machines["b"].claim = ("restore-1", 4, 1)
        with pytest.raises(Busy, match="restore-1 has claimed b"):
            tidy.judged(dry.request("tidy"), dry.seen, self.copies, NOW.timestamp())

    def test_what_is_removed_is_in_the_digest(self, dry: Fences) -> None:
        digests = set()
        for copies in (self.copies, self.copies[1:2]):
            rows = tuple(tidy.Judged(each, 1.0) for each in copies)
            plan = tidy.plan(dry.request("tidy"), dry.seen, rows)
            assert [share.member for share in plan.chosen.shares] == ["a"]
            digests.add(plan.chosen.digest())
        assert len(digests) == 2


@pytest.mark.server
async def test_what_was_approved_is_removed_and_nothing_else(temporal: WorkflowEnvironment, tmp_path: Path) -> None:
    rows = (tidy.Judged(kept(), 1.0), tidy.Judged(kept(OLDER), 1.0, "it stays"))
    fences = Fences(temporal.client, tmp_path, rows=rows)
    for operation in (OLD, OLDER):
        fences.machines["a"].files[f"{LIVE}.before-{operation}/member/snap/db"] = "kept"
        fences.machines["a"].directories.add(f"{LIVE}.before-{operation}")
    live = fences.live
    async with fences.worker():
        result = await fences.run("tidy")
    assert (result.outcome, EXIT[result.outcome], result.error) == (Outcome.TIDIED, 0, None)
    assert not fences.machines["a"].exists(f"{LIVE}.before-{OLD}")
    assert fences.machines["a"].exists(f"{LIVE}.before-{OLDER}")
    assert fences.live == live
    assert [machine.claim for machine in fences.machines.values()] == [None] * 3
