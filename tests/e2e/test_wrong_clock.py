"""The daemon's clock is an hour off: the store says so, and where it does not, no older backup becomes the newest."""

from typing import Any

import pytest

from tests.e2e.test_keeping import House, house, later
from tests.wrong_clock import clock

__all__ = ["house"]
pytestmark = pytest.mark.server
OFF = pytest.mark.parametrize(("off_s", "way"), [(3600, "ahead of"), (-3600, "behind")])


def again(house: House, off_s: int = 0) -> None:
    """The daemon anew, with this clock."""
    house.product.down()
    if not off_s:
        house.product.up()
        return
    with clock(off_s, house.copies.parent):
        house.product.up()


def listed(house: House) -> set[str]:
    return {each["snapshot"] for each in house.json("snapshots", "ls", "demo")["snapshots"]}


@OFF
def test_a_store_that_signs_by_time_refuses_and_the_error_names_the_clock(house: House, off_s: int, way: str) -> None:
    first = house.backup()
    again(house, off_s)
    failed = house.json("backup", "demo", exit_code=10)
    assert (failed["outcome"], failed["error"]["kind"]) == ("failed", "denied")
    said = failed["error"]["message"]
    assert f"s {way} the store's" in said
    assert 3590 <= float(said.partition("this machine's clock is ")[2].partition(" s ")[0]) < 3700
    assert "timedatectl" in failed["error"]["next"]
    assert listed(house) == {first["snapshot"]}
    assert house.bucket.list_multipart_uploads(Bucket=house.server.bucket).get("Uploads", []) == []
    again(house)
    assert later(house)["outcome"] == "verified"
    assert house.json("audit", "verify", failed["operation"])["sealed"]


@OFF
def test_in_a_directory_the_newest_is_what_was_taken_last_and_nothing_is_removed_for_it(
    house: House, off_s: int, way: str
) -> None:
    """One second of the cluster's later, and an hour of the clock's earlier, or the reverse."""
    assert way
    house.policy(store="here", copies=[], retention={"keep_within": "30m", "min_verified": 1})
    first = later(house)
    again(house, off_s)
    wrong = later(house)
    again(house)
    last = later(house)
    assert {first["outcome"], wrong["outcome"], last["outcome"]} == {"verified"}
    assert listed(house) == {first["snapshot"], wrong["snapshot"], last["snapshot"]}
    assert house.json("snapshots", "show", "demo/latest")["id"] == last["snapshot"]
    rows = plan(house, 3 if off_s > 0 else 0)
    assert rows[last["snapshot"]]["remove"] is rows[first["snapshot"]]["remove"] is False
    if off_s > 0:
        assert "still to come: a clock is wrong" in rows[wrong["snapshot"]]["reasons"][0]


def plan(house: House, exit_code: int) -> dict[str, Any]:
    shown = house.json("snapshots", "prune", "demo", exit_code=exit_code)
    return {row["snapshot"]: row for row in shown["backups"]}
