"""Whoever approves a plan later is shown what whoever asked for it was shown."""

from pathlib import Path

import pytest

from tests.fences import Fences
from worker.cli.operations import plan_page
from worker.cli.options import Given

STOPPED_FOR_GOOD = "do not start again before `quorate thaw`"


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("restore", "RESTORE demo"),
        ("replace-member", "REPLACE MEMBER a of demo"),
        ("lay", "LAY demo a"),
        ("tidy", "TIDY demo"),
        ("freeze", "FREEZE demo"),
    ],
)
def test_each_plan_is_shown_as_what_it_is(tmp_path: Path, kind: str, head: str) -> None:
    dry = Fences(None, tmp_path)  # type: ignore[arg-type]
    plan = dry.planned(kind, dry.request(kind))
    page = plan_page(plan, Given())
    assert page.startswith(head), page
    assert plan.chosen.digest() in page
    assert all(lost in page for lost in plan.losses if kind in {"restore", "tidy"})
    assert (STOPPED_FOR_GOOD in page) == (kind == "freeze")


def test_why_a_freeze_is_refused_and_what_would_be_typed_then_are_on_its_page(tmp_path: Path) -> None:
    dry = Fences(None, tmp_path)  # type: ignore[arg-type]
    page = plan_page(dry.planned("freeze", dry.request("freeze", overrides=())), Given())
    assert "REFUSED quorum-healthy: " in page
    assert page.endswith("next: quorate freeze demo --override-gate quorum-healthy --reason '…'")
