"""The pages in runbooks/ and the README say what the code does, or one of these fails."""

import re
from pathlib import Path

import pytest

from quorate import (
    backup,
    drill,
    freeze,
    lay,
    prove,
    prune,
    replace_member,
    restore,
    thaw,
    tidy,
    verify,
)
from quorate.errors import kinds
from quorate.inventories.reading import parse
from quorate.plan import Choice
from quorate.restoring import replace_gates
from quorate.restoring.gates import GATES, IDS
from quorate.settings.machines import Component, EtcdSettings
from tests.factory import LIVE, plan
from tests.runbooks import (
    ADMITS,
    COMMITS,
    RESTORE,
    ROOT,
    UNDO,
    Rehearsal,
    blocks,
    console,
    fence_blocks,
    rewritten,
    sections,
    title,
)
from tests.world import machine
from worker.cli import schedule
from worker.cli.plan import FIELDS as PLAN_FIELDS
from worker.cli.replace_member import PLAN_FIELDS as REPLACE_PLAN_FIELDS
from worker.cli.results import (
    BACKUP_EXIT,
    BACKUP_FIELDS,
    FENCE_FIELDS,
    LAY_FIELDS,
    PROVE_FIELDS,
    PRUNE_FIELDS,
    REPLACE_FIELDS,
    RESTORE_FIELDS,
    VERIFY_FIELDS,
)
from worker.registry import WORKFLOWS

PAGES = {path.stem: path.read_text() for path in ROOT.glob("runbooks/*.md")}
STEPS = {
    "restore": restore.STEPS,
    "backup": backup.STEPS,
    "freeze": freeze.STEPS,
    "thaw": thaw.STEPS,
    "tidy": tidy.STEPS,
    "lay": lay.STEPS,
    "replace-member": replace_member.STEPS,
    "prune": prune.STEPS,
    "verify": verify.STEPS,
    "prove": prove.STEPS,
    "drill": drill.STEPS,
}
PAGE = PAGES["restore"]
HAND = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)).splitlines()
STOPS = "When it stops"
OPERATION_FIELDS = (
    BACKUP_FIELDS,
    RESTORE_FIELDS,
    FENCE_FIELDS,
    LAY_FIELDS,
    REPLACE_FIELDS,
    PRUNE_FIELDS,
    VERIFY_FIELDS,
    PROVE_FIELDS,
)
SCHEDULE_FIELDS = (schedule.LS_FIELDS, schedule.RUN_FIELDS, schedule.SWITCH_FIELDS, schedule.HISTORY_FIELDS)


def stops(page: str) -> dict[str, list[str]]:
    """The lines under every `###` of "When it stops"."""
    found = next(section for section in sections(page) if title(section) == STOPS)
    parts = re.split(r"^### ", found, flags=re.MULTILINE)[1:]
    assert len(parts) == len({part.splitlines()[0] for part in parts})
    return {part.splitlines()[0]: [line for line in part.splitlines()[1:] if line] for part in parts}


def typed_by_hand(line: str) -> bool:
    return any(each.partition("  #")[0].strip() == line for each in HAND)


def test_every_workflow_has_a_page_and_every_page_a_workflow() -> None:
    helpers = {
        "operation",
        "patience",
        "straight",
        "children",
        "due",
        "drill-due",
        "stages",
        "shielded",
    }  # what is due is a runbook that has a page
    workflows = {path.stem.replace("_", "-") for path in ROOT.glob("workflows/[!_]*.py")} - helpers
    assert workflows == set(PAGES) == set(STEPS)


def test_what_is_due_is_told_on_the_page_of_its_runbook() -> None:
    names = [each.__temporal_workflow_definition.name for each in WORKFLOWS]
    due = [name.removesuffix(".due") for name in names if name.endswith(".due")]
    assert due
    assert [name for name in due if "## On a schedule" not in PAGES[name]] == []


@pytest.mark.parametrize("name", sorted(STEPS))
class TestPage:
    def test_its_headings_are_the_steps(self, name: str) -> None:
        headings = re.findall(r"^## (\d+)\. (.+)$", PAGES[name], re.MULTILINE)
        assert headings == [(str(number), step.title) for number, step in enumerate(STEPS[name], 1)]

    def test_it_opens_with_when_and_what_is_lost(self, name: str) -> None:
        bold = re.findall(r"^\*\*(.+?)\.?\*\*", PAGES[name], re.MULTILINE)
        assert bold[:4] == ["When", "Not when", "You lose", "You keep"]

    def test_its_links_lead_somewhere(self, name: str) -> None:
        headings = re.findall(r"^#+ (.+)$", PAGES[name], re.MULTILINE)
        anchors = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert set(re.findall(r"\]\(#(.+?)\)", PAGES[name])) <= anchors

    def test_every_way_to_stop_is_told_in_a_few_lines(self, name: str) -> None:
        living = {*IDS, *replace_gates.IDS, *(kind.kind for kind in kinds())}
        for heading, lines in stops(PAGES[name]).items():
            named = {heading, *re.findall(r"`([a-z-]+)`", " ".join(lines))}
            assert named & living, f"{heading} is about no error and no gate that there is"
            assert len(lines) <= 6

    def test_every_block_says_who_types_it(self, name: str) -> None:
        assert set(re.findall(r"^```(\w+)$", PAGES[name], re.MULTILINE)) <= {"console", "sh"}


