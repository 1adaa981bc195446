"""How long is waited, and how often tried again: named, in one place.

Node steps converge, so a killed worker's step is simply tried again within the step's budget; a step that
gives up says so itself (DidNotConverge and refusals are not retried).
"""

from datetime import timedelta
from typing import Any

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

STEPS_QUEUE = "quorate-steps"
STREAMS_QUEUE = "quorate-streams"

HEARTBEAT = timedelta(seconds=5)  # beaten each second; design.md, Retries
CHECK_S = 10.0  # to look at a signature and to write down what it is worth
GRACE = timedelta(seconds=30)  # for a worker to come back after it was killed late in a step


def step(patience_s: float) -> dict[str, Any]:
    """For what changes nodes: retried until the budget is spent."""
    return {
        "task_queue": STEPS_QUEUE,
        "schedule_to_close_timeout": timedelta(seconds=2 * patience_s) + GRACE,
        "start_to_close_timeout": timedelta(seconds=patience_s) + GRACE,
        "heartbeat_timeout": HEARTBEAT,
        "retry_policy": RetryPolicy(
            initial_interval=timedelta(milliseconds=500),
            maximum_interval=timedelta(seconds=5),
            non_retryable_error_types=["PayloadsTooLarge"],
        ),
        "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    }


def record(queue: str) -> dict[str, Any]:
    """For an operation's own record: tried for as long as it takes."""
    options = {**step(60), "task_queue": queue}
    del options["schedule_to_close_timeout"]
    return options


def stream(patience_s: float) -> dict[str, Any]:
    """For bulk bytes, on a queue of their own so that they never starve a restore."""
    return {**step(patience_s), "task_queue": STREAMS_QUEUE}
