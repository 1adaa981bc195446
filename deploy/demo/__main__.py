"""`python -m deploy.demo`; KEEP=1 leaves the lab and the daemon for a look around."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

from docker.errors import DockerException

from deploy.demo.quorate import Quorate
from deploy.demo.story import NAME, Story
from deploy.demo.telling import StoryError, Teller
from deploy.lab.https import NoAnswerError
from deploy.lab.lab import LabError, down, load_lab


def main() -> int:
    """0 when every check holds, 1 when one does not, 130 when interrupted; cleans up in each case."""
    signal.signal(signal.SIGTERM, interrupted)
    code = 1
    try:
        clean()
        Story(Teller()).tell()
        code = 0
    except (StoryError, LabError, NoAnswerError, DockerException) as error:
        print(f"\ndemo: FAILED: {error}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr, flush=True)
        code = 130
    finally:
        if os.environ.get("KEEP"):
            keep()
        else:
            clean()
    return code


def interrupted(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def clean() -> None:
    """The daemon first: it works on the lab."""
    with suppress(LabError):  # half-made or not there: no daemon was started on it
        Quorate(load_lab(NAME)).down()
    down(NAME)


def keep() -> None:
    print(f"\ndemo: kept; the inventory is .lab/{NAME}/quorate.yaml. Remove it all:")
    print(f"  .venv/bin/quorate --config .lab/{NAME}/quorate.yaml down && make lab-down LAB={NAME}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