class TestConsole:
    def test_a_person_types_what_quorate_runs(self) -> None:
        """`make runbooks` rewrites them."""
        found = {title(section): lines for section in sections(PAGE) if (lines := console(section))}
        assert found == blocks()

    @pytest.mark.parametrize("name", ["freeze", "thaw", "tidy", "replace-member"])
    def test_what_a_fence_runs_is_on_its_page(self, name: str) -> None:
        lines = fence_blocks()[name]
        assert {title(section): found for section in sections(PAGES[name]) if (found := console(section))} == lines
        assert rewritten(PAGES[name], lines) == PAGES[name]

    def test_make_runbooks_changes_nothing_else(self) -> None:
        assert rewritten(PAGE) == PAGE
        spoilt = PAGE.replace("--mark-compacted", "").replace("$ sync /var/lib/etcd\n", "")
        assert spoilt != PAGE
        assert rewritten(spoilt) == PAGE

    def test_what_a_notebook_holds_is_what_the_machine_ran(self, tmp_path: Path) -> None:
        whole = Rehearsal(tmp_path)
        for step in restore.STEPS:
            whole.run(step, step.verb)
        for line, ran in zip(whole.notebook.lines, whole.machine.ran, strict=True):
            assert ran in line

    def test_the_undo_leaves_the_node_as_it_was(self, tmp_path: Path) -> None:
        undone = Rehearsal(tmp_path)
        undone.undo(COMMITS)
        assert undone.machine.live() == machine("a").live()
        assert {unit.state for unit in undone.machine.units.values()} == {"active"}

    def test_the_rollback_does_too_and_keeps_what_was_restored(self, tmp_path: Path) -> None:
        undone = Rehearsal(tmp_path)
        undone.undo(ADMITS)
        assert undone.machine.live() == machine("a").live()
        assert {unit.state for unit in undone.machine.units.values()} == {"active"}
        assert undone.machine.tables == set()
        assert undone.machine.exists(f"{LIVE}.quorate-restore-1-g1/member/snap/db")

    def test_only_steps_that_go_through_an_api_have_nothing_to_type_on_a_node(self) -> None:
        cluster = {
            f"{number}. {step.title}" for number, step in enumerate(restore.STEPS, 1) if step.place == "cluster"
        }
        for section in sections(PAGE):
            if title(section) in cluster:
                assert "```sh\n" in section
                assert not console(section)
        assert cluster.isdisjoint(blocks())

    def test_nothing_of_a_backup_runs_on_a_node(self) -> None:
        assert {step.place for step in backup.STEPS} == {"cluster"}
        assert "```console" not in PAGES["backup"]


class TestByHand:
    """What the page tells for the cases that its example does not run into."""

    def test_a_process_that_hangs_is_killed_as_the_page_says(self, tmp_path: Path) -> None:
        stuck = machine("a")
        stuck.units["etcd.service"].hangs = True
        hanging = Rehearsal(tmp_path, stuck)
        for step in restore.STEPS[:COMMITS]:
            hanging.run(step, step.verb)
        assert stuck.units["etcd.service"].state == "failed"
        killed = [line for line in hanging.notebook.lines if "kill" in line]
        assert killed
        assert all(f"$ {line}" in PAGE for line in killed)

    def test_the_page_tells_how_long_a_process_may_take_its_leave(self) -> None:
        defaults = [kind.model_fields["grace_s"].default for kind in (Component, EtcdSettings)]
        assert [float(told) for told in re.findall(r"Quorate kills \w+ after ([\d.]+) s", PAGE)] == defaults

    def test_a_wiped_node_is_marked_and_undone_as_the_page_says(self, tmp_path: Path) -> None:
        empty = machine("a")
        empty.directories.discard(LIVE)
        empty.files.clear()
        wiped = Rehearsal(tmp_path, empty)
        by_key = {step.key: step for step in restore.STEPS}
        for key in ("claim", "stage"):
            wiped.run(by_key[key], by_key[key].verb)
        mark = wiped.run(by_key["swap"], by_key["swap"].verb)[0]
        unmark = wiped.run(by_key["swap"], by_key["swap"].undo)[1]
        assert typed_by_hand(mark)
        assert f"`{unmark}`" in next(section for section in sections(PAGE) if title(section) == UNDO)


