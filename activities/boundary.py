"""The one place where our errors become Temporal's, with what a caller needs to tell a person."""

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from quorate.errors import QuorateError


class Boundary(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return Mapped(next)


class Mapped(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        try:
            return await super().execute_activity(input)
        except QuorateError as error:
            activity.logger.warning("%s: %s", error.kind, error)
            raise translated(error) from error


def translated(error: QuorateError) -> ApplicationError:
    """Type = our kind; details = exit code and next command."""
    return ApplicationError(
        str(error), error.exit_code, error.next, type=error.kind, non_retryable=not error.retryable
    )
