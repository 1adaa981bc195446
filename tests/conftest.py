"""The real Temporal dev server, one for all tests that need it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from deploy.lab.binaries import TEMPORAL, make


@pytest.fixture(scope="session")
def temporal_binary() -> Path:
    make(TEMPORAL, print)
    return TEMPORAL.path("temporal")


@pytest.fixture(scope="session")
async def temporal(temporal_binary: Path) -> AsyncIterator[WorkflowEnvironment]:
    environment = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(temporal_binary), data_converter=pydantic_data_converter
    )
    async with environment:
        yield environment
