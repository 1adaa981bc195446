"""The one place where our errors become Temporal's, with what a caller needs to tell a person."""

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from quorate.errors import QuorateError, Unreachable

ATTEMPTS = 3


class Boundary(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return Mapped(next)


class Mapped(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        try:
            return await super().execute_activity(input)
        except QuorateError as error:
            activity.logger.warning("%s: %s", error.kind, error)
            raise translated(error, activity.info().attempt) from error


def translated(error: QuorateError, attempt: int) -> ApplicationError:
    """Type = our kind; details = exit code and next command.

    Who does not answer is asked until the step's budget is spent; what answers with a failure is believed
    the third time.
    """
    final = not error.retryable or (attempt >= ATTEMPTS and not isinstance(error, Unreachable))
    return ApplicationError(str(error), error.exit_code, error.next, type=error.kind, non_retryable=final)
