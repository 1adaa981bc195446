"""The real Temporal dev server, one for all tests that need it."""

import gc
from collections.abc import AsyncIterator
from pathlib import Path

import hypothesis
import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

import worker.__main__  # noqa: F401 - the environment that a command has, before anybody loads grpc
from deploy.lab.binaries import TEMPORAL, make

# How long one example takes is the machine's affair.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")
YOUNG = 20_000  # objects, before somebody looks for garbage among them


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nights", type=int, default=3, help="how many drills are held one after another")


@pytest.fixture
def nights(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--nights"))


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


def pytest_collection_finish() -> None:
    """What was loaded and collected stays to the end: looking for garbage in it takes a sixth of the fast tests."""
    gc.freeze()
    gc.set_threshold(YOUNG)
