"""What a cron expression means: the same to us as to the server that goes by it."""

from datetime import UTC, date, datetime
from uuid import uuid4

import pytest
from temporalio.client import Schedule, ScheduleActionStartWorkflow, ScheduleSpec, ScheduleState
from temporalio.testing import WorkflowEnvironment

from quorate.cron import parsed

HOUR, DAY = 3600, 86400
GOOD = {
    "0 * * * *": HOUR,
    "*/15 * * * *": 900,
    "7-59/20 3,22 * * *": 18 * HOUR + 20 * 60,
    "0 */6 * * *": 6 * HOUR,
    "30 2 * * *": DAY,
    "00 02 * * *": DAY,
    "0 2 * * 7": 7 * DAY,
    "0 2 * * SUN": 7 * DAY,
    "0 2 * * 1/2": 2 * DAY,
    "0 2 * * 5-7": 5 * DAY,
    "0 1,13 * * mon-fri": 2 * DAY + 12 * HOUR,
    "0 0 31 * *": 61 * DAY,
    "0 0 1 jan,jul *": 184 * DAY,
    "5/10 0 29 2 *": 1461 * DAY - 50 * 60,
}
BAD = {
    "@hourly": "five fields",
    "* * * * * *": "five fields",
    "60 * * * *": "minute is '60': expected 0-59",
    "* 24 * * *": "hour is '24'",
    "* * 0 * *": "day of month is '0': expected 1-31",
    "* * * 13 *": "month is '13': expected 1-12 or jan-dec",
    "* * * * 8": "day of week is '8': expected 0-7 or sun-sat",
    "*/0 * * * *": "minute is '*/0'",
    "10-5 * * * *": "minute is '10-5'",
    "*-5 * * * *": "minute is '*-5'",
    "1,,2 * * * *": "minute is ''",
    "-1 * * * *": "minute is '-1'",
    "x * * * *": "minute is 'x'",
    "CRON_TZ=UTC * * * *": "minute is 'CRON_TZ=UTC'",
    "0 2 1 * mon": "as day of month or as day of week",
    "0 2 31 feb *": "no day of any year",
}


@pytest.mark.parametrize("text", GOOD)
def test_the_longest_gap_is_known(text: str) -> None:
    assert parsed(text).longest_s == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_is_named_with_what_may_stand_there(text: str) -> None:
    with pytest.raises(ValueError) as raised:
        parsed(text)
    assert BAD[text] in str(raised.value)


def test_a_day_is_matched_by_its_month_its_number_and_its_name() -> None:
    assert parsed("0 2 29 * *").on(date(2026, 11, 29))
    assert not parsed("0 2 29 dec *").on(date(2026, 11, 29))
    assert parsed("0 2 * * sun").on(date(2026, 11, 29))
    assert not parsed("0 2 * * 1-6").on(date(2026, 11, 29))


@pytest.mark.server
async def test_the_server_runs_at_these_times_and_at_no_other(temporal: WorkflowEnvironment) -> None:
    for text in GOOD:
        made = parsed(text)
        action = ScheduleActionStartWorkflow("nothing", id="nothing", task_queue="nobody")
        wanted = Schedule(action, ScheduleSpec(cron_expressions=[text]), state=ScheduleState(paused=True))
        handle = await temporal.client.create_schedule(f"cron-{uuid4()}", wanted)
        times = (await handle.describe()).info.next_action_times
        await handle.delete()
        midnights = [datetime(each.year, each.month, each.day, tzinfo=UTC) for each in times]
        seconds = [(each - midnight).total_seconds() for each, midnight in zip(times, midnights, strict=True)]
        assert all(made.on(each.date()) for each in times), text
        assert set(seconds) <= set(made.times), text
        gaps = [(later - earlier).total_seconds() for earlier, later in zip(times, times[1:], strict=False)]
        assert max(gaps) <= made.longest_s, text
        expected = [day for day in made.dates() if times[0].date() <= day <= times[-1].date()]
        assert list(dict.fromkeys(each.date() for each in times)) == expected, text
