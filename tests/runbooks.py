"""`make runbooks`: the console blocks of runbooks/ are what the real deciders run on a machine of memory.

Prose is written by hand. A step of a restore that acts on a node has one console block: what is run on node a
of the example inventory (tests/factory.py). What goes through an API has a `sh` block, also written by hand.
"""

import re
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import zstandard
from temporalio.testing import ActivityEnvironment

from activities.adapters.age import Age
from activities.adapters.journal import FileJournals
from activities.adapters.secrets import LocalSecrets
from activities.recording.recorded import RecordedHosts, RecordedStores
from activities.restoring.nodes import Nodes
from quorate import freeze, replace_member, thaw, tidy
from quorate.chosen import Step
from quorate.command import Command, Node, Ticket
from quorate.converge import Done, Ran, Tick
from quorate.nodes.seen import Look, NodeSeen
from quorate.plan import Plan
from quorate.ports import Host
from quorate.restore import EQUIP, INHERIT, REHEARSAL, SHUT_OUT, STEPS, TAKING, UNEQUIP, UNLIST
from quorate.task import NodeTask
from tests.factory import (
    API_UNIT,
    GONE_URL,
    IMAGE,
    LIVE,
    PROGRAM,
    STORED,
    STORED_TOOL,
    after_abort,
    authenticated,
    from_member,
    plan,
    replacing,
    snapshot,
    with_stored_tool,
    without_c,
    without_tool,
)
from tests.fakes.machine import FakeHosts, Machine
from tests.world import Shelf, machine

ROOT = Path(__file__).parent.parent
RESTORE = ROOT / "runbooks" / "restore.md"
COMMITS = next(number for number, step in enumerate(STEPS) if step.commits)
ADMITS = next(number for number, step in enumerate(STEPS) if step.admits)
UNDO = f"Undo, before step {COMMITS + 1}"
ROLLBACK = f"Roll back, before step {ADMITS + 1}"
GONE = "Without a node that is gone for good"
ABORTED = "Where an aborted operation has the nodes"
AUTH = "Where authentication is enabled"
IN_STORE = "Where only the store has the restore tool"
NO_TOOL = "Where a node has no restore tool"
KEPT = f"{LIVE}.before-restore-01M7ZK75000000000000000000"
MEMBER = "From what a member still holds"
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Notebook:
    """Hosts of memory, and every command that ran on them as a person would type it."""

    hosts: FakeHosts
    lines: list[str] = field(default_factory=list)
    looked: int = 0

    def survey(self, node: Node, look: Look) -> NodeSeen:
        return self.hosts.survey(node, look)

    def at(self, node: Node, look: Look, ticket: Ticket) -> Host:
        return Noted(self.hosts.at(node, look, ticket), self)


@dataclass
class Noted:
    host: Host
    notebook: Notebook

    def look(self) -> NodeSeen:
        self.notebook.looked += 1
        return self.host.look()

    def do(self, acts: tuple[Command, ...], tick: Tick) -> Done[NodeSeen]:
        done = self.host.do(acts, tick)
        for act, ran in zip(acts, done.ran, strict=False):
            self._note(typed(act), ran)
        return done

    def send(self, command: Command, chunks: Iterable[bytes], tick: Tick) -> Ran:
        return self._note(f"{command} < snapshot.db", self.host.send(command, chunks, tick))

    def _note(self, line: str, ran: Ran) -> Ran:
        if ran.exit is not None:
            self.notebook.lines.append(line)
        return ran


def typed(act: Command) -> str:
    """With what it reads from standard input in front."""
    if not act.stdin:
        return str(act)
    return "".join(("printf '%s\\n' ", " ".join(f"'{line}'" for line in act.stdin.splitlines()), f" | {act}"))


