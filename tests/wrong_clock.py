"""Processes whose clock is wrong: whatever is begun inside is told another time of day."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")


@contextmanager
def clock(off_s: int, folder: Path) -> Iterator[None]:
    """Ahead by so much; programs that ask the kernel themselves, as those in Go do, have the right time."""
    compiler = shutil.which("cc") or pytest.fail(
        "a process's clock is set wrong by a library, and there is no cc to make it: apt-get install gcc libc6-dev"
    )
    library = folder / "wrong_clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)], check=True)
    wrong = {"LD_PRELOAD": str(library), "QUORATE_TEST_CLOCK_OFF_S": str(off_s)}
    os.environ.update(wrong)
    try:
        yield
    finally:
        for name in wrong:
            del os.environ[name]
