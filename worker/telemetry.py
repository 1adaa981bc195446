"""Logs: JSON for machines, a readable form on a terminal."""

import logging
import sys
from typing import Any

import structlog
from temporalio.exceptions import ApplicationError

SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
]


def configure() -> None:
    """Everything, the libraries' logs too, goes to standard error through structlog."""
    terminal = sys.stderr.isatty()
    last = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.INFO
    logging.getLogger("temporalio.activity").addFilter(unforeseen)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def unforeseen(record: logging.LogRecord) -> bool:
    """Errors of ours were logged in one line where they became Temporal's; their stacks tell nothing more."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, ApplicationError)