class TestWhenItStops:
    def test_every_gate_is_explained_and_nothing_else_but_errors(self) -> None:
        found = set(stops(PAGE))
        assert set(IDS) <= found
        assert found - set(IDS) <= {kind.kind for kind in kinds()}

    def test_what_a_person_has_to_settle_is_explained(self) -> None:
        needed = {"held", "undone", "busy", "not-approved", "unreachable", "denied", "corrupt", "no-daemon"}
        assert needed <= set(stops(PAGE))

    def test_each_has_three_to_six_lines(self) -> None:
        assert {heading: len(lines) for heading, lines in stops(PAGE).items() if not 3 <= len(lines) <= 6} == {}

    @pytest.mark.parametrize(("gate", "overridable"), [(key, may) for key, _, may in replace_gates.GATES])
    def test_every_gate_of_a_replacement_is_told_with_its_override_where_there_is_one(
        self, gate: str, overridable: bool
    ) -> None:
        text = " ".join(stops(PAGES["replace-member"])[gate])
        assert (f"--override-gate {gate} " in text) is overridable
        assert ("cannot be overridden" in text) is not overridable

    @pytest.mark.parametrize(("gate", "overridable"), [(key, may) for key, _, may in GATES])
    def test_the_override_is_told_where_there_is_one(self, gate: str, overridable: bool) -> None:
        text = " ".join(stops(PAGE)[gate])
        assert (f"--override-gate {gate} " in text) is overridable
        assert ("cannot be overridden" in text) is not overridable

    def test_a_hold_tells_every_choice_that_there_is(self) -> None:
        offered = {choice for step in restore.STEPS for choice in plan().choices(step)}
        told = set(re.findall(r"`quorate (\w+) OPERATION`", " ".join(stops(PAGE)["held"])))
        assert offered == told & set(Choice)


def test_the_page_is_where_make_runbooks_writes() -> None:
    assert RESTORE.read_text() == PAGE


class TestReadme:
    text = (ROOT / "README.md").read_text()

    def test_every_exit_code_is_listed_once(self) -> None:
        table = self.text.partition("### Exit codes")[2].partition("\n## ")[0]
        codes = [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]
        assert codes == sorted({0, BACKUP_EXIT["degraded"], *(kind.exit_code for kind in kinds())})

    @pytest.mark.parametrize(
        "fields",
        [
            BACKUP_FIELDS,
            RESTORE_FIELDS,
            FENCE_FIELDS,
            LAY_FIELDS,
            REPLACE_FIELDS,
            REPLACE_PLAN_FIELDS,
            PLAN_FIELDS,
            PRUNE_FIELDS,
            VERIFY_FIELDS,
            PROVE_FIELDS,
            *SCHEDULE_FIELDS,
        ],
    )
    def test_every_field_for_scripts_is_listed(self, fields: tuple[str, ...]) -> None:
        scripts = self.text.partition("## For scripts")[2].partition("\n### ")[0]
        assert any(set(fields) <= set(re.findall(r"`(\w+)`", row)) for row in scripts.splitlines())

    def test_its_inventory_is_one(self) -> None:
        example = re.findall(r"^```yaml\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        assert [list(parse(each, "README.md").clusters) for each in example] == [["prod"]]

    def test_every_room_of_the_house_is_there_and_on_the_map(self) -> None:
        table = self.text.partition("## The house")[2].partition("\n## ")[0]
        rooms = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
        assert [room for room in rooms if not (ROOT / room).exists()] == []
        packages = {f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py")}
        assert {room.partition("/")[0] + "/" for room in rooms} >= packages

    def test_its_links_lead_to_files(self) -> None:
        paths = re.findall(r"\]\(([^#)]+)", self.text)
        assert [path for path in paths if not (ROOT / path).exists()] == []

    def test_no_command_is_told_that_does_not_exist(self) -> None:
        from typer.main import get_command

        from worker.cli.app import app

        known = set(get_command(app).commands)  # type: ignore[attr-defined]
        told = set(
            re.findall(r"(?:^|[`$] ?)quorate ([a-z]+(?:-[a-z]+)*)", self.text + "".join(PAGES.values()), re.MULTILINE)
        )
        assert told <= known

    def test_no_path_of_a_machine_is_in_the_documents(self) -> None:
        for path in (*ROOT.glob("*.md"), *ROOT.glob("runbooks/*.md")):
            assert not re.search(r"/(work|root|home)/", path.read_text()), path
