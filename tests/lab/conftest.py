"""One small lab for the tests of the lab itself."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from deploy.lab.lab import Lab, LabSpec, down, up


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """One member, a control plane, a data filesystem that can be filled."""
    name = f"t{os.getpid()}"
    try:
        yield up(LabSpec(name, members=1, data_tmpfs_mib=512), print)
    finally:
        down(name, print)