@dataclass
class Rehearsal:
    """A restore of one node of memory, a step at a time."""

    root: Path
    machine: Machine = field(default_factory=lambda: machine("a"))
    turn: int = 0
    plan: Plan = field(default_factory=lambda: plan("restore-1"))

    def __post_init__(self) -> None:
        journals = FileJournals(self.root, "chain", time.time).at
        self.notebook = Notebook(FakeHosts({"a": self.machine}))
        self.shelf = Shelf({snapshot().key: STORED})
        stores = RecordedStores(self.shelf, journals, time)  # type: ignore[arg-type]
        self.nodes = Nodes(RecordedHosts(self.notebook, journals, time), stores, Age(LocalSecrets({})), time)

    def run(self, step: Step, verb: str) -> list[str]:
        """The lines that a verb of a step leaves in the notebook; none for a step about the whole cluster."""
        self.turn += 1
        before = len(self.notebook.lines)
        task = self.plan.tasks(step, self.turn, "ann")[0]
        if isinstance(task, NodeTask):
            ActivityEnvironment().run(getattr(self.nodes, verb.partition(".")[2]), task)
        return self.notebook.lines[before:]

    def undo(self, count: int) -> list[str]:
        """What undoes the first steps after they were done."""
        begun = STEPS[:count]
        for step in begun:
            self.run(step, step.verb)
        return [line for step in plan("restore-1").undoing(begun) for line in self.run(step, step.undo)]


@cache
def blocks() -> dict[str, list[str]]:
    """What is typed on node a, by heading; an undo is that of every step before it, from the last to the first."""
    with tempfile.TemporaryDirectory() as root:
        whole = Rehearsal(Path(root) / "whole")
        by_heading = {heading(number): whole.run(step, step.verb) for number, step in enumerate(STEPS)}
        by_heading[MEMBER] = replayed(Path(root) / "member")
        by_heading[GONE] = shut_out(Path(root) / "gone")
        by_heading[ABORTED] = taken_over(Path(root) / "aborted")
        by_heading[AUTH] = logged_in(Path(root) / "auth")
        by_heading[NO_TOOL] = taken_out(Path(root) / "no-tool")
        by_heading[IN_STORE] = pushed(Path(root) / "in-store")
        by_heading[UNDO] = Rehearsal(Path(root) / "undone").undo(COMMITS)
        by_heading[ROLLBACK] = Rehearsal(Path(root) / "rolled-back").undo(ADMITS)
    return {title: lines for title, lines in by_heading.items() if lines}


def replayed(root: Path) -> list[str]:
    """What is typed on the node of a member that does not run, for its data to be had; the claim comes first."""
    rehearsal = Rehearsal(root, plan=from_member())
    rehearsal.machine.units["etcd.service"].state = "inactive"
    rehearsal.run(STEPS[0], STEPS[0].verb)
    return [line for step in TAKING if step.place == "source" for line in rehearsal.run(step, step.verb)]


def shut_out(root: Path) -> list[str]:
    """What is typed on every node that stays; the claim comes first."""
    rehearsal = Rehearsal(root, plan=without_c())
    rehearsal.machine.files[API_UNIT] = f"--etcd-servers=https://10.0.0.1:2379,{GONE_URL}"
    rehearsal.run(STEPS[0], STEPS[0].verb)
    return [line for step in (SHUT_OUT, UNLIST) for line in rehearsal.run(step, step.verb)]


def taken_over(root: Path) -> list[str]:
    """What is typed where another operation has left its claim."""
    rehearsal = Rehearsal(root, plan=after_abort())
    rehearsal.machine.claim = ("restore-0", 5, 1)
    return rehearsal.run(INHERIT, INHERIT.verb)


def taken_out(root: Path) -> list[str]:
    """What is typed where the tool is only in an image, before the restore and after it; the claim comes first."""
    rehearsal = Rehearsal(root, plan=without_tool())
    rehearsal.machine.images[IMAGE] = {"etcdutl": "3.6.14"}
    rehearsal.run(STEPS[0], STEPS[0].verb)
    return [line for step in (EQUIP, UNEQUIP) for line in rehearsal.run(step, step.verb)]


def logged_in(root: Path) -> list[str]:
    """What is typed for somebody to log in to what is staged, and after it; the claim and the staging come first."""
    rehearsal = Rehearsal(root, plan=authenticated())
    for step in STEPS[:2]:
        rehearsal.run(step, step.verb)
    return [line for step in REHEARSAL if step.place == "rehearsal" for line in rehearsal.run(step, step.verb)]


def pushed(root: Path) -> list[str]:
    """What is typed where the tool comes out of the store; the claim comes first."""
    rehearsal = Rehearsal(root, plan=with_stored_tool())
    rehearsal.shelf.objects[STORED_TOOL.key] = zstandard.compress(PROGRAM.encode())
    rehearsal.run(STEPS[0], STEPS[0].verb)
    return [line for step in (EQUIP, UNEQUIP) for line in rehearsal.run(step, step.verb)]


