"""Recorded histories are contracts: an operation that was open before an upgrade goes on after it."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from worker.registry import WORKFLOWS

pytestmark = pytest.mark.slow

STRICT = SandboxedWorkflowRunner()  # the daemon's lets the workflows' own files through
HISTORIES = sorted((Path(__file__).parents[1] / "histories").glob("*/*.json"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
async def test_a_recorded_history_replays(path: Path) -> None:
    history = WorkflowHistory.from_json(path.stem, path.read_text())
    replayer = Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter, workflow_runner=STRICT)
    await replayer.replay_workflow(history)


def test_every_ending_of_a_restore_is_on_record() -> None:
    recorded = {(path.parent.name, path.stem) for path in HISTORIES}
    endings = {
        "restored",
        "undone",
        "held-then-retried",
        "refused",
        "from-member",
        "approved-by-two",
        "approved-unchecked",
    }
    others = {
        ("backup", "verified"),
        ("backup", "bundled"),
        ("freeze", "frozen"),
        ("thaw", "thawed"),
        ("tidy", "tidied"),
        ("replace-member", "replaced"),
        ("lay", "laid"),
        ("due", "backup-due"),
        ("prove", "proved"),
        ("prove", "proved-and-served"),
        ("drill", "drilled"),
        ("drill", "night"),
    }
    assert recorded >= {("restore", ending) for ending in endings} | others


async def test_a_workflow_that_decides_otherwise_is_caught() -> None:
    path = next(each for each in HISTORIES if each.stem == "restored")
    text = path.read_text().replace('"nodes.swap"', '"nodes.put_back"')
    replayer = Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter, workflow_runner=STRICT)
    with pytest.raises(Exception, match="[Nn]ondeterminism"):
        await replayer.replay_workflow(WorkflowHistory.from_json("restored", text))
