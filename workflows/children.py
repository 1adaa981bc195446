"""An operation that another one begins: under the id, and with the memo, that the command line would give it."""

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError
from temporalio.workflow import ChildWorkflowCancellationType, ChildWorkflowHandle, ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from quorate.ids import named
    from workflows import patience

T = TypeVar("T")


class Request(Protocol):
    @property
    def operation(self) -> str: ...

    @property
    def cluster(self) -> str: ...

    @property
    def actor(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Parting:
    """What becomes of it when whoever began it is cancelled, or is over."""

    cancelled: ChildWorkflowCancellationType
    closed: ParentClosePolicy


ALONE = Parting(ChildWorkflowCancellationType.ABANDON, ParentClosePolicy.ABANDON)
TOGETHER = Parting(ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED, ParentClosePolicy.REQUEST_CANCEL)


async def begun(
    kind: str,
    request: Request,
    result: type[T],
    attributes: tuple[str, ...],
    version: str,
    parting: Parting,
    slot: str = "",
) -> ChildWorkflowHandle[Any, T]:
    """The same id, so one at a time, and the same memo, so it is found."""
    memo = {"operation": request.operation, "cluster": request.cluster, "kind": kind, "actor": request.actor}
    return await workflow.start_child_workflow(
        kind,
        request,
        id=f"quorate/{request.cluster}/{slot or kind}",
        task_queue=patience.STEPS_QUEUE,
        result_type=result,
        cancellation_type=parting.cancelled,
        parent_close_policy=parting.closed,
        memo={**memo, "version": version},
        search_attributes=described(attributes, kind, request),
        static_summary=f"{request.operation} by {request.actor}",
    )


def new(kind: str) -> str:
    return named(kind, int(workflow.time() * 1000), workflow.random().getrandbits(80))


def described(attributes: tuple[str, ...], kind: str, request: Request) -> TypedSearchAttributes:
    """By those that the server has: with an unknown one the operation could not begin at all."""
    values = zip(attributes, (request.cluster, kind, request.operation), strict=False)
    return TypedSearchAttributes(
        [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values if name]
    )


def said(error: BaseException) -> str:
    """By whoever noticed it."""
    while error.__cause__ is not None and not isinstance(error, ApplicationError):
        error = error.__cause__
    return error.message if isinstance(error, ApplicationError) else str(error)