def heading(number: int) -> str:
    return f"{number + 1}. {STEPS[number].title}"


def sections(page: str) -> list[str]:
    """The page, cut before every `## `; joined they are the page again."""
    return re.split(r"^(?=## )", page, flags=re.MULTILINE)


def title(section: str) -> str:
    return section.partition("\n")[0].removeprefix("## ")


def console(section: str) -> list[str]:
    """The lines that are typed in a section's console blocks."""
    found = "".join(CONSOLE.findall(section))
    return [line.removeprefix("$ ") for line in found.splitlines()]


@cache
def fence_blocks() -> dict[str, dict[str, list[str]]]:
    """By page: node a is frozen, and thawed again."""
    with tempfile.TemporaryDirectory() as root:
        frozen = Rehearsal(Path(root) / "freeze", plan=fenced("freeze-1", freeze.STEPS))
        found = {"freeze": numbered(frozen, freeze.STEPS)}
        thawed = Rehearsal(Path(root) / "thaw", frozen.machine, plan=fenced("thaw-1", thaw.STEPS))
        found["thaw"] = numbered(thawed, thaw.STEPS)
        found["tidy"] = numbered(tidied(Path(root) / "tidy"), tidy.STEPS)
        found["replace-member"] = replaced(Path(root))
        undone = Rehearsal(Path(root) / "undone", plan=fenced("freeze-1", freeze.STEPS))
        begun = freeze.STEPS[:-1]
        for step in begun:
            undone.run(step, step.verb)
        lines = [line for step in undone.plan.undoing(begun) for line in undone.run(step, step.undo)]
        found["freeze"][f"Undo, before step {len(freeze.STEPS)}"] = lines
    return found


def replaced(root: Path) -> dict[str, list[str]]:
    """On the node of the member, where another step is, and what undoes those before the removal."""
    found = numbered(Rehearsal(root / "replaced", plan=replacing()), replace_member.STEPS)
    undone = Rehearsal(root / "not-replaced", plan=replacing())
    begun = replace_member.STEPS[: [step.commits for step in replace_member.STEPS].index(True)]
    for step in begun:
        undone.run(step, step.verb)
    lines = [line for step in undone.plan.undoing(begun) for line in undone.run(step, step.undo)]
    return {**found, f"Undo, before step {len(begun) + 1}": lines}


def tidied(root: Path) -> Rehearsal:
    whole = fenced("tidy-1", tidy.STEPS)
    shares = tuple(replace(share, removes=(KEPT,)) for share in whole.chosen.shares)
    there = machine("a")
    there.directories.add(KEPT)
    return Rehearsal(root, there, plan=replace(whole, chosen=replace(whole.chosen, shares=shares)))


def fenced(operation: str, steps: tuple[Step, ...]) -> Plan:
    whole = plan(operation)
    shares = tuple(freeze.to_freeze(operation, share, {}) for share in whole.chosen.shares)
    return replace(whole, chosen=replace(whole.chosen, steps=steps, shares=shares))


def numbered(rehearsal: Rehearsal, steps: tuple[Step, ...]) -> dict[str, list[str]]:
    lines = {f"{n}. {step.title}": rehearsal.run(step, step.verb) for n, step in enumerate(steps, 1)}
    return {heading: each for heading, each in lines.items() if each}


def rewritten(page: str, lines: dict[str, list[str]] | None = None) -> str:
    """The same page with its console blocks made anew; a section that needs one and has none gets it at its end."""
    lines = blocks() if lines is None else lines
    return "".join(placed(section, lines.get(title(section), [])) for section in sections(page))


def placed(section: str, lines: list[str]) -> str:
    block = "".join(("```console\n", *(f"$ {line}\n" for line in lines), "```"))
    if not CONSOLE.search(section):
        return f"{section.rstrip()}\n\n{block}\n\n" if lines else section
    return CONSOLE.sub(lambda _: block, section, count=1) if lines else CONSOLE.sub("", section)


if __name__ == "__main__":
    RESTORE.write_text(rewritten(RESTORE.read_text()))
    for name, lines in fence_blocks().items():
        page = RESTORE.with_name(f"{name}.md")
        page.write_text(rewritten(page.read_text(), lines))
